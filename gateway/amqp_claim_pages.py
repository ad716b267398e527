"""Packages that are too large for a message: fetched and handed in at a signed address.

The address is the permission (`gateway.amqp_claims`). It names the user of a connection of kind
`amqp` and is signed with that connection's secret; a suspended connection's addresses are good for
nothing, and a package that was withdrawn is not handed out.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from envelopes.findings import Sentence
from gateway import clock
from gateway.amqp_claims import Audience, Do, claim_is_good
from gateway.kinds import amqp
from gateway.rest import encode
from gateway.rest.body import body_of
from gateway.rest.packages import take
from gateway.rest.payload_answer import bytes_of
from gateway.rest.problems import Problem, not_admitted, not_found
from gateway.rest.requests import correlation_id, services, shown_certificate
from routing.ids import is_id
from routing.ports import Transaction
from routing.records import Event, PackageRecord
from routing.route_table import Connection
from routing.states import TransportState
from routing.submission import Submission

#: States in which the partner has been told of the package and may read it.
_READABLE = (TransportState.DELIVERING, TransportState.UNKNOWN, TransportState.DELIVERED)


async def fetch(request: web.Request) -> web.StreamResponse:
    """GET /v1/claims/{digest}: the exact bytes of a delivery; written down first."""
    partner, audience = await _admitted(request, Do.GET)
    package = await _readable(request, partner, audience.what)
    return await bytes_of(request, services(request), package)


async def hand_in(request: web.Request) -> web.StreamResponse:
    """PUT /v1/claims/{digest}: what POST /v1/packages does, for exactly these bytes."""
    partner, audience = await _admitted(request, Do.PUT)
    digest = request.match_info["digest"]
    async with body_of(request, partner) as (spool, read):
        if spool.claim.digest != digest:
            raise Problem(
                409,
                "wrong-digest",
                Sentence(
                    vi=f"Nội dung có mã băm {spool.claim.digest}, khác với địa chỉ.",
                    en=f"The body has the digest {spool.claim.digest}, other than the address.",
                ),
            )
        only_for = (audience.what,) if audience.what else ()
        submission = Submission(read, spool, partner, correlation_id(request), only_for)
        result = await take(services(request), submission)
    return encode.answer(encode.accepted(result), 200 if result.repeated else 202)


async def _admitted(request: web.Request, do: Do) -> tuple[Connection, Audience]:
    """Whose address it is. Raises `Problem` 403 or 429."""
    gateway = services(request)
    audience = Audience.parse(request.query.get("audience", ""))
    partner = None
    if audience is not None and audience.do is do:
        connections = (await gateway.registry.routes()).connections.values()
        partner = next(
            (
                one
                for one in connections
                if one.kind == amqp.NAME and amqp.user_of(one) == audience.user
            ),
            None,
        )
    secrets = await gateway.secrets.valid(partner, amqp.PURPOSE) if partner else []
    if audience is None or partner is None or not secrets:
        raise _not_good("The address is malformed.", "Đường dẫn không hợp lệ.")
    refused = claim_is_good(secrets, request.match_info["digest"], request.query, clock.now())
    if refused is not None:
        raise _not_good(refused.sentence.en, refused.sentence.vi)
    turned_away = gateway.admission.admit(partner, request.remote, shown_certificate(request))
    if turned_away is not None:
        raise not_admitted(partner.name, turned_away, request.remote)
    return partner, audience


async def _readable(request: web.Request, partner: Connection, delivery_id: str) -> PackageRecord:
    """The package of the delivery, its reading written down. Raises `Problem` 404 or 409."""
    digest = request.match_info["digest"]
    gateway = services(request)

    async def write(tx: Transaction) -> tuple[TransportState, PackageRecord] | None:
        row = await tx.get_delivery(delivery_id) if is_id(delivery_id) else None
        package = await tx.get_package(row.package_id) if row is not None else None
        if row is None or package is None or row.connection_id != partner.id:
            return None
        if package.digest != digest or not row.attempts:
            return None
        if row.state in _READABLE:
            event = Event(
                type="delivery.fetched-again",
                at=clock.now(),
                actor=f"connection:{partner.name}",
                document_pk=row.document_pk,
                package_id=row.package_id,
                delivery_id=row.id,
                correlation_id=row.correlation_id,
            )
            await tx.append([event])
        return row.state, package

    found = await gateway.database.write(write)
    if found is None:
        raise not_found("delivery", "lượt gửi")
    state, package = found
    if state not in _READABLE:
        sentence = Sentence(
            vi=f"Gói tin không còn để lấy: lượt gửi đang ở trạng thái «{state}».",
            en=f"The package is not there to be fetched: its delivery is {state}.",
        )
        raise Problem(409, "not-readable", sentence, state=state.value)
    return package


def _not_good(en: str, vi: str) -> Problem:
    return Problem(
        403, "claim-not-valid", Sentence(vi, en), headers={hdrs.CACHE_CONTROL: "no-store"}
    )


async def _continue_later(_request: web.Request) -> None:
    """Expect: 100-continue is answered by the handler, once it wants the body."""


#: No part of the REST contract: the addresses are signed; `docs/asyncapi.yaml` tells them.
ROUTES = (
    web.get("/v1/claims/{digest}", fetch, allow_head=False),
    web.put("/v1/claims/{digest}", hand_in, expect_handler=_continue_later),
)
