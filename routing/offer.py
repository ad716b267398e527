"""Putting packages into the inboxes of pull connections, whole batches in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from routing.ports import Database, Doorbell, Transaction
from routing.records import Change, Delivery, change
from routing.states import WAITING, Happening


async def offer(database: Database, doorbells: Sequence[Doorbell], now: datetime) -> list[Delivery]:
    """Put the deliveries behind these doorbells into their recipients' inboxes.

    A doorbell of a route that was changed meanwhile rings for nothing: only what still goes to the
    doorbell's connection is offered.
    """
    rung = {(bell.delivery_id, bell.connection_id) for bell in doorbells}
    ids = sorted({delivery_id for delivery_id, _ in rung})

    async def write(tx: Transaction) -> list[Delivery]:
        rows = await tx.get_deliveries(ids, lock=True)
        waiting = sorted(
            (row for row in rows if row.state in WAITING and (row.id, row.connection_id) in rung),
            key=lambda row: (row.lane.rank, row.fair_key, row.version, row.id),
        )
        earlier = await _earlier_versions(tx, waiting)
        steps = [
            change(
                row,
                Happening.OFFERED,
                actor="gateway:worker",
                now=now,
                offered_at=now,
                ring_at=None,
            )
            for row in (*earlier, *waiting)
        ]
        changes = [step for step in steps if isinstance(step, Change)]
        await tx.apply(changes)
        return [step.after for step in changes]

    return await database.write(write)


async def _earlier_versions(tx: Transaction, waiting: list[Delivery]) -> list[Delivery]:
    """Versions that were overtaken on the way: a recipient sees versions in order.

    Offering is free, so an earlier version that still waits is simply offered first.
    """
    known = {row.id for row in waiting}
    earlier: dict[str, Delivery] = {}
    for row in waiting:
        if row.version > 1 and row.document_pk is not None:
            for other in await tx.deliveries_of_document(row.document_pk, row.recipient, lock=True):
                before = other.version < row.version and other.state in WAITING
                here = other.connection_id == row.connection_id
                if before and here and other.id not in known:
                    earlier[other.id] = other
    return sorted(earlier.values(), key=lambda row: row.version)
