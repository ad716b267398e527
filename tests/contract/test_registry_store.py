"""The registry of agencies, connections and tokens on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from adapters.database import CodesTaken, NameTaken, RegistryStore, SqlDatabase
from adapters.database.tables import events
from adapters.database.transaction import SqlTransaction
from identifiers.organ_id import OrganId
from routing.ports import Transaction
from routing.route_table import Connection, ConnectionStatus, RouteTable
from tests.support.builders import ALPHA, BETA, NOW, agency, connection, later, look, token


@pytest.fixture
def store(database: SqlDatabase) -> RegistryStore:
    """The store of an empty database."""
    return RegistryStore(database)


async def add(store: RegistryStore, new: Connection, **more: Any) -> NameTaken | CodesTaken | None:
    """Add a connection with a token and its agencies."""
    agencies = [agency(code.text) for code in new.agencies]
    made = more.get("token") or token(new)
    return await store.add_connection(new, made, agencies, actor="operator:an", now=NOW)


async def logged(database: SqlDatabase) -> list[tuple[str, str]]:
    """Type and actor of every event."""

    async def read(tx: Transaction) -> list[tuple[str, str]]:
        assert isinstance(tx, SqlTransaction)
        found = await tx.connection.execute(events.select().order_by(events.c.seq))
        return [(row.type, row.actor) for row in found]

    return await database.read(read)


async def test_empty_registry(store: RegistryStore, database: SqlDatabase) -> None:
    """A new database has version 0 and knows nobody."""
    data = await store.load()
    assert (data.version, data.agencies, data.connections, data.tokens) == (0, (), (), ())
    assert await look(database, lambda tx: tx.registry_version()) == 0


async def test_connection_round_trip(store: RegistryStore, database: SqlDatabase) -> None:
    """A connection comes back with settings, codes, agencies and token; the change is logged."""
    new = replace(connection("qlvb", ALPHA, BETA), settings={"url": "https://x", "n": [1, None]})
    first = token(new, expires_at=later(60))
    assert await add(store, new, token=first) is None
    data = await store.load()
    assert data.connections == (new,)
    assert data.tokens == (first,)
    assert {one.organ_id for one in data.agencies} == set(new.agencies)
    assert data.version == 1
    assert await logged(database) == [("connection.added", "operator:an")]


async def test_agency_round_trip_and_overwrite(store: RegistryStore) -> None:
    """An agency keeps names, aliases, days and successors; putting it again replaces it."""
    old = agency(
        ALPHA,
        "Sở Nội vụ — «Đà Nẵng»",
        aliases=(OrganId.of("H41.01"),),
        valid_from=date(2020, 1, 1),
        valid_until=date(2025, 6, 30),
        successors=(OrganId.of(BETA),),
    )
    await store.put_agencies([old, agency(BETA)], actor="a", source="list.csv", now=NOW)
    assert set((await store.load()).agencies) == {old, agency(BETA)}
    renamed = replace(old, name="Khác", aliases=(), valid_until=None, successors=())
    await store.put_agencies([renamed], actor="a", source="list.csv", now=NOW)
    data = await store.load()
    assert set(data.agencies) == {renamed, agency(BETA)}
    assert data.version == 2
    await store.put_agencies([], actor="a", source="empty", now=NOW)
    assert (await store.load()).version == 2


async def test_taken_name_and_codes(store: RegistryStore) -> None:
    """A name or code that another connection has is refused and says whose; nothing is stored."""
    mine = connection("mine", ALPHA)
    await add(store, mine)
    before = await store.load()
    assert await add(store, connection("mine", BETA)) == NameTaken("mine")
    same_agency = OrganId.of(ALPHA)
    answer = await add(store, connection("other", BETA, ALPHA))
    assert answer == CodesTaken({same_agency: mine})
    assert await store.load() == before


async def test_adding_again_after_a_lost_answer_is_done(store: RegistryStore) -> None:
    """The very same connection once more, as after a commit whose answer was lost: it is there."""
    new, secret = connection("mine", ALPHA), "lt_x"
    assert await add(store, new, token=token(new, secret)) is None
    assert await add(store, new, token=token(new, secret)) is None
    assert len((await store.load()).connections) == 1


async def test_concurrent_adds_of_one_code(store: RegistryStore) -> None:
    """Of ten connections that want one code at once, one gets it and nine hear whose it is."""
    new = [connection(f"c{number}", ALPHA) for number in range(10)]
    answers = await asyncio.gather(*(add(store, one) for one in new))
    assert answers.count(None) == 1
    assert sum(isinstance(answer, CodesTaken) for answer in answers) == 9
    assert len((await store.load()).connections) == 1
    assert (await store.load()).version == 1


async def test_version_counts_every_concurrent_change(store: RegistryStore) -> None:
    """Changes at once each count up: no running process can miss one."""
    await add(store, connection("first", ALPHA))
    await asyncio.gather(
        *(
            store.put_agencies([agency(f"000.00.{n:02d}.H53")], actor="a", source="s", now=NOW)
            for n in range(10, 25)
        )
    )
    data = await store.load()
    assert data.version == 16
    assert len(data.agencies) == 16


async def test_suspend_and_resume(store: RegistryStore, database: SqlDatabase) -> None:
    """Suspension is stored, counted and logged, and taken back the same way."""
    new = connection("qlvb", ALPHA)
    await add(store, new)
    for status in (ConnectionStatus.SUSPENDED, ConnectionStatus.ACTIVE):
        await store.set_status(new, status, actor="operator:an", now=NOW)
        assert (await store.load()).connections[0].status is status
    assert (await store.load()).version == 3
    assert [kind for kind, _ in await logged(database)] == [
        "connection.added",
        "connection.suspended",
        "connection.active",
    ]


async def test_token_rotation_overlaps(store: RegistryStore) -> None:
    """After a rotation both tokens open until the old one's end, which is never put off."""
    new, other = connection("qlvb", ALPHA), connection("other", BETA)
    first, foreign = token(new), token(other)
    await add(store, new, token=first)
    await add(store, other, token=foreign)
    second, third = token(new), token(new)
    await store.rotate_token(new, second, later(10), actor="a", now=NOW)
    await store.rotate_token(new, third, later(60), actor="a", now=NOW)

    def opens(at: float) -> list[bool]:
        return [
            table.authenticate(one.sha256, later(at)) is not None
            for one in (first, second, third, foreign)
        ]

    table = RouteTable(await store.load())
    assert opens(9) == [True, True, True, True]
    assert opens(10) == [False, True, True, True]
    assert opens(60) == [False, False, True, True]
