"""A circuit breaker per connection: a partner that is down is left alone for a while (lessons 15).

Pure: times are arguments. *Closed*: attempts are made. After some failures in a row it is *open*:
no attempt is made, none is used up, deliveries are put off. When its time is over, one attempt
probes; a success closes it, a failure opens it again for twice as long, up to a ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: The pause grows up to this many times the first one.
CEILING = 16


class BreakerState(StrEnum):
    """Whether attempts are made."""

    CLOSED = "closed"
    OPEN = "open"
    #: One attempt probes whether the partner is back.
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """No attempt now; when to ask again."""

    at: datetime


@dataclass(slots=True)
class Breaker:
    """The breaker of one connection in one process."""

    failures_allowed: int
    pause: timedelta
    failures: int = 0
    openings: int = 0
    open_until: datetime | None = None
    probing_until: datetime | None = None

    def state(self, now: datetime) -> BreakerState:
        """The state at `now`."""
        if self.open_until is None:
            return BreakerState.CLOSED
        if now < self.open_until:
            return BreakerState.OPEN
        return BreakerState.PROBING

    def may_attempt(self, now: datetime, longest: timedelta) -> WaitUntil | None:
        """None when an attempt may start now, which the caller then makes.

        While probing one attempt goes ahead; the others wait for its outcome, at most `longest`.
        """
        if self.open_until is None:
            return None
        if now < self.open_until:
            return WaitUntil(self.open_until)
        if self.probing_until is not None and now < self.probing_until:
            return WaitUntil(min(self.probing_until, now + timedelta(seconds=1)))
        self.probing_until = now + longest
        return None

    def succeeded(self) -> bool:
        """The partner answered; whether this closed the breaker."""
        was_open = self.open_until is not None
        self.failures, self.openings = 0, 0
        self.open_until = self.probing_until = None
        return was_open

    def failed(self, now: datetime) -> bool:
        """The partner could not be reached or did not answer; whether this opened the breaker."""
        self.failures += 1
        state = self.state(now)
        if state is BreakerState.OPEN:
            return False
        if state is BreakerState.CLOSED and self.failures < self.failures_allowed:
            return False
        times = min(2**self.openings, CEILING)
        self.openings += 1
        self.probing_until = None
        self.open_until = now + self.pause * times
        return state is BreakerState.CLOSED
