"""The aiohttp application: routes, and the middleware that turns every fault into a problem."""

from __future__ import annotations

import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import amqp_claim_pages
from gateway.rest import (
    callbacks,
    documents,
    inbox,
    operations,
    packages,
    people,
    people_operate,
    recall,
)
from gateway.rest.body import leave_unread
from gateway.rest.faults import problem_of
from gateway.rest.requests import SERVICES, correlation_id, refuse_unstorable
from gateway.services import Services
from gateway.vxp.application import vxp_routes

log = structlog.get_logger(__name__)

#: Paths whose requests are too many and too dull for the access log.
_QUIET = {"/healthz", "/readyz", "/metrics"}


async def _continue_later(_request: web.Request) -> None:
    """Expect: 100-continue is answered by the handler, once it wants the body."""


def routes() -> list[web.AbstractRouteDef]:
    """Every path of the API; `openapi.yaml` lists the same, and a test compares them."""
    return [
        web.post("/v1/packages", packages.submit, expect_handler=_continue_later),
        web.post("/v1/check", packages.check, expect_handler=_continue_later),
        web.get("/v1/packages/{id}", packages.show),
        web.get("/v1/packages/{id}/receipt", packages.receipt),
        # No HEAD: asking for the bytes counts as a fetch, so only who takes them may ask.
        web.get("/v1/packages/{id}/content", packages.content, allow_head=False),
        web.get("/v1/inbox", inbox.inbox),
        web.post("/v1/inbox/{id}/confirm", inbox.confirmation),
        web.get("/v1/deliveries/{id}", inbox.delivery),
        web.post("/v1/deliveries/{id}/reports", inbox.report),
        web.get("/v1/documents", documents.search),
        web.get("/v1/documents/{id:.+}/events", documents.events),
        web.post("/v1/documents/{id:.+}/recall", recall.recall),
        web.get("/v1/documents/{id:.+}/thread", documents.thread),
        web.get("/v1/callbacks", callbacks.endpoints),
        web.post("/v1/callbacks", callbacks.add),
        web.delete("/v1/callbacks/{id}", callbacks.remove),
        web.post("/v1/callbacks/{id}/rotate", callbacks.rotate),
        web.post("/v1/callbacks/{id}/test", callbacks.test),
        web.get("/v1/admin/me", people.me),
        web.get("/v1/admin/documents", people.search),
        web.get("/v1/admin/documents/{id:.+}/events", people.events),
        web.get("/v1/admin/documents/{id:.+}/story", people.story),
        web.get("/v1/admin/documents/{id:.+}/evidence", people.evidence),
        web.get("/v1/admin/packages/{id}/content", people.content, allow_head=False),
        web.get("/v1/admin/events", people_operate.log),
        web.get("/v1/admin/deliveries", people_operate.deliveries),
        web.post("/v1/admin/deliveries/{id}/hold", people_operate.hold),
        web.post("/v1/admin/deliveries/{id}/release", people_operate.release),
        web.post("/v1/admin/deliveries/{id}/replay", people_operate.replay),
        web.post("/v1/admin/deliveries/{id}/return", people_operate.give_back),
        web.get("/v1/admin/connections", people_operate.connections),
        web.post("/v1/admin/connections/{name}/{verb}", people_operate.set_status),
        web.get("/healthz", operations.healthz),
        web.get("/readyz", operations.readyz),
        web.get("/metrics", operations.metrics),
        web.get("/openapi.json", operations.openapi),
        web.get("/docs", operations.docs),
        web.get("/", operations.home),
    ]


@web.middleware
async def _faults_are_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    correlation = correlation_id(request)
    start = time.monotonic()
    with structlog.contextvars.bound_contextvars(correlation_id=correlation):
        response = await _answer(request, handler, correlation)
        if not response.prepared:
            response.headers.setdefault("X-Correlation-Id", correlation)
        _note(request, response, time.monotonic() - start)
    return response


async def _answer(request: web.Request, handler: Handler, correlation: str) -> web.StreamResponse:
    try:
        refuse_unstorable(request)
        return await handler(request)
    except Exception as error:  # whatever it is, the client gets a clear answer
        response = problem_of(error, request).response(correlation)
        leave_unread(request, response)
        return response


def _note(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    metrics = request.app[SERVICES].metrics
    metrics.requests.labels(request.method, route, str(response.status)).observe(seconds)
    if request.path not in _QUIET:
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status,
            ms=round(seconds * 1000, 1),
            peer=request.remote,
        )


def make_application(services: Services) -> web.Application:
    """The application on these services; without the role api only probes and metrics answer."""
    application = web.Application(middlewares=[_faults_are_problems], client_max_size=64 * 1024)
    application[SERVICES] = services
    offered = routes()
    if "api" not in services.roles:
        offered = [
            route
            for route in offered
            if isinstance(route, web.RouteDef) and not route.path.startswith("/v1/")
        ]
    else:
        offered += vxp_routes(services)
    application.add_routes(offered)
    if "api" in services.roles:
        application.add_routes(amqp_claim_pages.ROUTES)
    return application
