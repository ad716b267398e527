"""The background roles: relay, worker, timer. Each is a loop that survives whatever a round meets.

- *relay* publishes the doorbells that accepted packages left in the outbox;
- *worker* keeps a subscription for every active connection and lane, and hands packages over;
- *timer* puts right what crashes and lost brokers leave behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from adapters.database import SqlCallbacks
from adapters.pause import pause
from adapters.signing import SigningProblem
from adapters.webhook import WebhookSender
from gateway import clock
from gateway.callbacks import CallbackDispatcher
from gateway.hand_over import HandOver, places_of
from gateway.intakes import Intakes
from gateway.kinds import KINDS
from gateway.payload_upkeep import PayloadUpkeep
from gateway.recheck import Recheck
from gateway.rescan import Rescan
from gateway.services import Services
from gateway.settings import Role
from routing.callbacks import Endpoint, PostResult
from routing.deadline_watch import watch_all
from routing.lanes import Lane
from routing.offer import offer
from routing.ports import (
    BrokerUnavailable,
    DatabaseUnavailable,
    Doorbell,
    DoorbellHandler,
    Unavailable,
)
from routing.records import Delivery
from routing.recover import recover_all
from routing.relay import relay_once
from routing.route_table import Connection

log = structlog.get_logger(__name__)

#: Seconds between two tries after a round that failed.
PAUSE = 1.0
#: Seconds after which the end of the process no longer waits for a broker that is away.
PROMPT = 1.0
#: Seconds between two looks at which connections there are.
CONNECTIONS_LOOK = 0.5
#: Seconds between two rounds of forgetting old callbacks.
SWEEP = 3600.0
#: Doorbells that one hand-over takes at once.
OFFER_BATCH = 100
#: How long delivered callbacks are kept for looking up.
KEEP_CALLBACKS = timedelta(days=30)
FORGET_BATCH = 500


class Roles:
    """Runs the background roles of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: list[asyncio.Task[None]] = []
        #: Ids of connections that are subscribed to, and how many places their lanes have.
        self._subscribed: dict[str, dict[Lane, int]] = {}
        self._hand_overs: dict[str, HandOver] = {}
        self._intakes = Intakes(services)
        self._swept = float("-inf")

    async def start(self) -> None:
        """Recover, then start the loops. A broker that is away is waited for in the background."""
        services = self._services
        if services.broker.volatile:
            recovered = await recover_all(services.database, clock.now(), timedelta(0))
            log.info("recovered", rung_again=recovered.rung_again, freed=recovered.interrupted)
        self._spawn("broker", self._connect_broker())
        self._spawn("payloads", PayloadUpkeep(services).run())
        # None waits for the broker. Its task is first in line, so they find it open at least.
        loops: dict[Role, Callable[[], Awaitable[float]]] = {
            "relay": self._relay,
            "worker": self._watch_connections,
            "timer": self._put_right,
        }
        for role, round_of in loops.items():
            if role in services.roles:
                services.metrics.beat(role, 0.0)
                self._spawn(role, self._keep_running(role, round_of))
        if "timer" in services.roles:
            self._spawn("seal", self._seal())
            if services.settings.timestamp_url:
                self._spawn("stamp", self._stamp())
        revocation = services.inspection.revocation
        if revocation is not None:
            timer = "timer" in services.roles
            self._spawn("revocation", revocation.run(services.stopping, timer=timer))
        if "worker" in services.roles:
            self._spawn("callbacks", self._callbacks().run(services.stopping))
            if services.inspection.scanner is not None:
                self._spawn("rescan", self._until_stopped(Rescan(services).once))
            if services.inspection.signatures is not None:
                self._spawn("recheck", self._until_stopped(Recheck(services).once))

    def _callbacks(self) -> CallbackDispatcher:
        services = self._services

        def observe(_endpoint: Endpoint, result: PostResult) -> None:
            services.metrics.callbacks.labels(result.outcome.value).inc()

        return CallbackDispatcher(
            SqlCallbacks(services.database, services.vault),
            WebhookSender(total=services.settings.callback_timeout_seconds),
            owner=services.owner,
            clock=clock.now,
            spread=clock.spread,
            schedule=services.settings.callback_schedule,
            observe=observe,
        )

    async def _connect_broker(self) -> None:
        services = self._services
        while not services.stopping.is_set():
            try:
                await services.broker.start()
                break
            except BrokerUnavailable as error:
                log.warning("broker.unavailable", error=str(error), consequence="documents wait")
                await pause(services.stopping, PAUSE)

    def _spawn(self, name: str, loop: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(loop))
        self._tasks[-1].set_name(name)
        self._tasks[-1].add_done_callback(_log_end)

    async def _keep_running(self, role: Role, round_of: Callable[[], Awaitable[float]]) -> None:
        """Round after round until the process stops; a round says how long to wait for the next."""
        stopping = self._services.stopping
        while not stopping.is_set():
            try:
                wait = await round_of()
                self._services.metrics.beat(role, time.time())
            except DatabaseUnavailable as error:
                log.warning("role.database-unavailable", role=role, error=str(error))
                wait = PAUSE
            except Exception:  # a bug in one round must not stop the documents after it
                log.exception("role.bug", role=role)
                wait = PAUSE
            if wait > 0:
                await self._rest(role, wait)

    async def _rest(self, role: Role, seconds: float) -> None:
        if role == "relay":
            await self._services.outbox.wait(seconds)
        else:
            await pause(self._services.stopping, seconds)

    async def _seal(self) -> None:
        """The event log is sealed again and again, by whichever process is quicker."""
        services = self._services
        while not services.stopping.is_set():
            try:
                sealed = await services.sealer.seal(clock.now())
                services.metrics.sealed_events.inc(sealed)
                services.metrics.sealed_at.set(time.time())
            except DatabaseUnavailable as error:
                log.warning("seal.database-unavailable", error=str(error))
            except SigningProblem as error:
                log.error("seal.no-signature", error=str(error), consequence="nothing is sealed")
            except Exception:  # a bug here must not stop the documents
                log.exception("seal.bug")
            await pause(services.stopping, services.settings.seal_seconds)

    async def _stamp(self) -> None:
        """Seals are stamped beside the sealing, which waits for no authority."""
        # Only here: who wants no stamps does not load what reads them.
        from adapters.timestamps import TimeStampAuthority
        from gateway.stamping import Stamping

        services = self._services
        authority = TimeStampAuthority(services.settings.timestamp_url)
        stamping = Stamping(services.database, authority, services.metrics)
        await stamping.run(services.stopping, services.settings.seal_seconds)

    async def _until_stopped(self, once: Callable[[], Awaitable[float]]) -> None:
        """What waited for the scanner or a revocation list goes on by itself when it is there."""
        stopping = self._services.stopping
        while not stopping.is_set():
            try:
                wait = await once()
            except Unavailable:
                wait = PAUSE
            except Exception:  # a bug in one round must not stop the packages after it
                log.exception("rescan.bug")
                wait = PAUSE
            await pause(stopping, max(wait, 0.01))

    async def _relay(self) -> float:
        services = self._services
        report = await relay_once(
            services.database,
            services.broker,
            owner=services.owner,
            now=clock.now(),
            spread=clock.spread(),
            claim_for=timedelta(seconds=services.settings.relay_claim_seconds),
        )
        services.metrics.relayed.labels("confirmed").inc(report.confirmed)
        services.metrics.relayed.labels("unconfirmed").inc(report.unconfirmed)
        if report.unconfirmed:
            log.warning("relay.unconfirmed", count=report.unconfirmed, consequence="rung again")
        return 0.0 if report.more else services.settings.relay_poll_seconds

    async def _watch_connections(self) -> float:
        """Subscribe to the queues of active connections, leave those of others."""
        services = self._services
        table = await services.registry.routes()
        served = {key for key, connection in table.connections.items() if connection.is_served}
        for connection_id in sorted(served - self._subscribed.keys()):
            await self._subscribe(table.connections[connection_id])
        for connection_id in sorted(self._subscribed):
            connection = table.connections.get(connection_id)
            if connection_id in served and connection is not None:
                if self._subscribed[connection_id] != _places(connection):
                    await services.broker.unsubscribe(connection_id)
                    await self._subscribe(connection)
                continue
            await services.broker.unsubscribe(connection_id)
            del self._subscribed[connection_id]
        await self._intakes.watch(table.connections)
        return CONNECTIONS_LOOK

    async def _subscribe(self, connection: Connection) -> None:
        if self._services.stopping.is_set():
            return
        places, handler = _places(connection), self._handler(connection)
        for lane in Lane:
            await self._services.broker.subscribe(
                connection.id, lane, handler, OFFER_BATCH, places.get(lane, 0)
            )
        self._subscribed[connection.id] = places

    def _handler(self, connection: Connection) -> DoorbellHandler:
        """What answers a connection's doorbells; its attempts and breaker are kept."""
        partner = KINDS[connection.kind].partner
        if partner is None:
            return self._offer
        if connection.id not in self._hand_overs:
            made = HandOver(self._services, connection, partner(self._services))
            self._hand_overs[connection.id] = made
        return self._hand_overs[connection.id]

    async def _offer(self, doorbells: Sequence[Doorbell]) -> None:
        """Pull connections: into the inbox."""
        services = self._services
        now = clock.now()
        offered = await offer(services.database, doorbells, now)
        for row in offered:
            services.metrics.delivery_seconds.labels(row.lane.value).observe(
                max((now - row.created_at).total_seconds(), 0)
            )
            log.info(
                "delivery.offered",
                delivery=row.id,
                package=row.package_id,
                recipient=row.recipient,
                correlation_id=row.correlation_id,
            )
        for connection_id in {row.connection_id for row in offered if row.connection_id}:
            services.inbox.notify(connection_id)
        await self._count_offers(offered)

    async def _count_offers(self, offered: Sequence[Delivery]) -> None:
        services = self._services
        connections = (await services.registry.routes()).connections
        for row in offered:
            connection = connections.get(row.connection_id or "")
            name = connection.name if connection else "none"
            services.metrics.outcomes.labels(name, row.lane.value, "offered").inc()

    async def _put_right(self) -> float:
        services = self._services
        lost_after = timedelta(seconds=services.settings.lost_doorbell_seconds)
        recovered = await recover_all(services.database, clock.now(), lost_after)
        services.metrics.recovered.labels("rung-again").inc(recovered.rung_again)
        services.metrics.recovered.labels("interrupted").inc(recovered.interrupted)
        if recovered.rung_again or recovered.interrupted:
            log.warning("recovered", rung_again=recovered.rung_again, freed=recovered.interrupted)
            services.outbox.notify()
        await self._watch_deadlines()
        if time.monotonic() - self._swept > SWEEP:
            self._swept = time.monotonic()
            await self._forget_callbacks()
        return services.settings.timer_seconds

    async def _forget_callbacks(self) -> None:
        """Delivered callbacks are not evidence (the event log is): old ones go, in small steps."""
        store = SqlCallbacks(self._services.database)
        while await store.forget(clock.now() - KEEP_CALLBACKS, FORGET_BATCH) == FORGET_BATCH:
            continue

    async def _watch_deadlines(self) -> None:
        services = self._services
        watched = await watch_all(services.database, clock.now())
        services.metrics.deadlines.labels("nearing").inc(watched.nearing)
        services.metrics.deadlines.labels("overdue").inc(watched.overdue)
        if watched.overdue:
            log.warning("deadlines.overdue", count=watched.overdue)

    async def stop(self) -> None:
        """Let running rounds and attempts end, then disconnect from the broker."""
        self._services.stopping.set()
        self._services.outbox.notify()
        async with AsyncExitStack() as last:
            last.push_async_callback(self._services.partner_links.close)
            last.push_async_callback(self._services.broker.close)
            ended = await asyncio.gather(
                self._end_loops(),
                self._intakes.stop(),
                self._end_hand_overs(),
                return_exceptions=True,
            )
            for result in ended:
                if isinstance(result, BaseException):
                    raise result

    async def _end_loops(self) -> None:
        if not self._tasks:
            return
        # The first only connects; nobody needs the broker any more.
        self._tasks[0].cancel()
        _, late = await asyncio.wait(self._tasks, timeout=PROMPT)
        if late and not (await self._services.broker.health()).ok:
            # A relay may be waiting for the confirms of a broker that is away.
            await self._services.broker.close()
        if late:
            _, late = await asyncio.wait(late, timeout=self._services.settings.shutdown_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end_hand_overs(self) -> None:
        """No new doorbells; attempts under way may end: their partners have half a package."""
        seconds = self._services.settings.shutdown_seconds
        began = time.monotonic()
        unsubscribe = self._services.broker.unsubscribe
        leaving = [asyncio.ensure_future(unsubscribe(key)) for key in self._hand_overs]
        await asyncio.sleep(0)
        for hand_over in self._hand_overs.values():
            hand_over.end()
        await asyncio.gather(*leaving)
        left = max(seconds - (time.monotonic() - began), 0)
        await asyncio.gather(*(one.ended(left) for one in self._hand_overs.values()))


def _places(connection: Connection) -> dict[Lane, int]:
    """How many doorbells of each lane are answered at the same time; none: whole batches are."""
    return {} if KINDS[connection.kind].partner is None else places_of(connection)


def _log_end(task: asyncio.Task[None]) -> None:
    """A loop that ended by a fault is not seen by anybody else."""
    if not task.cancelled() and task.exception() is not None:
        log.error("role.ended-with-fault", role=task.get_name(), exc_info=task.exception())
