"""Secrets of connections (shared keys, passwords), sealed; and leases for work that one does.

A sealed secret is text that only the gateway's key opens (`adapters.vault`); this store never sees
the open one. Several may be valid at once, so that they overlap while rotated (lessons 14).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, or_, select, update

from adapters.database.partner_tables import connection_secrets, leases
from adapters.database.registry_store import note_change
from adapters.database.store import SqlDatabase
from adapters.database.transaction import sql_of
from routing.ports import Transaction
from routing.route_table import Connection


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """One secret of a connection, as the database keeps it."""

    id: str
    connection_id: str
    #: What it is for: ``vxp``, ``axis``, ``webhook``, ``amqp`` …
    purpose: str
    sealed: str
    created_at: datetime
    expires_at: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Whether it still counts at `now`."""
        return self.expires_at is None or now < self.expires_at


class SecretStore:
    """Secrets in the database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def all(self) -> list[SealedSecret]:
        """Every secret, the newest first."""

        async def read(tx: Transaction) -> list[SealedSecret]:
            found = await sql_of(tx).execute(
                select(connection_secrets).order_by(
                    connection_secrets.c.created_at.desc(), connection_secrets.c.id.desc()
                )
            )
            return [SealedSecret(**row) for row in found.mappings()]

        return await self._database.read(read)

    async def put(
        self,
        secret: SealedSecret,
        connection: Connection,
        *,
        others_end: datetime | None,
        actor: str,
    ) -> None:
        """Add a secret; those of the same purpose end at `others_end`, unless they end earlier."""
        column = connection_secrets.c

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            if others_end is not None:
                await sql.execute(
                    update(connection_secrets)
                    .where(
                        column.connection_id == connection.id,
                        column.purpose == secret.purpose,
                        or_(column.expires_at.is_(None), column.expires_at > others_end),
                    )
                    .values(expires_at=others_end)
                )
            await sql.execute(
                insert(connection_secrets).values(
                    id=secret.id,
                    connection_id=secret.connection_id,
                    purpose=secret.purpose,
                    sealed=secret.sealed,
                    created_at=secret.created_at,
                    expires_at=secret.expires_at,
                )
            )
            await note_change(sql, "secret-added", connection, actor, secret.created_at)

        await self._database.write(write)


class LeaseStore:
    """Who does what only one process may do: poll an axis, watch a folder."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def hold(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take or renew the lease called `name`; False while somebody else has it."""

        async def write(tx: Transaction) -> bool:
            sql = sql_of(tx)
            row = (
                await sql.execute(select(leases).where(leases.c.name == name).with_for_update())
            ).one_or_none()
            if row is None:
                await sql.execute(insert(leases).values(name=name, owner=owner, until=until))
                return True
            if row.owner != owner and row.until > now:
                return False
            await sql.execute(
                update(leases).where(leases.c.name == name).values(owner=owner, until=until)
            )
            return True

        return await self._database.write(write)

    async def release(self, name: str, owner: str, now: datetime) -> None:
        """Give the lease back, if it is still ours."""

        async def write(tx: Transaction) -> None:
            await sql_of(tx).execute(
                update(leases)
                .where(leases.c.name == name, leases.c.owner == owner)
                .values(until=now)
            )

        await self._database.write(write)
