"""Putting right what crashes and lost brokers leave behind. Runs at start and every few seconds.

Nothing here guesses: a doorbell that may be lost is rung again (twice is harmless), an attempt
whose worker disappeared has an unknown outcome and is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from envelopes.findings import Sentence
from routing.ports import Database, Transaction
from routing.records import Change, Delivery, change, exhausted
from routing.retry_policy import GiveUp, after_attempt
from routing.ring_again import put_off
from routing.states import Happening, Impossible

BATCH = 500
#: After this long in the broker's hands a doorbell counts as lost.
LOST_AFTER = timedelta(minutes=10)

GIVEN_UP = Sentence(
    vi="Hệ thống bị dừng giữa chừng trong lần gửi cuối cùng được phép.",
    en="The gateway was stopped in the middle of the last attempt allowed.",
)


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
        freed = [_interrupted(row, now) for row in lapsed]
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


def _interrupted(row: Delivery, now: datetime) -> Change | Impossible:
    """The worker that made this attempt is gone: ask about it, unless it always ends like this.

    A package that takes its worker down with it uses up its attempts like any other.
    """
    following = after_attempt(row.attempts, now, 0.0)
    data = {"owner": row.lease_owner, "attempt": row.attempts}
    actor = "gateway:timer"
    free = {"lease_owner": None, "lease_until": None}
    if isinstance(following, GiveUp):
        reason = exhausted(GIVEN_UP, unsure=True)
        return change(
            row, Happening.EXHAUSTED, actor=actor, now=now, data=data, reason=reason, **free
        )
    return change(row, Happening.INTERRUPTED, actor=actor, now=now, data=data, ring_at=now, **free)
