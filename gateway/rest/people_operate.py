"""/v1/admin: deliveries and connections, for operators; auditors may look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from adapters.database import RegistryStore
from envelopes.findings import Sentence
from gateway import clock
from gateway.access.people import Person, Right
from gateway.rest import encode
from gateway.rest.body import json_object
from gateway.rest.people import person
from gateway.rest.problems import Problem, bad_parameter, not_found
from gateway.rest.requests import id_of, number, only, only_named, services, text_member
from gateway.services import Services
from gateway.waiting import why_waiting
from routing.dead_letters import Answer, NotNow, UnknownDelivery
from routing.ports import DeliveryQuery, Transaction
from routing.records import Delivery, Event, PackageRecord
from routing.route_table import Connection, ConnectionStatus, RouteTable
from routing.states import TransportState

Step = Callable[[Services, str, Person, str, RouteTable], Awaitable[Answer]]


async def deliveries(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/deliveries: newest first, narrowed by state, connection and recipient."""
    await person(request, Right.LOOK)
    gateway = services(request)
    routes = await gateway.registry.routes()
    query = _query(request, routes)

    async def read(tx: Transaction) -> tuple[list[Delivery], dict[str, PackageRecord]]:
        rows = await tx.search_deliveries(query)
        return rows, await tx.get_packages(list({row.package_id for row in rows}))

    rows, packages = await gateway.database.read(read)
    return encode.answer(
        {
            "items": [_shown(row, packages[row.package_id], routes) for row in rows],
            "next": rows[-1].id if len(rows) == query.limit else None,
        }
    )


def _query(request: web.Request, routes: RouteTable) -> DeliveryQuery:
    known = {"state", "connection", "recipient", "documentId", "cursor", "limit"}
    only_named(request, known)
    given = request.query.get
    state, name, recipient = given("state", ""), given("connection", ""), given("recipient", "")
    if state and state not in set(TransportState):
        raise bad_parameter("state", state, ", ".join(TransportState))
    of = routes.connection_named(name) if name else None
    if name and of is None:
        allowed = Sentence("tên một kết nối", "the name of a connection")
        raise bad_parameter("connection", name[:100], allowed)
    return DeliveryQuery(
        states=(TransportState(state),) if state else (),
        connection_id=of.id if of else None,
        recipient=routes.key_of_text(recipient) if recipient else "",
        document_id=given("documentId"),
        after=given("cursor", ""),
        limit=number(request, "limit", 50, 1, 500),
    )


def _shown(row: Delivery, package: PackageRecord, routes: RouteTable) -> dict[str, Any]:
    waits = why_waiting(row, routes.connections, clock.now())
    connection = routes.connections.get(row.connection_id or "")
    return {
        **encode.delivery(row),
        "connection": connection.name if connection else None,
        "documentId": package.document_id,
        "kind": package.kind,
        "waiting": {"vi": waits.vi, "en": waits.en} if waits else None,
    }


def _stepping(step: Step, *, needs_reason: bool) -> Callable[..., Awaitable[web.StreamResponse]]:
    """A handler that takes one step on the delivery of the path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        asker = await person(request, Right.OPERATE)
        gateway = services(request)
        body = await json_object(request) if request.can_read_body else {}
        only(body, "reason")
        reason = text_member(body, "reason")
        if needs_reason and not reason:
            allowed = Sentence(
                "lý do, để ghi nhật ký và báo cho bên liên quan",
                "why, for the log and for who is told",
            )
            raise bad_parameter("reason", "", allowed)
        delivery_id = id_of(request)
        if delivery_id is None:
            raise not_found("delivery", "lượt gửi")
        routes = await gateway.registry.routes(newest=True)
        answer = await step(gateway, delivery_id, asker, reason, routes)
        match answer:
            case UnknownDelivery():
                raise not_found("delivery", "lượt gửi")
            case NotNow():
                state = answer.delivery.state.value
                raise Problem(409, "not-possible-now", answer.sentence, state=state)
        gateway.outbox.notify()
        return encode.answer(encode.delivery(answer))

    return handle


async def _hold(gateway: Services, one: str, who: Person, why: str, _routes: RouteTable) -> Answer:
    return await gateway.dead_letters.hold(one, who.name, why, clock.now())


async def _release(
    gateway: Services, one: str, who: Person, _why: str, routes: RouteTable
) -> Answer:
    return await gateway.dead_letters.release(one, who.name, routes, clock.now())


async def _replay(
    gateway: Services, one: str, who: Person, _why: str, routes: RouteTable
) -> Answer:
    return await gateway.dead_letters.replay(one, who.name, routes, clock.now())


async def _give_back(
    gateway: Services, one: str, who: Person, why: str, routes: RouteTable
) -> Answer:
    return await gateway.dead_letters.give_back(one, who.name, why, routes, clock.now())


#: POST /v1/admin/deliveries/{id}/…: the same steps as `lienthong deliveries …`.
hold = _stepping(_hold, needs_reason=True)
release = _stepping(_release, needs_reason=False)
replay = _stepping(_replay, needs_reason=False)
give_back = _stepping(_give_back, needs_reason=True)


async def log(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/events: the whole event log in order, also what is about no document."""
    await person(request, Right.LOOK)
    after = number(request, "after", 0, 0, 999_999_999)
    limit = number(request, "limit", 100, 1, 1000)

    async def read(tx: Transaction) -> list[Event]:
        return await tx.events_after(after, limit)

    found = await services(request).database.read(read)
    return encode.answer(
        {
            "items": [encode.event(line) for line in found],
            "next": found[-1].seq if len(found) == limit else None,
        }
    )


async def connections(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/connections: all of them by name, without secrets and options."""
    await person(request, Right.LOOK)
    routes = await services(request).registry.routes()
    found = sorted(routes.connections.values(), key=lambda one: one.name)
    return encode.answer({"items": [_connection(one) for one in found]})


def _connection(one: Connection) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "status": one.status.value,
        "agencies": [code.text for code in one.agencies],
        "createdAt": encode.time_of(one.created_at),
    }


_STATUS_OF = {
    "pause": ConnectionStatus.PAUSED,
    "drain": ConnectionStatus.DRAINING,
    "resume": ConnectionStatus.ACTIVE,
    "suspend": ConnectionStatus.SUSPENDED,
}


async def set_status(request: web.Request) -> web.StreamResponse:
    """POST /v1/admin/connections/{name}/{verb}: as `lienthong connections pause` and its like."""
    asker = await person(request, Right.OPERATE)
    gateway = services(request)
    status = _STATUS_OF.get(request.match_info["verb"])
    if status is None:
        raise bad_parameter("verb", request.match_info["verb"][:100], ", ".join(_STATUS_OF))
    routes = await gateway.registry.routes(newest=True)
    found = routes.connection_named(request.match_info["name"])
    if found is None:
        raise Problem(
            404,
            "not-found",
            Sentence(vi="Không có kết nối này.", en="There is no such connection."),
        )
    if found.status is not status:
        actor = f"operator:{asker.name}"
        await RegistryStore(gateway.database).set_status(
            found, status, actor=actor, now=clock.now()
        )
        gateway.outbox.notify()
        newest = await gateway.registry.routes(newest=True)
        found = newest.connection_named(found.name) or found
    return encode.answer(_connection(found))
