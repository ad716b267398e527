"""Codes of one agency in an axis' lists, whichever of them a list names it by."""

from __future__ import annotations

import pytest

from gateway.axis.directory import other_codes_of, read_units


def test_codes_are_tied_in_both_directions() -> None:
    """A unit by its old code has the new one that another list ties to it, and the reverse."""
    ties = other_codes_of(
        [
            {"code": "000.00.13.H53", "oldCode": "000.00.13.H53"},
            {"code": "H53.13", "code102": "000.00.13.H53"},
        ]
    )
    for named, other in (("000.00.13.H53", "H53.13"), ("H53.13", "000.00.13.H53")):
        (unit,), doubts = read_units([{"code": named, "name": "Sở Nội vụ"}], ties)
        assert [code.text for code in unit.aliases] == [other]
        assert doubts == []


BOTH = [
    {"code": "H41.13", "name": "Sở Nội vụ", "code102": "000.00.13.H41"},
    {"code": "H41.14", "name": "Sở Tài chính", "code102": "000.00.13.H41"},
    {"code": "H41.15", "name": "Sở Y tế", "code102": "000.00.15.H41"},
]


@pytest.mark.parametrize(
    "named", [["000.00.13.H41"], ["H41.13", "H41.14"], ["H41.14", "000.00.13.H41", "H41.13"]]
)
def test_a_code_that_two_agencies_claim_ties_none_of_them(named: list[str]) -> None:
    """Whichever codes the list of units has: each stays an agency by itself, and it is told."""
    rows = [{"code": code, "name": f"Cơ quan {code}"} for code in named]
    units, doubts = read_units([*rows, {"code": "H41.15", "name": "Sở Y tế"}], other_codes_of(BOTH))
    aliases = {unit.code.text: [code.text for code in unit.aliases] for unit in units}
    assert aliases == {**{code: [] for code in named}, "H41.15": ["000.00.15.H41"]}
    (doubt,) = doubts
    assert doubt.code == "000.00.13.H41"
    assert "H41.13, H41.14" in doubt.reason.en and "H41.13, H41.14" in doubt.reason.vi


def test_a_code_that_two_lines_of_one_list_claim_is_given_to_none() -> None:
    """The list of units ties the codes itself; a deleted agency claims nothing any more."""
    units, doubts = read_units(BOTH, {})
    assert [len(unit.aliases) for unit in units] == [0, 0, 1]
    assert [doubt.code for doubt in doubts] == ["000.00.13.H41"]
    units, doubts = read_units([{**BOTH[0], "deleted": "true"}, BOTH[1]], {})
    assert [code.text for code in units[1].aliases] == ["000.00.13.H41"]
    assert doubts == []
