"""The body of a request: of one that hands a package in, and of any other.

Every face over HTTP takes packages through `body_of`, so that limits, places and `Expect` are the
same for all of them, and everything else through `small_body`: no body is waited for without end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.payloads import Spool
from envelopes.findings import Sentence
from envelopes.read import ReadResult
from gateway.hand_in import received
from gateway.intake import Body, IntakeFault, NotReceived, too_large
from gateway.rest.problems import Problem, bad_body
from gateway.rest.requests import services
from gateway.services import Services
from gateway.settings import MIB
from routing.route_table import Connection

#: Largest body of a request that brings no package.
SMALL_BODY = 64 * 1024
#: Set on a request whose client was told to send its body.
_CONTINUED = "lienthong.continued"
STATUS_OF_FAULT = {
    IntakeFault.TOO_LARGE: 413,
    IntakeFault.TOO_SLOW: 408,
    IntakeFault.CUT_OFF: 400,
    IntakeFault.EMPTY: 400,
    IntakeFault.DISK_FULL: 507,
}
_SENTENCE_OF_FAULT = {
    IntakeFault.TOO_LARGE: Sentence("Gói tin quá lớn", "The package is too large"),
    IntakeFault.TOO_SLOW: Sentence(
        "Gói tin đến quá chậm hoặc dừng giữa chừng", "The package came too slowly or stood still"
    ),
    IntakeFault.CUT_OFF: Sentence(
        "Kết nối bị ngắt giữa chừng", "The package was cut off on its way"
    ),
    IntakeFault.EMPTY: Sentence("Không có gói tin nào được gửi", "There is no package in the body"),
    IntakeFault.DISK_FULL: Sentence("Trục hết chỗ lưu trữ", "The gateway has no space left"),
}


async def go_on(request: web.Request) -> None:
    """Answer ``Expect: 100-continue``: the body is wanted now."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
        request[_CONTINUED] = True


def leave_unread(request: web.Request, response: web.StreamResponse) -> None:
    """The connection ends with `response`: a body nobody read must not be taken for a request.

    A client that still waits for ``100 Continue`` sends none, so nothing is waited for.
    """
    if request.content.is_eof():
        return
    response.force_close()
    waits = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if waits and _CONTINUED not in request and not request.content.total_bytes:
        request.content.feed_eof()


async def small_body(
    request: web.Request, gateway: Services, largest: int = SMALL_BODY
) -> bytes | IntakeFault:
    """The body of a request that brings no package, whole, or why there is none.

    It has `intake_grace_seconds` in all. The fault is TOO_LARGE, TOO_SLOW or CUT_OFF.
    """
    if (request.content_length or 0) > largest:
        return IntakeFault.TOO_LARGE
    found = bytearray()
    try:
        async with asyncio.timeout(gateway.settings.intake_grace_seconds):
            while block := await request.content.readany():
                found += block
                if len(found) > largest:
                    return IntakeFault.TOO_LARGE
    except TimeoutError:
        return IntakeFault.TOO_SLOW
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
        return IntakeFault.CUT_OFF
    return bytes(found)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object. Raises `Problem` 400, 408 or 413."""
    gateway = services(request)
    body = await small_body(request, gateway)
    if isinstance(body, IntakeFault):
        raise _no_json(body, gateway)
    try:
        data = json.loads(body.decode(request.charset or "utf-8"))
    except (ValueError, LookupError, RecursionError) as error:
        raise bad_body(_why_no_json(body, error)) from None
    if not isinstance(data, dict):
        raise bad_body(Sentence("Thân yêu cầu không phải đối tượng JSON", "The body is no object"))
    return data


def _why_no_json(body: bytes, error: Exception) -> Sentence:
    """In words of ours: what Python calls its faults helps nobody outside."""
    if not body.strip():
        return Sentence("Thân yêu cầu trống", "The body is empty")
    match error:
        case json.JSONDecodeError():
            return Sentence(
                f"Thân yêu cầu không phải JSON (lỗi ở dòng {error.lineno}, cột {error.colno})",
                f"The body is no JSON (wrong at line {error.lineno}, column {error.colno})",
            )
        case UnicodeError():
            return Sentence("Thân yêu cầu sai mã hóa ký tự", "The body is not encoded as it says")
        case LookupError():
            return Sentence("Không có bảng mã ký tự này", "There is no such charset")
        case RecursionError():
            return Sentence("JSON lồng quá nhiều lớp", "The JSON is nested too deeply")
    # A number of thousands of digits.
    return Sentence("JSON có giá trị không đọc được", "The JSON has a value that cannot be read")


def _no_json(fault: IntakeFault, gateway: Services) -> Problem:
    match fault:
        case IntakeFault.TOO_LARGE:
            sentence = Sentence(
                f"Thân yêu cầu quá lớn; cho phép tối đa {SMALL_BODY} byte.",
                f"The body is too large; allowed are {SMALL_BODY} bytes.",
            )
            return Problem(413, fault.value, sentence, headers={"Connection": "close"})
        case IntakeFault.TOO_SLOW:
            patience = gateway.settings.intake_grace_seconds
            return Problem(
                408,
                fault.value,
                Sentence(
                    vi=f"Thân yêu cầu không đến đủ trong {patience:g} giây (tham số "
                    "intake_grace_seconds); hãy gửi lại.",
                    en=f"The body did not come whole within {patience:g} s "
                    "(setting intake_grace_seconds); send it again.",
                ),
                headers={"Connection": "close"},
                allowed=f"{patience:g} s",
                setting="intake_grace_seconds",
            )
    return Problem(
        400,
        fault.value,
        Sentence("Thân yêu cầu bị ngắt giữa chừng", "The body was cut off on its way"),
        headers={"Connection": "close"},
    )


@asynccontextmanager
async def body_of(
    request: web.Request, sender: Connection, body: Body | None = None
) -> AsyncIterator[tuple[Spool, ReadResult]]:
    """The body on disk and read; discarded at the end unless it was kept.

    `body` stands in for the request's own where a face looks at the bytes as they pass. Raises
    `Problem` for what is refused before or cannot be received, and what `body` raises.
    """
    gateway = services(request)
    _before_the_body(request, gateway)
    with place_for(gateway, sender):
        await go_on(request)
        async with received(gateway, body or request.content) as result:
            if isinstance(result, NotReceived):
                raise not_received(result)
            yield result


@contextmanager
def place_for(gateway: Services, sender: Connection) -> Iterator[None]:
    """A place among the submissions of this moment. Raises `Problem` 429 when there is none."""
    if not gateway.turnstile.enter(sender.id):
        raise _busy(gateway)
    try:
        yield
    finally:
        gateway.turnstile.leave(sender.id)


def _before_the_body(request: web.Request, gateway: Services) -> None:
    """Everything that can be refused before a byte of the body is read."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Problem(
            415,
            "content-encoding",
            Sentence(
                vi=f"Không nhận gói tin nén ở tầng HTTP (Content-Encoding: {encoding[:40]}); "
                "hãy gửi nguyên edXML.",
                en=f"Bodies with Content-Encoding ({encoding[:40]}) are not taken; "
                "send the edXML as it is.",
            ),
            headers={"Accept-Encoding": "identity"},
        )
    if request.content_type.startswith("multipart/"):
        raise Problem(
            415,
            "multipart",
            Sentence(
                vi="Hãy gửi nguyên edXML làm thân yêu cầu, không dùng multipart.",
                en="Send the edXML itself as the body, not multipart.",
            ),
        )
    limits = gateway.intake_limits
    announced = request.content_length
    if announced is not None and announced > limits.max_bytes:
        raise not_received(too_large(announced, limits))
    free = gateway.payloads.free_bytes()
    needed = gateway.settings.min_free_mib * MIB + (announced or 0)
    if free < needed:
        raise _no_room(free, needed)


def _no_room(free: int, needed: int) -> Problem:
    """507 before a byte was received, with the figures that an operator will ask for."""
    return Problem(
        507,
        IntakeFault.DISK_FULL.value,
        Sentence(
            vi=f"Trục hết chỗ lưu trữ: còn {free // MIB} MiB, cần {needed // MIB} MiB (tham số "
            "min_free_mib, cộng với gói tin này); gói tin chưa được nhận, hãy gửi lại sau.",
            en=f"The gateway has no space left: {free // MIB} MiB are free, {needed // MIB} MiB "
            "are needed (setting min_free_mib, and this package); the package was not taken, "
            "try again later.",
        ),
        headers={"Retry-After": "60", "Connection": "close"},
        found=f"{free} bytes free",
        allowed=f"{needed} bytes",
        setting="min_free_mib",
    )


def not_received(fault: NotReceived) -> Problem:
    told = _SENTENCE_OF_FAULT[fault.fault]
    measured = fault.measured
    vi, en = [measured.vi], [measured.en]
    if fault.setting:
        vi.append(f"tham số {fault.setting}")
        en.append(f"setting {fault.setting}")
    status = STATUS_OF_FAULT[fault.fault]
    again = {"Retry-After": "60"} if status == 507 else {}
    return Problem(
        status,
        fault.fault.value,
        Sentence(
            vi=f"{told.vi}: {'; '.join(part for part in vi if part)}.",
            en=f"{told.en}: {'; '.join(part for part in en if part)}.",
        ),
        headers={**again, "Connection": "close"},
        found=fault.found,
        allowed=fault.allowed,
        setting=fault.setting,
    )


def _busy(gateway: Services) -> Problem:
    settings = gateway.settings
    return Problem(
        429,
        "too-many-at-once",
        Sentence(
            vi="Quá nhiều gói tin đang được gửi cùng lúc; hãy gửi lại sau một giây.",
            en="Too many packages are being received at once; try again in a second.",
        ),
        headers={"Retry-After": "1"},
        setting="intake_concurrency, intake_per_connection",
        allowed=f"{settings.intake_concurrency}, {settings.intake_per_connection}",
    )
