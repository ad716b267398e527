"""What a pulling partner says of a package between fetching and confirming it.

Neither changes a state: what is not confirmed stays in the list. That it was said is kept with the
copy until it is fetched again or confirmed, because a package that is fetched again and again and
never stored is for somebody to look after, and its sender must not take it for one under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from envelopes.findings import Sentence
from routing.ports import Database, Transaction
from routing.pull import NotPossible, NotYours, own_deliveries
from routing.records import Change, Delivery, Event
from routing.route_table import Connection
from routing.states import NOW, TransportState


class Said(StrEnum):
    """What the partner says; also the last part of the event's type."""

    #: It has begun to take the package in.
    TAKEN_UP = "taken-up"
    #: It could not take the package in: it is offered again.
    NOT_STORED = "not-stored"


@dataclass(frozen=True, slots=True)
class Noted:
    """It was written down, where there was anything to write."""

    delivery: Delivery


#: States in which the package waits in the partner's list.
WAITING = (TransportState.OFFERED, TransportState.DELIVERING)


async def note(
    database: Database,
    some_id: str,
    connection: Connection,
    said: Said,
    why: str,
    now: datetime,
) -> Noted | NotYours | NotPossible:
    """Write down what the partner said; `why` is its own reason.

    A package that was confirmed is not offered again: that would hand the recipient a second copy.
    It can still be fetched under its id.
    """

    async def write(tx: Transaction) -> Noted | NotYours | NotPossible:
        rows = await own_deliveries(tx, some_id, connection.id)
        if not rows:
            return NotYours(some_id)
        waiting = [row for row in rows if row.state in WAITING]
        if len(waiting) != 1:
            confirmed = rows[0].state is TransportState.DELIVERED
            if said is Said.TAKEN_UP and confirmed:
                return Noted(rows[0])
            return NotPossible(rows[0], _not_waiting(rows[0]))
        row = waiting[0]
        event = Event(
            type=f"delivery.{said}",
            at=now,
            actor=f"connection:{connection.name}",
            document_pk=row.document_pk,
            package_id=row.package_id,
            delivery_id=row.id,
            correlation_id=row.correlation_id,
            data={"why": why} if why else {},
        )
        after = replace(row, noted=said.value, noted_why=why or None, noted_at=now, updated_at=now)
        await tx.apply([Change(row, after, event)])
        return Noted(after)

    return await database.write(write)


def _not_waiting(row: Delivery) -> Sentence:
    return Sentence(
        vi=f"Gói tin không nằm trong danh sách chờ ({NOW[row.state].vi}); nếu đã xác nhận mà cần "
        "lại, hãy lấy lại theo mã của nó.",
        en=f"The package does not wait in the list ({NOW[row.state].en}); one that was confirmed "
        "can still be fetched under its id.",
    )
