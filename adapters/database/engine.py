"""Engines with the settings that keep what was committed (reliability 2.9).

SQLite: every transaction that may write begins with BEGIN IMMEDIATE (a deferred BEGIN loses its
busy timeout when it turns into a writer), `synchronous=FULL` survives a power cut, and WAL is used
only where the linked SQLite has the fix for the WAL-reset corruption (3.51.3); older ones use a
rollback journal. PostgreSQL: durability must be on, and is asked for at the first connection.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

#: The first SQLite in which two writers cannot corrupt a WAL database by resetting the log.
WAL_SAFE = (3, 51, 3)
BUSY_TIMEOUT_MS = 30_000
#: How transactions of SQLite begin: writers queue at the start, not in the middle.
BEGIN = "BEGIN IMMEDIATE"
BEGIN_READING = "BEGIN"
#: Connections of one process to PostgreSQL. They are kept: opening one costs more than a document.
CONNECTIONS = 20
#: Seconds that the driver waits for a statement, and milliseconds that the server does for a lock.
COMMAND_TIMEOUT = 60.0
LOCK_TIMEOUT_MS = 20_000


class DatabaseProblem(Exception):
    """The database URL or the server's settings cannot be worked with; says what to change."""


def parse_url(url: str) -> URL:
    """The URL with the driver we use; ``postgres://`` and ``sqlite:///`` are taken as written.

    Raises `DatabaseProblem` for anything that is neither PostgreSQL nor SQLite.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseProblem(
            "LIENTHONG_DATABASE_URL is not a database URL; written like "
            "sqlite:////var/lib/lienthong/lienthong.db or postgresql://user:password@host/name"
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    raise DatabaseProblem(
        f"LIENTHONG_DATABASE_URL names {backend!r}; only postgresql and sqlite are supported"
    )


def is_sqlite(url: str) -> bool:
    """Whether this URL means SQLite."""
    return parse_url(url).drivername == "sqlite"


def sqlite_path(url: str) -> Path | None:
    """The database file of this URL; None for PostgreSQL and for a database in memory."""
    parsed = parse_url(url)
    if parsed.drivername != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def postgresql_engine(url: URL) -> AsyncEngine:
    """An engine for PostgreSQL; opens nothing yet."""
    return create_async_engine(
        url,
        # Those that `postgresql` keeps, and a few for migrations and health checks.
        pool_size=CONNECTIONS,
        max_overflow=5,
        pool_timeout=10,
        connect_args=_connect_args(COMMAND_TIMEOUT),
    )


def migration_engine(url: URL) -> AsyncEngine:
    """An engine for changing the schema: the driver waits for as long as a statement takes.

    Its connections are closed when they are given back.
    """
    return create_async_engine(url, poolclass=NullPool, connect_args=_connect_args(None))


def _connect_args(command_timeout: float | None) -> dict[str, Any]:
    return {
        "timeout": 10,
        "command_timeout": command_timeout,
        "server_settings": {
            "application_name": "lienthong",
            "idle_in_transaction_session_timeout": "30000",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            # Nobody waits for an answer any more (`store.ANSWER_WITHIN`); a search that would
            # take minutes must not keep a connection, and the server, busy meanwhile.
            "statement_timeout": "25000",
            "synchronous_commit": "on",
            "jit": "off",
        },
    }


def sqlite_engine(url: URL) -> Engine:
    """An engine for SQLite with one connection, to be used by one thread at a time."""
    path = url.database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        poolclass=StaticPool,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions of its own; `begin` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in sqlite_pragmas(sqlite3.sqlite_version_info):
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("lienthong_begun", False):
            # `adapters.database.sqlite` has begun it.
            return
        reads = bool(options.get("lienthong_read", False))
        only(connection, reads=reads)
        connection.exec_driver_sql(BEGIN_READING if reads else BEGIN)

    return engine


def only(connection: Connection, *, reads: bool) -> None:
    """Let SQLite refuse changes in the next transaction, or take them."""
    if connection.info.get("query_only", False) is not reads:
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        connection.info["query_only"] = reads


def sqlite_pragmas(version: tuple[int, ...]) -> tuple[str, ...]:
    """What is set on every SQLite connection, for this version of SQLite."""
    journal = "WAL" if version >= WAL_SAFE else "PERSIST"
    return (
        f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
        f"PRAGMA journal_mode={journal}",
        "PRAGMA synchronous=FULL",
        "PRAGMA foreign_keys=ON",
        "PRAGMA cache_size=-16000",
    )


async def check_durability(engine: AsyncEngine) -> None:
    """Raise `DatabaseProblem` when the server may forget what it said it had committed."""
    async with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value = (await connection.exec_driver_sql(f"SHOW {setting}")).scalar_one()
            if value == "off":
                raise DatabaseProblem(
                    f"PostgreSQL runs with {setting}=off: what it commits can be lost. Set "
                    f"{setting}=on, or, for tests only, LIENTHONG_DATABASE_ALLOW_UNSAFE=true."
                )
