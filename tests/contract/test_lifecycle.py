"""Recall, update, replacement and replies on real databases (lifecycle of a document)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from adapters.database import SqlDatabase
from envelopes.model import (
    Business,
    BusinessDocType,
    BusinessDocumentInfo,
    Document,
    Receiver,
    ReplacementInfo,
    ResponseFor,
    StatusCode,
    StatusReport,
)
from routing.pull import Fetched, NotPossible, fetch
from routing.records import REPLACES, REPLIES_TO, Delivery
from routing.replay import Replay
from routing.states import TransportState
from routing.submission import Accepted, RefusalKind
from tests.support.builders import ALPHA, BETA, GAMMA, document, look, report, wire
from tests.support.use_cases import Gateway, all_rows


def revocation(of: Document, *recipients: str) -> Document:
    """A revocation package of a document, to some or all of its recipients."""
    meant = tuple(one for one in of.recipients if not recipients or one.organ_id in recipients)
    return replace(
        of,
        recipients=meant,
        business=Business(BusinessDocType.REVOCATION, reason="Ban hành nhầm"),
    )


def take_back(of: Document, recipient: str) -> StatusReport:
    """Status 13 of the sender to one recipient."""
    made = report(StatusCode.TAKE_BACK, of, sender=of.sender.organ_id, description="Gửi nhầm")
    return replace(made, response_for=replace(made.response_for, organ_id=recipient))


async def told(gateway: Gateway, agency: str, code: StatusCode) -> list[str]:
    """Descriptions of the statuses of this code in an agency's inbox."""
    await gateway.bring()
    key = gateway.world.of(agency).id
    items = await look(gateway.database, lambda tx: tx.inbox(key, None, 1000))
    return [
        item.package.summary["description"] for item in items if item.package.meaning == code.value
    ]


async def copies(gateway: Gateway, accepted: Accepted) -> dict[str, Delivery]:
    """A package's deliveries as they are now, by recipient."""
    rows = [await gateway.now(row.id) for row in accepted.deliveries]
    return {row.recipient_organ_id: row for row in rows}


async def log_agrees(database: SqlDatabase) -> None:
    """Replaying the log gives the states that are stored."""
    rows, events = await all_rows(database)
    replay = Replay()
    for event in events:
        replay.take(event)
    replay.compare(rows)
    assert replay.discrepancies == []


@pytest.mark.parametrize("by", ["revocation", "status-13"])
async def test_recall_before_delivery_is_never_seen(gateway: Gateway, by: str) -> None:
    """Not fetched: withdrawn by the gateway, nothing in the inbox, 15 for the sender."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.accepted(revocation(sent) if by == "revocation" else take_back(sent, BETA))
    assert (await copies(gateway, first))[BETA].state is TransportState.WITHDRAWN
    assert await told(gateway, ALPHA, StatusCode.CHANGE_AGREED) != []
    assert await gateway.inbox(BETA) == []
    await log_agrees(gateway.database)


@pytest.mark.parametrize("by", ["revocation", "status-13"])
@pytest.mark.parametrize("code", [StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED])
async def test_recall_after_delivery_is_the_receivers_to_answer(
    gateway: Gateway, by: str, code: StatusCode
) -> None:
    """Delivered: the request travels like a document; 15 or 16 settles it, the sender hears."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    asked = await gateway.accepted(
        revocation(sent) if by == "revocation" else take_back(sent, BETA)
    )
    await gateway.bring()
    assert [row.id for row in await gateway.inbox(BETA)] == [asked.deliveries[0].id]
    assert (await copies(gateway, first))[BETA].change_state == "recall-pending"
    await gateway.accepted(report(code, sent, description="Đã hủy bản nhận"), by=BETA)
    state = "recalled" if code is StatusCode.CHANGE_AGREED else "recall-refused"
    assert (await copies(gateway, first))[BETA].change_state == state
    assert await told(gateway, ALPHA, code) == ["Đã hủy bản nhận"]
    await log_agrees(gateway.database)


@pytest.mark.parametrize("code", [StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED])
async def test_who_answers_a_recall_has_the_copy(gateway: Gateway, code: StatusCode) -> None:
    """Fetched and not confirmed: the answer proves that it is there, so it leaves the inbox."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    (row,) = first.deliveries
    await gateway.fetch(BETA, row.id)
    asked = await gateway.accepted(revocation(sent))
    await gateway.bring()
    waiting = {item.id for item in await gateway.inbox(BETA)}
    assert waiting == {row.id, asked.deliveries[0].id}
    await gateway.accepted(report(code, sent, description="Đã rõ"), by=BETA)
    assert [item.id for item in await gateway.inbox(BETA)] == [asked.deliveries[0].id]
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED
    await log_agrees(gateway.database)


async def test_recall_before_anything_was_offered(gateway: Gateway) -> None:
    """Right after its acceptance, by status 13: the sender may, though nobody can have it yet."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.accepted(take_back(sent, BETA))
    await gateway.bring()
    assert (await copies(gateway, first))[BETA].state is TransportState.WITHDRAWN
    assert await gateway.inbox(BETA) == []


async def test_recall_of_one_recipient_leaves_the_others(gateway: Gateway) -> None:
    """One of two: the other keeps its document."""
    sent = document(BETA, GAMMA)
    first = await gateway.accepted(sent)
    await gateway.accepted(revocation(sent, BETA))
    await gateway.bring()
    rows = await copies(gateway, first)
    assert rows[BETA].state is TransportState.WITHDRAWN
    assert rows[GAMMA].state is TransportState.OFFERED


@pytest.mark.parametrize(
    ("final", "steps"),
    [
        (StatusCode.FINISHED, [StatusCode.ACCEPTED, StatusCode.FINISHED]),
        (StatusCode.REFUSED, [StatusCode.REFUSED]),
    ],
)
async def test_recall_of_what_is_final_is_answered_at_once(
    gateway: Gateway, final: StatusCode, steps: list[StatusCode]
) -> None:
    """06 and 02: the sender hears 16 with the reason; the receiver is not asked."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    for code in steps:
        await gateway.accepted(report(code, sent), by=BETA)
    await gateway.accepted(take_back(sent, BETA))
    (why,) = await told(gateway, ALPHA, StatusCode.CHANGE_REFUSED)
    assert final.value in why
    assert await gateway.inbox(BETA) == []


async def test_recalling_twice_is_harmless(gateway: Gateway) -> None:
    """The receiver is asked once, whatever package asks again."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    await gateway.accepted(take_back(sent, BETA))
    again = await gateway.accepted(revocation(sent))
    await gateway.bring()
    assert len(await gateway.inbox(BETA)) == 1
    assert again.deliveries[0].reason is not None
    assert again.deliveries[0].reason.code == "asked-before"


async def test_recall_of_somebody_elses_document_is_a_security_event(gateway: Gateway) -> None:
    """Foreign: refused, nothing changes, the log keeps it."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    foreign = replace(
        revocation(sent), sender=replace(sent.sender, organ_id=GAMMA), recipients=sent.recipients
    )
    refused = await gateway.refused(foreign, by=GAMMA)
    assert refused.kind is RefusalKind.NOT_THE_OWNER
    assert (await copies(gateway, first))[BETA].state is TransportState.ACCEPTED
    _, events = await all_rows(gateway.database)
    assert [event.type for event in events if event.type.startswith("security.")] == [
        "security.not-the-owner"
    ]
    told = report(StatusCode.TAKE_BACK, sent, sender=GAMMA, description="Gửi nhầm")
    told = replace(told, response_for=replace(told.response_for, organ_id=BETA))
    assert (await gateway.refused(told, by=GAMMA)).kind is RefusalKind.NOT_THE_OWNER
    _, events = await all_rows(gateway.database)
    assert [one.data["sender"] for one in events if one.type == "security.not-the-owner"] == [
        GAMMA,
        GAMMA,
    ]
    # The attempts did not make the document one of gamma's.
    called = await look(gateway.database, lambda tx: tx.documents_called(sent.document_id))
    assert [one.sender for one in called] == [first.package.sender]
    again = await gateway.refused(replace(take_back(sent, BETA), sender=foreign.sender), by=GAMMA)
    assert again.kind is RefusalKind.NOT_THE_OWNER


async def test_recall_racing_a_fetch_has_one_outcome(gateway: Gateway) -> None:
    """Whoever is first wins, and the sender is told exactly that."""
    for number in range(1, 26):
        sent = document(BETA, number=number)
        first = await gateway.accepted(sent)
        await gateway.bring()
        beta = gateway.world.of(BETA)
        fetched, _ = await asyncio.gather(
            fetch(gateway.database, first.deliveries[0].id, beta, gateway.clock()),
            gateway.accepted(take_back(sent, BETA)),
        )
        copy = (await copies(gateway, first))[BETA]
        if isinstance(fetched, Fetched):
            assert copy.state is TransportState.DELIVERING
            assert copy.change_state == "recall-pending"
        else:
            assert isinstance(fetched, NotPossible)
            assert copy.state is TransportState.WITHDRAWN
            assert copy.change_state == "recalled"
    await log_agrees(gateway.database)


def update(of: Document, *recipients: str, **receivers: str) -> Document:
    """An update with new content, to these recipients, with a receiver list."""
    listed = tuple(Receiver(code, kind) for code, kind in receivers.items())
    return replace(
        document(*recipients, number=int(of.code.number), subject="V/v kiểm tra (bản sửa)"),
        business=Business(
            BusinessDocType.UPDATE,
            reason="Sửa lỗi chính tả",
            document_info=BusinessDocumentInfo(True, True, listed),
        ),
    )


async def test_update_adds_one_receiver_and_removes_another(gateway: Gateway) -> None:
    """Added: the newest version; removed and unseen: withdrawn; removed and seen: asked by 13."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    changed = replace(
        update(sent, GAMMA), business=update(sent, **{GAMMA: "0", BETA: "1"}).business
    )
    second = await gateway.accepted(changed)
    await gateway.bring()
    assert [row.recipient_organ_id for row in second.deliveries] == [GAMMA]
    assert len(await gateway.inbox(GAMMA)) == 1
    assert (await copies(gateway, first))[BETA].change_state == "recall-pending"
    assert await told(gateway, BETA, StatusCode.TAKE_BACK) == ["Sửa lỗi chính tả"]
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent), by=BETA)
    assert (await copies(gateway, first))[BETA].change_state == "recalled"
    await log_agrees(gateway.database)


async def test_update_replaces_an_unseen_version_silently(gateway: Gateway) -> None:
    """Nobody fetched the first version: the receiver sees the second alone."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    second = await gateway.accepted(update(sent, BETA))
    await gateway.bring()
    assert (await copies(gateway, first))[BETA].state is TransportState.WITHDRAWN
    assert [row.id for row in await gateway.inbox(BETA)] == [second.deliveries[0].id]
    assert await told(gateway, ALPHA, StatusCode.CHANGE_AGREED) == []


async def test_update_of_a_seen_version_is_agreed_by_its_receiver(gateway: Gateway) -> None:
    """The rest get the update and answer 15 or 16."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    await gateway.accepted(update(sent, BETA))
    assert (await copies(gateway, first))[BETA].change_state == "update-pending"
    await gateway.accepted(report(StatusCode.CHANGE_REFUSED, sent, description="Đã ký"), by=BETA)
    assert (await copies(gateway, first))[BETA].change_state == "update-refused"


async def test_replacement_of_two_documents(gateway: Gateway) -> None:
    """Both become replaced once the receiver agrees, and the link is read from both ends."""
    old = [document(BETA, number=number) for number in (1, 2)]
    firsts = [await gateway.accepted(one) for one in old]
    await gateway.bring()
    for first in firsts:
        await gateway.fetch_and_confirm(BETA, first.deliveries[0].id)
    infos = tuple(ReplacementInfo(one.document_id, (BETA,)) for one in old)
    new = replace(
        document(BETA, number=3),
        business=Business(BusinessDocType.REPLACEMENT, reason="Thay thế", replacements=infos),
    )
    accepted = await gateway.accepted(new)
    for first in firsts:
        assert (await copies(gateway, first))[BETA].change_state == "replace-pending"
    await gateway.bring()
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, new), by=BETA)
    for first in firsts:
        assert (await copies(gateway, first))[BETA].change_state == "replaced"
        pk = first.package.document_pk
        links = await look(gateway.database, lambda tx, pk=pk: tx.requests.links_of([pk]))
        assert [(one.from_pk, one.kind) for one in links] == [
            (accepted.package.document_pk, REPLACES)
        ]
    await log_agrees(gateway.database)


async def test_reply_is_linked_to_what_it_answers(gateway: Gateway) -> None:
    """ResponseFor ties the two documents, whoever asks."""
    asked = document(BETA)
    first = await gateway.accepted(asked)
    answer = document(
        ALPHA,
        sender=BETA,
        number=9,
        response_for=(ResponseFor(ALPHA, "1/SNV-VP", asked.document_id),),
    )
    second = await gateway.accepted(answer, by=BETA)
    pk = first.package.document_pk
    links = await look(gateway.database, lambda tx: tx.requests.links_of([pk]))
    assert [(one.from_pk, one.to_pk, one.kind) for one in links] == [
        (second.package.document_pk, pk, REPLIES_TO)
    ]


async def test_an_answer_that_nobody_asked_for_is_noted_and_passed_on(gateway: Gateway) -> None:
    """15 without a request: a warning, no state changes, the sender gets it."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    answer = await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent), by=BETA)
    assert "RECALL-NOT-ASKED" in [finding.rule for finding in answer.findings]
    assert (await copies(gateway, first))[BETA].change_state is None
    assert len(await told(gateway, ALPHA, StatusCode.CHANGE_AGREED)) == 1


async def test_taking_anothers_document_id_gives_no_right_over_it(gateway: Gateway) -> None:
    """A document of one's own under the victim's DocumentId opens no way to update the victim's."""
    sent = document(BETA)
    await gateway.accepted(sent)
    gateway.clock.tick()
    squatter = replace(sent, sender=replace(sent.sender, organ_id=GAMMA))
    await gateway.accepted(squatter, by=GAMMA)
    forged = replace(update(sent, BETA), sender=squatter.sender)
    refused = await gateway.refused(forged, by=GAMMA)
    assert refused.kind is RefusalKind.NOT_THE_OWNER
    assert ALPHA not in refused.findings[0].allowed


async def test_who_cannot_have_a_document_reports_nothing_on_it(gateway: Gateway) -> None:
    """Withdrawn before it was fetched: its recipient is no recipient any more."""
    sent = document(BETA)
    first = await gateway.accepted(sent)
    await gateway.bring()
    await gateway.accepted(take_back(sent, BETA))
    answer = await gateway.accepted(report(StatusCode.ACCEPTED, sent), by=BETA)
    assert [one.rule for one in answer.findings] == ["STATUS-FOREIGN-DOCUMENT"]
    assert (await copies(gateway, first))[BETA].business_state is None


async def test_what_is_refused_takes_no_place_on_the_disk(gateway: Gateway) -> None:
    """Other content under a known DocumentId: refused, and nothing of it is kept."""
    sent = document(BETA)
    await gateway.accepted(sent)
    other = wire(replace(sent, subject="Nội dung khác"))
    refused = await gateway.refused(other)
    assert refused.kind is RefusalKind.OTHER_CONTENT
    assert await gateway.payloads.size(hashlib.sha256(other).hexdigest()) is None
