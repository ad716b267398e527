"""What listings, searches and conflict reports show of a package, taken from its model."""

from __future__ import annotations

from datetime import date
from typing import Any

from envelopes.model import Document, StatusReport
from identifiers.texts import fold


def summarise(package: Document | StatusReport) -> dict[str, Any]:
    """JSON-ready particulars; the keys are part of the REST API."""
    return _of_document(package) if isinstance(package, Document) else _of_report(package)


def _of_document(document: Document) -> dict[str, Any]:
    return {
        "subject": document.subject,
        "codeNumber": document.code.number,
        "codeNotation": document.code.notation,
        "typeName": document.document_type.type_name,
        "priority": document.priority,
        "promulgationDate": _iso(document.promulgation_date),
        "dueDate": _iso(document.due_date),
        "recipients": [party.organ_id for party in document.recipients],
        "reason": document.business.reason,
        "attachments": [
            {
                "name": attachment.name,
                "contentType": attachment.content_type,
                "size": attachment.size,
                "sha256": attachment.sha256,
            }
            for attachment in document.attachments
        ],
    }


def _of_report(report: StatusReport) -> dict[str, Any]:
    return {
        "statusCode": report.status_code,
        "description": report.description,
        "reportedAt": report.timestamp.isoformat() if report.timestamp else None,
        "code": report.response_for.code,
        "promulgationDate": _iso(report.response_for.promulgation_date),
        "responseFor": report.response_for.organ_id,
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def search_text(document: Document) -> str:
    """The text that a search without accents looks through."""
    code = f"{document.code.number}/{document.code.notation}"
    return fold(
        " ".join((document.subject, code, document.document_id, document.sender.organ_name))
    )


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Field by field, where two packages of one DocumentId differ."""
    return [
        {"field": name, "first": first.get(name), "second": second.get(name)}
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]
