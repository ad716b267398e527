"""Records: a delivery changes its state only together with the event that tells of it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from envelopes.findings import Sentence
from envelopes.model import BusinessDocType
from routing.records import Change, Reason, change, is_new_content
from routing.states import Happening, Impossible, TransportState, advance
from tests.support.builders import delivery, later, package


@given(st.sampled_from(TransportState), st.sampled_from(Happening))
def test_change_and_its_event_agree(state: TransportState, happening: Happening) -> None:
    """The event tells of exactly the step that was taken; an impossible one changes nothing."""
    row = replace(delivery(package()), state=state)
    made = change(row, happening, actor="someone", now=later(9), data={"a": 1}, attempts=7)
    after = advance(state, happening)
    if isinstance(after, Impossible):
        assert made == after
        return
    assert isinstance(made, Change)
    assert made.before == row
    assert made.after == replace(row, state=after, updated_at=later(9), attempts=7)
    event = made.event
    assert (event.type, event.from_state, event.to_state) == (
        f"delivery.{happening}",
        state.value,
        after.value,
    )
    assert (event.at, event.actor, event.data) == (later(9), "someone", {"a": 1})
    assert (event.package_id, event.delivery_id) == (row.package_id, row.id)
    assert event.correlation_id == row.correlation_id


def test_fields_cannot_smuggle_a_state_in() -> None:
    """Whatever else is set: the state is the one that the happening leads to."""
    row = delivery(package())
    made = change(
        row,
        Happening.RELAYED,
        actor="a",
        now=later(),
        **{"state": TransportState.DELIVERED, "updated_at": later(99)},
    )
    assert isinstance(made, Change)
    assert made.after.state is TransportState.QUEUED
    assert made.event.to_state == "queued"
    assert made.after.updated_at == later()


def test_reason_as_data_and_back() -> None:
    """A reason survives the way into JSON and out."""
    reason = Reason("no-connection", Sentence("chưa có", "none"), try_again=True)
    assert Reason.from_dict(reason.as_dict()) == reason
    assert reason.as_dict() == {
        "code": "no-connection",
        "vi": "chưa có",
        "en": "none",
        "tryAgain": True,
    }


def test_what_claims_a_document_id() -> None:
    """New documents and replacements do; revocations and updates speak of one that exists."""
    assert [meaning.value for meaning in BusinessDocType if is_new_content(meaning)] == ["0", "3"]
