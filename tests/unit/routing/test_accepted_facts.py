"""What the acceptance tells of the signatures, and of what came before it told that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from routing.accepted_facts import package_differences, signatures_as_logged, signatures_digest
from routing.gateway_reports import accepted_events
from tests.support.builders import package

CHECKED: dict[str, Any] = {
    "checkedAt": None,
    "package": {"outcome": "invalid", "reasons": ["altered"]},
    "files": [],
}
GOOD: dict[str, Any] = {**CHECKED, "package": {"outcome": "valid", "reasons": []}}


@pytest.mark.parametrize(
    ("came", "stored", "same"),
    [
        ({"signatures": CHECKED}, json.loads(json.dumps({"signatures": CHECKED})), True),
        ({"signatures": CHECKED}, {"signatures": dict(reversed(CHECKED.items()))}, True),
        ({}, {}, True),
        ({"signatures": CHECKED}, {"signatures": GOOD}, False),
        ({"signatures": CHECKED}, {}, False),
        ({}, {"signatures": GOOD}, False),
    ],
)
def test_signatures_are_those_of_the_acceptance(
    came: dict[str, Any], stored: dict[str, Any], same: bool
) -> None:
    """The same after a database; another result, one more and one less are differences."""
    accepted = replace(package(), summary=came)
    (event,) = accepted_events(accepted, [], "connection:alpha")
    now = replace(accepted, summary=stored)
    assert [name for name, _, _ in package_differences(event, now)] == ["signatures"] * (not same)
    assert signatures_as_logged(event, now) is same
    earlier = {name: value for name, value in event.data.items() if name != "signatures"}
    before = replace(event, data=earlier)
    assert package_differences(before, now) == [] and signatures_as_logged(before, now)


def test_a_name_that_no_utf8_can_hold_has_a_digest_too() -> None:
    """Foreign certificates may hold anything; half of a surrogate pair stops no acceptance."""
    assert signatures_digest({"signatures": {"signer": "\ud800"}}) is not None
