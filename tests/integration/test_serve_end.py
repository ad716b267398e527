"""The end of the service when parts of it fail to end."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import app
from gateway.runtime import Roles
from gateway.services import Services
from gateway.settings import ROLES, Settings
from tests.support.parts import open_parts
from tests.support.servers import wait_until_async


async def test_one_part_that_fails_to_close_skips_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The roles cannot start nor stop, and the payloads not close: the database is closed."""
    closed: list[str] = []
    build = app.build

    class Broken:
        def __init__(self, services: Services) -> None:
            self._services = services

        async def start(self) -> None:
            raise OSError("no start")

        async def stop(self) -> None:
            closed.append("roles")
            raise RuntimeError("no stop")

    async def watched(*arguments: object) -> Services:
        services = await build(*arguments)  # type: ignore[arg-type]
        really = services.database.close

        async def database() -> None:
            closed.append("database")
            await really()

        async def payloads() -> None:
            closed.append("payloads")
            raise OSError("no close")

        monkeypatch.setattr(services.database, "close", database)
        monkeypatch.setattr(services.payloads, "close", payloads)
        return services

    monkeypatch.setattr(app, "build", watched)
    monkeypatch.setattr(app, "Roles", Broken)
    settings = Settings(data_dir=tmp_path, signature_checks=False, listen="127.0.0.1:0")
    with pytest.raises(OSError, match="no close"):
        await app.serve(settings, ROLES)
    assert closed == ["roles", "payloads", "database"]


async def test_a_loop_that_ends_by_a_fault_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting to the broker meets a bug: nobody waits for that task, the log tells of it."""
    async with open_parts(tmp_path) as services:

        async def broken() -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(services.broker, "start", broken)
        with capture_logs() as logs:
            roles = Roles(services)
            await roles.start()
            await wait_until_async(lambda: ended(logs) == ["broker"], 10.0, "the line in the log")
            await roles.stop()


def ended(logs: Sequence[MutableMapping[str, Any]]) -> list[str]:
    """The loops of which the log says that they ended by a fault."""
    return [line["role"] for line in logs if line["event"] == "role.ended-with-fault"]
