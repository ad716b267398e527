"""The parts of a gateway on SQLite and the embedded broker, for tests that start some of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.app import build
from gateway.services import Services
from gateway.settings import ROLES, Settings


@asynccontextmanager
async def open_parts(folder: Path, **settings: Any) -> AsyncIterator[Services]:
    """Everything built, nothing of it running."""
    services = await build(Settings(data_dir=folder, **settings), ROLES)
    try:
        yield services
    finally:
        services.stopping.set()
        await services.payloads.close()
        await services.database.close()
