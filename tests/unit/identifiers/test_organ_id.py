"""Agency codes: both systems, their hierarchy, comparison and order."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifiers.organ_id import MAX_LENGTH, CodeSystem, MalformedOrganId, OrganId
from tests.unit.identifiers.strategies import (
    ALPHABET,
    code_texts,
    full_old_texts,
    new_texts,
    old_texts,
    organ_ids,
    short_old_texts,
)


@pytest.mark.parametrize(
    ("written", "system", "full", "key"),
    [
        ("000.00.00.H41", CodeSystem.QCVN_102, "000.00.00.H41", "H41"),
        ("000.01.32.H53", CodeSystem.QCVN_102, "000.01.32.H53", "000.01.32.H53"),
        ("28.22.H17", CodeSystem.QCVN_102, "000.28.22.H17", "000.28.22.H17"),
        ("01.02.G22", CodeSystem.QCVN_102, "000.01.02.G22", "000.01.02.G22"),
        ("22.H17", CodeSystem.QCVN_102, "000.00.22.H17", "000.00.22.H17"),
        ("00.H17", CodeSystem.QCVN_102, "000.00.00.H17", "H17"),
        ("H41", CodeSystem.DECISION_20, "000.00.00.H41", "H41"),
        ("H41.13.05", CodeSystem.DECISION_20, None, "H41.13.05"),
        ("H41.A05", CodeSystem.DECISION_20, None, "H41.A05"),
        ("0100109106", CodeSystem.DECISION_20, None, "0100109106"),
        ("0100109106.001", CodeSystem.DECISION_20, None, "0100109106.001"),
    ],
)
def test_reads_both_systems(written: str, system: CodeSystem, full: str | None, key: str) -> None:
    """Each form is recognised, padded where it is shortened, and given its canonical key."""
    code = OrganId.parse(written)
    assert isinstance(code, OrganId)
    assert (code.text, code.system, code.full, code.key) == (written, system, full, key)


@pytest.mark.parametrize(
    "written",
    [
        " h41.13 ",
        "H41\u200b.13",
        "\ufeffH41.13\u00a0",
        "H41\u00a0.13",
        "\tH41.13\r\n",
        "h41.1\u00ad3",
    ],
)
def test_what_cannot_be_seen_makes_no_difference(written: str) -> None:
    """Blanks around, no-break and zero-width characters anywhere, and case are normalised away."""
    assert OrganId.of(written).text == "H41.13"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "empty"),
        (" \u200b\u00a0", "empty"),
        ("H41..13", "groups"),
        (".H41", "groups"),
        ("H41.", "groups"),
        ("H41 13", "groups"),
        ("H41.13\n.05", "groups"),
        ("H4Đ", "groups"),
        ("H\u0661\u0661", "groups"),  # digits of another script
        ("\uff28\uff14\uff11", "groups"),  # full-width letters
        ("\u00df01", "groups"),  # upper() would make SS of it
        ("H41/13", "groups"),
        ("\ud800", "groups"),
        ("000.1137.H53", "QCVN 102"),
        ("0.00.00.H53", "QCVN 102"),
        ("000.00.00.00.H53", "QCVN 102"),
        ("H41.13.05.G22", "both ends"),
        ("A" * (MAX_LENGTH + 1), "35"),
        ("H41." * 100_000, "35"),
    ],
)
def test_malformed_codes_say_why(written: str, words: str) -> None:
    """A text that is no code is a value with the find, the allowed form and a reason twice."""
    problem = OrganId.parse(written)
    assert isinstance(problem, MalformedOrganId)
    assert words in problem.reason.en
    assert problem.reason.vi
    assert "QCVN 102" in problem.allowed
    assert len(problem.found) <= 80
    with pytest.raises(ValueError, match=words):
        OrganId.of(written)


def test_level_one_is_the_same_in_both_systems() -> None:
    """H41 and 000.00.00.H41 are one agency, and each keeps the form it was written in."""
    new, old = OrganId.of("H41"), OrganId.of("000.00.00.H41")
    assert new == old
    assert hash(new) == hash(old)
    assert len({new, old}) == 1
    assert (str(new), str(old)) == ("H41", "000.00.00.H41")
    assert new <= old and new >= old and not new < old and not new > old


def test_below_level_one_the_systems_never_meet() -> None:
    """The same digits in the two systems are two agencies."""
    assert OrganId.of("000.05.13.H41") != OrganId.of("H41.13.05")
    assert not OrganId.of("000.05.13.H41").is_within(OrganId.of("H41.13"))
    assert OrganId.of("H41") != "H41"


@pytest.mark.parametrize(
    ("written", "ancestors"),
    [
        ("001.01.32.H53", ["000.01.32.H53", "000.00.32.H53", "000.00.00.H53"]),
        ("28.22.H17", ["000.00.22.H17", "000.00.00.H17"]),
        ("001.00.32.H53", ["000.00.32.H53", "000.00.00.H53"]),
        ("000.01.00.H53", ["000.00.00.H53"]),
        ("H41.13.05", ["H41.13", "H41"]),
        ("0100109106.001", ["0100109106"]),
        ("H41", []),
        ("000.00.00.H41", []),
    ],
)
def test_ancestors_nearest_first(written: str, ancestors: list[str]) -> None:
    """The chain upwards ends at level 1 and steps over empty levels."""
    code = OrganId.of(written)
    assert [above.text for above in code.ancestors()] == ancestors
    assert code.parent == (OrganId.of(ancestors[0]) if ancestors else None)
    assert code.level_one == OrganId.of((ancestors or [written])[-1])


def test_is_within_crosses_systems_at_level_one_only() -> None:
    """Both an old and a new code lie within the province, however the province is written."""
    for province in (OrganId.of("H41"), OrganId.of("000.00.00.H41")):
        assert OrganId.of("000.05.13.H41").is_within(province)
        assert OrganId.of("H41.13.05").is_within(province)
        assert province.is_within(province)
        assert not province.is_within(OrganId.of("H41.13"))
    assert not OrganId.of("H411.13").is_within(OrganId.of("H41"))


def test_codes_survive_pickling_and_cannot_be_changed() -> None:
    """Codes travel to worker processes whole, and nothing can alter one in place."""
    code = OrganId.of("000.01.32.H53")
    assert pickle.loads(pickle.dumps(code)) == code
    with pytest.raises(AttributeError):
        code.text = "H41"  # type: ignore[misc]  # the point of the test


@given(code_texts)
def test_written_form_round_trips(text: str) -> None:
    """A normalised text is kept to the letter and reads back as itself."""
    code = OrganId.of(text)
    assert str(code) == text
    assert OrganId.parse(str(code)) == code
    assert OrganId.of(code.key) == code


@given(old_texts)
def test_full_form_is_the_same_code(text: str) -> None:
    """The padded form of an old code is a fixed point and the same code."""
    code = OrganId.of(text)
    assert code.full is not None
    assert code.full.endswith(text)
    again = OrganId.of(code.full)
    assert again == code
    assert again.full == code.full


@given(st.one_of(st.text(), st.text(alphabet=ALPHABET + ".\u200b \u00a0", max_size=40)))
def test_parse_never_raises_and_normalising_is_stable(text: str) -> None:
    """Any text is a code or a reason; a code's text is a fixed point within the limits."""
    code = OrganId.parse(text)
    if isinstance(code, MalformedOrganId):
        assert code.reason.vi and code.reason.en
    else:
        assert len(code.text) <= MAX_LENGTH
        assert set(code.text) <= set(ALPHABET + ".")
        assert OrganId.of(code.text).text == code.text


@given(organ_ids)
def test_parent_chains_end_at_level_one(code: OrganId) -> None:
    """Going up always lowers the level, stays in the code's own top, and ends."""
    chain = [code, *code.ancestors()]
    assert [above.level for above in chain] == sorted({above.level for above in chain})[::-1]
    assert chain[-1].level == 1 and chain[-1].parent is None
    assert all(above.level_one == code.level_one for above in chain)
    assert all(code.is_within(above) for above in chain)
    for above in chain:
        assert OrganId.of(above.text) == above


@given(organ_ids, organ_ids)
def test_order_agrees_with_equality(a: OrganId, b: OrganId) -> None:
    """Of any two codes exactly one of less, equal, greater holds; equal codes hash alike."""
    assert [a < b, a == b, a > b].count(True) == 1
    assert (a <= b) == (a < b or a == b)
    assert (a >= b) == (b <= a)
    assert (a == b) == (a.key == b.key)
    if a == b:
        assert hash(a) == hash(b)
        assert a.level == b.level


@given(organ_ids, organ_ids, organ_ids)
def test_order_is_transitive(a: OrganId, b: OrganId, c: OrganId) -> None:
    """Sorting is well defined, and a body sorts before everything below it."""
    low, middle, high = sorted([a, b, c])
    assert low <= middle <= high and low <= high
    assert all(above < a for above in a.ancestors())


@given(organ_ids, organ_ids)
def test_within_is_a_partial_order(a: OrganId, b: OrganId) -> None:
    """Two codes within each other are the same code."""
    if a.is_within(b) and b.is_within(a):
        assert a == b


@given(st.one_of(full_old_texts, short_old_texts), new_texts)
def test_systems_agree_only_at_level_one(old: str, new: str) -> None:
    """An old and a new code are equal exactly when both are the same level 1."""
    a, b = OrganId.of(old), OrganId.of(new)
    assert (a == b) == (a.level == b.level == 1 and a.level_one.key == b.text)
