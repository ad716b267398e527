"""What the broker adapter does while a real RabbitMQ is stopped, killed, frozen, wiped or cut off.

The invariant throughout: a confirmed doorbell is handed over at least once unless the broker's data
was destroyed, every other one is reported as not confirmed, and no call outlasts its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import aio_pika
import pytest

from adapters.broker import RabbitMqBroker, RabbitMqOptions
from routing.lanes import Lane
from routing.ports import BrokerUnavailable, Doorbell, PublishOutcome
from tests.support.doorbells import Recorder, bells
from tests.support.servers import FlakyProxy, RabbitMq, free_port, wait_until_async

pytestmark = pytest.mark.fault

CONFIRMED = PublishOutcome.CONFIRMED
UNKNOWN = PublishOutcome.UNKNOWN
REFUSED = PublishOutcome.REFUSED


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitMq]:
    """A node of this module's own, because its tests break it."""
    with RabbitMq() as server:
        yield server


@pytest.fixture
def server(node: RabbitMq) -> Iterator[RabbitMq]:
    """The node, running at the start of each test."""
    node.start()
    yield node
    node.start()
    node.resume()


@asynccontextmanager
async def running(
    url: str,
    prefix: str,
    *,
    delivery_limit: int = 100,
    watchdog: float = 10.0,
    renewal: float = 300.0,
) -> AsyncIterator[RabbitMqBroker]:
    """A started broker adapter."""
    options = RabbitMqOptions(
        prefix=prefix,
        start_timeout=10.0,
        close_grace=0.5,
        health_timeout=0.5,
        delivery_limit=delivery_limit,
        watchdog=watchdog,
        renewal=renewal,
    )
    broker = RabbitMqBroker(url, options)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.close()


async def in_thread(work: Callable[[], None]) -> None:
    """Run a blocking server operation beside the event loop, as real outages happen."""
    await asyncio.to_thread(work)


async def timed(call: Awaitable[list[PublishOutcome]]) -> tuple[list[PublishOutcome], float]:
    """Outcomes of a publish and the seconds it took."""
    began = time.monotonic()
    outcomes = await call
    return outcomes, time.monotonic() - began


async def publish_until_confirmed(
    broker: RabbitMqBroker, doorbells: Sequence[Doorbell], deadline: float = 30.0
) -> None:
    """What the relay does: publish again, with the same ids, whatever was not confirmed."""
    open_ones = list(doorbells)

    async def settled() -> bool:
        nonlocal open_ones
        outcomes = await broker.publish(open_ones, 3.0)
        open_ones = [
            bell for bell, out in zip(open_ones, outcomes, strict=True) if out is not CONFIRMED
        ]
        return not open_ones

    await wait_until_async(settled, deadline, "all confirms")


async def test_stop_and_start(server: RabbitMq, prefix: str) -> None:
    """Over an orderly restart confirmed doorbells stay, and both directions come back."""
    recorder = Recorder()
    async with running(server.url(), prefix) as broker:
        assert await broker.publish(bells(5), 10.0) == [CONFIRMED] * 5
        await in_thread(server.stop)
        await wait_until_async(lambda: _ill(broker), 10.0, "bad health")
        outcomes, seconds = await timed(broker.publish(bells(3, start=5), 1.0))
        assert outcomes == [UNKNOWN] * 3
        assert seconds < 2.0
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await in_thread(server.start)
        await publish_until_confirmed(broker, bells(3, start=5))
        await recorder.wait_for(8)
        assert set(recorder.seen) == set(bells(8))
        await wait_until_async(lambda: _well(broker), 10.0, "good health")


async def test_kill_nine_loses_nothing_confirmed(server: RabbitMq, prefix: str) -> None:
    """SIGKILL while publishing: what was confirmed arrives, the rest is reported as unknown."""
    recorder = Recorder()
    confirmed: set[Doorbell] = set()
    unknown: set[Doorbell] = set()
    async with running(server.url(), prefix) as broker:

        async def publish_on() -> None:
            for start in range(0, 100_000, 50):
                some = bells(50, start=start)
                outcomes = await broker.publish(some, 1.0)
                for bell, outcome in zip(some, outcomes, strict=True):
                    (confirmed if outcome is CONFIRMED else unknown).add(bell)
                if unknown:
                    return

        publishing = asyncio.create_task(publish_on())
        await wait_until_async(lambda: len(confirmed) > 500, 10.0, "500 confirms")
        await in_thread(server.kill)
        await publishing
        assert unknown, "the kill came too late to prove anything"
        await in_thread(server.start)
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await wait_until_async(lambda: confirmed <= set(recorder.seen), 20.0, "all confirmed ones")
        await publish_until_confirmed(broker, sorted(unknown, key=lambda bell: bell.delivery_id))
        await wait_until_async(lambda: unknown <= set(recorder.seen), 20.0, "the unknown ones")


async def test_consumer_survives_kill_nine(server: RabbitMq, prefix: str) -> None:
    """A subscription made before the crash hands over what is published after it."""
    recorder = Recorder()
    async with running(server.url(), prefix) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        await in_thread(server.kill)
        await in_thread(server.start)
        await publish_until_confirmed(broker, bells(1, start=1))
        await wait_until_async(lambda: bells(2)[1] in recorder.seen, 20.0, "the later doorbell")


async def test_frozen_broker_never_hangs_a_call(server: RabbitMq, prefix: str) -> None:
    """With the broker in SIGSTOP every call returns in its time; after SIGCONT all goes on."""
    recorder = Recorder()
    async with running(server.url(), prefix) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        server.pause()
        outcomes, seconds = await timed(broker.publish(bells(200, start=1), 1.0))
        assert outcomes == [UNKNOWN] * 200
        assert seconds < 1.5
        # A connection that is new to this process needs a declaration first: bounded as well.
        outcomes, seconds = await timed(broker.publish(bells(1, "qlvb-new"), 1.0))
        assert outcomes == [UNKNOWN]
        assert seconds < 1.5
        began = time.monotonic()
        assert await _ill(broker)
        assert await broker.depths() == {}
        assert time.monotonic() - began < 2.5
        server.resume()
        await publish_until_confirmed(broker, [*bells(200, start=1), *bells(1, "qlvb-new")])
        await wait_until_async(lambda: set(recorder.seen) == set(bells(201)), 10.0, "all of them")


async def test_start_against_a_frozen_broker_is_bounded(server: RabbitMq, prefix: str) -> None:
    """A broker that accepts connections and says nothing does not hold up the start for ever."""
    server.pause()
    broker = RabbitMqBroker(server.url(), RabbitMqOptions(prefix=prefix, start_timeout=1.0))
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(broker.start(), 3.0)
    server.resume()
    await publish_until_confirmed(broker, bells(1))
    await broker.close()


async def test_close_of_a_frozen_broker_is_bounded(server: RabbitMq, prefix: str) -> None:
    """A service can end although its broker does not answer."""
    broker = RabbitMqBroker(server.url(), RabbitMqOptions(prefix=prefix, close_grace=0.5))
    await broker.start()
    recorder = Recorder()
    await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
    await broker.publish(bells(1), 10.0)
    await recorder.wait_for(1)
    server.pause()
    began = time.monotonic()
    await broker.close()
    assert time.monotonic() - began < 10.0


async def test_wiped_broker_is_furnished_again(server: RabbitMq, prefix: str) -> None:
    """After the loss of all data, queues and consumers come back and no doorbell is refused."""
    recorder = Recorder()
    async with running(server.url(), prefix) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        await in_thread(server.kill)
        server.wipe()
        await in_thread(server.start)
        await publish_until_confirmed(broker, [*bells(20, start=1), *bells(1, "qlvb-b")])
        await wait_until_async(lambda: set(recorder.seen) == set(bells(21)), 15.0, "all of them")


async def test_connection_cut_in_the_middle_of_confirms(server: RabbitMq, prefix: str) -> None:
    """A reset inside the stream of confirms: some confirmed, some unknown, none lost."""
    recorder = Recorder()
    async with (
        FlakyProxy(server.port) as proxy,
        running(server.url(port=proxy.port), prefix) as broker,
    ):
        await broker.publish(bells(1), 10.0)
        # One confirm frame has 21 bytes; the cut falls inside one of them.
        proxy.cut_after(40, "down")
        outcomes = await broker.publish(bells(500, start=1), 3.0)
        assert UNKNOWN in outcomes
        assert set(outcomes) <= {CONFIRMED, UNKNOWN}
        confirmed = {
            bell
            for bell, out in zip(bells(500, start=1), outcomes, strict=True)
            if out is CONFIRMED
        }
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await wait_until_async(lambda: confirmed <= set(recorder.seen), 15.0, "the confirmed ones")
        await publish_until_confirmed(broker, bells(500, start=1))
        await wait_until_async(lambda: set(recorder.seen) == set(bells(501)), 15.0, "all of them")


async def test_doorbell_in_hand_when_the_connection_is_cut(server: RabbitMq, prefix: str) -> None:
    """The ack after a reconnect is too late: no harm done, the doorbell comes a second time."""
    recorder = Recorder()
    recorder.gate.clear()
    async with (
        FlakyProxy(server.port) as proxy,
        running(server.url(port=proxy.port), prefix) as broker,
    ):
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        links = proxy.accepted
        proxy.cut()
        proxy.heal()
        await wait_until_async(lambda: proxy.accepted >= links + 2, 10.0, "both connections")
        recorder.gate.set()
        await recorder.wait_for(2)
        assert recorder.seen == bells(1) * 2
        await publish_until_confirmed(broker, bells(1, start=1))
        await wait_until_async(lambda: recorder.seen[-1] == bells(2)[1], 10.0, "the next one")


async def test_silent_network_is_noticed_by_heartbeat(server: RabbitMq, prefix: str) -> None:
    """A black hole instead of a reset: the heartbeat gives the connection up, a new one works."""
    recorder = Recorder()
    async with FlakyProxy(server.port) as proxy:
        url = server.url(port=proxy.port) + "?heartbeat=1"
        async with running(url, prefix) as broker:
            await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
            await broker.publish(bells(1), 10.0)
            await recorder.wait_for(1)
            links = proxy.accepted
            proxy.stall()
            outcomes, seconds = await timed(broker.publish(bells(5, start=1), 0.5))
            assert outcomes == [UNKNOWN] * 5
            assert seconds < 1.0
            await wait_until_async(lambda: proxy.accepted > links, 15.0, "a new connection")
            proxy.heal()
            await publish_until_confirmed(broker, bells(5, start=1))
            await wait_until_async(lambda: set(recorder.seen) == set(bells(6)), 15.0, "all of them")


async def test_memory_alarm_blocks_publishing_not_consuming(server: RabbitMq, prefix: str) -> None:
    """Under a memory alarm publishes end as unknown in time, handlers still get and ack."""
    recorder = Recorder()
    async with running(server.url(), prefix) as broker:
        await broker.publish(bells(20), 10.0)
        await in_thread(server.raise_memory_alarm)
        try:
            outcomes, seconds = await timed(broker.publish(bells(5, start=20), 1.0))
            assert outcomes == [UNKNOWN] * 5
            assert seconds < 1.5
            assert await _ill(broker)
            await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
            await recorder.wait_for(20)
        finally:
            await in_thread(server.clear_memory_alarm)
        await publish_until_confirmed(broker, bells(5, start=20))
        await wait_until_async(lambda: set(recorder.seen) == set(bells(25)), 10.0, "all of them")
        await wait_until_async(lambda: _well(broker), 10.0, "good health")


async def test_queue_deleted_under_the_consumer(server: RabbitMq, prefix: str) -> None:
    """When somebody deletes the queue, the broker's cancel is enough to restore both."""
    name = f"{prefix}.qlvb-a.ordinary"
    async with running(server.url(), prefix, watchdog=600.0) as broker:
        recorder = Recorder()
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        await in_thread(lambda: server.delete_queue(name))
        await wait_until_async(lambda: name in server.queue_depths(), 10.0, "the queue")
        await publish_until_confirmed(broker, bells(1, start=1))
        await recorder.wait_for(2)


async def test_queue_deleted_and_made_again_by_a_publisher(server: RabbitMq, prefix: str) -> None:
    """A queue made again too fast for RabbitMQ to cancel the consumer is served after a while."""
    recorder = Recorder()
    async with running(server.url(), prefix, watchdog=0.3, renewal=1.0) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        await in_thread(lambda: server.delete_queue(f"{prefix}.qlvb-a.ordinary"))
        await publish_until_confirmed(broker, bells(1, start=1))
        await recorder.wait_for(2)


async def test_unroutable_message_is_seen(server: RabbitMq, prefix: str) -> None:
    """A doorbell for a queue that vanished is not called confirmed before it is in the new one."""
    async with running(server.url(), prefix) as broker:
        await broker.publish(bells(3), 10.0)
        name = f"{prefix}.qlvb-a.ordinary"
        await in_thread(lambda: server.delete_queue(name))
        assert await broker.publish(bells(4), 10.0) == [CONFIRMED] * 4
        assert server.queue_depths()[name] == 4


async def test_exchange_deleted_by_an_operator(server: RabbitMq, prefix: str) -> None:
    """A publish to a missing exchange closes the channel; the next one finds it declared again."""
    async with running(server.url(), prefix) as broker:
        await broker.publish(bells(1), 10.0)
        async with await aio_pika.connect(server.url()) as connection:
            await (await connection.channel()).exchange_delete(f"{prefix}.doorbells")
        assert await broker.publish(bells(1, start=1), 5.0) == [UNKNOWN]
        assert await broker.publish(bells(1, start=1), 5.0) == [CONFIRMED]


async def test_full_queue_refuses(server: RabbitMq, prefix: str) -> None:
    """A negative confirm of the broker is reported as refused, not as unknown."""
    async with running(server.url(), prefix) as broker:
        await broker.publish(bells(1), 10.0)
        pattern = f"^{prefix}\\.qlvb"
        limit = ("--apply-to", "queues", prefix, pattern, '{"max-length": 3}')
        await in_thread(lambda: _discard(server.ctl("set_policy", *limit)))

        async def refused() -> bool:
            return await broker.publish(bells(1, start=1), 10.0) == [REFUSED]

        await wait_until_async(refused, 10.0, "the limit to be reached")
        await in_thread(lambda: _discard(server.ctl("clear_policy", prefix)))


async def test_poison_message_is_dead_lettered_with_a_reason(server: RabbitMq, prefix: str) -> None:
    """What cannot be decoded goes to the dead-letter queue, says why, and holds up nobody."""
    recorder = Recorder()
    foreign = b'{"delivery_id": "1", "connection_id": "somebody-else", "lane": "ordinary"}'
    async with running(server.url(), prefix) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        async with await aio_pika.connect(server.url()) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(f"{prefix}.doorbells")
            for body in (b"not json", b"[]", b"{}", foreign):
                await exchange.publish(aio_pika.Message(body), "qlvb-a.ordinary")
            await broker.publish(bells(1, start=1), 10.0)
            await recorder.wait_for(2)
            assert recorder.seen == bells(2)
            dead = await channel.get_queue(f"{prefix}.dead-letters")
            reasons = {}
            for _ in range(4):
                message = await _take(dead)
                reasons[message.body] = message.headers["x-lienthong-reason"]
        assert reasons == {
            b"not json": "body is not JSON",
            b"[]": "body is not a JSON object",
            b"{}": "delivery_id is missing or no text of 1 to 255 characters",
            foreign: "connection_id or lane is not that of the queue",
        }
        assert server.queue_depths()[f"{prefix}.qlvb-a.ordinary"] == 0


async def test_delivery_limit_dead_letters(server: RabbitMq, prefix: str) -> None:
    """A doorbell that is delivered in vain too often ends in the dead-letter queue, not nowhere."""
    calls = 0

    async def handler(doorbells: Sequence[Doorbell]) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("never works")

    async with running(server.url(), prefix, delivery_limit=2) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, handler)
        await broker.publish(bells(1), 10.0)
        async with await aio_pika.connect(server.url()) as connection:
            dead = await (await connection.channel()).get_queue(f"{prefix}.dead-letters")
            message = await _take(dead)
        assert message.message_id == bells(1)[0].delivery_id
        assert calls == 3


async def test_watchdog_restores_a_consumer_lost_in_silence(server: RabbitMq, prefix: str) -> None:
    """A consumer that the server forgot without a word is noticed and made anew."""
    recorder = Recorder()
    async with running(server.url(), prefix, watchdog=0.5) as broker:
        await broker.subscribe("qlvb-a", Lane.ORDINARY, recorder)
        await broker.publish(bells(1), 10.0)
        await recorder.wait_for(1)
        forget = (
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, '
            f'<<"{prefix}.qlvb-a.ordinary">>)), '
            "[Consumer] = rabbit_amqqueue:consumers(Q), "
            "Id = {element(2, Consumer), element(1, Consumer)}, "
            "element(1, ra:process_command(amqqueue:get_pid(Q), "
            "rabbit_fifo:make_checkout(Id, cancel, #{})))."
        )
        assert await asyncio.to_thread(server.evaluate, forget) == "ok"
        await publish_until_confirmed(broker, bells(1, start=1))
        await recorder.wait_for(2)


async def test_two_processes_create_the_same_queues_at_once(server: RabbitMq, prefix: str) -> None:
    """RabbitMQ 3.10 may break one of two connections that create one queue; both get through."""
    names = [f"qlvb-{number}" for number in range(6)]
    recorders = {name: Recorder() for name in names}
    async with running(server.url(), prefix) as one, running(server.url(), prefix) as other:
        for name in names:
            await one.subscribe(name, Lane.ORDINARY, recorders[name])
        sent = [bell for name in names for bell in bells(5, name)]
        await publish_until_confirmed(other, sent)
        for name in names:
            await recorders[name].wait_for(5)
            assert set(recorders[name].seen) == set(bells(5, name))


async def test_start_without_a_broker_fails_in_time_and_recovers(prefix: str) -> None:
    """``start`` says that there is no broker; connecting goes on and succeeds when one comes."""
    with RabbitMq(port=free_port()) as late:
        late.stop()
        options = RabbitMqOptions(prefix=prefix, start_timeout=0.5)
        broker = RabbitMqBroker(late.url(), options)
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            await broker.start()
        assert time.monotonic() - began < 2.0
        health = await broker.health()
        assert not health.ok
        assert "guest" not in health.detail
        await in_thread(late.start)
        await publish_until_confirmed(broker, bells(1))
        await broker.close()


async def _take(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    """The next message of a queue, acked; waits for it."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []

    async def look() -> bool:
        message = await queue.get(fail=False)
        if message is not None:
            await message.ack()
            found.append(message)
        return bool(found)

    await wait_until_async(look, 15.0, "a message")
    return found[0]


async def _ill(broker: RabbitMqBroker) -> bool:
    return not (await broker.health()).ok


async def _well(broker: RabbitMqBroker) -> bool:
    return (await broker.health()).ok


def _discard(_: str) -> None:
    """For commands whose output does not matter."""
