"""Failed authentications: counted, slowed down per address, and told to the auditor when repeated.

Tokens are 256 bits of chance: nobody guesses one. What the limit keeps low is the work that trying
makes, and the noise. Whoever comes with a token that is known gets in all the same, so that one
program behind an address cannot lock the others out. Limits are per process, the memory of
addresses is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

import structlog

from gateway import clock
from gateway.observability import Metrics
from routing.ports import Database, DatabaseUnavailable, Transaction
from routing.records import Event

log = structlog.get_logger(__name__)

#: Failures that one address may make at once; one is forgiven after so many seconds.
FREE_FAILURES = 100
FORGIVEN_SECONDS = 1.0
#: Most callers whose failures are remembered.
MOST_REMEMBERED = 10_000
#: Seconds between two events about one address.
EVENT_EVERY = 600.0
SECURITY_EVENT = "security.failed-authentications"


@dataclass(slots=True)
class _Trouble:
    """What one address did of late."""

    #: When all is forgiven.
    due: float
    count: int = 0
    told_at: float = float("-inf")


Who = TypeVar("Who", bound=Hashable)


class FailedAttempts(Generic[Who]):
    """The arithmetic: pure, with the time as an argument (seconds of a monotonic clock).

    `Who` is what failures are counted by: an address, or more than that.
    """

    def __init__(
        self, free: int = FREE_FAILURES, forgiven_seconds: float = FORGIVEN_SECONDS
    ) -> None:
        """`free` failures at once cost nothing; one is forgiven after `forgiven_seconds`."""
        self._free = free
        self._forgiven = forgiven_seconds
        self._of: dict[Who, _Trouble] = {}

    def wait(self, who: Who, now: float) -> float:
        """Seconds until a strange token from there is looked at again; 0: now."""
        trouble = self._of.get(who)
        ahead = trouble.due - now if trouble else 0.0
        return max(0.0, ahead - self._free * self._forgiven)

    def note(self, who: Who, now: float) -> int:
        """One more; how many there were when that is to be told, else 0."""
        self._make_room(who, now)
        trouble = self._of.setdefault(who, _Trouble(now))
        if trouble.due <= now:
            trouble.count = 0
        trouble.count += 1
        most = now + (self._free + 1) * self._forgiven
        trouble.due = min(max(trouble.due, now) + self._forgiven, most)
        if trouble.count < self._free or now - trouble.told_at < EVENT_EVERY:
            return 0
        trouble.told_at = now
        return trouble.count

    def _make_room(self, who: Who, now: float) -> None:
        if who in self._of or len(self._of) < MOST_REMEMBERED:
            return
        self._of = {key: one for key, one in self._of.items() if one.due > now}
        if len(self._of) >= MOST_REMEMBERED:
            # An attack from everywhere: limiting single addresses does not help against it.
            self._of.clear()


def address_of(peer: str | None) -> str:
    """What failures are counted by: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        address = ip_address((peer or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


class FailedAuthentications:
    """Failures of every face that takes credentials over HTTP."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._attempts = FailedAttempts[str]()

    def wait(self, peer: str | None) -> float:
        """Seconds until a strange token from there is looked at again; 0: now."""
        return self._attempts.wait(address_of(peer), time.monotonic())

    async def note(self, face: str, why: str, peer: str | None) -> None:
        """One more: into the metrics, the log (never the token), and when repeated the event log.

        `why` is one of few words.
        """
        self._metrics.distrusted.labels(face, why).inc()
        log.warning("authentication.failed", face=face, why=why, peer=peer)
        await self.count(face, peer)

    async def count(self, face: str, peer: str | None) -> None:
        """One more of a face that has told metrics and log itself."""
        address = address_of(peer)
        failures = self._attempts.note(address, time.monotonic())
        if not failures:
            return
        log.error("authentication.repeated-failures", face=face, address=address, count=failures)
        event = Event(
            type=SECURITY_EVENT,
            at=clock.now(),
            actor="gateway:api",
            data={"address": address, "face": face, "failures": failures},
        )

        async def write(tx: Transaction) -> None:
            await tx.append([event])

        try:
            await self._database.write(write)
        except DatabaseUnavailable as error:
            log.warning("authentication.not-recorded", error=str(error))
