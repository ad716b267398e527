"""What every reading checks beyond the schema: files complete, statuses sound, register fields.

Small pure functions over the model and the canonical tree (for lines). Rules that depend on a
province's profile are not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from envelopes import element_names as names
from envelopes.findings import Finding, Sentence, Severity
from envelopes.model import Document, StatusReport
from envelopes.node import Node
from envelopes.rule_catalogue import make
from identifiers.document_id import DocumentId, MalformedDocumentId
from identifiers.organ_id import OrganId
from schemas.catalogue import status_codes

_DOCUMENT_ID_ALLOWED = "OrganId,yyyy/MM/dd,số/ký hiệu (000.00.00.G22,2015/09/30,7816/VPCP-TTĐT)"
#: Characters that make a name say something else than it shows, or mean a folder (2.5).
_DANGEROUS_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069/\\]|^\.\.?$")
_UNSAFE_NAME = re.compile(r'[:*?"<>|\u200b-\u200f]|^\s|[\s.]$|^[A-Za-z]:')
_NAME_ALLOWED = "A–Z a–z 0–9 . _ -"
_MAX_NAME_BYTES = 255


def check_status(report: StatusReport, root: Node) -> Iterator[Finding]:
    """Rules on a status report."""
    header = _header(root)
    yield from check_status_code(report, root)
    yield from _check_id_form(
        report.response_for.document_id,
        f"{names.MESSAGE_HEADER}/{names.RESPONSE_FOR}/{names.DOCUMENT_ID}",
        _line(header, names.RESPONSE_FOR, names.DOCUMENT_ID),
        expect_parts=False,
    )


def check_status_code(report: StatusReport, root: Node) -> Iterator[Finding]:
    """STATUS-CODE and STATUS-REASON: a known code, with its reason where Decision 28 wants one."""
    header = _header(root)
    if not report.status_code:
        return  # the schema has said so
    codes = status_codes()
    entry = codes.get(report.status_code)
    if entry is None:
        yield make(
            "STATUS-CODE",
            element=f"{names.MESSAGE_HEADER}/{names.STATUS_CODE}",
            line=_line(header, names.STATUS_CODE),
            found=report.status_code,
            allowed=", ".join(codes),
        )
    elif entry.needs_reason and not report.description:
        yield make(
            "STATUS-REASON",
            element=f"{names.MESSAGE_HEADER}/{names.DESCRIPTION}",
            line=_line(header, names.STATUS_CODE),
            found=entry.code,
            said=Sentence(f"{entry.code} ({entry.vi})", f"{entry.code} ({entry.en})"),
            allowed=Sentence("lý do", "a reason"),
        )


def check_document(
    document: Document, root: Node, *, files_only: bool = False
) -> Iterator[Finding]:
    """Rules on a document package that hold everywhere.

    `files_only`: only those on files, for a package whose header the schema refused.
    """
    for check in _FILE_CHECKS if files_only else (*_HEADER_CHECKS, *_FILE_CHECKS):
        yield from check(document, root)


def _line(node: Node, *path: str) -> int | None:
    found = node.first(*path)
    return (found or node).line or None


def _header(root: Node) -> Node:
    return root.first(names.ENVELOPE, names.HEADER, names.MESSAGE_HEADER) or root


def _check_id_form(
    text: str, element: str, line: int | None, *, expect_parts: bool
) -> Iterator[Finding]:
    """ID-DOCUMENT: what no index could hold is refused; another form than the standard's warns."""
    parsed = DocumentId.parse(text)
    if isinstance(parsed, MalformedDocumentId):
        yield make(
            "ID-DOCUMENT",
            "malformed",
            element=element,
            line=line,
            found=text,
            allowed=_DOCUMENT_ID_ALLOWED,
            severity=Severity.REFUSE,
            reason_vi=parsed.reason.vi,
            reason_en=parsed.reason.en,
        )
    elif expect_parts and parsed.parts is None and parsed.text.count(",") > 0:
        yield make(
            "ID-DOCUMENT",
            "form",
            element=element,
            line=line,
            found=text,
            allowed=_DOCUMENT_ID_ALLOWED,
        )


def check_document_id(document: Document, root: Node) -> Iterator[Finding]:
    """ID-DOCUMENT: a DocumentId of three parts agrees with sender, date and code."""
    element = f"{names.MESSAGE_HEADER}/{names.DOCUMENT_ID}"
    line = _line(_header(root), names.DOCUMENT_ID)
    yield from _check_id_form(document.document_id, element, line, expect_parts=True)
    parsed = DocumentId.parse(document.document_id)
    parts = parsed.parts if isinstance(parsed, DocumentId) else None
    if parts is None:
        return
    sender = OrganId.parse(document.sender.organ_id)
    told = (
        (isinstance(sender, OrganId) and parts.organ_id != sender, names.FROM, str(sender)),
        (
            document.promulgation_date not in (None, parts.promulgation_date),
            names.PROMULGATION_DATE,
            f"{document.promulgation_date:%Y/%m/%d}" if document.promulgation_date else "",
        ),
        (
            bool(document.code.number) and document.code.number != parts.code.number,
            names.CODE_NUMBER,
            document.code.number,
        ),
        (
            bool(document.code.notation) and document.code.notation != parts.code.notation,
            names.CODE_NOTATION,
            document.code.notation,
        ),
    )
    for differs, part, value in told:
        if differs:
            yield make(
                "ID-DOCUMENT",
                element=element,
                line=line,
                found=document.document_id,
                allowed=value,
                part=part,
            )


def check_register_fields(document: Document, root: Node) -> Iterator[Finding]:
    """HEAD-REQUIRED: what the register books need beyond what the schema demands."""
    header = _header(root)
    missing = (
        (document.code.number, names.CODE, names.CODE_NUMBER, Sentence("số", "number")),
        (document.code.notation, names.CODE, names.CODE_NOTATION, Sentence("ký hiệu", "notation")),
        (document.subject, names.SUBJECT, "", Sentence("trích yếu", "subject")),
        (
            document.document_type.type_name or document.document_type.type,
            names.DOCUMENT_TYPE,
            names.TYPE_NAME,
            Sentence("loại văn bản", "document type"),
        ),
        (
            document.sender.organ_name,
            names.FROM,
            names.ORGAN_NAME,
            Sentence("cơ quan ban hành", "issuer"),
        ),
        (
            document.signer.full_name if document.signer else "",
            names.SIGNER_INFO,
            names.FULL_NAME,
            Sentence("người ký", "signer"),
        ),
    )
    for value, group, child, what in missing:
        if not value:
            element = "/".join(part for part in (names.MESSAGE_HEADER, group, child) if part)
            yield make("HEAD-REQUIRED", element=element, line=_line(header, group), allowed=what)


def check_reply(document: Document, root: Node) -> Iterator[Finding]:
    """HEAD-REPLY: a reply says what it answers; a due date does not lie before the issue."""
    header = _header(root)
    element = f"{names.MESSAGE_HEADER}/{names.RESPONSE_FOR}"
    allowed = Sentence("DocumentId hoặc Code", "DocumentId or Code")
    replies = document.other_info.reply_fors if document.other_info else ()
    if replies and not document.response_for:
        yield make(
            "HEAD-REPLY", element=element, line=_line(header, names.OTHER_INFO), allowed=allowed
        )
    for number, answered in enumerate(document.response_for, 1):
        if not answered.document_id and not answered.code:
            line = _line(header, names.RESPONSE_FOR)
            yield make("HEAD-REPLY", element=f"{element}[{number}]", line=line, allowed=allowed)
    due, issued = document.due_date, document.promulgation_date
    if due is not None and issued is not None and due < issued:
        yield make(
            "HEAD-REPLY",
            "due",
            element=f"{names.MESSAGE_HEADER}/{names.DUE_DATE}",
            line=_line(header, names.DUE_DATE),
            found=f"{due:%Y/%m/%d}",
            allowed=Sentence(f"từ ngày {issued:%d/%m/%Y}", f"{issued:%Y-%m-%d} or later"),
            said=Sentence(f"{due:%d/%m/%Y}", f"{due:%Y-%m-%d}"),
        )


def check_files_complete(document: Document, root: Node) -> Iterator[Finding]:
    """FILE-COMPLETE: manifest and attachments name the same files, each once."""
    references, attachments = document.references, document.attachments
    carried = {file.content_id for file in attachments}
    listed = {reference.content_id for reference in references}
    seen: set[str] = set()
    manifest = root.first(names.ENVELOPE, names.BODY, names.MANIFEST)
    for number, reference in enumerate(references):
        line = manifest.children[number].line if manifest else None
        shown = reference.attachment_name or reference.content_id
        if reference.content_id not in carried:
            yield make(
                "FILE-COMPLETE",
                element=shown,
                line=line or None,
                found=reference.content_id,
                allowed=f"<{names.ATTACHMENT}> ContentId={reference.content_id}",
            )
        if reference.content_id in seen:
            yield _twice(reference.content_id, names.REFERENCE, line)
        seen.add(reference.content_id)
    encoded = root.first(names.ATTACHMENT_ENCODED)
    nodes = encoded.children if encoded else []
    seen.clear()
    for number, file in enumerate(attachments):
        line = nodes[number].line if number < len(nodes) else None
        if file.content_id and file.content_id not in listed:
            yield make(
                "FILE-COMPLETE",
                "unlisted",
                element=file.name or file.content_id,
                line=line,
                found=file.content_id,
                allowed=f"<{names.REFERENCE}> ContentId={file.content_id}",
                severity=Severity.WARN,
            )
        if file.content_id in seen:
            yield _twice(file.content_id, names.ATTACHMENT, line)
        seen.add(file.content_id)


def _twice(content_id: str, element: str, line: int | None) -> Finding:
    return make(
        "FILE-COMPLETE",
        "twice",
        element=element,
        line=line or None,
        found=content_id,
        allowed=Sentence("mỗi ContentId một lần", "each ContentId once"),
    )


def check_file_names(document: Document, root: Node) -> Iterator[Finding]:
    """ATT-NAME: refused where a name could deceive or reach another folder, else a warning."""
    encoded = root.first(names.ATTACHMENT_ENCODED)
    nodes = encoded.children if encoded else []
    for number, file in enumerate(document.attachments):
        shown: str | Sentence
        line = nodes[number].line if number < len(nodes) else None
        dangerous, unsafe = _DANGEROUS_NAME.search(file.name), _UNSAFE_NAME.search(file.name)
        found = dangerous or unsafe
        if found is not None:
            shown = " ".join(f"U+{ord(char):04X}" for char in found[0])
        elif not file.name:
            shown = Sentence("để trống", "empty")
        elif len(file.name.encode("utf-8")) > _MAX_NAME_BYTES:
            shown = f"{len(file.name.encode('utf-8'))} byte > {_MAX_NAME_BYTES}"
        else:
            continue
        yield make(
            "ATT-NAME",
            element=file.name or file.content_id,
            line=line or None,
            found=shown,
            allowed=_NAME_ALLOWED,
            severity=Severity.REFUSE if dangerous else Severity.WARN,
        )


def check_business(document: Document, root: Node) -> Iterator[Finding]:
    """HEAD-REQUIRED: without Bussiness a document is taken as new, and the clerk is told."""
    if root.first(names.ENVELOPE, names.HEADER, names.TRACE_HEADER_LIST, names.BUSINESS) is None:
        yield make(
            "HEAD-REQUIRED",
            element=f"{names.TRACE_HEADER_LIST}/{names.BUSINESS}",
            line=_line(_header(root)),
            allowed=Sentence(
                "loại gói tin; đã hiểu là văn bản mới", "kind of package; read as new"
            ),
        )


_Check = Callable[[Document, Node], Iterator[Finding]]
_HEADER_CHECKS: tuple[_Check, ...] = (
    check_document_id,
    check_register_fields,
    check_reply,
    check_business,
)
_FILE_CHECKS: tuple[_Check, ...] = (check_files_complete, check_file_names)
