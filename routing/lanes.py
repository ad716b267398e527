"""Urgency becomes a lane; within a lane, senders get fair turns (OPS-URGENT: ĐB 5.2, KG 3.3).

Fairness is the virtual-clock discipline: each delivery carries a `fair_key`, a point in time. A
sender's single letter gets "now"; each further delivery of the same sender in the same lane gets a
key `SPACING` later than its last one, so a circular to 3 000 agencies spreads out over the keys to
come and another sender's letter steps in between. Rows are relayed in the order of their keys and
never wait for them: a sender that is alone is not slowed down.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum


class Lane(StrEnum):
    """Which of a connection's two queues a delivery goes through."""

    URGENT = "urgent"
    ORDINARY = "ordinary"

    @property
    def rank(self) -> int:
        """0 is served first."""
        return 0 if self is Lane.URGENT else 1


#: Priorities 1 (Khẩn) to 4 (Hỏa tốc hẹn giờ) are urgent; 0 (Thường) is not.
FIRST_URGENT_PRIORITY = 1

#: How far apart one sender's deliveries of one lane are laid.
SPACING = timedelta(milliseconds=50)


def lane_of(priority: int) -> Lane:
    """The lane of a document of this edXML Priority (0 to 4)."""
    return Lane.URGENT if priority >= FIRST_URGENT_PRIORITY else Lane.ORDINARY


class FairClock:
    """Hands out fair keys; remembers the last key of each sender and lane.

    One per process: after a restart every sender starts again from "now", which can only be to the
    advantage of those who were waiting.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, Lane], datetime] = {}

    def keys(self, sender: str, lane: Lane, count: int, now: datetime) -> list[datetime]:
        """`count` keys for `sender`, in order; the first is `now` unless the sender is ahead."""
        last = self._last.get((sender, lane))
        first = now if last is None or last + SPACING < now else last + SPACING
        keys = [first + SPACING * position for position in range(count)]
        if keys:
            self._last[sender, lane] = keys[-1]
            self._forget_idle(now)
        return keys

    def _forget_idle(self, now: datetime, limit: int = 10_000) -> None:
        """Drop senders whose last key is past, so that memory does not grow with the directory."""
        if len(self._last) > limit:
            self._last = {who: key for who, key in self._last.items() if key > now}
