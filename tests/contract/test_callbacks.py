"""Callback messages on both databases: who is told, in which order, claimed and settled by whom."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from adapters.database import RegistryStore, SqlDatabase
from adapters.database.callback_fan_out import CallbackFanOut
from adapters.database.callback_store import SqlCallbacks
from adapters.database.tables import events
from adapters.database.transaction import SqlTransaction
from envelopes.findings import Sentence
from envelopes.model import StatusCode
from routing.callbacks import (
    CallbackMessage,
    Claimed,
    Endpoint,
    EndpointStatus,
    MessageState,
    PostOutcome,
    PostResult,
    Verdict,
    after_post,
)
from routing.ports import Transaction
from routing.records import Event
from routing.route_table import ConnectionStatus
from routing.webhook_signature import secret_of
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    NOW,
    delivery,
    document,
    keep,
    later,
    package,
    report,
)
from tests.support.callbacks import VAULT, TellingDatabase, add_endpoint, endpoint
from tests.support.databases import opened
from tests.support.use_cases import Gateway, open_gateway

SECRET_WORDS = "V/v nhân sự tuyệt đối kín"


@pytest.fixture
def store(database: SqlDatabase) -> SqlCallbacks:
    """The store of this database."""
    return SqlCallbacks(database, VAULT)


@pytest.fixture
async def telling(database: SqlDatabase, tmp_path: Path) -> Gateway:
    """A gateway whose transactions make callback messages."""
    gateway = await open_gateway(database, tmp_path / "payloads")
    gateway.database = TellingDatabase(database)  # type: ignore[assignment]
    # The use cases were put together on the plain database.
    return Gateway(gateway.database, gateway.payloads, gateway.world, gateway.clock)


async def told(store: SqlCallbacks, to: Endpoint) -> list[tuple[str, str | None]]:
    """Type and recipient of everything an endpoint is told, in order."""
    entries = [json.loads(message.body) for message, _ in reversed(await store.log(to.id))]
    return [
        (one["type"].removeprefix("vn.lienthong."), one["data"].get("recipient")) for one in entries
    ]


async def append(database: Any, *new: Event) -> None:
    """Log events."""

    async def write(tx: Transaction) -> None:
        await tx.append(new)

    await database.write(write)


async def claim(
    store: SqlCallbacks, owner: str = "one", *, at: float = 0.0, limit: int = 100, **more: Any
) -> list[Claimed]:
    """Claim as a dispatcher does, with a lease of a minute."""
    now = later(at)
    options = {"per_endpoint": 100, "room": {}, **more}
    return await store.claim_due(owner, now, later(60, than=now), limit, **options)


async def settle(
    store: SqlCallbacks,
    claimed: Claimed,
    outcome: PostOutcome = PostOutcome.DELIVERED,
    owner: str = "one",
    *,
    at: float = 1.0,
    status: int | None = None,
) -> bool:
    """Settle as a dispatcher does."""
    now = later(at)
    result = PostResult(outcome, f"scripted {outcome}", Sentence("", ""), 0.25, status)
    verdict = after_post(claimed.message.attempts, result, now, 0.0)
    return await store.settle(owner, claimed, result, verdict, now=now)


async def message(store: SqlCallbacks, of: Endpoint, seq: int) -> CallbackMessage:
    """A message as it is now."""
    return next(one for one, _ in await store.log(of.id) if one.seq == seq)


class Line:
    """One sender's endpoint and documents to tell of, one event each time."""

    def __init__(self, gateway: Gateway, to: Endpoint) -> None:
        self.gateway, self.to = gateway, to
        self.packages: dict[str, str] = {}

    async def tell(self, *subjects: str) -> None:
        """An event about each of these documents, in one transaction each."""
        for subject in subjects:
            if subject not in self.packages:
                of = package(connection_id=self.to.connection_id)
                await keep(self.gateway.database, of)
                self.packages[subject] = of.id
            event = Event(
                "package.touched",
                NOW,
                "test",
                document_pk=subject,
                package_id=self.packages[subject],
            )
            await append(self.gateway.database, event)


@pytest.fixture
async def line(telling: Gateway, database: SqlDatabase) -> Line:
    """An endpoint of alpha that is told of everything."""
    return Line(telling, await add_endpoint(database, telling.world.alpha.id))


# --- who is told what -----------------------------------------------------------------------------


async def test_the_sender_hears_all_and_recipients_their_own(
    telling: Gateway, database: SqlDatabase, store: SqlCallbacks
) -> None:
    """From acceptance to the report; nobody hears of a delivery that was not offered to it."""
    world = telling.world
    ends = {code: await add_endpoint(database, world.of(code).id) for code in (ALPHA, BETA, GAMMA)}
    sent = document(BETA, GAMMA, subject=SECRET_WORDS)
    accepted = await telling.accepted(sent)
    assert await told(store, ends[BETA]) == []
    assert [kind for kind, _ in await told(store, ends[ALPHA])] == [
        "package.accepted",
        "delivery.accepted",
        "delivery.accepted",
    ]
    await telling.bring()
    mine = next(row for row in accepted.deliveries if row.connection_id == world.beta.id)
    await telling.fetch_and_confirm(BETA, mine.id)
    await telling.accepted(report(StatusCode.ACCEPTED, sent, description=SECRET_WORDS), by=BETA)
    await telling.bring()

    beta = await told(store, ends[BETA])
    assert [kind for kind, who in beta if who == BETA and not kind.startswith("deadline.")] == [
        "delivery.offered",
        "delivery.fetched",
        "delivery.delivered",
        "report.applied",
    ]
    # Its own report on the way to the sender.
    assert ("package.accepted", None) in beta and ("delivery.offered", ALPHA) in beta
    assert all(who != GAMMA for _, who in beta)
    assert await told(store, ends[GAMMA]) == [("delivery.offered", GAMMA)]
    alpha = await told(store, ends[ALPHA])
    assert {
        ("delivery.delivered", BETA),
        ("report.applied", BETA),
        ("delivery.offered", GAMMA),
    } <= {*alpha}
    assert alpha[-1] == ("delivery.offered", ALPHA)
    for one in ends.values():
        for kept, _ in await store.log(one.id):
            assert "kín" not in kept.body and "\\u" not in kept.body


async def test_ids_and_order_are_those_of_the_log(
    telling: Gateway, database: SqlDatabase, store: SqlCallbacks
) -> None:
    """The number of the event is the message's; both endpoints of a connection get the same id."""
    first, second = [await add_endpoint(database, telling.world.alpha.id) for _ in range(2)]
    accepted = await telling.accepted(document(BETA))
    log = {event.seq: event for event in await telling.events(accepted.package.id)}
    for one in (first, second):
        entries = [kept for kept, _ in reversed(await store.log(one.id))]
        assert [kept.event_seq for kept in entries] == sorted(log)
        for kept in entries:
            event = json.loads(kept.body)
            assert event["id"] == kept.id == f"evt-{kept.event_seq}"
            assert event["type"] == "vn.lienthong." + log[kept.event_seq].type
            assert kept.subject == log[kept.event_seq].document_pk


async def test_types_narrow_what_is_told(
    telling: Gateway, database: SqlDatabase, store: SqlCallbacks
) -> None:
    """Only what matches becomes a message at all."""
    one = await add_endpoint(database, telling.world.alpha.id, types=("delivery.offered", "x.*"))
    await telling.accepted(document(BETA))
    await telling.bring()
    assert await told(store, one) == [("delivery.offered", BETA)]


async def test_suspended_and_removed_endpoints_get_no_messages(
    telling: Gateway, database: SqlDatabase, store: SqlCallbacks
) -> None:
    """And the documents go on as ever."""
    gone = await add_endpoint(database, telling.world.alpha.id)
    off = await add_endpoint(database, telling.world.alpha.id, status=EndpointStatus.SUSPENDED)
    await store.remove(gone, actor="operator:an", now=NOW)
    await telling.accepted(document(BETA))
    assert await store.figures() == {}
    await store.set_status(off, EndpointStatus.ACTIVE, actor="operator:an", now=NOW)
    await telling.accepted(document(BETA, number=2))
    assert (await store.figures())[off.id] == {MessageState.PENDING: 2}


async def test_messages_commit_with_their_events_or_not_at_all(
    telling: Gateway, line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """A transaction that fails after the append leaves neither."""
    of = package(connection_id=telling.world.alpha.id)
    await keep(database, of)

    async def broken(tx: Transaction) -> None:
        await tx.append([Event("package.touched", NOW, "test", package_id=of.id)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await telling.database.write(broken)
    assert await store.figures() == {}
    assert await telling.events(of.id) == []


class Counting:
    """A connection that counts its statements."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect = connection.dialect
        self.count = 0

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Count and run."""
        self.count += 1
        return await self._connection.execute(statement, parameters)


async def test_appends_cost_nothing_more_without_endpoints(
    telling: Gateway, database: SqlDatabase
) -> None:
    """One statement, once it is known that there are none; a handful with some."""
    of = package(connection_id=telling.world.alpha.id)
    await keep(database, of)
    event = Event("package.touched", NOW, "test", package_id=of.id)

    async def statements(fan_out: CallbackFanOut, new: Event) -> int:
        async def write(tx: Transaction) -> int:
            assert isinstance(tx, SqlTransaction)
            counting = Counting(tx.connection)
            await fan_out.append(counting, [new] * 100)
            return counting.count

        return await database.write(write)

    idle = CallbackFanOut(fresh=3600)
    assert [await statements(idle, event) for _ in range(3)] == [2, 1, 1]
    assert await statements(CallbackFanOut(fresh=0), Event("registry.x", NOW, "test")) == 1
    await add_endpoint(database, telling.world.alpha.id)
    busy = CallbackFanOut(fresh=3600)
    await statements(busy, event)
    # Who listens, (on PostgreSQL: in turn,) the events, the messages.
    assert await statements(busy, event) <= 4


async def test_a_circular_to_many_makes_all_messages(
    telling: Gateway, database: SqlDatabase, store: SqlCallbacks
) -> None:
    """More recipients than one statement names."""
    world = telling.world
    sender = await add_endpoint(database, world.alpha.id)
    recipient = await add_endpoint(database, world.beta.id)
    of = package(connection_id=world.alpha.id)
    shown = [
        delivery(of, f"r{n}", connection_id=world.beta.id, offered_at=NOW) for n in range(1100)
    ]
    await keep(database, of, *shown)
    new = [
        Event("delivery.touched", NOW, "t", package_id=of.id, delivery_id=row.id, to_state="x")
        for row in shown
    ]
    await append(telling.database, *new)
    assert (await store.figures())[sender.id] == {MessageState.PENDING: 1100}
    # Accepted ones are not shown to the recipient, whatever their row says.
    assert recipient.id not in await store.figures()


async def test_numbers_of_one_document_grow_in_the_order_of_commits(
    migrated_postgres_url: str, tmp_path: Path
) -> None:
    """PostgreSQL: who appends second about a document waits for the first one's commit.

    Otherwise a dispatcher could send the second's message before the first's becomes visible.
    """
    async with opened(migrated_postgres_url) as database:
        gateway = await open_gateway(database, tmp_path)
        to = await add_endpoint(database, gateway.world.alpha.id)
        telling = TellingDatabase(database)
        of = package(connection_id=gateway.world.alpha.id)
        await keep(database, of)
        appended, go_on = asyncio.Event(), asyncio.Event()
        finished: list[str] = []

        async def write(name: str, subject: str, *, slowly: bool = False) -> None:
            async def work(tx: Transaction) -> None:
                event = Event(name, NOW, "test", document_pk=subject, package_id=of.id)
                await tx.append([event])
                if slowly:
                    appended.set()
                    await go_on.wait()

            await telling.write(work)
            finished.append(name)

        slow = asyncio.create_task(write("x.first", "doc", slowly=True))
        await appended.wait()
        fast = asyncio.create_task(write("x.second", "doc"))
        try:
            await write("x.other", "another document")
            visible = await told(SqlCallbacks(database, VAULT), to)
        finally:
            go_on.set()
        await asyncio.gather(slow, fast)
        assert visible == [("x.other", None)]
        assert finished == ["x.other", "x.first", "x.second"]
        in_log = [kind for kind, _ in await told(SqlCallbacks(database, VAULT), to)]
        assert in_log == ["x.first", "x.other", "x.second"]


async def test_secrets_lie_sealed_and_those_of_before_are_sealed(
    store: SqlCallbacks, telling: Gateway, database: SqlDatabase
) -> None:
    """No copy of the database signs in our name, also where an earlier version wrote plainly."""
    made = await add_endpoint(database, telling.world.alpha.id)
    newer = secret_of(b"another secret of 32 bytes, here")
    await store.rotate(made, newer, NOW + timedelta(hours=1), actor="operator:test", now=NOW)

    async def stored(tx: Transaction) -> list[tuple[str, str]]:
        assert isinstance(tx, SqlTransaction)
        found = await tx.connection.execute(
            text("SELECT secret, old_secret FROM callback_endpoints")
        )
        return [(row[0], row[1]) for row in found]

    async def as_before(tx: Transaction) -> None:
        assert isinstance(tx, SqlTransaction)
        plain = "UPDATE callback_endpoints SET secret = :new, old_secret = :old"
        await tx.connection.execute(text(plain), {"new": newer, "old": made.secret})

    for _ in range(2):
        ((sealed, old_sealed),) = await database.read(stored)
        assert "whsec_" not in sealed + old_sealed
        known = await store.endpoint(made.id)
        assert known is not None and (known.secret, known.old_secret) == (newer, made.secret)
        await database.write(as_before)
        assert (await store.endpoints())[0].secret == newer
        assert await store.seal_what_is_open() == 1
        assert await store.seal_what_is_open() == 0


# --- claiming: order, leases, bounds --------------------------------------------------------------


async def test_one_message_of_a_document_at_a_time_in_the_order_of_the_log(
    line: Line, store: SqlCallbacks
) -> None:
    """The next goes when the one before it is settled; other documents do not wait."""
    await line.tell("a", "a", "b", "a")
    first = await claim(store)
    assert [one.message.subject for one in first] == ["a", "b"]
    assert await claim(store, at=1) == []
    await settle(store, first[0])
    second = await claim(store, at=2)
    assert [one.message.subject for one in second] == ["a"]
    assert second[0].message.event_seq > first[0].message.event_seq
    await settle(store, second[0], at=3)
    assert len(await claim(store, at=4)) == 1


async def test_a_failed_message_holds_its_document_until_it_is_parked(
    line: Line, store: SqlCallbacks
) -> None:
    """While it waits nothing of the document goes; parked, it blocks nobody."""
    await line.tell("a", "a")
    at = 0.0
    for _ in range(12):
        (one,) = await claim(store, at=at)
        await settle(store, one, PostOutcome.TRY_LATER, at=at)
        waiting = await message(store, line.to, one.message.seq)
        assert waiting.state is MessageState.PENDING and waiting.last_error
        at = (waiting.next_at - NOW).total_seconds()
        assert await claim(store, at=at - 0.5) == []
    (last,) = await claim(store, at=at)
    assert last.message.attempts == 13
    await settle(store, last, PostOutcome.UNKNOWN, at=at)
    parked = await message(store, line.to, last.message.seq)
    assert parked.state is MessageState.PARKED
    assert at > timedelta(hours=44).total_seconds()
    (following,) = await claim(store, at=at + 1)
    assert following.message.event_seq > parked.event_seq
    (entry,) = await store.log(line.to.id, state=MessageState.PARKED)
    assert [one.number for one in entry[1]] == list(range(1, 14))
    assert {one.outcome for one in entry[1]} == {PostOutcome.TRY_LATER, PostOutcome.UNKNOWN}
    assert entry[1][0].seconds == 0.25


async def test_a_lapsed_lease_frees_the_message_under_the_same_id(
    line: Line, store: SqlCallbacks
) -> None:
    """The second dispatcher sends the same; the first one's late failure changes nothing."""
    await line.tell("a", "a")
    (lost,) = await claim(store, "dead")
    assert await claim(store, "two", at=59) == []
    (again,) = await claim(store, "two", at=61)
    assert (again.message.id, again.message.body) == (lost.message.id, lost.message.body)
    assert again.message.attempts == 2
    assert not await settle(store, lost, PostOutcome.REFUSED, "dead", at=62)
    assert not await settle(store, lost, PostOutcome.DELIVERED, "dead", at=62)
    assert await settle(store, again, PostOutcome.DELIVERED, "two", at=63)
    assert (await message(store, line.to, lost.message.seq)).state is MessageState.DELIVERED


async def test_a_late_success_counts_when_nobody_else_has_the_message(
    line: Line, store: SqlCallbacks
) -> None:
    """It was received, whatever we believed meanwhile."""
    await line.tell("a")
    (late,) = await claim(store, "slow")
    (again,) = await claim(store, "two", at=61)
    assert await settle(store, again, PostOutcome.TRY_LATER, "two", at=62)
    assert await settle(store, late, PostOutcome.DELIVERED, "slow", at=63)
    assert (await message(store, line.to, late.message.seq)).state is MessageState.DELIVERED
    assert await claim(store, at=10_000) == []


async def test_dispatchers_never_share_a_message(line: Line, store: SqlCallbacks) -> None:
    """Eight that claim at once take disjoint messages, one per document."""
    await line.tell(*(f"doc{n % 20}" for n in range(60)))
    taken = await asyncio.gather(
        *(claim(store, f"owner{n}", limit=5) for n in range(8)), return_exceptions=False
    )
    seqs = [one.message.seq for part in taken for one in part]
    subjects = [one.message.subject for part in taken for one in part]
    assert len(seqs) == len(set(seqs)) and len(subjects) == len(set(subjects))
    rest = await claim(store, "last")
    assert sorted(subjects + [one.message.subject for one in rest]) == sorted(
        f"doc{n}" for n in range(20)
    )


async def test_every_document_goes_in_order_whatever_dispatchers_do(
    line: Line, store: SqlCallbacks
) -> None:
    """Four dispatchers with failing and succeeding posts: each once, in the log's order."""
    await line.tell(*(f"doc{n % 5}" for n in range(40)))
    arrived: dict[str, list[int]] = {}
    posts = itertools.count()

    async def dispatch(owner: str, at: float) -> None:
        for one in await claim(store, owner, at=at, limit=3):
            if next(posts) % 3 == 0:
                await settle(store, one, PostOutcome.UNKNOWN, owner, at=at)
                continue
            arrived.setdefault(one.message.subject, []).append(one.message.event_seq)
            await settle(store, one, PostOutcome.DELIVERED, owner, at=at)

    # The dispatchers get in each other's way as the machine has it: there are rounds to spare.
    for step in range(400):
        if sum(len(seqs) for seqs in arrived.values()) == 40:
            break
        await asyncio.gather(*(dispatch(f"owner{n}", step * 40.0) for n in range(4)))
    assert sum(len(seqs) for seqs in arrived.values()) == 40
    for seqs in arrived.values():
        assert seqs == sorted(set(seqs))


async def test_bounds_per_endpoint_and_in_all(
    telling: Gateway, line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """One endpoint's backlog leaves room for the other's messages."""
    other = Line(telling, await add_endpoint(database, telling.world.beta.id))
    await line.tell(*(f"a{n}" for n in range(10)))
    await other.tell(*(f"b{n}" for n in range(10)))

    def count(claimed: list[Claimed], of: Line) -> int:
        return sum(one.endpoint.id == of.to.id for one in claimed)

    first = await claim(store, per_endpoint=3)
    assert (count(first, line), count(first, other)) == (3, 3)
    second = await claim(store, per_endpoint=3, room={line.to.id: 0, other.to.id: 1})
    assert (count(second, line), count(second, other)) == (0, 1)
    # What is left for one claim goes to another endpoint each time.
    small = [await claim(store, limit=2, per_endpoint=2) for _ in range(2)]
    assert {count(one, line) for one in small} == {0, 2}


async def test_suspended_connections_and_endpoints_are_not_sent_to(
    telling: Gateway, line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """What waits uses up no attempt and goes after the resumption."""
    await line.tell("a")
    registry = RegistryStore(database)
    alpha = telling.world.alpha
    await registry.set_status(alpha, ConnectionStatus.SUSPENDED, actor="operator:an", now=NOW)
    assert await claim(store) == []
    await registry.set_status(alpha, ConnectionStatus.ACTIVE, actor="operator:an", now=NOW)
    await store.set_status(line.to, EndpointStatus.SUSPENDED, actor="operator:an", now=NOW)
    assert await claim(store) == []
    await store.set_status(line.to, EndpointStatus.ACTIVE, actor="operator:an", now=later(5))
    (one,) = await claim(store, at=5)
    assert one.message.attempts == 1


# --- what operators and receivers do --------------------------------------------------------------


async def logged(database: SqlDatabase) -> list[tuple[str, str]]:
    """Type and actor of every event about callbacks."""

    async def read(tx: Transaction) -> list[tuple[str, str]]:
        assert isinstance(tx, SqlTransaction)
        found = await tx.connection.execute(
            events.select().where(events.c.type.like("callback.%")).order_by(events.c.seq)
        )
        rows = list(found)
        assert all("whsec_" not in json.dumps(row.data) for row in rows)
        return [(row.type, row.actor) for row in rows]

    return await database.read(read)


async def test_gone_suspends_the_endpoint_and_keeps_the_message(
    line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """410: nothing more is sent until an operator resumes it; the log says who did what."""
    await line.tell("a", "b")
    one, other = await claim(store)
    await settle(store, one, PostOutcome.REFUSED, status=410)
    stored = await store.endpoint(line.to.id)
    assert stored is not None and stored.status is EndpointStatus.SUSPENDED
    assert (await message(store, line.to, one.message.seq)).state is MessageState.PENDING
    # One that was under way is settled all the same.
    assert await settle(store, other)
    await store.set_status(line.to, EndpointStatus.ACTIVE, actor="operator:an", now=later(9))
    assert [again.message.id for again in await claim(store, at=9)] == [one.message.id]
    assert await logged(database) == [
        ("callback.added", "operator:test"),
        ("callback.suspended", "gateway:callbacks"),
        ("callback.active", "operator:an"),
    ]


async def test_replay_sends_again_under_the_same_id(line: Line, store: SqlCallbacks) -> None:
    """Parked and delivered ones, by number or all that are parked; pending ones are left alone."""
    await line.tell("a", "b", "c")
    a, b, c = await claim(store)
    await settle(store, a)
    refused = PostResult(PostOutcome.REFUSED, "HTTP 400", Sentence("", ""))
    assert await store.settle("one", b, refused, Verdict(MessageState.PARKED, NOW), now=NOW)
    assert (await message(store, line.to, b.message.seq)).state is MessageState.PARKED
    assert await store.replay([c.message.seq, 10**9], now=later(10)) == []
    assert await store.replay([a.message.seq, b.message.seq], now=later(10)) == sorted(
        [a.message.seq, b.message.seq]
    )
    again = {one.message.id: one.message for one in await claim(store, at=11)}
    assert again.keys() == {a.message.id, b.message.id}
    assert again[b.message.id].attempts == 1
    assert again[a.message.id].body == a.message.body


async def test_a_replayed_message_waits_for_a_later_one_under_way(
    line: Line, store: SqlCallbacks
) -> None:
    """One of a document at a time, also when an operator sends an old one again."""
    await line.tell("a", "a")
    (old,) = await claim(store)
    await settle(store, old)
    (under_way,) = await claim(store, at=2)
    assert await store.replay([old.message.seq], now=later(3)) == [old.message.seq]
    assert await claim(store, at=4) == []
    await settle(store, under_way, at=5)
    assert [one.message.id for one in await claim(store, at=6)] == [old.message.id]


async def test_replay_of_all_that_is_parked(
    telling: Gateway, line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """Of one endpoint, or of all."""
    other = Line(telling, await add_endpoint(database, telling.world.beta.id))
    await line.tell("a", "b")
    await other.tell("c")
    at = 0.0
    for _ in range(13):
        for one in await claim(store, at=at):
            await settle(store, one, PostOutcome.REFUSED, at=at)
        at += timedelta(days=1).total_seconds()
    figures = await store.figures()
    assert figures[line.to.id] == {MessageState.PARKED: 2}
    assert len(await store.replay_parked(other.to.id, now=later(at))) == 1
    assert len(await store.replay_parked(now=later(at))) == 2
    assert await store.replay_parked(now=later(at)) == []


async def test_rotation_and_round_trip(
    telling: Gateway, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """An endpoint comes back as it was put; a rotation keeps the old secret to its end."""
    made = endpoint(
        telling.world.alpha.id,
        types=("delivery.*",),
        allowed_networks=("10.0.0.0/8",),
    )
    await store.add(made, actor="operator:an", now=NOW)
    # The answer of the first commit was lost: once more does no harm.
    await store.add(made, actor="operator:an", now=NOW)
    assert await store.endpoints() == [made]
    fresh = endpoint("x").secret
    await store.rotate(made, fresh, later(60), actor="operator:an", now=NOW)
    await store.rotate(made, fresh, later(99), actor="operator:an", now=NOW)
    stored = await store.endpoint(made.id)
    assert stored is not None
    assert stored.secrets(later(59)) == (fresh, made.secret)
    assert stored.secrets(later(60)) == (fresh,)
    assert [kind for kind, _ in await logged(database)] == [
        "callback.added",
        "callback.secret-rotated",
    ]


async def test_removing_an_endpoint_under_way(
    line: Line, store: SqlCallbacks, database: SqlDatabase
) -> None:
    """Its messages and attempts go with it; a post that ends afterwards finds nothing."""
    await line.tell("a", "b")
    a, b = await claim(store)
    await settle(store, a)
    await store.remove(line.to, actor="operator:an", now=NOW)
    await store.remove(line.to, actor="operator:an", now=NOW)
    assert not await settle(store, b)
    assert await store.endpoint(line.to.id) is None
    assert await store.log(line.to.id) == []
    assert [kind for kind, _ in await logged(database)] == ["callback.added", "callback.removed"]


async def test_delivered_messages_are_forgotten_in_time(line: Line, store: SqlCallbacks) -> None:
    """Old delivered ones go, a few at a time; pending and parked ones stay however old."""
    await line.tell("a", "b", "c")
    a, b, c = await claim(store)
    await settle(store, a, at=1)
    await settle(store, b, at=100)
    await settle(store, c, PostOutcome.TRY_LATER)
    assert await store.forget(later(50)) == 1
    assert await store.forget(later(50)) == 0
    assert {kept.seq for kept, _ in await store.log(line.to.id)} == {b.message.seq, c.message.seq}
    assert await store.forget(later(1e6), limit=1) == 1


async def test_words_of_strangers_are_storable(line: Line, store: SqlCallbacks) -> None:
    """A detail with NUL or half a character breaks nothing."""
    await line.tell("a")
    (one,) = await claim(store)
    result = PostResult(PostOutcome.TRY_LATER, "x\0y\udcff", Sentence("", ""))
    verdict = after_post(1, result, NOW, 0.0)
    assert await store.settle("one", one, result, verdict, now=NOW)
    assert (await message(store, line.to, one.message.seq)).last_error == "x\ufffdy?"
