"""Passwords and PINs that an operator keeps in a file of their own: its first line."""

from __future__ import annotations

from pathlib import Path


def first_line(path: Path) -> str:
    """The first line, empty for an empty file.

    Raises OSError, and ValueError for what is no text; neither tells anything of what is in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
    return lines[0] if lines else ""
