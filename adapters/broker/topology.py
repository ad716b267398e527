"""Names of exchanges and queues, and their declaration.

For the prefix ``lienthong``::

    lienthong.doorbells  (direct)  --- <connection>.<lane> --->  lienthong.<connection>.<lane>
    lienthong.dead-letters (fanout) ------------------------->  lienthong.dead-letters

All queues are durable quorum queues. A queue's dead letters are what its consumer refused or what
was delivered ``delivery_limit`` times in vain; they are evidence for an operator, never the only
trace of a delivery (the database is).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from pamqp.common import FieldTable

from adapters.amqp_link import CALL_TIMEOUT, bounded
from routing.lanes import Lane

_LONGEST_NAME = 255  # bytes, AMQP short string
_DEAD_LETTERS_KEPT = 100_000

QueueKey = tuple[str, Lane]


@dataclass(frozen=True, slots=True)
class Topology:
    """How our part of the broker is laid out."""

    prefix: str
    delivery_limit: int

    @property
    def exchange(self) -> str:
        """Name of the exchange that doorbells are published to."""
        return f"{self.prefix}.doorbells"

    @property
    def dead_letters(self) -> str:
        """Name of the dead-letter exchange and of its only queue."""
        return f"{self.prefix}.dead-letters"

    def routing_key(self, key: QueueKey) -> str:
        """Routing key of a connection's lane."""
        connection_id, lane = key
        return f"{connection_id}.{lane.value}"

    def queue(self, key: QueueKey) -> str:
        """Queue name of a connection's lane. Raises ``ValueError`` when it would be too long."""
        name = f"{self.prefix}.{self.routing_key(key)}"
        if len(name.encode()) > _LONGEST_NAME:
            raise ValueError(f"queue name of connection {key[0]!r} is too long for AMQP")
        return name

    async def declare_exchanges(self, channel: AbstractChannel) -> AbstractExchange:
        """Make sure that both exchanges and the dead-letter queue exist; returns the first."""
        dead = await channel.declare_exchange(self.dead_letters, ExchangeType.FANOUT, durable=True)
        arguments: FieldTable = {
            "x-queue-type": "quorum",
            "x-max-length": _DEAD_LETTERS_KEPT,
            "x-overflow": "drop-head",
        }
        queue = await channel.declare_queue(self.dead_letters, durable=True, arguments=arguments)
        await queue.bind(dead)
        return await channel.declare_exchange(self.exchange, ExchangeType.DIRECT, durable=True)

    async def declare_queue(self, channel: AbstractChannel, key: QueueKey) -> AbstractQueue:
        """Make sure that the queue of a connection's lane exists and is bound."""
        arguments: FieldTable = {
            "x-queue-type": "quorum",
            "x-delivery-limit": self.delivery_limit,
            "x-dead-letter-exchange": self.dead_letters,
            # At-most-once dead-lettering could lose; at-least-once needs this overflow policy.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        queue = await channel.declare_queue(self.queue(key), durable=True, arguments=arguments)
        await queue.bind(self.exchange, self.routing_key(key))
        return queue


class Declarer:
    """Declares queues, one at a time each.

    When two connections create the same quorum queue at the same moment, RabbitMQ 3.10 nacks the
    first messages and may close one connection with INTERNAL_ERROR (observed). Within a process
    this class prevents it; between processes publisher and consumer recover from it.
    """

    def __init__(self, topology: Topology) -> None:
        """``topology``: what is declared."""
        self._topology = topology
        self._locks: defaultdict[QueueKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def declare_queue(self, channel: AbstractChannel, key: QueueKey) -> AbstractQueue:
        """Like :meth:`Topology.declare_queue`; also raises ``TimeoutError``."""
        async with self._locks[key]:
            return await bounded(self._topology.declare_queue(channel, key), CALL_TIMEOUT)
