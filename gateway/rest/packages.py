"""Handing packages in, trying them out, and reading them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from aiohttp import hdrs, web

from envelopes.findings import Finding, Sentence, refused
from envelopes.model import Document, StatusReport
from envelopes.read import ReadResult
from envelopes.rules.runner import Judgement
from gateway import clock
from gateway.hand_in import Bytes, hand_in, record, routes_for
from gateway.intake import NotReceived
from gateway.rest import encode
from gateway.rest.body import body_of, not_received
from gateway.rest.payload_answer import bytes_of
from gateway.rest.problems import Problem, not_found
from gateway.rest.requests import connection, correlation_id, id_of, services
from gateway.services import Services
from routing.ports import Transaction
from routing.pull import Fetched, NotYours, fetch
from routing.recipients import RecipientRoute, judge_sender, recipient_routes
from routing.records import PACKAGE_READ, Delivery, Event, PackageRecord, can_have
from routing.route_table import Connection, RouteTable
from routing.submission import Accepted, RefusalKind, Refused, Submission

log = structlog.get_logger(__name__)

_STATUS_OF = {
    RefusalKind.INVALID: 422,
    RefusalKind.NOT_THE_SENDER: 403,
    RefusalKind.NOT_THE_OWNER: 403,
    RefusalKind.OTHER_CONTENT: 409,
    RefusalKind.IMPOSSIBLE_REPORT: 409,
}


async def submit(request: web.Request) -> web.StreamResponse:
    """POST /v1/packages: 202 when recorded, 200 when it was recorded before."""
    sender = await connection(request)
    async with body_of(request, sender) as (spool, read):
        submission = Submission(read, spool, sender, correlation_id(request))
        result = await take(services(request), submission)
    location = f"/v1/packages/{result.package.id}"
    return encode.answer(
        encode.accepted(result), 200 if result.repeated else 202, {hdrs.LOCATION: location}
    )


async def take(gateway: Services, submission: Submission) -> Accepted:
    """Record a package and wake the relay. Raises `Problem` when it is refused."""
    result = await record(gateway, submission)
    if isinstance(result, Refused):
        raise refusal(result)
    return result


async def take_bytes(
    gateway: Services, content: bytes, sender: Connection, correlation: str
) -> Accepted:
    """Record a package that the gateway composed for a connection. Raises `Problem`."""
    result = await hand_in(gateway, Bytes(content), sender, correlation)
    if isinstance(result, NotReceived):
        raise not_received(result)
    if isinstance(result, Refused):
        raise refusal(result)
    return result


def refusal(result: Refused) -> Problem:
    """A refused submission as a problem."""
    refusing = [finding for finding in result.findings if finding.refuses]
    first = refusing[0].sentence if refusing else Sentence("Bị từ chối", "Refused")
    more = len(refusing) - 1
    sentence = Sentence(
        vi=first.vi + (f" (và {more} lỗi khác)" if more > 0 else ""),
        en=first.en + (f" (and {more} more)" if more > 0 else ""),
    )
    return Problem(
        _STATUS_OF[result.kind],
        result.kind.value,
        sentence,
        findings=result.findings,
        **result.details,
    )


async def check(request: web.Request) -> web.StreamResponse:
    """POST /v1/check: everything that would be found and where copies would go; keeps nothing."""
    sender = await connection(request)
    gateway = services(request)
    async with body_of(request, sender) as (spool, read):
        routes = await routes_for(gateway, read)
        found = await gateway.inspection.judge(spool.path, read, sender, routes, clock.now())
        judgement = found.judgement if found else None
        if judgement is not None and judgement.secret:
            await asyncio.to_thread(spool.wipe)
        submission = Submission(read, spool, sender, correlation_id(request), judgement=judgement)
        findings = [*submission.findings, *_not_the_sender(read, sender, routes)]
        stopped = read.package is None or refused(findings)
        if not stopped:
            stopped, known = await _foreseen(gateway, submission, routes)
            findings += known
        return encode.answer(_verdict(read, judgement, routes, findings, stopped=stopped))


def _not_the_sender(read: ReadResult, sender: Connection, routes: RouteTable) -> list[Finding]:
    if read.package is None:
        return []
    organ_id = read.package.sender.organ_id
    wrong = judge_sender(organ_id, "MessageHeader/From/OrganId", sender, routes)
    return [wrong] if wrong else []


async def _foreseen(
    gateway: Services, submission: Submission, routes: RouteTable
) -> tuple[bool, Sequence[Finding]]:
    """Whether what is recorded already speaks against the package, and what it says."""
    foreseen = await gateway.accept.foresee(submission, routes, clock.now())
    if not isinstance(foreseen, Refused):
        return False, foreseen
    if foreseen.kind is RefusalKind.NOT_THE_OWNER:
        # Whoever tries out which documents others have is seen trying.
        log.warning(
            "check.not-the-owner",
            connection=submission.connection.name,
            document=submission.read.document_id,
            correlation_id=submission.correlation_id,
        )
    return True, foreseen.findings


def _verdict(
    read: ReadResult,
    judgement: Judgement | None,
    routes: RouteTable,
    findings: Sequence[Finding],
    *,
    stopped: bool,
) -> dict[str, Any]:
    chosen: Sequence[RecipientRoute] = ()
    remarks: Sequence[Finding] = ()
    package = read.package
    if isinstance(package, Document):
        chosen, remarks = recipient_routes(package, routes, clock.now())
    elif isinstance(package, StatusReport):
        code = package.response_for.organ_id
        route = routes.route(code, clock.now().date())
        name = route.agency.name if route.agency else code
        chosen = (RecipientRoute(code, name, route),)
    kind = {Document: "document", StatusReport: "status"}.get(type(package))
    return {
        "accepted": not stopped,
        "kind": kind,
        "documentId": read.document_id,
        "sender": read.sender_organ_id,
        "signature": read.signature.value,
        "dialects": list(read.dialects),
        "profile": judgement.profile if judgement else None,
        "notJudged": [one.as_dict() for one in judgement.not_judged] if judgement else [],
        "findings": [finding.as_dict() for finding in (*findings, *remarks)],
        "recipients": [_would_go(recipient) for recipient in chosen],
    }


def _would_go(recipient: RecipientRoute) -> dict[str, Any]:
    route = recipient.route
    return {
        "organId": recipient.organ_id,
        "organKey": route.organ_key,
        "name": recipient.name,
        "route": route.kind.value,
        "connection": route.connection.name if route.connection else None,
        "reason": {"vi": route.sentence.vi, "en": route.sentence.en},
    }


async def visible_package(
    gateway: Services, package_id: str, asker: Connection
) -> tuple[PackageRecord, list[Delivery]] | None:
    """A package and those of its deliveries that this connection may see.

    The sender sees all; a recipient its own, from the moment they were offered.
    """

    async def read(tx: Transaction) -> tuple[PackageRecord, list[Delivery]] | None:
        package = await tx.get_package(package_id)
        if package is None:
            return None
        rows = await tx.deliveries_of_package(package_id)
        if package.connection_id != asker.id:
            rows = [row for row in rows if row.connection_id == asker.id and can_have(row)]
            if not rows:
                return None
        return package, rows

    return await gateway.database.read(read)


async def show(request: web.Request) -> web.StreamResponse:
    """GET /v1/packages/{id}."""
    asker = await connection(request)
    package_id = id_of(request)
    found = await visible_package(services(request), package_id, asker) if package_id else None
    if found is None:
        raise not_found("package", "gói tin")
    return encode.answer(encode.package(*found))


async def receipt(request: web.Request) -> web.StreamResponse:
    """GET /v1/packages/{id}/receipt: the gateway's signed word that it has the package (JWS)."""
    asker = await connection(request)
    gateway = services(request)
    package_id = id_of(request)
    found = await visible_package(gateway, package_id, asker) if package_id else None
    if found is None or found[0].connection_id != asker.id:
        raise not_found("package of yours", "gói tin nào của bạn")
    signed = await gateway.sealer.receipt(*found, clock.now())
    return web.Response(text=signed, content_type="application/jose")


async def content(request: web.Request) -> web.StreamResponse:
    """GET /v1/packages/{id}/content: the exact bytes; who reads is written down first.

    The sender may read its own package back; that is no fetch.
    """
    asker = await connection(request)
    gateway = services(request)
    some_id = id_of(request)
    if some_id is None:
        raise not_found("package", "gói tin")
    fetched = await fetch(gateway.database, some_id, asker, clock.now())
    if isinstance(fetched, Fetched):
        for row in fetched.deliveries:
            gateway.metrics.outcomes.labels(asker.name, row.lane.value, "fetched").inc()
        return await bytes_of(request, gateway, fetched.package)
    own = await visible_package(gateway, some_id, asker)
    if own is not None and own[0].connection_id == asker.id:
        actor = f"connection:{asker.name}"
        await note_reading(gateway, own[0], PACKAGE_READ, actor, correlation_id(request))
        return await bytes_of(request, gateway, own[0])
    if isinstance(fetched, NotYours):
        raise not_found("package", "gói tin")
    raise Problem(409, "not-readable", fetched.sentence, state=fetched.delivery.state.value)


async def note_reading(
    gateway: Services, package: PackageRecord, kind: str, actor: str, correlation: str
) -> None:
    """Write down who reads a package's content, before the first byte goes out.

    `kind` is `DOCUMENT_READ` or `PACKAGE_READ`. Raises `DatabaseUnavailable`: unseen, nobody reads.
    """
    event = Event(
        type=kind,
        at=clock.now(),
        actor=actor,
        document_pk=package.document_pk,
        package_id=package.id,
        correlation_id=correlation,
        data={"sha256": package.digest},
    )

    async def write(tx: Transaction) -> None:
        await tx.append([event])

    await gateway.database.write(write)
