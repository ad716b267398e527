"""People and their rights, the limit on failures, fingerprints: the arithmetic of access."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.access.failures import (
    EVENT_EVERY,
    FORGIVEN_SECONDS,
    FREE_FAILURES,
    MOST_REMEMBERED,
    FailedAttempts,
    address_of,
)
from gateway.access.people import NoPerson, Person, PersonRole, Right, person_of_claims
from gateway.admission import Admission, Turned
from gateway.observability import clean_value
from gateway.settings import Settings
from gateway.settings_loading import problems_between
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.connection_options import ConnectionOptions
from routing.route_table import RegistryData, RouteTable
from tests.unit.gateway.test_admission import ANY

#: Nghệ An, a department under its old code with a new one beside it, and another province.
ROUTES = RouteTable(
    RegistryData(
        1,
        (
            Agency(OrganId.of("H41"), "Nghệ An"),
            Agency(OrganId.of("H41.13"), "Sở", aliases=(OrganId.of("000.00.21.H41"),)),
            Agency(OrganId.of("H53"), "Tây Ninh"),
        ),
        (),
        (),
    )
)
CLAIMS = {"sub": "lan", "roles": ["x-clerk"], "agencies": ["000.00.00.H41"]}


def of(claims: dict[str, Any], **changed: str) -> Person | NoPerson:
    """The person of these claims."""
    names = {"name_claim": "sub", "role_claim": "roles", "agencies_claim": "agencies", **changed}
    words = [("clerk", "x-clerk"), ("auditor", "x-auditor"), ("operator", "x-operator")]
    return person_of_claims(claims, role_words=words, **names)  # type: ignore[arg-type]


def test_each_role_has_its_rights() -> None:
    """Nobody but clerks reads content, nobody but operators changes anything."""
    having = {
        right: {role for role in PersonRole if Person("x", frozenset({role})).may(right)}
        for right in Right
    }
    assert having[Right.OPERATE] == {PersonRole.OPERATOR}
    assert having[Right.READ_CONTENT] == {PersonRole.CLERK}
    assert having[Right.LOOK] == {PersonRole.OPERATOR, PersonRole.AUDITOR}
    assert having[Right.FOLLOW] == set(PersonRole)


@pytest.mark.parametrize(
    ("mine", "key", "theirs"),
    [
        ("H41", "H41", True),
        ("000.00.00.H41", "H41.13", True),
        ("H41", "000.05.21.H41", True),
        ("000.00.21.H41", "H41.13", True),
        ("H41.13", "000.05.21.H41", True),
        ("H41.13", "H41", False),
        ("H41", "H53", False),
        ("H41", "H411", False),
        ("H41", "not a code", False),
    ],
)
def test_a_clerk_works_for_the_agency_and_all_below_under_any_code(
    mine: str, key: str, theirs: bool
) -> None:
    """Old and new codes of one agency count alike."""
    clerk = Person("lan", frozenset({PersonRole.CLERK}), (OrganId.of(mine),))
    assert clerk.works_for(key, ROUTES) == theirs
    assert not replace(clerk, roles=frozenset({PersonRole.AUDITOR})).works_for(key, ROUTES)


def test_claims_make_a_person() -> None:
    """Lists and words, flat and nested; the provider's name can be no local one."""
    found = of(CLAIMS)
    assert isinstance(found, Person) and found.actor == "person:oidc:lan"
    nested = of({**CLAIMS, "r": {"r": "x-auditor x-clerk more"}}, role_claim="r.r")
    assert isinstance(nested, Person) and nested.roles == {PersonRole.AUDITOR, PersonRole.CLERK}
    dotted = of({**CLAIMS, "https://a.b/roles": ["x-auditor"]}, role_claim="https://a.b/roles")
    assert isinstance(dotted, Person) and dotted.sees_everything


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": ""},
        {"sub": "x" * 200},
        {"sub": "lan\nadmin"},
        {"sub": 7},
        {"roles": []},
        {"roles": {"x-operator": True}},
        {"roles": None},
        {"agencies": []},
        {"agencies": ["H41", ""]},
        {"agencies": None},
        {"agencies": "%"},
    ],
)
def test_claims_that_do_not_fit_make_nobody(changed: dict[str, Any]) -> None:
    """A slip at the provider opens nothing."""
    assert isinstance(of({**CLAIMS, **changed}), NoPerson)


def test_failures_are_slowed_down_forgiven_and_told_now_and_then() -> None:
    """A burst is free; then one a second; an event per address and ten minutes."""
    attempts = FailedAttempts[str]()
    told = [attempts.note("a", 1000.0) for _ in range(FREE_FAILURES + 5)]
    assert [one for one in told if one] == [FREE_FAILURES]
    assert attempts.wait("a", 1000.0) > 0 and attempts.wait("b", 1000.0) == 0
    later = 1000.0 + (FREE_FAILURES + 2) * FORGIVEN_SECONDS
    assert attempts.wait("a", later) == 0
    again = 1000.0 + EVENT_EVERY + 1
    assert sum(bool(attempts.note("a", again)) for _ in range(FREE_FAILURES)) == 1


def test_the_memory_of_addresses_is_bounded() -> None:
    """However many addresses fail."""
    attempts = FailedAttempts[str]()
    for number in range(MOST_REMEMBERED + 100):
        attempts.note(str(number), 1000.0)
    assert len(attempts._of) <= MOST_REMEMBERED


@given(st.text(max_size=60))
def test_any_peer_has_an_address(peer: str) -> None:
    """Never an exception, never something long."""
    assert 0 < len(address_of(peer)) <= 43


def test_addresses_of_one_subscriber_count_together() -> None:
    """An IPv6 subscriber has a whole /64."""
    assert address_of("2001:db8::1") == address_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert address_of("::ffff:10.0.0.1") == "10.0.0.1" and address_of(None) == "unknown"


def test_credentials_count_only_with_the_registered_certificate() -> None:
    """Two while they are exchanged; where no certificate can be shown (RabbitMQ), none is asked."""
    old, new = "ab" * 32, "cd" * 32
    colons = ":".join(["AB"] * 32)
    options = ConnectionOptions.model_validate({"client_certificate": (colons, new)})
    assert options.client_certificate == (old, new)
    connection = replace(ANY, settings=options.model_dump(mode="json"))
    for shown, admitted in ((old, True), (new, True), ("ef" * 32, False), (None, False)):
        answer = Admission().admit(connection, None, lambda one=shown: one)  # type: ignore[misc]
        assert (answer is None) == admitted
        assert answer is None or answer.why is Turned.WRONG_CERTIFICATE
    assert Admission().admit(connection, None) is None
    with pytest.raises(ValidationError):
        ConnectionOptions.model_validate({"client_certificate": ("ab:cd",)})


def test_tokens_never_reach_a_log_line() -> None:
    """Of connections, people and providers."""
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJsYW4ifQ.c2lnbmF0dXJl"
    for secret in ("lt_abcdefgh123", "ltp_abcdefgh123", jwt):
        assert secret not in clean_value(f"found {secret} there")


@pytest.mark.parametrize(
    "given",
    [
        {"tls_certificate": "/x.pem"},
        {"tls_client_auth": "required", "tls_certificate": "/x.pem", "tls_key": "/x.key"},
        {"oidc_issuer": "https://login.example.vn"},
    ],
)
def test_settings_that_belong_together_are_asked_for(given: dict[str, Any]) -> None:
    """A certificate with its key, client certificates with authorities, issuer with audience."""
    assert problems_between(Settings(**given), ("api", "relay", "worker", "timer"))


@pytest.mark.parametrize(
    "given",
    [
        {"oidc_issuer": "http://login.example.vn"},
        {"oidc_issuer": "login.example.vn"},
        {"oidc_roles": "admin=x"},
        {"oidc_roles": "clerk"},
        {"tls_client_auth": "perhaps"},
    ],
)
def test_settings_that_would_open_doors_are_refused(given: dict[str, Any]) -> None:
    """A provider is spoken to over TLS; roles are those that there are."""
    with pytest.raises(ValidationError):
        Settings(**given)
