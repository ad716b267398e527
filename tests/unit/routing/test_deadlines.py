"""Time limits: what opens them, what settles them, and when notice is given."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.model import VIETNAM_TIME, BusinessDocType, StatusCode
from routing.deadline_limits import (
    Limits,
    opened_on_delivery,
    opened_on_recall,
    warn_time,
)
from routing.deadlines import (
    Deadline,
    DeadlineKind,
    DeadlineState,
    Nearing,
    Overdue,
    Settled,
    cancelled,
    closed_by_answer,
    closed_by_reply,
    closed_by_report,
    due_notice,
    opened_event,
)
from routing.records import STATUS
from routing.working_time import WorkingCalendar
from tests.support.builders import delivery, new_id, package

K, S = DeadlineKind, DeadlineState
CALENDAR = WorkingCalendar(holidays={date(2026, 3, 9): "Nghỉ"}, working_days={date(2026, 3, 14)})
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    """A moment of March 2026 in Vietnam time: ``02 08:30``. The 2nd is a Monday."""
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=VIETNAM_TIME)


def opened(
    received: str = "02 08:30",
    meaning: str = BusinessDocType.NEW.value,
    due_date: str | None = "2026-03-06",
) -> list[Deadline]:
    """What the delivery of a document opens."""
    of = package(document_pk="doc", meaning=meaning, summary={"dueDate": due_date})
    return opened_on_delivery(delivery(of), of, CALENDAR, Limits(), new_id, at(received))


def by_kind(deadlines: list[Deadline]) -> dict[DeadlineKind, Deadline]:
    """At most one of each."""
    assert len({one.kind for one in deadlines}) == len(deadlines)
    return {one.kind: one for one in deadlines}


def states(settled: list[Settled]) -> dict[DeadlineKind, DeadlineState]:
    """Which were settled, and how."""
    return {one.after.kind: one.after.state for one in settled}


# --- opening --------------------------------------------------------------------------------------


def test_a_delivered_document_opens_its_limits() -> None:
    """The same day, 2 working hours, the next working morning, the due date of the document."""
    found = by_kind(opened("02 16:00"))
    assert {kind: one.due_at for kind, one in found.items()} == {
        K.RECEIPT: at("02 17:00"),
        K.HANDLING: at("03 08:30"),
        K.ASSIGN: at("03 11:30"),
        K.REPLY: at("06 17:00"),
    }
    for one in found.values():
        assert one.state is S.OPEN
        assert one.starts_at == at("02 16:00")
        assert one.notice_at == one.warn_at
    assert found[K.HANDLING].warn_at == at("03 08:00")


def test_limits_run_from_the_legal_time_of_receipt() -> None:
    """Received on Friday evening before a holiday: everything counts from Tuesday morning."""
    found = by_kind(opened("06 17:30", due_date="2026-03-14"))
    assert {one.starts_at for one in found.values()} == {at("10 07:30")}
    assert found[K.RECEIPT].due_at == at("10 17:00")
    assert found[K.HANDLING].due_at == at("10 09:30")
    assert found[K.ASSIGN].due_at == at("11 11:30")
    # The 14th is a make-up Saturday.
    assert found[K.REPLY].due_at == at("14 17:00")


@pytest.mark.parametrize("meaning", ["0", "2", "3"])
def test_new_versions_and_replacements_are_documents_too(meaning: str) -> None:
    """Whatever brings a document has to be handled."""
    assert set(by_kind(opened(meaning=meaning))) == {K.RECEIPT, K.HANDLING, K.ASSIGN, K.REPLY}


def test_revocations_and_reports_open_nothing() -> None:
    """They are no documents to be handled; so is nothing that is known of no document."""
    assert opened(meaning=BusinessDocType.REVOCATION.value) == []
    report = package(document_pk="doc", kind=STATUS, meaning="03")
    lost = package()
    for of in (report, lost):
        row = delivery(of)
        assert opened_on_delivery(row, of, CALENDAR, Limits(), new_id, at("02 08:30")) == []
    assert opened_on_recall(delivery(lost), CALENDAR, Limits(), new_id, at("02 08:30")) == []


@pytest.mark.parametrize("due_date", [None, "0206-03-06", "9999-12-31"])
def test_without_a_usable_due_date_no_reply_is_owed(due_date: str | None) -> None:
    """None given, or one that nobody can have meant; the other limits hold all the same."""
    assert set(by_kind(opened(due_date=due_date))) == {K.RECEIPT, K.HANDLING, K.ASSIGN}


def test_a_due_date_that_is_past_is_overdue_from_the_start() -> None:
    """The document is not changed; the first notice already says that the time is over."""
    reply = by_kind(opened("10 08:30", due_date="2026-03-05"))[K.REPLY]
    assert reply.due_at == at("05 17:00")
    assert reply.warn_at == reply.notice_at == reply.due_at
    assert isinstance(due_notice(reply, at("10 08:30")), Overdue)


def test_a_due_date_years_away_is_nearing_after_the_same_share_of_the_time() -> None:
    """Long spans are counted in days; the notice comes within office hours all the same."""
    reply = by_kind(opened(due_date="2098-12-31"))[K.REPLY]
    share = (reply.warn_at - reply.starts_at) / (reply.due_at - reply.starts_at)
    assert share == pytest.approx(0.75, abs=0.001)
    assert CALENDAR.legal_time(reply.warn_at) == reply.warn_at


def test_a_recall_is_owed_an_answer_on_the_delivery_that_carries_it() -> None:
    """8 working hours unless the operator says otherwise."""
    carrier = delivery(package(document_pk="doc"))
    (usual,) = opened_on_recall(carrier, CALENDAR, Limits(), new_id, at("02 08:30"))
    assert (usual.kind, usual.delivery_id, usual.due_at) == (K.RECALL, carrier.id, at("03 09:00"))
    limits = Limits(recall=timedelta(hours=1), nearing=0.5)
    (quick,) = opened_on_recall(carrier, CALENDAR, limits, new_id, at("02 08:30"))
    assert (quick.warn_at, quick.due_at) == (at("02 09:00"), at("02 09:30"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"handling": timedelta(0)},
        {"recall": timedelta(days=-1)},
        {"recall": timedelta(days=61)},
        {"nearing": 0.0},
        {"nearing": 1.0},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, timedelta | float]) -> None:
    """A setting is named before anybody is held to it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]  # the point is the value


# --- settling -------------------------------------------------------------------------------------

ALL = {K.RECEIPT, K.HANDLING, K.ASSIGN, K.REPLY}


@pytest.mark.parametrize(
    ("code", "settled"),
    [
        ("01", {K.RECEIPT: S.MET}),
        ("03", {K.RECEIPT: S.MET, K.HANDLING: S.MET}),
        ("04", {K.RECEIPT: S.MET, K.HANDLING: S.MET, K.ASSIGN: S.MET}),
        ("05", {K.RECEIPT: S.MET, K.HANDLING: S.MET, K.ASSIGN: S.MET}),
        ("06", {K.RECEIPT: S.MET, K.HANDLING: S.MET, K.ASSIGN: S.MET}),
        (
            "02",
            {
                K.RECEIPT: S.MET,
                K.HANDLING: S.MET,
                K.ASSIGN: S.CANCELLED,
                K.REPLY: S.CANCELLED,
            },
        ),
        ("13", {}),
        ("15", {}),
        ("16", {}),
    ],
)
def test_a_report_settles_what_it_gives(
    code: str, settled: dict[DeadlineKind, DeadlineState]
) -> None:
    """Steps may be skipped: a later one gives what the earlier ones ask for."""
    found = closed_by_report(opened(), StatusCode(code), at("02 09:00"))
    assert states(found) == settled
    for one in found:
        assert one.after.closed_at == at("02 09:00")
        assert one.after.notice_at is None
        assert code in one.after.closed_by


def test_in_time_includes_the_last_moment() -> None:
    """At the due time it is met, right after it late, whether notice was given or not."""
    (receipt,) = [one for one in opened() if one.kind is K.RECEIPT]
    on_time = closed_by_report([receipt], StatusCode.ARRIVED, receipt.due_at)
    too_late = closed_by_report([receipt], StatusCode.ARRIVED, receipt.due_at + SECOND)
    assert states(on_time) == {K.RECEIPT: S.MET}
    assert states(too_late) == {K.RECEIPT: S.LATE}
    notice = due_notice(receipt, receipt.due_at + SECOND)
    assert isinstance(notice, Overdue)
    noticed = closed_by_report([notice.deadline], StatusCode.ARRIVED, receipt.due_at + 2 * SECOND)
    assert states(noticed) == {K.RECEIPT: S.LATE}
    assert noticed[0].event("agency").from_state == "overdue"


def test_a_reply_settles_what_is_owed_a_reply() -> None:
    """Nothing else: a reply does not say that the document was assigned."""
    found = closed_by_reply(opened(), at("06 16:00"), "reply package-2")
    assert states(found) == {K.REPLY: S.MET}
    assert found[0].after.closed_by == "reply package-2"


@pytest.mark.parametrize(("code", "settles"), [("15", True), ("16", True), ("01", False)])
def test_an_answer_settles_the_recall(code: str, settles: bool) -> None:
    """Agreeing and refusing both are answers."""
    carrier = delivery(package(document_pk="doc"))
    asked = opened_on_recall(carrier, CALENDAR, Limits(), new_id, at("02 08:30"))
    found = closed_by_answer([*asked, *opened()], StatusCode(code), at("02 09:00"))
    assert states(found) == ({K.RECALL: S.MET} if settles else {})


def test_nothing_is_owed_for_what_was_taken_back() -> None:
    """Everything unsettled is cancelled, overdue or not; what was settled stays as it is."""
    met = [one.after for one in closed_by_report(opened(), StatusCode.ARRIVED, at("02 09:00"))]
    overdue = due_notice(opened()[1], at("05 08:00"))
    assert isinstance(overdue, Overdue)
    found = cancelled([*met, overdue.deadline, opened()[2]], at("05 09:00"), "withdrawn")
    assert states(found) == {K.HANDLING: S.CANCELLED, K.ASSIGN: S.CANCELLED}


CODES = st.sampled_from(list(StatusCode))


@given(st.lists(st.tuples(CODES, st.integers(0, 100_000)), max_size=6))
def test_law_a_deadline_is_settled_once(reports: list[tuple[StatusCode, int]]) -> None:
    """Reports may come twice, late, and in any order: what is closed never changes again."""
    now, rows = at("02 08:30"), by_kind(opened())
    closed: dict[DeadlineKind, Deadline] = {}
    for code, seconds in reports:
        now += timedelta(seconds=seconds)
        for one in closed_by_report(rows.values(), code, now):
            assert not one.before.state.is_closed
            assert one.before.kind not in closed
            rows[one.after.kind] = closed[one.after.kind] = one.after
        for kind, row in rows.items():
            notice = due_notice(row, now)
            if notice is not None:
                assert kind not in closed
                rows[kind] = notice.deadline
    assert all(rows[kind] == row for kind, row in closed.items())
    assert all(due_notice(row, now + timedelta(days=99)) is None for row in closed.values())


# --- notices --------------------------------------------------------------------------------------


def test_notice_is_given_before_the_time_is_over_and_after() -> None:
    """Once each, at moments that only the deadline decides."""
    handling = by_kind(opened())[K.HANDLING]
    assert (handling.warn_at, handling.due_at) == (at("02 10:00"), at("02 10:30"))
    assert due_notice(handling, handling.warn_at) is None
    nearing = due_notice(handling, handling.warn_at + SECOND)
    assert isinstance(nearing, Nearing)
    assert nearing.deadline.state is S.OPEN
    assert nearing.event.type == "deadline.nearing"
    assert due_notice(nearing.deadline, handling.due_at) is None
    overdue = due_notice(nearing.deadline, handling.due_at + SECOND)
    assert isinstance(overdue, Overdue)
    assert overdue.deadline.state is S.OVERDUE
    assert overdue.event.type == "deadline.overdue"
    assert due_notice(overdue.deadline, handling.due_at + timedelta(days=9)) is None


def test_a_nearing_that_was_missed_is_not_made_up_for() -> None:
    """After an outage of the timer people read the truth of now, not of then."""
    handling = by_kind(opened())[K.HANDLING]
    assert isinstance(due_notice(handling, handling.due_at + SECOND), Overdue)


@given(
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 31)),  # noqa: DTZ001  # zone added below
    st.dates(date(2026, 2, 1), date(2027, 12, 31)),
    st.floats(0.01, 0.99),
)
def test_law_nobody_is_warned_after_the_due_time(
    received: datetime, due_date: date, share: float
) -> None:
    """Start, warning and due time follow each other; there are one or two notices, no more."""
    limits = Limits(nearing=share)
    start = CALENDAR.legal_time(received.replace(tzinfo=VIETNAM_TIME))
    of = package(document_pk="doc", summary={"dueDate": due_date.isoformat()})
    for one in opened_on_delivery(delivery(of), of, CALENDAR, limits, new_id, start):
        assert one.warn_at == warn_time(start, one.due_at, CALENDAR, limits)
        assert one.warn_at <= one.due_at
        assert one.warn_at >= one.starts_at or one.due_at < one.starts_at
        given_at = []
        row = one
        for step in count():
            notice_at = row.notice_at
            if notice_at is None:
                break
            assert step < 2
            notice = due_notice(row, notice_at + timedelta(microseconds=1))
            assert notice is not None
            given_at.append(notice_at)
            row = notice.deadline
        assert given_at[-1] == one.due_at
        assert row.state is S.OVERDUE


# --- events ---------------------------------------------------------------------------------------


def test_every_step_has_its_event() -> None:
    """Opened, met, late, cancelled: with what was owed, from when, until when, and why it ended."""
    rows = by_kind(opened())
    start = opened_event(rows[K.RECEIPT], at("02 08:30"), "gateway:worker", "trace-1")
    assert (start.type, start.from_state, start.to_state) == ("deadline.opened", None, "open")
    assert (start.document_pk, start.correlation_id) == ("doc", "trace-1")
    assert start.data == {
        "deadlineId": rows[K.RECEIPT].id,
        "kind": "receipt",
        "rule": "DUE-RECEIPT",
        "startsAt": "2026-03-02T08:30:00+07:00",
        "dueAt": "2026-03-02T17:00:00+07:00",
    }
    settled = closed_by_report(rows.values(), StatusCode.REFUSED, at("02 12:00"), "package-2")
    told = {one.after.kind: one.event("connection:beta") for one in settled}
    assert {kind: event.type for kind, event in told.items()} == {
        K.RECEIPT: "deadline.met",
        K.HANDLING: "deadline.late",
        K.ASSIGN: "deadline.cancelled",
        K.REPLY: "deadline.cancelled",
    }
    assert {event.from_state for event in told.values()} == {"open"}
    assert told[K.HANDLING].at == at("02 12:00")
    assert told[K.HANDLING].delivery_id == rows[K.HANDLING].delivery_id
    assert told[K.ASSIGN].data["closedBy"] == "package-2"


def test_an_open_deadline_has_no_closing_event() -> None:
    """Telling of what did not happen is a bug."""
    one = opened()[0]
    with pytest.raises(ValueError, match="not closed"):
        Settled(one, one).event("test")


def test_every_kind_says_what_is_owed_and_by_which_rule() -> None:
    """Both languages name the same article."""
    for kind in DeadlineKind:
        article = kind.sentence.vi.rpartition("(")[2]
        assert kind.sentence.en.endswith(article)
        assert kind.rule.startswith("DUE-")
