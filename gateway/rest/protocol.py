"""What never became a request (no HTTP, headers without end …) is answered as a problem, too.

aiohttp answers such bytes itself, in plain text and with a traceback in the log. It has no public
place to change that; the only two private names used are in this file.
"""

from __future__ import annotations

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from envelopes.findings import Sentence
from gateway import clock
from gateway.rest.problems import Problem, internal

log = structlog.get_logger(__name__)


class _Protocol(RequestHandler):
    """One connection; `handle_error` is aiohttp's own hook for subclasses."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are no request; closes the connection."""
        correlation = clock.new_id()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("connection.bug", correlation_id=correlation, exc_info=exc)
            problem = internal()
        else:
            why = " ".join((message or type(exc).__name__).split())[:200]
            log.info("connection.no-http", correlation_id=correlation, error=why)
            problem = _no_http(status, why)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when the connection turned out broken")
        response = problem.response(correlation)
        response.force_close()
        return response


def _no_http(status: int, why: str) -> Problem:
    return Problem(
        status,
        "bad-request",
        Sentence(
            vi=f"Dữ liệu nhận được không phải là một yêu cầu HTTP hợp lệ: {why}",
            en=f"What was received is no valid HTTP request: {why}",
        ),
    )


class _Server(Server):
    """Makes our protocol for each connection."""

    def __call__(self) -> RequestHandler:
        """See aiohttp."""
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with our answers to what is no HTTP."""

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server
