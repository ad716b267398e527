"""A package on its way in: a temporary file that hashes what is written to it.

Every store receives packages this way, so that nothing reaches a store before it is whole and
judged, and the memory needed does not depend on the size of a package.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from uuid_utils import uuid4

from routing.ports import ClaimCheck, PayloadsUnavailable

#: What the system says when nothing more can be written.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: A temporary file this old belongs to a process that is gone.
ABANDONED_AFTER = timedelta(hours=24)


class Spool(ABC):
    """One package on its way in.

    `write`, `finish` and `discard` block on the disk: call them in a thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with broken_is_unavailable(path.parent):
            self._file = path.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self._size = 0
        self._claim: ClaimCheck | None = None

    def write(self, block: bytes | memoryview) -> None:
        """Append a block. Raises OSError when the disk is full, else `PayloadsUnavailable`."""
        view = memoryview(block)
        with broken_is_unavailable(self._path.parent):
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

    @abstractmethod
    async def keep(self) -> None:
        """Make the package part of the store, durably. Again is harmless once it was.

        Raises `PayloadsUnavailable` when the store cannot be reached or is broken, OSError when a
        disk is full, and ValueError after `discard`.
        """

    @property
    def path(self) -> Path:
        """Where the bytes lie until they are kept or discarded."""
        return self._path

    def wipe(self) -> None:
        """Overwrite what was written, then throw it away: nothing of it may be kept.

        As far as the file system allows; some keep old blocks whatever a program does.
        """
        if not self._file.closed:
            self._file.seek(0)
            left = self._size
            while left > 0:
                left -= self._file.write(bytes(min(left, 1024 * 1024)))
            os.fsync(self._file.fileno())
        self.discard()

    def discard(self) -> None:
        """Throw away what was not kept. Harmless after `keep`."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def read(self) -> bytes:
        """All bytes written so far; for small packages only."""
        return self._path.read_bytes()


@contextmanager
def broken_is_unavailable(folder: Path) -> Iterator[None]:
    """A disk that is read-only, gone or broken is an unavailable store; a full one stays OSError.

    Whoever hands in is told to try again in both cases, and operators what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        raise PayloadsUnavailable(f"{folder}: {error.strerror or error}") from error


def temporary_name(folder: Path) -> Path:
    """A file that is nobody else's."""
    return folder / str(uuid4())


def free_bytes(folder: Path) -> int:
    """What the disk under a folder takes; nothing when the folder is gone."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def sweep_abandoned(folder: Path, now: datetime) -> int:
    """Remove temporary files of processes that are gone; how many."""
    oldest = (now - ABANDONED_AFTER).timestamp()
    removed = 0
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
