"""The story of a document: every event has its sentence, its chapter and its place in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from envelopes.findings import Sentence
from envelopes.model import StatusCode
from gateway.story import Story, story_of
from gateway.story_changes import Linked
from routing.gateway_reports import accepted_events
from routing.records import (
    REPLACES,
    REPLIES_TO,
    STATUS,
    Delivery,
    DocumentRecord,
    Event,
    Link,
    PackageRecord,
    Reason,
    change,
)
from routing.states import Happening, Impossible, ReportEffect, TransportState
from tests.support.builders import NOW, delivery, later, new_id, package

DOCUMENT = DocumentRecord(new_id(), "H41", "H41,2026/03/02,1/CV", 1, "V/v kiểm tra", NOW)
SENT = package("H41", document_pk=DOCUMENT.pk, document_id=DOCUMENT.document_id)
BETA = delivery(SENT, "H41.02", recipient_name="Sở Nội vụ", connection_id="b")
GAMMA = delivery(SENT, "H41.03", recipient_name="Sở Y tế", connection_id="c")


def numbered(*events: Event) -> list[Event]:
    """Events as the database hands them out: numbered, each a minute later."""
    return [
        replace(event, seq=number, at=NOW + timedelta(minutes=number))
        for number, event in enumerate(events, start=1)
    ]


def tell(
    *events: Event,
    packages: tuple[PackageRecord, ...] = (SENT,),
    deliveries: tuple[Delivery, ...] = (BETA, GAMMA),
    document: DocumentRecord | None = DOCUMENT,
    links: tuple[Linked, ...] = (),
) -> Story:
    """The story of these events."""
    names = {"a": "QLVB A", "b": "QLVB B", "c": "QLVB C"}
    return story_of(
        document,
        numbered(*events),
        packages,
        deliveries,
        lambda one: names.get(one or "", ""),
        links=links,
    )


def happened(row: Delivery, *happenings: Happening, **data: object) -> list[Event]:
    """The events of these steps of a delivery."""
    events = []
    for happening in happenings:
        step = change(row, happening, actor="connection:QLVB B", now=NOW, data=dict(data))
        assert not isinstance(step, Impossible)
        events.append(step.event)
        row = step.after
    return events


def reported(row: Delivery, effect: ReportEffect, code: str, status_package: str = "") -> Event:
    """The event of a report about a delivery."""
    return Event(
        type=f"report.{effect}",
        at=NOW,
        actor="connection:QLVB B",
        package_id=row.package_id,
        delivery_id=row.id,
        data={"code": code, "description": "Đã nhận", "statusPackage": status_package},
    )


@st.composite
def walks(draw: st.DrawFn) -> list[Event]:
    """A delivery's life as the state machine allows it, any length."""
    row, events = BETA, []
    for _ in range(draw(st.integers(0, 12))):
        possible = [
            one
            for one in Happening
            if not isinstance(change(row, one, actor="", now=NOW), Impossible)
        ]
        if not possible:
            break
        happening = draw(st.sampled_from(possible))
        actor = draw(
            st.sampled_from(["gateway:relay", "worker:x:1", "operator:lan", "connection:B"])
        )
        step = change(row, happening, actor=actor, now=NOW, data={"attempt": 1, "why": "{vì sao}"})
        assert not isinstance(step, Impossible)
        events.append(step.event)
        row = step.after
    return events


@given(walks())
def test_every_event_is_told_once_in_order_and_in_both_languages(events: list[Event]) -> None:
    """Whatever happened, no event is lost, doubled, out of order, or left without words."""
    story = tell(*accepted_events(SENT, [BETA, GAMMA], "connection:QLVB A"), *events)
    lines = [*story.lines, *(line for chapter in story.chapters for line in chapter.lines)]
    assert sorted(line.at for line in lines) == [
        NOW + timedelta(minutes=number) for number in range(1, len(events) + 4)
    ]
    for chapter in story.chapters:
        assert [line.at for line in chapter.lines] == sorted(line.at for line in chapter.lines)
    for line in lines:
        assert line.sentence.vi.endswith((".", "}")) and line.sentence.en.endswith((".", "}"))
        assert "{actor}" not in line.sentence.vi.lower() and "noted “" not in line.sentence.en


def test_each_recipient_has_its_own_chapter() -> None:
    """What one recipient did never stands in another's chapter."""
    story = tell(
        *accepted_events(SENT, [BETA, GAMMA], "connection:QLVB A"),
        *happened(BETA, Happening.OFFERED, Happening.FETCHED, Happening.DELIVERED),
        *happened(GAMMA, Happening.HELD, why="sai địa chỉ"),
    )
    beta, gamma = story.chapters
    assert (beta.recipient, beta.name) == ("H41.02", "Sở Nội vụ")
    shown = [line.sentence.en for line in beta.lines if not line.technical]
    assert shown == [
        "Put into the inbox of QLVB B.",
        "Connection “QLVB B” fetched the package.",
        "Connection “QLVB B” confirmed having the whole package.",
    ]
    assert [line.type for line in gamma.lines] == ["delivery.accepted", "delivery.held"]
    assert "sai địa chỉ" in gamma.lines[-1].sentence.vi
    assert [line.type for line in story.lines] == ["package.accepted"]


def test_times_are_vietnam_time_and_technical_steps_only_on_demand() -> None:
    """01:31 UTC is 08:31 in Hà Nội; relaying concerns nobody but operators."""
    story = tell(*happened(BETA, Happening.RELAYED, Happening.OFFERED))
    plain = "\n".join(story.text("vi"))
    assert "02/03/2026 08:32:00  Đã đặt vào hộp nhận của QLVB B." in plain
    assert "hàng đợi" not in plain
    assert "02/03/2026 08:31:00  Đã báo hàng đợi." in "\n".join(story.text("vi", technical=True))


def test_reports_say_who_what_and_to_what_effect() -> None:
    """A late or impossible report is told as such; a repeated one is for operators."""
    story = tell(
        reported(BETA, ReportEffect.APPLIED, "06"),
        reported(BETA, ReportEffect.LATE, "03"),
        reported(BETA, ReportEffect.IMPOSSIBLE, "02"),
        reported(BETA, ReportEffect.REPEATED, "06"),
        reported(BETA, ReportEffect.RECORDED, "15"),
    )
    lines = story.chapters[0].lines
    assert [line.sentence.en.split(" «")[0] for line in lines] == [
        "Sở Nội vụ reported 06 (finished):",
        "Sở Nội vụ reported 03 (accepted):",
        "Sở Nội vụ reported 02 (refused):",
        "Sở Nội vụ reported 06 (finished):",
        "Sở Nội vụ answered 15 (update or recall agreed to):",
    ]
    assert "late: recorded" in lines[1].sentence.en and "refused." in lines[2].sentence.en
    assert [line.technical for line in lines] == [False, False, False, True, False]


def test_a_status_package_stands_in_the_chapter_of_who_sent_it() -> None:
    """Its arrival at the sender is told; its acceptance only where no report tells of it."""
    told = package("H41.02", kind=STATUS, meaning="03", connection_id="b", summary={})
    back = delivery(told, "H41", recipient_name="UBND tỉnh", connection_id="a")
    on_its_way = accepted_events(told, [back], "connection:QLVB B")
    arrived = happened(back, Happening.OFFERED, Happening.FETCHED, Happening.DELIVERED)
    both = {"packages": (SENT, told), "deliveries": (BETA, GAMMA, back)}
    story = tell(reported(BETA, ReportEffect.APPLIED, "03", told.id), *on_its_way, *arrived, **both)
    assert len(story.chapters) == 2 and not story.lines and not story.chapters[1].lines
    shown = [line.sentence.en for line in story.chapters[0].lines if not line.technical]
    assert shown == [
        "Sở Nội vụ reported 03 (accepted): «Đã nhận».",
        "The sender has the report 03 (accepted).",
    ]
    alone = tell(*on_its_way, **both)
    assert not alone.chapters[0].lines[0].technical


def test_a_return_by_the_gateway_stands_with_the_recipient_it_is_about() -> None:
    """Why there was no way, and that the sender was told, in that recipient's chapter."""
    reason = Reason("unknown-agency", Sentence("Không có mã này.", "There is no such code."))
    nobody = replace(GAMMA, state=TransportState.RETURNED, reason=reason)
    told = package(
        "LIENTHONG",
        kind=STATUS,
        meaning="02",
        summary={"about": "H41.03", "description": "[H41.03] Không có mã này."},
    )
    back = delivery(told, "H41", connection_id="a")
    story = tell(
        *accepted_events(SENT, [BETA, nobody], "connection:QLVB A"),
        *accepted_events(told, [back], "gateway:accept"),
        packages=(SENT, told),
        deliveries=(BETA, nobody, back),
    )
    shown = [line.sentence.en for line in story.chapters[1].lines if not line.technical]
    assert shown[0] == "Returned to the sender: There is no such code."
    assert shown[1].startswith("The gateway reported 02 (refused) to the sender")
    assert story.chapters[1].standing.en == "Now: returned to the sender."


def test_the_standing_names_both_states() -> None:
    """Where the package is and what the agency said are two things."""
    done = replace(BETA, state=TransportState.DELIVERED, business_state=StatusCode.FINISHED)
    story = tell(deliveries=(done,))
    assert story.chapters[0].standing.vi == (
        "Hiện nay: bên nhận đã có đủ; cơ quan nhận báo 06 (hoàn thành)."
    )


def test_versions_of_one_document_share_a_chapter() -> None:
    """An update for the same agency goes on where the first version ended."""
    second = package("H41", document_pk=DOCUMENT.pk, version=2, received_at=later())
    newer = delivery(second, "H41.02", state=TransportState.QUEUED)
    story = tell(
        *happened(BETA, Happening.OFFERED),
        *happened(newer, Happening.OFFERED),
        packages=(SENT, second),
        deliveries=(BETA, newer),
    )
    assert len(story.chapters) == 1 and len(story.chapters[0].lines) == 2
    assert "waiting to be handed over" in story.chapters[0].standing.en


def test_what_the_story_does_not_know_is_still_told() -> None:
    """An event of a newer program, and packages about a document unknown here, are not hidden."""
    odd = Event(type="moon.asked", at=NOW, actor="operator:lan", delivery_id=BETA.id)
    assert tell(odd).chapters[0].lines[0].sentence.en == "Operator lan noted “moon.asked”."
    report = package("H41.09", kind=STATUS, meaning="01", document_id="X,2026/01/01,1/Y")
    back = delivery(report, "H41")
    story = tell(
        *accepted_events(report, [back], "connection:QLVB B"),
        packages=(report,),
        deliveries=(back,),
        document=None,
    )
    assert story.document_id == "X,2026/01/01,1/Y" and not story.chapters
    assert len(story.lines) == 2 and "not known here" in story.title.en


def test_a_security_event_is_told_as_one() -> None:
    """Somebody sending in another's name is not an ordinary line."""
    event = Event(type="security.not-the-sender", at=NOW, actor="connection:QLVB B")
    assert tell(event).lines[0].sentence.vi.startswith("AN NINH: kết nối «QLVB B»")


def test_recalls_are_told_with_their_reason() -> None:
    """What the sender asked and what came of it, in the recipient's chapter."""
    asked = Event(
        type="change.recall-pending",
        at=NOW,
        actor="connection:QLVB A",
        delivery_id=BETA.id,
        data={"reason": "Gửi nhầm"},
    )
    lines = tell(asked, replace(asked, type="change.recalled")).chapters[0].lines
    assert lines[0].sentence.vi == "Bên gửi yêu cầu lấy lại văn bản: Gửi nhầm"
    assert lines[1].sentence.en == "The document was taken back."


def test_a_request_travels_to_the_recipient() -> None:
    """A status 13 goes the other way than a report: the recipient has it in the end."""
    asking = replace(
        package("H41", document_pk=DOCUMENT.pk, document_id=DOCUMENT.document_id),
        kind=STATUS,
        meaning=StatusCode.TAKE_BACK.value,
        summary={"description": "Ban hành nhầm", "about": "H41.02"},
        connection_id="a",
    )
    row = delivery(asking, "H41.02", recipient_name="Sở Nội vụ", connection_id="b")
    events = [
        *accepted_events(asking, [row], "connection:QLVB A"),
        *happened(row, Happening.OFFERED, Happening.FETCHED, Happening.DELIVERED),
    ]
    story = tell(*events, packages=(SENT, asking), deliveries=(BETA, GAMMA, row))
    told = [line.sentence for line in story.chapters[0].lines]
    assert told[0].vi == "Trục nhận yêu cầu lấy lại từ kết nối «QLVB A»: «Ban hành nhầm»."
    assert told[1].en == "The request to take it back is on its way to the recipient."
    assert told[-1].en == "The recipient has the request to take it back."
    assert not any("sender has" in one.en or "Báo cáo" in one.vi for one in told)


def test_a_superseded_copy_was_replaced_and_not_taken_back() -> None:
    """The line names the newer version; the copy stands as replaced."""
    newer = replace(SENT, id=new_id(), version=2)
    gone = happened(BETA, Happening.WITHDRAWN, why="superseded", by=newer.id)
    left = replace(
        BETA,
        state=TransportState.WITHDRAWN,
        reason=Reason("superseded", Sentence("Bản cũ", "The older")),
    )
    story = tell(*gone, packages=(SENT, newer), deliveries=(left, GAMMA))
    assert story.chapters[0].lines[0].sentence.en == (
        "Replaced by version 2 before the recipient fetched it."
    )
    assert story.chapters[0].standing.vi == "Hiện nay: đã thay bằng bản mới hơn."
    plain = tell(*happened(BETA, Happening.WITHDRAWN, why="recalled", by=newer.id))
    assert "Taken back" in plain.chapters[0].lines[0].sentence.en


def test_answers_and_replacements_have_a_line_on_both_sides() -> None:
    """Which document answers which, in the order of time among the other lines."""
    reply = DocumentRecord(new_id(), "H53", "H53,2026/03/05,2/CV", 1, "V/v trả lời", NOW)
    carrier = replace(package("H53"), received_at=later(days_seconds(1)))
    accepted = accepted_events(SENT, [], "connection:QLVB A")
    for kind, outgoing, vi, en in (
        (REPLIES_TO, False, "Được trả lời bằng văn bản", "Answered by document"),
        (REPLIES_TO, True, "Trả lời văn bản", "Answers document"),
        (REPLACES, False, "Được thay thế bằng văn bản", "Replaced by document"),
        (REPLACES, True, "Thay thế văn bản", "Replaces document"),
    ):
        link = Link(reply.pk, DOCUMENT.pk, kind, carrier.id)
        story = tell(*accepted, links=(Linked(link, outgoing, reply, carrier),))
        line = story.lines[-1]
        assert line.sentence.vi == f"{vi} H53,2026/03/05,2/CV (V/v trả lời)."
        assert line.sentence.en == f"{en} H53,2026/03/05,2/CV (V/v trả lời)."
        assert line.at == carrier.received_at and not line.technical


def days_seconds(days: int) -> float:
    """Seconds of so many days."""
    return timedelta(days=days).total_seconds()
