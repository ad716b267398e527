"""The directory: codes of one agency, validity, successors, longest match, search."""

from __future__ import annotations

import random
import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifiers.directory import (
    Agency,
    Directory,
    MatchVia,
    ResolutionKind,
    fold,
)
from identifiers.organ_id import OrganId
from tests.unit.identifiers.strategies import organ_ids

BEFORE, LAST, AFTER = date(2025, 1, 1), date(2025, 6, 30), date(2025, 7, 1)


def agency(
    code: str,
    name: str = "",
    *,
    aliases: str = "",
    since: date | None = None,
    until: date | None = None,
    successors: str = "",
) -> Agency:
    """An agency written on one line; several codes are separated by blanks."""
    return Agency(
        OrganId.of(code),
        name or f"Cơ quan {code}",
        tuple(map(OrganId.of, aliases.split())),
        since,
        until,
        tuple(map(OrganId.of, successors.split())),
    )


def directory(*agencies: Agency) -> Directory:
    """A directory of these agencies."""
    return Directory(agencies)


INTERIOR = agency("H41.13", "Sở Nội vụ", aliases="000.00.05.H41")
PROVINCE = agency("H41", "Ủy ban nhân dân tỉnh Nghệ An")


def test_found_by_any_code() -> None:
    """Old and new codes lead to one agency; level 1 needs no alias."""
    known = directory(INTERIOR, PROVINCE)
    assert known.find(OrganId.of("000.00.05.H41")) is INTERIOR
    assert known.find(OrganId.of("00.05.H41")) is INTERIOR
    assert known.find(OrganId.of("H41.13")) is INTERIOR
    assert known.find(OrganId.of("000.00.00.H41")) is PROVINCE
    assert known.find(OrganId.of("H41.05")) is None
    assert OrganId.of("H41.13") in known and OrganId.of("H41.05") not in known
    assert known.codes_of(OrganId.of("000.00.05.H41")) == tuple(
        map(OrganId.of, ("000.00.05.H41", "H41.13"))
    )


def test_same_agency_through_the_directory() -> None:
    """Two codes are the same agency by table or by level 1, never by likeness."""
    known = directory(INTERIOR, PROVINCE)
    assert known.same(OrganId.of("H41.13"), OrganId.of("000.00.05.H41"))
    assert known.same(OrganId.of("G22"), OrganId.of("000.00.00.G22"))
    assert not known.same(OrganId.of("H41.13"), OrganId.of("000.00.13.H41"))
    assert not known.same(OrganId.of("H41.98"), OrganId.of("H41.99"))


def test_disputed_alias_belongs_to_nobody() -> None:
    """A code that two agencies claim as alias routes to neither and is shown as a conflict."""
    a, b = agency("H41.01", aliases="000.00.01.H41"), agency("H41.02", aliases="000.00.01.H41")
    known = directory(a, b)
    disputed = OrganId.of("000.00.01.H41")
    assert known.find(disputed) is None
    assert [(c.organ_id, c.claimants, c.owner) for c in known.conflicts] == [
        (disputed, (a, b), None)
    ]
    answer = known.resolve(disputed, BEFORE)
    assert answer.kind is ResolutionKind.UNKNOWN
    assert answer.candidates == (a.organ_id, b.organ_id)
    assert not known.same(a.organ_id, b.organ_id)
    assert known.longest_match(a.organ_id, {disputed: "not theirs"}) is None


def test_primary_code_outranks_an_alias() -> None:
    """Nobody takes an agency's own code by listing it as an alias."""
    real, thief = agency("G22"), agency("H41.99", aliases="000.00.00.G22")
    known = directory(thief, real)
    assert known.find(OrganId.of("G22")) is real
    assert known.conflicts[0].owner is real
    assert not known.same(OrganId.of("H41.99"), OrganId.of("G22"))
    match = known.longest_match(OrganId.of("H41.99"), {OrganId.of("G22"): 1})
    assert match is None


@pytest.mark.parametrize(
    ("asked", "on", "kind", "chosen", "path"),
    [
        ("H41.01", BEFORE, ResolutionKind.ACTIVE, "H41.01", "H41.01"),
        ("H41.01", LAST, ResolutionKind.ACTIVE, "H41.01", "H41.01"),
        ("H41.01", AFTER, ResolutionKind.SUCCEEDED, "H41.03", "H41.01 H41.02 H41.03"),
        ("000.00.07.H41", AFTER, ResolutionKind.SUCCEEDED, "H41.03", "H41.01 H41.02 H41.03"),
        ("H41.03", BEFORE, ResolutionKind.NOT_YET_VALID, "H41.03", "H41.03"),
        ("H41.04", AFTER, ResolutionKind.EXPIRED, "H41.04", "H41.04"),
        ("H41.05", AFTER, ResolutionKind.EXPIRED, "H41.05", "H41.05 H41.04"),
        ("H41.06", AFTER, ResolutionKind.EXPIRED, "H41.06", "H41.06"),
        ("H41.08", AFTER, ResolutionKind.SPLIT, "H41.08", "H41.08"),
        ("H41.09", AFTER, ResolutionKind.SUCCEEDED, "H41.03", None),
        ("H41.10", AFTER, ResolutionKind.NOT_YET_VALID, "H41.11", "H41.10 H41.11"),
        ("H41.12", AFTER, ResolutionKind.EXPIRED, "H41.12", "H41.12"),
        ("H41.99", AFTER, ResolutionKind.UNKNOWN, None, ""),
    ],
)
def test_resolves_with_the_reason(
    asked: str, on: date, kind: ResolutionKind, chosen: str | None, path: str | None
) -> None:
    """Validity, chains, circles, dead ends and splits each have their own answer."""
    known = directory(
        agency("H41.01", aliases="000.00.07.H41", until=LAST, successors="H41.02"),
        agency("H41.02", until=BEFORE, successors="H41.03"),
        agency("H41.03", since=AFTER),
        agency("H41.04", until=LAST),
        agency("H41.05", until=LAST, successors="H41.04"),
        agency("H41.06", until=LAST, successors="H41.07"),
        agency("H41.07", until=LAST, successors="H41.06"),
        agency("H41.08", until=LAST, successors="H41.03 H41.04"),
        agency("H41.09", until=LAST, successors="H41.01 H41.02"),
        agency("H41.10", until=LAST, successors="H41.11"),
        agency("H41.11", since=date(2026, 1, 1)),
        agency("H41.12", until=LAST, successors="H41.98"),
    )
    answer = known.resolve(OrganId.of(asked), on)
    assert answer.kind is kind
    assert (answer.agency.organ_id.text if answer.agency else None) == chosen
    assert answer.asked == OrganId.of(asked)
    if path is not None:
        assert " ".join(step.organ_id.text for step in answer.path) == path
    assert answer.is_usable == (kind in (ResolutionKind.ACTIVE, ResolutionKind.SUCCEEDED))
    shown = answer.path[-1].organ_id.text if answer.path else asked
    assert shown in answer.reason.vi and shown in answer.reason.en


def test_split_names_the_successors() -> None:
    """A clerk who must choose sees codes and names, in both languages."""
    known = directory(
        agency("H41.08", until=LAST, successors="H41.21 H41.22"),
        agency("H41.21", "Xã Một"),
        agency("H41.22", "Xã Hai"),
    )
    answer = known.resolve(OrganId.of("H41.08"), AFTER)
    assert answer.candidates == (OrganId.of("H41.21"), OrganId.of("H41.22"))
    for sentence in (answer.reason.vi, answer.reason.en):
        assert "Xã Một (H41.21)" in sentence and "Xã Hai (H41.22)" in sentence


def test_old_and_new_code_of_one_successor_are_no_split() -> None:
    """A successor listed under both of its codes is one successor."""
    known = directory(agency("H41.08", until=LAST, successors="H41.13 000.00.05.H41"), INTERIOR)
    assert known.resolve(OrganId.of("H41.08"), AFTER).kind is ResolutionKind.SUCCEEDED


@given(
    st.lists(
        st.builds(
            Agency,
            organ_id=organ_ids,
            name=st.just("x"),
            aliases=st.lists(organ_ids, max_size=2).map(tuple),
            valid_until=st.sampled_from([None, LAST]),
            valid_from=st.sampled_from([None, BEFORE, AFTER]),
            successors=st.lists(organ_ids, max_size=3).map(tuple),
        ),
        max_size=12,
    ),
    organ_ids,
    st.sampled_from([BEFORE, LAST, AFTER]),
    st.randoms(use_true_random=False),
)
def test_resolution_holds_on_any_directory(
    agencies: list[Agency], asked: OrganId, on: date, shuffler: random.Random
) -> None:
    """Whatever the data: an answer, usable only with an active agency, the same in any order."""
    known = Directory(agencies)
    answer = known.resolve(asked, on)
    assert answer.reason.vi and answer.reason.en
    assert answer.is_usable == (answer.path != () and answer.path[-1].is_active(on))
    if answer.is_usable:
        assert answer.agency is answer.path[-1]
        assert answer.path[0] is known.find(asked)
    for step, after in zip(answer.path, answer.path[1:], strict=False):
        assert any(known.find(code) is after for code in step.successors)
    shuffled = list(agencies)
    shuffler.shuffle(shuffled)
    assert Directory(shuffled) == known
    assert Directory(shuffled).resolve(asked, on) == answer


@pytest.mark.parametrize(
    ("asked", "prefixes", "expected"),
    [
        ("H41.13", "H41.13 H41", ("H41.13", MatchVia.OWN_CODE, "H41.13")),
        ("000.00.05.H41", "H41.13 H41", ("H41.13", MatchVia.ALIAS, "H41.13")),
        ("H41.13", "000.00.05.H41 H41", ("000.00.05.H41", MatchVia.ALIAS, "000.00.05.H41")),
        ("H41.13.07", "H41.13 H41", ("H41.13", MatchVia.ANCESTOR, "H41.13.07")),
        ("H41.13.07", "H41", ("H41", MatchVia.ANCESTOR, "H41.13.07")),
        ("000.00.09.H41", "H41", ("H41", MatchVia.ANCESTOR, "000.00.09.H41")),
        # another code of the agency lies deeper than anything above the code asked for
        ("000.00.77.H41", "H41 H41.20", ("H41.20", MatchVia.ALIAS_ANCESTOR, "H41.20.01")),
        # the body above is known under its other code
        ("000.01.05.H41", "H41 H41.13", ("H41.13", MatchVia.ALIAS_ANCESTOR, "000.01.05.H41")),
        ("000.13.00.H41", "H41.13", None),
        ("G22", "H41", None),
        ("H41", "H41.13", None),
    ],
)
def test_longest_match(
    asked: str, prefixes: str, expected: tuple[str, MatchVia, str] | None
) -> None:
    """The most specific prefix wins: own code, aliases, then what lies above, nearest first."""
    known = directory(INTERIOR, PROVINCE, agency("H41.20.01", aliases="000.00.77.H41"))
    table = {OrganId.of(prefix): f"to {prefix}" for prefix in prefixes.split()}
    match = known.longest_match(OrganId.of(asked), table)
    if expected is None:
        assert match is None
    else:
        assert match is not None
        prefix, via, through = expected
        assert (match.prefix, match.via) == (OrganId.of(prefix), via)
        assert match.through.text == through
        assert match.value == f"to {expected[0]}"


def test_match_may_hold_any_value() -> None:
    """A prefix that stands for something false is a match all the same."""
    match = directory().longest_match(OrganId.of("H41.13"), {OrganId.of("H41"): None})
    assert match is not None and match.value is None


@given(organ_ids, st.sets(organ_ids))
def test_longest_match_without_aliases_is_the_nearest_above(
    asked: OrganId, prefixes: set[OrganId]
) -> None:
    """With an empty directory the match is the first of code and ancestors in the table."""
    chain = [asked, *asked.ancestors()]
    expected = next((code for code in chain if code in prefixes), None)
    match = directory().longest_match(asked, dict.fromkeys(prefixes, 1))
    assert (match.prefix if match else None) == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("so noi vu", ["H41.13"]),
        ("SỞ NỘI VỤ", ["H41.13"]),
        ("So\u031b\u0309  Nội\u00a0vụ", ["H41.13"]),
        ("vu noi", ["H41.13"]),
        ("uy ban nghe an", ["H41"]),
        ("000.00.05", ["H41.13"]),
        ("h41", ["H41", "H41.13", "H41.14"]),
        ("so", ["H41.13", "H41.14"]),
        ("duong", ["H41.14"]),
        ("khong co", []),
        (" \u200b", []),
        ("%", []),
    ],
)
def test_search_ignores_accents_and_case(query: str, found: list[str]) -> None:
    """A clerk finds an agency by typing without accents, by its words, or by a code."""
    known = directory(INTERIOR, PROVINCE, agency("H41.14", "Sở Đường bộ"))
    assert [agency.organ_id.text for agency in known.search(query)] == found
    assert len(known.search(query, limit=1)) == min(1, len(found))


@given(st.text())
def test_fold_is_stable(text: str) -> None:
    """Folding twice is folding once, and the form of composition makes no difference."""
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


def test_fold_of_vietnamese() -> None:
    """Every accent and both forms of đ go."""
    assert fold("  ĐƯỜNG  Lê Đại\u00a0Hành, Huế ") == "duong le dai hanh, hue"


def test_updated_replaces_and_adds() -> None:
    """A change makes a new directory and leaves the old one alone."""
    known = directory(INTERIOR, PROVINCE)
    renamed = agency("000.00.00.H41", "UBND tỉnh Nghệ An")
    changed = known.updated([renamed, agency("H41.99")])
    assert len(known) == 2 and len(changed) == 3
    assert changed.find(OrganId.of("H41")) == renamed
    assert known.find(OrganId.of("H41")) is PROVINCE
    assert [item.organ_id.text for item in changed] == ["000.00.00.H41", "H41.13", "H41.99"]
    assert hash(directory(PROVINCE, INTERIOR)) == hash(known)
