"""Callers that leave early, and statements that nobody waits for any more, on both databases."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from adapters.database import SqlDatabase
from adapters.database.transaction import SqlTransaction
from gateway.cli.failures import causes
from routing.ports import DatabaseUnavailable, Transaction
from tests.support.databases import opened


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlDatabase]:
    """An open, migrated and empty database of either kind."""
    url = f"sqlite:///{tmp_path}/lienthong.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with opened(url) as ready:
        yield ready


def sql(tx: Transaction) -> Any:
    """The connection behind a transaction."""
    assert isinstance(tx, SqlTransaction)
    return tx.connection


async def test_work_that_fails_after_its_caller_left_is_not_complained_of(
    database: SqlDatabase,
) -> None:
    """The caller was answered when it left; asyncio's log stays silent about the rest."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context["message"])))

    async def fails(tx: Transaction) -> None:
        await sql(tx).execute(text("SELECT nothing FROM nowhere"))

    for work in (database.read, database.write):
        task = asyncio.create_task(work(fails))
        # One turn of the loop: the work is under way, its failure is yet to come.
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await database.read(lambda tx: sql(tx).execute(text("SELECT 1")))
    gc.collect()
    assert complaints == []


async def test_a_statement_ends_when_nobody_waits_for_it(postgres_url: str) -> None:
    """The server gives up what runs longer than any caller waits; migrations may run longer."""
    async with opened(postgres_url) as database:

        async def limit(tx: Transaction) -> str:
            return str((await sql(tx).execute(text("SHOW statement_timeout"))).scalar_one())

        assert await database.read(limit) == "25s"
        assert database.answer_within < 25


async def test_an_outage_is_told_without_the_statement(tmp_path: Path) -> None:
    """Neither SQL nor the bare name of an error reaches people."""
    async with opened(f"sqlite:///{tmp_path}/lienthong.db") as database:
        database.answer_within = 0.05

        async def never(tx: Transaction) -> None:
            raise TimeoutError

        with pytest.raises(DatabaseUnavailable) as late:
            await database.read(never)
        assert str(late.value) == "no answer within 0.05 s"
        assert "no answer" in causes(TimeoutError())

        async def wrong(tx: Transaction) -> None:
            await sql(tx).execute(text("SELECT secret FROM nowhere WHERE a = 'b'"))

        with pytest.raises(Exception, match="nowhere") as broken:
            await database.read(wrong)
        assert causes(broken.value) == "no such table: nowhere"
