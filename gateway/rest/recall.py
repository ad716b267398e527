"""Taking a document back over REST: a status 13 per recipient, in its sender's name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from envelopes.findings import Sentence
from envelopes.model import Party, StatusCode
from gateway import clock
from gateway.rest import encode
from gateway.rest.body import json_object, place_for
from gateway.rest.documents import find
from gateway.rest.packages import take_bytes
from gateway.rest.problems import Problem, bad_parameter
from gateway.rest.requests import as_json, connection, correlation_id, services, text_member
from gateway.services import Services
from routing.change_step import copies_of
from routing.gateway_reports import About, compose_report
from routing.ports import Transaction
from routing.records import DOCUMENT, Delivery, PackageRecord
from routing.route_table import Connection, RouteTable


async def recall(request: web.Request) -> web.StreamResponse:
    """POST /v1/documents/{id}/recall: from all recipients, or from those named."""
    asker = await connection(request)
    gateway = services(request)
    body = await json_object(request)
    reason = text_member(body, "reason")
    if not reason:
        allowed = Sentence("lý do lấy lại văn bản", "why the document is taken back")
        raise bad_parameter("reason", "", allowed)
    found = await _sent(gateway, request.match_info["id"], asker)
    if found is None:
        raise Problem(
            404,
            "not-found",
            Sentence(
                vi="Kết nối của bạn chưa gửi văn bản nào có mã này.",
                en="Your connection has sent no document of this id.",
            ),
        )
    package, copies = found
    routes = await gateway.registry.routes()
    chosen = _chosen(body, copies, routes)
    results = []
    with place_for(gateway, asker):
        for copy in chosen:
            results.append(await _take_back(request, asker, package, copy, reason))
    return encode.answer(
        {"documentId": package.document_id, "items": results}, 202 if results else 200
    )


async def _sent(
    gateway: Services, some_id: str, asker: Connection
) -> tuple[PackageRecord, list[Delivery]] | None:
    """The newest package of a document that this connection sent, and one copy per recipient."""

    async def read(tx: Transaction) -> tuple[PackageRecord, list[Delivery]] | None:
        record = await find(tx, some_id, asker)
        if record is None:
            return None
        packages = await tx.packages_of_document(record.pk)
        own = [one for one in packages if one.connection_id == asker.id and one.kind == DOCUMENT]
        return (own[-1], await copies_of(tx, record.pk, lock=False)) if own else None

    return await gateway.database.read(read)


def _chosen(body: dict[str, Any], copies: list[Delivery], routes: RouteTable) -> list[Delivery]:
    """One copy for each recipient that the document is taken back from."""
    of_recipient = {copy.recipient: copy for copy in copies}
    wanted = body.get("recipients")
    if wanted is None:
        return list(of_recipient.values())
    if not isinstance(wanted, list) or not all(isinstance(code, str) for code in wanted):
        allowed = Sentence("danh sách mã cơ quan", "a list of agency codes")
        raise bad_parameter("recipients", as_json(wanted)[:100], allowed)
    chosen: dict[str, Delivery] = {}
    for code in wanted:
        copy = of_recipient.get(routes.key_of_text(code))
        if copy is None:
            raise Problem(
                404,
                "never-sent",
                Sentence(
                    vi=f"Văn bản này chưa từng được gửi cho {code[:40]}.",
                    en=f"The document was never sent to {code[:40]}.",
                ),
                recipients=sorted(of_recipient),
            )
        chosen[copy.recipient] = copy
    return list(chosen.values())


async def _take_back(
    request: web.Request, asker: Connection, package: PackageRecord, copy: Delivery, reason: str
) -> dict[str, Any]:
    gateway = services(request)
    about = replace(About.of(package), sender_organ_id=copy.recipient_organ_id)
    sender = Party(package.sender_organ_id, package.sender_name)
    content = compose_report(sender, about, StatusCode.TAKE_BACK, reason, clock.now())
    accepted = await take_bytes(gateway, content, asker, correlation_id(request))
    return {"recipient": copy.recipient, **encode.accepted(accepted)}
