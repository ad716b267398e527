"""Receiving a body: to disk, hashed and read on the way, within bounds of bytes, time and rate.

aiohttp bounds none of this for a streamed body (reliability 2.6): a client may stop in the middle
and hold the connection for ever, or send without end. Here every wait has an end, the bytes are
counted as they come, and the memory needed does not depend on the size of the package.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.payloads import Payloads, Spool
from envelopes.findings import Sentence
from envelopes.read import PackageReader, ReadLimits, ReadResult
from envelopes.rules.facts import FileFacts
from envelopes.rules.inspection import PackageInspector

#: Bytes that are written and read in one go, outside the event loop.
BLOCK = 1024 * 1024
#: What the system says when nothing more can be written.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Body(Protocol):
    """What is needed of `aiohttp.StreamReader`."""

    async def readany(self) -> bytes:
        """Whatever has arrived; empty at the end."""


class IntakeFault(StrEnum):
    """Why a body could not be received."""

    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    CUT_OFF = "cut-off"
    DISK_FULL = "disk-full"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class NotReceived:
    """The body did not arrive as a whole; nothing of it is kept. Names limit and setting.

    `found` and `allowed` are for programs; where they are words and no figures, the Vietnamese
    stands beside them.
    """

    fault: IntakeFault
    found: str
    allowed: str
    setting: str
    found_vi: str = ""
    allowed_vi: str = ""

    @property
    def measured(self) -> Sentence:
        """What was found and what is allowed, for people; a part of a sentence."""
        vi, en = [], []
        if self.found:
            vi.append(f"có {self.found_vi or self.found}")
            en.append(f"found {self.found}")
        if self.allowed:
            vi.append(f"cho phép {self.allowed_vi or self.allowed}")
            en.append(f"allowed {self.allowed}")
        return Sentence("; ".join(vi), "; ".join(en))


@dataclass(frozen=True, slots=True)
class Examined(ReadResult):
    """A package as it was read, and what a look into its files found on the way."""

    files: tuple[FileFacts, ...] = ()

    @classmethod
    def of(cls, read: ReadResult, files: tuple[FileFacts, ...]) -> Examined:
        """Both together."""
        known = {field.name: getattr(read, field.name) for field in fields(ReadResult)}
        return cls(**known, files=files)


@dataclass(frozen=True, slots=True)
class Received:
    """A whole body on disk, and what reading it gave."""

    spool: Spool
    read: Examined


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds of one submission: bytes, seconds, bytes per second after the grace time."""

    max_bytes: int
    seconds: float
    min_rate: int
    grace_seconds: float


class Pace:
    """Whether a body arrives fast enough."""

    def __init__(self, limits: IntakeLimits, start: float) -> None:
        self._limits = limits
        self._start = start
        self._last = start
        self._received = 0

    def arrived(self, count: int, now: float) -> None:
        """Note that `count` bytes came."""
        self._received += count
        self._last = now

    def patience(self, now: float) -> float:
        """Seconds that the next bytes may take; nothing or less means: too slow."""
        limits = self._limits
        whole = self._start + limits.seconds
        still = self._last + limits.grace_seconds
        if limits.min_rate == 0:
            return min(whole, still) - now
        earned = self._start + limits.grace_seconds + self._received / limits.min_rate
        return min(whole, still, earned) - now


class _Sink:
    """Where the blocks go, outside the event loop: disk, digest and reader, in one step."""

    def __init__(self, payloads: Payloads, read_limits: ReadLimits) -> None:
        self._payloads = payloads
        self._inspector = PackageInspector()
        self._reader = PackageReader(read_limits, self._inspector.sink)
        self._spool: Spool | None = None

    def take(self, block: bytes) -> None:
        """Write and read a block."""
        if self._spool is None:
            self._spool = self._payloads.spool()
        self._spool.write(block)
        self._reader.feed(block)

    def finish(self, block: bytes) -> Received:
        """Take the last block; what was received."""
        self.take(block)
        if self._spool is None:
            raise AssertionError("a block was taken and there is no spool")
        self._spool.finish()
        read = self._reader.close()
        return Received(self._spool, Examined.of(read, self._inspector.facts(read)))

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._spool is not None:
            self._spool.discard()


async def receive(
    body: Body, payloads: Payloads, limits: IntakeLimits, read_limits: ReadLimits
) -> Received | NotReceived:
    """Take a body in. What is not wanted afterwards must be discarded by the caller."""
    sink = _Sink(payloads, read_limits)
    try:
        outcome = await _pump(body, sink, limits)
    except OSError as error:
        sink.discard()
        if error.errno in DISK_FULL:
            return NotReceived(IntakeFault.DISK_FULL, error.strerror or "", "", "data_dir")
        raise
    except BaseException:
        sink.discard()
        raise
    if isinstance(outcome, NotReceived):
        await asyncio.to_thread(sink.discard)
    return outcome


async def _pump(body: Body, sink: _Sink, limits: IntakeLimits) -> Received | NotReceived:
    pace = Pace(limits, time.monotonic())
    waiting = bytearray()
    size = 0
    while True:
        block = await _next(body, pace)
        if isinstance(block, NotReceived):
            return block
        if not block:
            break
        size += len(block)
        if size > limits.max_bytes:
            return too_large(size, limits)
        waiting += block
        if len(waiting) >= BLOCK:
            await asyncio.to_thread(sink.take, bytes(waiting))
            waiting.clear()
    if size == 0:
        return NotReceived(
            IntakeFault.EMPTY, "0 bytes", "an edXML package", "", "0 byte", "một gói tin edXML"
        )
    return await asyncio.to_thread(sink.finish, bytes(waiting))


async def _next(body: Body, pace: Pace) -> bytes | NotReceived:
    """The next bytes, or why they did not come."""
    patience = pace.patience(time.monotonic())
    try:
        async with asyncio.timeout(max(patience, 0)):
            block = await body.readany()
    except TimeoutError:
        return NotReceived(
            IntakeFault.TOO_SLOW,
            "the body stood still or came too slowly",
            "see the settings",
            "intake_min_rate_kib, intake_grace_seconds, intake_seconds",
            "nội dung đứng yên hoặc đến quá chậm",
            "theo các tham số",
        )
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError) as error:
        found = str(error) or "connection lost"
        return NotReceived(IntakeFault.CUT_OFF, found, "", "", "kết nối bị ngắt")
    pace.arrived(len(block), time.monotonic())
    return block


def too_large(size: int, limits: IntakeLimits) -> NotReceived:
    """The answer to a body above the limit, or to the announcement of one."""
    return NotReceived(
        IntakeFault.TOO_LARGE, f"{size} bytes", f"{limits.max_bytes} bytes", "max_package_mib"
    )
