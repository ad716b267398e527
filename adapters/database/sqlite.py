"""SQLite behind `routing.ports.Database`: one connection, one thread, shared commits.

SQLite has one writer, so writes that wait together are run one after another in ONE transaction and
share its commit (group commit). When one of them raises, all are rolled back and each runs again
alone, so that nobody's failure touches another.

The use cases are coroutines; on SQLite they never have to wait for anything, so each is driven to
its end inside the thread with a single hop there and back. An asynchronous driver hops four times
per statement: measured here, that made a small write three times as slow (README "Decisions").

Transactions are begun and ended here, on the driver's connection: asking Core for each cost more
than an empty one does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import CursorResult, Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError

from adapters.database.engine import BEGIN, BEGIN_READING, only
from adapters.database.migrate import SchemaState, look, upgrade
from adapters.database.prepared import Prepared
from adapters.database.store import SqlDatabase, Work
from adapters.database.transaction import SqlTransaction
from routing.ports import DatabaseUnavailable

T = TypeVar("T")

#: Pieces of work that share one commit at the most.
GROUP = 64


class InThread:
    """A connection whose methods are awaited but never wait. It lasts for many transactions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.driver: sqlite3.Connection = cast(Any, connection.connection.driver_connection)

    @contextmanager
    def transaction(self, *, reads: bool) -> Iterator[None]:
        """Commit what is done inside, or roll it back; raises what the driver raises."""
        only(self._connection, reads=reads)
        self.driver.execute(BEGIN_READING if reads else BEGIN)
        try:
            yield
            self.driver.commit()
        finally:
            # What was not committed, whatever prevented it.
            if self.driver.in_transaction:
                self.driver.rollback()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return self._connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement at once."""
        return self._connection.execute(statement, parameters)

    async def run(self, prepared: Prepared, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Runs`."""
        compiled = prepared.on(self.dialect)
        found = self.driver.execute(compiled.sql, compiled.bind(parameters)).fetchall()
        return [compiled.row(row) for row in found]

    async def run_many(self, prepared: Prepared, sets: Sequence[Mapping[str, Any]]) -> None:
        """See `Runs`."""
        compiled = prepared.on(self.dialect)
        self.driver.executemany(compiled.sql, [compiled.bind(one) for one in sets])


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    reads: bool
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class SqliteDatabase(SqlDatabase):
    """One thread owns the database file's connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(lienthong_read=True)
        self._lasting: InThread | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._waiting: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None

    async def _write(self, work: Work[T]) -> T:
        return await self._enqueue(work, reads=False)

    async def _read(self, work: Work[T]) -> T:
        return await self._enqueue(work, reads=True)

    async def _enqueue(self, work: Work[T], *, reads: bool) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(work, reads, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await asyncio.shield(future)

    async def _drain(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), GROUP)
            jobs = [self._waiting.popleft() for _ in range(count)]
            # Those who only read need not wait for the commit of those who write.
            await self._run([job for job in jobs if job.reads])
            await self._run([job for job in jobs if not job.reads])

    async def _run(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            outcomes = await self._in_thread(partial(self._run_group, jobs))
        except BaseException as error:
            # Nobody may wait for ever, whatever became of the thread.
            lost = DatabaseUnavailable(f"the database thread is gone: {error!r}")
            outcomes = [_Failed(lost)] * len(jobs)
            if not isinstance(error, Exception):
                self._answer(jobs, outcomes)
                raise
        self._answer(jobs, outcomes)

    def _answer(self, jobs: list[_Job], outcomes: list[Any]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, _Failed):
                job.future.set_exception(outcome.error)
                # Its caller may have gone, answered already: asyncio need not complain.
                job.future.exception()
            else:
                job.future.set_result(outcome)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _connection(self) -> InThread:
        if self._lasting is None:
            # Core's statements run in the transactions that are begun here.
            self._lasting = InThread(self._engine.connect().execution_options(lienthong_begun=True))
        return self._lasting

    def _run_group(self, group: list[_Job]) -> list[Any]:
        try:
            connection = self._connection()
            with connection.transaction(reads=group[0].reads):
                transaction = SqlTransaction(connection, self.fan_out)
                outcomes = [_finish(job.work(transaction)) for job in group]
                _finish(transaction.flush())
                return outcomes
        except (Exception, asyncio.CancelledError) as error:
            # Whatever it was, it belongs to its caller.
            if len(group) == 1:
                return [_Failed(_as_sqlalchemy(error))]
        return [self._run_group([job])[0] for job in group]

    def _give_back(self) -> None:
        if self._lasting is not None:
            self._lasting.close()
        self._engine.dispose()

    async def migrate(self) -> SchemaState:
        """See the base."""

        def run() -> SchemaState:
            with self._engine.begin() as connection:
                return upgrade(connection)

        return await self._in_thread(run)

    async def schema_state(self) -> SchemaState:
        """See the base."""

        def run() -> SchemaState:
            with self._reader.connect() as connection:
                return look(connection)

        return await self._in_thread(run)

    async def ping(self) -> str:
        """See the base."""

        def run() -> str:
            with self._reader.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            return f"SQLite {sqlite3.sqlite_version}"

        return await self._in_thread(run)

    async def close(self) -> None:
        """See the base."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._in_thread(self._give_back)
        self._thread.shutdown()


def _as_sqlalchemy(error: BaseException) -> BaseException:
    """The driver's own errors as they come out of Core, which is how `store` knows them."""
    if not isinstance(error, sqlite3.Error):
        return error
    kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DBAPIError
    return kind(None, None, error)


def _finish(work: Awaitable[T]) -> T:
    """Run a use case's coroutine to its end; it may wait for nothing but its transaction."""
    coroutine = cast(Coroutine[Any, Any, T], work)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    coroutine.close()
    raise AssertionError("a transaction waited for something other than the database")
