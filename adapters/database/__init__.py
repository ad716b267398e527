"""The database adapter: one schema and one set of statements on PostgreSQL and SQLite.

`open_database` gives the right `routing.ports.Database` for a URL; its `migrate` brings a database
to this program's schema; `RegistryStore` keeps agencies, connections and tokens.
"""

from adapters.database.engine import (
    DatabaseProblem,
    check_durability,
    is_sqlite,
    parse_url,
    postgresql_engine,
    sqlite_engine,
)
from adapters.database.migrate import SchemaState
from adapters.database.postgresql import PostgresqlDatabase
from adapters.database.registry_store import CodesTaken, NameTaken, RegistryStore
from adapters.database.sqlite import SqliteDatabase
from adapters.database.store import SqlDatabase

__all__ = [
    "CodesTaken",
    "DatabaseProblem",
    "NameTaken",
    "RegistryStore",
    "SchemaState",
    "SqlDatabase",
    "is_sqlite",
    "open_database",
]


async def open_database(url: str, *, allow_unsafe: bool = False) -> SqlDatabase:
    """The database of this URL; call its `migrate` before anything else.

    Raises `DatabaseProblem` for a URL or server settings that cannot be worked with.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        return SqliteDatabase(sqlite_engine(parsed))
    engine = postgresql_engine(parsed)
    if not allow_unsafe:
        await check_durability(engine)
    return PostgresqlDatabase(engine)
