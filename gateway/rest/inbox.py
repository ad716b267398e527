"""The inbox of a pull connection, and reports on what was received."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from aiohttp import web

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, Party, StaffInfo, StatusCode
from envelopes.rule_catalogue import make
from gateway import clock
from gateway.rest import encode
from gateway.rest.body import json_object, place_for
from gateway.rest.packages import take_bytes
from gateway.rest.problems import Problem, bad_parameter, not_found
from gateway.rest.requests import (
    as_json,
    connection,
    correlation_id,
    id_of,
    number,
    only,
    only_named,
    services,
    text_member,
)
from gateway.services import Services
from routing.deadlines import Deadline
from routing.gateway_reports import About, compose_report
from routing.ports import InboxItem, Transaction
from routing.pull import NotPossible, NotYours, confirm, list_inbox, own_deliveries
from routing.records import DOCUMENT, Attempt, Delivery, PackageRecord, can_have
from routing.route_table import Connection
from routing.submission import RefusalKind
from schemas.catalogue import CodeEntry, status_codes

#: Seconds between two looks into the database while waiting for other processes' work.
LOOK_AGAIN = 1.0


async def inbox(request: web.Request) -> web.StreamResponse:
    """GET /v1/inbox: what waits; with `wait`, the answer may take so long when nothing does."""
    asker = await connection(request)
    gateway = services(request)
    only_named(request, {"limit", "wait", "cursor"})
    limit = number(request, "limit", 100, 1, 1000)
    wait = number(request, "wait", 0, 0, gateway.settings.longest_poll_seconds)
    cursor = request.query.get("cursor")
    after = encode.parse_cursor(cursor) if cursor else None
    if cursor and after is None:
        allowed = Sentence(
            "giá trị `next` của lần trả lời trước", "the `next` of an earlier answer"
        )
        raise bad_parameter("cursor", cursor[:100], allowed)
    deadline = time.monotonic() + wait
    while True:
        items = await list_inbox(gateway.database, asker.id, after, limit)
        left = deadline - time.monotonic()
        if items or left <= 0 or gateway.stopping.is_set():
            break
        await gateway.inbox.wait(min(left, LOOK_AGAIN), asker.id)
    return encode.answer(_page(items, limit))


def _page(items: list[InboxItem], limit: int) -> dict[str, Any]:
    more = len(items) == limit
    return {
        "items": [encode.inbox_item(item) for item in items],
        "next": encode.cursor_of(items[-1]) if more else None,
    }


async def confirmation(request: web.Request) -> web.StreamResponse:
    """POST /v1/inbox/{id}/confirm: the receiving system has the whole package."""
    asker = await connection(request)
    gateway = services(request)
    some_id = id_of(request)
    if some_id is None:
        raise not_found("delivery", "lượt gửi")
    result = await confirm(gateway.database, some_id, asker, clock.now(), gateway.on_time)
    if isinstance(result, NotYours):
        raise not_found("delivery", "lượt gửi")
    if isinstance(result, NotPossible):
        state = result.delivery.state.value
        raise Problem(409, "not-possible-now", result.sentence, state=state)
    row = result.delivery
    if not result.repeated:
        gateway.metrics.outcomes.labels(asker.name, row.lane.value, "delivered").inc()
    return encode.answer({**encode.delivery(row), "alreadyConfirmed": result.repeated})


async def delivery(request: web.Request) -> web.StreamResponse:
    """GET /v1/deliveries/{id}: one recipient's copy with its attempts, for sender and recipient."""
    asker = await connection(request)
    delivery_id = id_of(request)

    async def read(tx: Transaction) -> tuple[Delivery, list[Attempt], list[Deadline]] | None:
        row = await tx.get_delivery(delivery_id or "")
        package = await tx.get_package(row.package_id) if row else None
        if row is None or package is None:
            return None
        received = row.connection_id == asker.id and can_have(row)
        if package.connection_id != asker.id and not received:
            return None
        limits = await tx.deadlines.of_document(row.document_pk or "")
        mine = [one for one in limits if one.delivery_id == row.id]
        return row, await tx.attempts_of(row.id), mine

    found = await services(request).database.read(read)
    if found is None:
        raise not_found("delivery", "lượt gửi")
    row, attempts, limits = found
    log = [encode.attempt(record) for record in attempts]
    deadlines = [encode.deadline(record) for record in limits]
    return encode.answer({**encode.delivery(row), "attemptsLog": log, "deadlines": deadlines})


async def report(request: web.Request) -> web.StreamResponse:
    """POST /v1/deliveries/{id}/reports: a status package for systems that cannot compose one."""
    asker = await connection(request)
    gateway = services(request)
    wanted = _report_of(await json_object(request))
    row, package = await _reported(gateway, id_of(request) or "", asker)
    routes = await gateway.registry.routes()
    sender = Party(row.recipient_organ_id, routes.name_of(row.recipient))
    content = compose_report(
        sender,
        About.of(package),
        wanted.code,
        wanted.description,
        wanted.at or clock.now(),
        wanted.staff,
    )
    with place_for(gateway, asker):
        result = await take_bytes(gateway, content, asker, correlation_id(request))
    return encode.answer(encode.accepted(result), 200 if result.repeated else 202)


async def _reported(
    gateway: Services, some_id: str, asker: Connection
) -> tuple[Delivery, PackageRecord]:
    """The delivery that a report is about: this connection's, of a document."""

    async def read(tx: Transaction) -> tuple[list[Delivery], PackageRecord | None]:
        rows = await own_deliveries(tx, some_id, asker.id, lock=False)
        return rows, await tx.get_package(rows[0].package_id) if rows else None

    rows, package = await gateway.database.read(read)
    if package is None:
        raise not_found("delivery", "lượt gửi")
    if package.kind != DOCUMENT:
        raise Problem(
            409,
            "not-a-document",
            Sentence(
                vi="Không báo trạng thái cho một gói tin trạng thái.",
                en="A status package is not reported on.",
            ),
        )
    if len(rows) > 1:
        ids = ", ".join(row.id for row in rows)
        raise bad_parameter("id", some_id, Sentence(f"một lượt gửi: {ids}", f"a delivery: {ids}"))
    return rows[0], package


class _Report:
    """The checked body of a report."""

    def __init__(
        self, code: StatusCode, description: str, at: datetime | None, staff: StaffInfo | None
    ) -> None:
        self.code = code
        self.description = description
        self.at = at
        self.staff = staff


def _report_of(body: dict[str, Any]) -> _Report:
    only(body, "statusCode", "description", "timestamp", "staff")
    try:
        code = StatusCode(text_member(body, "statusCode"))
    except ValueError:
        allowed = ", ".join(code.value for code in StatusCode)
        raise bad_parameter("statusCode", text_member(body, "statusCode")[:100], allowed) from None
    staff = body.get("staff")
    staff = {} if staff is None else staff
    if not isinstance(staff, dict) or set(staff) - set(StaffInfo.__slots__):
        raise bad_parameter("staff", as_json(staff)[:100], "department, staff, mobile, email")
    people = StaffInfo(**{name: text_member(staff, name) for name in staff}) if staff else None
    description = text_member(body, "description")
    if status_codes()[code.value].needs_reason and not description:
        raise _without_reason(status_codes()[code.value])
    return _Report(code, description, _moment(body), people)


def _without_reason(code: CodeEntry) -> Problem:
    """What the package would be refused for, in the words of this body."""
    finding = make(
        "STATUS-REASON",
        element="description",
        found=code.code,
        said=Sentence(f"{code.code} ({code.vi})", f"{code.code} ({code.en})"),
        allowed=Sentence("lý do", "a reason"),
    )
    invalid = RefusalKind.INVALID.value
    return Problem(422, invalid, finding.sentence, findings=[finding], parameter="description")


def _moment(body: dict[str, Any]) -> datetime | None:
    given = text_member(body, "timestamp")
    if not given:
        return None
    try:
        parsed = datetime.fromisoformat(given)
        local = parsed if parsed.tzinfo else parsed.replace(tzinfo=VIETNAM_TIME)
        return local.astimezone(VIETNAM_TIME)
    except (ValueError, OverflowError):
        raise bad_parameter("timestamp", given, "ISO 8601") from None
