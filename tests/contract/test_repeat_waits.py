"""Handing a package in again does not lead it around a check that it waits for, on both databases.

The malware scanner (KG 9.2) and the list of revoked certificates (reliability 2.3).
"""

from __future__ import annotations

import pytest

from routing.records import CHECKS_WAITED_FOR, Delivery, Reason
from routing.states import TransportState
from routing.submission import Accepted
from tests.support.builders import BETA, GAMMA, document, wire
from tests.support.use_cases import Gateway

_STATES = TransportState


async def _handed_in(gateway: Gateway, content: bytes, wait: Reason | None) -> list[Delivery]:
    answer = await gateway.submit(content, wait=wait)
    assert isinstance(answer, Accepted)
    await gateway.bring()
    return [await gateway.now(row.id) for row in answer.deliveries]


@pytest.mark.parametrize("wait", CHECKS_WAITED_FOR, ids=lambda one: one.code)
async def test_what_waits_for_a_check_is_not_revived(gateway: Gateway, wait: Reason) -> None:
    """One of two waiting copies is given back, then the other: neither is offered unchecked."""
    content = wire(document(BETA, GAMMA))
    beta, gamma = await _handed_in(gateway, content, wait)
    assert {beta.state, gamma.state} == {_STATES.HELD}
    letters, routes = gateway.dead_letters, gateway.routes
    await letters.give_back(beta.id, "an", "nhầm", routes, gateway.clock())
    for again in (wait, None):
        # Held copies are still to be judged by the check, even where this repetition passed it.
        rows = await _handed_in(gateway, content, again)
        assert [row.state for row in rows] == [_STATES.RETURNED, _STATES.HELD]
    await letters.give_back(gamma.id, "an", "nhầm", routes, gateway.clock())
    rows = await _handed_in(gateway, content, wait)
    assert {row.state for row in rows} == {_STATES.RETURNED}
    rows = await _handed_in(gateway, content, None)
    assert {row.state for row in rows} == {_STATES.OFFERED}
