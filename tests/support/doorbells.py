"""Doorbells to publish and a handler that remembers what it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from routing.lanes import Lane
from routing.ports import Doorbell
from tests.support.servers import wait_until_async


def bells(
    count: int, connection: str = "qlvb-a", lane: Lane = Lane.ORDINARY, start: int = 0
) -> list[Doorbell]:
    """Numbered doorbells for one connection and lane."""
    numbers = range(start, start + count)
    return [Doorbell(f"{connection}-{lane}-{n}", connection, lane, f"trace-{n}") for n in numbers]


class Recorder:
    """A handler that remembers its batches; it waits while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[Doorbell]] = []
        self.ended = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, doorbells: Sequence[Doorbell]) -> None:
        self.batches.append(list(doorbells))
        await self.gate.wait()
        self.ended += 1

    @property
    def seen(self) -> list[Doorbell]:
        """All doorbells handed over so far, in order."""
        return [doorbell for batch in self.batches for doorbell in batch]

    async def wait_for(self, count: int, deadline: float = 15.0) -> None:
        """Wait until at least ``count`` doorbells were handed over."""
        what = f"{count} doorbells"
        await wait_until_async(lambda: len(self.seen) >= count, deadline, what)
