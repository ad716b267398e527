"""What partners that list by kind of package ask for: received, sent, counted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from adapters.database import rows, statements
from adapters.database.store import SqlDatabase
from adapters.database.tables import deliveries, packages
from adapters.database.transaction import sql_of
from routing.ports import InboxItem, Transaction
from routing.pull_notes import Said
from routing.records import Delivery, PackageRecord

_d, _p = deliveries.c, packages.c


class PartnerLists:
    """Lists of one connection, documents and status packages apart."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def received(self, connection_id: str, kind: str, limit: int) -> list[InboxItem]:
        """What waits in the inbox, in its order; what the partner could not store comes last.

        The list has no second page: what fails again and again must not keep the rest out. Of such
        copies the one comes first that failed longest ago.
        """
        waiting = _inbox(connection_id, kind)
        failed = _d.noted == Said.NOT_STORED.value
        others = waiting.where(or_(_d.noted.is_(None), ~failed))
        last = waiting.where(failed).order_by(None).order_by(_d.noted_at, _d.id)

        async def read(tx: Transaction) -> list[InboxItem]:
            found: list[Delivery] = []
            for query in (others, last):
                page = await sql_of(tx).execute(query.limit(limit - len(found)))
                found += [rows.delivery_of(row) for row in page.mappings()]
                if len(found) == limit:
                    break
            known = await tx.get_packages(list({row.package_id for row in found}))
            return [InboxItem(row, known[row.package_id]) for row in found]

        return await self._database.read(read)

    async def waiting(self, connection_id: str, kind: str) -> int:
        """How many packages of a kind wait in the inbox."""
        every = _inbox(connection_id, kind).order_by(None).subquery()
        query = select(func.count()).select_from(every)

        async def read(tx: Transaction) -> int:
            return int((await sql_of(tx).execute(query)).scalar_one())

        return await self._database.read(read)

    async def sent(
        self, connection_id: str, kind: str | None, some_id: str | None, limit: int
    ) -> list[InboxItem]:
        """Copies of what the connection sent of a kind, or of any, the newest package first.

        With the id of a package: all of that package; with that of a delivery: this one.
        """
        query = (
            select(*deliveries.c)
            .join(packages, _p.id == _d.package_id)
            .where(_p.connection_id == connection_id)
        )
        if kind is not None:
            query = query.where(_p.kind == kind)
        if some_id is not None:
            query = query.where(or_(_d.package_id == some_id, _d.id == some_id)).order_by(_d.id)
        else:
            query = query.order_by(_p.id.desc(), _d.id).limit(limit)

        async def read(tx: Transaction) -> list[InboxItem]:
            found = [rows.delivery_of(row) for row in (await sql_of(tx).execute(query)).mappings()]
            known: dict[str, PackageRecord] = await tx.get_packages(
                list({row.package_id for row in found})
            )
            return [InboxItem(row, known[row.package_id]) for row in found]

        return await self._database.read(read)


def _inbox(connection_id: str, kind: str) -> Select[Any]:
    waiting = statements.inbox(select(*deliveries.c)).where(_of_kind(kind))
    return waiting.params(connection_id=connection_id)


def _of_kind(kind: str) -> ColumnElement[bool]:
    return _d.package_id.in_(select(_p.id).where(_p.kind == kind))
