"""Payloads on local disk, under the SHA-256 of the exact bytes received.

Durability is an order of steps (reliability 1.6): write to a temporary file, fsync it, rename it to
its digest, fsync the folder; only then may the database commit and anybody say "accepted". Payloads
are never overwritten; the same bytes are stored once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from uuid_utils import uuid4

from routing.ports import ClaimCheck, PayloadMissing

#: Size of the blocks in which payloads are read.
BLOCK = 256 * 1024
#: A temporary file this old belongs to a process that is gone.
ABANDONED_AFTER = timedelta(hours=24)


class Spool:
    """One package on its way in: a temporary file that hashes what is written to it.

    `write`, `finish` and `discard` block on the disk: call them in a thread.
    """

    def __init__(self, store: DiskPayloads, path: Path) -> None:
        self._store = store
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self._size = 0
        self._claim: ClaimCheck | None = None
        self._kept = False
        self._one_at_a_time = threading.Lock()

    def write(self, block: bytes | memoryview) -> None:
        """Append a block. Raises OSError when the disk is full."""
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(block)
        self._size += len(block)

    def finish(self) -> ClaimCheck:
        """No more comes: the digest and size of what was written."""
        if self._claim is None:
            self._claim = ClaimCheck(self._hash.hexdigest(), self._size)
        return self._claim

    @property
    def claim(self) -> ClaimCheck:
        """The claim check; `finish` must have been called."""
        if self._claim is None:
            raise AssertionError("claim of a spool that is not finished")
        return self._claim

    async def keep(self) -> None:
        """Make the package part of the store, durably. Again is harmless once it was.

        Raises OSError when the disk does not take it, and ValueError after that or `discard`: after
        an fsync that went wrong another one proves nothing.
        """
        await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        with self._one_at_a_time:
            if self._kept:
                return
            if self._file.closed:
                raise ValueError("this spool was discarded, or could not be kept before")
            with self._file:
                os.fsync(self._file.fileno())
            self._store.adopt(self._path, self.claim.digest)
            self._kept = True

    def discard(self) -> None:
        """Throw away what was not kept. Harmless after `keep`."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def read(self) -> bytes:
        """All bytes written so far; for small packages only."""
        return self._path.read_bytes()


class DiskPayloads:
    """The payload store in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, making it where needed. Raises OSError when that cannot be done."""
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        # All folders from the start: one made on the way might not be durable yet for the second
        # package that goes into it.
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)
        _sync_folder(folder)
        _sync_folder(folder.parent)

    def spool(self) -> Spool:
        """A new temporary file for one package."""
        return Spool(self, self._incoming / str(uuid4()))

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

    def adopt(self, temporary: Path, digest: str) -> None:
        """Move a synced temporary file to its place and sync the folder."""
        target = self._place(digest)
        temporary.replace(target)
        _sync_folder(target.parent)

    def path(self, digest: str) -> Path:
        """Where the bytes lie; raises `PayloadMissing`. For handing a file to the kernel."""
        place = self._place(digest)
        if not place.is_file():
            raise PayloadMissing(digest)
        return place

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """See the port."""
        file = await asyncio.to_thread(self.path(digest).open, "rb")
        try:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block
        finally:
            file.close()

    async def size(self, digest: str) -> int | None:
        """See the port."""
        place = self._place(digest)
        return place.stat().st_size if place.is_file() else None

    def free_bytes(self) -> int:
        """What the disk still takes."""
        return shutil.disk_usage(self._folder).free

    def sweep(self, now: datetime) -> int:
        """Remove temporary files of processes that are gone; how many."""
        oldest = (now - ABANDONED_AFTER).timestamp()
        removed = 0
        for path in self._incoming.iterdir():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
        return removed

    def _place(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
