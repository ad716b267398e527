"""Figures for the operator's one screen (`lienthong status`) that no use case asks for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from adapters.database.lifecycle_tables import deadlines
from adapters.database.store import SqlDatabase
from adapters.database.transaction import SqlTransaction
from routing.deadlines import UNSETTLED
from routing.ports import Transaction


async def overdue_deadlines(database: SqlDatabase, now: datetime) -> int:
    """How many time limits are over while what is owed has not come."""
    over = (
        select(func.count())
        .select_from(deadlines)
        .where(deadlines.c.state.in_(sorted(UNSETTLED)), deadlines.c.due_at < now)
    )

    async def read(tx: Transaction) -> int:
        if not isinstance(tx, SqlTransaction):
            raise TypeError("these figures need this adapter's own transaction")
        return int((await tx.connection.execute(over)).scalar_one())

    return await database.read(read)
