"""Secrets of connections in memory, opened, at the version of the registry.

Kinds of partners ask here for what they share with the partner: the newest valid one signs, all
valid ones are accepted, so that secrets overlap while they are rotated (lessons 14).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime

from adapters.database import SealedSecret, SecretStore, SqlDatabase
from adapters.vault import Vault
from gateway import clock
from gateway.registry import Registry
from routing.route_table import Connection


class PartnerSecrets:
    """What is shared with partners, cheaply and at most as old as the route table."""

    def __init__(self, database: SqlDatabase, vault: Vault, registry: Registry) -> None:
        self._store = SecretStore(database)
        self._vault = vault
        self._registry = registry
        self._known: dict[tuple[str, str], list[tuple[SealedSecret, str]]] = {}
        self._version: int | None = None
        self._lock = asyncio.Lock()

    async def valid(self, connection: Connection, purpose: str) -> list[str]:
        """The valid secrets of a connection for a purpose, the newest first; empty for none.

        Raises `VaultProblem` when the key file is not the one that sealed them.
        """
        version = (await self._registry.routes()).version
        if version != self._version:
            async with self._lock:
                if version != self._version:
                    await self._load()
                    self._version = version
        now = clock.now()
        mine = self._known.get((connection.id, purpose), [])
        return [text for sealed, text in mine if sealed.valid_at(now)]

    async def _load(self) -> None:
        known: dict[tuple[str, str], list[tuple[SealedSecret, str]]] = defaultdict(list)
        for sealed in await self._store.all():
            pair = (sealed, self._vault.open(sealed.sealed))
            known[sealed.connection_id, sealed.purpose].append(pair)
        self._known = known


def sealed_secret(
    vault: Vault, connection_id: str, purpose: str, text: str, now: datetime
) -> SealedSecret:
    """A secret as the database keeps it."""
    return SealedSecret(clock.new_id(), connection_id, purpose, vault.seal(text), now)
