"""`routing.deadline_watch.DeadlineStore` on one SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, bindparam, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.database.lifecycle_tables import deadlines as table
from adapters.database.prepared import Prepared, Runs
from adapters.database.rows import Row, storable
from routing.deadlines import Deadline, DeadlineKind, DeadlineState

_c = table.c
_NAMES = tuple(field.name for field in fields(Deadline))
_PLAIN = tuple(name for name in _NAMES if name not in ("kind", "state"))
#: Rows of one INSERT; drivers bound the number of parameters.
_CHUNK = 200


#: Spelled out exactly as in the partial index ``ix_deadlines_notice``: only then does it serve.
_OPEN: ColumnElement[bool] = _c.state == literal_column(f"'{DeadlineState.OPEN}'")
#: The same for ``ix_deadlines_unsettled``.
UNSETTLED: ColumnElement[bool] = _c.state.in_(
    bindparam(
        "unsettled",
        [DeadlineState.OPEN.value, DeadlineState.OVERDUE.value],
        expanding=True,
        literal_execute=True,
    )
)

#: Nothing else of a deadline ever changes, and what is closed stays closed.
_STORE: Update = (
    update(table)
    .where(_c.id == bindparam("row_id"), _c.closed_at.is_(None))
    .values(
        state=bindparam("new_state"),
        notice_at=bindparam("new_notice_at"),
        closed_at=bindparam("new_closed_at"),
        closed_by=bindparam("new_closed_by"),
    )
)


class SqlDeadlines:
    """The deadlines of one transaction."""

    def __init__(self, connection: Runs) -> None:
        self._connection = connection

    async def put(self, deadlines: Sequence[Deadline]) -> list[Deadline]:
        """See the port."""
        kept: set[str] = set()
        for chunk in _chunks(deadlines):
            new = {
                f"{name}_{place}": value
                for place, deadline in enumerate(chunk)
                for name, value in _row(deadline).items()
            }
            put = _put(self._connection.dialect.name, len(chunk))
            kept.update(row["id"] for row in await self._connection.run(put, new))
        return [deadline for deadline in deadlines if deadline.id in kept]

    async def update(self, deadlines: Sequence[Deadline]) -> None:
        """See the port."""
        if deadlines:
            await self._connection.execute(
                _STORE,
                [
                    {
                        "row_id": deadline.id,
                        "new_state": deadline.state.value,
                        "new_notice_at": deadline.notice_at,
                        "new_closed_at": deadline.closed_at,
                        "new_closed_by": storable(deadline.closed_by),
                    }
                    for deadline in deadlines
                ],
            )

    async def open_of_delivery(self, delivery_id: str, *, lock: bool = False) -> list[Deadline]:
        """See the port."""
        return await self.open_of_deliveries([delivery_id], lock=lock)

    async def open_of_deliveries(
        self, delivery_ids: Sequence[str], *, lock: bool = False
    ) -> list[Deadline]:
        """See the port. Locks in the order of the ids: two lockers cannot block each other."""
        query = select(table).where(_c.delivery_id.in_(delivery_ids), UNSETTLED)
        query = query.order_by(_c.id)
        return await self._all(query.with_for_update() if lock else query)

    async def of_document(self, document_pk: str) -> list[Deadline]:
        """See the port."""
        query = select(table).where(_c.document_pk == document_pk)
        return await self._all(query.order_by(_c.due_at, _c.id))

    async def due_notices(self, now: datetime, limit: int) -> list[Deadline]:
        """See the port. Waits for nobody: a row that is being closed needs no notice."""
        query = (
            select(table)
            .where(_OPEN, _c.notice_at < now)
            .order_by(_c.notice_at, _c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._all(query)

    async def _all(self, query: Select[Any]) -> list[Deadline]:
        found = await self._connection.execute(query)
        return [_deadline(row) for row in found.mappings()]


@lru_cache(maxsize=2 * _CHUNK)
def _put(dialect: str, count: int) -> Prepared:
    """Inserts so many deadlines and returns the ids of those that are new."""
    values: list[dict[str, Any]] = [
        {name: bindparam(f"{name}_{place}", type_=_c[name].type) for name in _NAMES}
        for place in range(count)
    ]
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing().returning(_c.id)
    return Prepared(statement, [_c.id])


def _chunks(deadlines: Sequence[Deadline]) -> Iterator[Sequence[Deadline]]:
    for start in range(0, len(deadlines), _CHUNK):
        yield deadlines[start : start + _CHUNK]


def _deadline(row: Row) -> Deadline:
    return Deadline(
        **{name: row[name] for name in _PLAIN},
        kind=DeadlineKind(row["kind"]),
        state=DeadlineState(row["state"]),
    )


def _row(deadline: Deadline) -> dict[str, Any]:
    return {
        **{name: getattr(deadline, name) for name in _PLAIN},
        "kind": deadline.kind.value,
        "state": deadline.state.value,
        "closed_by": storable(deadline.closed_by),
    }
