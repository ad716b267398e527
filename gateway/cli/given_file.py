"""Files that commands are given, standard input among them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

#: A file to be read; ``-`` is standard input.
GIVEN_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
_STDIN = Path("-")


@contextmanager
def readable(file: Path) -> Iterator[Path]:
    """The file itself; standard input as a temporary file, which goes with the context.

    Packages are looked at more than once and may be large: they are never held in memory.
    """
    if file != _STDIN:
        yield file
        return
    with tempfile.NamedTemporaryFile(prefix="lienthong-") as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        yield Path(spool.name)


def name_of(file: Path) -> str:
    """What a file is called in messages."""
    return "standard input" if file == _STDIN else str(file)
