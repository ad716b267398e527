"""Deadlines kept by the use cases, on both databases (part D of the rules; lifecycle)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from adapters.calendars import Calendars
from adapters.database import SqlDatabase
from envelopes.model import VIETNAM_TIME, ResponseFor, StatusCode
from routing.deadline_watch import watch_all
from routing.deadlines import Deadline
from routing.deliver import AttemptOutcome, Deliver
from tests.support.builders import ALPHA, BETA, document, look, report
from tests.support.use_cases import Gateway, ScriptedPartner, all_rows, open_gateway

#: Friday 2026-03-06, 17:30 in Vietnam.
FRIDAY_EVENING = datetime(2026, 3, 6, 10, 30, tzinfo=UTC)
#: Monday 2026-03-09, 07:30 in Vietnam.
MONDAY_MORNING = datetime(2026, 3, 9, 0, 30, tzinfo=UTC)


async def limits_of(gateway: Gateway, document_pk: str | None) -> dict[str, Deadline]:
    """A document's deadlines by kind."""
    found = await look(gateway.database, lambda tx: tx.deadlines.of_document(document_pk))
    return {one.kind.value: one for one in found}


@pytest.fixture
async def delivered(gateway: Gateway) -> str:
    """A document that asks for a reply, received by beta on a Friday at 17:30; its delivery."""
    gateway.clock.now = FRIDAY_EVENING
    sent = await gateway.accepted(document(BETA, due_date=date(2026, 3, 12)))
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, sent.deliveries[0].id)
    return sent.deliveries[0].id


async def test_received_on_friday_evening_counts_from_monday(
    gateway: Gateway, delivered: str
) -> None:
    """Real and legal time are both kept; two working hours end on Monday at 09:30."""
    row = await gateway.now(delivered)
    assert row.delivered_at == FRIDAY_EVENING
    assert row.legal_received_at == MONDAY_MORNING
    limits = await limits_of(gateway, row.document_pk)
    assert limits["handling"].due_at == MONDAY_MORNING + timedelta(hours=2)
    assert set(limits) == {"receipt", "handling", "assign", "reply"}


async def test_handed_over_on_friday_evening_counts_from_monday(gateway: Gateway) -> None:
    """An attempt that succeeds delivers by the same clock as a confirm does."""
    gateway.clock.now = FRIDAY_EVENING
    (row,) = (await gateway.accepted(document(BETA))).deliveries
    worker = Deliver(
        gateway.database,
        owner="worker-1",
        clock=gateway.clock,
        spread=lambda: 0.0,
        on_time=gateway.on_time,
    )
    partner = ScriptedPartner([AttemptOutcome.DELIVERED])
    attempted = await worker.attempt(row.id, gateway.world.beta, partner)
    assert attempted is not None
    after = await gateway.now(row.id)
    assert after == attempted.delivery
    assert (after.delivered_at, after.legal_received_at) == (FRIDAY_EVENING, MONDAY_MORNING)


async def test_received_on_friday_evening_before_a_holiday(
    database: SqlDatabase, tmp_path: Path
) -> None:
    """The real calendar: Friday 17:30, and Monday off for the Hùng kings, count as Tuesday 07:30.

    Giỗ Tổ of 2026 (10/3 by the moon) is Sunday 26 April, so Monday 27 April is off in lieu.
    """
    gateway = await open_gateway(database, tmp_path, calendar=Calendars().of())
    friday = datetime(2026, 4, 24, 17, 30, tzinfo=VIETNAM_TIME)
    tuesday = datetime(2026, 4, 28, 7, 30, tzinfo=VIETNAM_TIME)
    gateway.clock.now = friday
    sent = await gateway.accepted(document(BETA, due_date=date(2026, 4, 29)))
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, sent.deliveries[0].id)
    row = await gateway.now(sent.deliveries[0].id)
    assert (row.delivered_at, row.legal_received_at) == (friday, tuesday)
    assert sent.package.legal_sent_at == tuesday
    limits = await limits_of(gateway, row.document_pk)
    assert limits["handling"].due_at == tuesday + timedelta(hours=2)
    assert limits["receipt"].due_at == tuesday.replace(hour=17, minute=0)
    assert limits["reply"].due_at == tuesday.replace(day=29, hour=17, minute=0)


async def test_reports_meet_the_limits_one_by_one(gateway: Gateway, delivered: str) -> None:
    """01 meets the receipt, 03 the handling, 04 the assignment; late is called late."""
    sent = document(BETA, due_date=date(2026, 3, 12))
    pk = (await gateway.now(delivered)).document_pk
    gateway.clock.now = MONDAY_MORNING
    await gateway.accepted(report(StatusCode.ARRIVED, sent), by=BETA)
    gateway.clock.now = MONDAY_MORNING + timedelta(hours=3)
    await gateway.accepted(report(StatusCode.ACCEPTED, sent), by=BETA)
    states = {kind: one.state.value for kind, one in (await limits_of(gateway, pk)).items()}
    assert states == {"receipt": "met", "handling": "late", "assign": "open", "reply": "open"}


async def test_a_reply_meets_the_due_date(gateway: Gateway, delivered: str) -> None:
    """The document that answers closes DUE-REPLY."""
    asked = document(BETA, due_date=date(2026, 3, 12))
    answer = document(
        ALPHA,
        sender=BETA,
        number=9,
        response_for=(ResponseFor(ALPHA, "1/SNV-VP", asked.document_id),),
    )
    await gateway.accepted(answer, by=BETA)
    pk = (await gateway.now(delivered)).document_pk
    assert (await limits_of(gateway, pk))["reply"].state.value == "met"


async def test_the_watch_tells_of_nearing_and_overdue_once(
    gateway: Gateway, delivered: str
) -> None:
    """Each notice is an event, given once however often the timer looks."""
    for hours in (1.6, 1.7, 2.5, 2.6):
        await watch_all(gateway.database, MONDAY_MORNING + timedelta(hours=hours))
    _, events = await all_rows(gateway.database)
    told = [
        event.type
        for event in events
        if event.type.startswith("deadline.") and event.data["kind"] == "handling"
    ]
    assert told == ["deadline.opened", "deadline.nearing", "deadline.overdue"]


async def test_a_recall_has_its_own_limit(gateway: Gateway, delivered: str) -> None:
    """It runs from the moment the request arrived and ends with the answer."""
    sent = document(BETA, due_date=date(2026, 3, 12))
    gateway.clock.now = MONDAY_MORNING
    back = report(StatusCode.TAKE_BACK, sent, sender=ALPHA, description="Gửi nhầm")
    back = replace(back, response_for=replace(back.response_for, organ_id=BETA))
    asked = await gateway.accepted(back)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, asked.deliveries[0].id)
    pk = (await gateway.now(delivered)).document_pk
    assert (await limits_of(gateway, pk))["recall"].state.value == "open"
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent, description="Đã hủy"), by=BETA)
    states = {kind: one.state.value for kind, one in (await limits_of(gateway, pk)).items()}
    assert states["recall"] == "met"
    assert states["reply"] == "cancelled"
