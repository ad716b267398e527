"""The circuit breaker of a connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.breaker import CEILING, Breaker, BreakerState, WaitUntil

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
PAUSE = timedelta(seconds=30)
LONGEST = timedelta(seconds=60)


def opened() -> Breaker:
    """A breaker after its third failure."""
    breaker = Breaker(3, PAUSE)
    assert [breaker.failed(NOW) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """Two failures and a success count nothing; three failures open it."""
    breaker = Breaker(3, PAUSE)
    breaker.failed(NOW)
    breaker.failed(NOW)
    assert not breaker.succeeded()
    breaker.failed(NOW)
    breaker.failed(NOW)
    assert breaker.state(NOW) is BreakerState.CLOSED
    assert breaker.failed(NOW)
    assert breaker.may_attempt(NOW, LONGEST) == WaitUntil(NOW + PAUSE)


def test_one_attempt_probes_while_the_others_wait() -> None:
    """When the pause is over a single attempt goes ahead."""
    breaker = opened()
    then = NOW + PAUSE
    assert breaker.state(then) is BreakerState.PROBING
    assert breaker.may_attempt(then, LONGEST) is None
    assert breaker.may_attempt(then, LONGEST) == WaitUntil(then + timedelta(seconds=1))


def test_a_successful_probe_closes_it_and_is_told() -> None:
    """Whoever made the probe learns that the partner is back."""
    breaker = opened()
    breaker.may_attempt(NOW + PAUSE, LONGEST)
    assert breaker.succeeded()
    assert breaker.may_attempt(NOW + PAUSE, LONGEST) is None


def test_a_probe_that_died_is_followed_by_another() -> None:
    """A probe that never ends keeps the others waiting only as long as an attempt may take."""
    breaker = opened()
    breaker.may_attempt(NOW + PAUSE, LONGEST)
    assert breaker.may_attempt(NOW + PAUSE + LONGEST, LONGEST) is None


@given(st.integers(min_value=1, max_value=40))
def test_pauses_double_up_to_a_ceiling(probes: int) -> None:
    """However often the probe fails, the pause stays within the ceiling."""
    breaker, now = opened(), NOW
    for number in range(1, probes + 1):
        assert breaker.open_until is not None
        now = breaker.open_until
        assert breaker.may_attempt(now, LONGEST) is None
        # It was open before: nobody is told again.
        assert not breaker.failed(now)
        assert breaker.open_until - now == PAUSE * min(2**number, CEILING)


def test_late_failures_while_open_change_nothing() -> None:
    """Attempts that were under way when it opened do not prolong the pause."""
    breaker = opened()
    until = breaker.open_until
    assert not breaker.failed(NOW + timedelta(seconds=5))
    assert breaker.open_until == until
