"""`routing.ports.Database`: running transactions so that what returned is kept.

Two implementations of one small base: `postgresql.py` gives every write a transaction of its own,
`sqlite.py` lets writes that wait together share one commit. Both try conflicts and lost connections
again for a while; the use cases are written for that.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from adapters.database.migrate import SchemaState
from adapters.database.statements import queue_figures
from adapters.database.transaction import AppendsEvents, sql_of
from routing.ports import DatabaseUnavailable, Transaction

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]

#: PostgreSQL's codes for "run it again": serialization, deadlock, lock not available, start-up …
_AGAIN = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03", "53300"}
#: Classes of codes, and SQLite's words, for "not now": no space, no memory, an I/O error …
_NOT_NOW = ("53", "58")
_NOT_NOW_SQLITE = (
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
)
#: Seconds for which a transaction is tried again before the caller hears "unavailable".
PATIENCE = 8.0
#: Seconds after which the caller hears "unavailable" although a transaction is still under way.
ANSWER_WITHIN = 10.0


def try_again(error: BaseException) -> bool:
    """Whether running the transaction again can help."""
    if isinstance(error, (OSError, PoolTimeout, asyncio.TimeoutError, IntegrityError)):
        # IntegrityError: somebody else inserted the same key first; the second run finds it.
        return True
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None) or ""
        busy = "database is locked" in str(error.orig)
        return error.connection_invalidated or code in _AGAIN or code.startswith("08") or busy
    return False


def is_outage(error: BaseException) -> bool:
    """Whether the database could not do its work, through no fault of the statement."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None) or ""
        full = any(words in str(error.orig) for words in _NOT_NOW_SQLITE)
        return full or code.startswith(_NOT_NOW) or (try_again(error) and not _broken_key(error))
    return try_again(error)


def _broken_key(error: BaseException) -> bool:
    """Seconds of the same broken constraint are a bug, not an outage."""
    return isinstance(error, IntegrityError)


class SqlDatabase(ABC):
    """What both databases share."""

    #: Makes callback messages of the events that are appended; None: nobody is called back.
    fan_out: AppendsEvents | None = None

    answer_within = ANSWER_WITHIN

    async def write(self, work: Work[T]) -> T:
        """See the port."""
        return await self._patiently(self._write, work)

    async def read(self, work: Work[T]) -> T:
        """See the port."""
        return await self._patiently(self._read, work)

    @abstractmethod
    async def _write(self, work: Work[T]) -> T:
        """One try at a durable transaction."""

    @abstractmethod
    async def _read(self, work: Work[T]) -> T:
        """One try at a consistent view."""

    @abstractmethod
    async def migrate(self) -> SchemaState:
        """Bring the schema up to date; what it was. Raises `DatabaseProblem` if it is newer."""

    @abstractmethod
    async def schema_state(self) -> SchemaState:
        """How the schema stands to this program's; changes nothing."""

    @abstractmethod
    async def ping(self) -> str:
        """The server's name and version; raises what the driver raises."""

    @abstractmethod
    async def close(self) -> None:
        """Let running transactions end and close all connections."""

    async def queue_figures(self) -> list[dict[str, Any]]:
        """For metrics: open deliveries per connection, lane and state, and the oldest."""

        async def work(tx: Transaction) -> list[dict[str, Any]]:
            result = await sql_of(tx).execute(queue_figures())
            return [dict(row) for row in result.mappings()]

        return await self.read(work)

    async def _patiently(self, once: Callable[[Work[T]], Awaitable[T]], work: Work[T]) -> T:
        """`once`, again after conflicts, for as long as a caller can be kept waiting."""
        try:
            async with asyncio.timeout(self.answer_within):
                return await self._again_and_again(once, work)
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable(self._told(error)) from error
            raise

    def _told(self, error: BaseException) -> str:
        """What went wrong, for logs: the driver's words without the statement."""
        if isinstance(error, DBAPIError):
            return str(error.orig)
        if isinstance(error, TimeoutError) and not str(error):
            return f"no answer within {self.answer_within:g} s"
        return str(error) or type(error).__name__

    async def _again_and_again(self, once: Callable[[Work[T]], Awaitable[T]], work: Work[T]) -> T:
        try:
            return await once(work)
        except Exception as first:
            if not try_again(first):
                raise
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(try_again),
            wait=wait_random_exponential(multiplier=0.02, max=1.0),
            stop=stop_after_delay(PATIENCE),
            reraise=True,
        ):
            with attempt:
                return await once(work)
        raise AssertionError("tenacity ended without an answer")
