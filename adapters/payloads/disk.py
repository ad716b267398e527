"""Payloads on local disk, under the SHA-256 of the exact bytes received.

Durability is an order of steps (reliability 1.6): write to a temporary file, fsync it, rename it to
its digest, fsync the folder; only then may the database commit and anybody say "accepted". Payloads
are never overwritten by other bytes; the same bytes are stored once.

Adopting a payload refreshes its time, and does so under a shared lock that `remove` takes
exclusively: a sweep either sees the fresh time and lets it be, or has removed the file before, and
the adopted one takes its place. Other processes and, on a shared file system, other machines see
the same lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from adapters.durable import sync_folder
from adapters.payloads.probe import probe_folder, remembered
from adapters.payloads.spool import (
    Spool,
    broken_is_unavailable,
    free_bytes,
    sweep_abandoned,
    temporary_name,
)
from adapters.payloads.store import (
    DIGEST_LENGTH,
    PayloadHealth,
    StoredPayload,
    file_blocks,
    verified,
)
from routing.ports import ClaimCheck, PayloadMissing


class DiskSpool(Spool):
    """A package on its way into a folder."""

    def __init__(self, store: DiskPayloads, path: Path) -> None:
        super().__init__(path)
        self._store = store
        self._kept = False
        self._one_at_a_time = threading.Lock()

    async def keep(self) -> None:
        """See `Spool.keep`. ValueError after a failure: another fsync would prove nothing."""
        await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        with self._one_at_a_time:
            if self._kept:
                return
            if self._file.closed:
                raise ValueError("this spool was discarded, or could not be kept before")
            with broken_is_unavailable(self._path.parent):
                with self._file:
                    self._store.freshen(self._file.fileno())
                    os.fsync(self._file.fileno())
                self._store.adopt(self._path, self.claim.digest)
            self._kept = True


class DiskPayloads:
    """The payload store in a folder."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] | None = None) -> None:
        """Use `folder`, making it where needed. Raises OSError when that cannot be done.

        `clock` is for tests that turn it.
        """
        self._folder = folder
        self._clock = clock
        self._incoming = folder / "incoming"
        self._lock = folder / "lock"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._lock.touch()
        # All folders from the start: one made on the way might not be durable yet for the second
        # package that goes into it.
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)
        sync_folder(folder)
        sync_folder(folder.parent)
        self._check = remembered(self._look)

    def spool(self) -> DiskSpool:
        """See `Payloads`."""
        return DiskSpool(self, temporary_name(self._incoming))

    async def put(self, content: bytes) -> ClaimCheck:
        """See the port."""

        def write() -> ClaimCheck:
            spool = self.spool()
            try:
                spool.write(content)
                claim = spool.finish()
                spool._keep()
            finally:
                spool.discard()
            return claim

        return await asyncio.to_thread(write)

    def freshen(self, descriptor: int) -> None:
        """Set a file's time to now; it may have been written long ago."""
        if self._clock is None:
            # By the clock of the file system, which all machines that share it have in common.
            os.utime(descriptor)
            return
        now = self._clock().timestamp()
        os.utime(descriptor, (now, now))

    def adopt(self, temporary: Path, digest: str) -> None:
        """Move a synced temporary file to its place and sync the folder."""
        target = self._place(digest)
        with self._locked(fcntl.LOCK_SH):
            temporary.replace(target)
        sync_folder(target.parent)

    def path(self, digest: str) -> Path:
        """See `Payloads`; never None here."""
        place = self._place(digest)
        if not place.is_file():
            raise PayloadMissing(digest)
        return place

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """See the port."""
        async for block in verified(file_blocks(self.path(digest)), digest):
            yield block

    async def size(self, digest: str) -> int | None:
        """See the port."""
        place = self._place(digest)
        return place.stat().st_size if place.is_file() else None

    async def check(self) -> PayloadHealth:
        """See `Payloads`."""
        return await self._check()

    async def _look(self) -> PayloadHealth:
        return await asyncio.to_thread(probe_folder, self._incoming)

    def free_bytes(self) -> int:
        """See `Payloads`."""
        return free_bytes(self._folder)

    async def stored(self, after: str = "") -> AsyncIterator[StoredPayload]:
        """See `Payloads`."""
        for number in range(256):
            folder = self._folder / f"{number:02x}"
            if folder.name >= after[:2]:
                for payload in await asyncio.to_thread(_payloads_in, folder, after):
                    yield payload

    async def remove(self, payload: StoredPayload, before: datetime) -> bool:
        """See `Payloads`."""
        return await asyncio.to_thread(self._remove, payload.digest, before)

    def _remove(self, digest: str, before: datetime) -> bool:
        place = self._place(digest)
        with self._locked(fcntl.LOCK_EX):
            try:
                if place.stat().st_mtime >= before.timestamp():
                    return False
                place.unlink()
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the store's lock; it is let go by the system when the process dies."""
        # Each holder has its own description: within one, threads would share the lock.
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def sweep(self, now: datetime) -> int:
        """See `Payloads`."""
        return sweep_abandoned(self._incoming, now)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _place(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _payloads_in(folder: Path, after: str) -> list[StoredPayload]:
    found = []
    for name in sorted(os.listdir(folder)):
        if name <= after or len(name) != DIGEST_LENGTH:
            continue
        try:
            facts = (folder / name).stat()
        except FileNotFoundError:
            continue
        adopted = datetime.fromtimestamp(facts.st_mtime, UTC)
        found.append(StoredPayload(name, facts.st_size, adopted))
    return found
