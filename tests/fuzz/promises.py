"""What every target demands, and where inputs come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NOW = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
#: Larger samples are no good starting points: mutations of them are slow.
MAX_SEED = 24 * 1024


class Broken(AssertionError):
    """A promise that did not hold for an input."""


def samples(*folders: str) -> Iterator[bytes]:
    """The packages of the corpus that are not too large."""
    for folder in folders or ("good", "bad", "rules"):
        for path in sorted((CORPUS / folder).glob("*.edxml")):
            if path.stat().st_size <= MAX_SEED:
                yield path.read_bytes()


def cut(data: bytes) -> list[bytes]:
    """`data` cut at places that depend on it alone."""
    first = len(data) * (data[-1] if data else 0) // 256
    return [data[:first], data[first : first + 1], data[first + 1 :]]


def storable(value: Any) -> None:
    """Raise Broken for what neither a database nor an answer can hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        raise Broken(f"cannot be stored: {error}") from error
    if b"\\u0000" in text:
        raise Broken("a NUL character, which PostgreSQL does not take")
