"""The statements that run all the time use the partial indexes made for them, on SQLite.

SQLite takes a partial index only where the statement spells out the index's condition; a bound
parameter hides it, and the look-up turns into a scan of everything ever delivered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.database import SqliteDatabase
from adapters.database.sqlite import InThread
from adapters.database.transaction import SqlTransaction
from routing.ports import Transaction
from tests.support.builders import NOW
from tests.support.databases import opened

QUESTIONS = {
    "ix_deliveries_inbox": lambda tx: tx.inbox("c", None, 10),
    "ix_deliveries_ring": lambda tx: tx.claim_rings("me", NOW, NOW, 10, 10),
    "ix_deliveries_in_broker": lambda tx: tx.lost_rings(NOW, 10),
    "ix_deliveries_lease": lambda tx: tx.lapsed_leases(NOW, 10),
}


async def plan_of(database: SqliteDatabase, question: Any) -> str:
    """How SQLite would answer, with the very statement and parameters that the adapter sends."""
    sent: list[str] = []

    async def ask(tx: Transaction) -> list[str]:
        assert isinstance(tx, SqlTransaction)
        assert isinstance(tx.connection, InThread)
        raw = tx.connection.driver
        raw.set_trace_callback(sent.append)
        await question(tx)
        raw.set_trace_callback(None)
        return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sent[0]}").fetchall()]

    return "\n".join(await database.write(ask))


@pytest.mark.parametrize("index", QUESTIONS)
async def test_partial_index_is_used(tmp_path: Path, index: str) -> None:
    """The plan names the index, and scans no table."""
    async with opened(f"sqlite:///{tmp_path}/l.db") as database:
        assert isinstance(database, SqliteDatabase)
        plan = await plan_of(database, QUESTIONS[index])
        assert index in plan, plan
        assert not any(line == "SCAN deliveries" for line in plan.splitlines()), plan
