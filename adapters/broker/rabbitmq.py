"""The broker shared by any number of processes: RabbitMQ, durable quorum queues, confirms.

What it promises (reliability spec 1.1): a confirmed doorbell survives the loss of a minority of
the broker's nodes. What is not confirmed may or may not be in the queue, and is published again
from the outbox. Two connections are used, so that back-pressure on publishing holds up no ack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from adapters.amqp_link import BROKER_FAULTS, Link, bounded
from adapters.broker.consumer import Subscription
from adapters.broker.dispatch import LaneFeed
from adapters.broker.publisher import Publisher
from adapters.broker.topology import Declarer, QueueKey, Topology
from routing.lanes import Lane
from routing.ports import (
    BrokerHealth,
    BrokerUnavailable,
    Doorbell,
    DoorbellHandler,
    PublishOutcome,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RabbitMqOptions:
    """What an operator may want different; times in seconds."""

    #: First part of every exchange and queue name.
    prefix: str = "lienthong"
    #: How long :meth:`RabbitMqBroker.start` waits for the first connection.
    start_timeout: float = 15.0
    #: How long a running handler may still take when its subscription ends.
    close_grace: float = 10.0
    #: How long the broker may take to answer a health check.
    health_timeout: float = 2.0
    #: How often a consumer that hears nothing is checked.
    watchdog: float = 10.0
    #: Silence after which a consumer is made anew although nothing seems wrong with it.
    renewal: float = 300.0
    #: Deliveries of one doorbell before the broker dead-letters it. High, because handlers also
    #: raise while the database is away; a doorbell that kills its process is stopped by its row.
    delivery_limit: int = 100


class RabbitMqBroker:
    """:class:`routing.ports.Broker` on RabbitMQ (3.10 or newer)."""

    volatile = False

    def __init__(self, url: str, options: RabbitMqOptions | None = None) -> None:
        """``url``: amqp:// or amqps://, its path the virtual host. Connects in :meth:`start`."""
        self._options = options or RabbitMqOptions()
        self._topology = Topology(self._options.prefix, self._options.delivery_limit)
        self._publishing = Link(url, f"{self._options.prefix} publisher")
        self._consuming = Link(url, f"{self._options.prefix} consumer")
        self._declarer = Declarer(self._topology)
        self._publisher = Publisher(self._publishing, self._topology, self._declarer)
        self._subscriptions: dict[QueueKey, Subscription] = {}
        self._groups: dict[str, dict[Lane, LaneFeed]] = {}
        self._open = False

    async def start(self) -> None:
        """Connect; raises ``BrokerUnavailable`` when that takes longer than ``start_timeout``.

        Even then connecting goes on in the background, so that a service may start without its
        broker; :meth:`close` ends it.
        """
        self._open = True
        links = (self._publishing, self._consuming)
        for link in links:
            link.start()
        try:
            async with asyncio.timeout(self._options.start_timeout):
                for link in links:
                    await link.wait_up()
        except TimeoutError:
            raise BrokerUnavailable(self._trouble()) from None

    async def close(self) -> None:
        """Stop consuming, let running handlers end (at most ``close_grace`` s), disconnect."""
        self._open = False
        await asyncio.gather(*(self.unsubscribe(name) for name in list(self._groups)))
        await self._publisher.close()
        await asyncio.gather(self._publishing.close(), self._consuming.close())

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        """Publish all concurrently; one outcome each, in order, within ``timeout`` seconds."""
        if not self._open:
            return [PublishOutcome.UNKNOWN] * len(doorbells)
        return await self._publisher.publish(doorbells, timeout)

    async def subscribe(
        self,
        connection_id: str,
        lane: Lane,
        handler: DoorbellHandler,
        batch: int = 50,
        places: int = 0,
    ) -> None:
        """Hand over what arrives, now and after every reconnect; returns at once.

        A second call for the same connection and lane replaces handler and manner.
        """
        key = (connection_id, lane)
        known = self._subscriptions.get(key)
        if known is not None:
            known.feed.serve(handler, batch, places)
            return
        self._topology.queue(key)
        group = self._groups.setdefault(connection_id, {})
        self._subscriptions[key] = Subscription(
            self._consuming,
            self._topology,
            self._declarer,
            key,
            LaneFeed(group, connection_id, lane, handler, batch, places),
            self._publisher.publish_dead_letter,
            self._options.watchdog,
            self._options.renewal,
        )

    async def unsubscribe(self, connection_id: str) -> None:
        """Stop handing over for a connection; what was not handled stays in its queues."""
        self._groups.pop(connection_id, None)
        keys = [key for key in self._subscriptions if key[0] == connection_id]
        ended = [self._subscriptions.pop(key) for key in keys]
        await asyncio.gather(*(one.close(self._options.close_grace) for one in ended))

    async def health(self) -> BrokerHealth:
        """Asks the broker for something, so a hung or blocked one is seen as well as a lost one."""
        if not (self._publishing.up and self._consuming.up):
            return BrokerHealth(False, self._trouble())
        try:
            channel = await self._publishing.channel(self._options.health_timeout)
        except BROKER_FAULTS as error:
            # Whatever it is, publishing would not work now.
            return BrokerHealth(False, f"RabbitMQ does not answer: {error}")
        await self._publishing.release(channel)
        return BrokerHealth(True, "RabbitMQ")

    async def depths(self) -> dict[tuple[str, Lane], int]:
        """Doorbells that wait in the broker or in this process, for every queue used here.

        Empty when the broker cannot be asked within ``health_timeout``.
        """
        try:
            return await bounded(self._count(), self._options.health_timeout)
        except BROKER_FAULTS as error:
            log.info("queue depths are not known", reason=repr(error))
            return {}

    async def _count(self) -> dict[QueueKey, int]:
        counts: dict[QueueKey, int] = {}
        channel = await self._consuming.channel()
        try:
            for key in sorted({*self._subscriptions, *self._publisher.used}):
                queue = await self._declarer.declare_queue(channel, key)
                counts[key] = queue.declaration_result.message_count or 0
                subscription = self._subscriptions.get(key)
                if subscription is not None:
                    counts[key] += subscription.feed.waiting
        finally:
            await self._consuming.release(channel)
        return counts

    def _trouble(self) -> str:
        """Why a link is down, in words for an operator (never the URL: it holds a password)."""
        for link in (self._publishing, self._consuming):
            if not link.up:
                return f"RabbitMQ is not reachable ({link.trouble})"
        return "RabbitMQ is reachable"
