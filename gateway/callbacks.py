"""The dispatcher of callbacks, run by the worker role: claims messages, posts them, settles.

Any number of dispatchers may run: they meet in the leases of the messages. Within one, an endpoint
gets so many posts at once and no more, and an endpoint that fails again and again rests as a whole
(a circuit of its own), so that a dead receiver uses up neither places nor the attempts of its
messages. Resting endpoints are tried again with one message at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from routing.callbacks import (
    CONTENT_TYPE,
    SCHEDULE,
    CallbackSender,
    CallbackStore,
    Claimed,
    Endpoint,
    PostOutcome,
    PostResult,
    after_post,
)
from routing.ports import DatabaseUnavailable
from routing.webhook_signature import sign

log = structlog.get_logger(__name__)

#: Told of every attempt: endpoint, its result.
Observer = Callable[[Endpoint, PostResult], None]


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How much at once, and how patiently."""

    #: Posts at once in this process.
    concurrency: int = 32
    #: Posts at once to one endpoint.
    per_endpoint: int = 4
    #: How long a claimed message is this process's; longer than any post may take.
    lease: timedelta = timedelta(seconds=60)
    #: Seconds between two looks when nothing is due.
    poll: float = 0.5
    #: Seconds that posts under way are given when the process stops.
    grace: float = 20.0
    #: Failures in a row after which the endpoint rests as a whole …
    trips_after: int = 5
    #: … for so long at first, then twice as long each time.
    rest: timedelta = timedelta(seconds=15)
    longest_rest: timedelta = timedelta(minutes=10)


@dataclass(slots=True)
class Circuit:
    """What one endpoint's last answers say about it."""

    failures: int = 0
    rests_until: datetime | None = None

    def room(self, now: datetime, limits: DispatchLimits) -> int:
        """How many posts the endpoint may get at once now."""
        if self.rests_until is not None and now < self.rests_until:
            return 0
        return 1 if self.failures >= limits.trips_after else limits.per_endpoint

    def note(self, result: PostResult, now: datetime, limits: DispatchLimits) -> None:
        """Take an answer into account."""
        if result.outcome is PostOutcome.DELIVERED:
            self.failures, self.rests_until = 0, None
            return
        if self.rests_until is not None and now < self.rests_until:
            # Sent together with the one that made it rest: no news.
            return
        self.failures += 1
        rest = timedelta(0)
        if self.failures >= limits.trips_after:
            doublings = min(self.failures - limits.trips_after, 16)
            rest = min(limits.rest * int(2**doublings), limits.longest_rest)
        if result.retry_after is not None:
            # 429 and 503 speak of the receiver, not of one message.
            rest = max(rest, min(result.retry_after, limits.longest_rest))
        if rest:
            self.rests_until = now + rest


@dataclass(slots=True)
class _UnderWay:
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    per_endpoint: Counter[str] = field(default_factory=Counter)


class CallbackDispatcher:
    """Sends what is due until it is told to stop."""

    def __init__(
        self,
        store: CallbackStore,
        sender: CallbackSender,
        *,
        owner: str,
        clock: Callable[[], datetime],
        spread: Callable[[], float],
        limits: DispatchLimits | None = None,
        schedule: Sequence[timedelta] = SCHEDULE,
        observe: Observer | None = None,
    ) -> None:
        self._store = store
        self._sender = sender
        self._owner = owner
        self._clock = clock
        self._spread = spread
        self._limits = limits or DispatchLimits()
        self._schedule = tuple(schedule)
        self._observe = observe
        self._circuits: dict[str, Circuit] = {}
        self._under_way = _UnderWay()
        self._news = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Round after round until `stopping`; then let posts under way end."""
        stop = asyncio.ensure_future(stopping.wait())
        stop.add_done_callback(lambda _: self.wake())
        try:
            while not stopping.is_set():
                self._news.clear()
                await self._safe_round()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.poll):
                        await self._news.wait()
        finally:
            stop.cancel()
            await self._end()

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._news.set()

    async def round(self) -> int:
        """Claim what is due and start posting it; how many were started. Raises for the store."""
        now = self._clock()
        free = self._limits.concurrency - len(self._under_way.tasks)
        if free <= 0:
            return 0
        claimed = await self._store.claim_due(
            self._owner,
            now,
            now + self._limits.lease,
            free,
            per_endpoint=self._limits.per_endpoint,
            room=self._room(now),
        )
        for one in claimed:
            self._start(one)
        return len(claimed)

    async def finish(self) -> None:
        """Wait for the posts under way."""
        if self._under_way.tasks:
            await asyncio.wait(self._under_way.tasks)

    def _room(self, now: datetime) -> dict[str, int]:
        """How many posts may be started, for endpoints of which that is not `per_endpoint`."""
        busy = self._under_way.per_endpoint
        room = {key: circuit.room(now, self._limits) for key, circuit in self._circuits.items()}
        for key, count in busy.items():
            room[key] = room.get(key, self._limits.per_endpoint) - count
        return room

    async def _safe_round(self) -> int:
        try:
            return await self.round()
        except DatabaseUnavailable as error:
            log.warning("callbacks.database-unavailable", error=str(error))
        except Exception:  # a bug in one round must not stop the callbacks after it
            log.exception("callbacks.bug")
        return 0

    def _start(self, claimed: Claimed) -> None:
        under_way, key = self._under_way, claimed.endpoint.id
        task = asyncio.create_task(self._send(claimed))
        under_way.tasks.add(task)
        under_way.per_endpoint[key] += 1

        def done(ended: asyncio.Task[None]) -> None:
            under_way.tasks.discard(ended)
            self.wake()
            under_way.per_endpoint[key] -= 1
            if not under_way.per_endpoint[key]:
                del under_way.per_endpoint[key]

        task.add_done_callback(done)

    async def _send(self, claimed: Claimed) -> None:
        try:
            await self._post_and_settle(claimed)
        except DatabaseUnavailable as error:
            # The lease lapses and the message goes again, under the same id.
            log.warning("callbacks.not-settled", message=claimed.message.seq, error=str(error))
        except Exception:  # a bug with one message must not stop the others
            log.exception("callbacks.bug", message=claimed.message.seq)

    async def _post_and_settle(self, claimed: Claimed) -> None:
        message, endpoint = claimed.message, claimed.endpoint
        result = await post_signed(
            self._sender, endpoint, message.id, message.body.encode(), self._clock()
        )
        now = self._clock()
        verdict = after_post(message.attempts, result, now, self._spread(), self._schedule)
        self._circuits.setdefault(endpoint.id, Circuit()).note(result, now, self._limits)
        if self._observe is not None:
            self._observe(endpoint, result)
        counted = await self._store.settle(self._owner, claimed, result, verdict, now=now)
        tell = log.info if result.outcome is PostOutcome.DELIVERED else log.warning
        tell(
            "callback.posted",
            endpoint=endpoint.id,
            message=message.id,
            attempt=message.attempts,
            outcome=result.outcome.value,
            detail=result.detail,
            state=verdict.state.value,
            counted=counted,
        )

    async def _end(self) -> None:
        """Give posts under way their time; what is cut off goes again after its lease."""
        if self._under_way.tasks:
            _, late = await asyncio.wait(self._under_way.tasks, timeout=self._limits.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def post_signed(
    sender: CallbackSender, endpoint: Endpoint, message_id: str, body: bytes, now: datetime
) -> PostResult:
    """Sign `body` with the endpoint's secrets of `now`, and post it once."""
    headers = {
        "Content-Type": CONTENT_TYPE,
        **sign(endpoint.secrets(now), message_id, now, body),
    }
    return await sender.post(endpoint.url, endpoint.allowed_networks, headers, body)
