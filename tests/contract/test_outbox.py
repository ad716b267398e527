"""The outbox part of `routing.ports.Transaction` on both databases: claiming and settling."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from adapters.database import RegistryStore, SqlDatabase
from routing.lanes import Lane
from routing.ports import Transaction
from routing.records import Delivery
from routing.route_table import ConnectionStatus
from routing.states import Happening, TransportState
from tests.support.builders import (
    NOW,
    World,
    delivery,
    keep,
    later,
    package,
    put,
    settle_world,
    step,
    stored,
)

UNTIL = later(60)


@pytest.fixture
async def world(database: SqlDatabase) -> World:
    """Three connections."""
    return await settle_world(database)


async def claim(
    database: SqlDatabase,
    owner: str = "relay-1",
    *,
    limit: int = 100,
    window: int = 100,
    **at: float,
) -> list[Delivery]:
    """Claim as a relay does."""
    now = later(at.get("now", 1.0))

    async def write(tx: Transaction) -> list[Delivery]:
        return await tx.claim_rings(owner, now, later(60, than=now), limit, window)

    return await database.write(write)


async def settle(
    database: SqlDatabase,
    confirmed: Sequence[str],
    failed: Sequence[str] = (),
    owner: str = "relay-1",
) -> list[Delivery]:
    """Settle as a relay does."""

    async def write(tx: Transaction) -> list[Delivery]:
        return await tx.settle_rings(owner, confirmed, failed, later(30))

    return await database.write(write)


async def waiting(database: SqlDatabase, world: World, count: int) -> list[Delivery]:
    """Deliveries for beta that are due, in the order of their fair keys."""
    of = package()
    rows = [
        delivery(of, f"r{number}", connection_id=world.beta.id, fair_key=later(number))
        for number in range(count)
    ]
    await keep(database, of, *rows)
    return rows


async def test_claims_urgent_first_then_by_fair_key(database: SqlDatabase, world: World) -> None:
    """The order of a claim is the order of lanes and turns, not that of arrival."""
    of, urgent = package(), package(lane=Lane.URGENT)
    to = {"connection_id": world.beta.id}
    rows = [
        delivery(of, "c", fair_key=later(3), **to),
        delivery(of, "a", fair_key=later(1), **to),
        delivery(of, "b", fair_key=later(2), **to),
    ]
    first = delivery(urgent, "u", fair_key=later(900), **to)
    await keep(database, of, *rows)
    await keep(database, urgent, first)
    assert [row.recipient for row in await claim(database, limit=3)] == ["u", "a", "b"]
    assert [row.recipient for row in await claim(database)] == ["c"]


async def test_only_what_is_due_is_claimed(database: SqlDatabase, world: World) -> None:
    """Rows without a time to ring, or with one to come, are left alone."""
    of = package()
    to = {"connection_id": world.beta.id}
    rows = [
        delivery(of, "due", ring_at=later(1), **to),
        delivery(of, "later", ring_at=later(2), **to),
        delivery(of, "never", ring_at=None, **to),
        delivery(of, "nowhere", connection_id=None),
    ]
    await keep(database, of, *rows)
    assert [row.recipient for row in await claim(database)] == ["due"]


async def test_owners_never_share_a_row(database: SqlDatabase, world: World) -> None:
    """Eight relays claim at once: everything is claimed, nothing twice, nobody over its limit."""
    rows = await waiting(database, world, 60)
    got = await asyncio.gather(
        *(claim(database, f"relay-{number}", limit=10) for number in range(8))
    )
    ids = [row.id for part in got for row in part]
    assert len(ids) == len(set(ids))
    assert all(len(part) <= 10 for part in got)
    rest = await claim(database, "relay-9")
    assert {*ids, *(row.id for row in rest)} == {row.id for row in rows}


async def test_lapsed_claims_are_claimed_again(database: SqlDatabase, world: World) -> None:
    """A relay that died loses its claims by time, and its late word counts for nothing."""
    (row,) = await waiting(database, world, 1)
    assert len(await claim(database, "relay-1")) == 1
    assert await claim(database, "relay-2", now=60) == []
    assert [one.id for one in await claim(database, "relay-2", now=62)] == [row.id]
    assert await settle(database, [row.id], owner="relay-1") == []
    assert (await stored(database, row.id)).ring_at == row.ring_at
    assert [one.id for one in await settle(database, [row.id], owner="relay-2")] == [row.id]


async def test_suspended_connections_are_passed_over(database: SqlDatabase, world: World) -> None:
    """What is addressed to a suspended connection waits and goes on when it is resumed."""
    await waiting(database, world, 2)
    store = RegistryStore(database)

    async def status(status: ConnectionStatus) -> None:
        await store.set_status(world.beta, status, actor="operator:test", now=NOW)

    await status(ConnectionStatus.SUSPENDED)
    assert await claim(database) == []
    await status(ConnectionStatus.ACTIVE)
    assert len(await claim(database)) == 2


async def test_saturated_lanes_are_passed_over(database: SqlDatabase, world: World) -> None:
    """A lane with a full window waits; the connection's other lane and others do not."""
    of, urgent = package(), package(lane=Lane.URGENT)
    beta, gamma = world.beta.id, world.gamma.id
    in_broker = [
        delivery(of, "q1", connection_id=beta, state=TransportState.QUEUED, ring_at=None),
        delivery(of, "q2", connection_id=beta, state=TransportState.UNKNOWN, ring_at=None),
    ]
    waiting = [delivery(of, "b", connection_id=beta), delivery(of, "g", connection_id=gamma)]
    await keep(database, of, *in_broker, *waiting)
    await keep(database, urgent, delivery(urgent, "u", connection_id=beta))
    assert [row.recipient for row in await claim(database, window=2)] == ["u", "g"]
    assert [row.recipient for row in await claim(database, window=3)] == ["b"]


async def test_settle_clears_confirmed_and_puts_failed_off(
    database: SqlDatabase, world: World
) -> None:
    """Confirmed rows leave the outbox, failed ones come again later with one failure more."""
    good, bad = await waiting(database, world, 2)
    await claim(database)
    (settled,) = await settle(database, [good.id], [bad.id])
    assert (settled.id, settled.ring_at, settled.ring_failures) == (good.id, None, 0)
    put_off = await stored(database, bad.id)
    assert (put_off.ring_at, put_off.ring_failures) == (later(30), 1)
    assert await claim(database, now=29) == []
    assert [row.id for row in await claim(database, now=31)] == [bad.id]


async def test_settle_touches_only_own_claims(database: SqlDatabase, world: World) -> None:
    """Somebody else's claim stays what it was."""
    rows = await waiting(database, world, 2)
    await claim(database, "relay-1", limit=1)
    await claim(database, "relay-2", limit=1)
    ids = [row.id for row in rows]
    assert [row.id for row in await settle(database, ids, owner="relay-1")] == [ids[0]]
    await settle(database, [], ids, owner="relay-1")
    assert (await stored(database, ids[1])).ring_failures == 0
    assert [row.id for row in await settle(database, ids, owner="relay-2")] == [ids[1]]


async def test_ring_set_anew_meanwhile_is_not_cleared(database: SqlDatabase, world: World) -> None:
    """A worker was faster and asked for another ring: the relay's confirm is about the old one."""
    (row,) = await waiting(database, world, 1)
    await claim(database)
    queued = step(row, Happening.RELAYED)
    await put(database, queued)
    under_way = step(queued.after, Happening.ATTEMPTED, ring_at=None, attempts=1)
    await put(database, under_way)
    again = step(under_way.after, Happening.TRY_LATER, ring_at=later(500))
    await put(database, again)
    assert await settle(database, [row.id]) == []
    assert (await stored(database, row.id)).ring_at == later(500)
    await settle(database, [], [row.id])
    assert await stored(database, row.id) == again.after


async def test_change_that_keeps_the_ring_keeps_the_claim(
    database: SqlDatabase, world: World
) -> None:
    """A report that comes while a doorbell is being published does not make it ring twice."""
    (row,) = await waiting(database, world, 1)
    await claim(database)
    await put(database, step(row, Happening.RELAYED))
    assert await claim(database, "relay-2") == []
    assert len(await settle(database, [row.id])) == 1


async def test_taken_out_of_the_outbox_while_claimed(database: SqlDatabase, world: World) -> None:
    """Held while its doorbell is published: the confirm changes nothing."""
    (row,) = await waiting(database, world, 1)
    await claim(database)
    held = step(row, Happening.HELD, ring_at=None)
    await put(database, held)
    assert await settle(database, [row.id]) == []
    assert await stored(database, row.id) == held.after


async def test_empty_settle_and_unknown_ids_are_harmless(database: SqlDatabase) -> None:
    """Nothing to settle, or ids that are gone after a restore: no error."""
    assert await settle(database, []) == []
    assert await settle(database, ["gone"], ["gone too"]) == []
