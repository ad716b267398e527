"""Refused steps are told in people's words, not in the names that the program has for them."""

from __future__ import annotations

import pytest

from routing.states import TRANSITIONS, Happening, Impossible, TransportState, advance


@pytest.mark.parametrize("state", list(TransportState))
def test_every_refused_step_is_said_in_both_languages(state: TransportState) -> None:
    """Each has its sentence; the Vietnamese one holds no English name of a state or step."""
    for happening in Happening:
        if (state, happening) in TRANSITIONS:
            continue
        refused = advance(state, happening)
        assert isinstance(refused, Impossible)
        sentence = refused.sentence
        assert sentence.vi.startswith("Không thể ") and sentence.en.startswith("This delivery")
        words = sentence.vi.replace(":", " ").replace(".", " ").split()
        assert not {str(state), str(happening)} & set(words)
