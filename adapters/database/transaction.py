"""`routing.ports.Transaction` on one SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Select, insert, select, update

from adapters.database import frequent, rows, statements
from adapters.database.deadline_store import SqlDeadlines
from adapters.database.executes import Executes
from adapters.database.prepared import Runs
from adapters.database.registry_rows import load_registry, registry_version
from adapters.database.request_store import SqlRequests
from adapters.database.tables import (
    deliveries,
    delivery_attempts,
    documents,
    events,
    packages,
)
from routing.change_requests import RequestStore
from routing.deadline_watch import DeadlineStore
from routing.ports import (
    DeliveryQuery,
    DocumentQuery,
    InboxCursor,
    InboxItem,
    Transaction,
)
from routing.records import Attempt, Change, Delivery, DocumentRecord, Event, PackageRecord
from routing.route_table import RegistryData


class AppendsEvents(Protocol):
    """Inserts events into the log with what follows from them (callback messages)."""

    async def wants(self, connection: Executes, new: Sequence[Event]) -> bool:
        """Whether anything may follow from these; if not, they need not pass through here."""

    async def append(self, connection: Executes, new: Sequence[Event]) -> None:
        """Insert the events, at least one, in this transaction."""


class SqlTransaction:
    """One transaction; begun and ended by the database it belongs to.

    Events that nobody waits for are collected and inserted together by `flush`, which is called
    before the commit and before anything here reads the log.
    """

    def __init__(self, connection: Runs, fan_out: AppendsEvents | None = None) -> None:
        self.connection = connection
        #: None: events are logged and nobody is called back.
        self.fan_out = fan_out
        self._appended: list[Event] = []
        #: Packages that came with their deliveries; a package never changes.
        self._seen: dict[str, PackageRecord] = {}
        self._requests = SqlRequests(connection)
        self._deadlines = SqlDeadlines(connection)

    @property
    def requests(self) -> RequestStore:
        """See the port."""
        return self._requests

    @property
    def deadlines(self) -> DeadlineStore:
        """See the port."""
        return self._deadlines

    # --- packages and documents -------------------------------------------------------------------

    async def find_package(self, sender: str, digest: str) -> PackageRecord | None:
        """See the port."""
        key = {"sender": sender, "digest": digest}
        return _package(await self.connection.run(frequent.FIND_PACKAGE, key))

    async def get_package(self, package_id: str) -> PackageRecord | None:
        """See the port."""
        seen = self._seen.get(package_id)
        if seen is not None:
            return seen
        return _package(await self.connection.run(frequent.GET_PACKAGE, {"id": package_id}))

    async def get_packages(self, package_ids: Sequence[str]) -> dict[str, PackageRecord]:
        """See the port."""
        found = await self._all(select(packages).where(packages.c.id.in_(package_ids)))
        return {row["id"]: rows.package_of(row) for row in found}

    async def packages_of_document(
        self, document_pk: str, *, kind: str = ""
    ) -> list[PackageRecord]:
        """See the port."""
        query = select(packages).where(packages.c.document_pk == document_pk)
        if kind:
            query = query.where(packages.c.kind == kind)
        found = await self._all(query.order_by(packages.c.received_at, packages.c.id))
        return [rows.package_of(row) for row in found]

    async def insert_package(self, package: PackageRecord) -> None:
        """See the port."""
        await self.connection.run_many(frequent.INSERT_PACKAGE, [rows.package_row(package)])

    async def lock_document(
        self,
        sender: str,
        document_id: str,
        *,
        pk: str,
        subject: str,
        search: str,
        now: datetime,
        version: int = 0,
    ) -> DocumentRecord:
        """See the port."""
        new = {
            "pk": pk,
            "sender": sender,
            "document_id": document_id,
            "version": version,
            "subject": subject,
            "search": search,
            "created_at": now,
        }
        lock = frequent.LOCK_DOCUMENT[self.connection.dialect.name]
        return rows.document_of((await self.connection.run(lock, new))[0])

    async def known_before(
        self, sender: str, digest: str, document_id: str
    ) -> tuple[bool, DocumentRecord | None]:
        """See the port."""
        key = {"sender": sender, "digest": digest, "document_id": document_id}
        (row,) = await self.connection.run(frequent.KNOWN_BEFORE, key)
        return bool(row["known"]), rows.document_of(row) if row["pk"] is not None else None

    async def find_document(self, sender: str, document_id: str) -> DocumentRecord | None:
        """See the port."""
        key = {"sender": sender, "document_id": document_id}
        found = await self.connection.run(frequent.FIND_DOCUMENT, key)
        return rows.document_of(found[0]) if found else None

    async def documents_called(self, document_id: str) -> list[DocumentRecord]:
        """See the port."""
        query = select(documents).where(documents.c.document_id == document_id)
        found = await self._all(query.order_by(documents.c.created_at, documents.c.pk))
        return [rows.document_of(row) for row in found]

    async def get_document(self, document_pk: str) -> DocumentRecord | None:
        """See the port."""
        row = await self._one(select(documents).where(documents.c.pk == document_pk))
        return rows.document_of(row) if row else None

    async def set_version(self, document_pk: str, version: int, subject: str, search: str) -> None:
        """See the port."""
        new = {"row_pk": document_pk, "version": version, "subject": subject, "search": search}
        await self.connection.run_many(frequent.SET_VERSION, [new])

    async def search_documents(self, query: DocumentQuery) -> list[DocumentRecord]:
        """See the port."""
        return [
            rows.document_of(row) for row in await self._all(statements.search_documents(query))
        ]

    # --- deliveries -------------------------------------------------------------------------------

    async def insert_deliveries(self, new: Sequence[Delivery]) -> None:
        """See the port."""
        if new:
            made = [rows.delivery_row(delivery) for delivery in new]
            await self.connection.run_many(frequent.INSERT_DELIVERY, made)

    async def get_delivery(self, delivery_id: str, *, lock: bool = False) -> Delivery | None:
        """See the port."""
        found = await self.get_deliveries([delivery_id], lock=lock)
        return found[0] if found else None

    async def get_deliveries(
        self, delivery_ids: Sequence[str], *, lock: bool = False
    ) -> list[Delivery]:
        """See the port."""
        by_ids = frequent.LOCK_DELIVERIES if lock else frequent.GET_DELIVERIES
        statement = by_ids[self.connection.dialect.name]
        found = await self.connection.run(statement, {"ids": list(delivery_ids)})
        return [rows.delivery_of(row) for row in found]

    async def deliveries_behind(
        self, some_id: str, connection_id: str, *, lock: bool = False
    ) -> list[Delivery]:
        """See the port."""
        mine = {"id": some_id, "connection_id": connection_id}
        look = frequent.LOCK_BEHIND if lock else frequent.LOOK_BEHIND
        found = await self.connection.run(look, mine)
        for row in found:
            self._seen[row["package_id"]] = rows.package_of(row, "p_")
        return [rows.delivery_of(row) for row in found]

    async def deliveries_of_package(self, package_id: str, *, lock: bool = False) -> list[Delivery]:
        """See the port. Ids grow, so their order is that of the recipients."""
        query = select(deliveries).where(deliveries.c.package_id == package_id)
        return await self._deliveries(query.order_by(deliveries.c.id), lock)

    async def deliveries_of_document(
        self, document_pk: str, recipient: str = "", *, kind: str = "", lock: bool = False
    ) -> list[Delivery]:
        """See the port."""
        query = select(*deliveries.c).where(deliveries.c.document_pk == document_pk)
        if recipient:
            query = query.where(deliveries.c.recipient == recipient)
        if kind:
            of_kind = select(packages.c.id).where(
                packages.c.document_pk == document_pk, packages.c.kind == kind
            )
            query = query.where(deliveries.c.package_id.in_(of_kind))
        return await self._deliveries(query.order_by(deliveries.c.version, deliveries.c.id), lock)

    async def deliveries_of_documents(
        self, document_pks: Sequence[str]
    ) -> list[tuple[Delivery, str | None]]:
        """See the port."""
        query = (
            select(*deliveries.c, packages.c.connection_id.label("sent_by"))
            .join(packages, packages.c.id == deliveries.c.package_id)
            .where(deliveries.c.document_pk.in_(document_pks))
            .order_by(deliveries.c.version, deliveries.c.id)
        )
        return [(rows.delivery_of(row), row["sent_by"]) for row in await self._all(query)]

    async def search_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """See the port."""
        return await self._deliveries(statements.search_deliveries(query), lock=False)

    async def apply(self, changes: Sequence[Change]) -> None:
        """See the port."""
        if changes:
            await self.connection.run_many(
                frequent.STORE_CHANGE, [rows.change_row(change) for change in changes]
            )
            await self.append([change.event for change in changes])

    # --- outbox, inbox, recovery ------------------------------------------------------------------

    async def claim_rings(
        self, owner: str, now: datetime, until: datetime, limit: int, window: int
    ) -> list[Delivery]:
        """See the port."""
        asked = {"owner": owner, "now": now, "until": until, "limit": limit, "window": window}
        found = await self.connection.run(frequent.CLAIM_RINGS, asked)
        claimed = [rows.delivery_of(row) for row in found]
        return sorted(claimed, key=lambda row: (row.lane.rank, row.fair_key, row.id))

    async def queue_rings(self, owner: str, changes: Sequence[Change]) -> list[str]:
        """See the port."""
        if not changes:
            return []
        states = {(one.before.state.value, one.after.state.value) for one in changes}
        ((before, after),) = states
        asked = {
            "owner": owner,
            "ids": [one.after.id for one in changes],
            "before": before,
            "after": after,
            "now": changes[0].after.updated_at,
        }
        queue = frequent.QUEUE_CONFIRMED[self.connection.dialect.name]
        stored = {row["id"] for row in await self.connection.run(queue, asked)}
        await self.append([one.event for one in changes if one.after.id in stored])
        return sorted(stored)

    async def settle_rings(
        self, owner: str, confirmed: Sequence[str], failed: Sequence[str], retry_at: datetime
    ) -> list[Delivery]:
        """See the port."""
        if failed:
            await self.connection.execute(statements.settle_failed(owner, failed, retry_at))
        if not confirmed:
            return []
        settle = frequent.SETTLE_CONFIRMED[self.connection.dialect.name]
        mine = {"owner": owner, "ids": list(confirmed)}
        return [rows.delivery_of(row) for row in await self.connection.run(settle, mine)]

    async def inbox(
        self, connection_id: str, after: InboxCursor | None, limit: int
    ) -> list[InboxItem]:
        """See the port."""
        asked: dict[str, Any] = {"connection_id": connection_id, "limit": limit}
        page = frequent.INBOX
        if after is not None:
            page = frequent.INBOX_AFTER
            asked |= {"rank": after.rank, "offered_at": after.offered_at, "id": after.delivery_id}
        found = await self.connection.run(page, asked)
        return [InboxItem(rows.delivery_of(row), rows.package_of(row, "p_")) for row in found]

    async def lost_rings(self, before: datetime, limit: int) -> list[Delivery]:
        """See the port."""
        return await self._deliveries(statements.lost_rings(before, limit), lock=False)

    async def lapsed_leases(self, now: datetime, limit: int) -> list[Delivery]:
        """See the port."""
        return await self._deliveries(statements.lapsed_leases(now, limit), lock=False)

    # --- attempts and events ----------------------------------------------------------------------

    async def start_attempt(self, attempt: Attempt) -> None:
        """See the port."""
        await self.connection.execute(insert(delivery_attempts), rows.attempt_row(attempt))

    async def finish_attempt(self, attempt: Attempt) -> None:
        """See the port."""
        table = delivery_attempts.c
        await self.connection.execute(
            update(delivery_attempts)
            .where(table.delivery_id == attempt.delivery_id, table.started_at == attempt.started_at)
            .values(
                ended_at=attempt.ended_at,
                outcome=attempt.outcome,
                detail=rows.storable(attempt.detail),
            )
        )

    async def attempts_of(self, delivery_id: str) -> list[Attempt]:
        """See the port."""
        query = select(delivery_attempts).where(delivery_attempts.c.delivery_id == delivery_id)
        found = await self._all(query.order_by(delivery_attempts.c.started_at))
        return [rows.attempt_of(row) for row in found]

    async def append(self, new: Sequence[Event]) -> None:
        """See the port."""
        if new and self.fan_out is not None and await self.fan_out.wants(self.connection, new):
            await self.flush()
            await self.fan_out.append(self.connection, new)
        else:
            self._appended += new

    async def flush(self) -> None:
        """Insert the events that were collected, in their order."""
        collected, self._appended = self._appended, []
        if collected:
            new = [rows.event_row(event) for event in collected]
            await self.connection.run_many(frequent.INSERT_EVENT, new)

    async def events_of_document(self, document_pk: str) -> list[Event]:
        """See the port."""
        return await self._events(select(events).where(events.c.document_pk == document_pk))

    async def events_of_package(self, package_id: str) -> list[Event]:
        """See the port."""
        return await self._events(select(events).where(events.c.package_id == package_id))

    async def events_after(self, seq: int, limit: int) -> list[Event]:
        """See the port."""
        return await self._events(select(events).where(events.c.seq > seq).limit(limit))

    # --- registry ---------------------------------------------------------------------------------

    async def registry_version(self) -> int:
        """See the port."""
        return await registry_version(self.connection)

    async def load_registry(self) -> RegistryData:
        """See the port."""
        return await load_registry(self.connection)

    # --- helpers ----------------------------------------------------------------------------------

    async def _all(self, query: Select[Any]) -> list[Any]:
        return list((await self.connection.execute(query)).mappings())

    async def _one(self, query: Select[Any]) -> Any:
        return (await self.connection.execute(query)).mappings().one_or_none()

    async def _deliveries(self, query: Select[Any], lock: bool) -> list[Delivery]:
        if lock:
            query = query.with_for_update()
        return [rows.delivery_of(row) for row in await self._all(query)]

    async def _events(self, query: Select[Any]) -> list[Event]:
        await self.flush()
        return [rows.event_of(row) for row in await self._all(query.order_by(events.c.seq))]


def sql_of(tx: Transaction) -> Executes:
    """What runs statements in this transaction; TypeError for another database's."""
    if not isinstance(tx, SqlTransaction):
        raise TypeError("this store works on its own database only")
    return tx.connection


def _package(found: Sequence[rows.Row]) -> PackageRecord | None:
    return rows.package_of(found[0]) if found else None
