"""The route table and tokens in memory, kept in step with the database.

Other processes (the CLI, other gateways) change agencies, connections and tokens in the database;
each change counts the registry's version up. The version is asked for at most every quarter of a
second, so a suspended connection stops within that time; what is *not* found (a token, an agency)
is looked for in the newest version before anybody is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import time

import structlog

from gateway import clock
from routing.ports import Database, Transaction
from routing.route_table import Connection, RegistryData, RouteTable

log = structlog.get_logger(__name__)

#: Seconds for which the version is believed.
FRESH = 0.25


class Registry:
    """Always the newest route table, cheaply."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table: RouteTable | None = None
        self._checked = float("-inf")
        self._lock = asyncio.Lock()

    async def routes(self, *, newest: bool = False) -> RouteTable:
        """The route table, at most `FRESH` seconds behind; `newest` asks the database now.

        Raises `DatabaseUnavailable`.
        """
        if self._table is not None and not newest and time.monotonic() - self._checked < FRESH:
            return self._table
        async with self._lock:
            asked = time.monotonic()
            if self._table is not None and not newest and asked - self._checked < FRESH:
                return self._table
            version = await self._database.read(_version)
            if self._table is None or version != self._table.version:
                self._table = RouteTable(await self._database.read(_load))
                log.info(
                    "registry.loaded",
                    version=self._table.version,
                    agencies=len(self._table.directory),
                    connections=len(self._table.connections),
                )
            self._checked = asked
            return self._table

    def known(self, connection_id: str | None) -> Connection | None:
        """A connection as this process knows it now; asks nobody."""
        if self._table is None or connection_id is None:
            return None
        return self._table.connections.get(connection_id)

    async def authenticate(self, token: str, *, newest: bool = True) -> Connection | None:
        """The connection that this bearer token belongs to, suspended ones included.

        Without `newest` a token that this process does not know yet is not looked for.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        connection = (await self.routes()).authenticate(digest, clock.now())
        if connection is None and newest:
            connection = (await self.routes(newest=True)).authenticate(digest, clock.now())
        return connection


async def _version(tx: Transaction) -> int:
    return await tx.registry_version()


async def _load(tx: Transaction) -> RegistryData:
    return await tx.load_registry()
