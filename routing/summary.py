"""What listings, searches and conflict reports show of a package, taken from its model."""

from __future__ import annotations

from datetime import date
from typing import Any

from envelopes.model import Document, StatusReport
from envelopes.signature_facts import SignatureFacts, SignatureVerdict
from identifiers.texts import fold

#: Files, and signatures of one file, that are told of: a package may hold any number.
_MOST_FILES, _MOST_SIGNATURES = 200, 20


def summarise(
    package: Document | StatusReport, signatures: SignatureFacts | None = None
) -> dict[str, Any]:
    """JSON-ready particulars; the keys are part of the REST API.

    With `signatures`, also who signed, when and what is to be thought of it.
    """
    told = _of_document(package) if isinstance(package, Document) else _of_report(package)
    return told if signatures is None else {**told, "signatures": _signed(signatures)}


def _signed(facts: SignatureFacts) -> dict[str, Any]:
    """What a clerk needs of the signatures: who, when, and is it good."""
    looked_at = [one for one in facts.files if one.is_pdf or one.reasons or one.signatures]
    return {
        "checkedAt": facts.checked_at.isoformat() if facts.checked_at else None,
        "package": _signature(facts.xml),
        "files": [
            {
                "name": file.name,
                "outcome": file.outcome.value,
                "reasons": [reason.value for reason in file.reasons],
                "signatures": [_signature(one) for one in file.signatures[:_MOST_SIGNATURES]],
            }
            for file in looked_at[:_MOST_FILES]
        ],
    }


def _signature(one: SignatureVerdict) -> dict[str, Any]:
    told: dict[str, Any] = {
        "outcome": one.outcome.value,
        "reasons": [reason.value for reason in one.reasons],
    }
    if one.signer is None:
        return told
    signer = one.signer
    return told | {
        "kind": one.kind.value,
        "signer": signer.common_name or signer.subject,
        "organization": signer.organization,
        "serial": signer.serial,
        "sha256": signer.sha256,
        # By a trusted time stamp, or the moment at which the package came.
        "signedAt": one.signed_at.isoformat() if one.signed_at else None,
        "timeSource": one.time_source.value,
        "claimedAt": one.claimed_at.isoformat() if one.claimed_at else None,
    }


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
        for name in sorted((first.keys() | second.keys()) - {"signatures"})
        if first.get(name) != second.get(name)
    ]
