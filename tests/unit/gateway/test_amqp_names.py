"""Names of partners in RabbitMQ, addresses, signed audiences: pure, and hard to confuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.amqp_claims import Audience, Do, claim_address, claim_is_good
from gateway.kinds import KINDS, amqp, amqp_axis
from gateway.settings import Settings
from routing.claim_url import ClaimFault
from routing.route_table import Connection, ConnectionStatus

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
DIGEST = "ab" * 32


def connection(name: str, some_id: str = "01a1fe36-0765-738f-a488-810bb24c09e9") -> Connection:
    """A connection called so."""
    return Connection(some_id, name, "amqp", ConnectionStatus.ACTIVE, (), NOW)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("QLVB Nghệ An", "lt-qlvb-nghe-an-b24c09e9"),
        ("Đà Nẵng / văn thư", "lt-da-nang-van-thu-b24c09e9"),
        ("..*#", "lt-partner-b24c09e9"),
        ("x" * 90, f"lt-{'x' * 30}-b24c09e9"),
    ],
)
def test_the_user_is_the_name_without_accents_and_an_end_of_its_own(name: str, user: str) -> None:
    """Readable for people, safe for patterns."""
    assert amqp.user_of(connection(name)) == user


@given(st.text(min_size=1, max_size=100))
def test_users_are_plain_whatever_the_name(name: str) -> None:
    """Only small letters, digits and dashes: nothing that a pattern reads otherwise."""
    user = amqp.user_of(connection(name))
    assert set(user) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(user) <= 42


def test_like_names_have_different_users() -> None:
    """Two connections whose names differ only in accents never share a user."""
    other = "01a1fe36-0765-738f-a488-810bb24c09ea"
    assert amqp.user_of(connection("Nghệ An")) != amqp.user_of(connection("Nghe An", other))


@pytest.mark.parametrize(
    ("broker", "admin", "used"),
    [
        ("amqp://u:p@rabbit:5672/v", "", "http://u:p@rabbit:15672"),
        ("amqp://u:p@rabbit/v", "https://mq.example:15671", "https://u:p@mq.example:15671"),
        ("amqp://u:p@rabbit/v", "http://a:b@mq:1", "http://a:b@mq:1"),
    ],
)
def test_where_the_management_api_is(broker: str, admin: str, used: str) -> None:
    """On the broker's host with the broker's user, unless it is said."""
    settings = Settings(broker_url=broker, broker_admin_url=admin)
    assert amqp.admin_url(settings).rstrip("/") == used


@pytest.mark.parametrize(
    ("url", "vhost"),
    [("amqp://h/", "/"), ("amqp://h", "/"), ("amqp://h/%2F", "/"), ("amqp://h/a%2Fb", "a/b")],
)
def test_the_virtual_host_of_an_address(url: str, vhost: str) -> None:
    """As RabbitMQ reads it."""
    assert amqp.vhost_of(url) == vhost


def test_addresses_of_another_gateway_hold_no_credentials() -> None:
    """They come from the secret; an address with a password would be shown with the options."""
    good = {"url": "amqps://h/v", "user": "lt-x-1", "gateway_url": "https://g/"}
    options = amqp_axis.AxisOptions.model_validate(good)
    assert options.gateway and options.gateway_url == "https://g"
    assert amqp_axis.address_of(options, "p@ß/:") == "amqps://lt-x-1:p%40%C3%9F%2F%3A@h/v"
    for wrong in ({"url": "amqp://u:p@h/v"}, {"url": "http://h"}, {"gateway_url": "file:///etc"}):
        with pytest.raises(ValidationError):
            amqp_axis.AxisOptions.model_validate({**good, **wrong})


def test_both_kinds_are_on_the_list_and_neither_has_a_token() -> None:
    """One credential each: the user's password."""
    for kind in (amqp.KIND, amqp_axis.KIND):
        assert KINDS[kind.name] is kind and not kind.has_token and kind.secret is not None


@given(st.sampled_from(Do), st.text(max_size=50))
def test_an_audience_is_read_as_it_was_written(do: Do, what: str) -> None:
    """Whatever is in its last part."""
    audience = Audience("lt-x-1a2b3c4d", do, what)
    assert Audience.parse(str(audience)) == audience


@pytest.mark.parametrize("text", ["", "lt-x", "lt-x delete 1", " get 1"])
def test_an_audience_that_is_none(text: str) -> None:
    """No user, or nothing that can be done."""
    assert Audience.parse(text) is None


def test_an_address_is_good_under_old_and_new_secrets_until_it_ends() -> None:
    """So secrets can overlap; under another's, for other bytes or too late it is not."""
    audience = Audience("lt-x-1", Do.PUT, "H41")
    end = NOW + timedelta(minutes=5)
    address = claim_address("https://g/", audience, DIGEST, "old", end)
    parts = urlsplit(address)
    assert parts.path == f"/v1/claims/{DIGEST}" and "old" not in address
    query = dict(parse_qsl(parts.query))
    assert claim_is_good(["new", "old"], DIGEST, query, NOW) is None
    for secrets, digest, now, fault in (
        (["new"], DIGEST, NOW, ClaimFault.FORGED),
        (["old"], "cd" * 32, NOW, ClaimFault.FORGED),
        (["old"], DIGEST, end, ClaimFault.EXPIRED),
    ):
        refused = claim_is_good(secrets, digest, query, now)
        assert refused is not None and refused.fault is fault
    changed = {**query, "audience": "lt-x-1 put H42"}
    assert claim_is_good(["old"], DIGEST, changed, NOW) is not None
