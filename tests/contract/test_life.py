"""The life of deliveries, in any order that anybody can think of: what must hold always does."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.records import Event
from routing.states import TransportState
from tests.support.builders import NOW
from tests.support.life import Life, live_on_postgresql, live_on_sqlite, replay
from tests.support.servers import Postgres


def test_life_on_sqlite(tmp_path: Path) -> None:
    """Many long and odd lives on SQLite."""
    live_on_sqlite(Life, tmp_path, examples=30, steps=30)


def test_life_on_postgresql(postgres_server: Postgres) -> None:
    """A few of them on PostgreSQL."""
    live_on_postgresql(Life, postgres_server, examples=8, steps=25)


@pytest.mark.parametrize("broken", ["from", "missing"])
def test_replay_notices_a_state_without_its_event(broken: str) -> None:
    """The invariant can fail: a log with a gap does not replay to the states."""
    events = [
        Event("delivery.accepted", NOW, "a", delivery_id="1", to_state="accepted"),
        Event(
            "delivery.offered", NOW, "a", delivery_id="1", from_state="queued", to_state="offered"
        ),
    ]
    if broken == "from":
        with pytest.raises(AssertionError):
            replay(events)
    else:
        assert replay(events[:1]) != {"1": TransportState.OFFERED}
