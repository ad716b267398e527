"""One file checked for a person: what it is, what it carries, everything wrong with it.

Used by ``lienthong check FILE``, where a vendor or a clerk tries a package before sending it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from envelopes.findings import Finding, Severity, refused
from envelopes.limits import ReadLimits
from envelopes.model import Document, StatusReport
from envelopes.read import ReadResult, read_package
from schemas.catalogue import business_doc_types, status_codes

#: Rule id → "refuse", "warn" or "off": what a profile makes of a rule.
Profile = Mapping[str, str]

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

    @property
    def refused(self) -> bool:
        """Whether the package would be refused."""
        return refused(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        data = asdict(replace(self, findings=()))
        data["findings"] = [finding.as_dict() for finding in self.findings]
        data["refused"] = self.refused
        return data


def check_file(
    source: str | os.PathLike[str] | Iterable[bytes],
    profile: Profile | None = None,
    limits: ReadLimits | None = None,
) -> CheckReport:
    """Check the package at a path, or the one that `source` gives as chunks.

    `profile` changes severities of rules other than those that reading itself depends on. Raises
    OSError where the path cannot be read; never for what the package holds.
    """
    chunks = _blocks(Path(source)) if isinstance(source, str | os.PathLike) else source
    return report_on(read_package(chunks, limits), profile)


def report_on(result: ReadResult, profile: Profile | None = None) -> CheckReport:
    """The report on a package that was read already."""
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
        findings=tuple(_profiled(result, profile or {})),
    )


def _profiled(result: ReadResult, profile: Profile) -> Iterator[Finding]:
    """The findings with a profile's severities, where there is a package to let through at all."""
    for finding in result.findings:
        wish = profile.get(finding.rule, "")
        if not wish or result.package is None:
            yield finding
        elif wish != "off":
            yield replace(finding, severity=Severity(wish))


def render(report: CheckReport, lang: str = "vi") -> list[str]:
    """The report as lines for people, in Vietnamese ("vi") or English."""
    say = _WORDS["vi" if lang == "vi" else "en"]
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
    for finding in report.findings:
        mark = say["refuse"] if finding.refuses else say["warn"]
        lines.append(f"[{mark}] {finding.rule}: {finding.sentence.in_language(lang)}")
    lines.append(say["refused"] if report.refused else say["accepted"])
    return lines


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
        "refused": "Verdict: the package would be refused.",
        "accepted": "Verdict: the package would be accepted.",
    },
}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
