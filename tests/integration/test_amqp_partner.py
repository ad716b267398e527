"""Publishing to and consuming from partners' queues on a real RabbitMQ that misbehaves."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.message import IncomingMessage

from adapters.amqp_link import Link
from adapters.amqp_partner import (
    Consumer,
    Hold,
    Names,
    PartnerLinks,
    Poison,
    Published,
    Publisher,
    wire,
)
from adapters.amqp_partner import consumer as consumer_module
from adapters.rabbitmq_admin import AdminProblem, RabbitMqAdmin
from routing.ports import DatabaseUnavailable
from tests.support.servers import FlakyProxy, RabbitMq, free_port, wait_until_async

USER = "lt-test-1a2b3c4d"
PASSWORD = "mật khẩu thử"


@dataclass
class Ground:
    """A virtual host with one partner's exchange and queues."""

    server: RabbitMq
    vhost: str
    names: Names

    @property
    def url(self) -> str:
        """As the gateway."""
        return self.server.url(self.vhost)

    def depth(self, queue: str) -> int:
        """Messages that are ready there."""
        return self.server.queue_depths(self.vhost).get(queue, -1)

    async def prepare(self, password: str = PASSWORD) -> None:
        """What `connections add` does."""
        async with RabbitMqAdmin(self.server.admin_url, self.vhost) as admin:
            await admin.prepare_partner(self.names, password)


@pytest.fixture
async def ground(rabbitmq_server: RabbitMq, prefix: str) -> AsyncIterator[Ground]:
    """Prepared for a partner."""
    vhost = rabbitmq_server.create_vhost()
    place = Ground(rabbitmq_server, vhost, Names(prefix, USER))
    await place.prepare()
    yield place
    rabbitmq_server.delete_vhost(vhost)


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Publisher]:
    """A publisher that is closed again."""
    publisher = Publisher(Link(url, "test publisher"))
    try:
        yield publisher
    finally:
        await publisher.close()


def message(text: str = "x") -> aio_pika.Message:
    """A persistent message."""
    return aio_pika.Message(text.encode(), message_id=text, delivery_mode=2, type="package")


@dataclass
class Recorder:
    """A handler that remembers, and does what it is told."""

    act: Callable[[str], None] = lambda _: None
    seen: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def __call__(self, incoming: AbstractIncomingMessage) -> None:
        text = incoming.body.decode()
        self.seen.append(text)
        self.act(text)
        self.done.append(text)


@asynccontextmanager
async def consuming(
    url: str,
    queue: str,
    handler: Callable[[AbstractIncomingMessage], Awaitable[None]],
    bury: Callable[[AbstractIncomingMessage, str], Awaitable[bool]] | None = None,
) -> AsyncIterator[asyncio.Event]:
    """A running consumer; the event stops it."""
    link = Link(url, "test consumer")
    link.start()
    stopping = asyncio.Event()
    task = asyncio.create_task(Consumer(link, queue, handler, bury).run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await asyncio.wait_for(task, 20)
        await link.close()


async def test_what_becomes_of_a_published_message(ground: Ground) -> None:
    """Confirmed; returned where there is no queue; refused by a full one; not sent to nobody."""
    async with publishing(ground.url) as publisher:

        async def publish(exchange: str, key: str) -> Published:
            return (await publisher.publish(message(), exchange, key, 5)).outcome

        names = ground.names
        assert await publish("", names.inbox) is Published.CONFIRMED
        assert await publish(names.intake, "") is Published.CONFIRMED
        assert (ground.depth(names.inbox), ground.depth(names.intake)) == (1, 1)
        assert await publish("", f"{names.inbox}.gone") is Published.RETURNED
        assert await publish("no.such.exchange", "") is Published.NOT_SENT
        assert await publish("", names.inbox) is Published.CONFIRMED, "on a new channel"
        full = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        async with await aio_pika.connect(ground.url) as link:
            channel = await link.channel()
            await channel.declare_queue("full", durable=True, arguments=full)
        outcomes = [await publish("", "full") for _ in range(4)]
        assert outcomes[0] is Published.CONFIRMED and outcomes[-1] is Published.REJECTED
        state = await publisher.state_of(names.inbox)
        assert state is not None and state.messages == 2
        assert await publisher.state_of("no.such.queue") is None
    async with publishing(f"amqp://guest:guest@127.0.0.1:{free_port()}/") as nowhere:
        lost = await nowhere.publish(message(), "", "x", 0.5)
        assert lost.outcome is Published.NOT_SENT and "guest" not in lost.detail


async def test_a_publish_never_outlasts_its_time(ground: Ground) -> None:
    """A silent broker: unknown, within the time; afterwards publishing works again."""
    async with FlakyProxy(ground.server.port) as proxy:
        url = ground.server.url(ground.vhost, proxy.port)
        async with publishing(url) as publisher:
            first = await publisher.publish(message(), "", ground.names.inbox, 5)
            assert first.outcome is Published.CONFIRMED
            proxy.stall()
            began = time.monotonic()
            silent = await publisher.publish(message(), "", ground.names.inbox, 0.5)
            assert silent.outcome is Published.UNKNOWN and time.monotonic() - began < 2
            proxy.heal()

            async def works() -> bool:
                tried = await publisher.publish(message(), "", ground.names.inbox, 2)
                return tried.outcome is Published.CONFIRMED

            await wait_until_async(works, 40, "publishing to work again")


async def test_a_connection_that_is_cut_is_taken_up_again(ground: Ground) -> None:
    """Publisher and consumer both; what was not acked comes again, in order."""
    async with FlakyProxy(ground.server.port) as proxy:
        url = ground.server.url(ground.vhost, proxy.port)
        recorder = Recorder()
        async with (
            consuming(url, ground.names.inbox, recorder),
            publishing(ground.url) as publisher,
        ):
            for number in range(5):
                await publisher.publish(message(str(number)), "", ground.names.inbox, 5)
            await wait_until_async(lambda: len(recorder.done) == 5, 10, "the first")
            proxy.cut()
            for number in range(5, 10):
                await publisher.publish(message(str(number)), "", ground.names.inbox, 5)
            proxy.heal()
            await wait_until_async(lambda: recorder.done[-1] == "9", 20, "the rest")
            once = list(dict.fromkeys(recorder.done))
            assert once == [str(number) for number in range(10)]
        await wait_until_async(lambda: ground.depth(ground.names.inbox) == 0, 10, "the acks")


async def test_while_the_gateway_cannot_the_message_is_held_and_the_order_kept(
    ground: Ground,
) -> None:
    """The database is away, then no space is left: the head waits, the others behind it."""
    troubles = [DatabaseUnavailable("away"), Hold("no space"), OSError("disk")]

    def act(text: str) -> None:
        if text == "1" and troubles:
            raise troubles.pop(0)

    recorder = Recorder(act)
    async with publishing(ground.url) as publisher:
        for number in range(4):
            await publisher.publish(message(str(number)), "", ground.names.inbox, 5)
    async with consuming(ground.url, ground.names.inbox, recorder):
        await wait_until_async(lambda: len(recorder.done) == 4, 20, "all four")
    assert recorder.seen == ["0", "1", "1", "1", "1", "2", "3"]
    assert recorder.done == ["0", "1", "2", "3"]
    assert ground.depth(ground.names.dead) == 0


async def test_poison_goes_to_the_dead_letters_and_a_fault_of_ours_does_so_in_the_end(
    ground: Ground,
) -> None:
    """With the reason in a header; a fault is tried a few times first; the rest goes on."""

    def act(text: str) -> None:
        if text == "poison":
            raise Poison("nobody can read it")
        if text == "bug":
            raise ZeroDivisionError("a bug")

    recorder = Recorder(act)
    async with publishing(ground.url) as publisher:

        async def bury(incoming: AbstractIncomingMessage, reason: str) -> bool:
            copy = wire.dead_letter(incoming, reason)
            put = await publisher.publish(copy, "", ground.names.dead, 5)
            return put.outcome is Published.CONFIRMED

        for text in ("poison", "bug", "good"):
            await publisher.publish(message(text), "", ground.names.inbox, 5)
        async with consuming(ground.url, ground.names.inbox, recorder, bury):
            await wait_until_async(lambda: recorder.done == ["good"], 40, "the good one")
    assert recorder.seen.count("poison") == 1 and 2 <= recorder.seen.count("bug") <= 10
    async with await aio_pika.connect(ground.url) as link:
        queue = await (await link.channel()).get_queue(ground.names.dead)
        reasons = [(await queue.get()).headers[wire.REASON] for _ in range(2)]
    assert reasons == ["nobody can read it", "cannot be handled: ZeroDivisionError"]


async def test_the_last_resort_waits_for_the_database_as_well(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Putting aside what a fault keeps from being handled is tried again while we cannot."""
    monkeypatch.setattr(consumer_module, "MOST_FAULTS", 1)
    buried: list[str] = []
    troubles = [DatabaseUnavailable("away"), OSError("disk")]

    def act(text: str) -> None:
        if text == "bug":
            raise ZeroDivisionError("a bug")

    async def bury(_: AbstractIncomingMessage, reason: str) -> bool:
        if troubles:
            raise troubles.pop(0)
        buried.append(reason)
        return True

    recorder = Recorder(act)
    async with publishing(ground.url) as publisher:
        for text in ("bug", "good"):
            await publisher.publish(message(text), "", ground.names.inbox, 5)
    async with consuming(ground.url, ground.names.inbox, recorder, bury):
        await wait_until_async(lambda: recorder.done == ["good"], 20, "the good one")
    assert buried == ["cannot be handled: ZeroDivisionError"]
    assert recorder.seen == ["bug", "good"]


async def test_a_fault_in_putting_aside_leaves_it_to_the_broker(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is dead-lettered without our reason, and the next one is handled."""
    monkeypatch.setattr(consumer_module, "MOST_FAULTS", 2)

    def act(text: str) -> None:
        if text == "poison":
            raise Poison("no")

    async def bury(_: AbstractIncomingMessage, reason: str) -> bool:
        raise ZeroDivisionError(reason)

    recorder = Recorder(act)
    async with publishing(ground.url) as publisher:
        for text in ("poison", "good"):
            await publisher.publish(message(text), "", ground.names.inbox, 5)
    async with consuming(ground.url, ground.names.inbox, recorder, bury):
        await wait_until_async(lambda: recorder.done == ["good"], 20, "the good one")
    await wait_until_async(lambda: ground.depth(ground.names.dead) == 1, 10, "the dead letter")


async def test_an_ack_that_hangs_holds_up_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a dead connection it takes no cancel either: it is left alone, the next is handled."""
    monkeypatch.setattr(consumer_module, "CALL_TIMEOUT", 0.2)
    release = asyncio.Event()
    ack = IncomingMessage.ack

    async def deaf(incoming: IncomingMessage, multiple: bool = False) -> None:
        try:
            if incoming.body == b"hangs":
                await release.wait()
        finally:
            if incoming.body == b"hangs":
                await release.wait()
        await ack(incoming, multiple)

    monkeypatch.setattr(IncomingMessage, "ack", deaf)
    recorder = Recorder()
    async with publishing(ground.url) as publisher:
        for text in ("hangs", "good"):
            await publisher.publish(message(text), "", ground.names.inbox, 5)
    try:
        async with consuming(ground.url, ground.names.inbox, recorder):
            await wait_until_async(lambda: recorder.done == ["hangs", "good"], 10, "the good one")
            release.set()
    finally:
        release.set()


async def test_a_partner_without_a_way_to_bury_rejects(ground: Ground) -> None:
    """Then the broker dead-letters by itself, at least once, never lost."""

    def act(_: str) -> None:
        raise Poison("no")

    async with publishing(ground.url) as publisher:
        await publisher.publish(message(), "", ground.names.inbox, 5)
    async with consuming(ground.url, ground.names.inbox, Recorder(act)):
        await wait_until_async(lambda: ground.depth(ground.names.dead) == 1, 20, "the dead letter")


async def test_one_intake_at_a_time_and_another_follows(ground: Ground) -> None:
    """Two processes consume; one gets everything in order, the other goes on when it ends."""
    first, second = Recorder(), Recorder()
    queue = ground.names.intake
    async with publishing(ground.url) as publisher, consuming(ground.url, queue, first) as stop:
        await publisher.publish(message("0"), ground.names.intake, "", 5)
        await wait_until_async(lambda: first.done == ["0"], 10, "the first")
        async with consuming(ground.url, queue, second):
            for number in range(1, 6):
                await publisher.publish(message(str(number)), ground.names.intake, "", 5)
            await wait_until_async(lambda: len(first.done) == 6, 10, "one gets all")
            assert second.done == []
            stop.set()
            await publisher.publish(message("6"), ground.names.intake, "", 5)
            await wait_until_async(lambda: "6" in second.done + first.done, 20, "the other")
    assert first.done + second.done == [str(number) for number in range(7)]


async def test_preparing_again_changes_nothing_and_never_the_password(ground: Ground) -> None:
    """Idempotent; messages stay; without a secret the user's password stays."""
    async with publishing(ground.url) as publisher:
        await publisher.publish(message(), "", ground.names.inbox, 5)
    await ground.prepare("")
    await ground.prepare("")
    assert ground.depth(ground.names.inbox) == 1
    host = f"127.0.0.1:{ground.server.port}"
    async with await aio_pika.connect(
        host="127.0.0.1",
        port=ground.server.port,
        login=USER,
        password=PASSWORD,
        virtualhost=ground.vhost,
    ) as link:
        assert not link.is_closed, host


async def test_a_link_that_was_closed_stays_closed(ground: Ground) -> None:
    """Whoever still holds its publisher does not take it up again; another may begin anew."""
    links = PartnerLinks()
    first = await links.publisher("broker", ground.url)
    assert (await first.publish(message(), "", ground.names.inbox, 5)).outcome.value == "confirmed"
    await links.close()
    late = await first.publish(message(), "", ground.names.inbox, 5)
    assert late.outcome is Published.NOT_SENT
    assert (first.link.up, first.link.trouble) == (False, "closed")
    second = await links.publisher("broker", ground.url)
    assert (await second.publish(message(), "", ground.names.inbox, 5)).outcome.value == "confirmed"
    await links.close()


async def test_what_is_wrong_with_the_management_api_is_said_plainly(ground: Ground) -> None:
    """Nobody there, a wrong password, no such virtual host: what and where, never the password."""
    port = ground.server.management_port
    cases = {
        f"http://guest:geheim@127.0.0.1:{free_port()}": "rabbitmq-plugins enable",
        f"http://guest:geheim@127.0.0.1:{port}": "broker_admin_url",
        f"http://guest:guest@127.0.0.1:{port}": "answered 404",
    }
    for url, said in cases.items():
        with pytest.raises(AdminProblem, match=re.escape(said)) as told:
            async with RabbitMqAdmin(url, "no-such-vhost") as admin:
                await admin.prepare_partner(ground.names, PASSWORD)
        assert "geheim" not in str(told.value) and PASSWORD not in str(told.value)
