"""Where the gateway reads the clock and makes ids; logic gets both as arguments."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

_random = random.SystemRandom()


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new UUIDv7: unique everywhere, sorted by time."""
    return str(uuid7())


def spread() -> float:
    """A random number in [0, 1) for jitter."""
    return _random.random()
