"""Tokens of a provider: what holds, what does not, keys that change, a provider that misbehaves."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.oidc import (
    FRESH,
    KEPT,
    LONGEST_TOKEN,
    MOST_BYTES,
    REFETCH,
    NotBelieved,
    OidcVerifier,
    ProviderAway,
)
from tests.support.oidc_server import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    OidcServer,
    compact,
    ec_key,
    rsa_key,
)


class Hours:
    """A monotonic clock that tests set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[OidcServer]:
    """A provider with one RSA and one EC key."""
    with OidcServer() as server:
        yield server


@pytest.fixture
def hours() -> Hours:
    """The verifier's clock."""
    return Hours()


@pytest.fixture
def verifier(provider: OidcServer, hours: Hours) -> OidcVerifier:
    """Believes the provider."""
    return OidcVerifier(provider.issuer, AUDIENCE, longest_seconds=3600, monotonic=hours)


def unsigned(_text: bytes) -> bytes:
    """No signature."""
    return b""


async def test_rs256_and_es256_hold(verifier: OidcVerifier, provider: OidcServer) -> None:
    """The claims come out; the keys are fetched once for both."""
    for key in provider.keys:
        claims = await verifier.verify(provider.token(key, aud=["other", AUDIENCE]))
        assert isinstance(claims, dict) and claims["sub"] == "nguyen-thi-lan"
    assert provider.asked == [DISCOVERY, KEYS]


@pytest.mark.parametrize(
    ("changed", "header"),
    [
        ({"iss": "https://elsewhere.example"}, {}),
        ({"iss": None}, {}),
        ({"aud": "another-program"}, {}),
        ({"aud": None}, {}),
        ({"exp": 1_700_000_000}, {}),
        ({"exp": None}, {}),
        ({"exp": "soon"}, {}),
        ({"exp": 9_999_999_999}, {}),
        ({"exp": "9999999999"}, {}),
        ({"nbf": 9_999_999_999}, {}),
        ({"iat": 9_999_999_999}, {}),
        ({"sub": None}, {}),
        ({}, {"kid": "unknown"}),
        ({}, {"kid": 7}),
        ({}, {"kid": "second"}),
        ({}, {"crit": ["b64"], "b64": False}),
        ({}, {"typ": "logout+jwt"}),
    ],
)
async def test_a_wrong_claim_or_header_is_not_believed(
    verifier: OidcVerifier, provider: OidcServer, changed: dict[str, Any], header: dict[str, Any]
) -> None:
    """Issuer, audience, times, subject, key: each one alone is enough."""
    token = provider.token(header=header, **changed)
    assert isinstance(await verifier.verify(token), NotBelieved)


async def test_a_small_difference_of_clocks_is_forgiven(
    verifier: OidcVerifier, provider: OidcServer
) -> None:
    """A token of half a minute ago, or from a clock that is half a minute ahead."""
    now = provider.claims()["iat"]
    for times in ({"exp": now - 30}, {"nbf": now + 30}, {"iat": now + 30}):
        assert isinstance(await verifier.verify(provider.token(**times)), dict)
    for times in ({"exp": now - 90}, {"nbf": now + 90}):
        assert isinstance(await verifier.verify(provider.token(**times)), NotBelieved)


async def test_other_algorithms_and_keys_that_a_token_brings_count_for_nothing(
    verifier: OidcVerifier, provider: OidcServer
) -> None:
    """None, HMAC with the public key as secret, other RSA and EC forms, embedded keys."""
    first = provider.keys[0]
    assert not isinstance(first.key, ec.EllipticCurvePrivateKey)
    public = first.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key, claims, stranger = first.key, provider.claims(), rsa_key("first")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signers: dict[str, Callable[[bytes], bytes]] = {
        "none": unsigned,
        "RS256": unsigned,
        "HS256": lambda text: hmac.digest(public, text, "sha256"),
        "RS512": lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA512()),
        "PS256": lambda text: key.sign(text, pss, hashes.SHA256()),
    }
    forged = [
        *(compact({"alg": name, "kid": "first"}, claims, sign) for name, sign in signers.items()),
        provider.token(stranger),
        provider.token(stranger, header={"jwk": stranger.published}),
        provider.token(stranger, header={"jku": f"{provider.issuer}/mine"}),
        provider.token()[:-6] + "AAAAAA",
        "not.a.token",
        "..",
        "x" * (LONGEST_TOKEN + 1),
    ]
    for token in forged:
        assert isinstance(await verifier.verify(token), NotBelieved), token[:80]
    assert f"{provider.issuer}/mine" not in provider.asked


async def test_weak_and_foreign_keys_of_the_set_are_passed_over(hours: Hours) -> None:
    """Small RSA keys, other curves, encryption keys and secrets sign nothing."""
    weak = rsa_key("weak", 1024)
    good, other = ec_key("good"), ec_key("other")
    with OidcServer(keys=[good]) as provider:
        published = [
            weak.published,
            {**other.published, "use": "enc"},
            {**other.published, "kid": "other", "crv": "P-384"},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            "nonsense",
            good.published,
        ]
        body = json.dumps({"keys": published}).encode()
        provider.instead[KEYS] = (200, {}, body)
        verifier = OidcVerifier(provider.issuer, AUDIENCE, longest_seconds=3600, monotonic=hours)
        assert isinstance(await verifier.verify(provider.token(good)), dict)
        assert isinstance(await verifier.verify(provider.token(weak)), NotBelieved)
        assert isinstance(await verifier.verify(provider.token(other)), NotBelieved)


async def test_new_keys_are_found_and_strange_ones_are_no_flood(
    verifier: OidcVerifier, provider: OidcServer, hours: Hours
) -> None:
    """An unknown key id asks again, at most every half minute; removed keys stop counting."""
    old = provider.keys[0]
    assert isinstance(await verifier.verify(provider.token(old)), dict)
    new = rsa_key("next")
    provider.keys = [new]
    assert isinstance(await verifier.verify(provider.token(new)), NotBelieved)
    hours.now += REFETCH + 1
    for number in range(50):
        strange = provider.token(new, header={"kid": f"strange-{number}"})
        assert isinstance(await verifier.verify(strange), NotBelieved)
    assert provider.asked == [DISCOVERY, KEYS] * 2
    assert isinstance(await verifier.verify(provider.token(new)), dict)
    assert isinstance(await verifier.verify(provider.token(old)), NotBelieved)


async def test_known_keys_outlive_the_provider_for_some_hours(
    verifier: OidcVerifier, provider: OidcServer, hours: Hours
) -> None:
    """While it is away its keys count; then nobody is believed, and it is said that it is away."""
    assert isinstance(await verifier.verify(provider.token()), dict)
    provider.instead[DISCOVERY] = (500, {}, b"")
    hours.now += FRESH + 1
    assert isinstance(await verifier.verify(provider.token()), dict)
    hours.now += KEPT
    assert isinstance(await verifier.verify(provider.token()), ProviderAway)
    del provider.instead[DISCOVERY]
    hours.now += REFETCH + 1
    assert isinstance(await verifier.verify(provider.token()), dict)


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "/elsewhere"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"keys": 7}'),
        (200, {}, b'{"keys": []}'),
        (200, {}, b"[" * 100_000),
        (200, {}, b" " * (MOST_BYTES + 1)),
        (404, {}, b"{}"),
    ],
)
@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
async def test_a_provider_that_misbehaves_is_away(
    path: str, answer: tuple[int, dict[str, str], bytes], provider: OidcServer, hours: Hours
) -> None:
    """No redirect is followed, nothing endless is read, nothing malformed is believed."""
    provider.instead[path] = answer
    verifier = OidcVerifier(provider.issuer, AUDIENCE, longest_seconds=3600, monotonic=hours)
    assert isinstance(await verifier.verify(provider.token()), ProviderAway)
    assert "/elsewhere" not in provider.asked


@pytest.mark.parametrize(
    "discovered",
    [{"issuer": "https://elsewhere.example"}, {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": 7}],
)
async def test_a_discovery_of_somebody_else_is_not_used(
    discovered: dict[str, Any], provider: OidcServer, hours: Hours
) -> None:
    """The issuer must call itself by the name that we have, and its keys lie behind http(s)."""
    provider.discovered = discovered
    verifier = OidcVerifier(provider.issuer, AUDIENCE, longest_seconds=3600, monotonic=hours)
    assert isinstance(await verifier.verify(provider.token()), ProviderAway)
    assert KEYS not in provider.asked
