"""A package as an XML signature sees it, in constant memory: a skeleton and where the files lie.

The skeleton is written anew from what expat reports, the same parser (on the same bytes) that the
business layer's reader is built on: what libxml2 canonicalises later is exactly what was read, and
no difference between two parsers can come between the signed and the read document. The text of
each ContentTransferEncoded is left out; only its place in the package is kept, to be spliced into
the digest (`envelopes.xml_signature`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.parsers import expat

from envelopes.element_names import (
    ATTACHMENT,
    ATTACHMENT_ENCODED,
    CONTENT_TRANSFER_ENCODED,
    DIGITAL_SIGNATURE,
    EDXML,
    SIGNATURE,
)
from envelopes.limits import ReadLimits
from envelopes.signature_facts import Reason

#: `(start, end) -> blocks`: the bytes of the package from `start` up to `end`.
Ranges = Callable[[int, int], Iterable[bytes]]

_CONTENT_PATH = [EDXML, ATTACHMENT_ENCODED, ATTACHMENT, CONTENT_TRANSFER_ENCODED]
_SIGNATURES = frozenset({SIGNATURE, DIGITAL_SIGNATURE})
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
#: What base64 may be made of; deleted from a block, nothing may be left.
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
#: The forms in which writers of Java keep a carriage return through a parser.
_RETURNS = (b"&#13;", b"&#xD;", b"&#xd;", b"&#x0D;", b"&#x0d;")
_FEEDS = (b"&#10;", b"&#xA;", b"&#xa;")
_LONGEST_REFERENCE = 6


@dataclass(frozen=True, slots=True)
class SignatureScan:
    """The skeleton, cut where a file's text belongs: one more piece than there are `contents`."""

    pieces: tuple[str, ...] = ("",)
    #: Byte ranges of the package that hold the text of the files, in order.
    contents: tuple[tuple[int, int], ...] = ()
    #: How many elements are called Signature or DigitalSignature, in whatever namespace.
    signatures: int = 0
    #: Why no signature over this package can be verified.
    problem: Reason | None = None
    detail: str = ""


class _Stop(Exception):
    """Raised inside the parser's callbacks; never leaves this module."""


class SignatureScanner:
    """Reads one package: `feed` its bytes, then `close` once. Never raises for what they hold."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self._limits = limits or ReadLimits()
        self._parts: list[str] = []
        self._pieces: list[str] = []
        self._contents: list[tuple[int, int]] = []
        self._path: list[str] = []
        self._signatures = 0
        self._size = 0
        self._in_content = False
        self._content_start: int | None = None
        self._problem: Reason | None = None
        self._detail = ""
        self._parser = self._make_parser()

    def _make_parser(self) -> expat.XMLParserType:
        # Without namespaces: names and declarations are written on as they stand.
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = False
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    @property
    def stopped(self) -> bool:
        """Whether further bytes change nothing."""
        return self._problem is not None

    def feed(self, block: bytes) -> None:
        """Take the next bytes."""
        self._parse(block, False)

    def close(self) -> SignatureScan:
        """What the package looks like to a signature."""
        self._parse(b"", True)
        # Its callbacks refer back to this object: part, so that memory goes at once.
        self._parser = expat.ParserCreate()
        if self._problem is not None:
            return SignatureScan(
                signatures=self._signatures, problem=self._problem, detail=self._detail
            )
        pieces = (*self._pieces, "".join(self._parts))
        return SignatureScan(pieces, tuple(self._contents), self._signatures)

    def _parse(self, block: bytes, final: bool) -> None:
        if self._problem is not None:
            return
        try:
            self._parser.Parse(block, final)
        except _Stop:
            return
        except expat.ExpatError as error:
            self._problem, self._detail = Reason.MALFORMED, str(error)

    def _stop(self, problem: Reason, detail: str) -> None:
        self._problem, self._detail = problem, detail
        raise _Stop

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > self._limits.max_skeleton_bytes:
            self._stop(Reason.TOO_LARGE, "the header is larger than max_skeleton_bytes")

    def _start(self, name: str, attributes: list[str]) -> None:
        if self._in_content:
            self._stop(Reason.MALFORMED, f"<{name}> inside the text of a file")
        local = name.rpartition(":")[2]
        self._path.append(local)
        if len(self._path) > self._limits.max_depth:
            self._stop(Reason.TOO_LARGE, "elements lie deeper than max_depth")
        self._signatures += local in _SIGNATURES
        written = "".join(
            f' {key}="{value.translate(_ATTRIBUTE)}"'
            for key, value in zip(attributes[::2], attributes[1::2], strict=True)
        )
        self._write(f"<{name}{written}>")
        if self._path == _CONTENT_PATH:
            self._in_content, self._content_start = True, None
            self._parser.CharacterDataHandler = self._first_of_content

    def _first_of_content(self, _text: str) -> None:
        self._content_start = self._parser.CurrentByteIndex
        # The rest of the text needs no attention: hundreds of megabytes pass at the parser's speed.
        self._parser.CharacterDataHandler = None

    def _end(self, name: str) -> None:
        if self._in_content:
            self._in_content = False
            self._parser.CharacterDataHandler = self._characters
            if self._content_start is not None:
                self._contents.append((self._content_start, self._parser.CurrentByteIndex))
                self._pieces.append("".join(self._parts))
                self._parts.clear()
        self._path.pop()
        self._write(f"</{name}>")

    def _characters(self, text: str) -> None:
        self._write(text.translate(_TEXT))

    def _comment(self, _text: str) -> None:
        # Before and after the root no canonical form has them.
        if self._path:
            self._stop(Reason.COMMENT, f"a comment inside {self._path[-1]}")

    def _instruction(self, target: str, _data: str) -> None:
        self._stop(Reason.COMMENT, f"a processing instruction ({target[:40]})")

    def _doctype(self, _name: str, _system: object, _public: object, _subset: object) -> None:
        self._stop(Reason.DTD, "a DOCTYPE")


class UnsupportedContent(Exception):
    """The text of a file is written in a form that cannot be spliced: CDATA, odd references."""


def canonical_content(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The raw text of a file as canonical XML has it: line ends and references settled.

    Raises UnsupportedContent where the text is anything but base64 and white space.
    """
    held = b""
    for block in blocks:
        data = held + block
        # A line end or a reference may be cut in two by the end of a block.
        keep = _tail(data)
        held, data = data[len(data) - keep :], data[: len(data) - keep]
        yield _settle(data)
    yield _settle(held)


def _tail(data: bytes) -> int:
    if data.endswith(b"\r"):
        return 1
    at = data.rfind(b"&", max(len(data) - _LONGEST_REFERENCE, 0))
    return 0 if at < 0 or b";" in data[at:] else len(data) - at


def _settle(data: bytes) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"&" not in data:
        if data.translate(None, _BASE64):
            raise UnsupportedContent
        return data
    for reference in _RETURNS:
        data = data.replace(reference, b"\r")
    for reference in _FEEDS:
        data = data.replace(reference, b"\n")
    if data.translate(None, _BASE64):
        raise UnsupportedContent
    return data.replace(b"\r", b"&#xD;")
