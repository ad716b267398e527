"""Consuming a queue of a partner: one message after another, in order.

A message is acked when its handler is done. While the handler cannot do its part (the database is
away) the message is held and tried again, the others wait behind it: so order is kept, and neither
the broker's delivery count nor its network is used up. What nobody can read is dead-lettered with
the reason. aio-pika cancels callbacks when a connection drops, so a callback only puts the message
into a queue of our own; what a lost channel had delivered comes again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from adapters.amqp_link import (
    BROKER_FAULTS,
    CALL_TIMEOUT,
    CLOSE_TIMEOUT,
    Link,
    backoff,
    bounded,
    end_of,
    tell_cancel,
)
from adapters.pause import pause
from routing.ports import Unavailable

log = structlog.get_logger(__name__)

Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
#: Puts a message aside with the reason; False when that is not confirmed.
Bury = Callable[[AbstractIncomingMessage, str], Awaitable[bool]]

#: Messages that the broker may send ahead. Small: each may be as large as the broker allows.
PREFETCH = 2
#: Seconds between two looks at the consumer's health, and after which a silent one is renewed.
WATCH = 10.0
RENEWAL = 300.0
#: Seconds that the running handler has when it is told to end.
GRACE = 10.0
#: The longest wait between two tries at one message.
LONGEST_HOLD = 15.0
#: Tries at a message that a fault in the program keeps from being handled.
MOST_FAULTS = 5


class Poison(Exception):
    """Raised by a handler: no further try can help this message; says why."""


class Hold(Exception):
    """Raised by a handler: not now; the message waits, and the others behind it. Says why."""


class Consumer:
    """Takes the messages of one queue; lives as long as `run`."""

    def __init__(self, link: Link, queue: str, handler: Handler, bury: Bury | None = None) -> None:
        """Without `bury` the broker dead-letters poison, with its own reason ("rejected")."""
        self._link = link
        self._name = queue
        self._handler = handler
        self._bury = bury
        self._waiting: deque[AbstractIncomingMessage] = deque()
        self._changed = asyncio.Event()
        self._channel: AbstractChannel | None = None
        self._taken = 0
        self._log = log.bind(queue=queue)

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`, whatever happens to the connection."""
        worker = asyncio.create_task(self._work(stopping), name=f"messages of {self._name}")
        failures = 0
        try:
            while not stopping.is_set():
                taken = self._taken
                try:
                    reason = await self._consume(stopping, worker)
                except BROKER_FAULTS as error:
                    # Lost connection, missing queue, time-out: start again from the beginning.
                    reason = f"{type(error).__name__}: {error}"
                finally:
                    self._waiting.clear()
                if stopping.is_set() or worker.done():
                    break
                if reason:
                    failures = 1 if self._taken > taken else failures + 1
                    self._log.warning("amqp.consumer-ended", reason=reason)
                    await pause(stopping, backoff(failures))
        finally:
            self._changed.set()
            if not worker.done():
                await asyncio.wait({worker}, timeout=GRACE)
            worker.cancel()
            (fault,) = await asyncio.gather(worker, return_exceptions=True)
        if isinstance(fault, Exception):
            raise fault

    async def _consume(self, stopping: asyncio.Event, worker: asyncio.Task[None]) -> str:
        """Consume on a new channel until that ends; why it did, empty for a mere renewal."""
        up = asyncio.ensure_future(self._link.wait_up())
        stop = asyncio.ensure_future(stopping.wait())
        channel = None
        try:
            await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return ""
            channel = self._channel = await self._link.channel()
            ended = end_of(channel)
            queue, tag = await bounded(self._begin(channel, ended), CALL_TIMEOUT)
            self._log.info("amqp.consuming")
            reason = await self._watch(queue, {ended, stop, worker})
            if stop.done():
                await bounded(queue.cancel(tag), CLOSE_TIMEOUT)
                self._waiting.clear()
                self._changed.set()
                # The channel stays open, so that what is being handled can be acked.
                await asyncio.wait({worker}, timeout=GRACE)
            return reason
        finally:
            for task in (up, stop):
                task.cancel()
            if channel is not None:
                await self._link.release(channel)

    async def _begin(
        self, channel: AbstractChannel, ended: asyncio.Future[str]
    ) -> tuple[AbstractQueue, str]:
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(self._name, ensure=True)
        await tell_cancel(channel, ended)
        return queue, await queue.consume(self._on_message)

    async def _watch(self, queue: AbstractQueue, signs: set[asyncio.Future[Any]]) -> str:
        """Wait for the end, looking every `WATCH` seconds whether the broker still knows us."""
        loop = asyncio.get_running_loop()
        active, seen = loop.time(), self._taken
        while True:
            done, _ = await asyncio.wait(signs, timeout=WATCH, return_when=asyncio.FIRST_COMPLETED)
            for sign in done:
                result = sign.result()
                return result if isinstance(result, str) else ""
            declared = await bounded(queue.declare(), CALL_TIMEOUT)
            if not declared.consumer_count:
                return "the broker does not know this consumer"
            if self._taken != seen or self._waiting:
                active, seen = loop.time(), self._taken
            elif loop.time() - active >= RENEWAL:
                return ""

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._waiting.append(message)
        self._changed.set()

    async def _work(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            message = self._waiting.popleft()
            channel = self._channel
            await self._insist(message, channel, stopping)
            self._taken += 1

    async def _insist(
        self,
        message: AbstractIncomingMessage,
        channel: AbstractChannel | None,
        stopping: asyncio.Event,
    ) -> None:
        """Handle a message, again and again while that fails; then settle it."""
        failures = faults = 0
        reason: str | None = None  # why no further try at it can help
        while not stopping.is_set() and channel is not None and not channel.is_closed:
            try:
                if reason is None:
                    reason = await self._handle(message)
                if reason is None:
                    await self._settle(message.ack(), "ack")
                else:
                    await self._put_aside(message, reason)
                return
            except (Hold, Unavailable, OSError) as error:
                told = str(error) or repr(error)
                self._log.warning("amqp.held", reason=told, id=message.message_id)
            except Exception as error:
                # A bug in the handler, which may raise anything: others must not wait behind it
                # for ever.
                faults += 1
                self._log.exception("amqp.bug", id=message.message_id)
                if faults >= MOST_FAULTS and reason is None:
                    reason = f"cannot be handled: {type(error).__name__}"
                    continue
                if faults >= MOST_FAULTS:
                    # Nor can it be put aside by us.
                    await self._settle(message.reject(requeue=False), "reject")
                    return
            failures += 1
            await pause(stopping, min(LONGEST_HOLD, backoff(failures + 3)))

    async def _handle(self, message: AbstractIncomingMessage) -> str | None:
        """None when that is done, else why it is poison. Raises what the handler raises."""
        try:
            await self._handler(message)
        except Poison as poison:
            return str(poison)
        return None

    async def _put_aside(self, message: AbstractIncomingMessage, reason: str) -> None:
        """Dead-letter a message, with our reason where that is possible."""
        self._log.error("amqp.dead-lettered", reason=reason, id=message.message_id)
        if self._bury is not None and await self._bury(message, reason):
            await self._settle(message.ack(), "ack")
        else:
            # The broker moves it itself then, with its own reason only.
            await self._settle(message.reject(requeue=False), "reject")

    async def _settle(self, call: Coroutine[Any, Any, None], what: str) -> None:
        """Ack or reject; on a channel that is gone the message comes again."""
        try:
            await bounded(call, CALL_TIMEOUT)
        except BROKER_FAULTS as error:
            self._log.info("amqp.too-late", call=what, reason=repr(error))
