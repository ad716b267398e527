"""Figures for the operator's one screen (`lienthong status`) that no use case asks for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from adapters.database.deadline_store import UNSETTLED
from adapters.database.lifecycle_tables import deadlines
from adapters.database.store import SqlDatabase
from adapters.database.transaction import sql_of
from routing.ports import Transaction


async def overdue_deadlines(database: SqlDatabase, now: datetime) -> int:
    """How many time limits are over while what is owed has not come."""
    over = select(func.count()).select_from(deadlines).where(UNSETTLED, deadlines.c.due_at < now)

    async def read(tx: Transaction) -> int:
        return int((await sql_of(tx).execute(over)).scalar_one())

    return await database.read(read)
