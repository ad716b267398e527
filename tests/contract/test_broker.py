"""The contract of :class:`routing.ports.Broker`, on the embedded broker and on RabbitMQ alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from adapters.broker import EmbeddedBroker, RabbitMqBroker, RabbitMqOptions
from routing.lanes import Lane
from routing.ports import Broker, Doorbell, PublishOutcome
from tests.support.doorbells import Recorder, bells
from tests.support.servers import wait_until_async

MakeBroker = Callable[[], Broker]

CONFIRMED = PublishOutcome.CONFIRMED


@pytest.fixture(params=["embedded", "rabbitmq"])
def make_broker(request: pytest.FixtureRequest) -> MakeBroker:
    """Makes brokers of one kind; those of RabbitMQ share one virtual host."""
    if request.param == "embedded":
        return lambda: EmbeddedBroker(close_grace=0.5)
    url = request.getfixturevalue("amqp_url")
    options = RabbitMqOptions(prefix=request.getfixturevalue("prefix"), close_grace=0.5)
    return lambda: RabbitMqBroker(url, options)


@pytest.fixture
async def broker(make_broker: MakeBroker) -> AsyncIterator[Broker]:
    """A started broker."""
    broker = make_broker()
    await broker.start()
    yield broker
    await broker.close()


async def test_doorbell_arrives_as_it_was_published(broker: Broker) -> None:
    """A confirmed doorbell reaches the subscriber of its connection and lane, unchanged."""
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.URGENT, recorder)
    sent = Doorbell("0198c0de", "qlvb-a", Lane.URGENT, "trace-1")
    assert await broker.publish([sent], 10.0) == [CONFIRMED]
    await recorder.wait_for(1)
    assert recorder.seen == [sent]


async def test_missing_correlation_id_stays_empty(broker: Broker) -> None:
    """A doorbell without a correlation id comes back without one."""
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    sent = Doorbell("0198c0de", "qlvb-a", Lane.ORDINARY)
    await broker.publish([sent], 10.0)
    await recorder.wait_for(1)
    assert recorder.seen == [sent]


async def test_publish_of_nothing_is_no_outcome(broker: Broker) -> None:
    """An empty list of doorbells has an empty list of outcomes."""
    assert await broker.publish([], 1.0) == []


async def test_unknown_queue_is_created_not_lost(broker: Broker) -> None:
    """Doorbells for a connection nobody has heard of are kept until somebody subscribes."""
    sent = bells(3, "new-connection")
    assert await broker.publish(sent, 10.0) == [CONFIRMED] * 3
    recorder = Recorder()
    await broker.subscribe("new-connection", Lane.ORDINARY, recorder)
    await recorder.wait_for(3)
    assert recorder.seen == sent


async def test_one_publish_serves_many_connections(broker: Broker) -> None:
    """One call may ring at many connections and both lanes; each gets its own, only once."""
    connections = [f"qlvb-{number}" for number in range(10)]
    sent = [bell for name in connections for lane in Lane for bell in bells(2, name, lane)]
    recorders = {(name, lane): Recorder() for name in connections for lane in Lane}
    for (name, lane), recorder in recorders.items():
        await broker.subscribe(name, lane, recorder)
    assert await broker.publish(sent, 20.0) == [CONFIRMED] * len(sent)
    for (name, lane), recorder in recorders.items():
        await recorder.wait_for(2)
        assert recorder.seen == bells(2, name, lane)


async def test_batches_are_bounded_and_used(broker: Broker) -> None:
    """What waits is handed over together, never more than ``batch`` at once."""
    sent = bells(100)
    await broker.publish(sent, 10.0)
    recorder = Recorder()
    recorder.gate.clear()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder, batch=20)
    await recorder.wait_for(1)
    recorder.gate.set()
    await recorder.wait_for(100)
    sizes = [len(batch) for batch in recorder.batches]
    assert max(sizes) == 20
    assert len(sizes) < 20
    assert recorder.seen == sent


async def test_order_within_a_lane(broker: Broker) -> None:
    """Without failures a lane keeps the order of publishing, over calls and batches."""
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder, batch=7)
    for start in range(0, 300, 60):
        await broker.publish(bells(60, start=start), 10.0)
    await recorder.wait_for(300)
    assert recorder.seen == bells(300)


async def test_urgent_overtakes_ordinary(broker: Broker) -> None:
    """An urgent doorbell does not wait for the ordinary batch at work nor for those queued."""
    ordinary, urgent = Recorder(), Recorder()
    ordinary.gate.clear()
    await broker.publish(bells(50), 10.0)
    await broker.subscribe("qlvb-a", Lane.URGENT, urgent)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, ordinary, batch=5)
    await ordinary.wait_for(1)
    await broker.publish(bells(3, lane=Lane.URGENT), 10.0)
    await urgent.wait_for(3)
    assert len(ordinary.batches) == 1
    ordinary.gate.set()
    await ordinary.wait_for(50)


async def test_ordinary_lane_waits_while_urgent_is_handled(broker: Broker) -> None:
    """While urgent doorbells of a connection are at work, no ordinary batch of it begins."""
    ordinary, urgent, other = Recorder(), Recorder(), Recorder()
    urgent.gate.clear()
    await broker.subscribe("qlvb-a", Lane.URGENT, urgent)
    await broker.publish(bells(1, lane=Lane.URGENT), 10.0)
    await urgent.wait_for(1)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, ordinary)
    await broker.subscribe("qlvb-b", Lane.ORDINARY, other)
    await broker.publish([*bells(5), *bells(1, "qlvb-b")], 10.0)
    await other.wait_for(1)
    assert ordinary.seen == []
    urgent.gate.set()
    await ordinary.wait_for(5)


async def test_redelivery_when_the_handler_raises(broker: Broker) -> None:
    """A doorbell whose handler raised comes again, until the handler returns."""
    calls: list[str] = []

    async def handler(doorbells: Sequence[Doorbell]) -> None:
        calls.extend(bell.delivery_id for bell in doorbells)
        if len(calls) < 3:
            raise OSError("database away")

    await broker.subscribe("qlvb-a", Lane.ORDINARY, handler)
    [bell] = bells(1)
    await broker.publish([bell], 10.0)
    await wait_until_async(lambda: len(calls) == 3, 10.0, "the third try")
    # Handled now: the queue empties, and a later doorbell is the next thing the handler sees.
    last = Doorbell("last", "qlvb-a", Lane.ORDINARY)
    await broker.publish([last], 10.0)
    await wait_until_async(lambda: "last" in calls, 10.0, "the later doorbell")
    assert calls == [bell.delivery_id] * 3 + ["last"]


async def test_cancellation_inside_a_handler_is_a_failure_like_others(broker: Broker) -> None:
    """A handler whose own call was cancelled ends no consumer: the doorbell comes again."""
    calls = 0

    async def handler(doorbells: Sequence[Doorbell]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise asyncio.CancelledError

    await broker.subscribe("qlvb-a", Lane.ORDINARY, handler)
    await broker.publish(bells(1), 10.0)
    await wait_until_async(lambda: calls == 2, 10.0, "the second try")


async def test_one_bad_doorbell_does_not_hold_up_the_others(broker: Broker) -> None:
    """After a failed batch its doorbells come one by one, so only the bad one goes on failing."""
    bad = bells(10)[4].delivery_id
    done: set[str] = set()

    async def handler(doorbells: Sequence[Doorbell]) -> None:
        if any(bell.delivery_id == bad for bell in doorbells):
            raise ValueError("cannot handle this one")
        done.update(bell.delivery_id for bell in doorbells)

    await broker.publish(bells(10), 10.0)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, handler, batch=10)
    others = {bell.delivery_id for bell in bells(10)} - {bad}
    await wait_until_async(lambda: done == others, 10.0, "the nine good doorbells")


async def test_stuck_handler_delays_no_other_connection(broker: Broker) -> None:
    """While the handler of one connection hangs, hundreds pass through another."""
    stuck, free = Recorder(), Recorder()
    stuck.gate.clear()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, stuck, batch=1)
    await broker.subscribe("qlvb-b", Lane.ORDINARY, free)
    await broker.publish([*bells(300), *bells(300, "qlvb-b")], 10.0)
    await free.wait_for(300)
    assert len(stuck.batches) == 1
    stuck.gate.set()


async def test_thousands_arrive_once_each(broker: Broker) -> None:
    """Four thousand doorbells in calls of a relay's size arrive, each once."""
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    for start in range(0, 4000, 500):
        outcomes = await broker.publish(bells(500, start=start), 20.0)
        assert outcomes == [CONFIRMED] * 500
    await recorder.wait_for(4000, 60.0)
    assert recorder.seen == bells(4000)


async def test_unhandled_doorbells_outlast_the_subscription(broker: Broker) -> None:
    """What was not handled when a subscription ends is handed to the next subscriber, in order."""
    first, second = Recorder(), Recorder()
    first.gate.clear()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, first, batch=5)
    await broker.publish(bells(30), 10.0)
    await first.wait_for(1)
    # The handler does not end within the grace of this broker: its doorbells are not acked.
    await broker.unsubscribe("qlvb-a")
    assert first.ended == 0
    await broker.subscribe("qlvb-a", Lane.ORDINARY, second, batch=5)
    await second.wait_for(30)
    assert set(second.seen) == set(bells(30))


async def test_running_handler_may_end_when_its_subscription_ends(broker: Broker) -> None:
    """Unsubscribing waits for the handler at work and acks what it did."""
    first, second = Recorder(), Recorder()
    first.gate.clear()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, first, batch=5)
    await broker.publish(bells(6), 10.0)
    await first.wait_for(1)
    taken = len(first.seen)
    leaving = asyncio.create_task(broker.unsubscribe("qlvb-a"))
    asyncio.get_running_loop().call_later(0.1, first.gate.set)
    await leaving
    assert first.ended == 1
    await broker.subscribe("qlvb-a", Lane.ORDINARY, second)
    await second.wait_for(6 - taken)
    assert second.seen == bells(6)[taken:]


async def test_second_subscribe_replaces_the_handler(broker: Broker) -> None:
    """Subscribing again for the same lane hands over to the new handler, and only to it."""
    first, second = Recorder(), Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, first)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, second)
    await broker.publish(bells(3), 10.0)
    await second.wait_for(3)
    assert first.seen == []


async def test_unsubscribe_of_a_stranger_does_nothing(broker: Broker) -> None:
    """Ending a subscription that does not exist is no error."""
    await broker.unsubscribe("nobody")


async def test_depths_count_what_waits(broker: Broker) -> None:
    """``depths`` names each used connection and lane with the doorbells that wait there."""
    await broker.publish([*bells(3), *bells(2, lane=Lane.URGENT)], 10.0)
    expected = {("qlvb-a", Lane.ORDINARY): 3, ("qlvb-a", Lane.URGENT): 2}

    async def counted() -> bool:
        return await broker.depths() == expected

    await wait_until_async(counted, 10.0, "the depths of both queues")
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    await recorder.wait_for(3)
    expected[("qlvb-a", Lane.ORDINARY)] = 0
    await wait_until_async(counted, 10.0, "an empty ordinary queue")


async def test_health_follows_start_and_close(make_broker: MakeBroker) -> None:
    """A broker is well between start and close only, and confirms nothing outside."""
    broker = make_broker()
    assert not (await broker.health()).ok
    await broker.start()
    assert (await broker.health()).ok
    await broker.close()
    assert not (await broker.health()).ok
    assert await broker.publish(bells(1), 0.5) != [CONFIRMED]


async def test_volatile_says_whether_a_restart_empties_it(make_broker: MakeBroker) -> None:
    """What is confirmed is still there for the next process, exactly if the broker says so."""
    first = make_broker()
    await first.start()
    await first.publish(bells(2), 10.0)
    await first.close()
    second = make_broker()
    await second.start()
    recorder = Recorder()
    await second.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    await second.publish(bells(1, start=9), 10.0)
    await recorder.wait_for(1 if second.volatile else 3)
    expected = [] if second.volatile else bells(2)
    assert recorder.seen == [*expected, *bells(1, start=9)]
    await second.close()


async def test_batch_of_none_is_refused(broker: Broker) -> None:
    """A batch size below one is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one"):
        await broker.subscribe("qlvb-a", Lane.ORDINARY, Recorder(), batch=0)


class OneHangs(Recorder):
    """A handler that is stuck with one doorbell and quick with all others."""

    def __init__(self, stuck: Doorbell) -> None:
        super().__init__()
        self.stuck = stuck
        self.gate.clear()

    async def __call__(self, doorbells: Sequence[Doorbell]) -> None:
        self.batches.append(list(doorbells))
        if self.stuck in doorbells:
            await self.gate.wait()
        self.ended += 1


async def test_places_hold_so_many_each_alone(broker: Broker) -> None:
    """Never more at the same time than there are places, and none with another."""
    recorder, other = Recorder(), Recorder()
    recorder.gate.clear()
    await broker.publish(bells(10), 10.0)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder, places=3)
    await recorder.wait_for(3)
    await broker.subscribe("qlvb-b", Lane.ORDINARY, other, batch=1)
    await broker.publish(bells(50, "qlvb-b"), 10.0)
    await other.wait_for(50)
    assert [len(batch) for batch in recorder.batches] == [1, 1, 1]
    recorder.gate.set()
    await recorder.wait_for(10)
    assert recorder.seen == bells(10) and {len(batch) for batch in recorder.batches} == {1}


async def test_one_that_hangs_holds_one_place_only(broker: Broker) -> None:
    """The others go through the remaining places, and are settled: only the stuck one returns."""
    first, second = OneHangs(bells(1)[0]), Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, first, places=2)
    await broker.publish(bells(100), 10.0)
    await first.wait_for(100)
    await wait_until_async(lambda: first.ended == 99, 10.0, "all but the stuck one")
    await broker.unsubscribe("qlvb-a")
    await broker.subscribe("qlvb-a", Lane.ORDINARY, second)
    await broker.publish(bells(1, start=100), 10.0)
    await second.wait_for(2)
    assert set(second.seen) == {first.stuck, *bells(1, start=100)}


async def test_an_urgent_one_that_hangs_does_not_stop_the_ordinary_lane(broker: Broker) -> None:
    """With places the lanes wait for none at work: neither does the urgent lane itself stop."""
    [stuck, *others] = bells(5, lane=Lane.URGENT)
    urgent, ordinary = OneHangs(stuck), Recorder()
    await broker.subscribe("qlvb-a", Lane.URGENT, urgent, places=1)
    await broker.publish([stuck], 10.0)
    await urgent.wait_for(1)
    await broker.subscribe("qlvb-a", Lane.ORDINARY, ordinary, places=2)
    await broker.publish([*bells(5), *others], 10.0)
    await ordinary.wait_for(5)
    urgent.gate.set()
    await urgent.wait_for(5)


async def test_urgent_ones_go_first_through_places(broker: Broker) -> None:
    """What waits in both lanes: no ordinary one begins before the urgent ones have places."""
    order = Recorder()
    await broker.publish([*bells(3), *bells(3, lane=Lane.URGENT)], 10.0)
    order.gate.clear()
    for lane in (Lane.URGENT, Lane.ORDINARY):
        await broker.subscribe("qlvb-a", lane, order, places=4)
    await order.wait_for(6)
    if broker.volatile:  # RabbitMQ delivers the lanes when it likes
        assert order.seen == [*bells(3, lane=Lane.URGENT), *bells(3)]
    order.gate.set()


async def test_embedded_broker_refuses_what_exceeds_its_capacity() -> None:
    """The embedded broker is bounded: the surplus is refused and stays in the outbox."""
    broker = EmbeddedBroker(capacity=3)
    await broker.start()
    outcomes = await broker.publish(bells(5), 1.0)
    assert outcomes == [CONFIRMED] * 3 + [PublishOutcome.REFUSED] * 2
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    await recorder.wait_for(3)
    await wait_until_async(lambda: recorder.ended > 0, 5.0, "the end of the handler")
    assert await broker.publish(bells(1), 1.0) == [CONFIRMED]
    await broker.close()
