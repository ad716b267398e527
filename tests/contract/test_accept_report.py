"""Accepting status packages, on both databases: the business side of a delivery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from envelopes.model import BusinessDocType, Document, StatusCode
from identifiers.organ_id import OrganId
from routing.records import STATUS, Delivery, Event
from routing.route_table import RouteTable
from routing.states import Happening, TransportState
from routing.submission import Accepted, RefusalKind
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    agency,
    document,
    later,
    put,
    report,
    step,
    wire,
)
from tests.support.use_cases import Gateway, all_rows

SENT = document(BETA)


@pytest.fixture
async def delivered(gateway: Gateway) -> Delivery:
    """A document that beta has, and said so."""
    (row,) = (await gateway.accepted(SENT)).deliveries
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, row.id)
    return await gateway.now(row.id)


async def business(gateway: Gateway, row: Delivery) -> StatusCode | None:
    """The business state now."""
    return (await gateway.now(row.id)).business_state


async def reports_in_log(gateway: Gateway) -> list[str]:
    """What the reports did, in order."""
    _, events = await all_rows(gateway.database)
    return [event.type for event in events if event.type.startswith("report.")]


async def test_report_moves_the_state_and_travels_to_the_sender(
    gateway: Gateway, delivered: Delivery
) -> None:
    """01, 03, 06: each moves the business state, is logged, and comes into alpha's inbox."""
    for code in (StatusCode.ARRIVED, StatusCode.ACCEPTED, StatusCode.FINISHED):
        answer = await gateway.accepted(report(code, SENT), by=BETA)
        assert answer.package.kind == STATUS
        assert answer.package.document_pk == delivered.document_pk
        assert answer.deliveries[0].recipient_organ_id == ALPHA
        assert await business(gateway, delivered) is code
    assert await reports_in_log(gateway) == ["report.applied"] * 3
    await gateway.bring()
    assert len(await gateway.inbox(ALPHA)) == 3
    assert (await gateway.now(delivered.id)).state is TransportState.DELIVERED


async def test_log_keeps_both_times_and_the_words(gateway: Gateway, delivered: Delivery) -> None:
    """The report's own time and the time it reached the gateway are both kept."""
    gateway.clock.tick(600)
    made = report(StatusCode.REFUSED, SENT, description="Sai thẩm quyền")
    answer = await gateway.accepted(made, by=BETA)
    (event,) = [e for e in await gateway.events(delivered.package_id) if e.type == "report.applied"]
    assert event.at == gateway.clock.now
    assert made.timestamp is not None
    assert event.data["reportedAt"] == made.timestamp.isoformat()
    assert event.data["description"] == "Sai thẩm quyền"
    assert event.data["statusPackage"] == answer.package.id
    assert (event.from_state, event.to_state) == (None, "02")


async def test_same_report_twice_changes_nothing(gateway: Gateway, delivered: Delivery) -> None:
    """The same bytes repeat the answer; the same code in other bytes is noted and passed on."""
    content = wire(report(StatusCode.ACCEPTED, SENT))
    first = await gateway.accepted(content, by=BETA)
    again = await gateway.accepted(content, by=BETA)
    assert again == replace(first, repeated=True)
    other = report(StatusCode.ACCEPTED, SENT, at=later(60))
    await gateway.accepted(other, by=BETA)
    assert await reports_in_log(gateway) == ["report.applied", "report.repeated"]
    assert await business(gateway, delivered) is StatusCode.ACCEPTED


async def test_late_report_is_recorded_and_does_not_move_back(
    gateway: Gateway, delivered: Delivery
) -> None:
    """An older step after a newer one is noted and passed on; the state stays."""
    await gateway.accepted(report(StatusCode.PROCESSING, SENT), by=BETA)
    await gateway.accepted(report(StatusCode.ARRIVED, SENT), by=BETA)
    assert await business(gateway, delivered) is StatusCode.PROCESSING
    assert await reports_in_log(gateway) == ["report.applied", "report.late"]


async def test_what_is_possible_instead_is_named(gateway: Gateway, delivered: Delivery) -> None:
    """02 after 05: programs read which statuses would still be taken."""
    await gateway.accepted(report(StatusCode.PROCESSING, SENT), by=BETA)
    refused = await gateway.refused(report(StatusCode.REFUSED, SENT, description="Sai"), by=BETA)
    assert (refused.findings[0].found, refused.findings[0].allowed) == ("02", "06")


async def test_02_is_final(gateway: Gateway, delivered: Delivery) -> None:
    """After 02 a 03 is impossible: recorded, answered with the reason, not passed on."""
    await gateway.accepted(report(StatusCode.REFUSED, SENT, description="Sai"), by=BETA)
    refused = await gateway.refused(report(StatusCode.ACCEPTED, SENT), by=BETA)
    assert refused.kind is RefusalKind.IMPOSSIBLE_REPORT
    assert refused.details == {"state": StatusCode.REFUSED}
    assert refused.findings[0].rule == "STATUS-ORDER"
    assert refused.findings[0].allowed == "không trạng thái nào khác / no other status"
    assert await business(gateway, delivered) is StatusCode.REFUSED
    assert await reports_in_log(gateway) == ["report.applied", "report.impossible"]
    await gateway.bring()
    assert len(await gateway.inbox(ALPHA)) == 1


async def test_02_after_work_began_is_impossible(gateway: Gateway, delivered: Delivery) -> None:
    """02 is possible from nothing, 01 or 03 only."""
    await gateway.accepted(report(StatusCode.PROCESSING, SENT), by=BETA)
    refused = await gateway.refused(report(StatusCode.REFUSED, SENT, description="muộn"), by=BETA)
    assert refused.kind is RefusalKind.IMPOSSIBLE_REPORT
    assert await business(gateway, delivered) is StatusCode.PROCESSING


async def test_only_a_recipient_may_report(gateway: Gateway, delivered: Delivery) -> None:
    """An agency that never got the document changes nothing by speaking about it, nor can its
    sender; it is told what it would be told of a document that does not exist."""
    unknown = replace(SENT, document_id="X,2026/01/01,1/CV")
    answers = [
        await gateway.accepted(report(StatusCode.FINISHED, about, sender=GAMMA), by=GAMMA)
        for about in (SENT, unknown)
    ]
    for answer in answers:
        assert answer.package.document_pk is None
        assert [one.rule for one in answer.findings] == ["STATUS-FOREIGN-DOCUMENT"]
        (row,) = answer.deliveries
        assert (str(row.state), str(row.lane), row.document_pk) == ("accepted", "ordinary", None)
    await gateway.accepted(report(StatusCode.FINISHED, SENT, sender=ALPHA), by=ALPHA)
    in_betas_name = report(StatusCode.FINISHED, SENT, sender=BETA)
    assert (await gateway.refused(in_betas_name, by=GAMMA)).kind is RefusalKind.NOT_THE_SENDER
    assert await business(gateway, delivered) is None
    assert await reports_in_log(gateway) == []


async def test_a_report_of_a_stranger_is_a_security_event(
    gateway: Gateway, delivered: Delivery
) -> None:
    """It stands in the document's history, with who did it; one on an unknown document does not."""

    async def written() -> list[Event]:
        _, events = await all_rows(gateway.database)
        return [event for event in events if event.type == "security.not-a-recipient"]

    unknown = replace(SENT, document_id="X,2026/01/01,1/CV")
    await gateway.accepted(report(StatusCode.FINISHED, unknown, sender=GAMMA), by=GAMMA)
    assert await written() == []
    await gateway.accepted(report(StatusCode.FINISHED, SENT, sender=GAMMA), by=GAMMA)
    (event,) = await written()
    assert event.document_pk == delivered.document_pk
    assert event.actor.startswith("connection:")
    assert event.data["finding"]["rule"] == "STATUS-UNKNOWN-DOCUMENT"


async def test_report_about_an_unknown_document_passes_with_a_warning(gateway: Gateway) -> None:
    """A document that travelled another way is unknown here: its report is passed on, noted."""
    answer = await gateway.accepted(report(StatusCode.ACCEPTED, SENT), by=BETA)
    assert [finding.rule for finding in answer.findings] == ["STATUS-FOREIGN-DOCUMENT"]
    assert answer.package.document_pk is None
    await gateway.bring()
    assert [row.id for row in await gateway.inbox(ALPHA)] == [answer.deliveries[0].id]


async def test_report_for_nobody_ends_without_another_report(gateway: Gateway) -> None:
    """A report whose receiver is unknown is returned on record; no report about a report."""
    lost = report(StatusCode.ACCEPTED, replace(SENT, sender=replace(SENT.sender, organ_id="G77")))
    answer = await gateway.accepted(lost, by=BETA)
    (row,) = answer.deliveries
    assert row.state is TransportState.RETURNED and row.reason is not None
    rows, _ = await all_rows(gateway.database)
    assert rows == [row]


async def test_take_back_is_the_senders_word(gateway: Gateway, delivered: Delivery) -> None:
    """13 comes from the sender, about a document of its own, and moves no business state."""
    about = replace(SENT, sender=replace(SENT.sender, organ_id=BETA))
    back = report(StatusCode.TAKE_BACK, about, sender=ALPHA, description="Lấy lại")
    answer = await gateway.accepted(back, by=ALPHA)
    assert answer.deliveries[0].recipient_organ_id == BETA
    assert answer.package.document_pk == delivered.document_pk
    assert await business(gateway, delivered) is None


async def test_concurrent_reports_are_each_applied(gateway: Gateway, delivered: Delivery) -> None:
    """All steps at once, in any order: the state ends at the highest, each is in the log."""
    codes = [
        StatusCode.FINISHED,
        StatusCode.ARRIVED,
        StatusCode.PROCESSING,
        StatusCode.ACCEPTED,
        StatusCode.ASSIGNED,
    ]
    answers = await asyncio.gather(
        *(gateway.submit(report(code, SENT), by=BETA) for code in codes for _ in range(3))
    )
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert await business(gateway, delivered) is StatusCode.FINISHED
    assert len(await reports_in_log(gateway)) == 5


async def test_updates_and_reports_at_once(gateway: Gateway, delivered: Delivery) -> None:
    """A report says nothing about a version that is still on its way to the reporter."""
    update = document(BETA, subject="Bản hai", meaning=BusinessDocType.UPDATE)
    (second,) = (await gateway.accepted(update)).deliveries
    under_way = step(second, Happening.ATTEMPTED, ring_at=None, lease_owner="w", attempts=1)
    await put(gateway.database, under_way)
    await gateway.accepted(report(StatusCode.ACCEPTED, SENT), by=BETA)
    assert (await gateway.now(second.id)).state is TransportState.DELIVERING
    assert await business(gateway, delivered) is StatusCode.ACCEPTED
    assert await business(gateway, second) is None


@pytest.mark.parametrize(
    "happenings",
    [
        (Happening.ATTEMPTED,),
        (Happening.ATTEMPTED, Happening.OUTCOME_UNKNOWN),
        (Happening.ATTEMPTED, Happening.OUTCOME_UNKNOWN, Happening.EXHAUSTED),
    ],
)
async def test_report_proves_the_delivery(
    gateway: Gateway, happenings: tuple[Happening, ...]
) -> None:
    """Whoever reports on a document has it: a late truth wins over an unknown outcome."""
    (row,) = (await gateway.accepted(SENT)).deliveries
    for happening in happenings:
        made = step(row, happening, ring_at=later(900), lease_owner="w", lease_until=later(9))
        await put(gateway.database, made)
        row = made.after
    gateway.clock.tick(60)
    await gateway.accepted(report(StatusCode.ARRIVED, SENT), by=BETA)
    now = await gateway.now(row.id)
    assert (now.state, now.business_state) == (TransportState.DELIVERED, StatusCode.ARRIVED)
    assert (now.ring_at, now.lease_owner, now.lease_until) == (None, None, None)
    assert now.delivered_at == gateway.clock.now


async def test_report_is_no_proof_where_it_may_mean_another_version(gateway: Gateway) -> None:
    """The first version is dead, the second under way: nobody knows which one the report means."""
    (first,) = (await gateway.accepted(SENT)).deliveries
    begun = step(first, Happening.ATTEMPTED, ring_at=None, lease_owner="w")
    await put(gateway.database, begun)
    update = document(BETA, subject="Bản hai", meaning=BusinessDocType.UPDATE)
    (second,) = (await gateway.accepted(update)).deliveries
    await put(gateway.database, step(begun.after, Happening.EXHAUSTED))
    await put(gateway.database, step(second, Happening.ATTEMPTED, ring_at=None, lease_owner="w"))
    await gateway.accepted(report(StatusCode.ACCEPTED, SENT), by=BETA)
    assert (await gateway.now(first.id)).state is TransportState.DEAD
    assert (await gateway.now(second.id)).state is TransportState.DELIVERING
    assert await business(gateway, second) is StatusCode.ACCEPTED


async def test_report_to_a_sender_that_was_merged_since(
    gateway: Gateway, delivered: Delivery
) -> None:
    """The document stays filed under its old sender; the report finds both it and the successor."""
    found = gateway.routes
    merged = replace(
        found.directory.find(OrganId.of(ALPHA)) or agency(ALPHA),
        valid_until=date(2025, 6, 30),
        successors=(OrganId.of(GAMMA),),
    )
    others = [one for one in found.directory.agencies if one.organ_id != merged.organ_id]
    from adapters.database import RegistryStore

    store = RegistryStore(gateway.database)
    await store.put_agencies([merged, *others], actor="a", source="s", now=gateway.clock.now)
    gateway.routes = RouteTable(await store.load())
    answer = await gateway.accepted(report(StatusCode.ACCEPTED, SENT), by=BETA)
    assert answer.findings == ()
    assert await business(gateway, delivered) is StatusCode.ACCEPTED
    await gateway.bring()
    assert [row.id for row in await gateway.inbox(GAMMA)] == [answer.deliveries[0].id]


def test_the_sample_is_one_that_reports_can_name() -> None:
    """A guard for this file: the document has one recipient, beta."""
    assert isinstance(SENT, Document)
    assert [party.organ_id for party in SENT.recipients] == [BETA]
