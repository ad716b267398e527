"""The statements that run all the time use the partial indexes made for them, on SQLite.

SQLite takes a partial index only where the statement spells out the index's condition; a bound
parameter hides it, and the look-up turns into a scan of everything ever delivered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from adapters.database import SqliteDatabase
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
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    async def ask(tx: Transaction) -> list[str]:
        assert isinstance(tx, SqlTransaction)
        event.listen(database._engine, "before_cursor_execute", note)
        await question(tx)
        event.remove(database._engine, "before_cursor_execute", note)
        raw = tx.connection._connection.connection.cursor()  # type: ignore[attr-defined]
        raw.execute(f"EXPLAIN QUERY PLAN {sent[0][0]}", sent[0][1])
        return [row[3] for row in raw.fetchall()]

    return "\n".join(await database.write(ask))


@pytest.mark.parametrize("index", QUESTIONS)
async def test_partial_index_is_used(tmp_path: Path, index: str) -> None:
    """The plan names the index, and scans no table."""
    async with opened(f"sqlite:///{tmp_path}/l.db") as database:
        assert isinstance(database, SqliteDatabase)
        plan = await plan_of(database, QUESTIONS[index])
        assert index in plan, plan
        assert not any(line == "SCAN deliveries" for line in plan.splitlines()), plan
