"""What `gateway.waiting` says keeps a delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.waiting import STALE, why_waiting
from routing.route_table import ConnectionStatus
from routing.states import TransportState
from tests.support.builders import BETA, NOW, connection, delivery, package

PARTNER = connection("beta", BETA)
WAITING = delivery(package(), connection_id=PARTNER.id, ring_at=NOW)
LONG_AGO = NOW - STALE - timedelta(seconds=1)
KNOWN = {PARTNER.id: PARTNER}


def told(**fields: object) -> str:
    """The English sentence about a delivery with these fields; empty for none."""
    waits = why_waiting(replace(WAITING, **fields), KNOWN, NOW)  # type: ignore[arg-type]
    return waits.en if waits else ""


def test_nothing_keeps_what_has_just_come() -> None:
    """A package of this minute is on its way."""
    assert told() == ""
    assert told(state=TransportState.QUEUED, ring_at=None, updated_at=NOW) == ""


def test_a_broker_that_does_not_confirm_is_named() -> None:
    """Tries and the time of the next are told, at once."""
    assert "broker does not take its doorbell (tried 3 times)" in told(ring_failures=3)


def test_an_idle_relay_or_worker_is_named() -> None:
    """Due for a minute and nobody came for it."""
    assert "does a relay run" in told(ring_at=LONG_AGO)
    queued = told(state=TransportState.QUEUED, ring_at=None, updated_at=LONG_AGO)
    assert "does a worker run" in queued


@pytest.mark.parametrize("state", [TransportState.QUEUED, TransportState.OFFERED])
def test_a_suspended_connection_is_named_first(state: TransportState) -> None:
    """Whatever else is wrong: nothing moves before it is resumed."""
    suspended = {PARTNER.id: replace(PARTNER, status=ConnectionStatus.SUSPENDED)}
    waits = why_waiting(replace(WAITING, state=state, ring_failures=2), suspended, NOW)
    assert waits is not None
    assert "“beta” is suspended" in waits.en and "«beta» đang tạm dừng" in waits.vi


@pytest.mark.parametrize(
    "state", [TransportState.HELD, TransportState.DEAD, TransportState.DELIVERED]
)
def test_states_that_speak_for_themselves(state: TransportState) -> None:
    """Held, dead and final deliveries wait for nobody but what their state says."""
    assert told(state=state, ring_failures=9, ring_at=LONG_AGO, updated_at=LONG_AGO) == ""
