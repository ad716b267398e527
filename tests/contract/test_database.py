"""The contract of `routing.ports.Database` on SQLite and PostgreSQL: what is stored, and together.

Concurrency, the outbox and migrations have files of their own beside this one.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.database import SqlDatabase
from envelopes.findings import Finding, Sentence, Severity
from envelopes.model import StatusCode
from identifiers.texts import fold
from routing.lanes import Lane
from routing.ports import DeliveryQuery, DocumentQuery, InboxCursor, Transaction
from routing.records import STATUS, Attempt, Change, Event, Reason
from routing.states import Happening, TransportState
from tests.support.builders import (
    NOW,
    World,
    delivery,
    keep,
    later,
    look,
    new_id,
    package,
    put,
    settle_world,
    step,
    stored,
)


@pytest.fixture
async def world(database: SqlDatabase) -> World:
    """Three connections."""
    return await settle_world(database)


async def test_package_round_trip(database: SqlDatabase) -> None:
    """A package comes back as it was stored, findings, nested summary and microseconds included."""
    finding = Finding(
        "ID-RECIPIENT", Severity.WARN, Sentence("việc", "thing"), "To[1]", 7, "a", "b", "Điều 1"
    )
    kept = package(
        findings=(finding,),
        summary={"subject": '«Ơ» \\ " \n', "attachments": [{"size": 2**40, "name": None}]},
        size=2**40,
        lane=Lane.URGENT,
        received_at=datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    )
    await keep(database, kept)
    assert await look(database, lambda tx: tx.get_package(kept.id)) == kept
    assert await look(database, lambda tx: tx.find_package(kept.sender, kept.digest)) == kept
    assert await look(database, lambda tx: tx.find_package("other", kept.digest)) is None
    both = await look(database, lambda tx: tx.get_packages([kept.id, new_id()]))
    assert both == {kept.id: kept}


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 2, 28, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 8, 30, 0, 500001, tzinfo=timezone(timedelta(hours=7))),
        datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_times_keep_every_microsecond(database: SqlDatabase, moment: datetime) -> None:
    """A time comes back to the microsecond, in UTC, whatever zone it was given in."""
    kept = package(received_at=moment)
    await keep(database, kept)
    found = await look(database, lambda tx: tx.get_package(kept.id))
    assert found.received_at == moment
    assert found.received_at.tzinfo is UTC


async def test_naive_times_are_refused(database: SqlDatabase) -> None:
    """A time without a zone is a bug; nothing of its transaction is kept."""
    kept = package()
    naive = package(received_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test

    async def write(tx: Transaction) -> None:
        await tx.insert_package(kept)
        await tx.insert_package(naive)

    with pytest.raises(Exception, match="naive datetime"):
        await database.write(write)
    assert await look(database, lambda tx: tx.get_package(kept.id)) is None


async def test_apply_stores_exactly_what_change_said(database: SqlDatabase, world: World) -> None:
    """Every field that a change set is stored, and the event beside it; nothing else moves."""
    of = package()
    row = delivery(of, connection_id=world.beta.id)
    other = delivery(of, "H41.OTHER", connection_id=world.beta.id)
    await keep(database, of, row, other)
    made = step(
        row,
        Happening.RELAYED,
        later(1),
        recipient="H41.NEXT",
        connection_id=world.gamma.id,
        business_state=StatusCode.ACCEPTED,
        attempts=3,
        ring_at=later(2),
        ring_failures=4,
        lease_owner="worker-1",
        lease_until=later(3),
        offered_at=later(4),
        fetched_at=later(5),
        delivered_at=later(6),
        reason=Reason("code", Sentence("vì", "because"), try_again=True),
    )
    await put(database, made)
    assert await stored(database, row.id) == made.after
    assert await stored(database, other.id) == other
    (event,) = await look(database, lambda tx: tx.events_of_package(of.id))
    assert replace(event, seq=0) == made.event
    back = replace(
        made.after,
        business_state=None,
        reason=None,
        ring_at=None,
        lease_owner=None,
        lease_until=None,
        offered_at=None,
        fetched_at=None,
        delivered_at=None,
        connection_id=None,
    )
    await put(database, Change(made.after, back, made.event))
    assert await stored(database, row.id) == back


def test_every_field_of_a_delivery_is_stored() -> None:
    """A field added to Delivery is either set once or in the list of what changes."""
    from adapters.database.rows import MUTABLE

    fixed = {
        "id",
        "package_id",
        "document_pk",
        "recipient_organ_id",
        "recipient_name",
        "lane",
        "fair_key",
        "created_at",
        "correlation_id",
        "version",
    }
    from routing.records import Delivery

    assert {field.name for field in fields(Delivery)} == fixed | set(MUTABLE)


async def test_events_come_in_the_order_of_the_log(database: SqlDatabase) -> None:
    """Events of a document and of a package come as appended, numbered upwards, data intact."""
    events = [
        Event(
            f"test.{number}",
            later(-number),
            "test",
            document_pk="doc",
            package_id="pkg" if number % 2 else "other",
            data={"n": number, "text": "đ\u0001"},
        )
        for number in range(20)
    ]

    async def write(tx: Transaction) -> None:
        await tx.append(events[:10])
        await tx.append(events[10:])

    await database.write(write)
    found = await look(database, lambda tx: tx.events_of_document("doc"))
    assert [replace(event, seq=0) for event in found] == events
    assert [event.seq for event in found] == sorted({event.seq for event in found})
    odd = await look(database, lambda tx: tx.events_of_package("pkg"))
    assert [event.data["n"] for event in odd] == list(range(1, 20, 2))


async def test_one_delivery_per_package_and_recipient(database: SqlDatabase) -> None:
    """The database itself refuses a second delivery of one package for one recipient."""
    of = package()
    await keep(database, of, delivery(of))
    database.answer_within = 0.5

    async def again(tx: Transaction) -> None:
        await tx.insert_deliveries([delivery(of)])

    with pytest.raises(Exception):  # noqa: B017 - which one is the driver's affair
        await database.write(again)
    rows = await look(database, lambda tx: tx.deliveries_of_package(of.id))
    assert len(rows) == 1


async def test_lock_document_makes_it_once(database: SqlDatabase) -> None:
    """The first call makes the document under its key; later ones find it, unchanged."""

    async def lock(pk: str, subject: str) -> object:
        async def write(tx: Transaction) -> object:
            return await tx.lock_document(
                "H41.A", "doc-1", pk=pk, subject=subject, search="s", now=NOW
            )

        return await database.write(write)

    first = await lock("pk-1", "một")
    again = await lock("pk-2", "hai")
    assert first == again
    assert (first.pk, first.version, first.subject) == ("pk-1", 0, "một")  # type: ignore[attr-defined]
    assert await look(database, lambda tx: tx.find_document("H41.A", "doc-1")) == first
    assert await look(database, lambda tx: tx.get_document("pk-1")) == first
    assert await look(database, lambda tx: tx.find_document("H41.B", "doc-1")) is None


async def test_deliveries_of_document_by_version_recipient_and_kind(database: SqlDatabase) -> None:
    """Deliveries of a document come by version; reports about it can be left out."""

    async def write(tx: Transaction) -> str:
        found = await tx.lock_document("A", "d", pk=new_id(), subject="", search="", now=NOW)
        return found.pk

    pk = await database.write(write)
    second = package("A", document_pk=pk, version=2)
    first = package("A", document_pk=pk, version=1)
    told = package("B", document_pk=pk, kind=STATUS, meaning="03")
    rows = [delivery(second, "B"), delivery(first, "B"), delivery(told, "A"), delivery(first, "C")]
    await keep(database, second, rows[0])
    await keep(database, first, rows[1], rows[3])
    await keep(database, told, rows[2])

    async def ids(*args: str, **more: str) -> list[str]:
        found = await look(database, lambda tx: tx.deliveries_of_document(pk, *args, **more))
        return [row.id for row in found]

    assert await ids() == [rows[1].id, rows[2].id, rows[3].id, rows[0].id]
    assert await ids("B") == [rows[1].id, rows[0].id]
    assert await ids("A", kind="document") == []
    assert await ids(kind="status") == [rows[2].id]
    listed = await look(database, lambda tx: tx.packages_of_document(pk))
    assert {one.id for one in listed} == {first.id, second.id, told.id}
    documents = await look(database, lambda tx: tx.packages_of_document(pk, kind="document"))
    assert {one.id for one in documents} == {first.id, second.id}


async def test_deliveries_of_package_in_the_order_of_recipients(database: SqlDatabase) -> None:
    """A package's deliveries come in the order in which they were made."""
    of = package()
    rows = [delivery(of, f"H41.{number}") for number in (5, 1, 9, 3)]
    await keep(database, of, *rows)
    assert await look(database, lambda tx: tx.deliveries_of_package(of.id)) == rows
    some = await look(database, lambda tx: tx.get_deliveries([rows[2].id, new_id()]))
    assert some == [rows[2]]
    assert await look(database, lambda tx: tx.get_deliveries([])) == []


async def test_inbox_order_and_cursor(database: SqlDatabase, world: World) -> None:
    """An inbox is urgent first, then by the time of the offer; pages meet exactly."""
    of = package()
    urgent = package(lane=Lane.URGENT)
    waiting = []
    for number in range(7):
        source = urgent if number in (2, 5) else of
        offered = later(10 - number // 2)
        waiting.append(
            delivery(
                source,
                f"H41.{number}",
                connection_id=world.beta.id,
                state=TransportState.DELIVERING if number == 3 else TransportState.OFFERED,
                offered_at=offered,
                ring_at=None,
            )
        )
    hidden = [
        delivery(of, "H41.q", connection_id=world.beta.id, state=TransportState.QUEUED),
        delivery(
            of,
            "H41.d",
            connection_id=world.beta.id,
            state=TransportState.DELIVERED,
            offered_at=NOW,
        ),
        delivery(
            of,
            "H41.x",
            connection_id=world.gamma.id,
            state=TransportState.OFFERED,
            offered_at=NOW,
        ),
    ]
    await keep(database, of, *(row for row in (*waiting, *hidden) if row.package_id == of.id))
    await keep(database, urgent, *(row for row in waiting if row.package_id == urgent.id))
    expected = sorted(waiting, key=lambda row: (row.lane.rank, row.offered_at, row.id))
    whole = await look(database, lambda tx: tx.inbox(world.beta.id, None, 100))
    assert [item.delivery for item in whole] == expected
    assert all(item.package.id == item.delivery.package_id for item in whole)
    paged, cursor = [], None
    while page := await look(database, lambda tx: tx.inbox(world.beta.id, cursor, 2)):  # noqa: B023
        assert len(page) <= 2
        paged += [item.delivery for item in page]
        last = page[-1].delivery
        assert last.offered_at is not None
        cursor = InboxCursor(last.lane.rank, last.offered_at, last.id)
    assert paged == expected


async def test_lost_rings(database: SqlDatabase) -> None:
    """What waits in the broker since long is found, UNKNOWN included; what rings itself is not."""
    of = package()
    rows = {
        "old": delivery(of, "1", state=TransportState.QUEUED, ring_at=None),
        "asked": delivery(of, "2", state=TransportState.UNKNOWN, ring_at=None),
        "fresh": delivery(of, "3", state=TransportState.QUEUED, ring_at=None, updated_at=later(60)),
        "due": delivery(of, "4", state=TransportState.QUEUED, ring_at=later(5)),
        "held": delivery(of, "5", state=TransportState.HELD, ring_at=None),
        "offered": delivery(of, "6", state=TransportState.OFFERED, ring_at=None),
    }
    await keep(database, of, *rows.values())

    async def lost(tx: Transaction) -> list[str]:
        return [row.recipient for row in await tx.lost_rings(later(30), 10)]

    assert sorted(await database.write(lost)) == ["1", "2"]

    async def one(tx: Transaction) -> int:
        return len(await tx.lost_rings(later(30), 1))

    assert await database.write(one) == 1


async def test_lapsed_leases(database: SqlDatabase) -> None:
    """Only attempts under way whose lease is over are found, the oldest first."""
    of = package()
    under_way = TransportState.DELIVERING
    rows = [
        delivery(of, "new", state=under_way, lease_owner="w", lease_until=later(99)),
        delivery(of, "second", state=under_way, lease_owner="w", lease_until=later(9)),
        delivery(of, "first", state=under_way, lease_owner="w", lease_until=later(8)),
        delivery(of, "pulled", state=under_way),
        delivery(of, "back", state=TransportState.RETURNED, lease_until=later(1)),
    ]
    await keep(database, of, *rows)

    async def lapsed(tx: Transaction) -> list[str]:
        return [row.recipient for row in await tx.lapsed_leases(later(50), 10)]

    assert await database.write(lapsed) == ["first", "second"]


async def test_attempts(database: SqlDatabase) -> None:
    """An attempt is there before it ends, and is completed; a partner's words are kept storable."""
    of = package()
    row = delivery(of)
    await keep(database, of, row)
    begun = Attempt(row.id, 1, "worker-1", NOW)
    again = Attempt(row.id, 1, "worker-2", later(5))

    async def start(tx: Transaction) -> None:
        await tx.start_attempt(again)
        await tx.start_attempt(begun)

    await database.write(start)
    assert await look(database, lambda tx: tx.attempts_of(row.id)) == [begun, again]
    ended = replace(begun, ended_at=later(2), outcome="try-later", detail="503 \x00 \ud800 bận")

    async def finish(tx: Transaction) -> None:
        await tx.finish_attempt(ended)

    await database.write(finish)
    first, second = await look(database, lambda tx: tx.attempts_of(row.id))
    assert (first.ended_at, first.outcome) == (ended.ended_at, "try-later")
    assert first.detail.startswith("503 ") and first.detail.endswith(" bận")
    assert second == again


# --- searches -------------------------------------------------------------------------------------


async def _documents(database: SqlDatabase, world: World) -> dict[str, str]:
    """Three documents of alpha; their keys by name."""
    keys = {}
    for name, subject in (
        ("plan", "Kế hoạch kiểm tra 100% cơ quan"),
        ("letter", "Công văn về đê điều"),
        ("secret", "Kế hoạch nội bộ"),
    ):

        async def write(tx: Transaction, name: str = name, subject: str = subject) -> str:
            found = await tx.lock_document(
                "H41.A", f"doc-{name}", pk=new_id(), subject=subject, search=fold(subject), now=NOW
            )
            await tx.set_version(found.pk, 1, subject, fold(f"{subject} doc-{name}"))
            return found.pk

        keys[name] = await database.write(write)
        of = package("H41.A", document_pk=keys[name], connection_id=world.alpha.id)
        state = {"plan": TransportState.OFFERED, "letter": TransportState.DELIVERED}.get(
            name, TransportState.QUEUED
        )
        row = delivery(
            of,
            "H41.B",
            connection_id=world.beta.id,
            state=state,
            offered_at=NOW if state is TransportState.OFFERED else None,
            delivered_at=NOW if state is TransportState.DELIVERED else None,
        )
        told = package("H41.B", kind=STATUS, document_pk=keys[name], meaning="01")
        back = delivery(told, "H41.A", connection_id=world.alpha.id, state=TransportState.WITHDRAWN)
        await keep(database, of, row)
        await keep(database, told, back)
    return keys


async def _found(database: SqlDatabase, query: DocumentQuery) -> list[str]:
    return [row.pk for row in await look(database, lambda tx: tx.search_documents(query))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ke hoach", ["secret", "plan"]),
        ("KẾ HOẠCH kiểm", ["plan"]),
        ("Đê", ["letter"]),
        ("100%", ["plan"]),
        ("%", ["plan"]),
        ("doc-letter", ["letter"]),
        ("không có", []),
    ],
)
async def test_search_ignores_accents_and_case(
    database: SqlDatabase, world: World, text: str, expected: list[str]
) -> None:
    """Every word must occur, accents, case and wildcards notwithstanding; newest first."""
    keys = await _documents(database, world)
    found = await _found(database, DocumentQuery(text=text))
    assert found == [keys[name] for name in expected]


async def test_search_by_visibility(database: SqlDatabase, world: World) -> None:
    """A connection sees what it sent and what reached it, however it did; an operator sees all."""
    keys = await _documents(database, world)
    everything = [keys["secret"], keys["letter"], keys["plan"]]
    assert await _found(database, DocumentQuery(connection_id=world.alpha.id)) == everything
    reached = [keys["letter"], keys["plan"]]
    assert await _found(database, DocumentQuery(connection_id=world.beta.id)) == reached
    assert await _found(database, DocumentQuery(connection_id=world.gamma.id)) == []
    assert await _found(database, DocumentQuery()) == everything


async def test_search_by_particulars_and_pages(database: SqlDatabase, world: World) -> None:
    """State and recipient are those of the document's own copies, not of reports about it."""
    keys = await _documents(database, world)
    assert await _found(database, DocumentQuery(state="offered")) == [keys["plan"]]
    assert await _found(database, DocumentQuery(state="withdrawn")) == []
    assert await _found(database, DocumentQuery(recipient="H41.A")) == []
    assert len(await _found(database, DocumentQuery(recipient="H41.B"))) == 3
    assert await _found(database, DocumentQuery(document_id="doc-plan")) == [keys["plan"]]
    assert await _found(database, DocumentQuery(document_id="")) == []
    assert await _found(database, DocumentQuery(sender="H41.B")) == []
    assert await _found(database, DocumentQuery(since=later(1))) == []
    assert len(await _found(database, DocumentQuery(until=later(1)))) == 3
    first = await _found(database, DocumentQuery(limit=2))
    rest = await _found(database, DocumentQuery(limit=2, after=first[-1]))
    assert [*first, *rest] == [keys["secret"], keys["letter"], keys["plan"]]


async def test_search_deliveries(database: SqlDatabase, world: World) -> None:
    """Deliveries are found by state, connection, recipient and document, newest first."""
    await _documents(database, world)

    async def found(query: DeliveryQuery) -> int:
        return len(await look(database, lambda tx: tx.search_deliveries(query)))

    assert await found(DeliveryQuery()) == 6
    waiting = (TransportState.OFFERED, TransportState.QUEUED)
    assert await found(DeliveryQuery(states=waiting)) == 2
    assert await found(DeliveryQuery(connection_id=world.beta.id)) == 3
    assert await found(DeliveryQuery(recipient="H41.A")) == 3
    assert await found(DeliveryQuery(document_id="nothing")) == 0
    assert await found(DeliveryQuery(document_id="")) == 0
    listed = await look(database, lambda tx: tx.search_deliveries(DeliveryQuery(limit=4)))
    assert [row.id for row in listed] == sorted((row.id for row in listed), reverse=True)
    rest = await look(
        database, lambda tx: tx.search_deliveries(DeliveryQuery(limit=4, after=listed[-1].id))
    )
    assert len({row.id for row in (*listed, *rest)}) == 6


async def test_queue_figures(database: SqlDatabase, world: World) -> None:
    """Metrics count what is not final, per connection, lane and state, with the oldest."""
    await _documents(database, world)
    figures = await database.queue_figures()
    counted = {(row["connection_id"], row["state"]): row["count"] for row in figures}
    assert counted == {(world.beta.id, "offered"): 1, (world.beta.id, "queued"): 1}
    assert {row["oldest"] for row in figures} == {NOW}
