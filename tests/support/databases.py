"""The databases of the contract suites: migrated and empty, SQLite on disk and real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.database import SqlDatabase, open_database
from tests.support.servers import Postgres

#: The migrated schema that PostgreSQL databases of tests are copied from.
TEMPLATE = "lienthong_schema"

KINDS = ("sqlite", "postgresql")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlDatabase]:
    """The database of this URL with its schema; closed at the end."""
    database = await open_database(url, allow_unsafe=True)
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()


def prepare(url: str) -> None:
    """Fill the template."""

    async def migrate() -> None:
        async with opened(url):
            pass

    asyncio.run(migrate())


@pytest.fixture
def migrated_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A PostgreSQL database with the schema, for this test alone."""
    template = postgres_server.ensure_template(TEMPLATE, prepare)
    url = postgres_server.create_database(template=template)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lienthong.db"
    url: str = request.getfixturevalue("migrated_postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[SqlDatabase]:
    """An open, migrated and empty database of either kind."""
    async with opened(database_url) as ready:
        yield ready
