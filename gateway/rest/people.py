"""/v1/admin: documents for people — auditors, clerks, operators (`gateway.access`)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from adapters.database import SealStore
from adapters.oidc import ProviderAway
from envelopes.findings import Sentence
from gateway import clock
from gateway.access.gate import NotKnown, WaitFirst
from gateway.access.people import Person, Right
from gateway.access.view import (
    Seen,
    readable_package,
    scope_of,
    visible_copies,
    visible_document,
)
from gateway.rest import encode
from gateway.rest.documents import search_query
from gateway.rest.packages import note_reading
from gateway.rest.payload_answer import bytes_of
from gateway.rest.problems import (
    Problem,
    ambiguous,
    not_found,
    not_your_role,
    too_many_failures,
    unknown_person,
)
from gateway.rest.requests import bearer_token, correlation_id, id_of, services
from gateway.story import story_of
from gateway.waiting import why_waiting
from routing.ports import Transaction
from routing.records import DOCUMENT_READ, Delivery, DocumentRecord, PackageRecord
from routing.route_table import RouteTable


async def person(request: web.Request, right: Right | None = None) -> Person:
    """The person whose token the request carries, if they may do this.

    Raises `Problem` 401, 403, 429 or 503.
    """
    token = bearer_token(request)
    if not token:
        raise unknown_person()
    found = await services(request).people.authenticate(token, request.remote)
    match found:
        case NotKnown():
            raise unknown_person()
        case WaitFirst():
            raise too_many_failures(found.seconds)
        case ProviderAway():
            raise _provider_away()
    if right is not None and not found.may(right):
        raise not_your_role(found.name)
    return found


def _provider_away() -> Problem:
    return Problem(
        503,
        "provider-away",
        Sentence(
            vi="Chưa hỏi được máy chủ đăng nhập (OpenID Connect); hãy thử lại sau ít giây.",
            en="The OpenID Connect provider cannot be asked just now; try again in a few seconds.",
        ),
        headers={"Retry-After": "5"},
    )


async def me(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/me: who the gateway takes the caller for."""
    asker = await person(request)
    return encode.answer(
        {
            "name": asker.name,
            "roles": sorted(role.value for role in asker.roles),
            "agencies": [code.text for code in asker.agencies],
            "rights": [right.value for right in Right if asker.may(right)],
        }
    )


async def search(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/documents: all of them, or those of a clerk's agencies; newest first."""
    asker = await person(request, Right.FOLLOW)
    gateway = services(request)
    routes = await gateway.registry.routes()
    query = search_query(request, routes, within=scope_of(asker, routes))

    async def read(tx: Transaction) -> tuple[list[DocumentRecord], dict[str, list[Delivery]]]:
        records = await tx.search_documents(query)
        return records, await visible_copies(tx, asker, records, routes)

    found, copies = await gateway.database.read(read)
    more = len(found) == query.limit
    return encode.answer(
        {
            "items": [encode.document(record, copies[record.pk]) for record in found],
            "next": found[-1].pk if more else None,
        }
    )


async def _document(request: web.Request) -> tuple[Seen, RouteTable]:
    """The document of the path. Raises `Problem` 401, 403, 404, 409 or 429."""
    asker = await person(request, Right.FOLLOW)
    gateway = services(request)
    routes = await gateway.registry.routes()
    wanted = request.match_info["id"]

    async def read(tx: Transaction) -> Seen | list[DocumentRecord] | None:
        return await visible_document(tx, asker, wanted, routes)

    found = await gateway.database.read(read)
    if isinstance(found, list):
        raise ambiguous(wanted, [one.pk for one in found])
    if found is None:
        raise not_found("document", "văn bản")
    return found, routes


async def events(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/documents/{id}/events: the lines of the log, with who read it."""
    seen, _ = await _document(request)
    return encode.answer(
        {
            "document": encode.document(seen.document, seen.deliveries),
            "items": [encode.event(line) for line in seen.events],
        }
    )


async def story(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/documents/{id}/story: the same in sentences, as `lienthong trace` tells it."""
    seen, routes = await _document(request)

    def name_of(connection_id: str | None) -> str:
        known = routes.connections.get(connection_id or "")
        return known.name if known else ""

    told = story_of(
        seen.document,
        seen.events,
        seen.packages,
        seen.deliveries,
        name_of,
        lambda row: why_waiting(row, routes.connections, clock.now()),
    )
    return encode.answer(told.as_dict())


async def evidence(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/documents/{id}/evidence: what proves the story; nothing of the content."""
    seen, _ = await _document(request)
    store = SealStore(services(request).database)
    sealed = await store.seals_of([line.seq for line in seen.events])
    seals = await store.seals_numbered(list(sealed.values()))
    receipts = await store.receipts([one.id for one in seen.packages])
    return encode.answer(
        {
            "document": encode.document(seen.document, seen.deliveries),
            "packages": [_proof(one, receipts.get(one.id)) for one in seen.packages],
            "events": [
                {"seq": line.seq, "type": line.type, "seal": sealed.get(line.seq)}
                for line in seen.events
            ],
            "seals": [
                {
                    "number": seal.number,
                    "sealedAt": encode.time_of(seal.sealed_at),
                    "events": seal.events,
                    "root": seal.root,
                    "previous": seal.previous,
                    "signed": seal.signed,
                }
                for seal in seals
            ],
        }
    )


def _proof(package: PackageRecord, receipt: str | None) -> dict[str, Any]:
    return {
        "id": package.id,
        "kind": package.kind,
        "meaning": package.meaning,
        "version": package.version,
        "sender": package.sender_organ_id,
        "sha256": package.digest,
        "size": package.size,
        "receivedAt": encode.time_of(package.received_at),
        "receipt": receipt,
    }


async def content(request: web.Request) -> web.StreamResponse:
    """GET /v1/admin/packages/{id}/content: the bytes, for clerks of the sender or a receiver."""
    asker = await person(request, Right.READ_CONTENT)
    gateway = services(request)
    routes = await gateway.registry.routes()
    package_id = id_of(request)

    async def read(tx: Transaction) -> PackageRecord | None:
        if package_id is None:
            return None
        return await readable_package(tx, asker, package_id, routes)

    package = await gateway.database.read(read)
    if package is None:
        raise not_found("package", "gói tin")
    await note_reading(gateway, package, DOCUMENT_READ, asker.actor, correlation_id(request))
    return await bytes_of(request, gateway, package)
