"""Publishing: persistent, mandatory, confirmed, and never longer than the time allowed."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

import structlog
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import DeliveryError

from adapters.amqp_link import BROKER_FAULTS, CALL_TIMEOUT, Link, backoff, bounded, swallow
from adapters.broker import wire
from adapters.broker.topology import Declarer, QueueKey, Topology
from routing.ports import Doorbell, PublishOutcome

log = structlog.get_logger(__name__)

#: Times a doorbell is sent before the broker's no is taken for an answer, and seconds between.
_TRIES = 3
_NACK_PAUSE = 0.1


class Publisher:
    """Publishes over one link, on one channel that is replaced when it closes.

    A queue is declared before its first message on a channel, so a new connection needs nobody's
    preparation. If it vanishes later, the broker returns the message: the queue is declared again
    and the message sent once more.
    """

    def __init__(self, link: Link, topology: Topology, declarer: Declarer) -> None:
        """Nothing is opened before the first publish."""
        self.used: set[QueueKey] = set()
        self._link = link
        self._topology = topology
        self._declarer = declarer
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self._ready: set[QueueKey] = set()
        self._locks: defaultdict[QueueKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._setting_up = asyncio.Lock()
        self._in_flight: dict[Doorbell, asyncio.Task[PublishOutcome]] = {}

    async def close(self) -> None:
        """Let go of the channel; publishes that still wait end as ``UNKNOWN``."""
        for task in list(self._in_flight.values()):
            task.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            await self._link.release(channel)

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        """One outcome per doorbell, in order, after at most ``timeout`` seconds."""
        if not doorbells:
            return []
        deadline = asyncio.get_running_loop().time() + timeout
        for doorbell in doorbells:
            self._topology.queue((doorbell.connection_id, doorbell.lane))
        tasks = [self._task(doorbell, deadline) for doorbell in doorbells]
        # Waiting for the set, not for each: what does not end in time is left behind, not awaited.
        _, late = await asyncio.wait(set(tasks), timeout=timeout)
        for doorbell, task in zip(doorbells, tasks, strict=True):
            if task in late:
                self._forget(doorbell, task)
                task.cancel()
        outcomes = [_outcome(task) for task in tasks]
        self._report(tasks, outcomes)
        return outcomes

    async def publish_dead_letter(self, message: Message, timeout: float = CALL_TIMEOUT) -> None:
        """Put a message into the dead-letter queue. Raises when that is not confirmed."""
        await bounded(self._publish_dead_letter(message, timeout), timeout)

    async def _publish_dead_letter(self, message: Message, timeout: float) -> None:
        await self._ready_exchange()
        if self._channel is None:
            raise ConnectionResetError("the channel was closed")
        dead = await self._channel.get_exchange(self._topology.dead_letters, ensure=False)
        await dead.publish(message, "", mandatory=True, timeout=timeout)

    def _task(self, doorbell: Doorbell, deadline: float) -> asyncio.Task[PublishOutcome]:
        """The publish of a doorbell. Equal doorbells in flight share one message: aiormq finds the
        confirm of a returned message by its message_id, so two at once could be mixed up."""
        task = self._in_flight.get(doorbell)
        if task is None:
            task = asyncio.create_task(self._publish_one(doorbell, deadline))
            self._in_flight[doorbell] = task
            task.add_done_callback(swallow)
            task.add_done_callback(lambda done: self._forget(doorbell, done))
        return task

    def _forget(self, doorbell: Doorbell, task: asyncio.Task[PublishOutcome]) -> None:
        if self._in_flight.get(doorbell) is task:
            del self._in_flight[doorbell]

    async def _publish_one(self, doorbell: Doorbell, deadline: float) -> PublishOutcome:
        key = (doorbell.connection_id, doorbell.lane)
        self.used.add(key)
        exchange = await self._ready_exchange()
        # Taken even when the queue is ready: whoever waits for it to become so is first.
        async with self._locks[key]:
            if key not in self._ready:
                return await self._insist(exchange, doorbell, key, deadline)
        try:
            await self._send(exchange, doorbell, key, deadline)
        except DeliveryError:
            # Returned (PublishError): the queue has vanished. Else negatively confirmed.
            self._ready.discard(key)
        else:
            return PublishOutcome.CONFIRMED
        async with self._locks[key]:
            return await self._insist(exchange, doorbell, key, deadline)

    async def _insist(
        self, exchange: AbstractExchange, doorbell: Doorbell, key: QueueKey, deadline: float
    ) -> PublishOutcome:
        """Send to a queue that is new to us, the others of that queue waiting behind.

        RabbitMQ nacks what comes while a new queue still elects its leader; going on only when the
        first is confirmed keeps the order.
        """
        for attempt in range(_TRIES):
            try:
                if key not in self._ready:
                    await self._declare(key)
                await self._send(exchange, doorbell, key, deadline)
            except DeliveryError:
                self._ready.discard(key)
                await asyncio.sleep(_NACK_PAUSE * 2**attempt)
            else:
                self._ready.add(key)
                return PublishOutcome.CONFIRMED
        return PublishOutcome.REFUSED

    async def _send(
        self, exchange: AbstractExchange, doorbell: Doorbell, key: QueueKey, deadline: float
    ) -> None:
        left = max(0.001, deadline - asyncio.get_running_loop().time())
        routing_key = self._topology.routing_key(key)
        await exchange.publish(wire.encode(doorbell), routing_key, mandatory=True, timeout=left)

    async def _ready_exchange(self) -> AbstractExchange:
        """The exchange on an open channel; waits for the link without a limit of its own."""
        failures = 0
        async with self._opening:
            while self._exchange is None or self._channel is None or self._channel.is_closed:
                self._exchange = None
                await self._link.wait_up()
                try:
                    self._channel = channel = await self._link.channel()
                    declared = self._topology.declare_exchanges(channel)
                    self._exchange = await bounded(declared, CALL_TIMEOUT)
                    self._ready.clear()
                except BROKER_FAULTS as error:
                    log.warning("cannot open a channel to publish on", reason=repr(error))
                    # The link notices a loss in its own time; do not spin until then.
                    failures += 1
                    await asyncio.sleep(backoff(failures))
            return self._exchange

    async def _declare(self, key: QueueKey) -> None:
        log.debug("declaring queue", queue=self._topology.queue(key))
        async with self._setting_up:
            # On a channel of its own: a refused declaration closes the channel it was made on.
            channel = await self._link.channel()
            try:
                await self._declarer.declare_queue(channel, key)
            finally:
                await self._link.release(channel)

    def _report(
        self, tasks: list[asyncio.Task[PublishOutcome]], outcomes: list[PublishOutcome]
    ) -> None:
        counts = Counter(outcomes)
        if counts[PublishOutcome.CONFIRMED] == len(outcomes):
            return
        errors = {_error(task) for task in tasks} - {""}
        log.warning(
            "not all doorbells were confirmed",
            confirmed=counts[PublishOutcome.CONFIRMED],
            unknown=counts[PublishOutcome.UNKNOWN],
            refused=counts[PublishOutcome.REFUSED],
            reasons=sorted(errors)[:5],
        )


def _outcome(task: asyncio.Task[PublishOutcome]) -> PublishOutcome:
    """Whatever is not a clear answer of the broker is ``UNKNOWN``."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return PublishOutcome.UNKNOWN
    return task.result()


def _error(task: asyncio.Task[PublishOutcome]) -> str:
    if not task.done() or task.cancelled():
        return "no answer in time"
    error = task.exception()
    return "" if error is None else f"{type(error).__name__}: {error}"
