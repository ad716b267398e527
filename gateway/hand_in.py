"""Handing a package in, whichever way it came: the door behind REST, VXP, AMQP, folders and axes.

A face decodes its request into a stream of bytes, calls `hand_in`, and encodes the answer. What is
refused or could not be received comes back as a value; only broken infrastructure raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from adapters.payloads import Spool
from envelopes.model import Document, StatusReport
from envelopes.read import ReadResult
from gateway import clock
from gateway.intake import Body, NotReceived, receive
from gateway.services import Services
from routing.records import NO_REVOCATION_LIST, NOT_SCANNED
from routing.route_table import Connection, RouteTable
from routing.submission import Accepted, Refused, Submission

log = structlog.get_logger(__name__)


class Bytes:
    """A body that is in memory already: composed, or read from a small message."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def readany(self) -> bytes:
        """Everything at once, then nothing."""
        content, self._content = self._content, b""
        return content


class Blocks:
    """A body that comes in blocks from an asynchronous iterator, such as a payload or a file."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks

    async def readany(self) -> bytes:
        """The next block that is not empty; empty at the end."""
        async for block in self._blocks:
            if block:
                return bytes(block)
        return b""


@asynccontextmanager
async def received(
    gateway: Services, body: Body
) -> AsyncIterator[tuple[Spool, ReadResult] | NotReceived]:
    """The body on disk and read, or why not; discarded at the end unless it was kept."""
    result = await receive(body, gateway.payloads, gateway.intake_limits, gateway.read_limits)
    if isinstance(result, NotReceived):
        yield result
        return
    try:
        yield result.spool, result.read
    finally:
        await asyncio.to_thread(result.spool.discard)


async def hand_in(
    gateway: Services,
    body: Body,
    connection: Connection,
    correlation_id: str,
    only_for: Iterable[str] = (),
) -> Accepted | Refused | NotReceived:
    """Receive, judge and record one package. Raises `DatabaseUnavailable`.

    `only_for` are the recipients that the partner names beside the package (VXP's `to`): only they
    get a copy here, the others are served by whoever the partner got the package from.
    """
    async with received(gateway, body) as result:
        if isinstance(result, NotReceived):
            return result
        spool, read = result
        submission = Submission(read, spool, connection, correlation_id, tuple(only_for))
        return await record(gateway, submission)


async def record(gateway: Services, submission: Submission) -> Accepted | Refused:
    """Inspect, judge and record what was received; count and log it, and wake the relay."""
    routes = await routes_for(gateway, submission.read)
    submission = await inspected(gateway, submission, routes)
    result = await gateway.accept.submit(submission, routes, clock.now())
    name = submission.connection.name
    kind = "status" if isinstance(submission.read.package, StatusReport) else "document"
    if isinstance(result, Refused):
        gateway.metrics.submissions.labels(name, kind, result.kind.value).inc()
        log.info(
            "package.refused",
            connection=name,
            reason=result.kind.value,
            rules=sorted({finding.rule for finding in result.findings if finding.refuses}),
            digest=submission.spooled.claim.digest,
            correlation_id=submission.correlation_id,
        )
        return result
    outcome = "repeated" if result.repeated else "accepted"
    gateway.metrics.submissions.labels(name, kind, outcome).inc()
    gateway.outbox.notify()
    log.info(
        "package.accepted",
        connection=name,
        package=result.package.id,
        document=result.package.document_id,
        deliveries=len(result.deliveries),
        repeated=result.repeated,
        correlation_id=submission.correlation_id,
    )
    return result


async def inspected(gateway: Services, submission: Submission, routes: RouteTable) -> Submission:
    """The submission with what the rules of its profile say.

    Of a state secret nothing is left behind: its temporary file is overwritten at once.
    """
    spool = submission.spooled
    if not isinstance(spool, Spool):
        return submission
    inspection = gateway.inspection
    found = await inspection.judge(
        spool.path, submission.read, submission.connection, routes, clock.now()
    )
    if found is None:
        return submission
    judgement = found.judgement
    if judgement.secret and judgement.refused:
        await asyncio.to_thread(spool.wipe)
        gateway.metrics.alarms.labels("state-secret").inc()
    wait = None
    if judgement.awaits_list:
        # Its files are scanned again before it goes on (`gateway.recheck`).
        wait = NO_REVOCATION_LIST
    elif inspection.scanner is not None and judgement.must_wait:
        wait = NOT_SCANNED
    if wait is not None:
        gateway.metrics.alarms.labels(wait.code).inc()
    return replace(submission, judgement=judgement, signatures=found.signatures, wait=wait)


async def routes_for(gateway: Services, read: ReadResult) -> RouteTable:
    """The route table; the newest one when an agency of the package is not found in ours."""
    routes = await gateway.registry.routes()
    package = read.package
    if package is None:
        return routes
    codes = [package.sender.organ_id]
    if isinstance(package, Document):
        codes += [party.organ_id for party in package.recipients]
    else:
        codes.append(package.response_for.organ_id)
    today = clock.now().date()
    if all(routes.route(code, today).connection for code in codes):
        return routes
    return await gateway.registry.routes(newest=True)
