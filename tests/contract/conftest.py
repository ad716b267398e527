"""Fixtures of the contract suites."""

from pathlib import Path

import pytest

from adapters.database import SqlDatabase
from tests.support.databases import database, database_url, migrated_postgres_url
from tests.support.use_cases import Gateway, open_gateway

__all__ = ["database", "database_url", "gateway", "migrated_postgres_url"]


@pytest.fixture
async def gateway(database: SqlDatabase, tmp_path: Path) -> Gateway:
    """All use cases on either database, with three agencies and their connections."""
    return await open_gateway(database, tmp_path / "payloads")
