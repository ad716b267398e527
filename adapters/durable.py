"""Files that survive a power cut: nobody ever sees a part of one, and its name stays.

A rename is durable when the folder that holds the name was synced. Functions here block on the disk
and raise OSError.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` there, in place of what there was; makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        _write(temporary, data, 0o666)
        temporary.replace(path)
    finally:
        # There after a failure alone: a full disk must not fill further with every try.
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_secret(path: Path, data: bytes) -> None:
    """Put `data` there, for this user's eyes alone, unless somebody was first: then that stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        _write(temporary, data, 0o600)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _temporary(path: Path) -> Path:
    """A hidden name beside `path` that is nobody else's."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
