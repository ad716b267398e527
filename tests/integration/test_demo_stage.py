"""The demonstration's services: ended whenever it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.demo_stage import service, settings_in
from tests.support.servers import wait_until_async


def _children() -> set[int]:
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {int(pid) for pid in own.read_text().split()}


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return value


def _is_told_to_end(pid: int) -> bool:
    return bool(int(_status(pid, "ShdPnd"), 16) >> (signal.SIGTERM - 1) & 1)


async def test_told_to_stop_while_a_service_ends_it_stops(tmp_path: Path) -> None:
    """The service that does not end is killed, and being told to stop is not forgotten."""
    before, found = _children(), list[int]()

    async def play() -> None:
        async with service(settings_in(tmp_path), tmp_path):
            found.extend(_children() - before)
            os.kill(found[0], signal.SIGSTOP)
            await wait_until_async(lambda: _status(found[0], "State") == "T", what="the stop")

    playing = asyncio.create_task(play())
    await wait_until_async(lambda: found and _is_told_to_end(found[0]), 10, "SIGTERM")
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert found[0] not in _children()
