"""Answering with a package's exact bytes, from the disk or from an object store."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import ETag, hdrs, web

from gateway.rest.problems import payload_missing
from gateway.services import Services
from routing.ports import PayloadMissing, PayloadsUnavailable
from routing.records import PackageRecord

log = structlog.get_logger(__name__)

#: Payloads up to this many bytes are answered in one piece.
SMALL = 1024 * 1024


class _PayloadFile(web.FileResponse):
    """A file under the ETag it was given: aiohttp would set one made of time and size."""

    @property
    def etag(self) -> ETag | None:
        """The payload's digest."""
        return super().etag

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """Keep the one in the headers."""


async def bytes_of(
    request: web.Request, gateway: Services, package: PackageRecord
) -> web.StreamResponse:
    """The payload: small ones in one piece, large ones streamed.

    Raises `Problem` when it is missing or damaged, and `PayloadsUnavailable`.
    """
    headers = {
        hdrs.CONTENT_TYPE: "application/xml",
        hdrs.ETAG: f'"{package.digest}"',
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{package.id}.edxml"',
        hdrs.CACHE_CONTROL: "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Correlation-Id": package.correlation_id,
    }
    try:
        path = await asyncio.to_thread(gateway.payloads.path, package.digest)
        if path is None:
            return await _from_store(request, gateway, package, headers)
    except PayloadMissing as error:
        log.error("payload.missing", package=package.id, digest=package.digest, error=str(error))
        raise payload_missing() from None
    if package.size > SMALL:
        return _PayloadFile(path, headers=headers)
    return web.Response(body=await asyncio.to_thread(path.read_bytes), headers=headers)


async def _from_store(
    request: web.Request, gateway: Services, package: PackageRecord, headers: dict[str, str]
) -> web.StreamResponse:
    blocks = gateway.payloads.open(package.digest)
    if package.size <= SMALL:
        return web.Response(body=b"".join([block async for block in blocks]), headers=headers)
    # Faults before the first block are still answered as what they are.
    first = await anext(blocks, b"")
    response = web.StreamResponse(headers=headers)
    response.content_length = package.size
    await response.prepare(request)
    try:
        await response.write(first)
        async for block in blocks:
            await response.write(block)
    except (PayloadMissing, PayloadsUnavailable) as error:
        # The length was announced: a connection that ends before it is no whole package.
        log.error("payload.broken-off", package=package.id, digest=package.digest, error=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response
