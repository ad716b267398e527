"""What the gateway of the refusal tests is set to, and what is looked for in its log."""

from __future__ import annotations

#: Seconds for which a body may stand still.
GRACE = 1.0
#: Stands in an attachment and must never stand in a log.
CANARY = "CHIM-HOANG-YEN-TRONG-TEP-DINH-KEM"
#: Markers of a fault that was ours.
BUGS = ('"event": "request.bug"', '"event": "role.bug"', "Traceback (most recent call last)")
