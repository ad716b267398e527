"""One attachment as it arrives: base64 undone, wrapping undone, measured, digested, recognised.

Whether a file lies wrapped can be known only at its end (an archive of exactly one entry), so while
that is open both readings run side by side: the bytes as they are and the file inside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from envelopes.base64_stream import Base64Decoder
from envelopes.content_types import HEAD_BYTES, ZIP, detect, is_zip, is_zip_kind
from envelopes.element_names import CONTENT_TRANSFER_ENCODED
from envelopes.findings import Finding, Sentence
from envelopes.limits import ReadLimits, setting_name
from envelopes.rule_catalogue import limit_finding, make
from envelopes.zip_stream import SingleEntryUnzipper, ZipForm

#: What takes the decoded bytes of an attachment, piece by piece.
Writer = Callable[[bytes], object]

_ZIP_START, _EMPTY_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_BASE64_ALLOWED = "A–Z a–z 0–9 + / = (RFC 4648)"
_ZIP_ALLOWED = Sentence("một tệp ZIP chứa đúng một tệp", "a ZIP holding exactly one file")


@dataclass(slots=True)
class Measure:
    """Digest, size and first bytes of one stream."""

    size: int = 0
    head: bytes = b""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        """Count and digest the next bytes."""
        if self.size < HEAD_BYTES:
            self.head = (self.head + data[: HEAD_BYTES - len(self.head)])[:HEAD_BYTES]
        self.size += len(data)
        self.digest.update(data)


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """What an attachment's content turned out to be."""

    size: int
    sha256: str
    detected_type: str
    wrapped: bool
    #: Whether the writer was given exactly these bytes.
    written: bool


class AttachmentDecoder:
    """Takes the text of one ContentTransferEncoded; `close` gives file and findings.

    `declared` and `name` are what the attachment says so far (both may be unknown still: the
    children of an attachment come in any order). `wrapped` forces one reading. `budget` is how many
    decoded bytes the rest of the package may still hold.
    """

    def __init__(
        self,
        limits: ReadLimits,
        *,
        declared: str | None,
        name: str | None,
        line: int,
        budget: int,
        writer: Writer | None = None,
        wrapped: bool | None = None,
    ) -> None:
        self._limits = limits
        self._line = line
        self._budget = budget
        self._writer = writer
        self._base64 = Base64Decoder()
        self._outer = Measure()
        self._inner = Measure()
        self._over: tuple[str, int, str] | None = None
        self._unzipper: SingleEntryUnzipper | None = None
        #: The caller knows that the file lies in the package as it is.
        self._known_plain = wrapped is False
        self._declared = declared
        if wrapped is None:
            wrapped = (declared is None or is_zip(declared)) and not is_zip_kind(name or "")
        #: Held back until enough is there to tell whether a wrapping may be tried; else None.
        self._held: bytes | None = b"" if wrapped else None
        #: What stood inside the base64 that may not: a comment, an element.
        self.markup = ""

    @property
    def over_limit(self) -> bool:
        """Whether this attachment broke a bound: `close` says which."""
        return self._over is not None

    def feed(self, text: str) -> None:
        """Take the next characters of the content."""
        if self._over is not None or self.markup:
            return
        data = self._base64.feed(text)
        if not data:
            return
        self._outer.add(data)
        if self._held is not None:
            self._held += data
            if len(self._held) < len(_ZIP_START):
                return
            data = self._decide()
        self._pass_on(data)

    def _decide(self) -> bytes:
        """Try a wrapping where the file begins as a ZIP does; gives the bytes held back."""
        held, self._held = self._held or b"", None
        if held.startswith(_ZIP_START):
            self._unzipper = SingleEntryUnzipper(
                self._add_inner,
                max_ratio=self._limits.max_zip_ratio,
                ratio_from=self._limits.zip_ratio_from_bytes,
            )
        return held

    def _pass_on(self, data: bytes) -> None:
        """To the unzipper, whose output goes to the writer, or to the writer as it is."""
        if self._unzipper is not None:
            self._unzipper.feed(data)
            # Where the type is not known yet, a dense archive may yet be a file as it is.
            if self._declared is not None and self._unzipper.form is ZipForm.TOO_DENSE:
                self._note_too_dense(self._unzipper)
        elif self._writer is not None:
            self._writer(data)
        self._check_size(self._outer.size)

    def _add_inner(self, data: bytes) -> None:
        self._inner.add(data)
        self._check_size(self._inner.size)
        if self._writer is not None and self._over is None:
            self._writer(data)

    def _note_too_dense(self, unzipper: SingleEntryUnzipper) -> None:
        ratio = unzipper.size // max(unzipper.packed_size, 1)
        self._note_over("max_zip_ratio", self._limits.max_zip_ratio, f"1:{ratio}")

    def _check_size(self, size: int) -> None:
        limits = self._limits
        if size > limits.max_attachment_bytes:
            self._note_over("max_attachment_bytes", limits.max_attachment_bytes, f"> {size} byte")
        elif size > self._budget:
            self._note_over("max_total_bytes", limits.max_total_bytes, "> max")

    def _note_over(self, setting: str, limit: int, found: str) -> None:
        if self._over is None:
            self._over = (setting_name(setting), limit, found)

    def close(self, declared: str, name: str) -> tuple[DecodedFile | None, list[Finding]]:
        """File (None where it cannot be had) and findings, now that everything is known of it."""
        element = name or CONTENT_TRANSFER_ENCODED
        problem = self._over_finding(element) or self._text_problem(element)
        if problem is not None:
            return None, [problem]
        if self._held is not None:
            self._pass_on(self._decide())
        if is_zip(declared) and not is_zip_kind(name) and not self._known_plain:
            if self._unzipper is not None and self._unzipper.close() is ZipForm.TOO_DENSE:
                self._note_too_dense(self._unzipper)
            over = self._over_finding(element)
            return (None, [over]) if over else self._close_wrapped(self._form(), element, name)
        findings = []
        if is_zip(declared) and not self._outer.head.startswith((_ZIP_START, _EMPTY_ZIP)):
            findings.append(self._not_a_zip(element))
        elif not self._outer.size:
            findings.append(make("ATT-EMPTY", element=element, line=self._line))
        return self._plain(name), findings

    def _over_finding(self, element: str) -> Finding | None:
        if self._over is None:
            return None
        return limit_finding("ATT-LIMIT", *self._over, element=element, line=self._line)

    def _form(self) -> ZipForm:
        if self._unzipper is not None:
            return self._unzipper.close()
        return ZipForm.ARCHIVE if self._outer.head.startswith(_EMPTY_ZIP) else ZipForm.NOT_A_ZIP

    def _close_wrapped(
        self, form: ZipForm, element: str, name: str
    ) -> tuple[DecodedFile | None, list[Finding]]:
        if form is ZipForm.ONE_ENTRY:
            inner = self._inner
            found = DecodedFile(
                inner.size, inner.digest.hexdigest(), detect(inner.head, name), True, True
            )
            empty = make("ATT-EMPTY", element=element, line=self._line)
            return found, [] if inner.size else [empty]
        if form is ZipForm.ARCHIVE:
            warning = make(
                "ATT-ARCHIVE", element=element, line=self._line, found=ZIP, allowed=f"{name}.zip"
            )
            return self._plain(name), [warning]
        if form is ZipForm.NOT_A_ZIP:
            return None, [self._not_a_zip(element)]
        reason = self._unzipper.reason if self._unzipper is not None else ""
        broken = make(
            "ATT-ZIP", element=element, line=self._line, found=reason, allowed=_ZIP_ALLOWED
        )
        return None, [broken]

    def _plain(self, name: str) -> DecodedFile:
        outer, written = self._outer, self._unzipper is None
        kind = detect(outer.head, name)
        return DecodedFile(outer.size, outer.digest.hexdigest(), kind, False, written)

    def _not_a_zip(self, element: str) -> Finding:
        head = self._outer.head
        found = f"{detect(head, element)}, {head[:8].hex(' ') or '0 byte'}"
        return make(
            "ATT-ZIP",
            "not-a-zip",
            element=element,
            line=self._line,
            found=found,
            allowed=_ZIP_ALLOWED,
        )

    def _text_problem(self, element: str) -> Finding | None:
        if self.markup:
            return make(
                "ATT-BASE64",
                "markup",
                element=element,
                line=self._line,
                found=self.markup,
                allowed=_BASE64_ALLOWED,
            )
        problem = self._base64.close()
        if problem is None:
            return None
        return make(
            "ATT-BASE64",
            problem.kind,
            element=element,
            line=self._line + problem.line_offset,
            found=problem.found,
            allowed=_BASE64_ALLOWED,
            position=problem.position,
        )
