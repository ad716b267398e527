"""What the rules judge: one package and everything that was found out about it.

Each part is gathered by somebody else: the reader, a look into the files, the signature worker, the
scanner, the database. What was not gathered is None, and a rule that needs it is reported as *not
judged*; it never passes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from envelopes.findings import Finding
from envelopes.model import (
    Attachment,
    BusinessDocType,
    Document,
    Package,
    SignatureForm,
    StatusReport,
)
from envelopes.read import ReadResult
from envelopes.signature_facts import SignatureFacts


class TextEncoding(StrEnum):
    """How the text of a file or a header field is written (BT 3.2: Unicode, TCVN 6909:2001)."""

    UTF8 = "UTF-8"
    UTF16 = "UTF-16"
    #: One byte per letter, drawn right only by the ``.Vn…`` fonts.
    TCVN3 = "TCVN3 (ABC)"
    #: Two letters for one, drawn right only by the ``VNI-…`` fonts.
    VNI = "VNI-Windows"
    #: Not Unicode, and none that we can name.
    OTHER = "8 bit"

    @property
    def is_unicode(self) -> bool:
        """Whether the standard allows it."""
        return self in (TextEncoding.UTF8, TextEncoding.UTF16)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a look into one attachment found, beyond what the reader knows (`Attachment`).

    Made by `envelopes.rules.inspection.FileInspector`, in the order of `Document.attachments`.
    """

    #: The kind by its bytes, from more of them than the reader looked at; "" says nothing new.
    detected_type: str = ""
    #: Of plain text files only.
    encoding: TextEncoding | None = None
    #: Whether the text is in normal form C; None where it is no Unicode text.
    nfc: bool | None = None
    #: Whether the text at the file's beginning was looked at for a mark of secrecy ...
    searched_for_secrets: bool = False
    #: ... and which was found: ``Mật``, ``Tối mật``, ``Tuyệt mật``; "" for none.
    secret_mark: str = ""
    #: The form of signature that a file other than a PDF carries: ``OOXML``, ``ODF``, ``CMS``.
    other_signature: str = ""
    #: Pages of a PDF, where somebody counted them.
    pages: int | None = None


class ScanVerdict(StrEnum):
    """What the malware scanner said of one file."""

    CLEAN = "clean"
    INFECTED = "infected"
    #: Not scanned: scanner unreachable, file over its bounds. Never taken for clean.
    UNSCANNED = "unscanned"


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """The scan of one attachment; `threat` is the name the scanner gives, of our own signatures."""

    index: int
    verdict: ScanVerdict
    threat: str = ""


class WorkingDays(Protocol):
    """The part of a working calendar that TIME-ISSUE needs (`routing.working_time` has one)."""

    def is_working_day(self, day: date, /) -> bool:
        """Whether the office opens at all on `day`."""
        ...

    def intervals(self, day: date, /) -> tuple[tuple[datetime, datetime], ...]:
        """The sessions of `day` in order, aware; none on a day off."""
        ...


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the gateway knows around the package. Each part may be None: not looked up."""

    #: When the package entered the gateway, aware (rule CLOCK: out of the sender's control).
    received_at: datetime | None = None
    calendar: WorkingDays | None = None
    #: For each `Document.response_for`: whether that document passed between the two.
    answered_known: tuple[bool, ...] | None = None
    #: Of a package that is about an earlier one: the files (SHA-256) sent under that document.
    sent_files: frozenset[str] | None = None
    #: What routing found under ID-SENDER and ID-RECIPIENT.
    routing_findings: tuple[Finding, ...] | None = None


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """One package with all that is known of it; see the module."""

    package: Package
    #: What the reader found; `judge` gives these their grade in the profile and passes them on.
    reading_findings: tuple[Finding, ...] = ()
    signature_form: SignatureForm = SignatureForm.ABSENT
    #: One for each attachment, in order; None: nobody looked into the files.
    files: tuple[FileFacts, ...] | None = None
    #: None: the signatures were not verified.
    signatures: SignatureFacts | None = None
    #: None: not scanned.
    scans: tuple[ScanFacts, ...] | None = None
    lookups: Lookups = field(default_factory=Lookups)

    @classmethod
    def of_reading(
        cls,
        read: ReadResult,
        *,
        files: tuple[FileFacts, ...] | None = None,
        signatures: SignatureFacts | None = None,
        scans: tuple[ScanFacts, ...] | None = None,
        lookups: Lookups | None = None,
    ) -> PackageFacts:
        """The facts of a package as it was read. Raises ValueError where nothing could be read."""
        if read.package is None:
            raise ValueError("an unreadable package has no facts to judge")
        return cls(
            read.package,
            read.findings,
            read.signature,
            files,
            signatures,
            scans,
            lookups or Lookups(),
        )

    @property
    def document(self) -> Document | None:
        """The package where it is a document."""
        return self.package if isinstance(self.package, Document) else None

    @property
    def report(self) -> StatusReport | None:
        """The package where it is a status report."""
        return self.package if isinstance(self.package, StatusReport) else None

    @property
    def takes_back(self) -> bool:
        """Whether the package takes a document back: how that document's files are matters not."""
        document = self.document
        return document is not None and document.business.doc_type is BusinessDocType.REVOCATION

    @property
    def of_unknown_files(self) -> bool:
        """Whether it carries files that may be those it takes back, and nobody looked that up."""
        document = self.document
        known = self.lookups.sent_files is not None
        return document is not None and self.takes_back and bool(document.attachments) and not known

    def judged_files(self) -> list[tuple[int, Attachment, FileFacts | None]]:
        """The attachments that the rules of form and signature judge.

        All of them, but of a revocation only those that were not sent under the document before:
        what comes along as new is no less a document for being called a revocation.
        """
        if not self.takes_back:
            return list(self.attachments())
        sent = self.lookups.sent_files
        return (
            [] if sent is None else [one for one in self.attachments() if one[1].sha256 not in sent]
        )

    def attachments(self) -> Iterator[tuple[int, Attachment, FileFacts | None]]:
        """Each attachment with its position and what a look into it found."""
        if isinstance(self.package, Document):
            for index, file in enumerate(self.package.attachments):
                known = self.files is not None and index < len(self.files)
                yield index, file, self.files[index] if self.files and known else None
