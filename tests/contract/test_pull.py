"""Delivery by pull, on both databases: list, fetch, confirm, each for one delivery alone."""

from __future__ import annotations

import asyncio

import pytest

from routing.pull import Confirmed, Fetched, NotPossible, NotYours, confirm, fetch, list_inbox
from routing.records import Delivery
from routing.route_table import RouteTable
from routing.states import NOW, Happening, TransportState
from tests.support.builders import BETA, GAMMA, document, put, step
from tests.support.use_cases import Gateway


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery in beta's inbox."""
    (accepted,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.bring()
    return await gateway.now(accepted.id)


async def test_list_fetch_confirm(gateway: Gateway, row: Delivery) -> None:
    """The whole way: listed until confirmed, each step with its time and its event."""
    beta, database = gateway.world.beta, gateway.database
    assert [item.delivery.id for item in await list_inbox(database, beta.id, None, 9)] == [row.id]
    fetched = await fetch(database, row.id, beta, gateway.clock.tick())
    assert isinstance(fetched, Fetched)
    assert fetched.package.id == row.package_id
    assert [one.state for one in fetched.deliveries] == [TransportState.DELIVERING]
    assert fetched.deliveries[0].fetched_at == gateway.clock.now
    assert [one.id for one in await gateway.inbox(BETA)] == [row.id]
    confirmed = await confirm(database, row.id, beta, gateway.clock.tick())
    assert isinstance(confirmed, Confirmed) and not confirmed.repeated
    assert (confirmed.delivery.state, confirmed.delivery.delivered_at) == (
        TransportState.DELIVERED,
        gateway.clock.now,
    )
    assert confirmed.delivery == await gateway.now(row.id)
    assert await gateway.inbox(BETA) == []
    types = [event.type for event in await gateway.events(row.package_id)]
    assert types[-3:] == ["delivery.offered", "delivery.fetched", "delivery.delivered"]


async def test_confirm_needs_a_fetch(gateway: Gateway, row: Delivery) -> None:
    """Nobody has what nobody fetched: the answer says so, nothing changes."""
    answer = await confirm(gateway.database, row.id, gateway.world.beta, gateway.clock())
    assert isinstance(answer, NotPossible)
    assert "Fetch" in answer.sentence.en and "lấy" in answer.sentence.vi
    assert row.state.value not in answer.sentence.vi
    assert await gateway.now(row.id) == row


async def test_confirm_again_is_harmless(gateway: Gateway, row: Delivery) -> None:
    """Twenty confirms at once and one later: delivered once, the others repeat it."""
    beta = gateway.world.beta
    await fetch(gateway.database, row.id, beta, gateway.clock())
    answers = await asyncio.gather(
        *(confirm(gateway.database, row.id, beta, gateway.clock()) for _ in range(20))
    )
    assert all(isinstance(answer, Confirmed) for answer in answers)
    assert sum(isinstance(a, Confirmed) and not a.repeated for a in answers) == 1
    first = await gateway.now(row.id)
    again = await confirm(gateway.database, row.id, beta, gateway.clock.tick(99))
    assert again == Confirmed(first, repeated=True)


async def test_fetch_again_as_often_as_one_likes(gateway: Gateway, row: Delivery) -> None:
    """Fetching again changes no state, before or after the confirm; it is noted."""
    beta, database = gateway.world.beta, gateway.database
    for _ in range(3):
        assert isinstance(await fetch(database, row.id, beta, gateway.clock.tick()), Fetched)
    during = await gateway.now(row.id)
    assert during.fetched_at is not None and during.fetched_at < gateway.clock.now
    await confirm(database, row.id, beta, gateway.clock())
    after = await fetch(database, row.id, beta, gateway.clock.tick())
    assert isinstance(after, Fetched)
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED
    types = [event.type for event in await gateway.events(row.package_id)]
    assert types.count("delivery.fetched") == 1
    assert types.count("delivery.fetched-again") == 3


async def test_confirming_one_touches_that_one_alone(gateway: Gateway, row: Delivery) -> None:
    """Of many waiting packages only the confirmed one leaves the list."""
    for number in range(2, 6):
        await gateway.accepted(document(BETA, number=number))
    await gateway.bring()
    before = await gateway.inbox(BETA)
    for one in before:
        await fetch(gateway.database, one.id, gateway.world.beta, gateway.clock())
    await confirm(gateway.database, before[2].id, gateway.world.beta, gateway.clock())
    after = await gateway.inbox(BETA)
    assert [one.id for one in after] == [one.id for one in before if one.id != before[2].id]
    assert {one.state for one in after} == {TransportState.DELIVERING}


@pytest.mark.parametrize("verb", [fetch, confirm])
async def test_anothers_delivery_is_not_found(gateway: Gateway, row: Delivery, verb: type) -> None:
    """Ids of others, of packages of others, and of nothing all look the same."""
    for some_id in (row.id, row.package_id, "0198c0de", ""):
        answer = await verb(gateway.database, some_id, gateway.world.gamma, gateway.clock())
        assert answer == NotYours(some_id)
    alpha = await verb(gateway.database, row.id, gateway.world.alpha, gateway.clock())
    assert alpha == NotYours(row.id)
    assert await gateway.now(row.id) == row


@pytest.mark.parametrize("verb", [fetch, confirm])
async def test_what_is_not_offered_yet_is_not_found(gateway: Gateway, verb: type) -> None:
    """A delivery that is still on its way is nobody's to see."""
    (accepted,) = (await gateway.accepted(document(BETA))).deliveries
    answer = await verb(gateway.database, accepted.id, gateway.world.beta, gateway.clock())
    assert isinstance(answer, NotYours)


async def test_by_the_packages_id(gateway: Gateway, row: Delivery) -> None:
    """A package's id serves as well where the connection has one delivery of it."""
    beta = gateway.world.beta
    fetched = await fetch(gateway.database, row.package_id, beta, gateway.clock())
    assert isinstance(fetched, Fetched)
    confirmed = await confirm(gateway.database, row.package_id, beta, gateway.clock())
    assert isinstance(confirmed, Confirmed) and confirmed.delivery.id == row.id


async def test_several_deliveries_of_one_package(gateway: Gateway) -> None:
    """Two agencies behind one connection: one fetch serves both, each is confirmed by itself."""
    found = gateway.routes
    from dataclasses import replace

    both = replace(
        gateway.world.beta,
        agencies=(*gateway.world.beta.agencies, *gateway.world.gamma.agencies),
    )
    data = [gateway.world.alpha, both]
    from tests.support.builders import route_table

    gateway.routes = route_table(found.directory.agencies, data)
    assert isinstance(gateway.routes, RouteTable)
    first, second = (await gateway.accepted(document(BETA, GAMMA))).deliveries
    await gateway.bring()
    fetched = await fetch(gateway.database, first.package_id, both, gateway.clock())
    assert isinstance(fetched, Fetched) and len(fetched.deliveries) == 2
    answer = await confirm(gateway.database, first.package_id, both, gateway.clock())
    assert isinstance(answer, NotPossible)
    assert first.id in answer.sentence.en and second.id in answer.sentence.en
    assert isinstance(await confirm(gateway.database, second.id, both, gateway.clock()), Confirmed)
    assert [one.id for one in await gateway.inbox(BETA)] == [first.id]


@pytest.mark.parametrize(
    "happening", [Happening.WITHDRAWN, Happening.HELD, Happening.RETURNED, Happening.EXPIRED]
)
async def test_taken_out_of_the_inbox(
    gateway: Gateway, row: Delivery, happening: Happening
) -> None:
    """What was taken back or stopped before the fetch is not handed out any more."""
    await put(gateway.database, step(row, happening, ring_at=None))
    assert await gateway.inbox(BETA) == []
    answer = await fetch(gateway.database, row.id, gateway.world.beta, gateway.clock())
    assert isinstance(answer, NotPossible)
    assert NOW[answer.delivery.state].vi in answer.sentence.vi and answer.delivery.id == row.id


@pytest.mark.parametrize("happening", [Happening.RETURNED, Happening.EXPIRED])
async def test_confirm_after_it_was_given_up(
    gateway: Gateway, row: Delivery, happening: Happening
) -> None:
    """Fetched, given up, then confirmed: the recipient has it, and that is what is on record."""
    await fetch(gateway.database, row.id, gateway.world.beta, gateway.clock())
    await put(gateway.database, step(await gateway.now(row.id), happening))
    answer = await confirm(gateway.database, row.id, gateway.world.beta, gateway.clock())
    assert isinstance(answer, Confirmed) and not answer.repeated
    assert answer.delivery.reason is None


async def test_fetch_and_withdrawal_at_once(gateway: Gateway) -> None:
    """Either the recipient read it or it was taken back, never both."""
    from routing.ports import Transaction
    from routing.records import Change, change

    for number in range(1, 9):
        (accepted,) = (await gateway.accepted(document(BETA, number=number))).deliveries
        await gateway.bring()

        async def withdraw(delivery_id: str = accepted.id) -> bool:
            async def write(tx: Transaction) -> bool:
                now = await tx.get_delivery(delivery_id, lock=True)
                assert now is not None
                made = change(now, Happening.WITHDRAWN, actor="a", now=gateway.clock())
                if isinstance(made, Change):
                    await tx.apply([made])
                return isinstance(made, Change)

            return await gateway.database.write(write)

        read, taken = await asyncio.gather(
            fetch(gateway.database, accepted.id, gateway.world.beta, gateway.clock()), withdraw()
        )
        assert isinstance(read, Fetched) is not taken
