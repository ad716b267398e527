"""Answers: JSON in which every member has a value, under HTTP 200 whatever happened.

Clients read members as text and break on null, so what is not known is an empty text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from aiohttp import hdrs, web

from envelopes.findings import Finding
from envelopes.model import VIETNAM_TIME, StatusCode
from gateway.rest.problems import Problem
from gateway.services import Services
from routing.change_requests import ChangeState
from routing.ports import PayloadMissing, PayloadsUnavailable
from routing.pull_notes import WAITING, Said
from routing.records import DOCUMENT, STATUS, Delivery, PackageRecord
from routing.states import TransportState

log = structlog.get_logger(__name__)

OK = {"status": "OK", "ErrorCode": "0", "ErrorDesc": ""}
#: Payloads up to this many bytes are answered in one piece.
SMALL = 1024 * 1024
#: Findings that one ErrorDesc names.
MOST_FINDINGS = 5
LONGEST_DESC = 4000

_TRANSPORT = {
    TransportState.ACCEPTED: "INITIAL",
    TransportState.QUEUED: "INITIAL",
    TransportState.OFFERED: "INITIAL",
    TransportState.HELD: "INITIAL",
    TransportState.DELIVERING: "PROCESSING",
    TransportState.UNKNOWN: "PROCESSING",
    # Attempts are used up and the operator decides: not failed yet.
    TransportState.DEAD: "PROCESSING",
    TransportState.DELIVERED: "DONE",
    TransportState.RETURNED: "FAIL",
    TransportState.WITHDRAWN: "FAIL",
    TransportState.EXPIRED: "FAIL",
}
_TRANSPORT_WORDS = {
    "INITIAL": "Chờ bên nhận lấy",
    "PROCESSING": "Bên nhận đang lấy",
    "DONE": "Bên nhận đã lấy xong",
    "FAIL": "Không chuyển được",
}
_NOT_STORED = "Bên nhận báo lỗi khi lưu, sẽ lấy lại"
_BUSINESS_WORDS = {
    StatusCode.ARRIVED: "Đã đến",
    StatusCode.REFUSED: "Từ chối tiếp nhận",
    StatusCode.ACCEPTED: "Đã tiếp nhận",
    StatusCode.ASSIGNED: "Phân công xử lý",
    StatusCode.PROCESSING: "Đang xử lý",
    StatusCode.FINISHED: "Hoàn thành",
    StatusCode.TAKE_BACK: "Lấy lại",
    StatusCode.CHANGE_AGREED: "Đồng ý cho cập nhật / lấy lại",
    StatusCode.CHANGE_REFUSED: "Từ chối cập nhật / lấy lại",
}
#: What the receiver said last of a request about its copy goes before what it said of the document.
_OF_REQUESTS = {
    ChangeState.RECALLED: StatusCode.CHANGE_AGREED,
    ChangeState.UPDATED: StatusCode.CHANGE_AGREED,
    ChangeState.REPLACED: StatusCode.CHANGE_AGREED,
    ChangeState.RECALL_REFUSED: StatusCode.CHANGE_REFUSED,
    ChangeState.UPDATE_REFUSED: StatusCode.CHANGE_REFUSED,
    ChangeState.REPLACEMENT_REFUSED: StatusCode.CHANGE_REFUSED,
}


def good(**members: Any) -> web.Response:
    """Status OK with further members."""
    return _json({**OK, **members})


def fail(problem: Problem) -> web.Response:
    """Status FAIL: the Vietnamese sentences first, with the ids of the rules, then English."""
    desc = _described(problem)[:LONGEST_DESC]
    return _json({"status": "FAIL", "ErrorCode": str(problem.status), "ErrorDesc": desc})


def _described(problem: Problem) -> str:
    refusing = [finding for finding in problem.findings if finding.refuses]
    if not refusing:
        return _line(f"{problem.sentence.vi} / {problem.sentence.en}")
    vi = " ".join(_with_rule(finding) for finding in refusing[:MOST_FINDINGS])
    more = len(refusing) - MOST_FINDINGS
    vi += f" (và {more} lỗi khác)" if more > 0 else ""
    return _line(f"{vi} / {refusing[0].sentence.en}")


def _with_rule(finding: Finding) -> str:
    return f"{finding.sentence.vi} [{finding.rule}]"


def _line(text: str) -> str:
    """One line: clients show it in a message box."""
    return " ".join(text.split())


def _json(document: Mapping[str, Any]) -> web.Response:
    return ready(encoded(document))


def ready(body: bytes) -> web.Response:
    """An answer that is encoded already."""
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def encoded(document: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8; half characters that a stranger sent become question marks."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def moment(value: datetime | None) -> str:
    """A time as edXML writes it, Vietnam time; empty for none."""
    return value.astimezone(VIETNAM_TIME).strftime("%Y/%m/%d %H:%M:%S") if value else ""


def message_type(package: PackageRecord) -> str:
    """``edoc`` or ``status``."""
    return "edoc" if package.kind == DOCUMENT else "status"


def transport_of(row: Delivery) -> tuple[str, str]:
    """Transport status of a delivery and its words.

    In the recipient's list it is what that said last: `processing`, or `fail` and why.
    """
    if row.state in WAITING and row.noted == Said.TAKEN_UP:
        return "PROCESSING", _TRANSPORT_WORDS["PROCESSING"]
    if row.state in WAITING and row.noted == Said.NOT_STORED:
        return "INITIAL", ": ".join(part for part in (_NOT_STORED, row.noted_why) if part)
    status = _TRANSPORT[row.state]
    told = row.reason.sentence.vi if row.reason is not None and status == "FAIL" else ""
    return status, told or _TRANSPORT_WORDS[status]


def business_of(row: Delivery) -> tuple[str, str]:
    """What the receiver said last, 01 … 16, and its words; empty before it said anything."""
    code = _OF_REQUESTS.get(ChangeState(row.change_state)) if row.change_state else None
    code = code or row.business_state
    return (code.value, _BUSINESS_WORDS[code]) if code else ("", "")


def received_item(row: Delivery, package: PackageRecord) -> dict[str, str]:
    """One line of the received list; warnings about a report stand beside its status."""
    status, words = transport_of(row)
    warnings = package.findings if package.kind == STATUS else ()
    words = " ".join([words, *(f"({_with_rule(finding)})" for finding in warnings)])
    return {
        "docId": row.id,
        "serviceType": "eDoc",
        "messageType": message_type(package),
        "created_time": moment(row.created_at),
        "updated_time": moment(row.updated_at),
        "from": package.sender_organ_id,
        "to": row.recipient_organ_id,
        "status": status,
        "status_desc": words,
    }


def sent_item(row: Delivery, package: PackageRecord) -> dict[str, str]:
    """One line of the sent list: one recipient's copy."""
    transport, transport_words = transport_of(row)
    business, business_words = business_of(row)
    summary = package.summary
    number, notation = summary.get("codeNumber"), summary.get("codeNotation")
    code = "/".join(part for part in (number, notation) if part) or summary.get("code") or ""
    return {
        "serviceType": "eDoc",
        "messageType": message_type(package),
        "senderDocId": package.id,
        "receiverDocId": row.id,
        "fromCode": package.sender_organ_id,
        "toCode": row.recipient_organ_id,
        "title": str(summary.get("subject") or summary.get("description") or ""),
        "notation": str(code),
        "sentTime": moment(package.received_at),
        "receivedTime": moment(row.delivered_at),
        "sendStatus": transport,
        "sendStatusDesc": transport_words,
        "receiveStatus": business,
        "receiveStatusDesc": business_words,
    }


async def base64_of(
    request: web.Request, gateway: Services, package: PackageRecord
) -> web.StreamResponse:
    """The package as base64 in JSON; large ones are encoded block by block as they are read.

    Raises `PayloadMissing` and `PayloadsUnavailable` before the first byte; after it the
    connection is cut, so that a part is never taken for the whole.
    """
    blocks = gateway.payloads.open(package.digest)
    if package.size <= SMALL:
        content = b"".join([block async for block in blocks])
        return good(data=base64.b64encode(content).decode("ascii"))
    head = encoded(OK)[:-1] + b',"data":"'
    # Faults before the first block are still answered as what they are.
    kept = await anext(blocks, b"")
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "application/json; charset=utf-8",
            hdrs.CACHE_CONTROL: "no-store",
        }
    )
    response.content_length = len(head) + 4 * -(-package.size // 3) + 2
    await response.prepare(request)
    try:
        await response.write(head)
        async for block in blocks:
            kept += block
            whole = len(kept) - len(kept) % 3
            await response.write(base64.b64encode(memoryview(kept)[:whole]))
            kept = kept[whole:]
        await response.write(base64.b64encode(kept) + b'"}')
    except (PayloadMissing, PayloadsUnavailable) as error:
        log.error("payload.broken-off", package=package.id, digest=package.digest, error=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response
