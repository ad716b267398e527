"""Accepting documents, on both databases: once, whole, and never in another's name."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from envelopes.model import BusinessDocType, StatusCode
from envelopes.read import read_package
from routing.lanes import Lane
from routing.records import DOCUMENT, STATUS, Delivery
from routing.route_table import RouteTable
from routing.states import TransportState
from routing.submission import Accepted, RefusalKind
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    NOW,
    STRANGER,
    agency,
    connection,
    document,
    look,
    route_table,
    token,
    wire,
)
from tests.support.use_cases import Gateway, all_rows


async def test_new_document(gateway: Gateway) -> None:
    """A new document is recorded whole: package, one delivery per recipient, events, bytes."""
    content = wire(document(BETA, GAMMA, priority=1))
    answer = await gateway.accepted(content)
    package = answer.package
    assert not answer.repeated
    assert (package.kind, package.version, package.lane) == (DOCUMENT, 1, Lane.URGENT)
    assert package.digest == hashlib.sha256(content).hexdigest()
    assert await gateway.content(package.digest) == content
    assert [row.recipient_organ_id for row in answer.deliveries] == [BETA, GAMMA]
    assert {row.state for row in answer.deliveries} == {TransportState.ACCEPTED}
    assert all(row.ring_at == NOW for row in answer.deliveries)
    rows, events = await all_rows(gateway.database)
    assert sorted(rows, key=lambda row: row.id) == list(answer.deliveries)
    assert [event.type for event in events if event.package_id == package.id] == [
        "package.accepted",
        "delivery.accepted",
        "delivery.accepted",
    ]
    assert all(e.correlation_id == "trace" for e in events if e.package_id == package.id)
    known = await look(
        gateway.database,
        lambda tx: tx.find_document(package.sender, package.document_id),
    )
    assert (known.pk, known.version, known.subject) == (
        package.document_pk,
        1,
        package.summary["subject"],
    )


async def test_same_bytes_again_repeat_the_answer(gateway: Gateway) -> None:
    """The second answer is the first: same ids, same findings, nothing new recorded."""
    content = wire(document(BETA, GAMMA))
    first = await gateway.accepted(content)
    before = await all_rows(gateway.database)
    gateway.clock.tick(3600)
    again = await gateway.accepted(content)
    assert again == replace(first, repeated=True)
    assert await all_rows(gateway.database) == before


async def test_identical_submissions_at_once_are_one_package(gateway: Gateway) -> None:
    """Twenty clients hand the same bytes in at the same moment: one package, one answer."""
    content = wire(document(BETA, GAMMA, STRANGER))
    answers = await asyncio.gather(*(gateway.submit(content) for _ in range(20)))
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == 20
    assert len({answer.package.id for answer in accepted}) == 1
    assert sum(not answer.repeated for answer in accepted) == 1
    rows, _ = await all_rows(gateway.database)
    assert len([row for row in rows if row.package_id == accepted[0].package.id]) == 3
    assert len(rows) == 4  # and one status 02 about the stranger


async def test_other_content_under_the_same_id_is_a_conflict(gateway: Gateway) -> None:
    """A DocumentId stands for one content: the answer names both digests and what differs."""
    first = await gateway.accepted(document(BETA, subject="Bản đúng"))
    before = await all_rows(gateway.database)
    other = wire(document(BETA, subject="Bản khác"))
    refused = await gateway.refused(other)
    assert refused.kind is RefusalKind.OTHER_CONTENT
    assert [finding.rule for finding in refused.findings] == ["DUPLICATE-CONTENT"]
    assert refused.details["firstPackage"] == first.package.id
    assert refused.details["firstDigest"] == first.package.digest
    assert refused.details["secondDigest"] == hashlib.sha256(other).hexdigest()
    differing = {line["field"]: line for line in refused.details["differences"]}
    assert differing["subject"] == {
        "field": "subject",
        "first": "Bản đúng",
        "second": "Bản khác",
    }
    assert await all_rows(gateway.database) == before
    assert (await gateway.accepted(document(BETA, subject="Bản đúng"))).repeated


async def test_conflicts_at_once_let_exactly_one_through(gateway: Gateway) -> None:
    """Ten different contents of one DocumentId at the same moment: one is taken."""
    answers = await asyncio.gather(
        *(gateway.submit(document(BETA, subject=f"Bản {number}")) for number in range(10))
    )
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1


async def test_same_id_of_another_sender_is_another_document(gateway: Gateway) -> None:
    """What one agency numbers says nothing about another's numbers."""
    about = document(GAMMA)
    first = await gateway.accepted(about)
    other = replace(document(GAMMA, sender=BETA), document_id=about.document_id)
    second = await gateway.accepted(other, by=BETA)
    assert first.package.document_pk != second.package.document_pk


async def test_update_is_a_new_version_of_the_same_document(gateway: Gateway) -> None:
    """BussinessDocType 2 may bring other content under the id; versions count up."""
    first = await gateway.accepted(document(BETA))
    update = document(BETA, subject="Bản cập nhật", meaning=BusinessDocType.UPDATE)
    second = await gateway.accepted(update)
    assert second.package.document_pk == first.package.document_pk
    assert [row.version for row in (*first.deliveries, *second.deliveries)] == [1, 2]
    refused = await gateway.refused(document(BETA, subject="Lại khác"))
    assert refused.kind is RefusalKind.OTHER_CONTENT


# --- recipients without a way ---------------------------------------------------------------------


async def test_very_many_unknown_recipients_are_answered_once(gateway: Gateway) -> None:
    """Each copy has its outcome and reason; the sender gets one 02 that names them, no hundreds."""
    strangers = [f"000.00.{number // 40:02}.H{50 + number % 40}" for number in range(400, 800)]
    answer = await gateway.accepted(document(BETA, *strangers))
    returned = [row for row in answer.deliveries if row.state is TransportState.RETURNED]
    assert len(returned) == len(strangers)
    assert all(row.reason is not None for row in returned)
    await gateway.bring()
    assert len(await gateway.inbox(BETA)) == 1
    (told,) = await gateway.inbox(ALPHA)
    content = await package_of(gateway, told)
    assert f"tới {len(strangers)} cơ quan nhận: {strangers[0]}, {strangers[1]}" in content
    assert len(content) < 20_000


async def package_of(gateway: Gateway, row: Delivery) -> str:
    """The bytes of a delivery's package as text."""
    package = await look(gateway.database, lambda tx: tx.get_package(row.package_id))
    return (await gateway.content(package.digest)).decode()


async def test_unknown_recipient_is_answered_and_the_others_go_on(gateway: Gateway) -> None:
    """One unknown recipient: its copy is returned, the sender gets a 02, the rest is relayed."""
    answer = await gateway.accepted(document(BETA, STRANGER))
    good, bad = answer.deliveries
    assert (good.state, bad.state) == (TransportState.ACCEPTED, TransportState.RETURNED)
    assert bad.reason is not None and bad.reason.try_again and bad.ring_at is None
    assert bad.connection_id is None
    assert [finding.rule for finding in answer.findings] == ["ID-RECIPIENT"]
    await gateway.bring()
    assert [row.id for row in await gateway.inbox(BETA)] == [good.id]
    (told,) = await gateway.inbox(ALPHA)
    report = await look(gateway.database, lambda tx: tx.get_package(told.package_id))
    assert (report.kind, report.meaning, report.sender) == (
        STATUS,
        StatusCode.REFUSED.value,
        "LIENTHONG",
    )
    assert report.document_pk == answer.package.document_pk
    assert STRANGER in report.summary["description"]
    content = await gateway.content(report.digest)
    read = read_package([content])
    assert read.package is not None and not read.refused
    assert read.document_id == answer.package.document_id


async def test_resubmission_after_the_cause_was_mended(gateway: Gateway) -> None:
    """The same bytes again, the recipient known by now: its copy goes out, under the same id."""
    content = wire(document(BETA, STRANGER))
    first = await gateway.accepted(content)
    data = gateway.routes
    gateway.routes = route_table(
        [*data.directory.agencies, agency(STRANGER)],
        [
            *data.connections.values(),
        ],
    )
    assert (await gateway.accepted(content)).deliveries[1].state is TransportState.RETURNED
    newcomer = connection("stranger", STRANGER)
    from adapters.database import RegistryStore

    store = RegistryStore(gateway.database)
    await store.add_connection(newcomer, token(newcomer), [agency(STRANGER)], actor="a", now=NOW)
    gateway.routes = RouteTable(await store.load())
    await gateway.bring()
    again = await gateway.accepted(content)
    assert again.repeated and again.package.id == first.package.id
    revived = again.deliveries[1]
    assert revived.id == first.deliveries[1].id
    assert (revived.state, revived.reason, revived.attempts) == (TransportState.ACCEPTED, None, 0)
    assert revived.connection_id == newcomer.id
    await gateway.bring()
    assert (await gateway.now(revived.id)).state is TransportState.OFFERED
    # The one that had arrived was not sent once more.
    assert len(await gateway.inbox(BETA)) == 1


async def test_first_copy_returned_to_everybody_may_be_corrected(gateway: Gateway) -> None:
    """When the first content reached nobody the sender may correct it under the same id."""
    wrong = wire(document(STRANGER, subject="Sai"))
    first = await gateway.accepted(wrong)
    second = await gateway.accepted(document(BETA, subject="Đúng"))
    assert second.package.version == 2
    assert second.package.document_pk == first.package.document_pk
    assert (await gateway.refused(document(BETA, subject="Khác nữa"))).kind is (
        RefusalKind.OTHER_CONTENT
    )


async def test_correction_in_the_same_second_with_the_same_defect(gateway: Gateway) -> None:
    """The gateway's 02 about the same recipient in the same second is one package, not an error."""
    await gateway.accepted(document(STRANGER, subject="Sai"))
    await asyncio.wait_for(gateway.accepted(document(STRANGER, subject="Vẫn sai")), 5)
    await gateway.bring()
    assert len(await gateway.inbox(ALPHA)) == 1


async def test_first_content_is_not_revived_after_its_correction(gateway: Gateway) -> None:
    """Once corrected, handing in the old content again repeats its answer and sends nothing."""
    wrong = wire(document(STRANGER, subject="Sai"))
    first = await gateway.accepted(wrong)
    await gateway.accepted(document(BETA, subject="Đúng"))
    found = gateway.routes
    gateway.routes = route_table(
        [*found.directory.agencies, agency(STRANGER)],
        [*found.connections.values(), connection("stranger", STRANGER)],
    )
    again = await gateway.accepted(wrong)
    assert again.repeated
    assert again.deliveries == first.deliveries


async def test_recipient_named_twice_gets_one_copy(gateway: Gateway) -> None:
    """Two spellings of one agency are one delivery, and the sender is told."""
    answer = await gateway.accepted(document(BETA, "02.H41", GAMMA))
    assert [row.recipient_organ_id for row in answer.deliveries] == [BETA, GAMMA]
    assert "RECIPIENT-TWICE" in [finding.rule for finding in answer.findings]


async def test_sender_without_a_way_back_is_still_answered(gateway: Gateway) -> None:
    """All recipients unknown: the document is on record with every outcome."""
    answer = await gateway.accepted(document(STRANGER, "000.00.98.H99"))
    assert {row.state for row in answer.deliveries} == {TransportState.RETURNED}
    await gateway.bring()
    assert len(await gateway.inbox(ALPHA)) == 2


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [BETA, GAMMA])
async def test_sending_in_anothers_name(gateway: Gateway, by: str) -> None:
    """From belongs to somebody else: refused, nothing stored, a security event written."""
    refused = await gateway.refused(document(BETA), by=by)
    assert refused.kind is RefusalKind.NOT_THE_SENDER
    assert refused.findings[0].rule == "ID-SENDER"
    rows, events = await all_rows(gateway.database)
    assert rows == []
    (event,) = [event for event in events if event.type.startswith("security.")]
    assert (event.type, event.actor) == (
        "security.not-the-sender",
        f"connection:{gateway.world.of(by).name}",
    )
    digest = event.data["digest"]
    assert await gateway.payloads.size(digest) is None


async def test_package_that_breaks_a_rule(gateway: Gateway) -> None:
    """What is no edXML leaves no trace but the findings in the answer."""
    refused = await gateway.refused(b"<edXML>")
    assert refused.kind is RefusalKind.INVALID
    assert refused.findings
    assert (await all_rows(gateway.database))[0] == []


async def test_circular_to_many(gateway: Gateway) -> None:
    """A circular to 300 agencies of one connection: 300 deliveries in the order of its To."""
    codes = [
        f"000.00.{number:02d}.G{tens:02d}" for tens in range(10, 15) for number in range(1, 61)
    ]
    found = gateway.routes
    gateway.routes = route_table(
        [*found.directory.agencies, *(agency(code) for code in codes)],
        [
            found.connections[gateway.world.alpha.id],
            replace(
                gateway.world.beta,
                agencies=tuple(agency(code).organ_id for code in codes),
            ),
        ],
    )
    answer = await gateway.accepted(document(*codes))
    assert [row.recipient_organ_id for row in answer.deliveries] == codes
    keys = [row.fair_key for row in answer.deliveries]
    assert keys == sorted(set(keys))
    await gateway.bring()
    assert [row.recipient_organ_id for row in await gateway.inbox(BETA)] == codes


async def test_the_same_bytes_for_another_recipient_add_its_copy(gateway: Gateway) -> None:
    """An axis names one recipient at a time: one package, a further delivery each time, once."""
    content = wire(document(BETA, GAMMA))
    first = await gateway.submit(content, only_for=(BETA,))
    assert isinstance(first, Accepted)
    assert [row.recipient_organ_id for row in first.deliveries] == [BETA]
    gateway.clock.tick(10)
    for _ in range(2):
        again = await gateway.submit(content, only_for=(GAMMA,))
        assert isinstance(again, Accepted) and again.repeated
        assert again.package.id == first.package.id
        assert [row.recipient_organ_id for row in again.deliveries] == [BETA, GAMMA]
    rows, events = await all_rows(gateway.database)
    assert len(rows) == 2 and {row.version for row in rows} == {1}
    assert {row.document_pk for row in rows} == {first.package.document_pk}
    assert [event.type for event in events if event.package_id == first.package.id] == [
        "package.accepted",
        "delivery.accepted",
        "delivery.accepted",
    ]


async def test_a_recipient_that_the_package_does_not_name_is_none(gateway: Gateway) -> None:
    """What stands beside the package cannot add to it."""
    refused = await gateway.submit(wire(document(BETA)), only_for=(GAMMA,))
    assert not isinstance(refused, Accepted)
    (finding,) = refused.findings
    assert finding.rule == "ID-RECIPIENT"
    assert finding.sentence.vi.startswith("Gói tin không ghi nơi nhận nào")
    assert GAMMA in finding.sentence.vi and "recipient" not in finding.sentence.vi
    assert (await all_rows(gateway.database))[0] == []
