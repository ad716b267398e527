"""Changes of a delivery's doorbell that leave its state as it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from routing.records import Change, Delivery, Event


def put_off(row: Delivery, at: datetime, now: datetime, why: str) -> Change:
    """Ring for this delivery (again) from `at` on; its state stays, the log says why."""
    after = replace(row, ring_at=at, updated_at=now)
    data = {"why": why, "ringAt": at.isoformat()}
    return _noted(row, after, "delivery.ring-again", "gateway", data)


def rung(row: Delivery, now: datetime) -> Change:
    """The broker has the doorbell of this waiting delivery since `now`; its state stays."""
    return _noted(row, replace(row, updated_at=now), "delivery.rung", "gateway:relay", {})


def _noted(row: Delivery, after: Delivery, kind: str, actor: str, data: dict[str, str]) -> Change:
    """A change of particulars that leaves the state as it is."""
    event = Event(
        type=kind,
        at=after.updated_at,
        actor=actor,
        document_pk=row.document_pk,
        package_id=row.package_id,
        delivery_id=row.id,
        from_state=row.state.value,
        to_state=row.state.value,
        correlation_id=row.correlation_id,
        data=data,
    )
    return Change(row, after, event)
