"""What every handler needs of a request: the services, the connection, checked parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from adapters.tls import fingerprint_of
from envelopes.findings import Sentence
from gateway import clock
from gateway.admission import Shown
from gateway.rest.problems import (
    bad_parameter,
    not_admitted,
    not_found,
    too_many_failures,
    unauthorized,
    unknown_parameter,
)
from gateway.services import Services
from routing.ids import is_id
from routing.route_table import Connection

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)

#: What PostgreSQL takes in no text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
#: What XML has no place for: control characters, half characters, U+FFFE and U+FFFF.
_NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
#: Parameters that name one thing; an empty one names none.
_NAMES = {"documentId", "sender", "recipient", "connection"}
_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def services(request: web.Request) -> Services:
    """The parts of this gateway."""
    return request.app[SERVICES]


def correlation_id(request: web.Request) -> str:
    """The caller's X-Correlation-Id when it is a decent one, else a new id."""
    known = request.get("correlation_id")
    if known is None:
        given = request.headers.get("X-Correlation-Id", "")
        known = given if _CORRELATION.fullmatch(given) else clock.new_id()
        request["correlation_id"] = known
    return str(known)


def bearer_token(request: web.Request) -> str:
    """The token of the header Authorization; empty when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def shown_certificate(request: web.Request) -> Shown:
    """Gives the fingerprint of the certificate that the client showed, when it is asked."""

    def look() -> str | None:
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        return fingerprint_of(tls, clock.now())

    return look


async def connection(request: web.Request) -> Connection:
    """The connection whose token the request carries. Raises `Problem` 401, 403 or 429."""
    token = bearer_token(request)
    if not token:
        raise unauthorized()
    gateway = services(request)
    wait = gateway.failures.wait(request.remote)
    found = await gateway.registry.authenticate(token, newest=not wait)
    if found is None and wait:
        raise too_many_failures(wait)
    if found is None:
        await gateway.failures.note("rest", "unknown-token", request.remote)
        raise unauthorized()
    turned_away = gateway.admission.admit(found, request.remote, shown_certificate(request))
    if turned_away is not None:
        raise not_admitted(found.name, turned_away, request.remote)
    return found


def id_of(request: web.Request) -> str | None:
    """The id in the path, None when it cannot be one."""
    given = request.match_info["id"].lower()
    return given if is_id(given) else None


def number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query. Raises `Problem` 400."""
    given = request.query.get(name)
    if given is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", given) or not low <= int(given) <= high:
        raise bad_parameter(name, given, f"{low} … {high}")
    return int(given)


def only(given: Mapping[str, Any], *known: str) -> None:
    """Nothing but these names may be in a query or a JSON body. Raises `Problem` 400."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise unknown_parameter(_shown(unknown[0]), known)


def only_named(request: web.Request, known: Set[str]) -> None:
    """Nothing but these names in a query, and none of nothing. Raises `Problem` 400.

    A slip must not widen what is asked for: where no filter is, everything is the answer.
    """
    only(request.query, *sorted(known))
    for name in sorted(_NAMES & set(request.query)):
        if not request.query[name].strip():
            raise bad_parameter(name, "", Sentence("một mã hoặc một tên", "a code or a name"))


def moment(request: web.Request, name: str) -> datetime | None:
    """A time of the query, ISO 8601; without a zone it is UTC. Raises `Problem` 400."""
    given = request.query.get(name)
    if not given:
        return None
    try:
        parsed = datetime.fromisoformat(given.replace(" ", "+"))
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise bad_parameter(name, given, "ISO 8601, 2026-11-21T08:00:00Z") from None


def refuse_unstorable(request: web.Request) -> None:
    """NUL and half characters are no part of any id or word. Raises `Problem` 400 or 404."""
    if _UNSTORABLE.search(request.path):
        raise not_found("path", "đường dẫn")
    for name, value in request.query.items():
        if _UNSTORABLE.search(name + value):
            allowed = Sentence("không có ký tự NUL, ký tự nửa", "no NUL, no half characters")
            raise bad_parameter(_shown(name), _shown(value), allowed)


def text_member(body: dict[str, Any], name: str) -> str:
    """A text of a JSON body, trimmed; empty when absent. Raises `Problem` 400."""
    value = body.get(name)
    value = "" if value is None else value
    if not isinstance(value, str) or len(value) > 4000:
        allowed = Sentence("một chuỗi tối đa 4000 ký tự", "a text of at most 4000 characters")
        raise bad_parameter(name, _shown(as_json(value)), allowed)
    if _NOT_XML.search(value):
        allowed = Sentence("không có ký tự điều khiển", "no control characters")
        raise bad_parameter(name, _shown(value), allowed)
    return value.strip()


def as_json(value: Any) -> str:
    """A value of a JSON body as it may have been written; short."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)[:100]
    except RecursionError:  # deeper than Python writes, though not than it reads
        return "[…"


def _shown(text: str) -> str:
    """Foreign text in a sentence of ours: short, with question marks for what cannot be shown."""
    return "".join(char if char.isprintable() else "?" for char in text[:100])
