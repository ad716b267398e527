"""PostgreSQL behind `routing.ports.Database`, through asyncpg.

A caller that is cancelled does not cancel its transaction: a half-cancelled one may be handed back
to the pool still open (reliability 4, sqlalchemy#13381).

Transactions are begun and ended here, on asyncpg's connections, which stay checked out of
SQLAlchemy's pool in autocommit mode; so statements of Core run in the same transaction, and `run`
talks to the driver directly (`adapters.database.prepared`). Checking a connection out for each
transaction cost as much as the transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy.engine import CursorResult, Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.database.engine import CONNECTIONS, migration_engine
from adapters.database.migrate import SchemaState, look, upgrade
from adapters.database.prepared import Prepared
from adapters.database.store import SqlDatabase, Work
from adapters.database.transaction import SqlTransaction

T = TypeVar("T")

#: Seconds that a transaction waits for a connection.
WAIT = 10.0

_BEGIN = "BEGIN"
#: One snapshot for all statements, and the server refuses to change anything.
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

#: After these nothing is sure about the connection. The last is what asyncpg says when the server's
#: last words came while the connection lay in the pool.
_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_OF_THE_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class _Direct:
    """A connection of ours, for statements of Core and prepared ones."""

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        self.connection = connection
        self.driver = driver

    @property
    def lost(self) -> bool:
        """Whether nothing can be done on it any more."""
        return bool(self.driver.is_closed()) or self.connection.invalidated

    async def rolled_back(self) -> bool:
        """End what was begun; whether that is sure."""
        with suppress(Exception):  # the caller hears of what went wrong before
            if self.driver.is_in_transaction():
                await self.driver.execute("ROLLBACK")
            return not self.driver.is_in_transaction()
        return False

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return self.connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement of Core."""
        result: CursorResult[Any] = await self.connection.execute(statement, parameters)
        return result

    async def run(self, prepared: Prepared, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Runs`."""
        compiled = prepared.on(self.dialect)
        found = await self.driver.fetch(compiled.sql, *compiled.bind(parameters))
        return [compiled.row(row) for row in found]

    async def run_many(self, prepared: Prepared, sets: Sequence[Mapping[str, Any]]) -> None:
        """See `Runs`. All sets travel together."""
        compiled = prepared.on(self.dialect)
        if len(sets) == 1:
            await self.driver.fetch(compiled.sql, *compiled.bind(sets[0]))
        else:
            await self.driver.executemany(compiled.sql, [compiled.bind(one) for one in sets])


class _Lender:
    """Open connections, the last one used first; waits when `CONNECTIONS` are lent."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[_Direct] = []

    async def take(self) -> _Direct:
        """A connection that is open as far as is known. Raises what the driver raises."""
        async with asyncio.timeout(WAIT):
            await self._places.acquire()
        try:
            while self._idle:
                known = self._idle.pop()
                if not known.lost:
                    return known
                await _throw_away(known)
            connection = await self._engine.connect()
            raw = await connection.get_raw_connection()
            return _Direct(connection, cast("asyncpg.Connection", raw.driver_connection))
        except BaseException:
            self._places.release()
            raise

    async def give_back(self, lent: _Direct, *, keep: bool = True) -> None:
        """Take it back; without `keep` nobody gets it again."""
        try:
            if keep:
                self._idle.append(lent)
            else:
                await _throw_away(lent)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().connection.close()


async def _throw_away(lent: _Direct) -> None:
    if not lent.connection.invalidated:
        await lent.connection.invalidate()
    await lent.connection.close()


class PostgresqlDatabase(SqlDatabase):
    """Every write is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lender = _Lender(engine)
        self._running: set[asyncio.Task[Any]] = set()

    async def _write(self, work: Work[T]) -> T:
        return await self._shielded(_BEGIN, work)

    async def _read(self, work: Work[T]) -> T:
        return await self._shielded(_BEGIN_READING, work)

    async def _shielded(self, begin: str, work: Work[T]) -> T:
        task = asyncio.create_task(self._transaction(begin, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _transaction(self, begin: str, work: Work[T]) -> T:
        lent = await self._lender.take()
        try:
            await lent.driver.execute(begin)
            transaction = SqlTransaction(lent, self.fan_out)
            result = await work(transaction)
            await transaction.flush()
            ended = await lent.driver.execute("COMMIT")
            if ended != "COMMIT":
                # What a transaction gets that went on after one of its statements failed.
                raise AssertionError(f"the transaction ended with {ended}")
        except BaseException as error:
            lost = lent.lost or isinstance(error, _LOST)
            clean = not lost and await lent.rolled_back()
            await self._lender.give_back(lent, keep=clean)
            if isinstance(error, _OF_THE_DRIVER):
                raise _as_sqlalchemy(error, lost) from error
            raise
        await self._lender.give_back(lent)
        return result

    async def migrate(self) -> SchemaState:
        """See the base."""
        engine = migration_engine(self._engine.url)
        try:
            async with engine.begin() as connection:
                # A large table is changed for as long as it takes, and who comes second waits.
                await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                await connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                return await connection.run_sync(upgrade)
        finally:
            await engine.dispose()

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
        await self._lender.close()
        await self._engine.dispose()


def _looked_at(task: asyncio.Task[Any]) -> None:
    """A caller that has gone was answered already; asyncio need not complain of the outcome."""
    if not task.cancelled():
        task.exception()


def _as_sqlalchemy(error: Exception, connection_lost: bool) -> DBAPIError:
    """The driver's own errors as they come out of Core, which is how `store` knows them."""
    broken_key = isinstance(error, asyncpg.IntegrityConstraintViolationError)
    kind = IntegrityError if broken_key else DBAPIError
    return kind(None, None, error, connection_invalidated=connection_lost)
