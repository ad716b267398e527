"""Outbox to broker: claim, publish, settle (architecture decision 1; reliability 1.2).

The order matters: a doorbell's outbox part is cleared only after the broker confirmed it. Whatever
is not confirmed is published again, with the same id; whatever comes twice is absorbed by the
state of the delivery row. Claims are leases, so two relays never publish the same row at once, and
a relay that died loses its claims by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from routing.ports import Broker, Database, Doorbell, PublishOutcome, Transaction
from routing.records import Change, Delivery, change
from routing.retry_policy import relay_again_at
from routing.ring_again import rung
from routing.states import Happening, TransportState

#: How long a claim lasts; far above the publish timeout.
CLAIM = timedelta(seconds=60)
#: Seconds to wait for confirms.
PUBLISH_TIMEOUT = 10.0
BATCH = 200
#: Doorbells of one connection and lane in the broker at once; the rest waits its fair turn.
WINDOW = 500


@dataclass(frozen=True, slots=True)
class RelayReport:
    """What one round did."""

    claimed: int
    confirmed: int
    unconfirmed: int

    @property
    def more(self) -> bool:
        """Whether another round should follow at once."""
        return self.claimed > 0 and self.unconfirmed == 0


async def relay_once(
    database: Database,
    broker: Broker,
    *,
    owner: str,
    now: datetime,
    spread: float,
    batch: int = BATCH,
    window: int = WINDOW,
    claim_for: timedelta = CLAIM,
) -> RelayReport:
    """Publish one batch of due doorbells and note what the broker confirmed."""

    async def claim(tx: Transaction) -> list[Delivery]:
        return await tx.claim_rings(owner, now, now + claim_for, batch, window)

    claimed = await database.write(claim)
    if not claimed:
        return RelayReport(0, 0, 0)
    outcomes = await broker.publish([_doorbell(row) for row in claimed], PUBLISH_TIMEOUT)
    confirmed = [
        row
        for row, outcome in zip(claimed, outcomes, strict=True)
        if outcome is PublishOutcome.CONFIRMED
    ]
    failed = sorted({row.id for row in claimed} - {row.id for row in confirmed})
    failures = max(row.ring_failures for row in claimed) + 1
    retry_at = relay_again_at(failures, now, spread)

    async def settle(tx: Transaction) -> None:
        # Nearly always nothing has happened since the claim: one statement for all.
        queued = set(await tx.queue_rings(owner, _first_rung(confirmed, now)))
        others = [row.id for row in confirmed if row.id not in queued]
        rows = await tx.settle_rings(owner, others, failed, retry_at)
        await tx.apply(_queued(rows, now))

    await database.write(settle)
    return RelayReport(len(claimed), len(confirmed), len(failed))


def _doorbell(row: Delivery) -> Doorbell:
    if row.connection_id is None:
        raise AssertionError(f"delivery {row.id} without a connection was put in the outbox")
    return Doorbell(row.id, row.connection_id, row.lane, row.correlation_id)


def _first_rung(rows: list[Delivery], now: datetime) -> list[Change]:
    """The deliveries that were only accepted are queued now."""
    steps = [
        change(
            row,
            Happening.RELAYED,
            actor="gateway:relay",
            now=now,
            ring_at=None,
            ring_failures=0,
        )
        for row in rows
        if row.state is TransportState.ACCEPTED
    ]
    return [step for step in steps if isinstance(step, Change)]


def _queued(rows: list[Delivery], now: datetime) -> list[Change]:
    """The rest: what waits for a further attempt is in the broker since now, too, which counts
    when a doorbell is looked for that got lost. A worker may have been faster.
    """
    again = (TransportState.QUEUED, TransportState.UNKNOWN)
    waiting = [rung(row, now) for row in rows if row.state in again]
    return [*_first_rung(rows, now), *waiting]
