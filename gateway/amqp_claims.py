"""Large packages beside RabbitMQ: addresses that are signed with the secret of the connection.

``/v1/claims/<sha256>?audience=…&expires=…&signature=…`` (`routing.claim_url`). The key is the
SHA-256 of the secret that gateway and partner share, so either can sign: the gateway an address for
its partner, the partner one for itself, to fetch a delivery once more or to hand a package in. The
audience says who may do what:

- ``<user> get <delivery id>``: fetch the bytes of this delivery;
- ``<user> put <agency code>``: hand in these bytes, for this recipient alone (none: for all).

A gateway that is a partner builds addresses from its connection's `gateway_url`; an address that
came in a message is never dialled, so nobody makes it call anything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import aiohttp
from yarl import URL

from envelopes.findings import Sentence
from routing.claim_url import ClaimRefused, sign_claim, verify_claim

#: Path of the addresses.
CLAIMS = "/v1/claims/"
#: Seconds to connect, and between two pieces of an answer.
CONNECT = 10.0
SILENCE = 60.0
#: Bytes of a problem document that are read.
LARGEST_PROBLEM = 64 * 1024
BLOCK = 256 * 1024

#: Problems that speak of the package: the other gateway will never take it.
_REFUSALS = frozenset({409, 413, 422})
_NOT_THE_SENDER = frozenset({"not-the-sender", "not-the-owner", "not-a-recipient"})


class Do(StrEnum):
    """What an address is for."""

    GET = "get"
    PUT = "put"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may do what with an address."""

    user: str
    do: Do
    #: GET: the delivery. PUT: the only recipient that is meant, or nothing.
    what: str = ""

    def __str__(self) -> str:
        return f"{self.user} {self.do.value} {self.what}"

    @classmethod
    def parse(cls, text: str) -> Audience | None:
        """The audience that `str` wrote; None when it is none."""
        user, _, rest = text.partition(" ")
        do, _, what = rest.partition(" ")
        if not user or do not in tuple(Do):
            return None
        return cls(user, Do(do), what)


def claim_address(
    base: str, audience: Audience, digest: str, secret: str, expires_at: datetime
) -> str:
    """An address that is good until then."""
    query = sign_claim([_key(secret)], digest, str(audience), expires_at)
    return f"{base.rstrip('/')}{CLAIMS}{digest}?{query}"


def claim_is_good(
    secrets: Iterable[str], digest: str, query: Mapping[str, str], now: datetime
) -> ClaimRefused | None:
    """None when an address is good under one of these secrets (at least one)."""
    verdict = verify_claim([_key(secret) for secret in secrets], digest, query, now)
    return verdict if isinstance(verdict, ClaimRefused) else None


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Handed:
    """What the other gateway answered."""

    status: int
    code: str
    sentence: Sentence

    @property
    def refuses(self) -> bool:
        """Whether it refused the package itself, for good."""
        return self.status in _REFUSALS or (self.status == 403 and self.code in _NOT_THE_SENDER)


class NotFetched(Exception):
    """The other gateway does not give the package out now; says what it answered."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"HTTP {status} {code}".strip())
        self.status = status


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
    return aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False)


async def put_package(address: str, blocks: AsyncIterator[bytes], size: int) -> Handed:
    """Hand a package in. Raises aiohttp's ClientError and OSError when there is no answer."""
    headers = {"Content-Type": "application/xml", "Content-Length": str(size)}
    async with (
        _session() as session,
        session.put(
            URL(address, encoded=True), data=blocks, headers=headers, allow_redirects=False
        ) as answer,
    ):
        code, sentence = _problem(await answer.content.read(LARGEST_PROBLEM))
        return Handed(answer.status, code, sentence)


@asynccontextmanager
async def get_package(address: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Fetch a package, block by block.

    Raises `NotFetched`, and aiohttp's ClientError and OSError when there is no (whole) answer.
    """
    async with (
        _session() as session,
        session.get(URL(address, encoded=True), allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            code, _ = _problem(await answer.content.read(LARGEST_PROBLEM))
            raise NotFetched(answer.status, code)
        yield answer.content.iter_chunked(BLOCK)


def _problem(content: bytes) -> tuple[str, Sentence]:
    try:
        problem = json.loads(content)
        code, en, vi = (str(problem.get(key) or "") for key in ("code", "detail", "detailVi"))
    except (ValueError, AttributeError, RecursionError):
        return "", Sentence("", "")
    return code[:100], Sentence((vi or en)[:1000], (en or vi)[:1000])
