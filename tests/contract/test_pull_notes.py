"""What a pulling partner says between fetching and confirming, on both databases."""

from __future__ import annotations

import pytest

from routing.pull import NotPossible, NotYours, confirm, fetch, list_inbox
from routing.pull_notes import Noted, Said, note
from routing.records import Delivery
from tests.support.builders import BETA, document
from tests.support.use_cases import Gateway


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery in beta's inbox."""
    (accepted,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.bring()
    return await gateway.now(accepted.id)


@pytest.mark.parametrize("said", Said)
async def test_what_is_said_changes_nothing_and_is_written_down(
    gateway: Gateway, row: Delivery, said: Said
) -> None:
    """The row stays as it is, the package stays in the list, the event has the reason."""
    beta, database = gateway.world.beta, gateway.database
    answer = await note(database, row.id, beta, said, "hết đĩa", gateway.clock.tick())
    assert answer == Noted(row)
    assert await gateway.now(row.id) == row
    assert [one.delivery.id for one in await list_inbox(database, beta.id, None, 9)] == [row.id]
    last = (await gateway.events(row.package_id))[-1]
    assert (last.type, last.delivery_id) == (f"delivery.{said}", row.id)
    assert (last.data, last.from_state, last.to_state) == ({"why": "hết đĩa"}, None, None)


async def test_what_was_confirmed_is_not_offered_again(gateway: Gateway, row: Delivery) -> None:
    """A late `not stored` is refused, a late `taken up` is harmless; neither is an event."""
    beta, database = gateway.world.beta, gateway.database
    await fetch(database, row.id, beta, gateway.clock.tick())
    await confirm(database, row.id, beta, gateway.clock.tick())
    before = await gateway.events(row.package_id)
    late = await note(database, row.id, beta, Said.NOT_STORED, "", gateway.clock.tick())
    assert isinstance(late, NotPossible)
    again = await note(database, row.id, beta, Said.TAKEN_UP, "", gateway.clock.tick())
    assert isinstance(again, Noted)
    assert await gateway.events(row.package_id) == before
    assert await gateway.inbox(BETA) == []


async def test_others_say_nothing_of_it(gateway: Gateway, row: Delivery) -> None:
    """For any other connection there is no such delivery."""
    answer = await note(
        gateway.database, row.id, gateway.world.gamma, Said.NOT_STORED, "", gateway.clock.tick()
    )
    assert isinstance(answer, NotYours)
