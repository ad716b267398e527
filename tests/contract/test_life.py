"""The life of deliveries, in any order that anybody can think of: what must hold always does.

Hypothesis plays senders, relays, workers, recipients, operators and crashes against the real use
cases and a real database. After every step the invariants are checked, at the end everything is
drained and nothing may be left on the way.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
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


class Crash(Exception):
    """A relay that dies between publishing and writing down."""


class Life(RuleBasedStateMachine):
    """Everything that can happen to documents of the little world."""

    #: Gives the URL of an empty database, migrated or not.
    make_url: Callable[[Path], str]

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
        from dataclasses import replace

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
            return PublishOutcome.CONFIRMED if outcome is Crash else PublishOutcome(outcome)

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
            answer = self.do(confirm(self.gateway.database, row.id, mine, now))
            assert isinstance(answer, Confirmed)
            self.confirmed.add(row.id)
        return row.id

    @rule(delivery_id=deliveries, agency=st.sampled_from([ALPHA, BETA, GAMMA]))
    def confirm_late_or_wrongly(self, delivery_id: str, agency: str) -> None:
        """Somebody confirms something that was fetched at some time, perhaps not by them."""
        mine = self.gateway.world.of(agency)
        answer = self.do(confirm(self.gateway.database, delivery_id, mine, self.gateway.clock()))
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
            assert isinstance(answer, Refused)

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
        for agency in (ALPHA, BETA, GAMMA):
            listed = [row.id for row in self._waiting(agency)]
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
            assert {row.state for row in rows} <= AT_REST
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


def test_life_on_sqlite(tmp_path: Path) -> None:
    """Many long and odd lives on SQLite."""
    template = tmp_path / "template.db"
    prepare(f"sqlite:///{template}")

    class OnSqlite(Life):
        @staticmethod
        def make_url(folder: Path) -> str:
            shutil.copy(template, folder / "life.db")
            return f"sqlite:///{folder}/life.db"

    run_state_machine_as_test(
        OnSqlite,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_life_on_postgresql(postgres_server: Postgres) -> None:
    """A few of them on PostgreSQL."""
    schema = postgres_server.ensure_template(TEMPLATE, prepare)
    urls: list[str] = []

    class OnPostgresql(Life):
        @staticmethod
        def make_url(folder: Path) -> str:
            urls.append(postgres_server.create_database(template=schema))
            return urls[-1]

    try:
        run_state_machine_as_test(
            OnPostgresql,
            settings=settings(
                max_examples=8,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for url in urls:
            postgres_server.drop_database(url)


@pytest.mark.parametrize("broken", ["from", "missing"])
def test_replay_notices_a_state_without_its_event(broken: str) -> None:
    """The invariant can fail: a log with a gap does not replay to the states."""
    from tests.support.builders import NOW

    events = [
        Event("delivery.accepted", NOW, "a", delivery_id="1", to_state="accepted"),
        Event(
            "delivery.offered", NOW, "a", delivery_id="1", from_state="queued", to_state="offered"
        ),
    ]
    if broken == "from":
        with pytest.raises(AssertionError):
            replay(events)
    else:
        assert replay(events[:1]) != {"1": TransportState.OFFERED}
