"""Operations on documents and status packages: send, list, fetch, say how it went."""

from __future__ import annotations

import json

import structlog
from aiohttp import web

from adapters.database import PartnerLists
from envelopes.findings import Finding, Sentence
from gateway import clock
from gateway.hand_in import record
from gateway.kinds.vxp import VXP
from gateway.rest.body import body_of
from gateway.rest.packages import refusal
from gateway.rest.payload_answer import bytes_of
from gateway.rest.problems import Problem
from gateway.rest.requests import correlation_id
from gateway.vxp import answers
from gateway.vxp.call import Call, json_object, no_such_document, refused
from gateway.vxp.hashed_body import HashedBody, WrongHash
from gateway.vxp.headers import shown
from routing.ids import is_id
from routing.ports import InboxItem, Transaction
from routing.pull import Fetched, NotPossible, NotYours, confirm, fetch
from routing.pull_notes import Said, note
from routing.recipients import judge_sender
from routing.records import DOCUMENT, STATUS, Event, PackageRecord
from routing.submission import Accepted, RefusalKind, Refused, Submission

log = structlog.get_logger(__name__)

#: Most recipients that `to` may name, and the longest reason that is written down.
MOST_RECIPIENTS = 5000
LONGEST_REASON = 500


async def send_edoc(call: Call) -> web.StreamResponse:
    """`sendEdoc`: DocId is the package's id; the same bytes again get the first one."""
    hash_file = call.needed("hash-file")
    await _sender_speaks_for_itself(call)
    only_for = _recipients(call.caller.signed("to"))
    announced = call.kind()
    body = HashedBody(call.request.content, hash_file)
    try:
        async with body_of(call.request, call.connection, body) as (spool, read):
            submission = Submission(
                read, spool, call.connection, correlation_id(call.request), only_for
            )
            result = await record(call.services, submission)
    except WrongHash as wrong:
        raise _wrong_hash(call, hash_file, wrong) from None
    if isinstance(result, Refused):
        if result.kind is RefusalKind.NOT_THE_SENDER:
            call.services.metrics.distrusted.labels(VXP, "spoofed-sender").inc()
        raise refusal(result)
    if result.package.kind != announced:
        # What a package is, it says itself; the header changes nothing.
        log.info("vxp.other-messagetype", package=result.package.id, announced=announced)
    return answers.good(DocId=_doc_id(result))


def _doc_id(result: Accepted) -> str:
    return result.package.id


async def _sender_speaks_for_itself(call: Call) -> None:
    """`from` in the headers, judged before a byte of the body is read (rule ID-SENDER)."""
    sender = call.caller.signed("from")
    if not sender:
        return
    registry = call.services.registry
    element = "XroadVnpt-from"
    wrong = judge_sender(sender, element, call.connection, await registry.routes())
    if wrong is not None:
        wrong = judge_sender(sender, element, call.connection, await registry.routes(newest=True))
    if wrong is None:
        return
    await _security_event(call, wrong)
    metrics, outcome = call.services.metrics, RefusalKind.NOT_THE_SENDER.value
    metrics.distrusted.labels(VXP, "spoofed-sender").inc()
    metrics.submissions.labels(call.connection.name, call.kind(), outcome).inc()
    raise Problem(403, outcome, wrong.sentence, findings=[wrong])


async def _security_event(call: Call, finding: Finding) -> None:
    event = Event(
        type="security.not-the-sender",
        at=clock.now(),
        actor=f"connection:{call.connection.name}",
        correlation_id=correlation_id(call.request),
        data={"digest": "", "finding": finding.as_dict()},
    )

    async def write(tx: Transaction) -> None:
        await tx.append([event])

    await call.services.database.write(write)
    log.warning("vxp.spoofed-sender", connection=call.connection.name, found=finding.found)


def _recipients(given: str) -> tuple[str, ...]:
    """The codes of `to`: a JSON array of texts; a single code is taken for an array of one."""
    if not given:
        return ()
    try:
        codes = json.loads(given)
    except (ValueError, RecursionError):
        codes = [given] if given[:1].isalnum() else None
    codes = [codes] if isinstance(codes, str) else codes
    right = isinstance(codes, list) and all(isinstance(code, str) for code in codes)
    if not right or len(codes) > MOST_RECIPIENTS:
        raise refused(
            400,
            Sentence(
                vi='Tham số to phải là mảng JSON các mã cơ quan, ví dụ ["000.00.00.H41"].',
                en='The parameter to must be a JSON array of codes, such as ["000.00.00.H41"].',
            ),
        )
    return tuple(code.strip() for code in codes if code.strip())


def _wrong_hash(call: Call, hash_file: str, wrong: WrongHash) -> Problem:
    call.services.metrics.distrusted.labels(VXP, "wrong-hash").inc()
    log.warning("vxp.wrong-hash", connection=call.connection.name, found=wrong.found)
    given = shown(hash_file, 64)
    return refused(
        400,
        Sentence(
            vi=f"Nội dung nhận được không khớp hash-file: nhận được SHA-256 {wrong.found}, "
            f"hash-file là {given}. Chưa có gì được nhận; hãy gửi lại.",
            en=f"The body is not the file of hash-file: its SHA-256 is {wrong.found}, hash-file is "
            f"{given}. Nothing was taken; send it again.",
        ),
    )


async def received_list(call: Call) -> web.StreamResponse:
    """`getReceivedEdocList`: what is not confirmed yet, urgent first."""
    await call.small_body()
    items = await PartnerLists(call.services.database).received(
        call.connection.id, call.kind(), call.caller.options.list_limit
    )
    return answers.good(data=[answers.received_item(one.delivery, one.package) for one in items])


async def sent_list(call: Call) -> web.StreamResponse:
    """`getSentEdocList`: a line for each recipient's copy.

    `docId` narrows it to one package (what `sendEdoc` answered) or one copy (`receiverDocId`), of
    whichever kind where `messagetype` is not said. What is not the caller's, or no id at all, has
    no lines.
    """
    await call.small_body()
    some_id = call.caller.signed("docId").lower() or None
    any_kind = some_id is not None and not call.caller.parameters.harmless("messagetype").strip()
    kind = None if any_kind else call.kind()
    items: list[InboxItem] = []
    if some_id is None or is_id(some_id):
        items = await PartnerLists(call.services.database).sent(
            call.connection.id, kind, some_id, call.caller.options.list_limit
        )
    return answers.good(data=[answers.sent_item(one.delivery, one.package) for one in items])


async def get_edoc(call: Call) -> web.StreamResponse:
    """`getEdoc`: base64 of the exact bytes. Counts as a fetch, written down first."""
    await call.small_body()
    package = await _fetched(call)
    return await answers.base64_of(call.request, call.services, package)


async def download_edoc(call: Call) -> web.StreamResponse:
    """`downloadEdoc`: the exact bytes themselves. Counts as a fetch, too."""
    await call.small_body()
    package = await _fetched(call)
    return await bytes_of(call.request, call.services, package)


async def _fetched(call: Call) -> PackageRecord:
    gateway = call.services
    result = await fetch(gateway.database, call.doc_id(), call.connection, clock.now())
    if isinstance(result, Fetched):
        for row in result.deliveries:
            gateway.metrics.outcomes.labels(call.connection.name, row.lane.value, "fetched").inc()
        return result.package
    if isinstance(result, NotYours):
        raise no_such_document()
    raise refused(409, result.sentence)


async def update_status(call: Call) -> web.StreamResponse:
    """`updateStatus`: processing, done (it leaves the list) or fail (it is offered again)."""
    body = await call.small_body()
    doc_id, status = call.doc_id(), call.needed("status").lower()
    if status == "done":
        return await _confirmed(call, doc_id)
    said = {"processing": Said.TAKEN_UP, "fail": Said.NOT_STORED}.get(status)
    if said is None:
        raise refused(
            400,
            Sentence(
                vi="status không hợp lệ; cho phép: processing, done, fail.",
                en="status is not one of: processing, done, fail.",
            ),
        )
    why = _reason(call, body)
    result = await note(call.services.database, doc_id, call.connection, said, why, clock.now())
    if isinstance(result, NotYours):
        raise no_such_document()
    if isinstance(result, NotPossible):
        raise refused(409, result.sentence)
    if said is Said.NOT_STORED:
        log.warning("vxp.not-stored", connection=call.connection.name, delivery=doc_id, why=why)
    return answers.good()


async def _confirmed(call: Call, doc_id: str) -> web.StreamResponse:
    gateway = call.services
    result = await confirm(gateway.database, doc_id, call.connection, clock.now(), gateway.on_time)
    if isinstance(result, NotYours):
        raise no_such_document()
    if isinstance(result, NotPossible):
        raise refused(409, result.sentence)
    if not result.repeated:
        row = result.delivery
        gateway.metrics.outcomes.labels(call.connection.name, row.lane.value, "delivered").inc()
    return answers.good()


def _reason(call: Call, body: bytes) -> str:
    """The client's reason, where it gives one: a parameter, or a member of the body."""
    told = json_object(body) or {}
    for name in ("reason", "description", "desc", "errordesc", "message"):
        text = call.caller.parameters.harmless(name) or _member(told, name)
        if text:
            readable = "".join(char if char.isprintable() else " " for char in text)
            return " ".join(readable.split())[:LONGEST_REASON]
    return ""


def _member(told: dict[str, object], name: str) -> str:
    found = next((value for key, value in told.items() if key.lower() == name), "")
    return found if isinstance(found, str) else ""


async def count_edoc(call: Call) -> web.StreamResponse:
    """`countReceiveEdoc`: how many documents wait."""
    return await _count(call, DOCUMENT)


async def count_status(call: Call) -> web.StreamResponse:
    """`countReceiveStatus`: how many status packages wait."""
    return await _count(call, STATUS)


async def _count(call: Call, kind: str) -> web.StreamResponse:
    await call.small_body()
    lists = PartnerLists(call.services.database)
    return answers.good(count=await lists.waiting(call.connection.id, kind))
