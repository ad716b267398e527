"""Migrations on both databases, and the settings without which nothing is durable."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from adapters.database import (
    DatabaseProblem,
    PostgresqlDatabase,
    SchemaState,
    SqlDatabase,
    SqliteDatabase,
    engine,
    is_sqlite,
    open_database,
)
from adapters.database.engine import WAL_SAFE, migration_engine, parse_url, sqlite_pragmas
from adapters.database.migrate import LOCK, alembic_config
from adapters.database.tables import metadata
from adapters.database.transaction import SqlTransaction
from routing.ports import Transaction
from routing.states import TransportState
from tests.support.builders import keep, look, package
from tests.support.servers import Postgres

ROOT = Path(__file__).parents[2]
MIGRATE = """
import asyncio, sys
from adapters.database import open_database

async def main():
    database = await open_database(sys.argv[1], allow_unsafe=True)
    print(await database.migrate())
    await database.close()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep/er/lienthong.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[SqlDatabase]:
    """The same, opened."""
    database = await open_database(empty_url, allow_unsafe=True)
    yield database
    await database.close()


async def run_sync(database: SqlDatabase, sql: str) -> None:
    """Run a statement behind the adapter's back."""
    if isinstance(database, PostgresqlDatabase):
        async with database._engine.begin() as connection:
            await connection.exec_driver_sql(sql)
    elif isinstance(database, SqliteDatabase):
        with database._engine.begin() as blocking:
            blocking.exec_driver_sql(sql)


async def test_from_empty_to_current_and_no_further(empty: SqlDatabase) -> None:
    """The first migration makes everything, the second changes nothing, data stays."""
    assert await empty.schema_state() is SchemaState.EMPTY
    assert await empty.migrate() is SchemaState.EMPTY
    assert await empty.schema_state() is SchemaState.CURRENT
    kept = package()
    await keep(empty, kept)
    assert await empty.migrate() is SchemaState.CURRENT
    assert await look(empty, lambda tx: tx.get_package(kept.id)) == kept


async def test_migrated_schema_is_the_one_in_the_code(empty: SqlDatabase) -> None:
    """Alembic finds no difference between a migrated database and the tables of the code."""
    await empty.migrate()

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    if isinstance(empty, PostgresqlDatabase):
        async with empty._engine.connect() as connection:
            assert await connection.run_sync(compare) == []
    elif isinstance(empty, SqliteDatabase):
        with empty._engine.connect() as blocking:
            assert compare(blocking) == []


async def test_partial_indexes_cover_the_same_rows(empty: SqlDatabase) -> None:
    """What Alembic does not compare: the condition of each partial index."""
    await empty.migrate()
    table = "pg_indexes" if isinstance(empty, PostgresqlDatabase) else "sqlite_master"
    column = "indexdef" if isinstance(empty, PostgresqlDatabase) else "sql"

    async def read(tx: Transaction) -> list[str]:
        assert isinstance(tx, SqlTransaction)
        found = await tx.connection.execute(
            text(f"SELECT {column} FROM {table} WHERE {column} LIKE '%ix_deliveries_%'")
        )
        return [row[0] for row in found]

    sql = {
        line.split("ix_deliveries_")[1].split()[0].strip('"'): line
        for line in await empty.read(read)
    }
    for name, words in {
        "ring": ("ring_at",),
        "inbox": ("offered", "delivering"),
        "in_broker": ("queued", "unknown", "ring_at"),
        "lease": ("lease_until",),
        "open": tuple(state.value for state in TransportState if not state.is_final),
    }.items():
        condition = sql[name].upper().partition(" WHERE ")[2]
        assert condition, name
        assert all(word.upper() in condition for word in words), condition


async def test_a_database_of_the_version_before_is_brought_up(empty: SqlDatabase) -> None:
    """What was stored under the previous schema is there under this one."""

    def go_to(connection: Connection, revision: str) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    if isinstance(empty, PostgresqlDatabase):
        async with empty._engine.begin() as connection:
            await connection.run_sync(go_to, "head-1")
    elif isinstance(empty, SqliteDatabase):
        with empty._engine.begin() as blocking:
            go_to(blocking, "head-1")
    kept = package()
    await keep(empty, kept)
    assert await empty.migrate() is SchemaState.OLDER
    assert await empty.schema_state() is SchemaState.CURRENT
    assert await look(empty, lambda tx: tx.get_package(kept.id)) == kept


async def test_newer_database_is_refused(empty: SqlDatabase) -> None:
    """A schema that this program does not know is left alone, with a sentence what to do."""
    await empty.migrate()
    await run_sync(empty, "UPDATE alembic_version SET version_num = '9999'")
    assert await empty.schema_state() is SchemaState.NEWER
    with pytest.raises(DatabaseProblem, match="newer"):
        await empty.migrate()
    assert await empty.schema_state() is SchemaState.NEWER


async def test_processes_migrate_at_once(empty_url: str) -> None:
    """Three processes that start together: one migrates, the others find it done."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            MIGRATE,
            empty_url,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in started))
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert sorted(out.decode().strip() for out, _ in ended) == ["current", "current", "empty"]


async def test_a_migration_takes_as_long_as_it_takes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the driver's limit nor the server's for locks ends it while another one migrates."""
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT", 0.3)
    monkeypatch.setattr(engine, "LOCK_TIMEOUT_MS", 300)
    other = migration_engine(parse_url(postgres_url))
    database = await open_database(postgres_url, allow_unsafe=True)
    async with other.begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        waits = asyncio.create_task(database.migrate())
        await connection.exec_driver_sql("SELECT pg_sleep(1.0)")
        assert not waits.done()
    assert await waits is SchemaState.EMPTY
    await database.close()
    await other.dispose()


# --- settings -------------------------------------------------------------------------------------


async def _pragma(database: SqlDatabase, name: str) -> object:
    async def read(tx: Transaction) -> object:
        assert isinstance(tx, SqlTransaction)
        return (await tx.connection.execute(text(f"PRAGMA {name}"))).scalar_one()

    return await database.read(read)


async def test_sqlite_is_durable_and_checks_its_keys(tmp_path: Path) -> None:
    """Every commit is synced, foreign keys are checked, the journal is one this SQLite can do."""
    database = await open_database(f"sqlite:///{tmp_path}/l.db")
    await database.migrate()
    assert await _pragma(database, "synchronous") == 2
    assert await _pragma(database, "foreign_keys") == 1
    journal = "wal" if sqlite3.sqlite_version_info >= WAL_SAFE else "persist"
    assert await _pragma(database, "journal_mode") == journal
    orphan = package(document_pk="nothing")
    database.answer_within = 0.3
    with pytest.raises(Exception):  # noqa: B017 - which one is the driver's affair
        await keep(database, orphan)
    await database.close()


@pytest.mark.parametrize(
    ("version", "journal"),
    [((3, 40, 1), "PERSIST"), ((3, 51, 2), "PERSIST"), ((3, 51, 3), "WAL"), ((3, 53, 0), "WAL")],
)
def test_wal_only_where_it_is_safe(version: tuple[int, ...], journal: str) -> None:
    """SQLite before 3.51.3 can corrupt a WAL database: it gets a rollback journal."""
    assert f"PRAGMA journal_mode={journal}" in sqlite_pragmas(version)


async def test_server_that_may_forget_is_refused() -> None:
    """PostgreSQL with fsync=off is refused by name of the setting, unless tests allow it."""
    with Postgres(fsync=False) as server:
        url = server.create_database()
        with pytest.raises(DatabaseProblem, match="fsync=off"):
            await open_database(url)
        database = await open_database(url, allow_unsafe=True)
        assert (await database.ping()).startswith("PostgreSQL ")
        await database.close()


async def test_durable_server_is_taken(postgres_url: str) -> None:
    """PostgreSQL with its own settings needs no permission."""
    database = await open_database(postgres_url)
    assert (await database.ping()).startswith("PostgreSQL ")
    await database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "", "oracle+x://"])
def test_other_databases_are_refused(url: str) -> None:
    """Anything but PostgreSQL and SQLite is refused in words that name the setting."""
    with pytest.raises(DatabaseProblem, match="LIENTHONG_DATABASE_URL"):
        parse_url(url)


def test_urls_as_people_write_them() -> None:
    """The usual spellings of both databases are understood."""
    for url in ("postgres://u@h/n", "postgresql://u@h/n", "postgresql+asyncpg://u@h/n"):
        assert not is_sqlite(url)
        assert parse_url(url).drivername == "postgresql+asyncpg"
    assert is_sqlite("sqlite:////var/lib/l.db")
    assert is_sqlite("sqlite:///l.db")


async def test_sqlite_in_memory_and_unwritable(tmp_path: Path) -> None:
    """A file where a folder is needed is an error at once, not at the first document."""
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, DatabaseProblem)):
        await open_database(f"sqlite:///{tmp_path}/file/l.db")
