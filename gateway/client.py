"""A client of the REST API, as the command line and the demonstration use it.

What the service says no to is a value, `Problem`; so is a service that cannot be reached. Bodies go
out and come in as streams: memory does not grow with the package.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

#: Bodies from this size on wait for "100 Continue": a refusal must not cost an upload.
ASK_FIRST = 1024 * 1024
BLOCK = 256 * 1024
#: Statuses after which the same request may succeed later.
LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no result (RFC 9457), or that nobody answered (`status` 0)."""

    status: int
    code: str
    title: str
    detail: str
    detail_vi: str = ""
    findings: tuple[dict[str, Any], ...] = ()
    #: Members of the problem document besides the standard ones.
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def try_again(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 0 or self.status in LATER

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data, in the shape of the API."""
        return {
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "detailVi": self.detail_vi,
            "findings": list(self.findings),
            **self.extras,
        }


@dataclass(frozen=True, slots=True)
class Content:
    """A package's bytes that were handed to the writer; the digest is that of the bytes."""

    sha256: str
    size: int


Answer = dict[str, Any]


class GatewayClient:
    """One partner's view of one gateway. Make it with `open_client`."""

    def __init__(self, session: aiohttp.ClientSession, base: URL) -> None:
        self._session = session
        self._base = base

    async def send(self, package: bytes | Path, correlation_id: str = "") -> Answer | Problem:
        """Hand a package in. Doing it again is harmless: the first answer is repeated."""
        headers = {"Content-Type": "application/xml"}
        if correlation_id:
            headers["X-Correlation-Id"] = correlation_id
        if isinstance(package, bytes):
            return await self._json("POST", "v1/packages", data=package, headers=headers)
        size = (await asyncio.to_thread(package.stat)).st_size
        with await asyncio.to_thread(package.open, "rb") as file:
            return await self._json(
                "POST",
                "v1/packages",
                data=file,
                headers=headers,
                expect100=size >= ASK_FIRST,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=900),
            )

    async def inbox(self, limit: int = 100, cursor: str = "", wait: int = 0) -> Answer | Problem:
        """A page of what waits; `wait` seconds for something to come."""
        query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        if wait:
            query["wait"] = str(wait)
        timeout = aiohttp.ClientTimeout(total=wait + 30, sock_connect=10)
        return await self._json("GET", "v1/inbox", params=query, timeout=timeout)

    async def fetch(self, some_id: str, write: Callable[[bytes], object]) -> Content | Problem:
        """The exact bytes of a package, block by block to `write`, checked against the ETag.

        A `Problem` with the code ``damaged`` when they are not what the service announced.
        """
        digest, size = hashlib.sha256(), 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        try:
            async with self._session.get(
                self._path("v1/packages", some_id, "content"), timeout=timeout
            ) as response:
                if response.status != HTTPStatus.OK:
                    return await _problem(response)
                announced = response.headers.get("ETag", "").strip('"')
                async for block in response.content.iter_chunked(BLOCK):
                    digest.update(block)
                    size += len(block)
                    await asyncio.to_thread(write, block)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _unreachable(self._base, error)
        if digest.hexdigest() != announced:
            return _damaged(announced, digest.hexdigest())
        return Content(digest.hexdigest(), size)

    async def confirm(self, delivery_id: str) -> Answer | Problem:
        """Say that the whole package is here."""
        return await self._json("POST", self._path("v1/inbox", delivery_id, "confirm"))

    async def report(
        self,
        delivery_id: str,
        status_code: str,
        description: str = "",
        staff: dict[str, str] | None = None,
    ) -> Answer | Problem:
        """Report a business status on a received document."""
        body: dict[str, Any] = {"statusCode": status_code}
        if description:
            body["description"] = description
        if staff:
            body["staff"] = staff
        return await self._json(
            "POST", self._path("v1/deliveries", delivery_id, "reports"), json=body
        )

    async def recall(
        self, document_id: str, reason: str, recipients: tuple[str, ...] = ()
    ) -> Answer | Problem:
        """Take a document back, from everybody or from some recipients."""
        body: dict[str, Any] = {"reason": reason}
        if recipients:
            body["recipients"] = list(recipients)
        path = self._path("v1/documents", document_id, "recall")
        return await self._json("POST", path, json=body)

    async def ready(self) -> bool:
        """Whether the service answers and all its parts are well."""
        return not isinstance(await self._json("GET", "readyz"), Problem)

    def _path(self, *parts: str) -> URL:
        path = "/".join((parts[0], *(quote(part, safe="") for part in parts[1:])))
        return self._base.join(URL(path, encoded=True))

    async def _json(self, method: str, path: str | URL, **options: Any) -> Answer | Problem:
        url = path if isinstance(path, URL) else self._base.join(URL(path))
        try:
            async with self._session.request(method, url, **options) as response:
                if not response.ok:
                    return await _problem(response)
                data = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _unreachable(self._base, error)
        except ValueError as error:
            return Problem(0, "not-the-api", "No JSON answer", f"{self._base}: {error}")
        return data if isinstance(data, dict) else {"result": data}


def is_address(url: str) -> bool:
    """Whether `url` is an http or https address."""
    try:
        parsed = URL(url)
    except ValueError:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


@asynccontextmanager
async def open_client(url: str, token: str) -> AsyncIterator[GatewayClient]:
    """A client of the gateway at `url`, which must be an address (`is_address`)."""
    base = URL(url if url.endswith("/") else url + "/")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    timeout = aiohttp.ClientTimeout(total=60, sock_connect=10)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield GatewayClient(session, base)


async def _problem(response: aiohttp.ClientResponse) -> Problem:
    """The service's problem document; anything else is shown by its status."""
    text = (await response.content.read(4 * 1024 * 1024)).decode("utf-8", "replace")
    phrase = response.reason or str(response.status)
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return Problem(response.status, "http", phrase, " ".join(text.split())[:300])
    standard = ("title", "status", "code", "detail", "detailVi", "findings")
    return Problem(
        status=response.status,
        code=str(data.get("code", "http")),
        title=str(data.get("title", phrase)),
        detail=str(data.get("detail", "")),
        detail_vi=str(data.get("detailVi", "")),
        findings=tuple(data.get("findings") or ()),
        extras={name: value for name, value in data.items() if name not in standard},
    )


def _unreachable(base: URL, error: BaseException) -> Problem:
    where = str(base).rstrip("/")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        why = os.strerror(number) if number else str(error.os_error)
        detail = f"No service answers at {where} ({why}). Does it run?"
        vi = f"Không có dịch vụ nào trả lời tại {where} ({why}). Dịch vụ đã chạy chưa?"
    elif isinstance(error, TimeoutError):
        detail, vi = f"{where} did not answer in time.", f"{where} không trả lời kịp."
    else:
        detail = f"The connection to {where} broke off ({error or type(error).__name__})."
        vi = f"Kết nối tới {where} bị ngắt giữa chừng."
    return Problem(0, "unreachable", "No answer", detail, vi)


def _damaged(announced: str, found: str) -> Problem:
    return Problem(
        0,
        "damaged",
        "Damaged on the way",
        f"The bytes received have SHA-256 {found}; announced was {announced or 'none'}.",
        f"Dữ liệu nhận được có SHA-256 {found}, khác với đã báo: {announced or 'không có'}.",
    )
