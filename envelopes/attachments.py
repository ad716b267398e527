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
from envelopes.findings import Finding
from envelopes.limits import ReadLimits, setting_name
from envelopes.rule_catalogue import limit_finding, make
from envelopes.zip_stream import SingleEntryUnzipper, ZipForm

#: What takes the decoded bytes of an attachment, piece by piece.
Writer = Callable[[bytes], object]

_BASE64_ALLOWED = "A–Z a–z 0–9 + / = (RFC 4648)"
_ZIP_ALLOWED = "một tệp ZIP chứa đúng một tệp / a ZIP holding exactly one file"


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
        if wrapped is None:
            wrapped = (declared is None or is_zip(declared)) and not is_zip_kind(name or "")
        if wrapped:
            self._unzipper = SingleEntryUnzipper(
                self._add_inner,
                max_ratio=limits.max_zip_ratio,
                ratio_from=limits.zip_ratio_from_bytes,
            )
        #: The writer gets the unwrapped file wherever a wrapping is being tried.
        self._writes_inner = wrapped
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
        if self._unzipper is not None:
            self._unzipper.feed(data)
            if self._unzipper.settled and self._unzipper.close() is ZipForm.TOO_DENSE:
                self._note_over("max_zip_ratio", self._limits.max_zip_ratio, self._ratio())
        if not self._writes_inner and self._writer is not None:
            self._writer(data)
        self._check_size(self._outer.size)

    def _add_inner(self, data: bytes) -> None:
        self._inner.add(data)
        self._check_size(self._inner.size)
        if self._writer is not None and self._over is None:
            self._writer(data)

    def _ratio(self) -> str:
        unzipper = self._unzipper
        ratio = unzipper.size // max(unzipper.packed_size, 1) if unzipper else 0
        return f"nén / packed 1:{ratio}"

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
        if self._over is not None:
            over = limit_finding("ATT-LIMIT", *self._over, element=element, line=self._line)
            return None, [over]
        problem = self._text_problem(element)
        if problem is not None:
            return None, [problem]
        form = self._unzipper.close() if self._unzipper is not None else None
        if is_zip(declared) and not is_zip_kind(name) and form is not None:
            return self._close_wrapped(form, element, name)
        findings = []
        if is_zip(declared) and not self._outer.head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            findings.append(self._not_a_zip(element))
        elif not self._outer.size:
            findings.append(make("ATT-EMPTY", element=element, line=self._line))
        return self._plain(name, written=not self._writes_inner), findings

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
            return self._plain(name, written=False), [warning]
        if form is ZipForm.NOT_A_ZIP:
            return None, [self._not_a_zip(element)]
        reason = self._unzipper.reason if self._unzipper is not None else ""
        broken = make(
            "ATT-ZIP", element=element, line=self._line, found=reason, allowed=_ZIP_ALLOWED
        )
        return None, [broken]

    def _plain(self, name: str, *, written: bool) -> DecodedFile:
        outer = self._outer
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
