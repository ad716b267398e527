"""Lanes and fair turns: urgency first, and nobody's circular holds up another's letter."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.lanes import SPACING, FairClock, Lane, lane_of
from tests.support.builders import NOW


@pytest.mark.parametrize(
    ("priority", "lane"),
    [
        (0, Lane.ORDINARY),
        (1, Lane.URGENT),
        (2, Lane.URGENT),
        (3, Lane.URGENT),
        (4, Lane.URGENT),
    ],
)
def test_lane_of_priority(priority: int, lane: Lane) -> None:
    """Khẩn and everything above is urgent."""
    assert lane_of(priority) is lane


def test_urgent_is_served_first() -> None:
    """The rank that the outbox sorts by."""
    assert Lane.URGENT.rank < Lane.ORDINARY.rank


def test_circular_does_not_push_a_letter_behind() -> None:
    """3 000 copies of one sender: a letter that comes a second later waits for 21 of them."""
    clock = FairClock()
    circular = clock.keys("ministry", Lane.ORDINARY, 3000, NOW)
    second_later = NOW + timedelta(seconds=1)
    (letter,) = clock.keys("commune", Lane.ORDINARY, 1, second_later)
    before = sum(key <= letter for key in circular)
    assert letter == second_later
    assert before == timedelta(seconds=1) // SPACING + 1


def test_two_circulars_take_turns() -> None:
    """Two senders with many copies at the same moment are served one each in turn."""
    clock = FairClock()
    turns = [
        *((key, "a") for key in clock.keys("a", Lane.ORDINARY, 100, NOW)),
        *((key, "b") for key in clock.keys("b", Lane.ORDINARY, 100, NOW)),
    ]
    order = "".join(name for _, name in sorted(turns))
    assert order == "ab" * 100


def test_own_letter_comes_after_own_circular_of_the_same_lane_only() -> None:
    """A sender's next letter waits its turn; in the urgent lane it does not."""
    clock = FairClock()
    last = clock.keys("a", Lane.ORDINARY, 50, NOW)[-1]
    assert clock.keys("a", Lane.ORDINARY, 1, NOW) == [last + SPACING]
    assert clock.keys("a", Lane.URGENT, 1, NOW) == [NOW]


def test_work_conserving_after_a_pause() -> None:
    """Turns that were used up long ago are forgotten: the next key is now."""
    clock = FairClock()
    clock.keys("a", Lane.ORDINARY, 100, NOW)
    much_later = NOW + timedelta(hours=1)
    assert clock.keys("a", Lane.ORDINARY, 1, much_later) == [much_later]


def test_nothing_asked_nothing_changed() -> None:
    """No keys for no copies."""
    clock = FairClock()
    assert clock.keys("a", Lane.ORDINARY, 0, NOW) == []
    assert clock.keys("a", Lane.ORDINARY, 1, NOW) == [NOW]


Submissions = list[tuple[str, int, float]]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.floats(0, 3)),
        max_size=30,
    )
)
def test_laws_of_fair_keys(submissions: Submissions) -> None:
    """Per sender keys only grow, at least `SPACING` apart when it is ahead, never before now."""
    clock, now = FairClock(), NOW
    last: dict[str, datetime] = {}
    for sender, count, wait in submissions:
        now += timedelta(seconds=wait)
        keys = clock.keys(sender, Lane.ORDINARY, count, now)
        assert len(keys) == count
        assert keys[0] >= now
        assert all(b - a == SPACING for a, b in pairwise(keys))
        if sender in last:
            assert keys[0] > last[sender]
            assert keys[0] <= max(now, last[sender] + SPACING)
        last[sender] = keys[-1]


def test_memory_does_not_grow_with_the_directory() -> None:
    """Senders whose turns are past are forgotten once there are very many."""
    clock = FairClock()
    for number in range(10_050):
        clock.keys(str(number), Lane.ORDINARY, 1, NOW + timedelta(milliseconds=number))
    assert len(clock._last) <= 10_001
