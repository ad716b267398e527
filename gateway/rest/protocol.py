"""What aiohttp has no public place to change; the private names that this takes are in this file.

What never became a request (no HTTP, headers without end …) is answered as a problem, too: aiohttp
answers such bytes itself, in plain text and with a traceback in the log. And a body that is on its
way when the service is told to end is taken to its end: aiohttp drops the rest, and the request
would wait in vain until its time limit.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import structlog
from aiohttp import StreamReader, web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from envelopes.findings import Sentence
from gateway import clock
from gateway.rest.problems import Problem, internal

log = structlog.get_logger(__name__)


class _Protocol(RequestHandler):
    """One connection; `handle_error` is aiohttp's own hook for subclasses."""

    __slots__ = ("_begun",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        #: The body of the newest request.
        self._begun: StreamReader | None = None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have come. While the connection closes only the rest of a body is of use."""
        closing = self._close, self._force_close
        if any(closing) and self._begun is not None and not self._begun.is_eof():
            self._close = self._force_close = False
            try:
                super().data_received(data)
            finally:
                self._close, self._force_close = closing
            return
        super().data_received(data)
        if self._messages:
            self._begun = self._messages[-1][1]

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
            problem = _no_http(status, _what_of(why))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when the connection turned out broken")
        response = problem.response(correlation)
        response.force_close()
        return response


def _what_of(why: str) -> Sentence:
    """Which part is wrong, as far as the library's words tell; they themselves are for the log."""
    if "Content-Length" in why:
        return Sentence("sai Content-Length", "its Content-Length is wrong")
    if "Got more than" in why:
        return Sentence("dòng đầu hoặc tiêu đề quá dài", "its first line or a header is too long")
    return Sentence("sai dòng đầu hoặc tiêu đề", "its first line or a header is malformed")


def _no_http(status: int, what: Sentence) -> Problem:
    return Problem(
        status,
        "bad-request",
        Sentence(
            vi=f"Dữ liệu nhận được không phải là một yêu cầu HTTP hợp lệ: {what.vi}.",
            en=f"What was received is no valid HTTP request: {what.en}.",
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
