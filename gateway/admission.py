"""Who may come in with good credentials: from which network, and how often.

The same for every face (REST, VXP …). Buckets are per process: with several processes behind a
balancer a limit holds for each of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from routing.connection_options import ConnectionOptions, options_of
from routing.route_table import Connection


class Turned(StrEnum):
    """Why a connection was turned away."""

    SUSPENDED = "connection-suspended"
    WRONG_NETWORK = "wrong-network"
    TOO_OFTEN = "too-many-requests"


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A request with good credentials that is not taken."""

    why: Turned
    #: Seconds after which it may come again; 0 where waiting does not help.
    again_after: float = 0.0


class Admission:
    """Networks and request rates of connections."""

    def __init__(self) -> None:
        #: Earliest time of the next request beyond the burst (generic cell rate algorithm).
        self._due: dict[str, float] = {}

    def admit(self, connection: Connection, peer: str | None) -> TurnedAway | None:
        """None when a request of this connection from this address may go on."""
        if not connection.may_enter:
            return TurnedAway(Turned.SUSPENDED)
        options = options_of(connection, ConnectionOptions)
        if not options.allows(peer):
            return TurnedAway(Turned.WRONG_NETWORK)
        return self._rate(connection.id, options.requests_per_minute, time.monotonic())

    def _rate(self, key: str, per_minute: int, now: float) -> TurnedAway | None:
        """A minute's worth may come in one burst; after that, evenly."""
        if not per_minute:
            return None
        due = max(self._due.get(key, 0.0), now)
        ahead = due - now
        if ahead > 60 - 60 / per_minute:
            return TurnedAway(Turned.TOO_OFTEN, ahead - (60 - 60 / per_minute))
        self._due[key] = due + 60 / per_minute
        return None
