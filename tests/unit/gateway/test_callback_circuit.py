"""An endpoint that fails again and again rests as a whole, and comes back gently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from envelopes.findings import Sentence
from gateway.callbacks import Circuit, DispatchLimits
from routing.callbacks import PostOutcome, PostResult

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LIMITS = DispatchLimits(
    per_endpoint=4, trips_after=3, rest=timedelta(seconds=10), longest_rest=timedelta(seconds=60)
)


def result(outcome: PostOutcome, retry_after: timedelta | None = None) -> PostResult:
    """An attempt's result."""
    return PostResult(outcome, "", Sentence("", ""), retry_after=retry_after)


def test_it_rests_after_failures_in_a_row_and_is_tried_with_one() -> None:
    """Open, then half open; each further failure doubles the rest up to the longest."""
    circuit, now = Circuit(), NOW
    for _ in range(2):
        circuit.note(result(PostOutcome.TRY_LATER), now, LIMITS)
        assert circuit.room(now, LIMITS) == 4
    for rest in (10, 20, 40, 60, 60):
        circuit.note(result(PostOutcome.UNKNOWN), now, LIMITS)
        assert circuit.room(now + timedelta(seconds=rest - 1), LIMITS) == 0
        now += timedelta(seconds=rest)
        assert circuit.room(now, LIMITS) == 1
    circuit.note(result(PostOutcome.DELIVERED), now, LIMITS)
    assert circuit.room(now, LIMITS) == 4
    circuit.note(result(PostOutcome.TRY_LATER), now, LIMITS)
    assert circuit.room(now, LIMITS) == 4


def test_answers_of_one_volley_count_once() -> None:
    """What was sent before it began to rest does not lengthen the rest; a success ends it."""
    circuit = Circuit()
    for _ in range(20):
        circuit.note(result(PostOutcome.TRY_LATER), NOW, LIMITS)
    assert circuit.room(NOW + timedelta(seconds=9), LIMITS) == 0
    assert circuit.room(NOW + timedelta(seconds=10), LIMITS) == 1
    circuit.note(result(PostOutcome.DELIVERED), NOW, LIMITS)
    assert circuit.room(NOW, LIMITS) == 4


def test_retry_after_speaks_for_the_endpoint() -> None:
    """The first 429 is enough, but nobody can ask for years."""
    for asked, rests in ((30, 30), (10**9, 60)):
        circuit = Circuit()
        circuit.note(result(PostOutcome.TRY_LATER, timedelta(seconds=asked)), NOW, LIMITS)
        assert circuit.room(NOW + timedelta(seconds=rests - 1), LIMITS) == 0
        assert circuit.room(NOW + timedelta(seconds=rests), LIMITS) == 4
