"""The store of deadlines and the watch over them, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.database import SqlDatabase
from adapters.database.deadline_store import SqlDeadlines
from adapters.database.engine import parse_url
from adapters.database.executes import Executes
from adapters.database.lifecycle_tables import metadata
from adapters.database.transaction import SqlTransaction
from envelopes.model import StatusCode
from routing.deadline_limits import (
    Limits,
    opened_on_delivery,
)
from routing.deadline_watch import (
    DeadlineStore,
    HasDeadlines,
    keep_opened,
    keep_settled,
    watch_all,
    watch_once,
)
from routing.deadlines import (
    Deadline,
    DeadlineKind,
    DeadlineState,
    cancelled,
    closed_by_report,
)
from routing.ports import Transaction
from routing.records import Delivery, Event
from routing.working_time import WorkingCalendar
from tests.support.builders import NOW, delivery, keep, new_id, package

T = TypeVar("T")
K, S = DeadlineKind, DeadlineState
ACTOR = "connection:beta"
ONE_DAY = timedelta(days=1)
#: Monday 08:30 in Vietnam, to the microsecond: receipt is due at 17:00, handling at 10:30.
RECEIVED = NOW


class WithDeadlines:
    """A transaction that has deadlines."""

    def __init__(self, tx: SqlTransaction) -> None:
        self.tx = tx
        self.deadlines: DeadlineStore = SqlDeadlines(tx.connection)

    async def append(self, events: Sequence[Event], /) -> None:
        await self.tx.append(events)


class DeadlineDatabase:
    """A database whose transactions have deadlines."""

    def __init__(self, database: SqlDatabase) -> None:
        self.database = database

    async def write(self, work: Callable[[HasDeadlines], Awaitable[T]], /) -> T:
        return await self.database.write(self._in(work))

    async def read(self, work: Callable[[HasDeadlines], Awaitable[T]], /) -> T:
        return await self.database.read(self._in(work))

    def _in(self, work: Callable[[HasDeadlines], Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def run(tx: Transaction) -> T:
            assert isinstance(tx, SqlTransaction)
            return await work(WithDeadlines(tx))

        return run


@pytest.fixture
async def database(database: SqlDatabase, database_url: str) -> SqlDatabase:
    """The database of the contract suites with every table of today's schema."""
    url = parse_url(database_url)
    if url.drivername.startswith("sqlite"):
        engine = create_engine(url)
        metadata.create_all(engine)
        engine.dispose()
    else:
        server = create_async_engine(url)
        async with server.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await server.dispose()
    return database


@pytest.fixture
def kept(database: SqlDatabase) -> DeadlineDatabase:
    """The same database, with deadlines in its transactions."""
    return DeadlineDatabase(database)


async def delivered(database: SqlDatabase, due_date: str | None = None) -> Delivery:
    """A document that a receiver has."""
    of = package(document_pk=new_id(), summary={"dueDate": due_date})
    row = delivery(of)

    async def make(tx: Transaction) -> str:
        made = await tx.lock_document(
            of.sender, of.id, pk=of.document_pk or "", subject="", search="", now=NOW
        )
        return made.pk

    await database.write(make)
    await keep(database, of, row)
    return row


def limits_of(row: Delivery, due_date: str | None = None) -> list[Deadline]:
    """The deadlines that this delivery opens."""
    of = package(summary={"dueDate": due_date})
    return opened_on_delivery(row, of, WorkingCalendar(), Limits(), new_id, RECEIVED)


async def open_all(kept: DeadlineDatabase, deadlines: list[Deadline]) -> list[Deadline]:
    """Store new deadlines with their events."""
    return await kept.write(lambda tx: keep_opened(tx, deadlines, actor=ACTOR, now=RECEIVED))


async def report(kept: DeadlineDatabase, row: Delivery, code: StatusCode, at: datetime) -> None:
    """Settle what a report settles."""

    async def write(tx: HasDeadlines) -> None:
        unsettled = await tx.deadlines.open_of_delivery(row.id, lock=True)
        await keep_settled(tx, closed_by_report(unsettled, code, at), actor=ACTOR)

    await kept.write(write)


async def all_of(kept: DeadlineDatabase, row: Delivery) -> list[Deadline]:
    """All deadlines of a delivery's document, by the time they are due."""
    return await kept.read(lambda tx: tx.deadlines.of_document(row.document_pk or ""))


async def told(database: SqlDatabase, row: Delivery) -> list[str]:
    """The types of the document's events, in order."""
    events = await database.read(lambda tx: tx.events_of_document(row.document_pk or ""))
    return [f"{event.type} {event.data['kind']}" for event in events]


# --- the store ------------------------------------------------------------------------------------


async def test_what_is_put_comes_back_unchanged(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """Every field, to the microsecond; ordered by the time they are due."""
    row = await delivered(database)
    new = limits_of(row, "2026-03-20")
    assert await open_all(kept, new) == new
    found = await all_of(kept, row)
    assert found == sorted(new, key=lambda one: one.due_at)
    assert all(one.due_at.tzinfo is UTC for one in found)
    assert await kept.read(lambda tx: tx.deadlines.open_of_delivery(row.id)) == sorted(
        new, key=lambda one: one.id
    )


async def test_a_delivery_has_each_kind_once(database: SqlDatabase, kept: DeadlineDatabase) -> None:
    """Opening again keeps what is there, adds what is missing, and tells only of that."""
    row = await delivered(database)
    first = await open_all(kept, limits_of(row))
    await report(kept, row, StatusCode.ARRIVED, RECEIVED)
    again = await open_all(kept, limits_of(row, "2026-03-20"))
    assert [one.kind for one in again] == [K.REPLY]
    found = {one.kind: one for one in await all_of(kept, row)}
    assert {one.id for one in found.values()} == {one.id for one in (*first, *again)}
    assert found[K.RECEIPT].state is S.MET
    assert await told(database, row) == [
        "deadline.opened receipt",
        "deadline.opened handling",
        "deadline.opened assign",
        "deadline.met receipt",
        "deadline.opened reply",
    ]


async def test_nothing_to_put_or_update_is_nothing(kept: DeadlineDatabase) -> None:
    """Use cases need not ask whether a list is empty."""

    async def write(tx: HasDeadlines) -> list[Deadline]:
        await tx.deadlines.update([])
        await keep_settled(tx, [], actor=ACTOR)
        assert await tx.deadlines.open_of_deliveries([], lock=True) == []
        return await keep_opened(tx, [], actor=ACTOR, now=NOW)

    assert await kept.write(write) == []


async def test_many_are_put_at_once(database: SqlDatabase, kept: DeadlineDatabase) -> None:
    """More than one statement takes: every one is kept and told of."""
    rows = [await delivered(database) for _ in range(3)]
    single = [one for row in rows for one in limits_of(row)]
    kinds = [replace(single[0], id=new_id(), kind=kind) for kind in (K.REPLY, K.RECALL)]
    repeated = [replace(one, id=new_id()) for one in single] * 40
    found = await open_all(kept, [*single, *repeated, *kinds])
    assert {one.id for one in found} == {one.id for one in (*single, *kinds)}


async def test_settled_deadlines_are_not_open_any_more(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """A report closes those of its own delivery only, and says by what and when."""
    row, other = await delivered(database), await delivered(database)
    await open_all(kept, [*limits_of(row), *limits_of(other)])
    at = RECEIVED + timedelta(hours=3)
    await report(kept, row, StatusCode.ACCEPTED, at)
    both = await kept.read(lambda tx: tx.deadlines.open_of_deliveries([row.id, other.id]))
    assert [(one.delivery_id, one.kind) for one in both] == [
        (row.id, K.ASSIGN),
        *((other.id, kind) for kind in (K.RECEIPT, K.HANDLING, K.ASSIGN)),
    ]
    closed = {one.kind: one for one in await all_of(kept, row) if one.state.is_closed}
    assert {kind: one.state for kind, one in closed.items()} == {
        K.RECEIPT: S.MET,
        K.HANDLING: S.LATE,
    }
    assert {(one.closed_at, one.closed_by) for one in closed.values()} == {(at, "report 03")}


async def test_what_is_closed_stays_closed(database: SqlDatabase, kept: DeadlineDatabase) -> None:
    """Storing an older picture of a closed deadline changes nothing."""
    row = await delivered(database)
    old = await open_all(kept, limits_of(row))
    await report(kept, row, StatusCode.FINISHED, RECEIVED)
    before = await all_of(kept, row)
    stale = [step.after for step in cancelled(old, RECEIVED + ONE_DAY, "withdrawn")]
    await kept.write(lambda tx: tx.deadlines.update([*old, *stale]))
    assert await all_of(kept, row) == before


async def test_the_reason_may_hold_anything(database: SqlDatabase, kept: DeadlineDatabase) -> None:
    """What a stranger wrote never breaks a statement."""
    row = await delivered(database)
    new = await open_all(kept, limits_of(row))

    async def write(tx: HasDeadlines) -> None:
        steps = cancelled(new, NOW, "thu hồi \0 \ud800")
        await tx.deadlines.update([step.after for step in steps])

    await kept.write(write)
    assert {one.closed_by for one in await all_of(kept, row)} == {"thu hồi \ufffd ?"}


async def test_looking_for_notices_does_not_read_the_whole_table(kept: DeadlineDatabase) -> None:
    """Closed deadlines pile up for years; the timer looks every few seconds."""
    seen: list[str] = []

    class Explains:
        """The connection, with the plan of each statement instead of its rows."""

        def __init__(self, inner: Executes) -> None:
            self.inner = inner
            self.dialect = inner.dialect

        async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
            literal = {"compile_kwargs": {"literal_binds": True}, "dialect": self.dialect}
            query = statement.compile(**literal)
            explain = "EXPLAIN" if self.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
            if self.dialect.name == "postgresql":
                await self.inner.execute(text("SET LOCAL enable_seqscan = off"))
            plan = await self.inner.execute(text(f"{explain} {query}"))
            seen.append(str(plan.all()))
            return await self.inner.execute(statement, parameters)

    async def look(tx: HasDeadlines) -> None:
        assert isinstance(tx, WithDeadlines)
        await SqlDeadlines(Explains(tx.tx.connection)).due_notices(NOW, 10)

    await kept.write(look)
    assert "ix_deadlines_notice" in seen[0]


# --- the watch ------------------------------------------------------------------------------------


async def test_the_watch_tells_first_that_time_is_short_and_then_that_it_is_over(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """Each notice once, in the transaction of its event; the document is left alone."""
    row = await delivered(database)
    (handling,) = [one for one in limits_of(row) if one.kind is K.HANDLING]
    await open_all(kept, [handling])
    before = await database.read(lambda tx: tx.get_delivery(row.id))
    seen = []
    for at in (handling.warn_at, handling.due_at, handling.due_at + ONE_DAY):
        for moment in (at, at + timedelta(microseconds=1), at + timedelta(seconds=1)):
            watched = await watch_once(kept, moment)
            seen.append((watched.nearing, watched.overdue))
    assert seen == [(0, 0), (1, 0), (0, 0), (0, 0), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0)]
    assert await told(database, row) == [
        "deadline.opened handling",
        "deadline.nearing handling",
        "deadline.overdue handling",
    ]
    (stored,) = await all_of(kept, row)
    assert (stored.state, stored.notice_at) == (S.OVERDUE, None)
    assert await database.read(lambda tx: tx.get_delivery(row.id)) == before


async def test_what_is_overdue_can_still_be_settled(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """It ends late; then the watch has nothing more to say."""
    row = await delivered(database)
    await open_all(kept, limits_of(row))
    assert (await watch_all(kept, RECEIVED + ONE_DAY * 9)).overdue == 3
    await report(kept, row, StatusCode.FINISHED, RECEIVED + ONE_DAY * 10)
    assert {one.state for one in await all_of(kept, row)} == {S.LATE}
    assert (await watch_all(kept, RECEIVED + ONE_DAY * 11)).notices == ()


async def test_settled_deadlines_get_no_notice(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """Met or cancelled: nobody is bothered."""
    row = await delivered(database)
    await open_all(kept, limits_of(row, "2026-03-20"))
    await report(kept, row, StatusCode.REFUSED, RECEIVED)
    assert (await watch_all(kept, RECEIVED + ONE_DAY * 99)).notices == ()


async def test_the_watch_goes_on_in_small_steps_until_nothing_is_left(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """The longest waiting first; every one is told of exactly once."""
    rows = [await delivered(database) for _ in range(3)]
    new = [one for row in rows for one in limits_of(row)]
    await open_all(kept, new)
    late = RECEIVED + ONE_DAY * 9
    first = await watch_once(kept, late, limit=3)
    assert {notice.deadline.kind for notice in first.notices} == {K.HANDLING}
    rest = await watch_all(kept, late, limit=3)
    ids = [notice.deadline.id for notice in (*first.notices, *rest.notices)]
    assert sorted(ids) == sorted(one.id for one in new)


async def test_several_timers_give_each_notice_once(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """Locked rows are passed over, not waited for and not told of twice."""
    rows = [await delivered(database) for _ in range(4)]
    new = [one for row in rows for one in limits_of(row)]
    await open_all(kept, new)
    late = RECEIVED + ONE_DAY * 9
    watched = await asyncio.gather(*(watch_once(kept, late, limit=5) for _ in range(6)))
    ids = [notice.deadline.id for one in watched for notice in one.notices]
    ids += [notice.deadline.id for notice in (await watch_all(kept, late)).notices]
    assert sorted(ids) == sorted(one.id for one in new)


async def test_a_report_and_the_watch_at_once_leave_one_truth(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """Whoever comes first: the log's last line of a deadline is its state."""
    late = RECEIVED + ONE_DAY * 9
    for _ in range(5):
        row = await delivered(database)
        await open_all(kept, limits_of(row))
        await asyncio.gather(
            report(kept, row, StatusCode.FINISHED, late),
            watch_once(kept, late),
            report(kept, row, StatusCode.ASSIGNED, late),
        )
        assert {one.state for one in await all_of(kept, row)} == {S.LATE}
        lines = await told(database, row)
        for kind in (K.RECEIPT, K.HANDLING, K.ASSIGN):
            mine = [line.split()[0] for line in lines if line.endswith(f" {kind}")]
            assert mine in (
                ["deadline.opened", "deadline.late"],
                ["deadline.opened", "deadline.overdue", "deadline.late"],
            )


async def test_rolled_back_notices_were_never_given(
    database: SqlDatabase, kept: DeadlineDatabase
) -> None:
    """The notice and its event share one fate."""
    row = await delivered(database)
    await open_all(kept, limits_of(row))

    class Broken(Exception):
        pass

    class Breaks(DeadlineDatabase):
        async def write(self, work: Callable[[HasDeadlines], Awaitable[T]], /) -> T:
            async def run(tx: HasDeadlines) -> T:
                await work(tx)
                raise Broken

            return await super().write(run)

    late = RECEIVED + ONE_DAY * 9
    with pytest.raises(Broken):
        await watch_once(Breaks(database), late)
    assert {one.state for one in await all_of(kept, row)} == {S.OPEN}
    assert (await watch_once(kept, late)).overdue == 3
