"""Bytes of a package → a small tree and attachment streams, in constant memory.

Built on expat, which reads a stream without keeping it; base64 text never becomes part of the tree.
Every bound of `ReadLimits` is checked here while bytes arrive. Blocks are re-cut to one size, so
what is found never depends on how the bytes happened to arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from envelopes import xml_problems
from envelopes.attachments import AttachmentDecoder, DecodedFile, Writer
from envelopes.element_names import (
    ATTACHMENT,
    ATTACHMENT_ENCODED,
    ATTACHMENT_NAME,
    CONTENT_ID,
    CONTENT_TRANSFER_ENCODED,
    CONTENT_TYPE,
    NAMESPACE,
)
from envelopes.findings import Finding
from envelopes.limits import ReadLimits, setting_name
from envelopes.node import Node
from envelopes.rule_catalogue import limit_finding, make

#: The parser is given pieces of exactly this many bytes, the last one excepted.
PIECE_BYTES = 128 * 1024
#: Text is handed over in strings of at most this many bytes.
_TEXT_BUFFER = 256 * 1024
_WHITE = " \t\r\n"
#: How much is kept of text that stands beside elements.
_MIXED_CHARS = 200

#: `(content_id, index) -> writer or None`: who wants the decoded bytes of an attachment.
AttachmentSink = Callable[[str, int], Writer | None]


class _StopReading(Exception):
    """Raised inside the parser's callbacks to end the reading at once; never leaves this module."""


@dataclass(slots=True)
class ScannedAttachment:
    """One Attachment element and what its content turned out to be."""

    node: Node
    file: DecodedFile | None = None
    seen_content: bool = False
    decoder: AttachmentDecoder | None = None


class Scanner:
    """Feeds expat and keeps `root`, `attachments` and `findings`; `stopped` once it is hopeless."""

    def __init__(
        self,
        limits: ReadLimits,
        attachment_sink: AttachmentSink | None = None,
        *,
        force_wrapped: Callable[[int], bool | None] | None = None,
    ) -> None:
        self.limits = limits
        self.root: Node | None = None
        self.attachments: list[ScannedAttachment] = []
        self.findings: list[Finding] = []
        self.stopped = False
        self._sink = attachment_sink
        self._force_wrapped = force_wrapped
        self._open: list[Node] = []
        self._texts: list[str] = []
        self._text_chars = 0
        self._elements = 0
        self._decoder: AttachmentDecoder | None = None
        self._spent = 0
        self._content_started_at = 0
        self._content_bytes = 0
        self._names: dict[str, tuple[str, str]] = {}
        self._prefixes = {"xml", "xmlns"}
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._fed = 0
        self._recent = b""
        self._parser = self._make_parser()

    def _make_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_size = _TEXT_BUFFER
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._namespace
        return parser

    # Bytes in

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, in blocks of any size."""
        if self.stopped or not block:
            return
        data = block if type(block) is bytes else bytes(block)
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting < PIECE_BYTES:
            return
        joined = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        view = memoryview(joined)
        at = 0
        while len(view) - at >= PIECE_BYTES and not self.stopped:
            self._parse(view[at : at + PIECE_BYTES])
            at += PIECE_BYTES
        # A copy: the caller may reuse or drop its block.
        self._pieces = [bytes(view[at:])]
        self._waiting = len(view) - at

    def close(self) -> None:
        """Parse what is left and settle everything that only the end can settle."""
        if not self.stopped:
            self._parse(memoryview(b"".join(self._pieces)), final=True)
        self._pieces = []
        for attachment in self.attachments:
            self._settle_attachment(attachment)
        # The parser's callbacks refer back to this object: part, so that memory goes at once.
        self._parser = expat.ParserCreate()

    def _parse(self, piece: memoryview, *, final: bool = False) -> None:
        if not self._fed and (encoding := xml_problems.foreign_encoding(bytes(piece[:4]))):
            self._stop(make("XML-ENCODING", found=encoding, allowed="UTF-8", line=1))
            return
        before = self._fed
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, final)
        except _StopReading:
            return
        except expat.ExpatError as error:
            self._stop_at_error(error, before, piece)
            return
        self._recent = bytes(piece)
        self._check_bytes()

    def _check_bytes(self) -> None:
        """Bounds on what the parser holds back and on everything that is not base64."""
        at = self._parser.CurrentByteIndex
        limits = self.limits
        if self._fed - at > limits.max_token_bytes:
            self._stop_at_limit("max_token_bytes", limits.max_token_bytes, self._fed - at)
            return
        content = self._content_bytes
        if self._decoder is not None:
            content += at - self._content_started_at
        if self._fed - content > limits.max_skeleton_bytes:
            found = self._fed - content
            self._stop_at_limit("max_skeleton_bytes", limits.max_skeleton_bytes, found)

    # Ways to stop

    def _stop(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.stopped = True
        self._pieces = []

    def _abort(self, finding: Finding) -> None:
        """Stop from inside a callback of the parser."""
        self._stop(finding)
        raise _StopReading

    def _stop_at_limit(self, setting: str, limit: int, found: int) -> None:
        self._stop(self._over_limit(setting, limit, found))

    def _over_limit(self, setting: str, limit: int, found: int) -> Finding:
        element = self._open[-1].tag if self._open else "edXML"
        line = self._parser.CurrentLineNumber
        return limit_finding(
            "XML-LIMIT", setting_name(setting), limit, found, element=element, line=line
        )

    def _stop_at_error(self, error: expat.ExpatError, before: int, piece: memoryview) -> None:
        known = self._recent + bytes(piece)
        at = self._parser.ErrorByteIndex - (before - len(self._recent))
        context = known[at : at + 2048] if at >= 0 else b""
        self._stop(xml_problems.explain(error, context, self._open, self._prefixes))

    # The parser's callbacks

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            self._abort(make("XML-ENCODING", found=encoding, allowed="UTF-8", line=1))

    def _doctype(self, name: str, system: str | None, public: str | None, _subset: int) -> None:
        found = " ".join(part for part in (name, public, system) if part)
        line = self._parser.CurrentLineNumber
        self._abort(
            make(
                "XML-DTD",
                element="DOCTYPE",
                line=line,
                found=found,
                allowed="no DOCTYPE",
            )
        )

    def _namespace(self, prefix: str | None, _uri: str) -> None:
        self._prefixes.add(prefix or "")

    def _split(self, name: str) -> tuple[str, str]:
        namespace, _, local = name.rpartition(" ")
        self._names[name] = split = (namespace, local)
        return split

    def _start(self, name: str, attributes: list[str]) -> None:
        namespace, tag = self._names.get(name) or self._split(name)
        parser, opened = self._parser, self._open
        node = Node(tag, namespace, parser.CurrentLineNumber)
        if self._decoder is not None:
            self._decoder.markup = f"<{tag}>"
        if self._texts:
            self._keep_text()
        if opened:
            opened[-1].children.append(node)
        else:
            self.root = node
            problem = xml_problems.root_problem(node)
            if problem is not None:
                self._abort(problem)
        opened.append(node)
        if attributes:
            node.attributes = dict(zip(attributes[::2], attributes[1::2], strict=True))
        self._elements += 1
        self._check_counts(node)
        if namespace in (NAMESPACE, "") and len(opened) in (3, 4):
            self._start_attachment(node)

    def _check_counts(self, node: Node) -> None:
        limits = self.limits
        if len(self._open) > limits.max_depth:
            self._abort(self._over_limit("max_depth", limits.max_depth, len(self._open)))
        # Attachments have a bound of their own; each is allowed a handful of elements.
        allowed = limits.max_elements + 16 * len(self.attachments)
        if self._elements > allowed:
            self._abort(self._over_limit("max_elements", limits.max_elements, self._elements))
        if len(node.attributes) > limits.max_attributes:
            found = len(node.attributes)
            self._abort(self._over_limit("max_attributes", limits.max_attributes, found))

    def _start_attachment(self, node: Node) -> None:
        """Note an Attachment, or turn to streaming at its content."""
        path = [opened.tag for opened in self._open[1:]]
        if path == [ATTACHMENT_ENCODED, ATTACHMENT]:
            limit = self.limits.max_attachments
            if len(self.attachments) >= limit:
                self._abort(self._over_limit("max_attachments", limit, limit + 1))
            self.attachments.append(ScannedAttachment(node))
        elif path == [ATTACHMENT_ENCODED, ATTACHMENT, CONTENT_TRANSFER_ENCODED]:
            attachment = self.attachments[-1]
            if attachment.decoder is None:
                self._decoder = attachment.decoder = self._make_decoder(attachment.node, node)
                self._content_started_at = self._parser.CurrentByteIndex

    def _make_decoder(self, attachment: Node, content: Node) -> AttachmentDecoder:
        declared, name = attachment.first(CONTENT_TYPE), attachment.first(ATTACHMENT_NAME)
        index = len(self.attachments) - 1
        content_id = attachment.text_of(CONTENT_ID)
        return AttachmentDecoder(
            self.limits,
            declared=None if declared is None else declared.text,
            name=None if name is None else name.text,
            line=content.line,
            budget=self.limits.max_total_bytes - self._spent,
            writer=self._sink(content_id, index) if self._sink is not None else None,
            wrapped=self._force_wrapped(index) if self._force_wrapped is not None else None,
        )

    def _characters(self, text: str) -> None:
        decoder = self._decoder
        if decoder is not None:
            decoder.feed(text)
            if decoder.over_limit:
                self.stopped = True
                raise _StopReading
            return
        if not self._texts and not text.strip(_WHITE):
            return
        self._text_chars += len(text)
        limit = self.limits.max_text_chars
        if self._text_chars > limit:
            self._abort(self._over_limit("max_text_chars", limit, self._text_chars))
        self._texts.append(text)

    def _keep_text(self) -> None:
        """Add the text since the last tag to the element that is open."""
        text = "".join(self._texts)
        self._texts.clear()
        self._text_chars = 0
        if not self._open:
            return
        node = self._open[-1]
        if not node.children:
            node.text = text
        elif len(node.text) < _MIXED_CHARS:
            # Text between elements is refused whatever it says: the start of it will do.
            node.text += text.strip(_WHITE)[:_MIXED_CHARS]

    def _end(self, _name: str) -> None:
        if self._texts:
            self._keep_text()
        node = self._open.pop()
        if self._decoder is not None and len(self._open) == 3:
            self._content_bytes += self._parser.CurrentByteIndex - self._content_started_at
            self._decoder = None
            return
        node.text = node.text.strip(_WHITE)
        if node.commented and len(self.findings) < self.limits.max_findings:
            self.findings.append(xml_problems.comment_finding(node))
        if node.tag == ATTACHMENT and len(self._open) == 2 and self.attachments:
            self._settle_attachment(self.attachments[-1])

    def _settle_attachment(self, attachment: ScannedAttachment) -> None:
        """Close the decoder once, when everything the attachment says of itself is known."""
        decoder = attachment.decoder
        if decoder is None or attachment.seen_content:
            return
        attachment.seen_content = True
        node = attachment.node
        declared, name = node.text_of(CONTENT_TYPE), node.text_of(ATTACHMENT_NAME)
        if self.stopped and not decoder.over_limit:
            return
        attachment.file, findings = decoder.close(declared, name)
        self.findings.extend(findings)
        if attachment.file is not None:
            self._spent += attachment.file.size

    def _comment(self, _text: str) -> None:
        self._note_aside("<!-- -->")

    def _instruction(self, target: str, _data: str) -> None:
        self._note_aside(f"<?{target}?>")

    def _note_aside(self, shown: str) -> None:
        if self._decoder is not None:
            self._decoder.markup = shown
        elif self._open:
            self._open[-1].commented = True
