"""Fixtures of the contract suites."""

from pathlib import Path

import pytest

from adapters.database import SqlDatabase
from routing.records import Delivery
from tests.support.builders import BETA, document
from tests.support.databases import database, database_url, migrated_postgres_url
from tests.support.use_cases import Gateway, open_gateway

__all__ = ["database", "database_url", "gateway", "migrated_postgres_url"]


@pytest.fixture
async def gateway(request: pytest.FixtureRequest, database: SqlDatabase, tmp_path: Path) -> Gateway:
    """All use cases on either database, with three agencies and their connections.

    These pull, unless the module names another `KIND`.
    """
    kind = getattr(request.module, "KIND", "pull")
    return await open_gateway(database, tmp_path / "payloads", kind=kind)


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery to beta whose doorbell has just rung."""
    (accepted,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.relay()
    return await gateway.now(accepted.id)
