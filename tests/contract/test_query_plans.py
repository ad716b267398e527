"""The statements that run all the time use the partial indexes made for them, on SQLite.

SQLite takes a partial index only where the statement spells out the index's condition; a bound
parameter hides it, and the look-up turns into a scan of everything ever delivered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapters.database import SqliteDatabase
from adapters.database.night_figures import overdue_deadlines
from adapters.database.sqlite import InThread
from adapters.database.store import Work
from adapters.database.transaction import SqlTransaction
from routing.ports import DeliveryQuery, Transaction
from routing.states import TransportState
from tests.support.builders import NOW
from tests.support.databases import opened

T = TypeVar("T")

QUESTIONS = {
    "inbox": ("ix_deliveries_inbox", lambda tx: tx.inbox("c", None, 10)),
    "claim": ("ix_deliveries_ring", lambda tx: tx.claim_rings("me", NOW, NOW, 10, 10)),
    "lost": ("ix_deliveries_in_broker", lambda tx: tx.lost_rings(NOW, 10)),
    "lapsed": ("ix_deliveries_lease", lambda tx: tx.lapsed_leases(NOW, 10)),
    "held": ("ix_deliveries_open", lambda tx: tx.search_deliveries(HELD)),
    "stopped": ("ix_deliveries_open", lambda tx: tx.search_deliveries(STOPPED)),
    "figures": ("ix_deliveries_open", lambda tx: queue_figures(Within(tx))),
    "overdue": ("ix_deadlines_unsettled", lambda tx: overdue_deadlines(Within(tx), NOW)),
    "notices": ("ix_deadlines_notice", lambda tx: tx.deadlines.due_notices(NOW, 10)),
}
HELD = DeliveryQuery(states=(TransportState.HELD,), after="z", limit=10)
STOPPED = DeliveryQuery(states=(TransportState.DEAD, TransportState.HELD))


class Within(SqliteDatabase):
    """What opens its own transaction gets this one."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def read(self, work: Work[T]) -> T:
        """`work` in the transaction that is open."""
        return await work(self._tx)


async def queue_figures(database: SqliteDatabase) -> object:
    """What the metrics ask for."""
    return await database.queue_figures()


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


@pytest.mark.parametrize("question", QUESTIONS)
async def test_partial_index_is_used(tmp_path: Path, question: str) -> None:
    """The plan names the index, and scans no table but through it."""
    index, ask = QUESTIONS[question]
    async with opened(f"sqlite:///{tmp_path}/l.db") as database:
        assert isinstance(database, SqliteDatabase)
        plan = await plan_of(database, ask)
        assert index in plan, plan
        tables = ("SCAN deliveries", "SCAN deadlines")
        assert not any(line in tables for line in plan.splitlines()), plan
