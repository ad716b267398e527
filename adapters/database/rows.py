"""Rows to records and back. The only place that knows both spellings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from envelopes.findings import Finding
from envelopes.model import StatusCode
from routing.lanes import Lane
from routing.records import (
    Attempt,
    Change,
    Delivery,
    DocumentRecord,
    Event,
    PackageRecord,
    Reason,
)
from routing.states import TransportState

#: A row by column names: SQLAlchemy's RowMapping, or a plain dict.
Row = Any

_DELIVERY_PLAIN = tuple(
    name
    for name in (field.name for field in fields(Delivery))
    if name not in ("lane", "state", "business_state", "reason")
)
_PACKAGE_PLAIN = tuple(
    name
    for name in (field.name for field in fields(PackageRecord))
    if name not in ("lane", "findings")
)
_EVENT = tuple(field.name for field in fields(Event))
_ATTEMPT = tuple(field.name for field in fields(Attempt))

#: What a change of a delivery may set; the rest never changes after the insert.
MUTABLE = (
    "recipient",
    "connection_id",
    "state",
    "business_state",
    "change_state",
    "attempts",
    "ring_at",
    "ring_failures",
    "lease_owner",
    "lease_until",
    "offered_at",
    "fetched_at",
    "delivered_at",
    "legal_received_at",
    "reason",
    "noted",
    "noted_why",
    "noted_at",
    "updated_at",
)


def delivery_of(row: Row) -> Delivery:
    """A delivery from its row."""
    return Delivery(
        **{name: row[name] for name in _DELIVERY_PLAIN},
        lane=Lane(row["lane"]),
        state=TransportState(row["state"]),
        business_state=StatusCode(row["business_state"]) if row["business_state"] else None,
        reason=Reason.from_dict(row["reason"]) if row["reason"] else None,
    )


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """A delivery as a row to insert."""
    return {
        **{name: getattr(delivery, name) for name in _DELIVERY_PLAIN},
        "lane": delivery.lane.value,
        "lane_rank": delivery.lane.rank,
        "state": delivery.state.value,
        "business_state": delivery.business_state.value if delivery.business_state else None,
        "reason": delivery.reason.as_dict() if delivery.reason else None,
    }


def change_row(change: Change) -> dict[str, Any]:
    """The parameters of the update that stores a change.

    When a change sets another time to ring, or none, the relay's claim on the old one is void.
    """
    after = delivery_row(change.after)
    row = {f"new_{name}": after[name] for name in MUTABLE}
    kept = change.after.ring_at is not None and change.after.ring_at == change.before.ring_at
    return {"row_id": change.after.id, "kept": kept, **row}


def package_of(row: Row, prefix: str = "") -> PackageRecord:
    """A package from its row, or from a wider one in which its columns have this prefix."""
    return PackageRecord(
        **{name: row[prefix + name] for name in _PACKAGE_PLAIN},
        lane=Lane(row[f"{prefix}lane"]),
        findings=tuple(Finding.from_dict(data) for data in row[f"{prefix}findings"]),
    )


def package_row(package: PackageRecord) -> dict[str, Any]:
    """A package as a row to insert."""
    return {
        **{name: getattr(package, name) for name in _PACKAGE_PLAIN},
        "lane": package.lane.value,
        "findings": [finding.as_dict() for finding in package.findings],
    }


def document_of(row: Row) -> DocumentRecord:
    """A document from its row."""
    return DocumentRecord(
        pk=row["pk"],
        sender=row["sender"],
        document_id=row["document_id"],
        version=row["version"],
        subject=row["subject"],
        created_at=row["created_at"],
    )


def event_of(row: Row) -> Event:
    """An event from its row."""
    return Event(**{name: row[name] for name in _EVENT})


def event_row(event: Event) -> dict[str, Any]:
    """An event as a row to insert; the database gives the number."""
    return {name: getattr(event, name) for name in _EVENT if name != "seq"}


def attempt_of(row: Row) -> Attempt:
    """An attempt from its row."""
    return Attempt(**{name: row[name] for name in _ATTEMPT})


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """An attempt as a row. A partner's words may hold anything; PostgreSQL takes no NUL."""
    row = {name: getattr(attempt, name) for name in _ATTEMPT}
    return {**row, "detail": storable(attempt.detail)}


def storable(foreign: str) -> str:
    """Text of a stranger as every database takes it: no NUL, no half of a surrogate pair."""
    return foreign.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
