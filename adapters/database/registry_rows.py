"""Reading the registry: agencies, connections and tokens, all at one version."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import select

from adapters.database.executes import Executes
from adapters.database.rows import Row
from adapters.database.tables import (
    agencies,
    connection_agencies,
    connection_tokens,
    connections,
    registry,
)
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.route_table import Connection, ConnectionStatus, RegistryData, Token


async def registry_version(connection: Executes) -> int:
    """The version; 0 in a database where nothing was registered yet."""
    version = (await connection.execute(select(registry.c.version))).scalar_one_or_none()
    return int(version or 0)


async def load_registry(connection: Executes) -> RegistryData:
    """Everything, as of this transaction."""
    version = await registry_version(connection)
    agency_rows = (await connection.execute(select(agencies))).mappings().all()
    codes: dict[str, list[OrganId]] = defaultdict(list)
    for row in await connection.execute(
        select(connection_agencies).order_by(connection_agencies.c.organ_key)
    ):
        codes[row.connection_id].append(OrganId.of(row.organ_id))
    connection_rows = await connection.execute(select(connections).order_by(connections.c.name))
    token_rows = await connection.execute(select(connection_tokens))
    return RegistryData(
        version=version,
        agencies=tuple(agency_of(row) for row in agency_rows),
        connections=tuple(
            Connection(
                id=row.id,
                name=row.name,
                kind=row.kind,
                status=ConnectionStatus(row.status),
                agencies=tuple(codes[row.id]),
                created_at=row.created_at,
                settings=row.settings,
                status_since=row.status_since,
            )
            for row in connection_rows
        ),
        tokens=tuple(
            Token(row.id, row.connection_id, row.sha256, row.created_at, row.expires_at)
            for row in token_rows
        ),
    )


def agency_of(row: Row) -> Agency:
    """An agency from its row."""
    return Agency(
        organ_id=OrganId.of(row["organ_id"]),
        name=row["name"],
        aliases=tuple(OrganId.of(code) for code in row["aliases"]),
        valid_from=date.fromisoformat(row["valid_from"]) if row["valid_from"] else None,
        valid_until=date.fromisoformat(row["valid_until"]) if row["valid_until"] else None,
        successors=tuple(OrganId.of(code) for code in row["successors"]),
    )


def agency_row(agency: Agency) -> dict[str, Any]:
    """An agency as a row, without the time of the change."""
    return {
        "organ_key": agency.organ_id.key,
        "organ_id": agency.organ_id.text,
        "name": agency.name,
        "aliases": [code.text for code in agency.aliases],
        "valid_from": agency.valid_from.isoformat() if agency.valid_from else None,
        "valid_until": agency.valid_until.isoformat() if agency.valid_until else None,
        "successors": [code.text for code in agency.successors],
    }
