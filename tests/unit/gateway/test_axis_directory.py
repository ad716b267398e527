"""Codes of one agency in an axis' lists, whichever of them a list names it by."""

from __future__ import annotations

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
