"""For operators and probes: /healthz, /readyz, /metrics, /openapi.json, /docs."""

from __future__ import annotations

import asyncio
import hmac
import html
import json
import re
from collections.abc import Awaitable
from datetime import UTC, datetime
from functools import cache, partial
from importlib import resources
from typing import Any

import structlog
import yaml
from aiohttp import web
from jinja2 import Environment, PackageLoader, select_autoescape
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway import clock
from gateway.rest import encode
from gateway.rest.problems import unauthorized
from gateway.rest.requests import services
from gateway.services import Services
from gateway.settings import MIB
from routing.ports import DatabaseUnavailable

log = structlog.get_logger(__name__)

#: Seconds that one part may take to answer a readiness probe.
PROBE_SECONDS = 5.0
NO_ANSWER = f"no answer within {PROBE_SECONDS:.0f} s"
#: Seconds that the database may take for the queue figures of /metrics. A scrape waits 10 s at the
#: most, and what else it shows is needed most when the database is in trouble.
FIGURES_SECONDS = 2.0


async def healthz(_request: web.Request) -> web.StreamResponse:
    """GET /healthz: the process runs and its event loop turns."""
    return encode.answer({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """GET /readyz: every part by name; 503 when one that intake needs is away.

    The broker is named but does not make the gateway unready: its absence delays documents and
    refuses none (architecture decision 1).
    """
    gateway = services(request)
    parts = {
        "database": await _probe(gateway.database.ping()),
        "payloads": await _payloads(gateway),
        "broker": await _broker(gateway),
    }
    needed = ("database", "payloads")
    ready = all(parts[name]["ok"] for name in needed) and not gateway.stopping.is_set()
    body = {
        "status": "ready" if ready else "not-ready",
        "roles": list(gateway.roles),
        "lastRounds": {
            role: encode.time_of(datetime.fromtimestamp(at, UTC)) if at else None
            for role, at in gateway.metrics.beats.items()
        },
        "parts": parts,
    }
    return encode.answer(body, 200 if ready else 503)


async def _probe(question: Awaitable[str]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return {"ok": True, "detail": await question}
    except TimeoutError:
        return {"ok": False, "detail": NO_ANSWER}
    except Exception as error:  # whatever is wrong with the part is the answer
        return {"ok": False, "detail": f"{type(error).__name__}: {error}"[:300]}


async def _broker(gateway: Services) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            health = await gateway.broker.health()
        return {"ok": health.ok, "detail": health.detail}
    except TimeoutError:
        return {"ok": False, "detail": NO_ANSWER}


async def _payloads(gateway: Services) -> dict[str, Any]:
    """Whether a package could be kept now, tried out; a folder may be there and read-only."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            health = await gateway.payloads.check()
    except TimeoutError:
        return {"ok": False, "detail": NO_ANSWER}
    if not health.ok:
        return {"ok": False, "detail": health.detail}
    free = gateway.payloads.free_bytes()
    enough = free >= gateway.settings.min_free_mib * MIB
    return {
        "ok": enough,
        "detail": f"{health.detail}; "
        f"{free // MIB} MiB free, {gateway.settings.min_free_mib} MiB needed",
    }


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET /metrics for Prometheus; queue figures are read now."""
    gateway = services(request)
    await _may_read_metrics(request, gateway)
    gateway.metrics.free_bytes.set(gateway.payloads.free_bytes())
    gateway.metrics.figures_known.set(await _refreshed(gateway))
    text = generate_latest(gateway.metrics.registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _may_read_metrics(request: web.Request, gateway: Services) -> None:
    """Raises `Problem` 401 where a token is asked for and this one is not it."""
    wanted = gateway.settings.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "").partition(" ")[2].strip()
    right = hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape")
    )
    if wanted and not right:
        await gateway.failures.note("metrics", "unknown-token", request.remote)
        raise unauthorized()


async def _refreshed(gateway: Services) -> bool:
    """Whether the queue figures are of now; without them none are shown, old ones would lie."""
    try:
        async with asyncio.timeout(FIGURES_SECONDS):
            await refresh_figures(gateway)
    except (TimeoutError, DatabaseUnavailable) as error:
        log.warning("metrics.no-figures", error=str(error) or f"none in {FIGURES_SECONDS:g} s")
        gateway.metrics.depth.clear()
        gateway.metrics.oldest.clear()
        return False
    return True


async def refresh_figures(gateway: Services) -> None:
    """Set the gauges from the database."""
    names = {key: one.name for key, one in (await gateway.registry.routes()).connections.items()}
    now = clock.now()
    figures = await gateway.database.queue_figures()
    shown = gateway.metrics
    shown.depth.clear()
    shown.oldest.clear()
    for row in figures:
        labels = (names.get(row["connection_id"], "none"), row["lane"], row["state"])
        shown.depth.labels(*labels).set(row["count"])
        shown.oldest.labels(*labels).set((now - row["oldest"]).total_seconds())


@cache
def openapi_document() -> dict[str, Any]:
    """The contract, from `openapi.yaml`."""
    text = resources.files("gateway.rest").joinpath("openapi.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


async def openapi(_request: web.Request) -> web.StreamResponse:
    """GET /openapi.json."""
    document = await asyncio.to_thread(openapi_document)
    text = json.dumps(document, ensure_ascii=False)
    return web.Response(text=text, content_type="application/json")


@cache
def _docs_page() -> str:
    loader = PackageLoader("gateway.rest", "templates")
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pretty"] = partial(json.dumps, ensure_ascii=False, indent=2)
    return environment.get_template("docs.html").render(api=openapi_document())


async def home(_request: web.Request) -> web.StreamResponse:
    """GET /: who opens the address in a browser wants the page."""
    return web.Response(status=302, headers={"Location": "/docs"})


#: The address in the page as it is rendered, and what a Host header may look like.
_EXAMPLE = "http://127.0.0.1:8080"
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def _own_address(request: web.Request) -> str:
    """The gateway's address as the reader of the page can use it: `public_url`, or the one that
    the request came to."""
    public = services(request).settings.public_url.rstrip("/")
    if public:
        return public
    return f"{request.scheme}://{request.host}" if _HOST.fullmatch(request.host) else _EXAMPLE


async def docs(request: web.Request) -> web.StreamResponse:
    """GET /docs: the contract for people."""
    address = _own_address(request)
    return await asyncio.to_thread(docs_page, address)


def docs_page(address: str) -> web.Response:
    """The contract for people, one page with nothing from elsewhere; its samples ask `address`."""
    return web.Response(
        text=_docs_page().replace(_EXAMPLE, html.escape(address)),
        content_type="text/html",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
