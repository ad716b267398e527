"""Attempts of a running worker: what hangs, what is told, what goes on when the process stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.broker import EmbeddedBroker
from adapters.database import RegistryStore
from gateway import clock
from gateway.hand_over import HandOver, Stopping
from gateway.kinds import KINDS
from gateway.runtime import Roles
from gateway.services import Services
from routing.deliver import AttemptOutcome, AttemptResult
from routing.lanes import Lane
from routing.ports import DatabaseUnavailable, Doorbell, Transaction
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection, ConnectionStatus
from routing.states import TransportState
from tests.support.builders import BETA, World, document, stored
from tests.support.parts import open_parts
from tests.support.servers import wait_until_async
from tests.support.use_cases import Gateway, open_gateway


class SlowPartner:
    """Takes what it is given when it is let; remembers what it has in hand and what it took."""

    def __init__(self) -> None:
        self.in_hand: list[str] = []
        self.taken: list[str] = []
        self.most = 0
        #: Deliveries that are answered only when they leave this set; all others at once.
        self.stuck: set[str] = set()
        self.all_stuck = False
        self.changed = asyncio.Condition()
        self.outcome = AttemptOutcome.DELIVERED

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `Partner`."""
        self.in_hand.append(delivery.id)
        self.most = max(self.most, len(self.in_hand))
        try:
            async with self.changed:
                await self.changed.wait_for(
                    lambda: not self.all_stuck and delivery.id not in self.stuck
                )
        finally:
            self.in_hand.remove(delivery.id)
        self.taken.append(delivery.id)
        return AttemptResult(self.outcome, "as told")

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `Partner`."""
        return AttemptResult(AttemptOutcome.UNKNOWN, "cannot say")

    async def let_go(self) -> None:
        """Answer everything."""
        async with self.changed:
            self.stuck, self.all_stuck = set(), False
            self.changed.notify_all()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway that gives running attempts little time at the end of a handler."""
    async with open_parts(tmp_path, shutdown_seconds=5) as parts:
        parts.broker = EmbeddedBroker(close_grace=0.05)
        yield parts


@pytest.fixture
async def gateway(services: Services, tmp_path: Path) -> Gateway:
    """The little world, in which packages are pushed."""
    return await open_gateway(services.database, tmp_path / "payloads", kind="push")


@pytest.fixture
def partner(monkeypatch: pytest.MonkeyPatch) -> SlowPartner:
    """What packages are pushed to."""
    made = SlowPartner()
    monkeypatch.setitem(KINDS, "push", replace(KINDS["push"], partner=lambda _: made))
    return made


@asynccontextmanager
async def working(services: Services) -> AsyncIterator[Roles]:
    """The roles of one process; ended afterwards if the test did not."""
    roles = Roles(services)
    await roles.start()
    try:
        yield roles
    finally:
        if not services.stopping.is_set():
            await roles.stop()


_number = iter(range(1, 10_000))


async def accepted(gateway: Gateway, *, urgent: bool = False) -> str:
    """The delivery of a new document to BETA."""
    what = document(BETA, number=next(_number), priority=1 if urgent else 0)
    (row,) = (await gateway.accepted(what)).deliveries
    return row.id


async def set_options(services: Services, world: World, **options: Any) -> None:
    """Change options of the receiver's connection, as an operator does."""
    registry = RegistryStore(services.database)
    await registry.set_options(world.beta, options, actor="operator:test", now=clock.now())


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    await wait_until_async(true, 15.0, what)


async def state_of(services: Services, delivery: str) -> TransportState:
    """Of a delivery, now."""
    return (await stored(services.database, delivery)).state


def bell(world: World, delivery: str) -> Doorbell:
    """What the broker would hand over."""
    return Doorbell(delivery, world.beta.id, Lane.ORDINARY)


# --- one hangs ------------------------------------------------------------------------------------


async def test_an_attempt_that_hangs_holds_one_place_only(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """With two places, twenty others are delivered past it, urgent ones too."""
    await set_options(services, gateway.world, concurrency=2)
    stuck = await accepted(gateway)
    partner.stuck.add(stuck)
    async with working(services):
        services.outbox.notify()
        await until(lambda: stuck in partner.in_hand, "the attempt that hangs")
        others = {await accepted(gateway, urgent=number % 5 == 0) for number in range(20)}
        services.outbox.notify()
        await until(lambda: set(partner.taken) == others, "all others")
        assert partner.in_hand == [stuck]
        await partner.let_go()
        await until(lambda: stuck in partner.taken, "the last")


async def test_an_urgent_attempt_that_hangs_does_not_stop_the_ordinary_lane(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """The urgent lane's only place is taken for long; the ordinary lane goes on."""
    await set_options(services, gateway.world, concurrency=2)
    stuck = await accepted(gateway, urgent=True)
    partner.stuck.add(stuck)
    async with working(services):
        services.outbox.notify()
        await until(lambda: stuck in partner.in_hand, "the attempt that hangs")
        others = {await accepted(gateway) for _ in range(5)}
        services.outbox.notify()
        await until(lambda: set(partner.taken) == others, "the ordinary ones")
        await partner.let_go()


async def test_concurrency_is_kept_and_follows_its_option(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """One at a time; then, set to three while the worker runs, three at a time."""
    await set_options(services, gateway.world, concurrency=1)
    partner.all_stuck = True
    for _ in range(6):
        await accepted(gateway)
    async with working(services):
        services.outbox.notify()
        await until(lambda: len(partner.in_hand) == 1, "the first attempt")
        await set_options(services, gateway.world, concurrency=3)
        await until(lambda: len(partner.in_hand) >= 3, "three attempts")
        await partner.let_go()
        await until(lambda: len(partner.taken) == 6, "all six")
    # The one that was under way when the option changed goes on beside the three.
    assert partner.most <= 4


# --- faults ---------------------------------------------------------------------------------------


async def test_a_notice_that_cannot_be_stored_spoils_no_attempt(
    services: Services, gateway: Gateway, partner: SlowPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker opens while the database is away for a moment: the outcome stays recorded."""
    world = gateway.world
    await set_options(services, world, breaker_failures=1)
    delivery = await accepted(gateway)
    partner.outcome = AttemptOutcome.TRY_LATER
    hand_over = HandOver(services, world.beta, partner)
    recorded = services.database.write
    told: list[str] = []

    async def without_notices(work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        if "_tell" in work.__qualname__:
            told.append("tried")
            raise DatabaseUnavailable("away")
        return await recorded(work)

    monkeypatch.setattr(services.database, "write", without_notices)
    await hand_over([bell(world, delivery)])
    row = await stored(services.database, delivery)
    assert told and (row.state, row.attempts) == (TransportState.QUEUED, 1)


async def test_one_fault_leaves_no_attempt_behind_untracked(
    services: Services, gateway: Gateway, partner: SlowPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two doorbells one meets a fault: the caller hears of it when the other has ended too."""
    world = gateway.world
    faulty, slow = await accepted(gateway), await accepted(gateway)
    partner.stuck.add(slow)
    hand_over = HandOver(services, world.beta, partner)
    attempt = hand_over._deliver.attempt

    async def failing(delivery_id: str, *more: Any) -> Any:
        if delivery_id == faulty:
            raise DatabaseUnavailable("away")
        return await attempt(delivery_id, *more)

    monkeypatch.setattr(hand_over._deliver, "attempt", failing)
    call = asyncio.ensure_future(hand_over([bell(world, faulty), bell(world, slow)]))
    await until(lambda: slow in partner.in_hand, "the slow attempt")
    assert not call.done()
    await partner.let_go()
    with pytest.raises(DatabaseUnavailable):
        await call
    assert await state_of(services, slow) is TransportState.DELIVERED


# --- the rate -------------------------------------------------------------------------------------


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Who waits for a slot of the rate gets it when this is set."""
    made = asyncio.Event()

    async def wait(_stop: asyncio.Event, seconds: float) -> None:
        assert seconds > 0
        await made.wait()

    monkeypatch.setattr("gateway.hand_over.pause", wait)
    return made


@pytest.mark.parametrize("status", [ConnectionStatus.SUSPENDED, ConnectionStatus.PAUSED])
async def test_no_attempt_begins_when_the_connection_was_closed_during_the_wait(
    services: Services,
    gateway: Gateway,
    partner: SlowPartner,
    turn: asyncio.Event,
    status: ConnectionStatus,
) -> None:
    """An operator stops it while a doorbell waits for the rate: nothing until it is resumed."""
    world = gateway.world
    await set_options(services, world, attempts_per_minute=1)
    first, second = await accepted(gateway), await accepted(gateway)
    await gateway.relay()
    hand_over = HandOver(services, world.beta, partner)
    call = asyncio.ensure_future(hand_over([bell(world, first), bell(world, second)]))
    await until(lambda: bool(partner.taken), "the first attempt")
    registry = RegistryStore(services.database)
    await registry.set_status(world.beta, status, actor="operator:test", now=clock.now())
    await services.registry.routes(newest=True)
    turn.set()
    await call
    assert partner.taken == [first]
    row = await stored(services.database, second)
    # In the outbox: the relay rings for it as soon as the connection is served.
    assert (row.state, row.attempts, row.ring_at is None) == (TransportState.QUEUED, 0, False)
    active = ConnectionStatus.ACTIVE
    await registry.set_status(world.beta, active, actor="operator:test", now=clock.now())
    await services.registry.routes(newest=True)
    await hand_over([bell(world, second)])
    assert partner.taken == [first, second]


async def test_an_attempt_after_the_wait_keeps_to_options_set_meanwhile(
    services: Services, gateway: Gateway, partner: SlowPartner, turn: asyncio.Event
) -> None:
    """The time limit is shortened while a doorbell waits for the rate: it holds for its attempt."""
    world = gateway.world
    await set_options(services, world, attempts_per_minute=1)
    first, second = await accepted(gateway), await accepted(gateway)
    partner.stuck.add(second)
    hand_over = HandOver(services, world.beta, partner)
    call = asyncio.ensure_future(hand_over([bell(world, first), bell(world, second)]))
    await until(lambda: bool(partner.taken), "the first attempt")
    await set_options(services, world, attempts_per_minute=1, timeout_seconds=0.1)
    await services.registry.routes(newest=True)
    turn.set()
    async with asyncio.timeout(15):
        await call
    assert await state_of(services, second) is TransportState.UNKNOWN


async def test_doorbells_of_what_was_delivered_take_no_slot(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """Rung again and again while it waited: with one attempt a minute, they keep nobody waiting."""
    world = gateway.world
    await set_options(services, world, attempts_per_minute=1)
    first, second = await accepted(gateway), await accepted(gateway)
    hand_over = HandOver(services, world.beta, partner)
    await hand_over([bell(world, first)])
    async with asyncio.timeout(15):
        await hand_over([bell(world, first)] * 5)
    waits = asyncio.ensure_future(hand_over([bell(world, second)]))
    # As soon as the rate allows it: a minute after the only attempt, not six.
    assert hand_over._next_start - time.monotonic() < 60
    hand_over.end()
    with pytest.raises(Stopping):
        await waits


async def test_a_slot_without_an_attempt_is_given_back(
    services: Services, gateway: Gateway, partner: SlowPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There turned out to be nothing to do: with one attempt a minute, the next begins at once."""
    world = gateway.world
    await set_options(services, world, attempts_per_minute=1)
    first, second = await accepted(gateway), await accepted(gateway)
    hand_over = HandOver(services, world.beta, partner)
    attempt = hand_over._deliver.attempt

    async def nothing_to_do(delivery_id: str, *more: Any) -> Any:
        # Another process was faster.
        return None if delivery_id == first else await attempt(delivery_id, *more)

    monkeypatch.setattr(hand_over._deliver, "attempt", nothing_to_do)
    async with asyncio.timeout(15):
        await hand_over([bell(world, first)])
        await hand_over([bell(world, second)])
    assert partner.taken == [second]


# --- the end --------------------------------------------------------------------------------------


async def test_stopping_waits_for_attempts_under_way(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """The broker has let go of the handler; the partner takes the package, which is recorded."""
    delivery = await accepted(gateway)
    partner.stuck.add(delivery)
    async with working(services) as roles:
        services.outbox.notify()
        await until(lambda: delivery in partner.in_hand, "the attempt")
        stopping = asyncio.ensure_future(roles.stop())
        # By now the broker's own grace is long over.
        await until(lambda: not services.broker._groups, "no subscription")  # type: ignore[attr-defined]
        assert not stopping.done()
        await partner.let_go()
        await stopping
    assert await state_of(services, delivery) is TransportState.DELIVERED


async def test_an_attempt_without_end_does_not_hold_up_the_end(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """It is cut off after shutdown_seconds, and nothing of it runs on."""
    services.settings = services.settings.model_copy(update={"shutdown_seconds": 0.3})
    delivery = await accepted(gateway)
    partner.all_stuck = True
    async with working(services) as roles:
        services.outbox.notify()
        await until(lambda: delivery in partner.in_hand, "the attempt")
        async with asyncio.timeout(10):
            await roles.stop()
    assert partner.in_hand == []
    assert await state_of(services, delivery) is TransportState.DELIVERING


async def test_no_attempt_begins_when_the_process_stops(
    services: Services, gateway: Gateway, partner: SlowPartner
) -> None:
    """A doorbell that waits for its turn by the rate comes again instead."""
    world = gateway.world
    await set_options(services, world, attempts_per_minute=1)
    first, second = await accepted(gateway), await accepted(gateway)
    hand_over = HandOver(services, world.beta, partner)
    waiting: Sequence[Doorbell] = [bell(world, first), bell(world, second)]
    call = asyncio.ensure_future(hand_over(waiting))
    await until(lambda: bool(partner.taken), "the first attempt")
    hand_over.end()
    with pytest.raises(Stopping):
        await call
    assert len(partner.taken) == 1
