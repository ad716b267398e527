"""The broker inside this process: nothing to install, nothing left after a restart.

For one process that does everything (the default installation). What it held is gone when the
process ends, which :attr:`EmbeddedBroker.volatile` says: the outbox fills it again at start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.broker.dispatch import LaneFeed
from routing.lanes import Lane
from routing.ports import BrokerHealth, Doorbell, DoorbellHandler, PublishOutcome

#: Doorbells the broker holds before it refuses more; the rest stays in the outbox.
CAPACITY = 100_000
#: Seconds a running handler may still take when its subscription ends.
CLOSE_GRACE = 10.0


class EmbeddedBroker:
    """:class:`routing.ports.Broker` on queues in memory, for one event loop."""

    volatile = True

    def __init__(self, *, capacity: int = CAPACITY, close_grace: float = CLOSE_GRACE) -> None:
        """``capacity``: doorbells held at most; ``close_grace``: seconds for running handlers."""
        self._capacity = capacity
        self._close_grace = close_grace
        self._open = False
        self._queues: dict[tuple[str, Lane], _Queue] = {}
        self._groups: dict[str, dict[Lane, LaneFeed]] = {}

    async def start(self) -> None:
        """Accept doorbells from now on."""
        self._open = True

    async def close(self) -> None:
        """Accept nothing more and let running handlers end."""
        self._open = False
        for connection_id in list(self._groups):
            await self.unsubscribe(connection_id)

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        """Queue all; ``REFUSED`` for what exceeds the capacity or comes when not started."""
        room = self._capacity - sum(queue.size for queue in self._queues.values())
        outcomes = []
        for position, doorbell in enumerate(doorbells):
            accepted = self._open and position < room
            if accepted:
                self._queue(doorbell.connection_id, doorbell.lane).put(doorbell)
            outcomes.append(PublishOutcome.CONFIRMED if accepted else PublishOutcome.REFUSED)
        return outcomes

    async def subscribe(
        self,
        connection_id: str,
        lane: Lane,
        handler: DoorbellHandler,
        batch: int = 50,
        places: int = 0,
    ) -> None:
        """Hand over what waits and what comes; a second call replaces handler and manner."""
        queue = self._queue(connection_id, lane)
        if queue.feed is not None:
            queue.feed.serve(handler, batch, places)
            return
        group = self._groups.setdefault(connection_id, {})
        queue.attach(LaneFeed(group, connection_id, lane, handler, batch, places))

    async def unsubscribe(self, connection_id: str) -> None:
        """Stop handing over; what was not handled waits in order for the next subscriber."""
        for lane in self._groups.pop(connection_id, {}).copy():
            await self._queue(connection_id, lane).detach(self._close_grace)

    async def health(self) -> BrokerHealth:
        """Well while started."""
        return BrokerHealth(self._open, "embedded" if self._open else "embedded, not started")

    async def depths(self) -> dict[tuple[str, Lane], int]:
        """Doorbells not yet handed over, of every queue that was ever used."""
        return {key: queue.waiting for key, queue in self._queues.items()}

    def _queue(self, connection_id: str, lane: Lane) -> _Queue:
        return self._queues.setdefault((connection_id, lane), _Queue())


class _Queue:
    """One connection's one lane: a store while nobody subscribes, else the subscriber's feed."""

    def __init__(self) -> None:
        self.feed: LaneFeed | None = None
        self._stored: deque[Doorbell] = deque()

    @property
    def waiting(self) -> int:
        return len(self._stored) + (self.feed.waiting if self.feed else 0)

    @property
    def size(self) -> int:
        return len(self._stored) + (self.feed.held if self.feed else 0)

    def put(self, doorbell: Doorbell) -> None:
        if self.feed is None:
            self._stored.append(doorbell)
        else:
            self.feed.push(_EmbeddedItem(doorbell, self))

    def put_back(self, item: _EmbeddedItem) -> None:
        if self.feed is None:
            self._stored.appendleft(item.doorbell)
        else:
            self.feed.push_front(item)

    def attach(self, feed: LaneFeed) -> None:
        self.feed = feed
        stored, self._stored = self._stored, deque()
        for doorbell in stored:
            feed.push(_EmbeddedItem(doorbell, self))

    async def detach(self, grace: float) -> None:
        feed, self.feed = self.feed, None
        if feed is not None:
            kept = await feed.close(grace)
            self._stored.extendleft(item.doorbell for item in reversed(kept))


@dataclass(frozen=True, slots=True)
class _EmbeddedItem:
    doorbell: Doorbell
    queue: _Queue

    async def ack(self) -> None:
        """Nothing to tell: it left the queue when it was handed over."""

    async def nack(self) -> None:
        self.queue.put_back(self)
