"""Making connections and tokens: what `lienthong connections` and `lienthong demo` do."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.database import CodesTaken, NameTaken
from gateway import clock
from gateway.cli.session import Session
from identifiers.agency import Agency
from identifiers.organ_id import MalformedOrganId, OrganId
from routing.route_table import Connection, ConnectionStatus, RouteTable, Token

#: Kinds of connections that exist.
KINDS = ("pull",)
#: Bytes of chance in a token (256 bits).
TOKEN_BYTES = 32
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection that was added. The token is known here and nowhere else."""

    connection: Connection
    token: str
    #: Agencies that were not in the directory before.
    added: tuple[Agency, ...]


@dataclass(frozen=True, slots=True)
class NotAdded:
    """Why a connection cannot be added; one sentence."""

    reason: str


def tidy_name(text: str) -> str | None:
    """A connection's name as it is stored; None when it is none."""
    name = unicodedata.normalize("NFC", text).strip()
    return name if 0 < len(name) <= MAX_NAME and name.isprintable() else None


def new_token(connection_id: str, now: datetime) -> tuple[str, Token]:
    """A secret and what is stored of it."""
    secret = f"lt_{secrets.token_urlsafe(TOKEN_BYTES)}"
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, Token(clock.new_id(), connection_id, digest, now)


async def add_connection(
    session: Session,
    name: str,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    kind: str = "pull",
    operator: str,
) -> NewConnection | NotAdded:
    """Add a connection for the agencies of these codes; `names` serve those not yet known."""
    agencies = _agencies(codes)
    if isinstance(agencies, NotAdded):
        return agencies
    clash = _clash(session.routes, agencies)
    if clash is not None:
        return clash
    now = clock.now()
    connection = Connection(
        clock.new_id(), name, kind, ConnectionStatus.ACTIVE, agencies, created_at=now
    )
    secret, token = new_token(connection.id, now)
    directory = session.routes.directory
    added = tuple(
        Agency(code, names.get(code.key) or code.text)
        for code in agencies
        if directory.find(code) is None
    )
    answer = await session.registry.add_connection(
        connection, token, added, actor=f"operator:{operator}", now=now
    )
    if isinstance(answer, NameTaken):
        return NotAdded(f"There is a connection {name!r} already.")
    if isinstance(answer, CodesTaken):
        return _taken({code.text: other for code, other in answer.owners.items()})
    return NewConnection(connection, secret, added)


def _agencies(codes: Sequence[str]) -> tuple[OrganId, ...] | NotAdded:
    agencies: dict[OrganId, None] = {}
    for text in codes:
        organ_id = OrganId.parse(text)
        if isinstance(organ_id, MalformedOrganId):
            return NotAdded(f"{organ_id.found} is no agency code. {organ_id.reason.en}")
        agencies[organ_id] = None
    return tuple(agencies)


def _clash(routes: RouteTable, agencies: tuple[OrganId, ...]) -> NotAdded | None:
    """Codes that nobody, or somebody else under another code, may be given."""
    taken = {}
    for code in agencies:
        if routes.directory.find(code) is None and routes.directory.claimants(code):
            several = ", ".join(str(one.organ_id) for one in routes.directory.claimants(code))
            return NotAdded(
                f"Several agencies claim the code {code}: {several}. Settle that first."
            )
        for other in routes.connections.values():
            # One agency under two codes: two connections could send in its name.
            if any(routes.directory.same(code, theirs) for theirs in other.agencies):
                taken[code.text] = other
    return _taken(taken) if taken else None


def _taken(owners: Mapping[str, Connection]) -> NotAdded:
    which = ", ".join(f"{code} by {owner.name!r}" for code, owner in owners.items())
    return NotAdded(f"Served already: {which}. An agency has one connection.")
