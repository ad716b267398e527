"""The body of a request that hands a package in: what is refused before, and how it is received.

Every face over HTTP takes packages through `body_of`, so that limits, places and `Expect` are the
same for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import hdrs, web

from adapters.payloads import Spool
from envelopes.findings import Sentence
from envelopes.read import ReadResult
from gateway.hand_in import received
from gateway.intake import Body, IntakeFault, NotReceived, too_large
from gateway.rest.problems import Problem
from gateway.rest.requests import services
from gateway.services import Services
from gateway.settings import MIB
from routing.route_table import Connection

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
    vi = [f"có {fault.found}" if fault.found else "", f"cho phép {fault.allowed}"]
    en = [f"found {fault.found}" if fault.found else "", f"allowed {fault.allowed}"]
    if not fault.allowed:
        vi, en = vi[:1], en[:1]
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
