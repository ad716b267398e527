"""Nobody knows whether it arrived: what the sender of a recall is told then, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.database import SqlDatabase
from envelopes.model import BusinessDocType, StatusCode
from routing.deliver import LEASE, AttemptOutcome
from routing.gateway_reports import GatewayIdentity, GatewayReports
from routing.lanes import FairClock
from routing.receipts import Receipt, ReceiptEffect, Receipts
from routing.records import (
    EXHAUSTED,
    EXHAUSTED_UNSURE,
    RETURNED_BY_OPERATOR,
    RETURNED_UNSURE,
    Delivery,
)
from routing.retry_policy import SCHEDULE
from routing.states import TransportState
from tests.contract.test_lifecycle import take_back, told
from tests.support.builders import ALPHA, BETA, document, new_id, report
from tests.support.use_cases import Gateway, ScriptedPartner, open_gateway

TRY_LATER, UNKNOWN = AttemptOutcome.TRY_LATER, AttemptOutcome.UNKNOWN
SENT = document(BETA)


@pytest.fixture
async def gateway(database: SqlDatabase, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The little world; attempts are made through scripted partners."""
    yield await open_gateway(database, tmp_path / "payloads", kind="push")


@pytest.fixture
async def row(gateway: Gateway) -> Delivery:
    """A delivery to beta whose doorbell has just rung."""
    (accepted,) = (await gateway.accepted(SENT)).deliveries
    await gateway.relay()
    return await gateway.now(accepted.id)


async def attempt(gateway: Gateway, row: Delivery, partner: ScriptedPartner) -> Delivery:
    """One attempt, when it is time for it."""
    gateway.clock.tick(3600)
    made = await gateway.worker().attempt(row.id, gateway.world.beta, partner)
    assert made is not None
    return made.delivery


async def given_up(gateway: Gateway, row: Delivery, partner: ScriptedPartner) -> Delivery:
    """Attempts until an operator has to decide."""
    for _ in range(len(SCHEDULE) + 1):
        last = await attempt(gateway, row, partner)
    assert last.state is TransportState.DEAD
    return last


async def is_asked(gateway: Gateway, row: Delivery) -> None:
    """A recall withdraws nothing and promises nothing: the receiver is asked."""
    before = (await gateway.now(row.id)).state
    await gateway.accepted(take_back(SENT, BETA))
    after = await gateway.now(row.id)
    assert (after.state, after.change_state) == (before, "recall-pending")
    assert await told(gateway, ALPHA, StatusCode.CHANGE_AGREED) == []


async def says_so(gateway: Gateway, row: Delivery) -> ReceiptEffect:
    """A late receipt of beta's."""
    reports = GatewayReports(gateway.payloads, GatewayIdentity(), new_id, FairClock())
    package = await gateway.database.read(lambda tx: tx.get_package(row.package_id))
    assert package is not None
    return await Receipts(gateway.database, reports, gateway.on_time).record(
        Receipt(row.id, package.digest), gateway.world.beta, gateway.routes, gateway.clock()
    )


async def test_a_no_of_today_says_nothing_of_yesterday(gateway: Gateway, row: Delivery) -> None:
    """Unknown, asked in vain, then "not now": it still is not known."""
    await attempt(gateway, row, ScriptedPartner([UNKNOWN]))
    after = await attempt(gateway, row, ScriptedPartner([TRY_LATER], about=[UNKNOWN]))
    assert after.state is TransportState.UNKNOWN
    await is_asked(gateway, row)


async def test_who_surely_has_it_not_has_it_not(gateway: Gateway, row: Delivery) -> None:
    """Asked, the partner says that it has it not: the gateway can take it back by itself."""
    await attempt(gateway, row, ScriptedPartner([UNKNOWN]))
    after = await attempt(gateway, row, ScriptedPartner([TRY_LATER], about=[TRY_LATER]))
    assert after.state is TransportState.QUEUED
    await gateway.accepted(take_back(SENT, BETA))
    assert (await gateway.now(row.id)).state is TransportState.WITHDRAWN


@pytest.mark.parametrize("answers", [[UNKNOWN], [UNKNOWN, TRY_LATER]])
async def test_given_up_without_an_answer(
    gateway: Gateway, row: Delivery, answers: list[AttemptOutcome]
) -> None:
    """The attempts are used up and one may have arrived: asked, and a late receipt counts."""
    dead = await given_up(gateway, row, ScriptedPartner([*answers], about=[UNKNOWN]))
    assert dead.reason is not None and dead.reason.code == EXHAUSTED_UNSURE
    await is_asked(gateway, row)
    assert await says_so(gateway, row) is ReceiptEffect.RECORDED


async def test_given_up_by_those_who_have_it_not(gateway: Gateway, row: Delivery) -> None:
    """Every attempt was answered with "not now": nobody has it, and 15 is true."""
    dead = await given_up(gateway, row, ScriptedPartner([TRY_LATER]))
    assert dead.reason is not None and dead.reason.code == EXHAUSTED
    await gateway.accepted(take_back(SENT, BETA))
    assert (await gateway.now(row.id)).state is TransportState.WITHDRAWN
    assert await told(gateway, ALPHA, StatusCode.CHANGE_AGREED) != []


async def test_given_up_after_the_last_worker_died(gateway: Gateway, row: Delivery) -> None:
    """The last attempt allowed was cut short: nobody knows how far it came."""

    class Crash(BaseException):
        pass

    def crash(_: Delivery) -> None:
        raise Crash

    for _ in range(len(SCHEDULE)):
        await attempt(gateway, row, ScriptedPartner([TRY_LATER], about=[TRY_LATER]))
    with pytest.raises(Crash):
        await attempt(gateway, row, ScriptedPartner([TRY_LATER], meanwhile=crash))
    gateway.clock.now += LEASE + timedelta(seconds=1)
    await gateway.recover()
    dead = await gateway.now(row.id)
    assert dead.reason is not None
    assert (dead.state, dead.reason.code) == (TransportState.DEAD, EXHAUSTED_UNSURE)
    await is_asked(gateway, row)


async def replayed(gateway: Gateway, row: Delivery) -> Delivery:
    """Given up without an answer, and started again by an operator."""
    await given_up(gateway, row, ScriptedPartner([UNKNOWN]))
    again = await gateway.dead_letters.replay(row.id, "an", gateway.routes, gateway.clock())
    assert isinstance(again, Delivery)
    assert (again.state, again.attempts) == (TransportState.ACCEPTED, 0)
    return again


async def test_a_replay_forgets_nothing(gateway: Gateway, row: Delivery) -> None:
    """Before the next attempt a recall asks, and a late receipt counts."""
    await replayed(gateway, row)
    await is_asked(gateway, row)
    assert await says_so(gateway, row) is ReceiptEffect.RECORDED
    assert (await gateway.now(row.id)).reason is None


async def test_a_report_after_a_replay_is_proof(gateway: Gateway, row: Delivery) -> None:
    """The agency reports on what a silent attempt had brought it."""
    await replayed(gateway, row)
    await gateway.accepted(report(StatusCode.ACCEPTED, SENT), by=BETA)
    after = await gateway.now(row.id)
    assert (after.state, after.business_state) == (TransportState.DELIVERED, StatusCode.ACCEPTED)


async def test_after_a_replay_the_partner_is_asked_first(gateway: Gateway, row: Delivery) -> None:
    """Its "I have it not" ends the doubt."""
    await replayed(gateway, row)
    partner = ScriptedPartner([TRY_LATER], about=[TRY_LATER])
    after = await attempt(gateway, row, partner)
    assert [call for call, _ in partner.calls] == ["ask", "deliver"]
    assert (after.state, after.reason) == (TransportState.QUEUED, None)
    await gateway.accepted(take_back(SENT, BETA))
    assert (await gateway.now(row.id)).state is TransportState.WITHDRAWN


async def given_back(gateway: Gateway, row: Delivery) -> Delivery:
    """Returned to its sender by an operator."""
    back = await gateway.dead_letters.give_back(
        row.id, "lan", "sai nơi nhận", gateway.routes, gateway.clock()
    )
    assert isinstance(back, Delivery) and back.state is TransportState.RETURNED
    return back


@pytest.mark.parametrize("dead", [False, True])
async def test_a_return_forgets_nothing(gateway: Gateway, row: Delivery, dead: bool) -> None:
    """Tried in vain, returned by an operator, taken back by its sender: the receiver is asked."""
    partner = ScriptedPartner([UNKNOWN])
    await (given_up if dead else attempt)(gateway, row, partner)
    back = await given_back(gateway, row)
    assert back.reason is not None and back.reason.code == RETURNED_UNSURE
    await is_asked(gateway, row)
    assert await says_so(gateway, row) is ReceiptEffect.RECORDED


async def test_what_is_returned_in_the_middle_of_an_attempt(
    gateway: Gateway, row: Delivery
) -> None:
    """The operator is faster than the partner, whose answer never comes."""

    async def returns(_: Delivery) -> None:
        await given_back(gateway, row)

    await attempt(gateway, row, ScriptedPartner([UNKNOWN], meanwhile=returns))
    after = await gateway.now(row.id)
    assert after.state is TransportState.RETURNED
    assert after.reason is not None and after.reason.code == RETURNED_UNSURE


async def test_a_revocation_travels_to_who_may_have_it(gateway: Gateway, row: Delivery) -> None:
    """It is not said of a returned document that it never arrived."""
    await attempt(gateway, row, ScriptedPartner([UNKNOWN]))
    await given_back(gateway, row)
    gateway.clock.tick(60)
    revoked = await gateway.accepted(document(BETA, meaning=BusinessDocType.REVOCATION))
    (carrier,) = revoked.deliveries
    assert carrier.state is TransportState.ACCEPTED
    assert await told(gateway, ALPHA, StatusCode.CHANGE_AGREED) == []


async def test_handed_in_again_after_a_return_the_partner_is_asked_first(
    gateway: Gateway, row: Delivery
) -> None:
    """Nothing is doubled at a partner that has it; its answer ends the doubt."""
    await attempt(gateway, row, ScriptedPartner([UNKNOWN]))
    await given_back(gateway, row)
    (again,) = (await gateway.accepted(SENT)).deliveries
    assert (again.id, again.state, again.attempts) == (row.id, TransportState.ACCEPTED, 0)
    await given_back(gateway, again)
    await gateway.accepted(SENT)
    partner = ScriptedPartner([UNKNOWN], about=[AttemptOutcome.DELIVERED])
    after = await attempt(gateway, row, partner)
    assert [call for call, _ in partner.calls] == ["ask"]
    assert (after.state, after.reason) == (TransportState.DELIVERED, None)


async def test_who_surely_had_it_not_when_it_was_returned(gateway: Gateway, row: Delivery) -> None:
    """Every attempt was answered with "not now": nobody is asked anything."""
    await attempt(gateway, row, ScriptedPartner([TRY_LATER]))
    back = await given_back(gateway, row)
    assert back.reason is not None and back.reason.code == RETURNED_BY_OPERATOR
    (again,) = (await gateway.accepted(SENT)).deliveries
    assert again.reason is None
    partner = ScriptedPartner([AttemptOutcome.DELIVERED])
    await attempt(gateway, row, partner)
    assert [call for call, _ in partner.calls] == ["deliver"]
