"""When to try again, and when to give up (architecture decision 6).

The schedule is a table, in the manner of mail servers: short waits while a partner restarts, long
ones through the night, and an end after 32 to 40 hours when an operator must look. Jitter spreads
the attempts of many deliveries; the random number is an argument, so the policy stays pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Waits after the 1st, 2nd … failed attempt.
SCHEDULE = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=7, seconds=30),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    timedelta(hours=16),
)

#: A wait is stretched by up to this share of itself.
JITTER = 0.25

#: The longest wait between two tries of the relay to reach the broker.
RELAY_CEILING = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TryAgainAt:
    """The next attempt's time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The schedule is used up: an operator's turn."""

    attempts: int


def after_attempt(
    attempts: int, now: datetime, spread: float, schedule: Sequence[timedelta] = SCHEDULE
) -> TryAgainAt | GiveUp:
    """What follows the `attempts`-th attempt that did not succeed; `spread` is in [0, 1)."""
    if attempts > len(schedule):
        return GiveUp(attempts)
    wait = schedule[max(attempts, 1) - 1]
    return TryAgainAt(now + wait * (1 + JITTER * spread))


def relay_again_at(failures: int, now: datetime, spread: float) -> datetime:
    """When to publish again after `failures` publishes in a row without a confirm.

    There is no end: the broker's absence delays documents, it never refuses them.
    """
    wait = min(timedelta(seconds=0.5) * int(2 ** min(failures, 10)), RELAY_CEILING)
    return now + wait * (1 + JITTER * spread)
