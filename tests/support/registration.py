"""Connections of tests, added as `lienthong connections add` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.database import RegistryStore, SqlDatabase
from gateway.cli.registration import NewConnection, add_connection
from gateway.cli.session import Session
from gateway.private_files import made_private
from gateway.settings import Settings
from routing.route_table import RouteTable
from tests.support.databases import opened


class Registrar:
    """Adds connections to one database."""

    def __init__(self, settings: Settings, database: SqlDatabase) -> None:
        self._settings = settings
        self._database = database

    async def add(
        self,
        name: str,
        codes: Sequence[str],
        kind: str = "pull",
        options: Mapping[str, str] | None = None,
        secret: str = "",
    ) -> NewConnection:
        """Add a connection with these codes, and their agencies to the directory."""
        registry = RegistryStore(self._database)
        routes = RouteTable(await registry.load())
        answer = await add_connection(
            Session(self._settings, self._database, registry, routes),
            name,
            codes,
            {code: f"Cơ quan {code}" for code in codes},
            kind=kind,
            options=options,
            secret=secret,
            operator="test",
        )
        assert isinstance(answer, NewConnection), answer
        return answer


@asynccontextmanager
async def registrar(database_url: str, data: Path) -> AsyncIterator[Registrar]:
    """Opens a gateway's database, which gets its schema."""
    settings = Settings.model_construct(data_dir=data, database_url=database_url)
    with made_private():
        async with opened(database_url) as database:
            yield Registrar(settings, database)
