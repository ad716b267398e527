"""When to try again: longer and longer, spread by a bounded jitter, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.retry_policy import (
    JITTER,
    RELAY_CEILING,
    SCHEDULE,
    GiveUp,
    TryAgainAt,
    after_attempt,
    relay_again_at,
)
from tests.support.builders import NOW

spreads = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, len(SCHEDULE)), spreads)
def test_wait_is_in_its_bounds(attempts: int, spread: float) -> None:
    """A wait is the table's, stretched by at most a quarter."""
    answer = after_attempt(attempts, NOW, spread)
    assert isinstance(answer, TryAgainAt)
    wait = SCHEDULE[attempts - 1]
    assert wait <= answer.at - NOW <= wait * (1 + JITTER)


@given(st.integers(1, len(SCHEDULE) - 1), spreads, spreads)
def test_waits_grow_whatever_the_jitter(attempts: int, one: float, other: float) -> None:
    """The longest wait after an attempt is shorter than the shortest after the next."""
    first, second = after_attempt(attempts, NOW, one), after_attempt(attempts + 1, NOW, other)
    assert isinstance(first, TryAgainAt) and isinstance(second, TryAgainAt)
    assert first.at < second.at


@pytest.mark.parametrize("attempts", [len(SCHEDULE) + 1, len(SCHEDULE) + 2, 1000])
def test_it_gives_up(attempts: int) -> None:
    """When the table is used up an operator must look."""
    assert after_attempt(attempts, NOW, 0.5) == GiveUp(attempts)


def test_whole_schedule_outlasts_a_night_and_a_day() -> None:
    """A partner that is down from one afternoon to the next morning misses nothing."""
    assert timedelta(hours=24) < sum(SCHEDULE, timedelta()) < timedelta(hours=48)


def test_odd_counts_are_taken() -> None:
    """No attempt counted yet: the first wait."""
    assert after_attempt(0, NOW, 0.0) == TryAgainAt(NOW + SCHEDULE[0])


@given(st.integers(0, 10_000), spreads)
def test_relay_never_gives_up_and_never_waits_long(failures: int, spread: float) -> None:
    """The broker's absence delays: the next try is always within the ceiling and its jitter."""
    wait = relay_again_at(failures, NOW, spread) - NOW
    assert timedelta(0) < wait <= RELAY_CEILING * (1 + JITTER)


@given(st.integers(0, 100))
def test_relay_waits_do_not_shrink(failures: int) -> None:
    """More failures, no shorter wait."""
    assert relay_again_at(failures, NOW, 0.0) <= relay_again_at(failures + 1, NOW, 0.0)
