"""The national axis protocol (VXP) from the client's side: one partner, over HTTP.

Nothing raises for the partner: each operation ends in an `AxisAnswer` that says what is known. Time
limits stand on everything, answers are bounded, redirects are answers like any other, and the
address really dialled is looked at. Packages are streamed both ways.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import aiohttp

from adapters.dialling import LOST, NOT_DIALLED, Guard
from adapters.vxp_edoc import EdocAnswer, EdocBroken
from adapters.vxp_request import EDXML, JSON, signed_headers, unpadded
from adapters.webhook_addresses import Blocked, Network, check_url

#: Bytes of an answer that is read as a whole: lists and directories.
LONGEST_ANSWER = 32 * 1024 * 1024
#: Seconds for a connection, and for a partner that says nothing.
CONNECT = 10.0
#: Seconds that the next bytes of a package may take.
STILL = 60.0
CONNECTIONS = 16
#: The longest text of the partner's that is kept.
LONGEST_TEXT = 500

LATER = frozenset({408, 425, 429})


class Heard(StrEnum):
    """What is known after a request."""

    #: The partner did it.
    OK = "ok"
    #: The partner says that it did not, and why (``FAIL``).
    FAIL = "fail"
    #: Surely not done: not reached, or HTTP 5xx, 429.
    LATER = "later"
    #: No answer, or none that can be read: done or not.
    UNKNOWN = "unknown"
    #: An HTTP status that speaks of address or credentials; surely not done.
    DENIED = "denied"
    #: The address must not be dialled.
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class AxisAnswer:
    """How one operation ended."""

    heard: Heard
    #: The answer's members.
    members: dict[str, Any] = field(default_factory=dict)
    #: ErrorCode, or ``HTTP 503``, or the name of what went wrong.
    code: str = ""
    #: ErrorDesc, in the partner's words.
    text: str = ""
    status: int = 0
    retry_after: timedelta | None = None

    @property
    def ok(self) -> bool:
        """Whether the partner did it."""
        return self.heard is Heard.OK

    @property
    def rows(self) -> list[dict[str, Any]]:
        """`data` as objects; what is none is left out."""
        data = self.members.get("data")
        return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []

    def __str__(self) -> str:
        return f"{self.heard}: {self.code} {self.text}".strip().rstrip(":")


@dataclass(frozen=True, slots=True)
class AxisAddress:
    """Where a partner is and who we are there."""

    #: Base path, e.g. ``https://truc.example/XrdAdapter/RestService/forward``.
    url: str
    system_id: str
    secret: str
    networks: tuple[Network, ...] = ()
    #: Seconds for one operation without a package, and for which nothing of a package may move.
    seconds: float = 30.0


class EdocBody:
    """A package as it arrives; `readany` raises `EdocBroken` unless it came whole."""

    def __init__(self, content: aiohttp.StreamReader, *, raw: bool) -> None:
        self._content = content
        self._answer = None if raw else EdocAnswer()
        self._done = False
        #: What the partner said instead, once that is known.
        self.refusal: AxisAnswer | None = None

    async def readany(self) -> bytes:
        """The next bytes; empty at the end."""
        while not self._done:
            try:
                block = await self._content.readany()
            except LOST as error:
                raise EdocBroken(f"the connection was lost: {type(error).__name__}") from error
            if self._answer is None:
                self._done = not block
                return block
            if not block:
                self._finish(self._answer)
                break
            decoded = self._answer.feed(block)
            if decoded:
                return decoded
        return b""

    def _finish(self, answer: EdocAnswer) -> None:
        self._done = True
        said = _judged_json(answer.close(), 200)
        if said.ok and answer.has_data:
            return
        self.refusal = said
        raise EdocBroken(f"the partner gives no package: {said}")


class VxpClient:
    """One session with a partner; an asynchronous context manager."""

    def __init__(self, address: AxisAddress, clock: Callable[[], datetime]) -> None:
        """`clock` gives the time for the requests' timestamps."""
        self._address = address
        self._clock = clock
        self._url = check_url(address.url.rstrip("/"), address.networks)
        self._guard = Guard(address.networks, tls=address.url.lower().startswith("https:"))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=self._guard.connector(CONNECTIONS),
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send_edoc(
        self,
        sender: str,
        recipients: Sequence[str],
        message_type: str,
        digest: str,
        size: int,
        body: AsyncIterator[bytes],
    ) -> AxisAnswer:
        """Hand a package over. `message_type`: edoc or status.

        The caller bounds the whole time; here, only how long nothing moves.
        """
        parameters = {
            "from": sender,
            "servicetype": "eDoc",
            "messagetype": message_type,
            "hash-file": unpadded(digest),
            "to": json.dumps(list(recipients), separators=(",", ":")),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT)
        more = {"Content-Length": str(size)}
        clock, still = asyncio.get_running_loop().time, self._address.seconds
        try:
            async with asyncio.timeout(still + CONNECT) as limit:

                async def moving() -> AsyncIterator[bytes]:
                    async for block in body:
                        yield block
                        limit.reschedule(clock() + still)

                return await self._ask("sendEdoc", parameters, EDXML, moving(), timeout, more)
        except TimeoutError as error:
            return self._no_answer(error)

    async def received(self, message_type: str) -> AxisAnswer:
        """What waits for us: `rows` as `getReceivedEdocList` gives them."""
        parameters = {"servicetype": "eDoc", "messagetype": message_type}
        return await self._ask("getReceivedEdocList", parameters)

    async def sent(self, message_type: str) -> AxisAnswer:
        """What we sent, as the partner knows it."""
        parameters = {"servicetype": "eDoc", "messagetype": message_type}
        return await self._ask("getSentEdocList", parameters)

    async def update_status(self, doc_id: str, status: str) -> AxisAnswer:
        """``processing``, ``done`` (it leaves the list) or ``fail`` (it is offered again)."""
        parameters = {"docId": doc_id, "status": status}
        return await self._ask("updateStatus", parameters, JSON, b"{}")

    async def directory(self, operation: str) -> AxisAnswer:
        """``getAgenciesList``, ``getAgenciesListQD20`` or ``getSynchronizeUnit``."""
        return await self._ask(operation, {})

    @asynccontextmanager
    async def edoc(self, doc_id: str, *, raw: bool = False) -> AsyncIterator[EdocBody | AxisAnswer]:
        """The package of this id as it arrives, or why not; `raw`: by `downloadEdoc`.

        The reader bounds size and time.
        """
        method, operation = ("GET", "downloadEdoc") if raw else ("POST", "getEdoc")
        headers = self._headers({"docId": doc_id}, "" if raw else JSON)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=STILL)
        entered = False
        try:
            async with self._open(
                method, operation, headers, None if raw else b"{}", timeout
            ) as answer:
                entered = True
                if answer.status == 200:
                    yield EdocBody(answer.content, raw=raw)
                else:
                    yield _judged_status(answer.status, answer.headers.get("Retry-After"))
        except (*LOST, ValueError) as error:
            if entered:
                # What the reader raised is the reader's.
                raise
            yield self._no_answer(error)

    def _headers(self, parameters: dict[str, str], content_type: str) -> dict[str, str]:
        address = self._address
        return signed_headers(
            address.system_id, address.secret, parameters, self._clock(), content_type
        )

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        operation: str,
        headers: dict[str, str],
        body: bytes | AsyncIterator[bytes] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise AssertionError("the client is used inside `async with`")
        if isinstance(self._url, Blocked):
            raise ValueError(self._url.sentence.en)
        async with self._session.request(
            method,
            f"{self._url}/{operation}",
            headers=headers,
            data=body,
            timeout=timeout,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as answer:
            yield answer

    async def _ask(
        self,
        operation: str,
        parameters: dict[str, str],
        content_type: str = "",
        body: bytes | AsyncIterator[bytes] = b"",
        timeout: aiohttp.ClientTimeout | None = None,
        more: dict[str, str] | None = None,
    ) -> AxisAnswer:
        """One POST; its answer as a value."""
        seconds = self._address.seconds
        timeout = timeout or aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT)
        headers = self._headers(parameters, content_type) | (more or {})
        try:
            async with self._open("POST", operation, headers, body, timeout) as answer:
                if answer.status != 200:
                    return _judged_status(answer.status, answer.headers.get("Retry-After"))
                content = await _whole(answer.content)
        except (*LOST, ValueError) as error:
            return self._no_answer(error)
        if content is None:
            return AxisAnswer(Heard.UNKNOWN, code="answer too long", status=200)
        return await _off_loop(_read_json, content)

    def _no_answer(self, error: BaseException) -> AxisAnswer:
        blocked = self._url if isinstance(self._url, Blocked) else self._guard.blocked
        if isinstance(blocked, Blocked) and not self._guard.dialled:
            return AxisAnswer(Heard.BLOCKED, code=blocked.code, text=blocked.sentence.en)
        name = type(error).__name__
        if isinstance(error, NOT_DIALLED):
            return AxisAnswer(Heard.LATER, code="not reached", text=f"{name}: {error}"[:200])
        if isinstance(error, ValueError):
            # A header or address that cannot be sent: nothing went out.
            return AxisAnswer(Heard.DENIED, code="cannot be sent", text=str(error)[:200])
        return AxisAnswer(Heard.UNKNOWN, code="no answer", text=name)


async def _whole(content: aiohttp.StreamReader) -> bytes | None:
    """All of a short answer; None when it is too long."""
    whole = bytearray()
    async for block in content.iter_any():
        whole += block
        if len(whole) > LONGEST_ANSWER:
            return None
    return bytes(whole)


def _read_json(content: bytes) -> AxisAnswer:
    try:
        members = json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        # A proxy's error page, for example: what was asked for may have been done.
        said = " ".join(content[:200].decode("utf-8", "replace").split())
        return AxisAnswer(Heard.UNKNOWN, code="no JSON object", text=said, status=200)
    return _judged_json(members, 200)


async def _off_loop(read: Callable[[bytes], AxisAnswer], content: bytes) -> AxisAnswer:
    """Long lists are read outside the event loop."""
    if len(content) < 256 * 1024:
        return read(content)
    done: Awaitable[AxisAnswer] = asyncio.to_thread(read, content)
    return await done


def _judged_json(members: dict[str, Any], status: int) -> AxisAnswer:
    """OK or FAIL as the members say; anything else is no answer."""
    word = text_of(members.get("status")).upper()
    code = text_of(members.get("ErrorCode"))
    text = text_of(members.get("ErrorDesc"))
    heard = {"OK": Heard.OK, "FAIL": Heard.FAIL}.get(word)
    if heard is None:
        heard = {"": Heard.UNKNOWN, "0": Heard.OK}.get(code, Heard.FAIL)
    return AxisAnswer(heard, members, code, text, status)


def _judged_status(status: int, retry_after: str | None) -> AxisAnswer:
    later = status in LATER or status >= 500
    wait = (retry_after or "").strip()
    seconds = timedelta(seconds=int(wait[:6])) if wait.isascii() and wait.isdigit() else None
    heard = Heard.LATER if later else Heard.DENIED
    return AxisAnswer(heard, code=f"HTTP {status}", status=status, retry_after=seconds)


def text_of(value: object) -> str:
    """A member as a tidy text; empty for null and for what is no scalar."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        return ""
    printable = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(printable.split())[:LONGEST_TEXT]
