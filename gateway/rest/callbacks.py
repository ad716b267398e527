"""A connection's own callbacks: what `lienthong callbacks` does, for the partner itself.

Which addresses the gateway may dial is the operator's business: only public ones on https are taken
here, networks of one's own are given by the command line alone, and registering needs the setting
`callbacks_by_partners`, because an address outlives the token that it was registered with.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from adapters.database import SqlCallbacks
from adapters.webhook import WebhookSender
from adapters.webhook_addresses import Blocked, check_url
from envelopes.findings import Sentence
from gateway import clock
from gateway.callbacks import post_signed
from gateway.rest import encode
from gateway.rest.body import json_object, place_for
from gateway.rest.problems import Problem, bad_parameter, not_found
from gateway.rest.requests import as_json, connection, id_of, only, services, text_member
from routing.callbacks import Endpoint, PostResult, body_of, check_event, is_type_pattern
from routing.route_table import Connection
from routing.webhook_signature import SECRET_BYTES, secret_of

#: Addresses that one connection may register.
MOST = 10
#: Hours for which old and new secret may both be alive, and for which they are if nothing is said.
LONGEST_OVERLAP = 24.0 * 90
OVERLAP = 24.0


async def endpoints(request: web.Request) -> web.StreamResponse:
    """GET /v1/callbacks: the addresses that this connection is called back at."""
    asker = await connection(request)
    return encode.answer({"items": [_endpoint(one) for one in await _own(request, asker)]})


async def add(request: web.Request) -> web.StreamResponse:
    """POST /v1/callbacks: be called back at an address from now on; the secret is shown once."""
    asker = await connection(request)
    body = await json_object(request)
    only(body, "url", "types")
    if not services(request).settings.callbacks_by_partners:
        raise Problem(
            403,
            "callbacks-by-operator",
            Sentence(
                vi="Ở trục này, người vận hành đăng ký địa chỉ nhận thông báo.",
                en="At this gateway the operator registers addresses for callbacks.",
            ),
            setting="callbacks_by_partners",
        )
    url = check_url(text_member(body, "url"), ())
    if isinstance(url, Blocked):
        raise Problem(400, "callback-address", url.sentence, reason=url.code)
    types = _types(body)
    if len(await _own(request, asker)) >= MOST:
        raise Problem(
            409,
            "too-many-callbacks",
            Sentence(
                vi=f"Mỗi kết nối chỉ được đăng ký {MOST} địa chỉ; hãy xóa bớt.",
                en=f"A connection may register {MOST} addresses; delete one first.",
            ),
            allowed=MOST,
        )
    now, secret = clock.now(), secret_of(secrets.token_bytes(SECRET_BYTES))
    made = Endpoint(clock.new_id(), asker.id, str(url), secret, now, types)
    await _store(request).add(made, actor=_actor(asker), now=now)
    return encode.answer({**_endpoint(made), "secret": secret}, 201)


async def remove(request: web.Request) -> web.StreamResponse:
    """DELETE /v1/callbacks/{id}: forget the address with all that waits for it."""
    asker = await connection(request)
    endpoint = await _known(request, asker)
    await _store(request).remove(endpoint, actor=_actor(asker), now=clock.now())
    return encode.answer({"id": endpoint.id, "removed": True})


async def rotate(request: web.Request) -> web.StreamResponse:
    """POST /v1/callbacks/{id}/rotate: a new signing secret, beside the old one for a while."""
    asker = await connection(request)
    endpoint = await _known(request, asker)
    body = await json_object(request) if request.can_read_body else {}
    only(body, "overlapHours")
    now = clock.now()
    ends = now + timedelta(hours=_overlap(body))
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    await _store(request).rotate(endpoint, secret, ends, actor=_actor(asker), now=now)
    return encode.answer(
        {"id": endpoint.id, "secret": secret, "oldSecretEnds": encode.time_of(ends)}
    )


async def test(request: web.Request) -> web.StreamResponse:
    """POST /v1/callbacks/{id}/test: send a signed event vn.lienthong.test now; how it went."""
    asker = await connection(request)
    gateway = services(request)
    endpoint = await _known(request, asker)
    test_id, now = f"test-{clock.new_id()}", clock.now()
    told = body_of(check_event(test_id, gateway.settings.organ_id, now)).encode()
    sender = WebhookSender(total=gateway.settings.callback_timeout_seconds)
    with place_for(gateway, asker):
        result = await post_signed(sender, endpoint, test_id, told, now)
    return encode.answer(_result(test_id, result))


def _store(request: web.Request) -> SqlCallbacks:
    return SqlCallbacks(services(request).database, services(request).vault)


async def _own(request: web.Request, asker: Connection) -> list[Endpoint]:
    found = await _store(request).endpoints()
    return [one for one in found if one.connection_id == asker.id]


async def _known(request: web.Request, asker: Connection) -> Endpoint:
    """The connection's endpoint of the id in the path; another's is none. Raises `Problem` 404."""
    wanted = id_of(request)
    for one in await _own(request, asker):
        if one.id == wanted:
            return one
    raise not_found("callback", "địa chỉ nhận thông báo")


def _actor(asker: Connection) -> str:
    return f"connection:{asker.name}"


def _types(body: dict[str, Any]) -> tuple[str, ...]:
    given = body.get("types")
    given = [] if given is None else given
    allowed = Sentence(
        "các loại sự kiện: delivery.delivered, hoặc delivery.* và tương tự",
        "event types: delivery.delivered, or delivery.* and the like",
    )
    if not isinstance(given, list) or len(given) > 50:
        raise bad_parameter("types", as_json(given)[:100], allowed)
    for one in given:
        if not isinstance(one, str) or len(one) > 100 or not is_type_pattern(one):
            raise bad_parameter("types", as_json(one)[:100], allowed)
    return tuple(dict.fromkeys(given))


def _overlap(body: dict[str, Any]) -> float:
    hours = body.get("overlapHours", OVERLAP)
    right = isinstance(hours, (int, float)) and not isinstance(hours, bool)
    if not right or not 0 <= hours <= LONGEST_OVERLAP:
        raise bad_parameter("overlapHours", as_json(hours)[:100], f"0 … {LONGEST_OVERLAP:g}")
    return float(hours)


def _endpoint(one: Endpoint) -> dict[str, Any]:
    """An address without its secrets."""
    ends: datetime | None = one.old_secret_until
    return {
        "id": one.id,
        "url": one.url,
        "types": list(one.types),
        "status": one.status.value,
        "createdAt": encode.time_of(one.created_at),
        "oldSecretEnds": encode.time_of(ends),
    }


def _result(test_id: str, result: PostResult) -> dict[str, Any]:
    return {
        "id": test_id,
        "outcome": result.outcome.value,
        "status": result.status,
        "seconds": result.seconds,
        "reason": {"vi": result.sentence.vi, "en": result.sentence.en},
    }
