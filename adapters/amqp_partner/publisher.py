"""Publishing to partners: persistent, mandatory, confirmed, never longer than the time allowed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, PublishError

from adapters.amqp_link import BROKER_FAULTS, CALL_TIMEOUT, Link, bounded


class Published(StrEnum):
    """What is known of one published message."""

    #: The queue has it, durably.
    CONFIRMED = "confirmed"
    #: The broker took it back: no queue is bound there.
    RETURNED = "returned"
    #: The broker said no: the queue is full, or has no leader just now.
    REJECTED = "rejected"
    #: Nothing was sent, or the broker forbade it: surely not in the queue.
    NOT_SENT = "not-sent"
    #: No answer in time, or the connection was lost: it may or may not be in the queue.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Publication:
    """How a publish ended, and what was heard."""

    outcome: Published
    detail: str = ""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What the broker says of a queue."""

    messages: int


class Publisher:
    """Publishes over one link, on one channel that is replaced when it closes."""

    def __init__(self, link: Link) -> None:
        """Nothing is opened before the first publish."""
        self.link = link
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def publish(
        self, message: Message, exchange: str, routing_key: str, timeout: float
    ) -> Publication:
        """Publish one message; "" is the default exchange. Never raises for the broker."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            async with asyncio.timeout(timeout):
                channel = await self._ready()
        except BROKER_FAULTS as error:
            # Whatever it is, nothing was sent.
            why = self.link.trouble if not self.link.up else ""
            return Publication(Published.NOT_SENT, why or _words(error))
        left = max(end - loop.time(), 0.001)
        try:
            await bounded(_send(channel, message, exchange, routing_key, left), left)
        except PublishError:
            return Publication(Published.RETURNED, f"no queue behind {exchange or routing_key!r}")
        except DeliveryError as error:
            return Publication(Published.REJECTED, _words(error))
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            return Publication(Published.NOT_SENT, _words(error))
        except BROKER_FAULTS as error:
            # Time-out, lost channel, lost connection: it may be in the queue.
            return Publication(Published.UNKNOWN, _words(error))
        return Publication(Published.CONFIRMED)

    async def state_of(self, queue: str) -> QueueState | None:
        """How many messages a queue has; None when that cannot be learned."""
        try:
            # On a channel of its own: asking for a queue that is missing closes the channel.
            channel = await self.link.channel()
            try:
                declared = await bounded(channel.get_queue(queue, ensure=True), CALL_TIMEOUT)
            finally:
                await self.link.release(channel)
        except BROKER_FAULTS:
            return None
        return QueueState(declared.declaration_result.message_count or 0)

    async def _ready(self) -> AbstractChannel:
        async with self._opening:
            if self._closed:
                # Else the link would be taken up again, and nobody would end it.
                raise ConnectionResetError("this publisher was closed")
            if self._channel is None or self._channel.is_closed:
                self.link.start()
                await self.link.wait_up(CALL_TIMEOUT)
                self._channel = await self.link.channel()
            return self._channel

    async def close(self) -> None:
        """Disconnect for good; publishes that still wait end as unknown."""
        self._closed = True
        await self.link.close()


async def _send(
    channel: AbstractChannel, message: Message, exchange: str, routing_key: str, timeout: float
) -> None:
    if exchange:
        target = await channel.get_exchange(exchange, ensure=False)
    else:
        target = channel.default_exchange
    await target.publish(message, routing_key, mandatory=True, timeout=timeout)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
