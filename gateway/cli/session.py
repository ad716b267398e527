"""The database as commands use it: opened, its schema looked at, the use cases put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.database import (
    RegistryStore,
    SchemaState,
    SqlDatabase,
    is_sqlite,
    open_database,
    sqlite_path,
)
from gateway.cli.failures import WRONG_USE, Failure
from gateway.cli.output import say
from gateway.private_files import made_private
from gateway.settings import Settings
from gateway.settings_loading import data_dir_problem
from routing.ports import DatabaseUnavailable
from routing.route_table import RouteTable


@dataclass(frozen=True, slots=True)
class Session:
    """An open database and its registry at the newest version."""

    settings: Settings
    database: SqlDatabase
    registry: RegistryStore
    routes: RouteTable

    def connection_name(self, connection_id: str | None) -> str:
        """A connection's name for people; empty for none."""
        connection = self.routes.connections.get(connection_id or "")
        return connection.name if connection else (connection_id or "")


@asynccontextmanager
async def open_session(settings: Settings, *, creates: bool = False) -> AsyncIterator[Session]:
    """Open the database; an empty SQLite gets its schema, anything else must be up to date.

    Only a command that `creates` begins a gateway where there is none: in a wrong folder the others
    would answer from an empty one. Raises `Failure`, `DatabaseProblem`, `DatabaseUnavailable`.
    """
    url = settings.effective_database_url
    nowhere = data_dir_problem(settings)
    if nowhere:
        raise Failure(nowhere, WRONG_USE)
    _must_be_there(url, creates=creates)
    with made_private():
        # What a command begins or adds to is as private as what the service makes.
        async with _opened(settings, url) as session:
            yield session


@asynccontextmanager
async def _opened(settings: Settings, url: str) -> AsyncIterator[Session]:
    try:
        database = await open_database(url, allow_unsafe=settings.database_allow_unsafe)
    except (ConnectionError, TimeoutError) as error:
        # Told as what it is before it could be taken for a service that does not answer.
        raise DatabaseUnavailable(str(error) or "no answer in time") from error
    try:
        await _check_schema(database, sqlite=is_sqlite(url))
        registry = RegistryStore(database)
        yield Session(settings, database, registry, RouteTable(await registry.load()))
    finally:
        await database.close()


def _must_be_there(url: str, *, creates: bool) -> None:
    path = sqlite_path(url)
    if path is None or path.exists():
        return
    if not creates:
        raise Failure(
            f"There is no gateway's database at {path.resolve()}. Run this where the gateway's "
            "data is, or name it: LIENTHONG_DATA_DIR, LIENTHONG_DATABASE_URL or --config.",
            WRONG_USE,
        )
    say(f"A new gateway begins here: {path.resolve()}")


async def _check_schema(database: SqlDatabase, *, sqlite: bool) -> None:
    state = await database.schema_state()
    if state is SchemaState.CURRENT:
        return
    if state is SchemaState.EMPTY and sqlite:
        await database.migrate()
        return
    if state is SchemaState.NEWER:
        # Says what to do.
        await database.migrate()
    raise Failure(
        f"The database's schema is {state}. Make a backup, then run: lienthong database migrate",
        WRONG_USE,
    )
