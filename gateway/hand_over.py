"""Handing packages over to partners that the gateway itself calls (`Way.ATTEMPTS`).

Each connection has its own queue per lane, and its own concurrency, rate, and circuit breaker: a
partner that is slow, silent or down delays nobody else (lessons 15), and an attempt that hangs
keeps one place only. While its breaker is open no attempt is made and none is used up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import structlog

from adapters.pause import pause
from envelopes.findings import Sentence
from gateway import clock
from gateway.services import Services
from routing.breaker import Breaker, BreakerState
from routing.connection_options import HandOverOptions, options_of
from routing.deliver import Attempted, AttemptOutcome, AttemptResult, Deliver, Partner
from routing.lanes import Lane
from routing.ports import Doorbell, Transaction, Unavailable
from routing.records import Delivery, Event, PackageRecord
from routing.route_table import Connection
from routing.states import WAITING, TransportState

log = structlog.get_logger(__name__)

#: What a lease is longer than the attempt may take, for asking first and for the database.
LEASE_MARGIN = timedelta(seconds=60)

#: Seconds that a cancelled attempt has to end.
CANCELLED = 1.0

_TO_ATTEMPT = (*WAITING, TransportState.UNKNOWN)
_FAILURES = (AttemptOutcome.TRY_LATER, AttemptOutcome.UNKNOWN)


class Stopping(Exception):
    """The process is told to stop: no attempt was begun, the doorbell has to come again."""


def places_of(connection: Connection) -> dict[Lane, int]:
    """How many attempts may be under way in each lane.

    Urgent packages have places of their own: ordinary ones never keep them waiting.
    """
    places = options_of(connection, HandOverOptions).concurrency
    return {Lane.URGENT: max(1, places // 2), Lane.ORDINARY: places}


class HandOver:
    """The attempts of one connection in this process."""

    def __init__(self, services: Services, connection: Connection, partner: Partner) -> None:
        self._services = services
        self._id = connection.id
        self._partner = partner
        self._deliver = Deliver(
            services.database,
            owner=services.owner,
            clock=clock.now,
            spread=clock.spread,
            on_time=services.on_time,
            reports=services.reports,
            schedule=services.settings.attempt_schedule,
        )
        self._adopt(options_of(connection, HandOverOptions))
        self._running: set[asyncio.Task[None]] = set()
        #: Whose turn it is to wait for the next slot of the rate, and when that is (monotonic).
        self._turn = asyncio.Lock()
        self._next_start = 0.0
        self._ending = asyncio.Event()

    def _adopt(self, options: HandOverOptions) -> None:
        self._options = options
        pause = timedelta(seconds=options.breaker_seconds)
        self._breaker = Breaker(options.breaker_failures, pause)

    async def __call__(self, doorbells: Sequence[Doorbell]) -> None:
        """Make an attempt for each doorbell; returns when all are done, raises what one raised.

        The work goes on when the broker's connection is lost meanwhile and this call is cancelled;
        `ended` waits for it.
        """
        tasks = [asyncio.ensure_future(self._one(bell)) for bell in doorbells]
        for task in tasks:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        work = asyncio.gather(*tasks, return_exceptions=True)
        try:
            results = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_log_faults)
            raise
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def end(self) -> None:
        """What waits for its turn by the rate waits no longer, and makes no attempt."""
        self._ending.set()

    async def ended(self, seconds: float) -> None:
        """Wait for what is under way; what takes longer is cut off, and recovered later."""
        running = set(self._running)
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            log.warning("attempts.cut-off", count=len(late), consequence="their outcome is unknown")
            await asyncio.wait(late, timeout=CANCELLED)

    async def _one(self, bell: Doorbell) -> None:
        connection, slot = await self._in_turn(bell)
        if connection is None:
            return
        options = self._options
        longest = timedelta(seconds=options.timeout_seconds)
        wait = self._breaker.may_attempt(clock.now(), longest)
        if wait is not None:
            self._give_back(slot)
            ids = [bell.delivery_id]
            await self._deliver.postpone(ids, connection, wait.at, "partner-not-reachable")
            return
        started = time.monotonic()
        attempted = await self._deliver.attempt(
            bell.delivery_id,
            connection,
            Bounded(self._partner, options.timeout_seconds),
            await self._services.registry.routes(),
            longest * 2 + LEASE_MARGIN,
        )
        if attempted is None:
            self._give_back(slot)
            self._breaker.probing_until = None
            return
        self._note(attempted, connection, time.monotonic() - started)
        await self._judge(attempted.result, connection)

    async def _in_turn(self, bell: Doorbell) -> tuple[Connection | None, float]:
        """The connection as it is when its rate allows an attempt, and the slot taken for it.

        None when there is nothing to attempt. Not more attempts a minute than allowed, spread
        evenly: who is first in turn waits for the slot. Raises `Stopping`.
        """
        connection = await self._served(bell)
        if connection is None or not self._options.attempts_per_minute or self._is_open():
            return connection, 0.0
        async with self._turn:
            # Doorbells are rung again while a delivery waits here: the first one served for all.
            if not await self._still_waits(bell):
                return None, 0.0
            now = time.monotonic()
            start = max(now, self._next_start)
            if start > now:
                await pause(self._ending, start - now)
                if self._ending.is_set():
                    raise Stopping
                # Minutes may have passed.
                connection = await self._served(bell)
            rate = self._options.attempts_per_minute
            if connection is None or not rate:
                return connection, 0.0
            self._next_start = start + 60 / rate
            return connection, self._next_start

    def _give_back(self, slot: float) -> None:
        """No attempt was made in this slot: the next one may begin, if none has its slot yet."""
        if slot and slot == self._next_start:
            self._next_start = 0.0

    async def _served(self, bell: Doorbell) -> Connection | None:
        """The connection as it is now, its options adopted; None when nothing is handed over to it.

        Then the delivery stays in the outbox until something is.
        """
        connection = (await self._services.registry.routes()).connections.get(self._id)
        if connection is None:
            return None
        options = options_of(connection, HandOverOptions)
        if options != self._options:
            self._adopt(options)
        if connection.is_served:
            return connection
        ids = [bell.delivery_id]
        await self._deliver.postpone(ids, connection, clock.now(), "connection-not-served")
        return None

    def _is_open(self) -> bool:
        return self._breaker.state(clock.now()) is BreakerState.OPEN

    async def _still_waits(self, bell: Doorbell) -> bool:
        async def look(tx: Transaction) -> bool:
            row = await tx.get_delivery(bell.delivery_id)
            return row is not None and row.state in _TO_ATTEMPT and row.connection_id == self._id

        return await self._services.database.read(look)

    def _note(self, attempted: Attempted, connection: Connection, seconds: float) -> None:
        row, result = attempted.delivery, attempted.result
        metrics = self._services.metrics
        metrics.outcomes.labels(connection.name, row.lane.value, result.outcome.value).inc()
        metrics.attempt_seconds.labels(connection.name).observe(seconds)
        if result.outcome is AttemptOutcome.DELIVERED:
            waited = (clock.now() - row.created_at).total_seconds()
            metrics.delivery_seconds.labels(row.lane.value).observe(max(waited, 0))
        log.info(
            "delivery.attempted",
            connection=connection.name,
            delivery=row.id,
            recipient=row.recipient,
            attempt=row.attempts,
            outcome=result.outcome.value,
            detail=result.detail,
            state=row.state.value,
            correlation_id=row.correlation_id,
        )

    async def _judge(self, result: AttemptResult, connection: Connection) -> None:
        """Tell the breaker how it went; who looks at the log or subscribes hears of a change."""
        if result.outcome in _FAILURES:
            if self._breaker.failed(clock.now()):
                await self._tell("unreachable", result.detail, connection)
        elif self._breaker.succeeded():
            await self._tell("reachable", "", connection)
        opened = self._breaker.open_until is not None
        self._services.metrics.breaker_open.labels(connection.name).set(float(opened))

    async def _tell(self, what: str, detail: str, connection: Connection) -> None:
        log.warning(f"connection.{what}", connection=connection.name, detail=detail)
        event = Event(
            type=f"connection.{what}",
            at=clock.now(),
            actor="gateway:worker",
            data={"connection": connection.name, "kind": connection.kind, "detail": detail},
        )

        async def write(tx: Transaction) -> None:
            await tx.append([event])

        try:
            await self._services.database.write(write)
        except Unavailable as error:
            # A notice only: the attempt and its outcome are recorded without it.
            log.warning("connection.not-told", connection=connection.name, error=str(error))


class Bounded:
    """A partner within its time limit; what goes wrong in its adapter is an unknown outcome."""

    def __init__(self, partner: Partner, seconds: float) -> None:
        self._partner = partner
        self._seconds = seconds

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `Partner`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._partner.deliver(connection, delivery, package)
        except TimeoutError:
            return _silent(self._seconds)
        except Unavailable as error:
            # Database or payload store: ours, and before anything was handed over.
            return AttemptResult(AttemptOutcome.TRY_LATER, f"not available: {error}")
        except Exception as error:  # a bug in an adapter must not lose the delivery
            log.exception("partner.bug", connection=connection.name, delivery=delivery.id)
            return AttemptResult(AttemptOutcome.UNKNOWN, f"bug: {type(error).__name__}")

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `Partner`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._partner.ask(connection, delivery, package)
        except TimeoutError:
            return _silent(self._seconds)
        except Exception as error:  # as above
            log.exception("partner.bug", connection=connection.name, delivery=delivery.id)
            return AttemptResult(AttemptOutcome.UNKNOWN, f"bug: {type(error).__name__}")


def _log_faults(work: asyncio.Future[list[BaseException | None]]) -> None:
    """What attempts met whose caller is gone; their doorbells come again."""
    for result in [] if work.cancelled() else work.result():
        if isinstance(result, Exception):
            log.error("attempt.ended-with-fault", exc_info=result)


def _silent(seconds: float) -> AttemptResult:
    sentence = Sentence(
        vi=f"Bên nhận không trả lời trong {seconds:g} giây: chưa rõ đã nhận hay chưa.",
        en=f"The partner did not answer within {seconds:g} s: it may have it or not.",
    )
    return AttemptResult(AttemptOutcome.UNKNOWN, f"no answer in {seconds:g} s", sentence)
