"""The use cases put together for tests: real database and payloads, a broker and partner to script.

`Gateway` is what `gateway.app` builds, without processes, loops and HTTP: each test makes the steps
itself and so decides what happens between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from adapters.database import SqlDatabase
from adapters.payloads import DiskPayloads, Spool
from envelopes.model import Document, StatusReport
from envelopes.read import ReadResult, read_package
from routing.accept import Accept
from routing.dead_letters import DeadLetters
from routing.deadline_limits import Limits
from routing.deliver import AttemptOutcome, AttemptResult, Deliver
from routing.gateway_reports import GatewayIdentity, GatewayReports
from routing.lanes import FairClock, Lane
from routing.offer import offer
from routing.on_time import OnTime
from routing.ports import BrokerHealth, Doorbell, DoorbellHandler, PublishOutcome, Transaction
from routing.pull import Fetched, confirm, fetch
from routing.records import Delivery, Event, PackageRecord, Reason
from routing.recover import Recovered, recover_all
from routing.relay import RelayReport, relay_once
from routing.route_table import Connection
from routing.submission import Accepted, Refused, Submission
from routing.working_time import WorkingCalendar
from tests.support.builders import ALPHA, Clock, World, look, new_id, settle_world, stored, wire

#: Office hours without holidays.
CALENDAR = WorkingCalendar()


class ListBroker:
    """A broker whose queue is a list, and which answers as it is told."""

    volatile = True

    def __init__(self) -> None:
        self.queue: deque[Doorbell] = deque()
        #: Every doorbell that was ever handed to `publish`.
        self.published: list[Doorbell] = []
        #: What becomes of a doorbell; UNKNOWN ones are queued all the same.
        self.answer: Callable[[Doorbell], PublishOutcome] = lambda _: PublishOutcome.CONFIRMED

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        """Queue all but the refused ones."""
        self.published += doorbells
        outcomes = [self.answer(doorbell) for doorbell in doorbells]
        for doorbell, outcome in zip(doorbells, outcomes, strict=True):
            if outcome is not PublishOutcome.REFUSED:
                self.queue.append(doorbell)
        return outcomes

    async def subscribe(
        self,
        connection_id: str,
        lane: Lane,
        handler: DoorbellHandler,
        batch: int = 50,
        places: int = 0,
    ) -> None:
        """Tests take from `queue` themselves."""

    async def unsubscribe(self, connection_id: str) -> None:
        """Tests take from `queue` themselves."""

    async def health(self) -> BrokerHealth:
        """Always well."""
        return BrokerHealth(True, "list")

    async def depths(self) -> dict[tuple[str, Lane], int]:
        """How many wait."""
        counts: dict[tuple[str, Lane], int] = {}
        for bell in self.queue:
            key = bell.connection_id, bell.lane
            counts[key] = counts.get(key, 0) + 1
        return counts

    def take_all(self) -> list[Doorbell]:
        """Everything that waits, taken out."""
        taken = list(self.queue)
        self.queue.clear()
        return taken


@dataclass
class ScriptedPartner:
    """A partner that answers from a script, and remembers what it was asked."""

    #: Answers to `deliver` in order; the last one for ever.
    answers: list[AttemptOutcome]
    #: Answers to `ask`, the same way.
    about: list[AttemptOutcome] = field(default_factory=lambda: [AttemptOutcome.UNKNOWN])
    calls: list[tuple[str, str]] = field(default_factory=list)
    #: Run during each call of `deliver`.
    meanwhile: Callable[[Delivery], object] | None = None

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """The next answer."""
        self.calls.append(("deliver", delivery.id))
        if self.meanwhile is not None:
            made = self.meanwhile(delivery)
            if hasattr(made, "__await__"):
                await made
        return self._next(self.answers)

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """The next answer to a question."""
        self.calls.append(("ask", delivery.id))
        return self._next(self.about)

    def _next(self, script: list[AttemptOutcome]) -> AttemptResult:
        outcome = script.pop(0) if len(script) > 1 else script[0]
        return AttemptResult(outcome, f"scripted {outcome}")


class Gateway:
    """All use cases on one database."""

    def __init__(
        self,
        database: SqlDatabase,
        payloads: DiskPayloads,
        world: World,
        clock: Clock,
        calendar: WorkingCalendar = CALENDAR,
    ) -> None:
        self.database, self.payloads, self.world, self.clock = database, payloads, world, clock
        self.routes = world.routes
        self.broker = ListBroker()
        fair_clock = FairClock()
        reports = GatewayReports(payloads, GatewayIdentity(), new_id, fair_clock)
        self.on_time = OnTime(lambda _: calendar, Limits(), new_id)
        self.accept = Accept(database, reports, fair_clock, new_id, self.on_time)
        self.dead_letters = DeadLetters(database, reports)

    # --- in ---

    def spool(self, content: bytes) -> Spool:
        """The bytes on disk."""
        spool = self.payloads.spool()
        spool.write(content)
        spool.finish()
        return spool

    async def submit(
        self,
        what: Document | StatusReport | bytes,
        by: str = ALPHA,
        *,
        correlation_id: str = "trace",
        only_for: tuple[str, ...] = (),
        wait: Reason | None = None,
    ) -> Accepted | Refused:
        """Hand a package in through the connection of the agency `by`; `wait` as it is judged."""
        content = what if isinstance(what, bytes) else wire(what)
        read: ReadResult = read_package([content])
        spool = self.spool(content)
        try:
            submission = Submission(
                read, spool, self.world.of(by), correlation_id, only_for, wait=wait
            )
            return await self.accept.submit(submission, self.routes, self.clock())
        finally:
            spool.discard()

    async def accepted(self, what: Document | StatusReport | bytes, by: str = ALPHA) -> Accepted:
        """`submit`, which must go well."""
        answer = await self.submit(what, by)
        assert isinstance(answer, Accepted), answer
        return answer

    async def refused(self, what: Document | StatusReport | bytes, by: str = ALPHA) -> Refused:
        """`submit`, which must be refused."""
        answer = await self.submit(what, by)
        assert isinstance(answer, Refused), answer
        return answer

    # --- through ---

    async def relay(self, owner: str = "relay-1", **more: int) -> RelayReport:
        """One round of the relay."""
        return await relay_once(
            self.database, self.broker, owner=owner, now=self.clock(), spread=0.0, **more
        )

    async def offer(self, bells: Sequence[Doorbell] | None = None) -> list[Delivery]:
        """Hand what the broker has (or these doorbells) over to inboxes."""
        taken = self.broker.take_all() if bells is None else bells
        return await offer(self.database, taken, self.clock())

    async def bring(self) -> None:
        """Relay and offer everything that is due."""
        while (await self.relay()).claimed:
            await self.offer()

    def worker(self, owner: str = "worker-1") -> Deliver:
        """A worker for push connections."""
        return Deliver(self.database, owner=owner, clock=self.clock, spread=lambda: 0.0)

    async def recover(self, lost_after: timedelta = timedelta(minutes=10)) -> Recovered:
        """What the timer does."""
        return await recover_all(self.database, self.clock(), lost_after)

    # --- out ---

    async def inbox(self, of: str) -> list[Delivery]:
        """What an agency's system sees in its list."""
        key = self.world.of(of).id
        items = await look(self.database, lambda tx: tx.inbox(key, None, 1000))
        return [item.delivery for item in items]

    async def fetch(self, of: str, delivery_id: str) -> None:
        """An agency's system takes the bytes and does not confirm them."""
        mine = self.world.of(of)
        assert isinstance(await fetch(self.database, delivery_id, mine, self.clock()), Fetched)

    async def fetch_and_confirm(self, of: str, delivery_id: str) -> None:
        """An agency's system takes one package."""
        await self.fetch(of, delivery_id)
        await self.confirm(of, delivery_id)

    async def confirm(self, of: str, delivery_id: str) -> None:
        """It says that it has what it fetched."""
        mine = self.world.of(of)
        await confirm(self.database, delivery_id, mine, self.clock(), self.on_time)

    async def now(self, delivery_id: str) -> Delivery:
        """A delivery as it is now."""
        return await stored(self.database, delivery_id)

    async def events(self, package_id: str) -> list[Event]:
        """The log of a package."""
        found: list[Event] = await look(self.database, lambda tx: tx.events_of_package(package_id))
        return found

    async def content(self, digest: str) -> bytes:
        """Stored bytes."""
        return b"".join([block async for block in self.payloads.open(digest)])


async def open_gateway(
    database: SqlDatabase,
    folder: Path,
    *,
    kind: str = "pull",
    calendar: WorkingCalendar = CALENDAR,
) -> Gateway:
    """A gateway with the little world registered."""
    world = await settle_world(database, kind=kind)
    return Gateway(database, DiskPayloads(folder), world, Clock(), calendar)


async def all_rows(database: SqlDatabase) -> tuple[list[Delivery], list[Event]]:
    """Every delivery and every event of a small database."""
    from adapters.database import rows
    from adapters.database.tables import deliveries, events
    from adapters.database.transaction import SqlTransaction

    async def read(tx: Transaction) -> tuple[list[Delivery], list[Event]]:
        assert isinstance(tx, SqlTransaction)
        found = (await tx.connection.execute(deliveries.select())).mappings().all()
        log = (await tx.connection.execute(events.select().order_by(events.c.seq))).mappings()
        return [rows.delivery_of(row) for row in found], [rows.event_of(row) for row in log]

    return await database.read(read)
