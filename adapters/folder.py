"""A pair of folders as an agency's old system uses them: it drops packages, and picks others up.

Layout under the connection's folder::

    drop/        the agency puts packages here (best: under another name first, then renamed)
    accepted/    dropped files that were taken, each with a receipt beside it
    refused/     dropped files that were not, each with a report beside it
    delivery/    the gateway puts packages here, complete from the moment they are seen
    .taking/     dropped files that are being taken right now
    .writing/, .given/   what is on its way into delivery/, and what was put there

Everything moves by renaming within one file system. Functions here block on the disk: call them in
a thread. They raise OSError when the folder cannot be used.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adapters.durable import sync_folder

SUBFOLDERS = ("drop", "accepted", "refused", "delivery", ".taking", ".writing", ".given")
#: Endings of files that are taken; everything else is left alone.
ENDINGS = (".edxml", ".xml")
BLOCK = 256 * 1024
#: What file systems without hard links say.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
#: Bytes that a file system allows in a name.
LONGEST_NAME = 255
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A dropped file as it was seen; two equal sightings mean that nobody writes to it."""

    name: str
    size: int
    modified_ns: int
    inode: int


class PartnerFolder:
    """The folders of one connection."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make what is missing."""
        for name in SUBFOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    # --- what the agency drops ------------------------------------------------------------------

    def dropped(self) -> list[Dropped]:
        """Files that could be taken, oldest first; links, folders and hidden files are not."""
        found = []
        for name, about in _files_in(self.root / "drop"):
            ending = os.path.splitext(name)[1].lower()
            if not name.startswith((".", "~")) and ending in ENDINGS:
                found.append(_seen(name, about))
        return sorted(found, key=lambda one: (one.modified_ns, one.name))

    def take(self, dropped: Dropped) -> Path | None:
        """Move a dropped file out of the agency's sight.

        None when it changed or is gone, and while an earlier file of its name is being taken: old
        systems use names again, and renaming would replace the earlier one. Nothing comes between
        the look and the renaming, because one process at a time takes from a folder.
        """
        source, target = self.root / "drop" / dropped.name, self._taking(dropped.name)
        if os.path.lexists(target):
            return None
        try:
            if _seen(dropped.name, os.lstat(source)) != dropped:
                return None
            os.rename(source, target)
        except FileNotFoundError:
            return None
        return target

    def taken(self) -> list[Path]:
        """Files that were being taken when a process died, or that wait to be handed in again."""
        return sorted(path for path in (self.root / ".taking").iterdir() if path.is_file())

    def is_unchanged(self, path: Path, dropped: Dropped) -> bool:
        """Whether a taken file is what was seen: a program may still hold it open."""
        return _seen(dropped.name, os.lstat(path)) == dropped

    def sighting(self, path: Path) -> Dropped:
        """A taken file as it is now."""
        return _seen(path.name, os.lstat(path))

    def give_back(self, path: Path) -> bool:
        """Put a taken file where it was dropped: it is looked at again later.

        False when a newer file of its name lies there; then it stays among those being taken.
        """
        target = self.root / "drop" / path.name
        try:
            # Unlike renaming, this replaces nothing.
            os.link(path, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                return False
            os.rename(path, target)
        else:
            path.unlink()
        return True

    def put_aside(self, path: Path, where: str, key: str, note: str, ending: str) -> Path:
        """Move a taken file to ``accepted`` or ``refused``, with a note beside it.

        The note is there before the file is. `key` keeps files of one name apart; a long name is
        shortened, so that there is room for it.
        """
        stem, suffix = os.path.splitext(path.name)
        added = f".{key}{suffix}"
        while stem and len(os.fsencode(stem + added + ending)) > LONGEST_NAME:
            stem = stem[:-1]
        target = self.root / where / (stem + added)
        # The note may speak of a file name that is no text.
        _write(target.with_name(target.name + ending), note.encode(errors="replace"))
        os.rename(path, target)
        sync_folder(target.parent)
        return target

    def _taking(self, name: str) -> Path:
        return self.root / ".taking" / name

    # --- what the agency is given ---------------------------------------------------------------

    def was_given(self, key: str) -> bool:
        """Whether this delivery was put into ``delivery``, even if it was picked up since.

        The mark is made when the file is complete and before it is shown: mark without the
        unfinished file means that it was shown.
        """
        return self.is_complete(key) and not self._writing(key).exists()

    def is_complete(self, key: str) -> bool:
        """Whether all bytes of this delivery were written; only `show` is missing, if anything."""
        return self._mark(key).exists()

    def begin(self, key: str) -> Writing:
        """A new file for this delivery. An earlier attempt that still writes cannot complete."""
        folder = self.root / ".writing"
        for name, _ in _files_in(folder):
            if name.startswith(f"{key}."):
                (folder / name).unlink(missing_ok=True)
        return Writing(
            folder / f"{key}.{secrets.token_hex(4)}", self._writing(key), self._mark(key)
        )

    def show(self, key: str, name: str, note: bytes) -> None:
        """Put a complete file into ``delivery``, once, however often this is called."""
        if self.was_given(key):
            return
        target = self.root / "delivery" / name
        _write(target.with_suffix(".json"), note)
        os.rename(self._writing(key), target)
        sync_folder(target.parent)

    def _writing(self, key: str) -> Path:
        return self.root / ".writing" / key

    def _mark(self, key: str) -> Path:
        return self.root / ".given" / key

    def forget(self, before: datetime) -> int:
        """Remove accepted files, marks, and what attempts left, from before a time; how many."""
        count = 0
        for folder in (self.root / "accepted", self.root / ".given", self.root / ".writing"):
            for name, about in _files_in(folder):
                # Without a dot it is complete, and only has to be shown.
                waits = folder.name == ".writing" and "." not in name
                if about.st_mtime < before.timestamp() and not waits:
                    (folder / name).unlink(missing_ok=True)
                    count += 1
        return count


class Writing:
    """A file on its way into ``delivery``, in the hands of one attempt.

    The attempt may be cut short while a thread of it is still at work, and the next one begin: so
    each writes to a file of its own, and only a file that is still there becomes the complete one.
    """

    def __init__(self, path: Path, complete: Path, mark: Path) -> None:
        """Open a new file at `path`."""
        self._path, self._complete, self._mark = path, complete, mark
        self._file = path.open("xb")
        self._working = threading.Lock()
        self._abandoned = False

    def write(self, block: bytes) -> None:
        """Add a block."""
        with self._at_work():
            self._file.write(block)

    def complete(self) -> None:
        """That was all: make it durable and mark it.

        FileNotFoundError when a later attempt has begun.
        """
        with self._at_work():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._path, self._complete)
            sync_folder(self._complete.parent)
            _write(self._mark, b"")
            sync_folder(self._mark.parent)

    def abandon(self) -> None:
        """Remove it if it is not complete. Waits for no thread: the one at work clears away."""
        self._abandoned = True
        self._clear_away()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            with self._working:
                if self._abandoned:
                    raise FileNotFoundError(errno.ENOENT, "abandoned", str(self._path))
                yield
        finally:
            if self._abandoned:
                self._clear_away()

    def _clear_away(self) -> None:
        if not self._working.acquire(blocking=False):
            return
        try:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        finally:
            self._working.release()


def _files_in(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files directly in a folder; the agency may take some away meanwhile."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if not entry.is_file(follow_symlinks=False):
                    continue
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield entry.name, about


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file in blocks."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become question marks."""
    return name.encode(errors="replace").decode()


def file_name(*parts: str) -> str:
    """Parts as one file name of plain ASCII characters."""
    cleaned = (_UNSAFE.sub("-", part).strip("-.")[:60] for part in parts)
    return "_".join(part for part in cleaned if part)


def _seen(name: str, about: os.stat_result) -> Dropped:
    return Dropped(name, about.st_size, about.st_mtime_ns, about.st_ino)


def _write(path: Path, content: bytes) -> None:
    """A complete, durable file; an older half of it is overwritten."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
