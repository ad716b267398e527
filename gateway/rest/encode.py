"""Records as JSON of the REST API; the shapes are those of `openapi.yaml`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from routing.deadlines import Deadline
from routing.ids import is_id
from routing.lanes import Lane
from routing.ports import InboxCursor, InboxItem
from routing.records import Attempt, Delivery, DocumentRecord, Event, PackageRecord
from routing.states import TransportState

if TYPE_CHECKING:
    from aiohttp import web

    from routing.submission import Accepted


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    # Imported here: the command line uses the shapes below, without a web server.
    from aiohttp import web

    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def time_of(value: datetime | None) -> str | None:
    """ISO 8601 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None


def delivery(row: Delivery) -> dict[str, Any]:
    """One recipient's copy."""
    waits = row.state in (TransportState.QUEUED, TransportState.UNKNOWN) and row.attempts > 0
    return {
        "id": row.id,
        "packageId": row.package_id,
        "recipient": row.recipient,
        "recipientOrganId": row.recipient_organ_id,
        "recipientName": row.recipient_name,
        "state": row.state.value,
        "businessState": row.business_state.value if row.business_state else None,
        "changeState": row.change_state,
        "lane": row.lane.value,
        "attempts": row.attempts,
        "offeredAt": time_of(row.offered_at),
        "fetchedAt": time_of(row.fetched_at),
        "deliveredAt": time_of(row.delivered_at),
        "legalReceivedAt": time_of(row.legal_received_at),
        "updatedAt": time_of(row.updated_at),
        "nextAttemptAt": time_of(row.ring_at) if waits else None,
        "reason": row.reason.as_dict() if row.reason else None,
        "recipientNote": recipient_note(row),
    }


def recipient_note(row: Delivery) -> dict[str, Any] | None:
    """What the recipient's software said last of a copy in its list (`routing.pull_notes`)."""
    if row.noted is None:
        return None
    return {"said": row.noted, "why": row.noted_why, "at": time_of(row.noted_at)}


def accepted(result: Accepted) -> dict[str, Any]:
    """The answer to a submission."""
    package = result.package
    return {
        "id": package.id,
        "documentId": package.document_id,
        "kind": package.kind,
        "sha256": package.digest,
        "size": package.size,
        "receivedAt": time_of(package.received_at),
        "correlationId": package.correlation_id,
        "repeated": result.repeated,
        "deliveries": [delivery(row) for row in result.deliveries],
        "findings": [finding.as_dict() for finding in result.findings],
    }


def package(record: PackageRecord, deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """One package with its deliveries."""
    return {
        "id": record.id,
        "kind": record.kind,
        "documentId": record.document_id,
        "meaning": record.meaning,
        "version": record.version,
        "sender": record.sender,
        "senderOrganId": record.sender_organ_id,
        "senderName": record.sender_name,
        "sha256": record.digest,
        "size": record.size,
        "lane": record.lane.value,
        "correlationId": record.correlation_id,
        "receivedAt": time_of(record.received_at),
        "legalSentAt": time_of(record.legal_sent_at),
        "summary": record.summary,
        "findings": [finding.as_dict() for finding in record.findings],
        "deliveries": [delivery(row) for row in deliveries],
    }


def inbox_item(item: InboxItem) -> dict[str, Any]:
    """One line of an inbox. `id` is the delivery's: what is confirmed."""
    record, row = item.package, item.delivery
    summary = record.summary
    number, notation = summary.get("codeNumber"), summary.get("codeNotation")
    code = f"{number}/{notation}" if number and notation else summary.get("code", "")
    return {
        "id": row.id,
        "packageId": record.id,
        "documentId": record.document_id,
        "kind": record.kind,
        "meaning": record.meaning,
        "lane": row.lane.value,
        "sender": record.sender_organ_id,
        "senderName": record.sender_name,
        "recipient": row.recipient_organ_id,
        "subject": summary.get("subject") or summary.get("description", ""),
        "code": code,
        "size": record.size,
        "sha256": record.digest,
        "state": row.state.value,
        "offeredAt": time_of(row.offered_at),
        "fetchedAt": time_of(row.fetched_at),
    }


def document(record: DocumentRecord, deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """One document with the deliveries that the asker may see."""
    return {
        "id": record.pk,
        "documentId": record.document_id,
        "sender": record.sender,
        "subject": record.subject,
        "version": record.version,
        "createdAt": time_of(record.created_at),
        "deliveries": [delivery(row) for row in deliveries],
    }


def event(record: Event) -> dict[str, Any]:
    """One line of the log."""
    return {
        "seq": record.seq,
        "type": record.type,
        "at": time_of(record.at),
        "actor": record.actor,
        "packageId": record.package_id,
        "deliveryId": record.delivery_id,
        "fromState": record.from_state,
        "toState": record.to_state,
        "correlationId": record.correlation_id,
        "data": record.data,
    }


def deadline(record: Deadline) -> dict[str, Any]:
    """One time limit of a delivery."""
    return {
        "kind": record.kind.value,
        "rule": record.kind.rule,
        "state": record.state.value,
        "startsAt": time_of(record.starts_at),
        "dueAt": time_of(record.due_at),
        "closedAt": time_of(record.closed_at),
        "closedBy": record.closed_by or None,
    }


def attempt(record: Attempt) -> dict[str, Any]:
    """One try at a delivery."""
    return {
        "number": record.number,
        "startedAt": time_of(record.started_at),
        "endedAt": time_of(record.ended_at),
        "outcome": record.outcome,
        "detail": record.detail,
    }


def cursor_of(item: InboxItem) -> str:
    """The place right after an inbox item."""
    row = item.delivery
    place = [row.lane.rank, time_of(row.offered_at), row.id]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def parse_cursor(text: str) -> InboxCursor | None:
    """The place that `cursor_of` wrote; None when it is none."""
    try:
        padded = text + "=" * (-len(text) % 4)
        rank, offered_at, delivery_id = json.loads(base64.urlsafe_b64decode(padded))
        parsed = datetime.fromisoformat(offered_at)
        known = {lane.rank for lane in Lane}
        decent = type(rank) is int and rank in known and is_id(delivery_id)
        if not decent or not parsed.tzinfo:
            return None
        return InboxCursor(rank, parsed.astimezone(UTC), delivery_id)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
