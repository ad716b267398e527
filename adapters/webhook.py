"""Posting callbacks: `routing.callbacks.CallbackSender` over HTTP, distrusting the receiver.

Each post dials anew and looks at the address that is really dialled, after the name was resolved,
in the connector's socket factory: neither a literal address nor a name whose answer changes gets
around it (reliability 2.7). Redirects are answers like any other, proxies of the environment are
not used, and of the answer's body nothing is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ssl import SSLContext

import aiohttp
from aiohttp.abc import AbstractResolver

from adapters.dialling import LOST, NOT_DIALLED, Dialler, Guard, dial
from adapters.webhook_addresses import Blocked, Network, check_url, networks_of
from envelopes.findings import Sentence
from routing.callbacks import GONE, PostOutcome, PostResult

#: Seconds for a whole post, and of these for the connection.
TOTAL = 15.0
CONNECT = 5.0
#: Bytes of an answer's body that are read (and dropped) at the most, and the seconds for it.
ANSWER_CAP = 64 * 1024
DRAIN = 1.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a request ended, and the beginning of what the partner said to it."""

    result: PostResult
    said: bytes = b""


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked of a partner."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes] | None
    timeout: aiohttp.ClientTimeout


class WebhookSender:
    """Posts messages, each on a connection of its own."""

    def __init__(
        self,
        *,
        user_agent: str = "lienthong",
        total: float = TOTAL,
        connect: float = CONNECT,
        dialler: Dialler = dial,
        resolver: AbstractResolver | None = None,
        ssl_context: SSLContext | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=total, sock_connect=connect)
        self._dialler = dialler
        self._resolver = resolver
        self._ssl_context = ssl_context

    async def post(
        self,
        url: str,
        allowed_networks: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> PostResult:
        """See the port."""
        return (await self.exchange("POST", url, allowed_networks, headers, body)).result

    async def exchange(
        self,
        method: str,
        url: str,
        allowed_networks: Sequence[str],
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None = None,
        *,
        seconds: float | None = None,
        keep: int = 0,
    ) -> Exchange:
        """One request, and up to `keep` bytes of the answer's body; never raises for the partner.

        A body in blocks needs its Content-Length among the headers. `seconds` bound the whole.
        """
        started = time.monotonic()
        allowed = networks_of(allowed_networks)
        timeout = self._timeout
        if seconds is not None:
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=timeout.sock_connect)
        done = await self._exchange(_Request(method, url, headers, body, timeout), allowed, keep)
        took = round(time.monotonic() - started, 3)
        return Exchange(replace(done.result, seconds=took), done.said)

    async def _exchange(self, request: _Request, allowed: Sequence[Network], keep: int) -> Exchange:
        url = check_url(request.url, allowed)
        if isinstance(url, Blocked):
            return Exchange(_blocked(url))
        guard = Guard(allowed, self._dialler, tls=url.scheme == "https")
        try:
            async with (
                self._session(guard, request.timeout) as session,
                session.request(
                    request.method,
                    url,
                    data=request.body,
                    headers={"User-Agent": self._user_agent, **request.headers},
                    allow_redirects=False,
                ) as answer,
            ):
                result = _judged(answer.status, answer.headers.get("Retry-After"))
                return Exchange(result, await _drain(answer.content, keep))
        except (*LOST, ValueError) as error:
            if guard.blocked is not None and not guard.dialled:
                return Exchange(_blocked(guard.blocked))
            return Exchange(_no_answer(error))

    def _session(self, guard: Guard, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            socket_factory=guard,
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            use_dns_cache=False,
            force_close=True,
            ssl=self._ssl_context or True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


async def _drain(content: aiohttp.StreamReader, keep: int) -> bytes:
    """Let a polite receiver finish its answer; the first `keep` bytes of it."""
    left, said = ANSWER_CAP, b""
    try:
        async with asyncio.timeout(DRAIN):
            while left > 0 and (block := await content.read(left)):
                left -= len(block)
                said += block[: keep - len(said)]
    except LOST:
        pass
    return said


def _judged(status: int, retry_after: str | None) -> PostResult:
    """What an answer's status means."""
    detail = f"HTTP {status}"
    if 200 <= status < 300:
        said = Sentence(vi="Đã nhận.", en="Received.")
        return PostResult(PostOutcome.DELIVERED, detail, said, status=status)
    if 300 <= status < 400:
        said = Sentence(
            vi=f"Nơi nhận chuyển hướng (HTTP {status}); hệ thống không đi theo, hãy sửa địa chỉ.",
            en=f"The receiver redirects (HTTP {status}); this is not followed, mend the URL.",
        )
        return PostResult(PostOutcome.REFUSED, f"{detail}: redirect", said, status=status)
    if status == GONE:
        said = Sentence(
            vi="Nơi nhận không còn nhận thông báo (HTTP 410).",
            en="The receiver wants no more callbacks (HTTP 410).",
        )
        return PostResult(PostOutcome.REFUSED, detail, said, status=status)
    if status in (408, 425, 429) or status >= 500:
        said = Sentence(
            vi=f"Nơi nhận chưa nhận được lúc này (HTTP {status}).",
            en=f"The receiver could not take it now (HTTP {status}).",
        )
        wait = _wait(retry_after)
        return PostResult(PostOutcome.TRY_LATER, detail, said, status=status, retry_after=wait)
    said = Sentence(
        vi=f"Nơi nhận từ chối (HTTP {status}).", en=f"The receiver refused it (HTTP {status})."
    )
    return PostResult(PostOutcome.REFUSED, detail, said, status=status)


def _wait(retry_after: str | None) -> timedelta | None:
    """Retry-After as a wait: seconds or a date (RFC 9110 10.2.3); None when it says nothing."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        # Overflow: a time zone of more hours than a computer counts.
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(at - datetime.now(UTC), timedelta(0))


def _no_answer(error: Exception) -> PostResult:
    """No answer: either nobody was reached, or the outcome is unknown."""
    if isinstance(
        error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
    ):
        said = Sentence(
            vi="Chứng thư TLS của nơi nhận không hợp lệ.",
            en="The receiver's TLS certificate cannot be trusted.",
        )
        return PostResult(PostOutcome.TRY_LATER, f"TLS: {type(error).__name__}", said)
    if isinstance(error, NOT_DIALLED):
        said = Sentence(vi="Không kết nối được đến nơi nhận.", en="The receiver cannot be reached.")
        return PostResult(PostOutcome.TRY_LATER, f"no connection: {type(error).__name__}", said)
    said = Sentence(
        vi="Nơi nhận không trả lời: chưa rõ đã nhận hay chưa.",
        en="The receiver did not answer: it may have it or not.",
    )
    return PostResult(PostOutcome.UNKNOWN, f"no answer: {type(error).__name__}", said)


def _blocked(why: Blocked) -> PostResult:
    return PostResult(PostOutcome.BLOCKED, f"blocked: {why.code}: {why.sentence.en}", why.sentence)
