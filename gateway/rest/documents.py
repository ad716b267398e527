"""Documents: search, and what happened to one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aiohttp import web

from envelopes.findings import Sentence
from gateway.rest import encode
from gateway.rest.problems import ambiguous, bad_parameter, not_found
from gateway.rest.requests import connection, moment, number, only_named, services
from identifiers.texts import fold
from routing.ports import DocumentQuery, Transaction
from routing.records import (
    DOCUMENT_READ,
    Delivery,
    DocumentRecord,
    Event,
    Link,
    PackageRecord,
    can_have,
)
from routing.route_table import Connection, RouteTable
from routing.states import TransportState

#: What a search may ask for: every word is looked for in every document.
MOST_WORDS = 10
LONGEST_SEARCH = 200
#: Documents that a thread shows at the most.
LONGEST_THREAD = 200


async def search(request: web.Request) -> web.StreamResponse:
    """GET /v1/documents: those that this connection sent or received, newest first."""
    asker = await connection(request)
    gateway = services(request)
    routes = await gateway.registry.routes()
    query = search_query(request, routes, connection_id=asker.id)

    async def read(tx: Transaction) -> tuple[list[DocumentRecord], list[Delivery]]:
        records = await tx.search_documents(query)
        rows = await tx.deliveries_of_documents([record.pk for record in records])
        return records, [row for row, sent_by in rows if _may_see(row, sent_by, asker)]

    found, seen = await gateway.database.read(read)
    of_document: dict[str | None, list[Delivery]] = defaultdict(list)
    for row in seen:
        of_document[row.document_pk].append(row)
    more = len(found) == query.limit
    return encode.answer(
        {
            "items": [encode.document(record, of_document[record.pk]) for record in found],
            "next": found[-1].pk if more else None,
        }
    )


def search_query(request: web.Request, routes: RouteTable, **narrowed: Any) -> DocumentQuery:
    """What the query of a request asks for, `narrowed` to what the asker may see.

    Raises `Problem` 400.
    """
    known = {"q", "documentId", "sender", "recipient", "state", "since", "until", "cursor", "limit"}
    only_named(request, known)
    state = request.query.get("state", "")
    if state and state not in set(TransportState):
        raise bad_parameter("state", state, ", ".join(TransportState))
    given = request.query.get
    words = given("q", "")
    if len(words) > LONGEST_SEARCH or len(words.split()) > MOST_WORDS:
        allowed = Sentence(
            f"tối đa {MOST_WORDS} từ và {LONGEST_SEARCH} ký tự",
            f"at most {MOST_WORDS} words and {LONGEST_SEARCH} characters",
        )
        raise bad_parameter("q", words[:40], allowed)
    return DocumentQuery(
        text=fold(words),
        document_id=given("documentId"),
        sender=routes.key_of_text(given("sender", "")) if given("sender") else "",
        recipient=routes.key_of_text(given("recipient", "")) if given("recipient") else "",
        state=state,
        since=moment(request, "since"),
        until=moment(request, "until"),
        after=given("cursor", ""),
        limit=number(request, "limit", 50, 1, 500),
        **narrowed,
    )


async def find(tx: Transaction, some_id: str, asker: Connection) -> DocumentRecord | None:
    """The document of this key or DocumentId, if the connection sent or received it.

    Several senders may use one DocumentId. The connection's own document is meant before those that
    it received; where several remain, `Problem` 409 names them.
    """
    record = await tx.get_document(some_id)
    for sent_only in (True, False):
        if record is None:
            found = await tx.search_documents(
                DocumentQuery(
                    document_id=some_id, connection_id=asker.id, sent_only=sent_only, limit=20
                )
            )
            if len(found) > 1:
                raise ambiguous(some_id, [one.pk for one in found])
            record = found[0] if found else None
    return record


async def events(request: web.Request) -> web.StreamResponse:
    """GET /v1/documents/{id}/events: its story, as far as this connection may see it."""
    asker = await connection(request)
    gateway = services(request)
    wanted = request.match_info["id"]

    async def read(tx: Transaction) -> tuple[DocumentRecord, list[Event], list[Delivery]] | None:
        record = await find(tx, wanted, asker)
        if record is None:
            return None
        packages = await tx.packages_of_document(record.pk)
        rows = await tx.deliveries_of_document(record.pk)
        story = await tx.events_of_document(record.pk)
        return record, *_seen_by(asker, packages, rows, story)

    found = await gateway.database.read(read)
    if found is None or not (found[1] or found[2]):
        raise not_found("document", "văn bản")
    record, story, rows = found
    return encode.answer(
        {
            "document": encode.document(record, rows),
            "items": [encode.event(line) for line in story],
        }
    )


async def thread(request: web.Request) -> web.StreamResponse:
    """GET /v1/documents/{id}/thread: what it answers and replaces, and what answers or replaces it.

    Read from either end; documents that the connection has no part in are left out.
    """
    asker = await connection(request)
    wanted = request.match_info["id"]

    async def read(tx: Transaction) -> tuple[list[dict[str, Any]], list[Link]] | None:
        first = await find(tx, wanted, asker)
        if first is None:
            return None
        links = await _links_around(tx, first.pk)
        pks = dict.fromkeys(
            [first.pk, *(pk for link in links for pk in (link.from_pk, link.to_pk))]
        )
        seen = defaultdict(list)
        for row, sent_by in await tx.deliveries_of_documents(list(pks)):
            if _may_see(row, sent_by, asker):
                seen[row.document_pk].append(row)
        records = [await tx.get_document(pk) for pk in pks if seen[pk]]
        shown = [encode.document(one, seen[one.pk]) for one in records if one is not None]
        known = {one["id"] for one in shown}
        return shown, [one for one in links if {one.from_pk, one.to_pk} <= known]

    found = await services(request).database.read(read)
    if found is None or not found[0]:
        raise not_found("document", "văn bản")
    links = [{"from": one.from_pk, "to": one.to_pk, "kind": one.kind} for one in found[1]]
    return encode.answer({"items": found[0], "links": links})


async def _links_around(tx: Transaction, document_pk: str) -> list[Link]:
    """All links that hang together with a document, at most `LONGEST_THREAD` documents."""
    known, frontier = {document_pk}, {document_pk}
    links: dict[tuple[str, str, str], Link] = {}
    while frontier and len(known) < LONGEST_THREAD:
        found = await tx.requests.links_of(sorted(frontier))
        links |= {(one.from_pk, one.to_pk, one.kind): one for one in found}
        frontier = {pk for one in found for pk in (one.from_pk, one.to_pk)} - known
        known |= frontier
    return list(links.values())


def _may_see(row: Delivery, sent_by: str | None, asker: Connection) -> bool:
    """The sender of a package sees all its copies; a recipient sees its own, once offered."""
    return sent_by == asker.id or (row.connection_id == asker.id and can_have(row))


def _seen_by(
    asker: Connection, packages: list[PackageRecord], rows: list[Delivery], story: list[Event]
) -> tuple[list[Event], list[Delivery]]:
    """The lines and copies that this connection may see."""
    sent = {package.id for package in packages if package.connection_id == asker.id}
    mine = [
        row for row in rows if _may_see(row, asker.id if row.package_id in sent else None, asker)
    ]
    ids = {row.id for row in mine}
    seen = [
        line
        for line in story
        if (line.delivery_id in ids or (line.delivery_id is None and line.package_id in sent))
        # Who of an agency reads its documents is that agency's and the auditor's business.
        and line.type != DOCUMENT_READ
    ]
    return seen, mine
