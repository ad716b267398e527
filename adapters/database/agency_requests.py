"""What partners asked to change in the directory: agencies registered and removed below their own.

A request that needs no approval is written down as approved when it is made, so the table is also
where the particulars of registered agencies are kept that the directory has no place for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import insert, select, update

from adapters.database.executes import Executes
from adapters.database.partner_tables import agency_requests
from adapters.database.registry_store import replace_agencies
from adapters.database.rows import Row
from adapters.database.store import SqlDatabase
from adapters.database.tables import agencies
from adapters.database.transaction import sql_of
from identifiers.agency import Agency
from routing.ports import Transaction
from routing.records import Event


class RequestAction(StrEnum):
    """What a partner asks for."""

    REGISTER = "register"
    REMOVE = "remove"


class AgencyRequestState(StrEnum):
    """How a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AgencyRequest:
    """One request about one agency."""

    id: str
    connection_id: str
    action: RequestAction
    organ_key: str
    organ_id: str
    name: str
    state: AgencyRequestState
    requested_at: datetime
    #: What the partner said besides: mail, mobile, fax.
    particulars: dict[str, str] = field(default_factory=dict)
    decided_at: datetime | None = None
    #: The operator's name, or ``gateway`` where no approval is needed.
    decided_by: str = ""
    note: str = ""


class AgencyRequestStore:
    """Requests in the database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def make(
        self, request: AgencyRequest, change: Agency | None, *, actor: str
    ) -> AgencyRequest:
        """Keep a request, once; with `change`, which needs no approval, the directory changes too.

        A pending request for the same is given back instead of a second one; one for the opposite
        is superseded by this.
        """

        async def write(tx: Transaction) -> AgencyRequest:
            sql = sql_of(tx)
            same = select(agency_requests.c.id).where(agency_requests.c.id == request.id)
            if (await sql.execute(same)).one_or_none() is not None:
                # This very transaction was committed before, and its answer was lost.
                return request
            pending = await _pending(sql, request.connection_id, request.organ_key)
            for one in pending:
                if change is None and (one.action, one.name) == (request.action, request.name):
                    return one
            await _settle(
                sql,
                [one.id for one in pending],
                AgencyRequestState.REFUSED,
                request.requested_at,
                "gateway",
                "superseded by a later request",
            )
            await sql.execute(insert(agency_requests), _row(request))
            event = _event("requested" if change is None else "changed", request, actor)
            if change is None:
                await tx.append([event])
            else:
                await replace_agencies(sql, [change], event)
            return request

        return await self._database.write(write)

    async def decide(
        self,
        request: AgencyRequest,
        change: Agency | None,
        *,
        note: str,
        operator: str,
        now: datetime,
    ) -> bool:
        """Approve with `change`, or refuse with None; False when it was decided meanwhile."""
        state = AgencyRequestState.REFUSED if change is None else AgencyRequestState.APPROVED

        async def write(tx: Transaction) -> bool:
            sql = sql_of(tx)
            pending = await _pending(sql, request.connection_id, request.organ_key)
            if request.id not in {one.id for one in pending}:
                return False
            await _settle(sql, [request.id], state, now, operator, note)
            event = _event(state.value, request, f"operator:{operator}", now, note)
            if change is None:
                await tx.append([event])
            else:
                await replace_agencies(sql, [change], event)
            return True

        return await self._database.write(write)

    async def list(
        self, state: AgencyRequestState | None = None, organ_key: str = ""
    ) -> list[AgencyRequest]:
        """Requests, the oldest first; in one state or about one agency if that is given."""
        query = select(agency_requests).order_by(
            agency_requests.c.requested_at, agency_requests.c.id
        )
        if state is not None:
            query = query.where(agency_requests.c.state == state.value)
        if organ_key:
            query = query.where(agency_requests.c.organ_key == organ_key)

        async def read(tx: Transaction) -> list[AgencyRequest]:
            found = await sql_of(tx).execute(query)
            return [_request(row) for row in found.mappings()]

        return await self._database.read(read)

    async def changed_at(self) -> dict[str, datetime]:
        """When each agency of the directory was last changed, by its organ key."""

        async def read(tx: Transaction) -> dict[str, datetime]:
            found = await sql_of(tx).execute(select(agencies.c.organ_key, agencies.c.updated_at))
            return {row.organ_key: row.updated_at for row in found}

        return await self._database.read(read)


async def _pending(sql: Executes, connection_id: str, organ_key: str) -> list[AgencyRequest]:
    table = agency_requests.c
    found = await sql.execute(
        select(agency_requests)
        .where(
            table.connection_id == connection_id,
            table.organ_key == organ_key,
            table.state == AgencyRequestState.PENDING.value,
        )
        .with_for_update()
    )
    return [_request(row) for row in found.mappings()]


async def _settle(
    sql: Executes,
    ids: Sequence[str],
    state: AgencyRequestState,
    now: datetime,
    by: str,
    note: str,
) -> None:
    if ids:
        await sql.execute(
            update(agency_requests)
            .where(agency_requests.c.id.in_(ids))
            .values(state=state.value, decided_at=now, decided_by=by, note=note)
        )


def _row(request: AgencyRequest) -> dict[str, object]:
    return {
        **{name: getattr(request, name) for name in AgencyRequest.__slots__},
        "action": request.action.value,
        "state": request.state.value,
    }


def _request(row: Row) -> AgencyRequest:
    data = dict(row)
    data["action"] = RequestAction(data["action"])
    data["state"] = AgencyRequestState(data["state"])
    return AgencyRequest(**data)


def _event(
    what: str, request: AgencyRequest, actor: str, at: datetime | None = None, note: str = ""
) -> Event:
    return Event(
        type=f"registry.agency-{what}",
        at=at or request.requested_at,
        actor=actor,
        data={
            "request": request.id,
            "action": request.action.value,
            "agency": request.organ_id,
            "name": request.name,
            "note": note,
        },
    )
