"""Requests to change copies, and links between documents, on one SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.database.executes import Executes
from adapters.database.lifecycle_tables import change_requests, document_links
from adapters.database.tables import deliveries
from routing.change_requests import ChangeRequest, RequestKind, RequestState
from routing.records import Link

_FIELDS = tuple(field.name for field in fields(ChangeRequest))


class SqlRequests:
    """`routing.ports.RequestStore`."""

    def __init__(self, connection: Executes) -> None:
        self._connection = connection

    async def add(self, requests: Sequence[ChangeRequest]) -> None:
        """See the port."""
        if requests:
            await self._connection.execute(insert(change_requests), [_row(one) for one in requests])

    async def settle(self, requests: Sequence[ChangeRequest]) -> None:
        """See the port."""
        for one in requests:
            await self._connection.execute(
                update(change_requests)
                .where(change_requests.c.id == one.id)
                .values(state=one.state.value, answered_at=one.answered_at, answer=one.answer)
            )

    async def pending_of_document(self, document_pk: str) -> list[ChangeRequest]:
        """See the port."""
        column = change_requests.c
        query = select(change_requests).where(
            column.document_pk == document_pk, column.state == RequestState.PENDING.value
        )
        return await self._requests(query.order_by(column.requested_at, column.id))

    async def pending_for(self, document_pk: str, recipient: str) -> list[ChangeRequest]:
        """See the port."""
        return await self._of_recipient(document_pk, recipient, RequestState.PENDING)

    async def superseded_for(self, document_pk: str, recipient: str) -> list[ChangeRequest]:
        """See the port."""
        return await self._of_recipient(document_pk, recipient, RequestState.SUPERSEDED)

    async def _of_recipient(
        self, document_pk: str, recipient: str, state: RequestState
    ) -> list[ChangeRequest]:
        column = change_requests.c
        theirs = select(deliveries.c.id).where(
            deliveries.c.document_pk == document_pk, deliveries.c.recipient == recipient
        )
        query = select(change_requests).where(
            column.state == state.value,
            or_(column.delivery_id.in_(theirs), column.carrier_id.in_(theirs)),
        )
        return await self._requests(query.order_by(column.requested_at, column.id))

    async def of_document(self, document_pk: str) -> list[ChangeRequest]:
        """See the port."""
        query = select(change_requests).where(change_requests.c.document_pk == document_pk)
        return await self._requests(query.order_by(change_requests.c.requested_at))

    async def link(self, link: Link, now: datetime) -> None:
        """See the port."""
        row = {
            "from_pk": link.from_pk,
            "to_pk": link.to_pk,
            "kind": link.kind,
            "package_id": link.package_id,
            "created_at": now,
        }
        new: Any
        if self._connection.dialect.name == "postgresql":
            new = postgresql.insert(document_links).values(row)
        else:
            new = sqlite.insert(document_links).values(row)
        await self._connection.execute(new.on_conflict_do_nothing())

    async def links_of(self, document_pks: Sequence[str]) -> list[Link]:
        """See the port."""
        column = document_links.c
        query = select(document_links).where(
            or_(column.from_pk.in_(document_pks), column.to_pk.in_(document_pks))
        )
        found = await self._connection.execute(query.order_by(column.created_at, column.from_pk))
        return [
            Link(row["from_pk"], row["to_pk"], row["kind"], row["package_id"])
            for row in found.mappings()
        ]

    async def _requests(self, query: Any) -> list[ChangeRequest]:
        found = (await self._connection.execute(query)).mappings()
        return [
            ChangeRequest(
                **{
                    **{name: row[name] for name in _FIELDS},
                    "kind": RequestKind(row["kind"]),
                    "state": RequestState(row["state"]),
                }
            )
            for row in found
        ]


def _row(one: ChangeRequest) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in _FIELDS}
    return {**row, "kind": one.kind.value, "state": one.state.value}
