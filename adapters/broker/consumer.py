"""Consuming: one channel per connection and lane, rebuilt in the same way whatever ended it.

aio-pika cancels callbacks when a connection drops, so a callback only puts the message into the
feed; the handler runs in the feed's own task. What a lost channel had delivered is forgotten here,
because the broker delivers it again; the ack of what is being handled at that moment fails, is
logged, and the doorbell comes a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from adapters.amqp_link import (
    BROKER_FAULTS,
    CALL_TIMEOUT,
    CLOSE_TIMEOUT,
    Link,
    backoff,
    bounded,
    end_of,
    persistently,
    swallow,
    tell_cancel,
)
from adapters.broker import wire
from adapters.broker.dispatch import LaneFeed
from adapters.broker.topology import Declarer, QueueKey, Topology
from routing.ports import Doorbell

log = structlog.get_logger(__name__)

DeadLetterBox = Callable[[Message], Awaitable[None]]

_LARGEST_PREFETCH = 2000
_SILENT = "silent for long"


class Subscription:
    """Keeps a feed supplied from one queue until it is closed."""

    def __init__(
        self,
        link: Link,
        topology: Topology,
        declarer: Declarer,
        key: QueueKey,
        feed: LaneFeed,
        dead_letters: DeadLetterBox,
        watchdog: float,
        renewal: float,
    ) -> None:
        """Start consuming.

        ``watchdog``: seconds between two looks at our consumer's health; ``renewal``: seconds of
        silence after which the consumer is made anew.
        """
        self.feed = feed
        self._link = link
        self._topology = topology
        self._declarer = declarer
        self._key = key
        self._dead_letters = dead_letters
        self._watchdog = watchdog
        self._renewal = renewal
        self._burials: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._drained = asyncio.Event()
        self._log = log.bind(queue=topology.queue(key))
        self._task = asyncio.create_task(
            persistently(self._run), name=f"consume {topology.queue(key)}"
        )

    async def close(self, grace: float) -> None:
        """Take nothing more, let the handler end (at most ``grace`` s), return the rest."""
        self._stopping.set()
        # The channel stays open meanwhile, so that the last batch can be acked.
        await self.feed.close(grace)
        self._drained.set()
        if self._link.up:
            await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            await self._link.wait_up()
            seen = self.feed.delivered
            try:
                reason = await self._consume()
            except BROKER_FAULTS as error:
                # Lost connection, refused declaration, time-out: start again from the beginning.
                reason = f"{type(error).__name__}: {error}"
            finally:
                self.feed.take_back()
            if self._stopping.is_set():
                return
            if reason == _SILENT:
                continue
            failures = 1 if self.feed.delivered > seen else failures + 1
            self._log.warning("consumer ended, will be restored", reason=reason)
            await asyncio.sleep(backoff(failures))

    async def _consume(self) -> str:
        """Consume on a new channel until that ends; returns why."""
        channel = await self._link.channel()
        try:
            ended = end_of(channel)
            queue, tag = await bounded(self._begin(channel, ended), CALL_TIMEOUT)
            self._log.info("consuming")
            stop = asyncio.create_task(self._stopping.wait())
            try:
                return await self._watch(queue, ended, stop, tag)
            finally:
                stop.cancel()
        finally:
            await self._link.release(channel)

    async def _begin(
        self, channel: AbstractChannel, ended: asyncio.Future[str]
    ) -> tuple[AbstractQueue, str]:
        await channel.set_qos(prefetch_count=min(_LARGEST_PREFETCH, self.feed.supply))
        await self._topology.declare_exchanges(channel)
        queue = await self._declarer.declare_queue(channel, self._key)
        await tell_cancel(channel, ended)
        return queue, await queue.consume(self._on_message)

    async def _watch(
        self,
        queue: AbstractQueue,
        ended: asyncio.Future[str],
        stop: asyncio.Task[Literal[True]],
        tag: str,
    ) -> str:
        """Wait for the end of this consumer, looking after it every ``watchdog`` seconds.

        Some losses cannot be seen: when a queue is deleted and made again within moments, RabbitMQ
        3.10 lists our consumer at the new queue, delivers to it, and drops the messages on the way
        (measured). So a consumer that was silent for long is renewed without a reason.
        """
        signs: set[asyncio.Future[Any]] = {ended, stop}
        clock = asyncio.get_running_loop().time
        active = clock()
        while True:
            seen = self.feed.delivered
            await asyncio.wait(signs, timeout=self._watchdog, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            if stop.done():
                await bounded(queue.cancel(tag), CLOSE_TIMEOUT)
                await self._drained.wait()
                return "unsubscribed"
            declared = await bounded(queue.declare(), CALL_TIMEOUT)
            idle = self.feed.held == 0 and self.feed.delivered == seen
            if not declared.consumer_count or (declared.message_count and idle):
                return "messages wait and none is delivered"
            if not idle:
                active = clock()
            elif clock() - active >= self._renewal:
                return _SILENT

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            doorbell = wire.decode(message, *self._key)
        except wire.PoisonMessage as poison:
            burial = asyncio.create_task(self._bury(message, str(poison)))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)
            burial.add_done_callback(swallow)
        else:
            self.feed.push(_Delivered(doorbell, message))

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        """Dead-letter a message that no retry can make readable."""
        self._log.error("undecodable message dead-lettered", reason=reason)
        try:
            await self._dead_letters(wire.dead_letter(message, reason))
        except BROKER_FAULTS as error:
            # The broker moves it itself then, with its own reason ("rejected") only.
            self._log.warning("dead letter goes without our reason", reason=repr(error))
            await _settle(message.reject(requeue=False), "reject")
        else:
            await _settle(message.ack(), "ack")


@dataclass(frozen=True, slots=True)
class _Delivered:
    doorbell: Doorbell
    message: AbstractIncomingMessage

    async def ack(self) -> None:
        await _settle(self.message.ack(), "ack")

    async def nack(self) -> None:
        await _settle(self.message.nack(requeue=True), "nack")


async def _settle(call: Coroutine[Any, Any, None], what: str) -> None:
    """Ack, nack or reject; on a channel that is gone the broker delivers the message again."""
    try:
        await bounded(call, CALL_TIMEOUT)
    except BROKER_FAULTS as error:
        log.info("too late, the doorbell will come again", call=what, reason=repr(error))
