"""Making connections, tokens and secrets: what `lienthong connections` and `lienthong demo` do."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_origin

from pydantic import ValidationError

from adapters.database import CodesTaken, NameTaken, SecretStore
from adapters.vault import Vault
from gateway import clock
from gateway.cli.session import Session
from gateway.kinds import KINDS, Kind
from gateway.kinds.base import Unprovided
from gateway.partner_secrets import sealed_secret
from gateway.settings import Settings
from identifiers.agency import Agency
from identifiers.organ_id import MalformedOrganId, OrganId
from routing.route_table import Connection, ConnectionStatus, RouteTable, Token

#: Bytes of chance in a token (256 bits).
TOKEN_BYTES = 32
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection that was added. Token and secret are known here and nowhere else."""

    connection: Connection
    #: Empty where the kind has none.
    token: str
    #: Agencies that were not in the directory before.
    added: tuple[Agency, ...]
    #: What is shared with the partner and was made here; empty where it is not.
    secret: str = ""
    #: What was prepared outside: queues, folders.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAdded:
    """Why a connection cannot be added or changed; one sentence."""

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


def checked_options(kind: Kind, given: Mapping[str, str]) -> dict[str, Any] | NotAdded:
    """Options as they are stored, from words of the command line; lists are split at commas."""
    fields = kind.options.model_fields
    words: dict[str, Any] = dict(given)
    for key, value in given.items():
        if key in fields and get_origin(fields[key].annotation) is tuple:
            words[key] = [part.strip() for part in value.split(",") if part.strip()]
    try:
        model = kind.options.model_validate(words)
    except ValidationError as error:
        return NotAdded("\n".join(_explained(item, kind) for item in error.errors()))
    # What routing itself looks at is written out, whatever the kind's default is.
    flags = {name: True for name in ("gateway", "default_route") if getattr(model, name)}
    return {**model.model_dump(mode="json", exclude_unset=True), **flags}


def _explained(item: Any, kind: Kind) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = ", ".join(sorted(kind.options.model_fields))
        return f"{key}: there is no such option of kind {kind.name}; known are: {known}"
    if item["type"] == "missing":
        return f"{key}: kind {kind.name} needs this option: -o {key}=…"
    return f"{key}: {item['msg']}; found {item.get('input')!r}"


async def add_connection(
    session: Session,
    name: str,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    kind: str = "pull",
    options: Mapping[str, str] | None = None,
    secret: str = "",
    operator: str,
) -> NewConnection | NotAdded:
    """Add a connection for the agencies of these codes; `names` serve those not yet known.

    `secret` is the partner's, where its kind has one that the partner gives or may keep.
    """
    the_kind = KINDS[kind]
    settings = checked_options(the_kind, options or {})
    agencies = _agencies(codes)
    for fault in (settings, agencies, _wrong_secret(the_kind, secret)):
        if isinstance(fault, NotAdded):
            return fault
    if isinstance(settings, NotAdded) or isinstance(agencies, NotAdded):
        raise AssertionError("looked at above")
    now = clock.now()
    connection = Connection(
        clock.new_id(), name, kind, ConnectionStatus.ACTIVE, agencies, now, settings
    )
    clash = _clash(session.routes, connection)
    if clash is not None:
        return clash
    made = the_kind.secret is not None and not the_kind.secret.given and not secret
    if the_kind.secret is not None and made:
        secret = the_kind.secret.make()
    notes = await provide(session.settings, connection, secret)
    if isinstance(notes, NotAdded):
        return notes
    added = await _record(session, connection, names, secret, tuple(notes), f"operator:{operator}")
    # What the partner gave is known there already, and shown to nobody.
    return added if made or isinstance(added, NotAdded) else replace(added, secret="")


def changed_options(
    session: Session, connection: Connection, given: Mapping[str, str], unset: Sequence[str]
) -> Connection | NotAdded:
    """The connection with other options, checked as a whole."""
    kind = KINDS[connection.kind]
    unknown = sorted(set(unset) - set(kind.options.model_fields))
    if unknown:
        return NotAdded(f"{unknown[0]}: there is no such option of kind {kind.name}.")
    kept = {
        key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in connection.settings.items()
        if key not in unset
    }
    settings = checked_options(kind, {**kept, **given})
    if isinstance(settings, NotAdded):
        return settings
    changed = replace(connection, settings=settings)
    others = [one for one in session.routes.connections.values() if one.id != connection.id]
    return _like_another(others, changed) or changed


async def provide(settings: Settings, connection: Connection, secret: str) -> list[str] | NotAdded:
    """Prepare the outside world for a connection; `secret` is empty when it stays as it is."""
    prepare = KINDS[connection.kind].provide
    try:
        return await prepare(settings, connection, secret) if prepare else []
    except Unprovided as error:
        return NotAdded(str(error))


def _wrong_secret(kind: Kind, secret: str) -> NotAdded | None:
    wants = kind.secret is not None and kind.secret.given
    if wants and not secret:
        return NotAdded(f"Kind {kind.name} needs the partner's secret: --secret-file FILE (or -).")
    may = kind.secret is not None and kind.secret.may_be_given
    if secret and not wants and not may:
        return NotAdded(f"Kind {kind.name} takes no secret from the partner.")
    return None


async def _record(
    session: Session,
    connection: Connection,
    names: Mapping[str, str],
    secret: str,
    notes: tuple[str, ...],
    actor: str,
) -> NewConnection | NotAdded:
    """Everything into the database; the secret sealed."""
    kind = KINDS[connection.kind]
    now = connection.created_at
    token_text, token = new_token(connection.id, now) if kind.has_token else ("", None)
    added = tuple(
        Agency(code, names.get(code.key) or code.text)
        for code in connection.agencies
        if session.routes.directory.find(code) is None
    )
    answer = await session.registry.add_connection(connection, token, added, actor=actor, now=now)
    if isinstance(answer, NameTaken):
        return NotAdded(f"There is a connection {connection.name!r} already.")
    if isinstance(answer, CodesTaken):
        return _taken({code.text: other for code, other in answer.owners.items()})
    if kind.secret is not None:
        await keep_secret(session, connection, secret, None, actor, now)
    return NewConnection(connection, token_text, added, secret, notes)


async def keep_secret(
    session: Session,
    connection: Connection,
    secret: str,
    others_end: datetime | None,
    actor: str,
    now: datetime,
) -> None:
    """Seal and store a secret; the present ones end at `others_end`. Raises `VaultProblem`."""
    kind = KINDS[connection.kind]
    if kind.secret is None:
        raise AssertionError(f"kind {kind.name} has no secret")
    vault = Vault.from_file(session.settings.effective_key_file)
    sealed = sealed_secret(vault, connection.id, kind.secret.purpose, secret, now)
    store = SecretStore(session.database)
    await store.put(sealed, connection, others_end=others_end, actor=actor)


def _agencies(codes: Sequence[str]) -> tuple[OrganId, ...] | NotAdded:
    agencies: dict[OrganId, None] = {}
    for text in codes:
        organ_id = OrganId.parse(text)
        if isinstance(organ_id, MalformedOrganId):
            return NotAdded(f"{organ_id.found} is no agency code. {organ_id.reason.en}")
        agencies[organ_id] = None
    return tuple(agencies)


def _clash(routes: RouteTable, connection: Connection) -> NotAdded | None:
    """What nobody, or somebody else, has already: a name, codes, the default route."""
    alike = _like_another(list(routes.connections.values()), connection)
    if alike is not None:
        return alike
    taken = {}
    for code in connection.agencies:
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


def _like_another(others: Sequence[Connection], connection: Connection) -> NotAdded | None:
    """A name, the default route, or an option that only one may have."""
    for other in others:
        if other.name == connection.name:
            return NotAdded(f"There is a connection {connection.name!r} already.")
        if connection.settings.get("default_route") and other.settings.get("default_route"):
            return NotAdded(f"The default route goes through {other.name!r} already.")
        for key in KINDS[connection.kind].unique if other.kind == connection.kind else ():
            value = connection.settings.get(key)
            if other.settings.get(key) == value:
                return NotAdded(f"Connection {other.name!r} has {key} {value!r} already.")
    return None


def _taken(owners: Mapping[str, Connection]) -> NotAdded:
    which = ", ".join(f"{code} by {owner.name!r}" for code, owner in owners.items())
    return NotAdded(f"Served already: {which}. An agency has one connection.")
