"""An operator's verbs, on both databases: legal steps only, by name, on today's routes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.database import RegistryStore
from identifiers.organ_id import OrganId
from routing.dead_letters import NotNow, UnknownDelivery
from routing.records import Delivery
from routing.route_table import RouteTable
from routing.states import Happening, TransportState
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    agency,
    connection,
    document,
    later,
    look,
    put,
    route_table,
    step,
)
from tests.support.use_cases import Gateway, all_rows


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery to beta that is about to be relayed."""
    return (await gateway.accepted(document(BETA))).deliveries[0]


async def dead(gateway: Gateway, row: Delivery) -> Delivery:
    """The same delivery after all its attempts."""
    under_way = step(row, Happening.ATTEMPTED, attempts=12, ring_at=None)
    await put(gateway.database, under_way, given_up := step(under_way.after, Happening.EXHAUSTED))
    return given_up.after


async def test_hold_and_release(gateway: Gateway, row: Delivery) -> None:
    """A held delivery is relayed to nobody; released it goes on with the attempts it had."""
    queued = step(row, Happening.RELAYED, attempts=3)
    await put(gateway.database, queued)
    held = await gateway.dead_letters.hold(row.id, "an", "kiểm tra", gateway.clock())
    assert isinstance(held, Delivery)
    assert (held.state, held.ring_at, held.attempts) == (TransportState.HELD, None, 3)
    assert (await gateway.relay()).claimed == 0
    gateway.clock.tick(86_400)
    assert (await gateway.recover()).rung_again == 0
    released = await gateway.dead_letters.release(row.id, "an", gateway.routes, gateway.clock())
    assert isinstance(released, Delivery)
    assert (released.state, released.attempts) == (TransportState.ACCEPTED, 3)
    await gateway.bring()
    assert [one.id for one in await gateway.inbox(BETA)] == [row.id]
    log = await gateway.events(row.package_id)
    said = {event.type: event for event in log}
    assert said["delivery.held"].actor == "operator:an"
    assert said["delivery.held"].data == {"why": "kiểm tra"}
    assert said["delivery.released"].actor == "operator:an"


async def test_hold_while_the_doorbell_is_in_the_broker(gateway: Gateway, row: Delivery) -> None:
    """The doorbell that is out already rings for nothing, and again after the release."""
    await gateway.relay()
    await gateway.dead_letters.hold(row.id, "an", "", gateway.clock())
    assert await gateway.offer() == []
    assert await gateway.inbox(BETA) == []
    await gateway.dead_letters.release(row.id, "an", gateway.routes, gateway.clock())
    await gateway.bring()
    assert len(await gateway.inbox(BETA)) == 1


async def test_hold_takes_an_unread_package_out_of_the_inbox(
    gateway: Gateway, row: Delivery
) -> None:
    """What was offered and not fetched can still be stopped."""
    await gateway.bring()
    assert isinstance(await gateway.dead_letters.hold(row.id, "an", "", gateway.clock()), Delivery)
    assert await gateway.inbox(BETA) == []


async def test_replay_starts_again_under_the_same_id(gateway: Gateway, row: Delivery) -> None:
    """A dead delivery starts over: no attempts, no reason, the same id, rung at once."""
    await dead(gateway, row)
    answer = await gateway.dead_letters.replay(row.id, "an", gateway.routes, gateway.clock.tick())
    assert isinstance(answer, Delivery)
    assert (answer.id, answer.state, answer.attempts, answer.reason) == (
        row.id,
        TransportState.ACCEPTED,
        0,
        None,
    )
    await gateway.bring()
    assert [one.id for one in await gateway.inbox(BETA)] == [row.id]


async def test_replay_takes_todays_route(gateway: Gateway, row: Delivery) -> None:
    """The agency moved to another connection meanwhile: that is where the replay goes."""
    await dead(gateway, row)
    found = gateway.routes
    moved = replace(gateway.world.gamma, agencies=(*gateway.world.gamma.agencies, OrganId.of(BETA)))
    gateway.routes = route_table(found.directory.agencies, [gateway.world.alpha, moved])
    await gateway.dead_letters.replay(row.id, "an", gateway.routes, gateway.clock())
    await gateway.bring()
    assert [one.id for one in await gateway.inbox(GAMMA)] == [row.id]


async def test_replay_after_a_merger_belongs_to_the_successor(
    gateway: Gateway, row: Delivery
) -> None:
    """The successor's copy is filed under the successor, so that it may report on it."""
    await dead(gateway, row)
    found = gateway.routes
    merged = agency(BETA, valid_until=date(2025, 6, 30), successors=(OrganId.of(GAMMA),))
    gateway.routes = route_table(
        [agency(ALPHA), agency(GAMMA), merged], list(found.connections.values())
    )
    answer = await gateway.dead_letters.replay(row.id, "an", gateway.routes, gateway.clock())
    assert isinstance(answer, Delivery)
    assert answer.recipient == gateway.routes.key_of_text(GAMMA)
    assert answer.connection_id == gateway.world.gamma.id
    assert await gateway.now(row.id) == answer


async def test_replay_to_a_successor_that_has_a_copy(gateway: Gateway) -> None:
    """The successor was a recipient itself: the old copy keeps its name, nothing collides."""
    first, _ = (await gateway.accepted(document(BETA, GAMMA))).deliveries
    await dead(gateway, first)
    merged = agency(BETA, valid_until=date(2025, 6, 30), successors=(OrganId.of(GAMMA),))
    routes = route_table(
        [agency(ALPHA), agency(GAMMA), merged], list(gateway.routes.connections.values())
    )
    answer = await gateway.dead_letters.replay(first.id, "an", routes, gateway.clock())
    assert isinstance(answer, Delivery)
    assert answer.recipient == first.recipient


async def test_days_begin_in_vietnam(gateway: Gateway, row: Delivery) -> None:
    """At 00:30 in Vietnam it is today there, although it is yesterday in UTC."""
    await dead(gateway, row)
    tomorrow = agency(BETA, valid_from=date(2026, 3, 3))
    others = [one for one in gateway.routes.directory.agencies if one.organ_id.text != BETA]
    routes = route_table([*others, tomorrow], list(gateway.routes.connections.values()))
    before = datetime(2026, 3, 2, 16, 59, tzinfo=UTC)
    assert isinstance(await gateway.dead_letters.replay(row.id, "an", routes, before), NotNow)
    after = before + timedelta(minutes=31)
    assert isinstance(await gateway.dead_letters.replay(row.id, "an", routes, after), Delivery)


async def test_no_route_no_replay(gateway: Gateway, row: Delivery) -> None:
    """Without a route today the delivery stays dead, and the operator hears why."""
    before = await dead(gateway, row)
    routes = route_table([agency(BETA)], [connection("other", ALPHA)])
    answer = await gateway.dead_letters.replay(row.id, "an", routes, gateway.clock())
    assert isinstance(answer, NotNow) and answer.sentence.vi
    assert await gateway.now(row.id) == before


@pytest.mark.parametrize("prepare", ["accepted", "queued", "offered", "dead", "delivering"])
async def test_give_back(gateway: Gateway, row: Delivery, prepare: str) -> None:
    """Returned from wherever it was: the sender gets a 02, nothing keeps ringing."""
    if prepare in ("queued", "offered"):
        await gateway.relay()
        if prepare == "offered":
            await gateway.offer()
    elif prepare == "dead":
        await dead(gateway, row)
    elif prepare == "delivering":
        leased = step(row, Happening.ATTEMPTED, lease_owner="w", lease_until=later(60))
        await put(gateway.database, leased)
    answer = await gateway.dead_letters.give_back(
        row.id, "an", "Sai nơi nhận", gateway.routes, gateway.clock()
    )
    assert isinstance(answer, Delivery)
    assert answer == await gateway.now(row.id)
    assert (answer.state, answer.ring_at, answer.lease_owner, answer.lease_until) == (
        TransportState.RETURNED,
        None,
        None,
        None,
    )
    assert answer.reason is not None and answer.reason.sentence.vi == "Sai nơi nhận"
    gateway.clock.tick(3600)
    assert (await gateway.recover()).interrupted == 0
    await gateway.bring()
    assert await gateway.inbox(BETA) == []
    (told,) = await gateway.inbox(ALPHA)
    package = await look(gateway.database, lambda tx: tx.get_package(told.package_id))
    assert "Sai nơi nhận" in package.summary["description"]
    again = await gateway.dead_letters.give_back(
        row.id, "an", "Lần nữa", gateway.routes, gateway.clock()
    )
    assert isinstance(again, NotNow)
    assert len(await gateway.inbox(ALPHA)) == 1


async def test_giving_back_a_report_makes_no_report(gateway: Gateway, row: Delivery) -> None:
    """A status package that is given back is not answered by another one."""
    answer = await gateway.dead_letters.give_back(
        row.id, "an", "Sai", gateway.routes, gateway.clock()
    )
    assert isinstance(answer, Delivery)
    rows, _ = await all_rows(gateway.database)
    (told,) = [one for one in rows if one.id != row.id]
    await gateway.dead_letters.give_back(told.id, "an", "Nữa", gateway.routes, gateway.clock())
    rows, _ = await all_rows(gateway.database)
    assert len(rows) == 2
    assert {one.state for one in rows} == {TransportState.RETURNED}


async def test_returned_by_an_operator_comes_again_with_all_its_attempts(
    gateway: Gateway, row: Delivery
) -> None:
    """The sender hands it in again after an operator returned a dead one: a fresh start."""
    content = await gateway.content(
        (await look(gateway.database, lambda tx: tx.get_package(row.package_id))).digest
    )
    await dead(gateway, row)
    await gateway.dead_letters.give_back(row.id, "an", "Sai", gateway.routes, gateway.clock())
    (again,) = (await gateway.accepted(content)).deliveries
    assert (again.id, again.state, again.attempts) == (row.id, TransportState.ACCEPTED, 0)


async def test_impossible_steps_change_nothing(gateway: Gateway, row: Delivery) -> None:
    """What is not legal in the present state is answered with a sentence."""
    letters, routes, now = gateway.dead_letters, gateway.routes, gateway.clock()
    assert isinstance(await letters.release(row.id, "an", routes, now), NotNow)
    assert isinstance(await letters.replay(row.id, "an", routes, now), NotNow)
    assert await gateway.now(row.id) == row
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, row.id)
    before = await all_rows(gateway.database)
    for answer in (
        await letters.hold(row.id, "an", "", now),
        await letters.give_back(row.id, "an", "", routes, now),
        await letters.release(row.id, "an", routes, now),
    ):
        assert isinstance(answer, NotNow)
        assert answer.sentence.vi and answer.sentence.en
    assert await all_rows(gateway.database) == before


async def test_unknown_delivery(gateway: Gateway) -> None:
    """An id that nobody has."""
    letters, routes, now = gateway.dead_letters, gateway.routes, gateway.clock()
    assert await letters.hold("x", "an", "", now) == UnknownDelivery("x")
    assert await letters.release("x", "an", routes, now) == UnknownDelivery("x")
    assert await letters.replay("x", "an", routes, now) == UnknownDelivery("x")
    assert await letters.give_back("x", "an", "", routes, now) == UnknownDelivery("x")


async def test_registry_in_the_database_makes_the_same_routes(gateway: Gateway) -> None:
    """A guard for this file: the routes that tests change begin as the database's."""
    loaded = RouteTable(await RegistryStore(gateway.database).load())
    assert loaded.connections == gateway.routes.connections
