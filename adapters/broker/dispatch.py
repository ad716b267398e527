"""Hands doorbells over to handlers: urgent first, ack after the handler returned.

Shared by both brokers, so that they behave alike. A feed (one connection, one lane) runs its
handler in tasks of its own: a slow handler holds up neither another connection nor the other lane's
way in. The urgent lane never waits for an ordinary doorbell. There are two ways:

- *batches*, one after another: the ordinary lane starts none while an urgent one waits or is being
  handled;
- *places*: each doorbell alone, so many at the same time, each settled by itself. Handlers may take
  long here, so the ordinary lane lets urgent doorbells go first and waits for none at work.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from itertools import chain
from typing import Protocol

import structlog

from routing.lanes import Lane
from routing.ports import Doorbell, DoorbellHandler

log = structlog.get_logger(__name__)

#: Seconds until a doorbell whose handler raised comes again: first, and at most (doubling).
FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
#: How many failed doorbells are remembered, to hand each over alone.
_SUSPECTS = 10_000
#: Fewest doorbells to have at hand where each is handed over alone: some wait to come again.
_SMALLEST_SUPPLY = 32


class Item(Protocol):
    """A doorbell on its way to the handler, and how to tell its broker the outcome."""

    @property
    def doorbell(self) -> Doorbell:
        """What is handed over."""

    async def ack(self) -> None:
        """It has been handled. Never raises."""

    async def nack(self) -> None:
        """It has to come again. Never raises."""


class LaneFeed:
    """One connection's one lane: what has arrived, and the tasks that hand it to the handler."""

    def __init__(
        self,
        group: dict[Lane, LaneFeed],
        connection_id: str,
        lane: Lane,
        handler: DoorbellHandler,
        batch: int,
        places: int = 0,
    ) -> None:
        """Start handing over. ``group``: the feeds of this connection, which know each other."""
        self.serve(handler, batch, places)
        self.lane = lane
        self.delivered = 0
        self._group = group
        self._items: deque[Item] = deque()
        self._handling: dict[asyncio.Task[None], list[Item]] = {}
        self._suspects: OrderedDict[str, int] = OrderedDict()
        self._delayed: dict[asyncio.Task[None], Item] = {}
        self._changed = asyncio.Event()
        self._closing = False
        self._log = log.bind(connection=connection_id, lane=lane.value)
        group[lane] = self
        self._task = asyncio.create_task(self._run(), name=f"doorbells {connection_id} {lane}")

    def serve(self, handler: DoorbellHandler, batch: int, places: int = 0) -> None:
        """From now on hand over to this handler: batches, or with ``places`` each one alone."""
        if batch < 1:
            raise ValueError("a batch holds at least one doorbell")
        self._handler = handler
        self._alone = places > 0
        self._places = places or 1
        self._batch = 1 if places else batch

    @property
    def supply(self) -> int:
        """How many doorbells to have at hand: the next ones while the present are handled."""
        return max(2 * self._places, _SMALLEST_SUPPLY) if self._alone else 2 * self._batch

    @property
    def waiting(self) -> int:
        """Doorbells that have arrived and have not been handed over."""
        return len(self._items)

    @property
    def held(self) -> int:
        """All doorbells that the broker has given us and that are not settled."""
        return len(self._items) + len(self._at_work()) + len(self._delayed)

    def _at_work(self) -> list[Item]:
        return list(chain.from_iterable(self._handling.values()))

    def push(self, item: Item) -> None:
        """A doorbell has arrived."""
        self._items.append(item)
        self.delivered += 1
        self._changed.set()

    def push_front(self, item: Item) -> None:
        """A doorbell has come back; it is handed over before the others."""
        self._items.appendleft(item)
        self._changed.set()

    def take_back(self) -> list[Item]:
        """Remove and return, in order, what has not been handed over or waits to come again."""
        items = [*self._delayed.values(), *self._items]
        self._items.clear()
        for task in self._delayed:
            task.cancel()
        self._delayed.clear()
        self._announce()
        return items

    async def close(self, grace: float) -> list[Item]:
        """Let running handlers end (at most ``grace`` s); return what was not handed over.

        A handler that takes longer is cancelled; its doorbells are among those returned.
        """
        self._closing = True
        abandoned = self.take_back()
        self._changed.set()
        _, late = await asyncio.wait({self._task, *self._handling}, timeout=grace)
        if late:
            self._log.warning("handlers cancelled at close", doorbells=len(self._at_work()))
            abandoned = [*self._at_work(), *abandoned]
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1.0)
        known = {id(item) for item in abandoned}
        abandoned += [item for item in self.take_back() if id(item) not in known]
        self._group.pop(self.lane, None)
        self._announce()
        return abandoned

    def _announce(self) -> None:
        for feed in self._group.values():
            feed._changed.set()

    def _must_wait(self) -> bool:
        if not self._items or len(self._handling) >= self._places:
            return True
        return any(
            feed._goes_first() for lane, feed in self._group.items() if lane.rank < self.lane.rank
        )

    def _goes_first(self) -> bool:
        """Whether less urgent lanes have to wait for this one now."""
        if self._alone:
            return bool(self._items) and len(self._handling) < self._places
        return bool(self._items or self._handling)

    async def _run(self) -> None:
        while not self._closing:
            if self._must_wait():
                self._changed.clear()
                await self._changed.wait()
                continue
            batch = self._take()
            task = asyncio.create_task(self._hand_over(batch), name=self._task.get_name())
            self._handling[task] = batch
            task.add_done_callback(self._handled)
            self._announce()

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handling.pop(task, None)
        self._announce()

    def _take(self) -> list[Item]:
        """The next batch; a doorbell that was in a failed batch goes alone, so it fails alone."""
        batch = [self._items.popleft()]
        if batch[0].doorbell.delivery_id in self._suspects:
            return batch
        while self._items and len(batch) < self._batch:
            if self._items[0].doorbell.delivery_id in self._suspects:
                break
            batch.append(self._items.popleft())
        return batch

    async def _hand_over(self, batch: list[Item]) -> None:
        try:
            await self._handler([item.doorbell for item in batch])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something the handler waited for was cancelled, not we: a failure like others.
            self._retry_later(batch, "cancelled inside")
        except Exception as error:
            # A handler may raise anything, a bug of its own as well: its doorbells come again.
            self._retry_later(batch, f"{type(error).__name__}: {error}")
        else:
            for item in batch:
                self._suspects.pop(item.doorbell.delivery_id, None)
                await item.ack()

    def _retry_later(self, batch: list[Item], reason: str) -> None:
        failures = 0
        for item in batch:
            name = item.doorbell.delivery_id
            failures = self._suspects[name] = self._suspects.pop(name, 0) + 1
            task = asyncio.create_task(self._nack_after(item, retry_delay(failures)))
            self._delayed[task] = item
        while len(self._suspects) > _SUSPECTS:
            self._suspects.popitem(last=False)
        self._log.warning(
            "handler raised, doorbells will come again",
            doorbells=len(batch),
            failures=failures,
            reason=reason,
        )

    async def _nack_after(self, item: Item, delay: float) -> None:
        await asyncio.sleep(delay)
        task = asyncio.current_task()
        if task is not None:
            self._delayed.pop(task, None)
        await item.nack()


def retry_delay(failures: int) -> float:
    """Seconds to wait after the ``failures``-th failure (1, 2, …) of one doorbell."""
    exponent = min(failures - 1, 20)
    return min(LONGEST_DELAY, FIRST_DELAY * float(2**exponent))
