"""What the gateway writes is for its own user: documents, secrets, the log of everything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Files 0600, folders 0700.
PRIVATE = 0o077
_OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH


def keep_private() -> None:
    """From now on this process makes files and folders that only its user may open."""
    os.umask(PRIVATE)


@contextmanager
def made_private() -> Iterator[None]:
    """The same for as long as the block runs."""
    before = os.umask(PRIVATE)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(*places: Path) -> list[str]:
    """Of these folders and files those that every user of the machine may open, with their mode.

    A group's rights are the operator's choice: backups, or a service in several processes.
    """
    found = []
    for place in places:
        try:
            mode = stat.S_IMODE(place.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & _OTHERS:
            found.append(f"{place} ({mode:04o})")
    return found
