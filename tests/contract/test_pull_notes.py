"""What a pulling partner says between fetching and confirming, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.database import PartnerLists, SqlDatabase
from routing.pull import NotPossible, NotYours, confirm, fetch, list_inbox
from routing.pull_notes import Noted, Said, note
from routing.records import DOCUMENT, Delivery
from routing.states import TransportState
from tests.support.builders import BETA, document
from tests.support.use_cases import Gateway


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery in beta's inbox."""
    (accepted,) = (await gateway.accepted(document(BETA))).deliveries
    await gateway.bring()
    return await gateway.now(accepted.id)


@pytest.mark.parametrize("said", Said)
async def test_what_is_said_is_kept_and_written_down(
    gateway: Gateway, row: Delivery, said: Said
) -> None:
    """The state stays, the package stays in the list, row and event have the reason."""
    beta, database = gateway.world.beta, gateway.database
    now = gateway.clock.tick()
    answer = await note(database, row.id, beta, said, "hết đĩa", now)
    kept = replace(row, noted=said.value, noted_why="hết đĩa", noted_at=now, updated_at=now)
    assert answer == Noted(kept)
    assert await gateway.now(row.id) == kept
    assert [one.delivery.id for one in await list_inbox(database, beta.id, None, 9)] == [row.id]
    last = (await gateway.events(row.package_id))[-1]
    assert (last.type, last.delivery_id) == (f"delivery.{said}", row.id)
    assert (last.data, last.from_state, last.to_state) == ({"why": "hết đĩa"}, None, None)


@pytest.mark.parametrize("fetched_before", [False, True])
async def test_the_last_word_counts_until_it_is_fetched_again(
    gateway: Gateway, row: Delivery, fetched_before: bool
) -> None:
    """Each word replaces the one before; a fetch, the first or a later one, ends it."""
    beta, database, clock = gateway.world.beta, gateway.database, gateway.clock
    if fetched_before:
        await fetch(database, row.id, beta, clock.tick())
    await note(database, row.id, beta, Said.NOT_STORED, "hết đĩa", clock.tick())
    await note(database, row.id, beta, Said.TAKEN_UP, "", clock.tick())
    now = await gateway.now(row.id)
    assert (now.noted, now.noted_why) == ("taken-up", None)
    await note(database, row.id, beta, Said.NOT_STORED, "vẫn hết đĩa", clock.tick())
    before = await gateway.now(row.id)
    assert (before.noted, before.noted_why) == ("not-stored", "vẫn hết đĩa")
    await fetch(database, row.id, beta, clock.tick())
    after = await gateway.now(row.id)
    assert (after.noted, after.noted_why, after.noted_at) == (None, None, None)
    assert after.state is TransportState.DELIVERING and after.updated_at > before.updated_at
    last = (await gateway.events(row.package_id))[-1]
    assert last.type == ("delivery.fetched-again" if fetched_before else "delivery.fetched")
    await note(database, row.id, beta, Said.NOT_STORED, "", clock.tick())
    await confirm(database, row.id, beta, clock.tick())
    assert (await gateway.now(row.id)).noted is None


async def test_what_fails_keeps_nothing_out_of_a_short_list(gateway: Gateway) -> None:
    """Seven wait, three fit: what failed comes last, the longest failed first; none is lost."""
    assert isinstance(gateway.database, SqlDatabase)
    beta, clock = gateway.world.beta, gateway.clock
    lists = PartnerLists(gateway.database)
    for number, priority in enumerate((4, 4, 0, 0, 0, 0, 0), start=1):
        await gateway.accepted(document(BETA, number=number, priority=priority))
    await gateway.bring()

    async def listed(limit: int = 3) -> list[str]:
        return [one.delivery.id for one in await lists.received(beta.id, DOCUMENT, limit)]

    everything = await listed(9)
    assert len(everything) == 7 and everything[:3] == await listed()
    for some_id in everything[:3]:
        await note(gateway.database, some_id, beta, Said.NOT_STORED, "", clock.tick())
    assert await listed() == everything[3:6]
    for some_id in reversed(everything[3:6]):
        await note(gateway.database, some_id, beta, Said.NOT_STORED, "", clock.tick())
    assert await listed() == [everything[6], *everything[:2]]
    assert await listed(9) == [everything[6], *everything[:3], *reversed(everything[3:6])]
    await note(gateway.database, everything[0], beta, Said.TAKEN_UP, "", clock.tick())
    await fetch(gateway.database, everything[4], beta, clock.tick())
    assert await listed() == [everything[0], everything[4], everything[6]]
    assert [one.delivery.id for one in await list_inbox(gateway.database, beta.id, None, 9)] == (
        everything
    )


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
