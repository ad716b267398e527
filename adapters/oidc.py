"""Tokens of an OpenID Connect provider, verified with the keys that it publishes.

Access and ID tokens are JWTs (RFC 7519, RFC 9068). Signatures count only as RS256 or ES256 with a
key of the provider's published set (never one that the token brings along), `iss`, `aud`, `exp` and
`nbf` must be right, and a token that lives longer than we allow is refused: whoever is shut out
there is shut out here when the last token ends.

Fetching distrusts the network: a few seconds, a few hundred KiB, no redirects, no proxies of the
environment. A key that is not known makes the set be fetched again, at most every half minute, so
that strange tokens do not become a flood of requests to the provider.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from adapters.dialling import LOST

ALGORITHMS = ("RS256", "ES256")
#: Seconds that clocks may differ by.
SKEW = 60
#: Seconds between two fetches for the sake of a key that is not known.
REFETCH = 30.0
#: The same while no keys are known at all.
FIRST_FETCH = 3.0
#: Seconds after which the keys are fetched again; for how long old ones count when that fails.
FRESH, KEPT = 15 * 60.0, 4 * 3600.0
#: Seconds and bytes of one answer of the provider.
TIMEOUT, MOST_BYTES = 5.0, 256 * 1024
MOST_KEYS = 100
#: Characters of a token.
LONGEST_TOKEN = 16 * 1024
SMALLEST_RSA = 2048

Key = RSAPublicKey | EllipticCurvePublicKey


class OidcProblem(Exception):
    """The file with the provider's authorities cannot be used."""


@dataclass(frozen=True, slots=True)
class NotBelieved:
    """A token that does not hold; `why` is for the log and holds nothing of it."""

    why: str


@dataclass(frozen=True, slots=True)
class ProviderAway:
    """The provider's keys are not to be had now; the token may be good."""

    why: str


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: Mapping[str, tuple[str, Key]]
    fetched_at: float


class _NotFetched(Exception):
    """What the provider answered cannot be used."""


class OidcVerifier:
    """Verifies tokens of one provider."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        longest_seconds: float,
        ca: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ca`: PEM file with the authorities of the provider's certificate, None for the system's.

        Raises `OidcProblem`.
        """
        self._issuer = issuer
        self._audience = audience
        self._longest = longest_seconds
        self._monotonic = monotonic
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except (OSError, ValueError) as error:
            raise OidcProblem(f"oidc_ca {ca}: {error}") from None
        self._set: _KeySet | None = None
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> dict[str, Any] | NotBelieved | ProviderAway:
        """The claims of a token that holds."""
        header = _header(token)
        if isinstance(header, NotBelieved):
            return header
        algorithm, kid = header
        found = await self._key(kid)
        if isinstance(found, (NotBelieved, ProviderAway)):
            return found
        its_algorithm, key = found
        if its_algorithm != algorithm:
            return NotBelieved(f"its key is for {its_algorithm}, it is signed as {algorithm}")
        return self._claims(token, algorithm, key)

    def _claims(self, token: str, algorithm: str, key: Key) -> dict[str, Any] | NotBelieved:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=SKEW,
                options={"require": ["iss", "aud", "exp", "sub"]},
            )
            # The library takes an `exp` that is a text with a number for one; this raises.
            too_long = claims["exp"] > time.time() + self._longest + SKEW
        except jwt.InvalidTokenError as error:
            return NotBelieved(type(error).__name__)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return NotBelieved("claims of a wrong kind")
        return NotBelieved("it lives longer than oidc_longest_hours") if too_long else claims

    # --- keys -------------------------------------------------------------------------------------

    async def _key(self, kid: str) -> tuple[str, Key] | NotBelieved | ProviderAway:
        why = await self._keep_fresh()
        if self._set is None:
            return ProviderAway(why or "its keys were not fetched yet")
        if kid not in self._set.keys:
            await self._fetch_again()
        known = self._set.keys.get(kid)
        return known if known is not None else NotBelieved("it is signed with an unknown key")

    async def _keep_fresh(self) -> str:
        """Fetch the keys when they are old; why it did not work, if it mattered."""
        why = ""
        if self._age() > FRESH:
            why = await self._fetch_again()
        if self._age() > KEPT:
            self._set = None
        return why

    def _age(self) -> float:
        return self._monotonic() - self._set.fetched_at if self._set else float("inf")

    async def _fetch_again(self) -> str:
        """Fetch the keys, unless that was tried a moment ago; empty, or why it did not work."""
        async with self._lock:
            now = self._monotonic()
            if now - self._tried < (REFETCH if self._set else FIRST_FETCH):
                return "" if self._set else "the provider did not answer a moment ago"
            self._tried = now
            try:
                keys = await self._fetch_keys()
            except (*LOST, ValueError, _NotFetched) as error:
                return f"{type(error).__name__}: {error}"[:300]
            self._set = _KeySet(keys, now)
            return ""

    async def _fetch_keys(self) -> dict[str, tuple[str, Key]]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(
            timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            about = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            discovered = await self._fetch(session, about)
            if discovered.get("issuer") != self._issuer:
                raise _NotFetched("the provider calls itself by another name than oidc_issuer")
            address = discovered.get("jwks_uri")
            if not isinstance(address, str) or not self._may_ask(address):
                raise _NotFetched("jwks_uri is no https address")
            found = (await self._fetch(session, address)).get("keys")
        if not isinstance(found, list) or len(found) > MOST_KEYS:
            raise _NotFetched("its answer holds no set of keys")
        keys = dict(key for one in found if (key := _usable(one)) is not None)
        if not keys:
            raise _NotFetched("its set holds no key for RS256 or ES256")
        return keys

    def _may_ask(self, address: str) -> bool:
        """TLS, unless the provider itself is spoken to without (on this machine)."""
        scheme = urlsplit(address).scheme
        return scheme == "https" or scheme == urlsplit(self._issuer).scheme == "http"

    async def _fetch(self, session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
        async with session.get(address, ssl=self._tls, allow_redirects=False) as answer:
            if answer.status != 200:
                raise _NotFetched(f"it answered {answer.status}")
            text = bytearray()
            async for block in answer.content.iter_chunked(16 * 1024):
                text += block
                if len(text) > MOST_BYTES:
                    raise _NotFetched(f"its answer is larger than {MOST_BYTES} bytes")
        try:
            found = json.loads(text)
        except RecursionError:
            found = None
        if not isinstance(found, dict):
            raise _NotFetched("its answer is no JSON object")
        return found


def _header(token: str) -> tuple[str, str] | NotBelieved:
    """Algorithm and key id, as far as they can be looked at before anything is believed."""
    if len(token) > LONGEST_TOKEN:
        return NotBelieved("it is too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return NotBelieved("it is no JWT")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        return NotBelieved("its algorithm is neither RS256 nor ES256")
    if not isinstance(kid, str) or "crit" in header:
        return NotBelieved("its header names no key, or asks for what we do not know")
    if not isinstance(kind, str) or kind.lower() not in ("jwt", "at+jwt", "application/at+jwt"):
        return NotBelieved("it is no access or ID token")
    return algorithm, kid


def _usable(found: Any) -> tuple[str, tuple[str, Key]] | None:
    """Key id, algorithm and key of one entry of the set; None when it is not for signatures."""
    if not isinstance(found, dict) or not isinstance(found.get("kid"), str):
        return None
    if found.get("use", "sig") != "sig":
        return None
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(found.get("kty")))
    if algorithm is None or found.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK.from_dict(found, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_RSA:
        return found["kid"], (algorithm, key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return found["kid"], (algorithm, key)
    return None
