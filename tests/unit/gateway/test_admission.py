"""Who may come in with good credentials."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admission import Admission, Turned
from routing.connection_options import ConnectionOptions
from routing.route_table import Connection, ConnectionStatus

ANY = Connection(
    "1", "qlvb", "pull", ConnectionStatus.ACTIVE, (), datetime(2026, 11, 20, tzinfo=UTC)
)


def with_options(**settings: Any) -> Connection:
    """A connection with these options."""
    return replace(ANY, settings=settings)


@pytest.mark.parametrize(
    ("status", "admitted"),
    [("active", True), ("paused", True), ("draining", True), ("suspended", False)],
)
def test_only_suspended_connections_are_turned_away(status: str, admitted: bool) -> None:
    """Paused and draining ones may still send."""
    connection = replace(ANY, status=ConnectionStatus(status))
    answer = Admission().admit(connection, "10.0.0.1")
    assert (answer is None) == admitted
    assert answer is None or answer.why is Turned.SUSPENDED


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("2001:db8::1", True),
        ("", False),
        (None, False),
    ],
)
def test_credentials_count_only_in_their_networks(peer: str | None, admitted: bool) -> None:
    """IPv4, IPv6 and IPv4 within IPv6; an unknown address is in no network."""
    connection = with_options(allowed_networks=["10.1.0.0/16", "2001:db8::/32"])
    answer = Admission().admit(connection, peer)
    assert (answer is None) == admitted
    assert answer is None or answer.why is Turned.WRONG_NETWORK


def test_a_burst_of_a_minute_and_no_more() -> None:
    """After a minute's worth at once the next is turned away and told how long to wait."""
    admission, connection = Admission(), with_options(requests_per_minute=5)
    answers = [admission.admit(connection, None) for _ in range(6)]
    assert answers[:5] == [None] * 5
    last = answers[5]
    assert last is not None and last.why is Turned.TOO_OFTEN
    assert 0 < last.again_after <= 12


def test_a_slip_in_a_network_is_found_when_it_is_set() -> None:
    """A network that is none is refused by name."""
    with pytest.raises(ValidationError, match="allowed_networks"):
        ConnectionOptions.model_validate({"allowed_networks": ["10.0.0.0/99"]})
