"""Waiting for a state with a deadline, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


def wait_until(
    predicate: Callable[[], object],
    deadline: float = 10.0,
    what: str = "the expected state",
    interval: float = 0.02,
) -> None:
    """Return as soon as ``predicate()`` is true; raise ``TimeoutError`` after ``deadline`` s."""
    end = time.monotonic() + deadline
    while not predicate():
        if time.monotonic() >= end:
            raise TimeoutError(f"waited {deadline:g} s for {what}")
        time.sleep(interval)


async def wait_until_async(
    predicate: Callable[[], object | Awaitable[object]],
    deadline: float = 10.0,
    what: str = "the expected state",
    interval: float = 0.02,
) -> None:
    """Like :func:`wait_until` inside an event loop; ``predicate`` may be a coroutine function."""
    end = time.monotonic() + deadline
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if time.monotonic() >= end:
            raise TimeoutError(f"waited {deadline:g} s for {what}")
        await asyncio.sleep(interval)
