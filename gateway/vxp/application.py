"""The protocol under its base path: which operation is called, and every fault as status FAIL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from envelopes.findings import Sentence
from gateway.rest.body import leave_unread
from gateway.rest.faults import problem_of
from gateway.services import Services
from gateway.vxp import agencies, answers, documents
from gateway.vxp.call import Call, refused
from gateway.vxp.gate import Gate

log = structlog.get_logger(__name__)

Operation = Callable[[Call], Awaitable[web.StreamResponse]]

#: Operations that change something, and are not to be had by GET. What only reads may be asked for
#: by both methods: clients differ, and nothing depends on it.
CHANGING = frozenset({"sendEdoc", "updateStatus", "registerAgency", "deleteAgency"})


def operations() -> dict[str, Operation]:
    """Every operation by its name."""
    lists = agencies.AgencyLists()
    return {
        "sendEdoc": documents.send_edoc,
        "getReceivedEdocList": documents.received_list,
        "getEdoc": documents.get_edoc,
        "updateStatus": documents.update_status,
        "getSentEdocList": documents.sent_list,
        "getAgenciesList": lists.agencies,
        "getAgenciesListQD20": lists.agencies_qd20,
        "getSynchronizeUnit": lists.units,
        "registerAgency": agencies.register_agency,
        "deleteAgency": agencies.delete_agency,
        "countReceiveEdoc": documents.count_edoc,
        "countReceiveStatus": documents.count_status,
        "downloadEdoc": documents.download_edoc,
    }


async def _continue_later(_request: web.Request) -> None:
    """Expect: 100-continue is answered once the headers are believed."""


def vxp_routes(services: Services) -> list[web.RouteDef]:
    """The routes of the protocol; names of operations are found whatever their case.

    Whoever changes one address gets slashes wrong: none, two or three are one, and whatever else
    is below the base path is answered as the protocol answers, by HTTP 200.
    """
    face = Face(services)
    base = services.settings.vxp_base_path
    paths = [f"{base}/{name}" for name in face.names]
    # One name for all slips: figures are counted by it.
    anywhere = f"/{{slashes:/*}}{base[1:]}"
    paths += [f"{anywhere}{{more:/+}}{{operation:[^/]+}}{{end:/*}}", f"{anywhere}{{more:(/.*)?}}"]
    return [web.route("*", path, face.answer, expect_handler=_continue_later) for path in paths]


class Face:
    """Answers requests of the protocol."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._gate = Gate(services)
        found = operations()
        self.names = tuple(found)
        self._operations = {name.lower(): (name, run) for name, run in found.items()}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Believe, do, encode; HTTP 200 whatever happened."""
        try:
            return await self._do(request)
        except Exception as error:  # whatever it is, clients of this protocol get status FAIL
            problem = problem_of(error, request)
        log.info("vxp.fail", path=request.path, status=problem.status, why=problem.sentence.en)
        response = answers.fail(problem)
        leave_unread(request, response)
        return response

    async def _do(self, request: web.Request) -> web.StreamResponse:
        found = request.match_info
        called = found.get("operation", "") if "more" in found else request.path.rpartition("/")[2]
        name, run = self._operations.get(called.lower(), ("", None))
        caller = await self._gate.let_in(request)
        if run is None:
            raise refused(
                404,
                Sentence(
                    vi=f"Không có thao tác này; có: {', '.join(self.names)}.",
                    en=f"There is no such operation; there are: {', '.join(self.names)}.",
                ),
            )
        methods = ("POST",) if name in CHANGING else ("GET", "POST")
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise refused(405, Sentence(f"{name} cần {allowed}.", f"{name} needs {allowed}."))
        structlog.contextvars.bind_contextvars(connection=caller.connection.name, operation=name)
        return await run(Call(request, self._services, caller))
