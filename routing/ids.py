"""What an id of ours looks like."""

from __future__ import annotations

import re

_ID = re.compile(r"[0-9a-f-]{36}")


def is_id(text: str) -> bool:
    """Whether it can be one: ids are UUIDs, and nothing else ever reaches the database as one."""
    return _ID.fullmatch(text) is not None
