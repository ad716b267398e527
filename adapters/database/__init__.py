"""The database adapter: one schema and one set of statements on PostgreSQL and SQLite.

`open_database` gives the right `routing.ports.Database` for a URL; its `migrate` brings a database
to this program's schema; `RegistryStore` keeps agencies, connections and tokens.
"""

from adapters.database.agency_requests import (
    AgencyRequest,
    AgencyRequestState,
    AgencyRequestStore,
    RequestAction,
)
from adapters.database.callback_fan_out import CallbackFanOut
from adapters.database.callback_store import SqlCallbacks
from adapters.database.engine import (
    DatabaseProblem,
    check_durability,
    is_sqlite,
    parse_url,
    postgresql_engine,
    sqlite_engine,
    sqlite_path,
)
from adapters.database.migrate import SchemaState
from adapters.database.partner_lists import PartnerLists
from adapters.database.people_store import (
    PeopleStore,
    PersonNameTaken,
    PersonToken,
    StoredPerson,
)
from adapters.database.postgresql import PostgresqlDatabase
from adapters.database.registry_store import CodesTaken, NameTaken, RegistryStore
from adapters.database.seal_store import SealStore
from adapters.database.secret_store import LeaseStore, SealedSecret, SecretStore
from adapters.database.sqlite import SqliteDatabase
from adapters.database.store import SqlDatabase

__all__ = [
    "AgencyRequest",
    "AgencyRequestState",
    "AgencyRequestStore",
    "CodesTaken",
    "DatabaseProblem",
    "LeaseStore",
    "NameTaken",
    "PartnerLists",
    "PeopleStore",
    "PersonNameTaken",
    "PersonToken",
    "RegistryStore",
    "RequestAction",
    "SchemaState",
    "SealStore",
    "SealedSecret",
    "SecretStore",
    "SqlCallbacks",
    "SqlDatabase",
    "StoredPerson",
    "is_sqlite",
    "open_database",
    "sqlite_path",
]


async def open_database(
    url: str, *, allow_unsafe: bool = False, source: str = "lienthong"
) -> SqlDatabase:
    """The database of this URL; call its `migrate` before anything else.

    `source` names this gateway in the callbacks that events are told by.

    Raises `DatabaseProblem` for a URL or server settings that cannot be worked with.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        database: SqlDatabase = SqliteDatabase(sqlite_engine(parsed))
    else:
        engine = postgresql_engine(parsed)
        if not allow_unsafe:
            await check_durability(engine)
        database = PostgresqlDatabase(engine)
    database.fan_out = CallbackFanOut(source)
    return database
