"""PostgreSQL behind `routing.ports.Database`, through asyncpg.

A caller that is cancelled does not cancel its transaction: a half-cancelled one may be handed back
to the pool still open (reliability 4, sqlalchemy#13381).
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.database.migrate import SchemaState, look, upgrade
from adapters.database.store import SqlDatabase, Work
from adapters.database.transaction import SqlTransaction

T = TypeVar("T")


class PostgresqlDatabase(SqlDatabase):
    """Every write is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # One snapshot for all statements, and the server refuses to change anything.
        self._reader = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._running: set[asyncio.Task[Any]] = set()

    async def _write(self, work: Work[T]) -> T:
        return await self._shielded(self._engine, work)

    async def _read(self, work: Work[T]) -> T:
        return await self._shielded(self._reader, work)

    async def _shielded(self, engine: AsyncEngine, work: Work[T]) -> T:
        task = asyncio.create_task(self._transaction(engine, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _transaction(self, engine: AsyncEngine, work: Work[T]) -> T:
        async with engine.begin() as connection:
            return await work(SqlTransaction(connection, self.fan_out))

    async def migrate(self) -> SchemaState:
        """See the base."""
        async with self._engine.begin() as connection:
            # A large table is changed for as long as it takes.
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            return await connection.run_sync(upgrade)

    async def schema_state(self) -> SchemaState:
        """See the base."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(look)

    async def ping(self) -> str:
        """See the base."""
        async with self._engine.connect() as connection:
            version = (await connection.exec_driver_sql("SHOW server_version")).scalar_one()
        return f"PostgreSQL {version}"

    async def close(self) -> None:
        """See the base."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.dispose()


def _looked_at(task: asyncio.Task[Any]) -> None:
    """A caller that has gone was answered already; asyncio need not complain of the outcome."""
    if not task.cancelled():
        task.exception()
