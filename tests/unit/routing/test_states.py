"""Delivery states: the table of transport states and the laws of business states."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.model import StatusCode
from routing.states import (
    FINAL,
    TRANSITIONS,
    Happening,
    Impossible,
    ReportEffect,
    TransportState,
    acknowledge,
    advance,
)

#: The life of a delivery as a reader of the specification would write it: state, happening → state.
#: Written out once more by hand, so that a slip in the code's table is seen.
EXPECTED = """
accepted   relayed queued | offered offered | attempted delivering | delivered delivered
accepted   exhausted dead | returned returned | withdrawn withdrawn | expired expired | held held
queued     offered offered | attempted delivering | delivered delivered | exhausted dead
queued     returned returned | withdrawn withdrawn | expired expired | held held
offered    fetched delivering | delivered delivered | returned returned | withdrawn withdrawn
offered    expired expired | held held
delivering fetched delivering | delivered delivered | try-later queued | outcome-unknown unknown
delivering interrupted unknown | exhausted dead | returned returned | expired expired
unknown    attempted delivering | delivered delivered | try-later queued | exhausted dead
unknown    returned returned | expired expired
held       released accepted | delivered delivered | returned returned | withdrawn withdrawn
held       expired expired
dead       replayed accepted | delivered delivered | returned returned | withdrawn withdrawn
dead       expired expired
delivered  fetched delivered
returned   resubmitted accepted | delivered delivered
expired    replayed accepted | resubmitted accepted | delivered delivered
"""


def expected() -> dict[tuple[TransportState, Happening], TransportState]:
    """The table above as data."""
    table = {}
    for line in EXPECTED.strip().splitlines():
        state, _, rest = line.partition(" ")
        for pair in rest.split("|"):
            happening, after = pair.split()
            table[TransportState(state), Happening(happening)] = TransportState(after)
    return table


@pytest.mark.parametrize(
    ("state", "happening"),
    [pytest.param(s, h, id=f"{s}-{h}") for s, h in product(TransportState, Happening)],
)
def test_every_step(state: TransportState, happening: Happening) -> None:
    """Each of all state and happening pairs does what the specification says, or is impossible."""
    wanted = expected().get((state, happening), Impossible(state, happening))
    assert advance(state, happening) == wanted


@given(st.lists(st.sampled_from(Happening), max_size=30))
def test_advance_is_total(happenings: list[Happening]) -> None:
    """From the start, whatever happens: a state or a refusal, never an exception."""
    state = TransportState.ACCEPTED
    for happening in happenings:
        after = advance(state, happening)
        if isinstance(after, Impossible):
            assert (after.state, after.happening) == (state, happening)
            assert after.sentence.vi and after.sentence.en
        else:
            state = after


def test_final_states_are_left_only_by_late_truths_and_people() -> None:
    """A final outcome changes only when the recipient turns out to have it, or somebody asks."""
    leaving = {
        (state, happening)
        for (state, happening), after in TRANSITIONS.items()
        if state in FINAL and after is not state
    }
    assert {happening for _, happening in leaving} == {
        Happening.DELIVERED,
        Happening.RESUBMITTED,
        Happening.REPLAYED,
    }
    assert not any(
        state in (TransportState.DELIVERED, TransportState.WITHDRAWN) for state, _ in leaving
    )


def test_every_state_is_reached_and_none_is_a_trap() -> None:
    """Every state can come about, and from every state some final one can be reached."""
    reached = {TransportState.ACCEPTED}
    while more := {b for (a, _), b in TRANSITIONS.items() if a in reached} - reached:
        reached |= more
    assert reached == set(TransportState)
    ends = set(FINAL)
    while more := {a for (a, _), b in TRANSITIONS.items() if b in ends} - ends:
        ends |= more
    assert ends == set(TransportState)


def test_delivered_is_never_unlearned() -> None:
    """Once the recipient has said that it has the package, nothing takes that back."""
    for happening in Happening:
        after = advance(TransportState.DELIVERED, happening)
        assert isinstance(after, Impossible) or after is TransportState.DELIVERED


# --- business states ------------------------------------------------------------------------------

LADDER = [
    StatusCode.ARRIVED,
    StatusCode.ACCEPTED,
    StatusCode.ASSIGNED,
    StatusCode.PROCESSING,
    StatusCode.FINISHED,
]
STEPS = [*LADDER, StatusCode.REFUSED]
OTHERS = [StatusCode.TAKE_BACK, StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED]


@pytest.mark.parametrize("first", [None, *STEPS])
@pytest.mark.parametrize("code", STEPS)
def test_every_report(first: StatusCode | None, code: StatusCode) -> None:
    """Each step after each state: applied forward, late backward, impossible around 02."""
    told = acknowledge(first, code)
    refusable = (None, StatusCode.ARRIVED, StatusCode.ACCEPTED)
    if first is code:
        wanted = (first, ReportEffect.REPEATED)
    elif first is StatusCode.REFUSED or (code is StatusCode.REFUSED and first not in refusable):
        wanted = (first, ReportEffect.IMPOSSIBLE)
    elif code is StatusCode.REFUSED or first is None or LADDER.index(code) > LADDER.index(first):
        wanted = (code, ReportEffect.APPLIED)
    else:
        wanted = (first, ReportEffect.LATE)
    assert (told.state, told.effect) == wanted
    assert told.sentence.vi and told.sentence.en


@pytest.mark.parametrize("first", [None, *STEPS])
@pytest.mark.parametrize("code", OTHERS)
def test_codes_beside_the_ladder(first: StatusCode | None, code: StatusCode) -> None:
    """13, 15 and 16 are recorded and move nothing."""
    told = acknowledge(first, code)
    assert (told.state, told.effect) == (first, ReportEffect.RECORDED)


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_business_state_never_goes_back(codes: list[StatusCode]) -> None:
    """Whatever order reports come in: the state climbs, 02 stays for ever, repeats do nothing."""
    state: StatusCode | None = None
    for code in codes:
        told = acknowledge(state, code)
        if state is StatusCode.REFUSED:
            assert told.state is StatusCode.REFUSED
        elif state in LADDER and told.state in LADDER:
            assert LADDER.index(told.state) >= LADDER.index(state)
        state = told.state
        if state is code:
            again = acknowledge(state, code)
            assert (again.state, again.effect) == (state, ReportEffect.REPEATED)


@given(st.permutations(LADDER))
def test_order_of_arrival_does_not_matter(codes: list[StatusCode]) -> None:
    """All steps of the ladder in any order end at the highest."""
    state: StatusCode | None = None
    for code in codes:
        state = acknowledge(state, code).state
    assert state is StatusCode.FINISHED
