"""Changing the registry: agencies, connections, tokens. What operators do through the CLI.

Every change counts the registry's version up in the same transaction, which is how running gateway
processes notice, and is written to the event log with the operator's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from adapters.database import rows
from adapters.database.executes import Executes
from adapters.database.registry_rows import agency_row, load_registry
from adapters.database.store import SqlDatabase
from adapters.database.tables import (
    agencies,
    connection_agencies,
    connection_tokens,
    connections,
    events,
    registry,
)
from adapters.database.transaction import sql_of
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.ports import Transaction
from routing.records import Event
from routing.route_table import Connection, ConnectionStatus, RegistryData, Token, prefixes_taken


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another connection has this name."""

    name: str


@dataclass(frozen=True, slots=True)
class CodesTaken:
    """Other connections serve these agency codes already."""

    owners: dict[OrganId, Connection]


class RegistryStore:
    """Agencies, connections and tokens in the database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def load(self) -> RegistryData:
        """Everything at its newest version."""

        async def read(tx: Transaction) -> RegistryData:
            return await tx.load_registry()

        return await self._database.read(read)

    async def put_agencies(
        self, changed: Sequence[Agency], *, actor: str, source: str, now: datetime
    ) -> None:
        """Insert or overwrite agencies; in one transaction, so a broken import changes nothing."""

        async def write(tx: Transaction) -> None:
            connection = sql_of(tx)
            await _replace_agencies(connection, changed, now)
            event = Event(
                type="registry.agencies",
                at=now,
                actor=actor,
                data={"count": len(changed), "source": source},
            )
            await _changed(connection, event)

        if changed:
            await self._database.write(write)

    async def add_connection(
        self,
        connection: Connection,
        token: Token | None,
        new_agencies: Sequence[Agency],
        *,
        actor: str,
        now: datetime,
    ) -> NameTaken | CodesTaken | None:
        """Add a connection with its codes and first token, if it has one; None when done."""

        async def write(tx: Transaction) -> NameTaken | CodesTaken | None:
            sql = sql_of(tx)
            known = (await load_registry(sql)).connections
            if any(other.id == connection.id for other in known):
                # This very transaction was committed before, and its answer was lost.
                return None
            if any(other.name == connection.name for other in known):
                return NameTaken(connection.name)
            taken = prefixes_taken(known, connection.agencies)
            if taken:
                return CodesTaken(taken)
            await _replace_agencies(sql, new_agencies, now)
            await sql.execute(
                insert(connections).values(
                    id=connection.id,
                    name=connection.name,
                    kind=connection.kind,
                    status=connection.status.value,
                    settings=connection.settings,
                    created_at=now,
                )
            )
            codes = [_code_row(connection.id, code) for code in dict.fromkeys(connection.agencies)]
            if codes:
                await sql.execute(insert(connection_agencies), codes)
            if token is not None:
                await _insert_token(sql, token)
            await _changed(sql, _event("added", connection, actor, now))
            return None

        return await self._database.write(write)

    async def set_status(
        self, connection: Connection, status: ConnectionStatus, *, actor: str, now: datetime
    ) -> None:
        """Suspend or resume a connection."""

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            await sql.execute(
                update(connections)
                .where(connections.c.id == connection.id)
                .values(status=status.value, status_since=now)
            )
            await _changed(sql, _event(status.value, connection, actor, now))

        await self._database.write(write)

    async def set_options(
        self, connection: Connection, options: dict[str, Any], *, actor: str, now: datetime
    ) -> None:
        """Replace a connection's options, checked by the caller."""

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            await sql.execute(
                update(connections)
                .where(connections.c.id == connection.id)
                .values(settings=options)
            )
            await note_change(sql, "options", connection, actor, now)

        await self._database.write(write)

    async def set_codes(
        self, connection: Connection, codes: Sequence[OrganId], *, actor: str, now: datetime
    ) -> CodesTaken | None:
        """Replace the agency codes that a connection serves; None when done."""

        async def write(tx: Transaction) -> CodesTaken | None:
            sql = sql_of(tx)
            known = (await load_registry(sql)).connections
            others = [other for other in known if other.id != connection.id]
            taken = prefixes_taken(others, codes)
            if taken:
                return CodesTaken(taken)
            mine = connection_agencies.c.connection_id == connection.id
            await sql.execute(delete(connection_agencies).where(mine))
            new = [_code_row(connection.id, code) for code in dict.fromkeys(codes)]
            if new:
                await sql.execute(insert(connection_agencies), new)
            await note_change(sql, "agencies", connection, actor, now)
            return None

        return await self._database.write(write)

    async def rotate_token(
        self,
        connection: Connection,
        token: Token,
        old_expire_at: datetime,
        *,
        actor: str,
        now: datetime,
    ) -> None:
        """Add a token; the present ones end at `old_expire_at` unless they end earlier."""

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            column = connection_tokens.c
            await sql.execute(
                update(connection_tokens)
                .where(
                    column.connection_id == connection.id,
                    (column.expires_at.is_(None)) | (column.expires_at > old_expire_at),
                )
                .values(expires_at=old_expire_at)
            )
            await _insert_token(sql, token)
            await _changed(sql, _event("token-rotated", connection, actor, now))

        await self._database.write(write)


def _code_row(connection_id: str, code: OrganId) -> dict[str, Any]:
    return {"organ_key": code.key, "organ_id": code.text, "connection_id": connection_id}


async def _replace_agencies(sql: Executes, changed: Iterable[Agency], now: datetime) -> None:
    new = [{**agency_row(agency), "updated_at": now} for agency in changed]
    if not new:
        return
    keys = [row["organ_key"] for row in new]
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        await sql.execute(delete(agencies).where(agencies.c.organ_key.in_(part)))
    await sql.execute(insert(agencies), new)


async def _insert_token(sql: Executes, token: Token) -> None:
    await sql.execute(
        insert(connection_tokens).values(
            id=token.id,
            connection_id=token.connection_id,
            sha256=token.sha256,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


async def replace_agencies(sql: Executes, changed: Sequence[Agency], event: Event) -> None:
    """Insert or overwrite agencies in a transaction under way, and log it as `event`."""
    await _replace_agencies(sql, changed, event.at)
    await _changed(sql, event)


async def note_change(
    sql: Executes, what: str, connection: Connection, actor: str, now: datetime
) -> None:
    """Count the registry's version up and log what happened to a connection."""
    await _changed(sql, _event(what, connection, actor, now))


def _event(what: str, connection: Connection, actor: str, now: datetime) -> Event:
    return Event(
        type=f"connection.{what}",
        at=now,
        actor=actor,
        data={
            "connection": connection.name,
            "kind": connection.kind,
            "agencies": [code.text for code in connection.agencies],
        },
    )


async def _changed(sql: Executes, event: Event) -> None:
    """Count the version up and log the change."""
    version = (await sql.execute(select(registry.c.version).with_for_update())).scalar_one_or_none()
    if version is None:
        await sql.execute(insert(registry).values(id=1, version=1))
    else:
        await sql.execute(update(registry).values(version=version + 1))
    await sql.execute(insert(events), [rows.event_row(event)])
