"""Whatever goes wrong in a handler, as the problem that the caller is told of. For every face."""

from __future__ import annotations

import structlog
from aiohttp import web

from gateway.intake import DISK_FULL
from gateway.rest import problems
from gateway.rest.problems import Problem
from gateway.sealing import NotAsLogged
from routing.ports import DatabaseUnavailable, PayloadMissing, PayloadsUnavailable

log = structlog.get_logger(__name__)


def problem_of(error: Exception, request: web.Request) -> Problem:
    """The problem behind an exception; writes to the log what an operator must know."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            return problems.of_http_error(error)
        case DatabaseUnavailable():
            log.warning("database.unavailable", error=str(error))
            return problems.unavailable("database")
        case PayloadsUnavailable():
            log.warning("payloads.unavailable", error=str(error))
            return problems.unavailable("payloads")
        case PayloadMissing():
            log.error("payload.missing", error=str(error))
            return problems.payload_missing()
        case NotAsLogged():
            log.error("receipt.not-signed", error=str(error))
            return problems.not_as_logged()
        case OSError() if error.errno in DISK_FULL:
            log.error("disk.full", error=str(error))
            return problems.disk_full()
    # A bug: the client gets a clear answer, the log the traceback.
    log.error("request.bug", method=request.method, path=request.path, exc_info=error)
    return problems.internal()
