"""Who is asking: the connection behind a system id and a signature, or why not.

Failures are counted and limited for each address and system id: a secret cannot be guessed by
trying, and one that is wrong does not fill the log. Who is known is then admitted as on every face
(suspended, networks, rate).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from aiohttp import web

from envelopes.findings import Sentence
from gateway import clock
from gateway.kinds.vxp import VXP, VxpOptions
from gateway.rest.problems import Problem, not_admitted
from gateway.services import Services
from gateway.vxp.headers import (
    Claim,
    Distrust,
    Distrusted,
    Parameters,
    claim_of,
    is_signed_by,
    judge_time,
    parameters_of,
)
from routing.connection_options import options_of
from routing.route_table import Connection, RouteTable

log = structlog.get_logger(__name__)

#: Failures that one address may make as one system before it has to wait, and for how long each
#: counts, in seconds.
FAILURES = 30
FAILURE_SECONDS = 2.0
#: Most callers whose failures are remembered.
MOST_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A known system, and what it signed."""

    connection: Connection
    options: VxpOptions
    parameters: Parameters

    def signed(self, name: str) -> str:
        """A parameter that must be signed when it is sent; empty when it is not. Raises `Problem`
        for an unsigned one."""
        value = self.parameters.trusted(name)
        if isinstance(value, Distrusted):
            raise problem_of(value)
        return value.strip()


class Failures:
    """How often callers failed of late (generic cell rate algorithm, as `gateway.admission`)."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], float] = {}

    def too_many(self, caller: tuple[str, str], now: float) -> bool:
        """Whether this caller has to wait."""
        return self._due.get(caller, 0.0) - now > FAILURES * FAILURE_SECONDS

    def note(self, caller: tuple[str, str], now: float) -> None:
        """One more."""
        if len(self._due) >= MOST_CALLERS:
            self._due = {key: due for key, due in self._due.items() if due > now}
        if len(self._due) >= MOST_CALLERS:
            self._due.clear()
        self._due[caller] = max(self._due.get(caller, 0.0), now) + FAILURE_SECONDS


class Gate:
    """Lets in who is known."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._failures = Failures()
        self._systems: dict[str, Connection] = {}
        self._of: RouteTable | None = None

    async def let_in(self, request: web.Request) -> Caller:
        """The caller of a request. Raises `Problem`."""
        claim = claim_of(request.raw_headers)
        peer = request.remote or ""
        if isinstance(claim, Distrusted):
            raise self._refused(claim, (peer, ""), "")
        connection = await self._find(claim.system_id)
        key = (peer, claim.system_id if connection is not None else "")
        if self._failures.too_many(key, time.monotonic()):
            self._services.metrics.distrusted.labels(VXP, "too-many-failures").inc()
            raise _too_many()
        parameters = await self._signed(claim, connection)
        if isinstance(parameters, Distrusted) or connection is None:
            why = parameters if isinstance(parameters, Distrusted) else _unknown()
            raise self._refused(why, key, claim.system_id)
        options = options_of(connection, VxpOptions)
        turned_away = self._services.admission.admit(connection, request.remote)
        if turned_away is not None:
            raise not_admitted(connection.name, turned_away, request.remote)
        late = judge_time(parameters, options.tolerance_seconds, clock.now())
        if late is not None:
            raise self._refused(late, key, claim.system_id)
        return Caller(connection, options, parameters)

    async def _signed(self, claim: Claim, connection: Connection | None) -> Parameters | Distrusted:
        secrets: list[str] = []
        if connection is not None:
            secrets = await self._services.secrets.valid(connection, VXP)
        if not is_signed_by(claim, secrets):
            return _unknown()
        return parameters_of(claim)

    async def _find(self, system_id: str) -> Connection | None:
        """The connection of a system id; looked for in the newest registry before it is unknown."""
        found = self._systems_of(await self._services.registry.routes()).get(system_id)
        if found is None:
            newest = await self._services.registry.routes(newest=True)
            found = self._systems_of(newest).get(system_id)
        return found

    def _systems_of(self, routes: RouteTable) -> dict[str, Connection]:
        if routes is not self._of:
            self._systems = {
                str(one.settings.get("system_id")): one
                for one in routes.connections.values()
                if one.kind == VXP
            }
            self._of = routes
        return self._systems

    def _refused(self, why: Distrusted, key: tuple[str, str], system_id: str) -> Problem:
        self._failures.note(key, time.monotonic())
        self._services.metrics.distrusted.labels(VXP, why.why.value).inc()
        log.warning(
            "vxp.not-believed",
            why=why.why.value,
            system_id=system_id,
            peer=key[0],
            detail=why.sentence.en,
        )
        return problem_of(why)


def problem_of(why: Distrusted) -> Problem:
    """What is answered to somebody who is not believed."""
    return Problem(401, why.why.value, why.sentence)


def _unknown() -> Distrusted:
    """The same for an unknown system and for a wrong secret: nobody learns which systems exist."""
    return Distrusted(
        Distrust.WRONG_SIGNATURE,
        Sentence(
            vi="Không có hệ thống nào với systemid này, hoặc chữ ký hash-header không đúng với mã "
            "bí mật.",
            en="There is no system of this systemid, or hash-header was not made with its secret.",
        ),
    )


def _too_many() -> Problem:
    return Problem(
        429,
        "too-many-failures",
        Sentence(
            vi="Quá nhiều lần xác thực sai từ địa chỉ này; hãy chờ một phút rồi thử lại.",
            en="Too many failed authentications from this address; wait a minute and try again.",
        ),
    )
