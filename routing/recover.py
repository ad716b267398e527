"""Putting right what crashes and lost brokers leave behind. Runs at start and every few seconds.

Nothing here guesses: a doorbell that may be lost is rung again (twice is harmless), an attempt
whose worker disappeared has an unknown outcome and is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from routing.deliver import put_off
from routing.ports import Database, Transaction
from routing.records import Change, change
from routing.states import Happening

BATCH = 500
#: After this long in the broker's hands a doorbell counts as lost.
LOST_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one round put right."""

    rung_again: int
    interrupted: int


async def recover_once(
    database: Database, now: datetime, lost_after: timedelta = LOST_AFTER
) -> Recovered:
    """Ring again for deliveries that wait in vain; free attempts whose lease has run out.

    With an embedded broker `lost_after` is zero at start: a restart has emptied it.
    """

    async def write(tx: Transaction) -> Recovered:
        lost = await tx.lost_rings(now - lost_after, BATCH)
        lapsed = await tx.lapsed_leases(now, BATCH)
        freed = [
            change(
                row,
                Happening.INTERRUPTED,
                actor="gateway:timer",
                now=now,
                data={"owner": row.lease_owner, "attempt": row.attempts},
                ring_at=now,
                lease_owner=None,
                lease_until=None,
            )
            for row in lapsed
        ]
        changes = [put_off(row, now, now, "doorbell-lost") for row in lost]
        interrupted = [step for step in freed if isinstance(step, Change)]
        await tx.apply([*changes, *interrupted])
        return Recovered(len(changes), len(interrupted))

    return await database.write(write)


async def recover_all(
    database: Database, now: datetime, lost_after: timedelta = LOST_AFTER
) -> Recovered:
    """`recover_once` until nothing is left; in small transactions, so that traffic goes on."""
    rung, interrupted = 0, 0
    while True:
        step = await recover_once(database, now, lost_after)
        rung, interrupted = rung + step.rung_again, interrupted + step.interrupted
        if max(step.rung_again, step.interrupted) < BATCH:
            return Recovered(rung, interrupted)
