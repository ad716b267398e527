"""From the outbox to inboxes, on both databases: nothing lost, nothing doubled, in order."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from routing.ports import Doorbell, PublishOutcome
from routing.relay import CLAIM
from routing.states import Happening, TransportState
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    document,
    later,
    put,
    step,
    versions,
)
from tests.support.use_cases import Gateway, all_rows

CONFIRMED, UNKNOWN, REFUSED = (
    PublishOutcome.CONFIRMED,
    PublishOutcome.UNKNOWN,
    PublishOutcome.REFUSED,
)


async def test_whole_way(gateway: Gateway) -> None:
    """Accepted, relayed, offered: each delivery in its own inbox, once."""
    answer = await gateway.accepted(document(BETA, GAMMA))
    report = await gateway.relay()
    assert (report.claimed, report.confirmed, report.unconfirmed, report.more) == (2, 2, 0, True)
    assert {bell.delivery_id for bell in gateway.broker.queue} == {
        row.id for row in answer.deliveries
    }
    assert {(await gateway.now(row.id)).state for row in answer.deliveries} == {
        TransportState.QUEUED
    }
    assert len(await gateway.offer()) == 2
    assert len(await gateway.inbox(BETA)) == len(await gateway.inbox(GAMMA)) == 1
    idle = await gateway.relay()
    assert (idle.claimed, idle.more) == (0, False)


@pytest.mark.parametrize("outcome", [UNKNOWN, REFUSED])
async def test_unconfirmed_is_published_again_under_the_same_id(
    gateway: Gateway, outcome: PublishOutcome
) -> None:
    """Without a confirm the doorbell comes again, backed off, with the same id, until confirmed."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    gateway.broker.answer = lambda _: outcome
    waits = []
    for _ in range(4):
        report = await gateway.relay()
        assert (report.claimed, report.unconfirmed, report.more) == (1, 1, False)
        now = await gateway.now(row.id)
        assert now.state is TransportState.ACCEPTED
        assert now.ring_at is not None
        assert (await gateway.relay()).claimed == 0
        waits.append(now.ring_at - gateway.clock.now)
        gateway.clock.now = now.ring_at
    assert waits == sorted(waits) and waits[0] < waits[-1]
    gateway.broker.answer = lambda _: CONFIRMED
    assert (await gateway.relay()).confirmed == 1
    assert {bell.delivery_id for bell in gateway.broker.published} == {row.id}
    assert (await gateway.now(row.id)).ring_failures == 0
    await gateway.offer()
    assert len(await gateway.inbox(BETA)) == 1


async def test_crash_between_publish_and_settle(gateway: Gateway) -> None:
    """The relay dies after publishing: the claim lapses, it rings again, the worker absorbs it."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries

    class Crash(Exception):
        pass

    def crash(_: Doorbell) -> PublishOutcome:
        raise Crash

    gateway.broker.answer = crash
    with pytest.raises(Crash):
        await gateway.relay("relay-1")
    bell = gateway.broker.published[0]
    await gateway.offer([bell])
    gateway.broker.answer = lambda _: CONFIRMED
    assert (await gateway.relay("relay-2")).claimed == 0
    gateway.clock.now += CLAIM + timedelta(seconds=1)
    await gateway.relay("relay-2")
    assert await gateway.offer() == []
    assert [one.id for one in await gateway.inbox(BETA)] == [row.id]


async def test_crash_before_anybody_saw_the_doorbell(gateway: Gateway) -> None:
    """The same crash with the doorbell lost: after the claim lapsed it is published again."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries

    def crash(_: Doorbell) -> PublishOutcome:
        raise ConnectionError

    gateway.broker.answer = crash
    with pytest.raises(ConnectionError):
        await gateway.relay("relay-1")
    gateway.broker.take_all()
    gateway.broker.answer = lambda _: CONFIRMED
    gateway.clock.now += CLAIM + timedelta(seconds=1)
    assert (await gateway.relay("relay-2")).confirmed == 1
    await gateway.offer()
    assert [one.id for one in await gateway.inbox(BETA)] == [row.id]


async def test_one_bad_row_does_not_stop_the_batch(gateway: Gateway) -> None:
    """A doorbell that the broker always refuses backs off alone; the others go through."""
    bad, *good = (await gateway.accepted(document(BETA, GAMMA, ALPHA))).deliveries
    gateway.broker.answer = lambda bell: REFUSED if bell.delivery_id == bad.id else CONFIRMED
    for _ in range(5):
        await gateway.relay()
        gateway.clock.tick(60)
    assert [(await gateway.now(row.id)).state for row in good] == [TransportState.QUEUED] * 2
    failed = await gateway.now(bad.id)
    assert (failed.state, failed.ring_failures) == (TransportState.ACCEPTED, 5)


async def test_worker_faster_than_the_relays_note(gateway: Gateway) -> None:
    """The doorbell is handled before the relay notes its confirm: nothing goes backwards."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    publish = gateway.broker.publish

    async def eager(bells: list[Doorbell], timeout: float) -> list[PublishOutcome]:
        outcomes = await publish(bells, timeout)
        await gateway.offer()
        return outcomes

    gateway.broker.publish = eager  # type: ignore[method-assign, assignment]
    await gateway.relay()
    assert (await gateway.now(row.id)).state is TransportState.OFFERED
    states = [event.to_state for event in await gateway.events(row.package_id) if event.to_state]
    assert states == ["accepted", "offered"]


async def test_offer_twice_is_harmless(gateway: Gateway) -> None:
    """A doorbell that comes twice, at once or later, offers once; unknown ones do nothing."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.relay()
    (bell,) = gateway.broker.take_all()
    offered = await asyncio.gather(*(gateway.offer([bell, bell]) for _ in range(5)))
    assert sum(len(part) for part in offered) == 1
    await gateway.fetch_and_confirm(BETA, row.id)
    gone = Doorbell("0198c0de-gone", bell.connection_id, bell.lane)
    assert await gateway.offer([bell, gone]) == []
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED


async def test_doorbell_of_an_old_route_rings_for_nothing(gateway: Gateway) -> None:
    """A delivery that goes to another connection by now is not put into anybody's inbox by it."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.relay()
    (bell,) = gateway.broker.take_all()
    queued = await gateway.now(row.id)
    held = step(queued, Happening.HELD, ring_at=None)
    moved = step(
        held.after, Happening.RELEASED, connection_id=gateway.world.gamma.id, ring_at=later()
    )
    await put(gateway.database, held, moved)
    assert await gateway.offer([bell]) == []
    gateway.clock.tick(2)
    await gateway.bring()
    assert [one.id for one in await gateway.inbox(GAMMA)] == [row.id]
    assert await gateway.inbox(BETA) == []


async def test_versions_are_offered_in_order(gateway: Gateway) -> None:
    """The doorbell of a later version comes first: the earlier ones are offered before it."""
    ids = [row.id for row in await versions(gateway.database, 3, gateway.world.beta.id)]
    await gateway.relay()
    bells = {bell.delivery_id: bell for bell in gateway.broker.take_all()}
    offered = await gateway.offer([bells[ids[2]]])
    assert [row.id for row in offered] == ids
    assert [row.id for row in await gateway.inbox(BETA)] == ids
    assert await gateway.offer([bells[ids[0]], bells[ids[1]]]) == []


async def test_broker_wiped(gateway: Gateway) -> None:
    """The broker loses everything: after a while each doorbell is rung again, and no more."""
    answer = await gateway.accepted(document(BETA, GAMMA))
    await gateway.relay()
    gateway.broker.take_all()
    assert (await gateway.recover()).rung_again == 0
    gateway.clock.tick(601)
    assert (await gateway.recover()).rung_again == 2
    assert (await gateway.recover()).rung_again == 0
    await gateway.relay()
    assert (await gateway.recover()).rung_again == 0
    await gateway.offer()
    rows = [await gateway.now(row.id) for row in answer.deliveries]
    assert {row.state for row in rows} == {TransportState.OFFERED}


async def test_doorbell_of_a_late_retry_is_not_taken_for_lost(gateway: Gateway) -> None:
    """A retry that waited for hours is in the broker since its publish, not since its last try."""
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    under_way = step(row, Happening.ATTEMPTED, ring_at=None)
    waiting = step(under_way.after, Happening.TRY_LATER, ring_at=later(7200))
    await put(gateway.database, under_way, waiting)
    gateway.clock.tick(7200)
    assert (await gateway.relay()).confirmed == 1
    assert (await gateway.recover()).rung_again == 0


async def test_many_documents_recover_in_parts(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More lost doorbells than one transaction takes: all are rung again."""
    monkeypatch.setattr("routing.recover.BATCH", 3)
    for number in range(1, 5):
        await gateway.accepted(document(BETA, GAMMA, number=number))
    await gateway.relay()
    gateway.broker.take_all()
    assert (await gateway.recover(timedelta(0))).rung_again == 8
    await gateway.bring()
    rows, _ = await all_rows(gateway.database)
    assert {row.state for row in rows} == {TransportState.OFFERED}


async def test_suspended_connection_uses_up_nothing(gateway: Gateway) -> None:
    """While a connection is suspended its documents wait in the outbox; nothing counts as tried."""
    from adapters.database import RegistryStore
    from routing.route_table import ConnectionStatus

    store = RegistryStore(gateway.database)
    await store.set_status(
        gateway.world.beta, ConnectionStatus.SUSPENDED, actor="a", now=gateway.clock.now
    )
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    for _ in range(3):
        assert (await gateway.relay()).claimed == 0
        gateway.clock.tick(3600)
        assert (await gateway.recover()).rung_again == 0
    assert await gateway.now(row.id) == row
    await store.set_status(
        gateway.world.beta, ConnectionStatus.ACTIVE, actor="a", now=gateway.clock.now
    )
    await gateway.bring()
    assert len(await gateway.inbox(BETA)) == 1
