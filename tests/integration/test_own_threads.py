"""Threads for calls that may hang: they are few, answer like the calls, and outlive no process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from adapters.own_threads import AllHang, OwnThreads
from tests.support.servers import wait_until_async

#: A process one of whose calls hangs for ever when its work is done.
PROCESS = """
import asyncio, threading
from adapters.own_threads import OwnThreads

async def main():
    hanging = threading.Event()
    def hang():
        hanging.set()
        threading.Event().wait()
    call = asyncio.ensure_future(OwnThreads("test", 1).call(hang))
    await asyncio.to_thread(hanging.wait)
    call.cancel()

asyncio.run(main())
print("ended")
"""


async def test_answers_and_faults_come_back() -> None:
    """As if the function had been called here."""
    threads = OwnThreads("test", 1)
    assert await threads.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.call(divmod, 7, 0)
    assert await threads.call(sorted, [1, 2], reverse=True) == [2, 1]


async def test_no_more_calls_at_once_than_allowed() -> None:
    """Twenty calls with three threads: all are made, never more than three at a time."""
    threads, lock = OwnThreads("test", 3), threading.Lock()
    together = threading.Barrier(3)
    now, most = 0, 0

    def work(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if number < 3:
            together.wait(10)
        with lock:
            now -= 1
        return number

    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(threads.call(work, number) for number in range(20)))
    assert answers == list(range(20)) and most == 3


async def test_who_waits_hears_when_the_last_thread_hangs() -> None:
    """Busy threads are waited for; when nobody waits for any of them any more, that is said."""
    threads, back = OwnThreads("test", 2), threading.Event()
    try:
        calls = [asyncio.ensure_future(threads.call(back.wait, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        waits = asyncio.ensure_future(threads.call(int))
        calls[0].cancel()
        await asyncio.wait({calls[0]})
        assert not waits.done()
        calls[1].cancel()
        async with asyncio.timeout(10):
            with pytest.raises(AllHang):
                await waits
        ran = threading.Event()
        threads.attempt(ran.set)
        assert not ran.is_set()
    finally:
        back.set()

    async def works() -> bool:
        try:
            return await threads.call(int) == 0
        except AllHang:
            return False

    await wait_until_async(works, 10, "a thread that is back")


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    """Unlike in the event loop's own pool."""
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")
