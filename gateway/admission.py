"""Who may come in with good credentials: from which network, with which certificate, how often.

The same for every face (REST, VXP …). Buckets are per process: with several processes behind a
balancer a limit holds for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from routing.connection_options import ConnectionOptions, options_of
from routing.route_table import Connection

#: Looks only when it is asked: the fingerprint of the client's certificate, None for none.
Shown = Callable[[], str | None]


class Turned(StrEnum):
    """Why a connection was turned away."""

    SUSPENDED = "connection-suspended"
    WRONG_NETWORK = "wrong-network"
    WRONG_CERTIFICATE = "wrong-certificate"
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

    def admit(
        self, connection: Connection, peer: str | None, shown: Shown | None = None
    ) -> TurnedAway | None:
        """None when a request of this connection from this address may go on.

        `shown` gives the fingerprint (SHA-256, hex) of the certificate that came with it; None
        where the way in is none of ours (RabbitMQ), and certificates are not looked at.
        """
        if not connection.may_enter:
            return TurnedAway(Turned.SUSPENDED)
        options = options_of(connection, ConnectionOptions)
        if not options.allows(peer):
            return TurnedAway(Turned.WRONG_NETWORK)
        certificates = options.client_certificate
        if certificates and shown is not None and shown() not in certificates:
            return TurnedAway(Turned.WRONG_CERTIFICATE)
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
