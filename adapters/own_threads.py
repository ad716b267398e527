"""Threads for calls that may hang for ever, such as those to a network share that went away.

The event loop's own pool of threads serves the whole process: a few calls that hang would take all
of it, and the end of the process waits for them. These threads belong to one part of the process
only, are limited in number, and end with the process whatever they are doing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class AllHang(OSError):
    """No call can be made: every thread is still at one that nobody waits for any more."""


class OwnThreads:
    """Makes blocking calls, each in a thread, at most `most` at a time. For one event loop."""

    def __init__(self, name: str, most: int) -> None:
        """`most` may be changed at any time."""
        self.most = most
        self._name = name
        #: What each running thread will answer; cancelled when its caller gave up.
        self._running: set[asyncio.Future[Any]] = set()
        self._waiting: list[asyncio.Future[None]] = []

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; it goes on in its thread when this is cancelled.

        Waits for a thread if all are at work. Raises `AllHang` instead when all of them hang.
        """
        while len(self._running) >= self.most:
            if all(answer.cancelled() for answer in self._running):
                raise AllHang("no answer, and all earlier calls still hang")
            await self._change()
        return await self._start(partial(function, *args, **kwargs))

    def attempt(self, function: Callable[[], None]) -> None:
        """Call it if a thread is free; nobody waits for it or hears how it ended."""
        if len(self._running) < self.most:
            self._start(function).cancel()

    def _start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                end = partial(_answer, answer, work())
            except BaseException as error:  # told to the caller
                end = partial(_fault, answer, error)
            # The process may have ended its loop meanwhile: nobody is there to hear of it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._ended, answer, end)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        self._running.add(answer)
        answer.add_done_callback(lambda _: self._tell())
        return answer

    def _ended(self, answer: asyncio.Future[T], end: Callable[[], None]) -> None:
        self._running.discard(answer)
        end()
        self._tell()

    async def _change(self) -> None:
        """Wait until a thread ended or a caller gave up."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(changed)
        await changed

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


def _answer(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fault(answer: asyncio.Future[T], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
