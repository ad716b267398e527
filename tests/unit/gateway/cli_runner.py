"""Running `lienthong` inside the test's process, on a data folder of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from adapters.database import SqlDatabase, open_database
from gateway.cli import cli

T = TypeVar("T")


class Lienthong:
    """The command line with nothing in its environment but a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.environment = {"LIENTHONG_DATA_DIR": str(self.data), "LIENTHONG_OPERATOR": "lan"}

    def __call__(
        self, *arguments: str | Path, code: int = 0, stdin: bytes = b"", **environment: str
    ) -> Result:
        """Run a command; its exit code must be `code`."""
        result = CliRunner().invoke(
            cli,
            [str(one) for one in arguments],
            input=stdin,
            env={**self.environment, **environment},
        )
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result

    def json(self, *arguments: str | Path, code: int = 0, **environment: str) -> Any:
        """Run a command with --json; the document that it prints."""
        return json.loads(self(*arguments, "--json", code=code, **environment).stdout)

    def database(self, work: Callable[[SqlDatabase], Awaitable[T]]) -> T:
        """Do something with the database itself."""

        async def run() -> T:
            database = await open_database(f"sqlite:///{self.data / 'lienthong.db'}")
            try:
                await database.migrate()
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(run())


@pytest.fixture
def lienthong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lienthong:
    """The command line on an empty data folder."""
    for name in ("LIENTHONG_CONFIG", "LIENTHONG_LANG", "LIENTHONG_URL", "LIENTHONG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Lienthong(tmp_path)
