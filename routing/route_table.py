"""Which connection serves an agency, and why (architecture decision 5).

A connection is a piece of software; agencies are routed to it by the longest match on their code:
their own code first, its old or new alias, then the bodies above, nearest first. The answer always
says how it came about: for `POST /v1/check`, for traces, for the clerk whose document came back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from envelopes.findings import Sentence
from identifiers.agency import Agency
from identifiers.directory import Directory
from identifiers.organ_id import MalformedOrganId, OrganId
from identifiers.resolution import ResolutionKind

#: Routes that one table remembers; strangers may ask for any code.
MOST_REMEMBERED = 20_000


class ConnectionStatus(StrEnum):
    """Whether a connection takes part in traffic."""

    ACTIVE = "active"
    #: It may send; what is addressed to it waits, no attempt is used up.
    PAUSED = "paused"
    #: As paused, but what was accepted for it before is still handed over.
    DRAINING = "draining"
    #: Its credentials are refused; what is addressed to it waits, no attempt is used up.
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Connection:
    """A partner's software: one QLVB, one axis."""

    id: str
    name: str
    kind: str
    status: ConnectionStatus
    agencies: tuple[OrganId, ...]
    created_at: datetime
    settings: dict[str, Any] = field(default_factory=dict)
    #: When it got its status; what is older is still handed over while it drains.
    status_since: datetime | None = None

    @property
    def may_enter(self) -> bool:
        """Whether its credentials are accepted."""
        return self.status is not ConnectionStatus.SUSPENDED

    @property
    def is_served(self) -> bool:
        """Whether anything is handed over to it now."""
        return self.status in (ConnectionStatus.ACTIVE, ConnectionStatus.DRAINING)

    @property
    def waits(self) -> bool:
        """Whether what is accepted for it from now on waits."""
        return self.status is not ConnectionStatus.ACTIVE

    @property
    def is_gateway(self) -> bool:
        """Whether the partner is a gateway itself: nothing that came from it goes back to it."""
        return bool(self.settings.get("gateway"))


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of a connection, known only by its SHA-256."""

    id: str
    connection_id: str
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Whether the token is accepted at `now`."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class RegistryData:
    """Agencies, connections and tokens, as the database holds them at one version."""

    version: int
    agencies: tuple[Agency, ...]
    connections: tuple[Connection, ...]
    tokens: tuple[Token, ...]


class RouteKind(StrEnum):
    """How looking for a route ended."""

    ROUTED = "routed"
    MALFORMED_CODE = "malformed-code"
    UNKNOWN_AGENCY = "unknown-agency"
    NOT_ACTIVE = "agency-not-active"
    NO_CONNECTION = "no-connection"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient's copy goes, and why."""

    kind: RouteKind
    #: The recipient's organ key; the code as written where no agency was found.
    organ_key: str
    sentence: Sentence
    agency: Agency | None = None
    connection: Connection | None = None

    @property
    def connection_id(self) -> str | None:
        """The connection's id, None where there is no way."""
        return self.connection.id if self.connection else None


class RouteTable:
    """The directory and the connections at one version, ready to answer."""

    def __init__(self, data: RegistryData) -> None:
        self.version = data.version
        self.directory = Directory(data.agencies)
        self.connections = {connection.id: connection for connection in data.connections}
        self._prefixes = {
            organ_id: connection
            for connection in data.connections
            for organ_id in connection.agencies
        }
        self._tokens = {token.sha256: token for token in data.tokens}
        #: Answers given before: a table never changes, a changed registry makes another.
        self._routes: dict[tuple[str, date], Route] = {}
        self._default = next(
            (one for one in data.connections if one.settings.get("default_route")), None
        )

    def authenticate(self, sha256: str, now: datetime) -> Connection | None:
        """The connection whose valid token has this digest."""
        token = self._tokens.get(sha256)
        if token is None or not token.valid_at(now):
            return None
        return self.connections.get(token.connection_id)

    def connection_named(self, name: str) -> Connection | None:
        """The connection of this name."""
        return next((one for one in self.connections.values() if one.name == name), None)

    def organ_key(self, organ_id: OrganId) -> str:
        """The one key of an agency, whichever of its codes is given."""
        agency = self.directory.find(organ_id)
        return (agency.organ_id if agency else organ_id).key

    def key_of_text(self, text: str) -> str:
        """`organ_key` of a code as written; the text itself when it is no code."""
        organ_id = OrganId.parse(text)
        return text if isinstance(organ_id, MalformedOrganId) else self.organ_key(organ_id)

    def name_of(self, organ_key: str) -> str:
        """The agency's name in the directory, or the key."""
        organ_id = OrganId.parse(organ_key)
        agency = None if isinstance(organ_id, MalformedOrganId) else self.directory.find(organ_id)
        return agency.name if agency else organ_key

    def connection_of(self, organ_id: OrganId) -> tuple[Connection, str] | None:
        """The connection that serves this agency by longest match, and what matched.

        Where nothing matches it is the default route (`*`), if there is one.
        """
        match = self.directory.longest_match(organ_id, self._prefixes)
        if match:
            return match.value, str(match.prefix)
        return (self._default, "*") if self._default else None

    def owns(self, connection_id: str, text: str) -> bool:
        """Whether the agency of this code sends through this connection (rule ID-SENDER)."""
        organ_id = OrganId.parse(text)
        if isinstance(organ_id, MalformedOrganId):
            return False
        found = self.connection_of(organ_id)
        return found is not None and found[0].id == connection_id

    def agencies_of(self, connection_id: str) -> tuple[OrganId, ...]:
        """The codes that a connection was given."""
        connection = self.connections.get(connection_id)
        return connection.agencies if connection else ()

    def route(self, text: str, on: date) -> Route:
        """Where a package for the agency of this code goes on this day."""
        known = self._routes.get((text, on))
        if known is None:
            if len(self._routes) >= MOST_REMEMBERED:
                self._routes.clear()
            known = self._routes[text, on] = self._find(text, on)
        return known

    def _find(self, text: str, on: date) -> Route:
        organ_id = OrganId.parse(text)
        if isinstance(organ_id, MalformedOrganId):
            return Route(RouteKind.MALFORMED_CODE, text, organ_id.reason)
        resolution = self.directory.resolve(organ_id, on)
        if resolution.kind is ResolutionKind.UNKNOWN:
            return Route(RouteKind.UNKNOWN_AGENCY, organ_id.key, resolution.reason)
        if resolution.agency is None or not resolution.is_usable:
            return Route(RouteKind.NOT_ACTIVE, organ_id.key, resolution.reason)
        return self._connect(text, resolution.agency, resolution.reason)

    def _connect(self, text: str, agency: Agency, resolved: Sentence) -> Route:
        key = agency.organ_id.key
        found = self.connection_of(agency.organ_id)
        if found is None:
            return Route(
                RouteKind.NO_CONNECTION,
                key,
                Sentence(
                    vi=f"Cơ quan {agency.name} ({text}) chưa có kết nối nào với trục này.",
                    en=f"No connection of this gateway serves {agency.name} ({text}).",
                ),
                agency,
            )
        connection, prefix = found
        waits_vi = " Kết nối đang tạm dừng: văn bản chờ." if connection.waits else ""
        waits_en = f" It is {connection.status}: packages wait." if connection.waits else ""
        return Route(
            RouteKind.ROUTED,
            key,
            Sentence(
                vi=f"{resolved.vi} Gửi qua kết nối «{connection.name}», khớp mã {prefix}."
                f"{waits_vi}".strip(),
                en=f"{resolved.en} Goes to connection {connection.name!r}, matched by {prefix}."
                f"{waits_en}".strip(),
            ),
            agency,
            connection,
        )


def prefixes_taken(
    connections: Iterable[Connection], wanted: Iterable[OrganId]
) -> dict[OrganId, Connection]:
    """Those wanted codes that another connection has already."""
    owners = {code: connection for connection in connections for code in connection.agencies}
    return {code: owners[code] for code in wanted if code in owners}
