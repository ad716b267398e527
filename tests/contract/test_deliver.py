"""Attempts through a partner, on both databases: recorded before, one at a time, never guessed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from routing.deliver import LEASE, TURN, AttemptOutcome
from routing.records import Attempt, Delivery
from routing.retry_policy import SCHEDULE
from routing.states import Happening, TransportState
from tests.support.builders import look, put, step, versions
from tests.support.use_cases import Gateway, ScriptedPartner

DELIVERED, TRY_LATER, REFUSED, UNKNOWN = (
    AttemptOutcome.DELIVERED,
    AttemptOutcome.TRY_LATER,
    AttemptOutcome.REFUSED,
    AttemptOutcome.UNKNOWN,
)


#: Of the connections: attempts go to them.
KIND = "push"


async def attempt(
    gateway: Gateway, row: Delivery, partner: ScriptedPartner, owner: str = "worker-1"
) -> Delivery | None:
    """One attempt through beta's connection."""
    attempted = await gateway.worker(owner).attempt(row.id, gateway.world.beta, partner)
    return attempted.delivery if attempted else None


async def attempts(gateway: Gateway, row: Delivery) -> list[Attempt]:
    """The attempts on record."""
    found: list[Attempt] = await look(gateway.database, lambda tx: tx.attempts_of(row.id))
    return found


async def test_delivered(gateway: Gateway, row: Delivery) -> None:
    """A partner that says yes: delivered, one attempt on record, nothing left to ring."""
    partner = ScriptedPartner([DELIVERED])
    after = await attempt(gateway, row, partner)
    assert after == await gateway.now(row.id)
    assert after is not None
    assert (after.state, after.attempts, after.delivered_at) == (
        TransportState.DELIVERED,
        1,
        gateway.clock.now,
    )
    assert (after.ring_at, after.lease_owner, after.lease_until) == (None, None, None)
    (only,) = await attempts(gateway, row)
    assert (only.number, only.owner, only.outcome, only.ended_at) == (
        1,
        "worker-1",
        "delivered",
        gateway.clock.now,
    )
    assert await attempt(gateway, row, partner) is None
    assert partner.calls == [("deliver", row.id)]


async def test_attempt_is_committed_before_the_partner_is_called(
    gateway: Gateway, row: Delivery
) -> None:
    """While the partner is being called, state, lease and attempt are in the database."""
    seen: list[tuple[Delivery, list[Attempt]]] = []

    async def peek(_: Delivery) -> None:
        seen.append((await gateway.now(row.id), await attempts(gateway, row)))

    await attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=peek))
    ((during, recorded),) = seen
    assert (during.state, during.attempts, during.lease_owner) == (
        TransportState.DELIVERING,
        1,
        "worker-1",
    )
    assert during.lease_until == gateway.clock.now + LEASE
    assert [(one.number, one.ended_at) for one in recorded] == [(1, None)]


async def test_same_id_on_every_attempt_until_it_is_dead(gateway: Gateway, row: Delivery) -> None:
    """Not now, not now …: the waits of the table, one id throughout, then an operator's turn."""
    partner = ScriptedPartner([TRY_LATER])
    for number, wait in enumerate(SCHEDULE, start=1):
        after = await attempt(gateway, row, partner)
        assert after is not None
        assert (after.state, after.attempts) == (TransportState.QUEUED, number)
        assert after.ring_at == gateway.clock.now + wait
        gateway.clock.now = after.ring_at
    dead = await attempt(gateway, row, partner)
    assert dead is not None
    assert (dead.state, dead.ring_at, dead.lease_owner) == (TransportState.DEAD, None, None)
    assert dead.reason is not None and dead.reason.code == "attempts-exhausted"
    assert {delivery_id for _, delivery_id in partner.calls} == {row.id}
    assert len(await attempts(gateway, row)) == len(SCHEDULE) + 1
    assert await attempt(gateway, row, partner) is None


async def test_refused_is_final(gateway: Gateway, row: Delivery) -> None:
    """A partner that says never: returned, with its reason, and no further attempt."""
    after = await attempt(gateway, row, ScriptedPartner([REFUSED]))
    assert after is not None and after.reason is not None
    assert (after.state, after.reason.code) == (TransportState.RETURNED, "refused-by-partner")
    assert (after.ring_at, after.lease_owner) == (None, None)
    assert await attempt(gateway, row, ScriptedPartner([DELIVERED])) is None


async def test_unknown_outcome_is_asked_about_first(gateway: Gateway, row: Delivery) -> None:
    """No answer is no failure: the next time the partner is asked, and its yes is enough."""
    partner = ScriptedPartner([UNKNOWN], about=[DELIVERED])
    after = await attempt(gateway, row, partner)
    assert after is not None and after.state is TransportState.UNKNOWN
    assert after.ring_at == gateway.clock.now + SCHEDULE[0]
    gateway.clock.now = after.ring_at
    again = await attempt(gateway, row, partner)
    assert again is not None and again.state is TransportState.DELIVERED
    assert partner.calls == [("deliver", row.id), ("ask", row.id)]


@pytest.mark.parametrize("about", [TRY_LATER, UNKNOWN])
async def test_asked_without_a_yes_is_sent_again(
    gateway: Gateway, row: Delivery, about: AttemptOutcome
) -> None:
    """The partner has it not, or cannot say: the same package goes again under the same id."""
    partner = ScriptedPartner([UNKNOWN, DELIVERED], about=[about])
    await attempt(gateway, row, partner)
    gateway.clock.tick(60)
    after = await attempt(gateway, row, partner)
    assert after is not None and after.state is TransportState.DELIVERED
    assert partner.calls == [("deliver", row.id), ("ask", row.id), ("deliver", row.id)]


async def test_crashed_worker_is_found_by_its_lease(gateway: Gateway, row: Delivery) -> None:
    """A worker dies in the middle: after its lease the outcome is unknown, and is asked about."""

    class Crash(BaseException):
        pass

    def crash(_: Delivery) -> None:
        raise Crash

    with pytest.raises(Crash):
        await attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=crash))
    assert (await gateway.recover()).interrupted == 0
    assert await attempt(gateway, row, ScriptedPartner([DELIVERED]), "worker-2") is None
    gateway.clock.now += LEASE + timedelta(seconds=1)
    assert (await gateway.recover()).interrupted == 1
    freed = await gateway.now(row.id)
    assert (freed.state, freed.lease_owner, freed.ring_at) == (
        TransportState.UNKNOWN,
        None,
        gateway.clock.now,
    )
    await gateway.relay()
    partner = ScriptedPartner([DELIVERED], about=[DELIVERED])
    after = await attempt(gateway, row, partner, "worker-2")
    assert after is not None and after.state is TransportState.DELIVERED
    assert partner.calls == [("ask", row.id)]
    first, second = await attempts(gateway, row)
    assert (first.outcome, second.outcome) == (None, "delivered")


async def test_doorbell_of_an_unknown_one_that_got_lost(gateway: Gateway, row: Delivery) -> None:
    """An unknown outcome whose doorbell the broker lost is rung again, too."""
    await attempt(gateway, row, ScriptedPartner([UNKNOWN]))
    gateway.clock.tick(60)
    await gateway.relay()
    gateway.broker.take_all()
    gateway.clock.tick(601)
    assert (await gateway.recover()).rung_again == 1
    assert (await gateway.relay()).confirmed == 1


async def test_package_that_kills_its_workers_is_given_up(gateway: Gateway, row: Delivery) -> None:
    """A package that takes every worker down with it ends with an operator, not in a loop."""

    class Crash(BaseException):
        pass

    def crash(_: Delivery) -> None:
        raise Crash

    for _ in range(len(SCHEDULE) + 1):
        with pytest.raises(Crash):
            await attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=crash))
        gateway.clock.now += LEASE + timedelta(seconds=1)
        await gateway.recover()
    dead = await gateway.now(row.id)
    assert (dead.state, dead.lease_until) == (TransportState.DEAD, None)
    assert dead.reason is not None and dead.reason.sentence.vi


async def test_late_success_wins_although_the_lease_was_lost(
    gateway: Gateway, row: Delivery
) -> None:
    """The first worker was only slow: its yes counts, whoever holds the lease by then."""
    second_partner = ScriptedPartner([TRY_LATER], about=[TRY_LATER])

    async def overtaken(_: Delivery) -> None:
        gateway.clock.now += LEASE + timedelta(seconds=1)
        await gateway.recover()
        await attempt(gateway, row, second_partner, "worker-2")

    after = await attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=overtaken))
    assert after is not None and after.state is TransportState.DELIVERED
    assert (after.ring_at, after.lease_owner) == (None, None)
    outcomes = {(one.owner, one.outcome) for one in await attempts(gateway, row)}
    assert outcomes == {("worker-1", "delivered"), ("worker-2", "try-later")}


async def test_late_success_while_the_second_worker_is_at_it(
    gateway: Gateway, row: Delivery
) -> None:
    """The slow worker's yes arrives first, then the second's no: the yes stays."""
    go_on = asyncio.Event()
    first_waits = asyncio.Event()

    async def slow(_: Delivery) -> None:
        first_waits.set()
        await go_on.wait()

    first = asyncio.create_task(attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=slow)))
    await first_waits.wait()
    gateway.clock.now += LEASE + timedelta(seconds=1)
    await gateway.recover()

    async def finish_first(_: Delivery) -> None:
        go_on.set()
        await first

    partner = ScriptedPartner([REFUSED], about=[TRY_LATER], meanwhile=finish_first)
    after = await attempt(gateway, row, partner, "worker-2")
    assert after is not None and after.state is TransportState.DELIVERED
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED


async def test_late_failure_counts_for_nothing(gateway: Gateway, row: Delivery) -> None:
    """A worker that lost its lease has no say but a yes."""

    async def overtaken(_: Delivery) -> None:
        gateway.clock.now += LEASE + timedelta(seconds=1)
        await gateway.recover()

    after = await attempt(gateway, row, ScriptedPartner([REFUSED], meanwhile=overtaken))
    assert after is not None and after.state is TransportState.UNKNOWN
    assert after.ring_at is not None


@pytest.mark.parametrize("happening", [Happening.RETURNED, Happening.EXPIRED])
async def test_success_after_it_was_given_back(
    gateway: Gateway, row: Delivery, happening: Happening
) -> None:
    """It was given up while the attempt was under way, and then arrived: the truth is on record."""

    async def given_up(during: Delivery) -> None:
        await put(gateway.database, step(during, happening))

    after = await attempt(gateway, row, ScriptedPartner([DELIVERED], meanwhile=given_up))
    assert after is not None and after.state is TransportState.DELIVERED
    last = (await gateway.events(row.package_id))[-1]
    assert (last.type, last.from_state) == ("delivery.delivered", happening.value)


async def test_two_doorbells_at_once_are_one_attempt(gateway: Gateway, row: Delivery) -> None:
    """Ten workers hear of the same delivery at the same moment: one calls the partner."""
    partner = ScriptedPartner([DELIVERED])
    answers = await asyncio.gather(
        *(attempt(gateway, row, partner, f"worker-{number}") for number in range(10))
    )
    assert sum(answer is not None for answer in answers) == 1
    assert len(partner.calls) == 1
    assert len(await attempts(gateway, row)) == 1


async def test_nothing_goes_to_a_partner_that_it_is_not_for(
    gateway: Gateway, row: Delivery
) -> None:
    """A doorbell of an old route: the former partner is not shown the package."""
    partner = ScriptedPartner([DELIVERED])
    worker = gateway.worker()
    assert await worker.attempt(row.id, gateway.world.gamma, partner) is None
    assert await worker.attempt("gone", gateway.world.beta, partner) is None
    assert partner.calls == []
    assert await gateway.now(row.id) == row


async def test_later_version_waits_for_the_earlier_one(gateway: Gateway) -> None:
    """The second version is not handed over before the first one's outcome is known."""
    first, second = await versions(gateway.database, 2, gateway.world.beta.id)
    partner = ScriptedPartner([UNKNOWN, DELIVERED], about=[DELIVERED])
    assert await attempt(gateway, second, partner) is None
    waiting = await gateway.now(second.id)
    assert waiting.ring_at == gateway.clock.now + TURN
    assert waiting.attempts == 0
    await attempt(gateway, first, partner)
    assert await attempt(gateway, second, partner) is None
    gateway.clock.tick(60)
    await attempt(gateway, first, partner)
    after = await attempt(gateway, second, partner)
    assert after is not None and after.state is TransportState.DELIVERED
    assert [one for call, one in partner.calls if call == "deliver"] == [first.id, second.id]


async def test_partners_odd_words_do_not_break_the_record(gateway: Gateway, row: Delivery) -> None:
    """A partner that answers with control characters is recorded like any other."""

    class Odd(ScriptedPartner):
        def _next(self, script: list[AttemptOutcome]):  # type: ignore[no-untyped-def]
            from routing.deliver import AttemptResult

            return AttemptResult(TRY_LATER, "503 \x00\ud800")

    after = await attempt(gateway, row, Odd([TRY_LATER]))
    assert after is not None and after.state is TransportState.QUEUED
