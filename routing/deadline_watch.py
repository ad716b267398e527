"""Keeping deadlines: the port, storing each change with its event, and the timer's watch.

Every function here runs inside a transaction of the caller's, or makes one of its own
(`watch_once`), so that a deadline never changes without the line in the log that tells of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from routing.deadlines import (
    Deadline,
    Nearing,
    Overdue,
    Settled,
    due_notice,
    opened_event,
)
from routing.records import Event

T = TypeVar("T")

#: Notices of one transaction.
BATCH = 200


class DeadlineStore(Protocol):
    """The deadlines of one transaction."""

    async def put(self, deadlines: Sequence[Deadline]) -> list[Deadline]:
        """Keep new deadlines; those really kept.

        A delivery has each kind once: what it has already stays as it is.
        """

    async def update(self, deadlines: Sequence[Deadline]) -> None:
        """Store how deadlines stand now. What is closed stays closed."""

    async def open_of_delivery(self, delivery_id: str, *, lock: bool = False) -> list[Deadline]:
        """The unsettled ones of a delivery; with `lock` nobody else changes them until the end."""

    async def open_of_deliveries(
        self, delivery_ids: Sequence[str], *, lock: bool = False
    ) -> list[Deadline]:
        """The unsettled ones of these deliveries, in the order of their ids."""

    async def of_document(self, document_pk: str) -> list[Deadline]:
        """All of a document, settled or not, by the time they are due."""

    async def due_notices(self, now: datetime, limit: int) -> list[Deadline]:
        """Those whose notice is due, oldest first, locked; what somebody else has is left out."""


class HasDeadlines(Protocol):
    """What a transaction offers to keep deadlines."""

    @property
    def deadlines(self) -> DeadlineStore:
        """The deadlines, in this transaction."""

    async def append(self, events: Sequence[Event], /) -> None:
        """Write events to the log."""


class WritesDeadlines(Protocol):
    """What a database offers for that; `routing.ports.Database` once its transaction does."""

    async def write(self, work: Callable[[HasDeadlines], Awaitable[T]], /) -> T:
        """Run `work` in one durable transaction; again from the start after a conflict."""


async def keep_opened(
    tx: HasDeadlines,
    deadlines: Sequence[Deadline],
    *,
    actor: str,
    now: datetime,
    correlation_id: str = "",
) -> list[Deadline]:
    """Store new deadlines and say so; those that are new. Doing it again changes nothing."""
    kept = await tx.deadlines.put(deadlines)
    await tx.append([opened_event(one, now, actor, correlation_id) for one in kept])
    return kept


async def keep_settled(
    tx: HasDeadlines, settled: Sequence[Settled], *, actor: str, correlation_id: str = ""
) -> None:
    """Store closed deadlines and say so. They were read with `lock` in this transaction."""
    await tx.deadlines.update([one.after for one in settled])
    await tx.append([one.event(actor, correlation_id) for one in settled])


@dataclass(frozen=True, slots=True)
class Watched:
    """What one round gave notice of."""

    notices: tuple[Nearing | Overdue, ...]

    @property
    def nearing(self) -> int:
        """Deadlines whose time is nearly over."""
        return sum(isinstance(notice, Nearing) for notice in self.notices)

    @property
    def overdue(self) -> int:
        """Deadlines whose time is over."""
        return sum(isinstance(notice, Overdue) for notice in self.notices)


async def watch_once(database: WritesDeadlines, now: datetime, limit: int = BATCH) -> Watched:
    """Give the notices that are due, at most `limit`, in one transaction with their events.

    Any number of timers may watch at the same time: each notice is given by one of them.
    """

    async def write(tx: HasDeadlines) -> Watched:
        due = await tx.deadlines.due_notices(now, limit)
        given = [due_notice(deadline, now) for deadline in due]
        notices = tuple(notice for notice in given if notice is not None)
        await tx.deadlines.update([notice.deadline for notice in notices])
        await tx.append([notice.event for notice in notices])
        return Watched(notices)

    return await database.write(write)


async def watch_all(database: WritesDeadlines, now: datetime, limit: int = BATCH) -> Watched:
    """`watch_once` until nothing is left; in small transactions, so that traffic goes on."""
    notices: list[Nearing | Overdue] = []
    while True:
        round_ = await watch_once(database, now, limit)
        notices += round_.notices
        if len(round_.notices) < limit:
            return Watched(tuple(notices))
