"""Who is asking: the connection behind a system id and a signature, or why not.

Failures are counted, and wrong signatures are answered slowly once there were many, so that a
secret cannot be guessed by trying. Who is known is then admitted as on every face (suspended,
networks, rate).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import structlog
from aiohttp import web

from envelopes.findings import Sentence
from gateway import clock
from gateway.access.failures import FailedAttempts, address_of
from gateway.kinds.vxp import VXP, VxpOptions
from gateway.rest.problems import Problem, not_admitted, too_many_failures
from gateway.rest.requests import shown_certificate
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

#: Wrong signatures that one address may give at once as one system; one is forgiven after so many
#: seconds.
FREE_FAILURES = 30
FORGIVEN_SECONDS = 2.0
#: Seconds that the answer to a further one takes, and how many may wait for theirs together.
SLOW_ANSWER = 1.0
MOST_WAITING = 8


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
    """Wrong signatures of late, for each address and system.

    Guessing is made slow, and a right signature still gets in at once: others behind the same
    address must not be able to lock an agency out.
    """

    def __init__(self) -> None:
        self._attempts = FailedAttempts[tuple[str, str]](FREE_FAILURES, FORGIVEN_SECONDS)
        self._waiting: Counter[tuple[str, str]] = Counter()

    def crowded(self, peer: str | None, system_id: str) -> bool:
        """Whether so many wrong signatures wait for their answer that no other is looked at."""
        return self._waiting[address_of(peer), system_id] >= MOST_WAITING

    async def note(self, peer: str | None, system_id: str) -> None:
        """One more; returns late when there were many."""
        caller, now = (address_of(peer), system_id), time.monotonic()
        self._attempts.note(caller, now)
        if not self._attempts.wait(caller, now):
            return
        self._waiting[caller] += 1
        try:
            await asyncio.sleep(SLOW_ANSWER)
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller]


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
            raise self._refused(claim, peer, "")
        connection = await self._find(claim.system_id)
        system_id = claim.system_id if connection is not None else ""
        if self._failures.crowded(request.remote, system_id):
            self._services.metrics.distrusted.labels(VXP, "too-many-failures").inc()
            raise too_many_failures(SLOW_ANSWER)
        parameters = await self._signed(claim, connection)
        if isinstance(parameters, Distrusted) or connection is None:
            why = parameters if isinstance(parameters, Distrusted) else _unknown()
            if why.why is Distrust.WRONG_SIGNATURE:
                await self._services.failures.count(VXP, request.remote)
                await self._failures.note(request.remote, system_id)
            raise self._refused(why, peer, claim.system_id)
        options = options_of(connection, VxpOptions)
        turned_away = self._services.admission.admit(
            connection, request.remote, shown_certificate(request)
        )
        if turned_away is not None:
            raise not_admitted(connection.name, turned_away, request.remote)
        late = judge_time(parameters, options.tolerance_seconds, clock.now())
        if late is not None:
            raise self._refused(late, peer, claim.system_id)
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

    def _refused(self, why: Distrusted, peer: str, system_id: str) -> Problem:
        self._services.metrics.distrusted.labels(VXP, why.why.value).inc()
        log.warning(
            "vxp.not-believed",
            why=why.why.value,
            system_id=system_id,
            peer=peer,
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
