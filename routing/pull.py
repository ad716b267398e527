"""Delivery by pull: the recipient's system lists its inbox, fetches, and confirms.

*Delivered* means: the receiving system has the whole package and said so. So the order is list,
fetch, confirm; what is not confirmed stays in the list, however often it was fetched; and
confirming one delivery touches that one alone (lessons 9). A fetch is written down before the first
byte goes out, because from then on the gateway can no longer claim that the recipient never saw the
package.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from envelopes.findings import Sentence
from routing.on_time import OnTime, delivered
from routing.ports import Database, InboxCursor, InboxItem, Transaction
from routing.records import NOTHING_NOTED, Change, Delivery, Event, PackageRecord, change
from routing.route_table import Connection
from routing.states import NOW, Happening, Impossible, TransportState


@dataclass(frozen=True, slots=True)
class NotYours:
    """There is no such delivery for this connection."""

    id: str


@dataclass(frozen=True, slots=True)
class NotPossible:
    """The delivery is in a state in which this cannot be done."""

    delivery: Delivery
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Fetched:
    """What may be handed out: the package and the deliveries that it was fetched for."""

    package: PackageRecord
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The recipient has the package. `repeated` when it had said so before."""

    delivery: Delivery
    repeated: bool


#: States in which the bytes may be read by the recipient.
READABLE = (TransportState.OFFERED, TransportState.DELIVERING, TransportState.DELIVERED)


async def list_inbox(
    database: Database, connection_id: str, after: InboxCursor | None, limit: int
) -> list[InboxItem]:
    """What waits for this connection, urgent first, then in the order of the offers."""

    async def read(tx: Transaction) -> list[InboxItem]:
        return await tx.inbox(connection_id, after, limit)

    return await database.read(read)


async def fetch(
    database: Database, some_id: str, connection: Connection, now: datetime
) -> Fetched | NotYours | NotPossible:
    """Write down that the connection reads a package; `some_id` is a delivery's or a package's."""

    async def write(tx: Transaction) -> Fetched | NotYours | NotPossible:
        rows = await own_deliveries(tx, some_id, connection.id)
        if not rows:
            return NotYours(some_id)
        readable = [row for row in rows if row.state in READABLE]
        if not readable:
            return NotPossible(rows[0], _not_readable(rows[0]))
        package = await tx.get_package(readable[0].package_id)
        if package is None:
            raise AssertionError(f"delivery {readable[0].id} without its package")
        fetched = [_read(row, connection, now) for row in readable]
        await tx.apply([step for step in fetched if isinstance(step, Change)])
        again = [step for step in fetched if isinstance(step, Event)]
        if again:
            await tx.append(again)
        after = tuple(
            step.after if isinstance(step, Change) else row
            for row, step in zip(readable, fetched, strict=True)
        )
        return Fetched(package, after)

    return await database.write(write)


def _read(row: Delivery, connection: Connection, now: datetime) -> Change | Event:
    """The first fetch changes the state; later ones end what was noted before, and are logged."""
    actor = f"connection:{connection.name}"
    if row.state is TransportState.OFFERED:
        step = change(row, Happening.FETCHED, actor=actor, now=now, fetched_at=now)
        if isinstance(step, Change):
            return step
    event = Event(
        type="delivery.fetched-again",
        at=now,
        actor=actor,
        document_pk=row.document_pk,
        package_id=row.package_id,
        delivery_id=row.id,
        correlation_id=row.correlation_id,
    )
    if row.noted is None:
        return event
    return Change(row, replace(row, **NOTHING_NOTED, updated_at=now), event)


async def confirm(
    database: Database,
    some_id: str,
    connection: Connection,
    now: datetime,
    on_time: OnTime | None = None,
) -> Confirmed | NotYours | NotPossible:
    """The recipient says that it has the package. Saying so again is harmless."""

    async def write(tx: Transaction) -> Confirmed | NotYours | NotPossible:
        rows = await own_deliveries(tx, some_id, connection.id)
        if len(rows) != 1:
            return NotPossible(rows[0], _several(rows)) if rows else NotYours(some_id)
        row = rows[0]
        if row.state is TransportState.DELIVERED:
            return Confirmed(row, repeated=True)
        if row.fetched_at is None:
            return NotPossible(row, _not_fetched(row))
        actor = f"connection:{connection.name}"
        step = delivered(row, actor=actor, now=now, on_time=on_time)
        if isinstance(step, Impossible):
            return NotPossible(row, step.sentence)
        await tx.apply([step])
        if on_time is not None:
            await on_time.received(tx, step.after, step.event.actor, now)
        return Confirmed(step.after, repeated=False)

    return await database.write(write)


async def own_deliveries(
    tx: Transaction, some_id: str, connection_id: str, *, lock: bool = True
) -> list[Delivery]:
    """This connection's deliveries behind a delivery's or a package's id.

    Locked, unless the transaction only reads (where PostgreSQL refuses to lock).
    """
    rows = await tx.deliveries_behind(some_id, connection_id, lock=lock)
    hidden = (TransportState.ACCEPTED, TransportState.QUEUED)
    return [row for row in rows if row.state not in hidden]


def _not_readable(row: Delivery) -> Sentence:
    return Sentence(
        vi=f"Gói tin không có để lấy: {NOW[row.state].vi}.",
        en=f"The package is not there to be fetched: {NOW[row.state].en}.",
    )


def _not_fetched(row: Delivery) -> Sentence:
    return Sentence(
        vi=f"Hãy lấy gói tin trước khi xác nhận ({NOW[row.state].vi}).",
        en=f"Fetch the package before confirming it ({NOW[row.state].en}).",
    )


def _several(rows: list[Delivery]) -> Sentence:
    ids = ", ".join(row.id for row in rows)
    return Sentence(
        vi=f"Gói tin này có nhiều lượt gửi cho kết nối của bạn; hãy xác nhận từng lượt: {ids}.",
        en=f"Your connection has several deliveries of this package; confirm each: {ids}.",
    )
