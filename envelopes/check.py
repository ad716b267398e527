"""One file checked for a person: what it is, what it carries, everything wrong with it.

Used by ``lienthong check FILE``, where a vendor or a clerk tries a package before sending it. It
judges every rule that the file alone can tell, and lists the others as not judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envelopes.findings import Finding, refused
from envelopes.limits import ReadLimits
from envelopes.model import Document, StatusReport
from envelopes.read import ReadResult, read_package
from envelopes.rules.facts import PackageFacts
from envelopes.rules.inspection import PackageInspector
from envelopes.rules.outcome import NotJudged
from envelopes.rules.profile import Profile, national
from envelopes.rules.runner import Judgement, judge
from schemas.catalogue import business_doc_types, status_codes

_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class FileSummary:
    """One attachment as the report shows it; `size` in bytes, `sha256` in lower-case hex."""

    content_id: str
    name: str
    size: int
    sha256: str
    content_type: str
    detected_type: str
    wrapped: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data, named as the REST API names things."""
        return {
            "contentId": self.content_id,
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "contentType": self.content_type,
            "detectedType": self.detected_type,
            "wrapped": self.wrapped,
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a package is and what is wrong with it; texts are empty where nothing could be read."""

    kind: str
    sender: str
    recipients: tuple[str, ...]
    document_id: str
    #: Business doc type or status code, as the wire writes it.
    type: str
    signature: str
    dialects: tuple[str, ...]
    attachments: tuple[FileSummary, ...]
    findings: tuple[Finding, ...]
    profile: str = ""
    not_judged: tuple[NotJudged, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the package would be refused."""
        return refused(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data, named as ``POST /v1/check`` names things."""
        return {
            "kind": self.kind,
            "sender": self.sender,
            "recipients": list(self.recipients),
            "documentId": self.document_id,
            "type": self.type,
            "signature": self.signature,
            "dialects": list(self.dialects),
            "attachments": [file.as_dict() for file in self.attachments],
            "profile": self.profile,
            "findings": [finding.as_dict() for finding in self.findings],
            "notJudged": [one.as_dict() for one in self.not_judged],
            "accepted": not self.refused,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """A package read and looked into; `facts` are None where nothing could be read."""

    read: ReadResult
    facts: PackageFacts | None


def examine(
    source: str | os.PathLike[str] | Iterable[bytes], limits: ReadLimits | None = None
) -> Examination:
    """Read the package at a path, or the one that `source` gives as chunks, and its files.

    Raises OSError where the path cannot be read; never for what the package holds.
    """
    chunks = _blocks(Path(source)) if isinstance(source, str | os.PathLike) else source
    inspector = PackageInspector()
    read = read_package(chunks, limits, inspector.sink)
    if read.package is None:
        return Examination(read, None)
    return Examination(read, PackageFacts.of_reading(read, files=inspector.facts(read)))


def judged(examined: Examination, profile: Profile) -> Judgement:
    """The judgement; of what could not be read, the reader's findings alone."""
    if examined.facts is None:
        return Judgement(profile.name, examined.read.findings, ())
    return judge(examined.facts, profile)


def check_file(
    source: str | os.PathLike[str] | Iterable[bytes],
    profile: Profile | None = None,
    limits: ReadLimits | None = None,
) -> CheckReport:
    """Check a package under a profile, the national one by default; see `examine`."""
    return report_on(examine(source, limits), profile or national())


def report_on(examined: Examination, profile: Profile) -> CheckReport:
    """The report on a package that was examined already."""
    result, told = examined.read, judged(examined, profile)
    package = result.package
    recipients: tuple[str, ...] = ()
    kind_code = ""
    files: tuple[FileSummary, ...] = ()
    if isinstance(package, Document):
        recipients = tuple(party.organ_id for party in package.recipients)
        kind_code = package.business.doc_type.value
        files = tuple(
            FileSummary(
                content_id=file.content_id,
                name=file.name,
                size=file.size,
                sha256=file.sha256,
                content_type=file.content_type,
                detected_type=file.detected_type,
                wrapped=file.wrapped,
            )
            for file in package.attachments
        )
    elif isinstance(package, StatusReport):
        recipients = (package.response_for.organ_id,)
        kind_code = package.status_code
    return CheckReport(
        kind=result.kind or "",
        sender=result.sender_organ_id,
        recipients=recipients,
        document_id=result.document_id,
        type=kind_code,
        signature=result.signature.value,
        dialects=result.dialects,
        attachments=files,
        findings=told.findings,
        profile=profile.name,
        not_judged=told.not_judged,
    )


def render(report: CheckReport, lang: str = "vi") -> list[str]:
    """The report as lines for people, in Vietnamese ("vi") or English."""
    return [
        *render_particulars(report, lang),
        *(render_finding(finding, lang) for finding in report.findings),
        *render_not_judged(report, lang),
        render_verdict(report, lang),
    ]


def render_particulars(report: CheckReport, lang: str) -> list[str]:
    """What the package is and carries."""
    say = _words(lang)
    names = business_doc_types() if report.kind == "document" else status_codes()
    entry = names.get(report.type)
    kind = say.get(report.kind, say["unknown"])
    lines = [
        f"{say['package']}: {kind}" + (f", {entry.in_language(lang)}" if entry else ""),
        f"{say['sender']}: {report.sender or '–'}",
        f"{say['recipients']}: {', '.join(report.recipients) or '–'}",
        f"{say['document_id']}: {report.document_id or '–'}",
        f"{say['signature']}: {say[report.signature]}",
    ]
    if report.dialects:
        lines.append(f"{say['dialects']}: {', '.join(report.dialects)}")
    for file in report.attachments:
        lines.append(
            f"{say['file']}: {file.name or file.content_id}, {file.size} byte, "
            f"{file.detected_type}, SHA-256 {file.sha256}"
        )
    return lines


def render_finding(finding: Finding, lang: str) -> str:
    """One finding with what it rests on."""
    say = _words(lang)
    mark = say["refuse"] if finding.refuses else say["warn"]
    told = finding.sentence.in_language(lang)
    return f"[{mark}] {finding.rule}: {told} ({say['source']}: {finding.source})"


def render_not_judged(report: CheckReport, lang: str) -> list[str]:
    """The rules without a verdict, one line for each reason."""
    say = _words(lang)
    by_reason: dict[str, dict[str, None]] = {}
    for one in report.not_judged:
        by_reason.setdefault(one.why.value.in_language(lang), {})[one.rule] = None
    return [
        f"{say['not_judged']} ({reason}): {', '.join(rules)}" for reason, rules in by_reason.items()
    ]


def render_verdict(report: CheckReport, lang: str) -> str:
    """The last line."""
    return _words(lang)["refused" if report.refused else "accepted"]


def _words(lang: str) -> dict[str, str]:
    return _WORDS["vi" if lang == "vi" else "en"]


_WORDS: dict[str, dict[str, str]] = {
    "vi": {
        "package": "Gói tin",
        "document": "văn bản",
        "status": "báo trạng thái",
        "unknown": "không đọc được",
        "sender": "Bên gửi",
        "recipients": "Bên nhận",
        "document_id": "Mã định danh văn bản",
        "signature": "Chữ ký XML",
        "absent": "không có",
        "placeholder": "không kiểm được (chỉ là mẫu)",
        "xml-dsig": "có, cần kiểm",
        "dialects": "Cách viết riêng",
        "file": "Tệp",
        "refuse": "LỖI",
        "warn": "LƯU Ý",
        "source": "căn cứ",
        "not_judged": "Chưa xét",
        "refused": "Kết luận: gói tin sẽ bị từ chối.",
        "accepted": "Kết luận: gói tin được chấp nhận.",
    },
    "en": {
        "package": "Package",
        "document": "document",
        "status": "status report",
        "unknown": "unreadable",
        "sender": "Sender",
        "recipients": "Recipients",
        "document_id": "Document id",
        "signature": "XML signature",
        "absent": "absent",
        "placeholder": "not verifiable (a placeholder)",
        "xml-dsig": "present, to be verified",
        "dialects": "Dialects",
        "file": "File",
        "refuse": "ERROR",
        "warn": "WARNING",
        "source": "rests on",
        "not_judged": "Not judged",
        "refused": "Verdict: the package would be refused.",
        "accepted": "Verdict: the package would be accepted.",
    },
}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
