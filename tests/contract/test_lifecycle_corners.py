"""Recalls, updates and replacements where operators and second tries come in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from envelopes.model import (
    Business,
    BusinessDocType,
    BusinessDocumentInfo,
    Document,
    Receiver,
    ReplacementInfo,
    StatusCode,
    StatusReport,
)
from routing.deadlines import DeadlineKind
from routing.pull import Fetched, fetch
from routing.records import DOCUMENT, Delivery, PackageRecord
from routing.states import TransportState
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    agency,
    document,
    look,
    report,
    route_table,
)
from tests.support.life_changes import scene
from tests.support.use_cases import Gateway


def take_back(of: Document, recipient: str, reason: str = "Gửi nhầm") -> StatusReport:
    """Status 13 of the sender to one recipient."""
    made = report(StatusCode.TAKE_BACK, of, sender=of.sender.organ_id, description=reason)
    return replace(made, response_for=replace(made.response_for, organ_id=recipient))


def revocation(of: Document, *recipients: str) -> Document:
    """A revocation package to these recipients."""
    return replace(
        of,
        recipients=document(*recipients).recipients,
        business=Business(BusinessDocType.REVOCATION, reason="Ban hành nhầm"),
    )


def update(of: Document, *recipients: str, removed: str = "", reason: str = "Sửa lỗi") -> Document:
    """An update with new content; perhaps it takes a receiver off the list."""
    listed = (Receiver(removed, "1"),) if removed else ()
    return replace(
        document(*recipients, number=int(of.code.number), subject=f"Bản sửa: {reason}"),
        business=Business(
            BusinessDocType.UPDATE,
            reason=reason,
            document_info=BusinessDocumentInfo(True, bool(listed), listed),
        ),
    )


def replacement(old: list[Document], *recipients: str) -> Document:
    """A new document in the place of others."""
    infos = tuple(ReplacementInfo(one.document_id, ()) for one in old)
    return replace(
        document(*recipients, number=90),
        business=Business(BusinessDocType.REPLACEMENT, reason="Thay thế", replacements=infos),
    )


async def handed_over(gateway: Gateway, sent: Document, *recipients: str) -> list[Delivery]:
    """Send a document; these recipients take their copies."""
    accepted = await gateway.accepted(sent)
    await gateway.bring()
    for row in accepted.deliveries:
        if row.recipient_organ_id in recipients:
            await gateway.fetch_and_confirm(row.recipient_organ_id, row.id)
    return list(accepted.deliveries)


async def listed(gateway: Gateway, agency: str) -> list[PackageRecord]:
    """The packages in an agency's inbox, after everything has arrived."""
    await gateway.bring()
    key = gateway.world.of(agency).id
    return [
        item.package for item in await look(gateway.database, lambda tx: tx.inbox(key, None, 99))
    ]


async def test_a_request_that_an_operator_stopped_can_be_made_again(gateway: Gateway) -> None:
    """The status 13 went back, so the receiver never heard of it: the next one asks it."""
    sent = document(BETA)
    (copy,) = await handed_over(gateway, sent, BETA)
    first = await gateway.accepted(take_back(sent, BETA))
    await gateway.dead_letters.give_back(
        first.deliveries[0].id, "an", "nhầm nơi nhận", gateway.routes, gateway.clock()
    )
    again = await gateway.accepted(take_back(sent, BETA, "Gửi nhầm, lần hai"))
    assert [one.summary["description"] for one in await listed(gateway, BETA)] == [
        "Gửi nhầm, lần hai"
    ]
    (asked,) = (await scene(gateway)).pending(copy.id)
    assert asked["carrier_id"] == again.deliveries[0].id


async def test_replaced_documents_are_taken_back_by_their_own_names(gateway: Gateway) -> None:
    """Who does not get the new document is asked about the old one, and can answer."""
    old = document(GAMMA, number=1)
    (copy,) = await handed_over(gateway, old, GAMMA)
    await gateway.accepted(replacement([old], BETA))
    (asked,) = await listed(gateway, GAMMA)
    assert (asked.meaning, asked.document_id) == ("13", old.document_id)
    assert old.document_id in (await gateway.content(asked.digest)).decode()
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, old, sender=GAMMA), by=GAMMA)
    assert (await gateway.now(copy.id)).change_state == "replaced"


async def test_the_sender_hears_of_each_withdrawn_document_by_its_name(gateway: Gateway) -> None:
    """Two unseen documents are replaced: two answers 15, each about its document."""
    old = [document(GAMMA, number=number) for number in (1, 2)]
    for one in old:
        await gateway.accepted(one)
    await gateway.accepted(replacement(old, BETA))
    told = await listed(gateway, ALPHA)
    assert sorted((one.meaning, one.document_id) for one in told) == [
        ("15", one.document_id) for one in old
    ]
    assert await listed(gateway, GAMMA) == []


async def test_reports_after_a_refused_recall_are_about_the_document(gateway: Gateway) -> None:
    """16, then 06: the copy is finished, and a second recall is answered at once."""
    sent = document(BETA)
    (copy,) = await handed_over(gateway, sent, BETA)
    asked = await gateway.accepted(revocation(sent, BETA))
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, asked.deliveries[0].id)
    await gateway.accepted(report(StatusCode.CHANGE_REFUSED, sent), by=BETA)
    await gateway.accepted(report(StatusCode.FINISHED, sent), by=BETA)
    assert (await gateway.now(copy.id)).business_state is StatusCode.FINISHED
    await gateway.accepted(take_back(sent, BETA))
    assert await listed(gateway, BETA) == []
    assert [one.meaning for one in await listed(gateway, ALPHA)] == ["16", "06", "16"]


async def test_reports_are_about_the_version_that_was_seen(gateway: Gateway) -> None:
    """The newer version was withdrawn before anybody saw it: 03 is about the older one."""
    sent = document(BETA)
    (copy,) = await handed_over(gateway, sent)
    taken = await fetch(gateway.database, copy.id, gateway.world.of(BETA), gateway.clock())
    assert isinstance(taken, Fetched)
    newer = await gateway.accepted(update(sent, BETA))
    await gateway.accepted(take_back(sent, BETA))
    await gateway.accepted(report(StatusCode.ACCEPTED, sent), by=BETA)
    assert (await gateway.now(newer.deliveries[0].id)).business_state is None
    assert (await gateway.now(copy.id)).business_state is StatusCode.ACCEPTED


async def returned(gateway: Gateway, sent: Document) -> Delivery:
    """A document that an operator gave back to its sender before anybody saw it."""
    (copy,) = await handed_over(gateway, sent)
    await gateway.dead_letters.give_back(copy.id, "an", "nhầm", gateway.routes, gateway.clock())
    return copy


async def test_an_old_version_is_not_sent_after_a_newer_one(gateway: Gateway) -> None:
    """The first version came back; handing it in again does not overtake the update."""
    sent = document(BETA)
    copy = await returned(gateway, sent)
    newer = await gateway.accepted(update(sent, BETA))
    again = await gateway.accepted(sent)
    assert again.repeated
    await gateway.bring()
    assert (await gateway.now(copy.id)).state is TransportState.RETURNED
    assert [row.id for row in await gateway.inbox(BETA)] == [newer.deliveries[0].id]


async def test_what_was_recalled_is_not_sent_again_by_a_late_copy(gateway: Gateway) -> None:
    """The sender was told 15: its system's repetition of the old package changes nothing."""
    for sent, recall in (
        (document(BETA, number=1), revocation(document(BETA, number=1), BETA)),
        (document(BETA, number=2), take_back(document(BETA, number=2), BETA)),
    ):
        await returned(gateway, sent)
        await gateway.accepted(recall)
        assert (await gateway.accepted(sent)).repeated
        assert await listed(gateway, BETA) == []


async def test_a_recall_from_one_leaves_the_others_their_second_chance(gateway: Gateway) -> None:
    """Beta's copy came back and is sent again, although gamma's was recalled."""
    sent = document(BETA, GAMMA)
    beta, _ = await handed_over(gateway, sent, GAMMA)
    await gateway.dead_letters.give_back(beta.id, "an", "nhầm", gateway.routes, gateway.clock())
    await gateway.accepted(revocation(sent, GAMMA))
    await gateway.accepted(sent)
    await gateway.bring()
    assert [row.id for row in await gateway.inbox(BETA)] == [beta.id]


async def test_taking_a_finished_receiver_off_is_answered(gateway: Gateway) -> None:
    """06: the sender of the update hears 16 with the reason; nobody is asked."""
    sent = document(GAMMA)
    await handed_over(gateway, sent, GAMMA)
    await gateway.accepted(report(StatusCode.FINISHED, sent, sender=GAMMA), by=GAMMA)
    await gateway.accepted(update(sent, BETA, removed=GAMMA))
    assert await listed(gateway, GAMMA) == []
    assert [one.meaning for one in await listed(gateway, ALPHA)] == ["06", "16"]


async def test_two_equal_requests_in_one_second_have_a_carrier(gateway: Gateway) -> None:
    """The same words in the same second are one package: the second request names it."""
    sent = document(GAMMA)
    (copy,) = await handed_over(gateway, sent, GAMMA)
    await gateway.accepted(update(sent, BETA, removed=GAMMA))
    await gateway.accepted(
        report(StatusCode.CHANGE_REFUSED, sent, sender=GAMMA, description="Không"), by=GAMMA
    )
    changed = replace(update(sent, BETA, removed=GAMMA), subject="Bản sửa lần hai")
    await gateway.accepted(changed)
    now = await scene(gateway)
    (asked,) = now.pending(copy.id)
    assert asked["carrier_id"] in now.deliveries
    assert now.packages[now.deliveries[asked["carrier_id"]].package_id].kind != DOCUMENT


async def test_taking_off_with_an_older_version_there_is_no_success(gateway: Gateway) -> None:
    """The newer version is withdrawn, the older one asked for: no 15 before its holder says so."""
    sent = document(GAMMA)
    (copy,) = await handed_over(gateway, sent, GAMMA)
    await gateway.accepted(update(sent, GAMMA))
    await gateway.accepted(update(sent, BETA, removed=GAMMA, reason="Gửi nhầm"))
    assert await listed(gateway, ALPHA) == []
    assert [one.meaning for one in await listed(gateway, GAMMA)] == ["13"]
    assert (await gateway.now(copy.id)).change_state == "recall-pending"


async def test_a_request_lost_with_its_update_is_made_again(gateway: Gateway) -> None:
    """The update that asked is withdrawn by a revocation, which then has to ask itself."""
    sent = document(GAMMA)
    (copy,) = await handed_over(gateway, sent, GAMMA)
    await gateway.accepted(update(sent, GAMMA, removed=GAMMA))
    recall = await gateway.accepted(revocation(sent, GAMMA))
    assert [one.meaning for one in await listed(gateway, GAMMA)] == ["1"]
    (asked,) = (await scene(gateway)).pending(copy.id)
    assert asked["carrier_id"] == recall.deliveries[0].id


async def test_recall_from_a_receiver_without_a_way(gateway: Gateway) -> None:
    """The agency left the directory: its unseen copies are withdrawn all the same."""
    documents = [document(BETA, number=number) for number in (1, 2)]
    copies = [(await handed_over(gateway, sent))[0] for sent in documents]
    world = gateway.world
    gateway.routes = route_table([agency(ALPHA), agency(GAMMA)], [world.alpha, world.gamma])
    await gateway.accepted(revocation(documents[0], BETA))
    await gateway.accepted(take_back(documents[1], BETA))
    for copy in copies:
        assert (await gateway.now(copy.id)).state is TransportState.WITHDRAWN
    assert await gateway.inbox(BETA) == []
    told = [(one.meaning, one.document_id) for one in await listed(gateway, ALPHA)]
    assert {("15", sent.document_id) for sent in documents} <= set(told)


async def test_a_request_without_a_way_is_not_pending(gateway: Gateway) -> None:
    """The agency has its copy and left the directory: nobody is asked, nothing waits for ever."""
    sent = document(BETA)
    (copy,) = await handed_over(gateway, sent, BETA)
    world = gateway.world
    gateway.routes = route_table([agency(ALPHA), agency(GAMMA)], [world.alpha, world.gamma])
    for asked in (revocation(sent, BETA), take_back(sent, BETA)):
        accepted = await gateway.accepted(asked)
        assert accepted.deliveries[0].state is TransportState.RETURNED
    assert (await gateway.now(copy.id)).change_state is None


async def open_limits(gateway: Gateway) -> list[DeadlineKind]:
    """Which limits run on all deliveries."""
    ids = list((await scene(gateway)).deliveries)
    found = await look(gateway.database, lambda tx: tx.deadlines.open_of_deliveries(ids))
    return [one.kind for one in found]


async def two_versions(gateway: Gateway, sent: Document) -> list[str]:
    """Beta has both and has not answered the update; the ids of its copies."""
    (first,) = await handed_over(gateway, sent, BETA)
    (second,) = await handed_over(gateway, update(sent, BETA), BETA)
    assert (await gateway.now(first.id)).change_state == "update-pending"
    return [first.id, second.id]


@pytest.mark.parametrize("by", [revocation, take_back])
async def test_a_recall_is_of_all_versions(
    gateway: Gateway, by: Callable[[Document, str], Document | StatusReport]
) -> None:
    """The update was never answered; 15 to the recall leaves nothing open of either version."""
    sent = document(BETA)
    copies = await two_versions(gateway, sent)
    asked = await gateway.accepted(by(sent, BETA))
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, asked.deliveries[0].id)
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent), by=BETA)
    states = [(await gateway.now(copy)).change_state for copy in copies]
    assert states == ["recalled", "recalled"]
    assert await open_limits(gateway) == []
    stray = await gateway.accepted(
        report(StatusCode.CHANGE_REFUSED, sent, description="Nhầm"), by=BETA
    )
    assert [one.rule for one in stray.findings] == ["RECALL-NOT-ASKED"]
    assert [(await gateway.now(copy)).change_state for copy in copies] == states


async def test_a_refused_recall_leaves_the_limits_of_the_documents(gateway: Gateway) -> None:
    """16 to the recall: what the update asked is settled with it, the documents stay to be done."""
    sent = document(BETA)
    copies = await two_versions(gateway, sent)
    asked = await gateway.accepted(revocation(sent, BETA))
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, asked.deliveries[0].id)
    await gateway.accepted(report(StatusCode.CHANGE_REFUSED, sent), by=BETA)
    states = [(await gateway.now(copy)).change_state for copy in copies]
    assert states == ["recall-refused", "recall-refused"]
    left = await open_limits(gateway)
    assert DeadlineKind.RECALL not in left and DeadlineKind.HANDLING in left


async def test_the_answer_to_an_update_is_about_all_it_updates(gateway: Gateway) -> None:
    """A second update before the first was answered: one 15 updates both earlier versions."""
    sent = document(BETA)
    copies = await two_versions(gateway, sent)
    await handed_over(gateway, update(sent, BETA, reason="Sửa tiếp"), BETA)
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent), by=BETA)
    assert [(await gateway.now(copy)).change_state for copy in copies] == ["updated", "updated"]


async def test_taken_off_with_an_unanswered_update(gateway: Gateway) -> None:
    """The same when the request is a status 13 of the gateway's own."""
    sent = document(BETA)
    copies = await two_versions(gateway, sent)
    await gateway.accepted(update(sent, GAMMA, removed=BETA))
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent), by=BETA)
    assert [(await gateway.now(copy)).change_state for copy in copies] == ["recalled", "recalled"]
