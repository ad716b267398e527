"""A machine that plays senders, relays, workers, recipients, operators and crashes.

It drives the real use cases on a real database, in any order that Hypothesis can think of. After
every step the invariants are checked; at the end everything is drained and nothing may be left on
the way. `live` runs it on SQLite or PostgreSQL.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from envelopes.model import Document, StatusCode
from routing.ports import Doorbell, PublishOutcome
from routing.pull import Confirmed, Fetched, confirm, fetch
from routing.records import Delivery, Event
from routing.relay import CLAIM
from routing.states import TransportState
from routing.submission import Accepted, Refused
from tests.support.builders import ALPHA, BETA, GAMMA, STRANGER, document, report
from tests.support.databases import TEMPLATE, opened, prepare
from tests.support.servers import Postgres
from tests.support.use_cases import Gateway, all_rows, open_gateway

T = TypeVar("T")

#: Where a delivery may be when nothing moves any more: with the recipient, or back, or stopped.
AT_REST = {
    TransportState.OFFERED,
    TransportState.DELIVERING,
    TransportState.DELIVERED,
    TransportState.RETURNED,
    TransportState.HELD,
}
#: A database for one life, empty and migrated.
MakeUrl = Callable[[Path], str]


class Crash(Exception):
    """A relay that dies between publishing and writing down."""


class Life(RuleBasedStateMachine):
    """Everything that can happen to documents of the little world."""

    make_url: MakeUrl
    at_rest: ClassVar[set[TransportState]] = AT_REST

    documents = Bundle("documents")
    deliveries = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="lienthong-life-"))
        self.stack = AsyncExitStack()
        self.gateway: Gateway = self.do(self._open())
        self.number = 0
        self.answers: dict[bytes, Accepted] = {}
        self.confirmed: set[str] = set()

    async def _open(self) -> Gateway:
        database = await self.stack.enter_async_context(opened(self.make_url(self.folder)))
        return await open_gateway(database, self.folder / "payloads")

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.runner.run(work)

    # --- senders ---

    @rule(
        target=documents,
        recipients=st.lists(st.sampled_from([BETA, GAMMA, STRANGER]), min_size=1, unique=True),
        urgent=st.booleans(),
    )
    def new_document(self, recipients: list[str], urgent: bool) -> Document:
        """Alpha sends something new."""
        self.number += 1
        sent = document(*recipients, number=self.number, priority=int(urgent))
        answer = self.do(self.gateway.accepted(sent))
        assert not answer.repeated and len(answer.deliveries) == len(recipients)
        self.answers[sent.document_id.encode()] = answer
        return sent

    @rule(sent=documents)
    def same_document_again(self, sent: Document) -> None:
        """A client that has not heard the answer hands the same bytes in again."""
        again = self.do(self.gateway.accepted(sent))
        first = self.answers[sent.document_id.encode()]
        assert again.repeated and again.package == first.package
        assert [row.id for row in again.deliveries] == [row.id for row in first.deliveries]

    @rule(sent=documents, words=st.sampled_from(["một", "hai"]))
    def other_content(self, sent: Document, words: str) -> None:
        """The same DocumentId for something else: a conflict, unless the first reached nobody."""
        rows, _ = self.do(all_rows(self.gateway.database))
        ids = {row.id for row in self.answers[sent.document_id.encode()].deliveries}
        reached = any(row.id in ids and row.state is not TransportState.RETURNED for row in rows)
        if reached:
            other = replace(sent, subject=f"{sent.subject} {words}")
            assert isinstance(self.do(self.gateway.submit(other)), Refused)

    # --- the gateway ---

    @rule(
        outcome=st.sampled_from([*PublishOutcome, PublishOutcome.CONFIRMED, Crash]),
        batch=st.integers(1, 4),
    )
    def relay(self, outcome: PublishOutcome | type[Crash], batch: int) -> None:
        """One round of the relay, with a broker in any mood; the relay may die in it."""

        def answer(_: Doorbell) -> PublishOutcome:
            return outcome if isinstance(outcome, PublishOutcome) else PublishOutcome.CONFIRMED

        self.gateway.broker.answer = answer
        publish = self.gateway.broker.publish
        if outcome is Crash:

            async def dies(bells: list[Doorbell], timeout: float) -> list[PublishOutcome]:
                await publish(bells, timeout)
                raise Crash

            self.gateway.broker.publish = dies  # type: ignore[method-assign, assignment]
        try:
            self.do(self.gateway.relay(batch=batch))
        except Crash:
            self.gateway.clock.now += CLAIM
        finally:
            self.gateway.broker.publish = publish  # type: ignore[method-assign]

    @precondition(lambda self: self.gateway.broker.queue)
    @rule(count=st.integers(1, 5), backwards=st.booleans())
    def ring(self, count: int, backwards: bool) -> None:
        """A worker takes some doorbells, from either end."""
        queue = self.gateway.broker.queue
        taken = [
            queue.pop() if backwards else queue.popleft() for _ in range(min(count, len(queue)))
        ]
        self.do(self.gateway.offer(taken))

    @precondition(lambda self: self.gateway.broker.published)
    @rule(data=st.data())
    def ring_again(self, data: st.DataObject) -> None:
        """The broker delivers an old doorbell once more."""
        bell = data.draw(st.sampled_from(self.gateway.broker.published))
        self.do(self.gateway.offer([bell]))

    @rule(seconds=st.sampled_from([1, 40, 700]))
    def time_passes(self, seconds: int) -> None:
        """The clock goes on and the timer does its round."""
        self.gateway.clock.tick(seconds)
        self.do(self.gateway.recover())

    @rule()
    def crash_and_restart(self) -> None:
        """The process ends: the embedded broker is empty, everything starts from the database."""
        self.gateway.broker.queue.clear()
        self.gateway.clock.tick(1)
        self.do(self.gateway.recover(timedelta(0)))

    # --- recipients ---

    def _waiting(self, agency: str) -> list[Delivery]:
        return self.do(self.gateway.inbox(agency))

    @rule(
        target=deliveries,
        agency=st.sampled_from([ALPHA, BETA, GAMMA]),
        place=st.integers(0, 3),
        and_confirm=st.booleans(),
    )
    def take(self, agency: str, place: int, and_confirm: bool) -> Any:
        """A recipient's system fetches something from its list, and perhaps confirms it."""
        waiting = self._waiting(agency)
        if not waiting:
            return multiple()
        row = waiting[min(place, len(waiting) - 1)]
        mine, now = self.gateway.world.of(agency), self.gateway.clock()
        assert isinstance(self.do(fetch(self.gateway.database, row.id, mine, now)), Fetched)
        if and_confirm:
            on_time = self.gateway.on_time
            answer = self.do(confirm(self.gateway.database, row.id, mine, now, on_time))
            assert isinstance(answer, Confirmed)
            self.confirmed.add(row.id)
        return row.id

    @rule(delivery_id=deliveries, agency=st.sampled_from([ALPHA, BETA, GAMMA]))
    def confirm_late_or_wrongly(self, delivery_id: str, agency: str) -> None:
        """Somebody confirms something that was fetched at some time, perhaps not by them."""
        mine = self.gateway.world.of(agency)
        answer = self.do(
            confirm(
                self.gateway.database,
                delivery_id,
                mine,
                self.gateway.clock(),
                self.gateway.on_time,
            )
        )
        if isinstance(answer, Confirmed):
            assert answer.delivery.connection_id == mine.id
            self.confirmed.add(delivery_id)

    @rule(
        sent=documents,
        agency=st.sampled_from([BETA, GAMMA]),
        code=st.sampled_from(
            [StatusCode.ARRIVED, StatusCode.REFUSED, StatusCode.ACCEPTED, StatusCode.FINISHED]
        ),
    )
    def report_on(self, sent: Document, agency: str, code: StatusCode) -> None:
        """A recipient, or one who is none, says what it did with a document."""
        told = report(code, sent, sender=agency, description=f"{code} {self.number}")
        answer = self.do(self.gateway.submit(told, by=agency))
        recipients = {party.organ_id for party in sent.recipients}
        if agency not in recipients:
            # Passed on in the reporter's own name, tied to no document: it moves nothing.
            assert isinstance(answer, Accepted) and answer.package.document_pk is None

    # --- operators ---

    @rule(
        data=st.data(),
        verb=st.sampled_from(["hold", "release", "give_back", "replay"]),
    )
    def operate(self, data: st.DataObject, verb: str) -> None:
        """An operator does something with any delivery."""
        rows, _ = self.do(all_rows(self.gateway.database))
        if not rows:
            return
        chosen = data.draw(st.integers(0, len(rows) - 1))
        row = sorted(rows, key=lambda one: one.id)[chosen]
        letters, routes, now = (
            self.gateway.dead_letters,
            self.gateway.routes,
            self.gateway.clock(),
        )
        if verb == "hold":
            self.do(letters.hold(row.id, "an", "vì", now))
        elif verb == "give_back":
            self.do(letters.give_back(row.id, "an", f"vì {self.number}", routes, now))
        elif verb == "release":
            self.do(letters.release(row.id, "an", routes, now))
        else:
            self.do(letters.replay(row.id, "an", routes, now))

    # --- what must hold ---

    @invariant()
    def everything_holds(self) -> None:
        """One delivery each; no state without its events; nothing twice in a list."""
        rows, events = self.do(all_rows(self.gateway.database))
        inboxes = {agency: self._waiting(agency) for agency in (ALPHA, BETA, GAMMA)}
        self.check(rows, events, inboxes)

    def check(
        self, rows: list[Delivery], events: list[Event], inboxes: dict[str, list[Delivery]]
    ) -> None:
        """What must hold, of everything in the database and the three inboxes."""
        pairs = [(row.package_id, row.recipient) for row in rows]
        assert len(pairs) == len(set(pairs))
        by_id = {row.id: row for row in rows}
        for answer in self.answers.values():
            assert all(one.id in by_id for one in answer.deliveries)
        replayed = replay(events)
        assert replayed == {row.id: row.state for row in rows}
        for delivery_id in self.confirmed:
            assert by_id[delivery_id].state is TransportState.DELIVERED
        for row in rows:
            rings = row.state in (TransportState.ACCEPTED, TransportState.QUEUED)
            assert rings or row.ring_at is None, row
            assert row.state is not TransportState.ACCEPTED or row.ring_at is not None, row
        for agency, waiting in inboxes.items():
            listed = [row.id for row in waiting]
            assert len(listed) == len(set(listed))
            mine = self.gateway.world.of(agency).id
            assert all(by_id[one].connection_id == mine for one in listed)
            assert listed == [row.id for row in sorted(map(by_id.__getitem__, listed), key=place)]

    def teardown(self) -> None:
        """Everything that is on its way arrives, whatever happened before."""
        try:
            self.do(self._drain())
            self.everything_holds()
            rows, _ = self.do(all_rows(self.gateway.database))
            assert {row.state for row in rows} <= self.at_rest
        finally:
            self.do(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _drain(self) -> None:
        gateway = self.gateway
        gateway.broker.answer = lambda _: PublishOutcome.CONFIRMED
        gateway.clock.now += CLAIM + timedelta(hours=1)
        await gateway.recover(timedelta(0))
        while (await gateway.relay()).claimed:
            await gateway.offer()
        await gateway.offer()


def place(row: Delivery) -> tuple[int, object, str]:
    """Where a delivery belongs in an inbox."""
    return row.lane.rank, row.offered_at, row.id


def replay(events: list[Event]) -> dict[str, TransportState]:
    """The states as the log alone tells them; every step begins where the last one ended."""
    states: dict[str, TransportState] = {}
    for event in events:
        if event.delivery_id is None or not event.type.startswith("delivery."):
            continue
        if event.to_state is None:
            continue
        before = states.get(event.delivery_id)
        assert event.from_state == (before.value if before else None), event
        states[event.delivery_id] = TransportState(event.to_state)
    return states


def live_on_sqlite(machine: type[Life], folder: Path, *, examples: int, steps: int) -> None:
    """Many lives of a machine, each in a database file of its own."""
    template = folder / "template.db"
    prepare(f"sqlite:///{template}")

    def make_url(own: Path) -> str:
        shutil.copy(template, own / "life.db")
        return f"sqlite:///{own}/life.db"

    _live(machine, make_url, examples, steps)


def live_on_postgresql(machine: type[Life], server: Postgres, *, examples: int, steps: int) -> None:
    """Lives of a machine on PostgreSQL; the databases are dropped at the end."""
    schema = server.ensure_template(TEMPLATE, prepare)
    urls: list[str] = []

    def make_url(_: Path) -> str:
        urls.append(server.create_database(template=schema))
        return urls[-1]

    try:
        _live(machine, make_url, examples, steps)
    finally:
        for url in urls:
            server.drop_database(url)


def _live(machine: type[Life], make_url: MakeUrl, examples: int, steps: int) -> None:
    placed = type(machine.__name__, (machine,), {"make_url": staticmethod(make_url)})
    run_state_machine_as_test(
        placed,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking lives on real databases takes longer than a test may.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
