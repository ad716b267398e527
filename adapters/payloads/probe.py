"""Whether a payload could be kept now: tried out, not guessed, and not more often than needed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from adapters.payloads.spool import temporary_name
from adapters.payloads.store import PayloadHealth

#: Seconds for which an answer is remembered: probes come from anybody and as often as they like.
REMEMBER = 2.0
#: Bytes that a folder must take to count as writable; one block of a file system.
PROBE_BYTES = 4096


def probe_folder(folder: Path) -> PayloadHealth:
    """Make a file in `folder`, reserve a block for it and remove it. Blocks on the disk."""
    place = temporary_name(folder)
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Reserving tells at once that a disk is full, where a write may be put off.
            os.posix_fallocate(descriptor, 0, PROBE_BYTES)
        finally:
            os.close(descriptor)
            place.unlink()
    except OSError as error:
        return PayloadHealth(False, f"{folder} cannot be written to: {error.strerror}")
    return PayloadHealth(True, f"{folder} can be written to")


def remembered(
    look: Callable[[], Awaitable[PayloadHealth]], seconds: float = REMEMBER
) -> Callable[[], Awaitable[PayloadHealth]]:
    """`look`, asked by one caller at a time and not again for `seconds`."""
    one_at_a_time = asyncio.Lock()
    last: list[tuple[float, PayloadHealth]] = []

    async def check() -> PayloadHealth:
        async with one_at_a_time:
            if not last or time.monotonic() - last[0][0] > seconds:
                last[:] = [(time.monotonic(), await look())]
            return last[0][1]

    return check
