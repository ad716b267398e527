"""The short cuts of `identifiers.texts` leave nothing out."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from identifiers.texts import clean, fold, has_control, remove_invisible


def test_what_python_calls_printable_needs_no_look_at_each_character() -> None:
    """The short cut skips no character that any of the functions would touch."""
    touched = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
    skipped = [
        char
        for char in map(chr, range(0x110000))
        if char.isprintable() and char != " " and unicodedata.category(char) in touched
    ]
    assert skipped == []


@given(st.text())
def test_texts_come_out_as_character_by_character(text: str) -> None:
    """Whatever the text: what is removed or replaced is what its category says."""
    kept = "".join(char for char in text if unicodedata.category(char) != "Cf")
    assert remove_invisible(text) == kept
    controls = ("Cc", "Cs", "Zl", "Zp")
    assert has_control(text) is any(unicodedata.category(char) in controls for char in text)
    spaced = "".join(
        " " if unicodedata.category(char) in (*controls, "Zs") else char for char in kept
    )
    assert clean(text) == unicodedata.normalize("NFC", spaced).strip()
    assert fold(fold(text)) == fold(text)
