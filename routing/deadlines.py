"""The time limits on a delivery: opened when it arrives, closed by what the receiver reports.

Pure. A limit never changes the document; it only gives notice, before its time is over and after
(rules, part D). No change of a deadline without its event: see `opened_event`, `Settled.event` and
the events inside `Nearing` and `Overdue`; `routing.deadline_watch` stores them together.

    open ── time over, notice given ──▶ overdue
    open or overdue ── came in time ──▶ met
    open or overdue ── came too late ──▶ late
    open or overdue ── nothing is owed any more ──▶ cancelled
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, BusinessDocType, StatusCode
from routing.records import DOCUMENT, Delivery, Event, PackageRecord
from routing.working_time import WorkingCalendar, covers


class DeadlineKind(StrEnum):
    """Which limit."""

    #: The receiver reports on the same day that the document has arrived (KT 10.1c).
    RECEIPT = "receipt"
    #: It accepts or refuses it within 2 working hours (KG 3.3).
    HANDLING = "handling"
    #: It is assigned on the same day, at the latest next working morning (KG 3.3, 6.2).
    ASSIGN = "assign"
    #: It is answered by the DueDate of the document (KG 7.2).
    REPLY = "reply"
    #: A request to take back, update or replace is answered (ĐB 8.3).
    RECALL = "recall"

    @property
    def rule(self) -> str:
        """The rule of part D that it keeps."""
        return _RULES[self]

    @property
    def sentence(self) -> Sentence:
        """What is owed, with the article it rests on."""
        return _SENTENCES[self]


_RULES = {
    DeadlineKind.RECEIPT: "DUE-RECEIPT",
    DeadlineKind.HANDLING: "DUE-RECEIPT",
    DeadlineKind.ASSIGN: "DUE-ASSIGN",
    DeadlineKind.REPLY: "DUE-REPLY",
    DeadlineKind.RECALL: "DUE-RECALL",
}
_SENTENCES = {
    DeadlineKind.RECEIPT: Sentence(
        vi="Thông báo đã nhận ngay trong ngày (KT 10.1c)",
        en="Receipt is reported on the same day (KT 10.1c)",
    ),
    DeadlineKind.HANDLING: Sentence(
        vi="Tiếp nhận hoặc từ chối trong giờ làm việc cho phép (KG 3.3)",
        en="Accepted or refused within the working hours allowed (KG 3.3)",
    ),
    DeadlineKind.ASSIGN: Sentence(
        vi="Phân công ngay trong ngày, chậm nhất buổi sáng ngày làm việc kế tiếp (KG 3.3, 6.2)",
        en="Assigned the same day, at the latest next working morning (KG 3.3, 6.2)",
    ),
    DeadlineKind.REPLY: Sentence(
        vi="Trả lời trong hạn ghi trên văn bản (KG 7.2)",
        en="Answered by the due date of the document (KG 7.2)",
    ),
    DeadlineKind.RECALL: Sentence(
        vi="Trả lời yêu cầu thu hồi, cập nhật hoặc thay thế (ĐB 8.3)",
        en="The request to take back, update or replace is answered (ĐB 8.3)",
    ),
}


class DeadlineState(StrEnum):
    """How a limit stands."""

    OPEN = "open"
    #: Its time is over, notice was given, and what is owed has not come.
    OVERDUE = "overdue"
    MET = "met"
    #: What was owed came, after its time.
    LATE = "late"
    #: Nothing is owed any more: refused, withdrawn, returned, replaced.
    CANCELLED = "cancelled"

    @property
    def is_closed(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self not in UNSETTLED


UNSETTLED = frozenset({DeadlineState.OPEN, DeadlineState.OVERDUE})


@dataclass(frozen=True, slots=True)
class Deadline:
    """One limit on one delivery; a delivery has each kind at most once."""

    id: str
    delivery_id: str
    document_pk: str
    package_id: str
    kind: DeadlineKind
    state: DeadlineState
    #: The legal time from which it runs.
    starts_at: datetime
    warn_at: datetime
    #: What comes at this very moment is still in time.
    due_at: datetime
    #: After which moment the next notice is to be given; None when none is left.
    notice_at: datetime | None
    closed_at: datetime | None = None
    #: What closed it, for people and programs: ``report 03``, ``reply <package>``, ``withdrawn``.
    closed_by: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """A deadline before and after it was closed."""

    before: Deadline
    after: Deadline

    def event(self, actor: str, correlation_id: str = "") -> Event:
        """``deadline.met``, ``deadline.late`` or ``deadline.cancelled``."""
        state, at = self.after.state, self.after.closed_at
        if at is None:
            raise ValueError(f"deadline {self.after.id} is {state}, not closed")
        return _event(self.after, state.value, at, actor, self.before.state, correlation_id)


@dataclass(frozen=True, slots=True)
class Limits:
    """The parameters of the limits. Raises `ValueError` for ones that make no sense."""

    #: Working time to accept or refuse (KG 3.3).
    handling: timedelta = timedelta(hours=2)
    #: Working time to answer a recall; the regulations name none (ĐB 8.3).
    recall: timedelta = timedelta(hours=8)
    #: Share of the working time after which it is called nearing.
    nearing: float = 0.75

    def __post_init__(self) -> None:
        for name, span in (("handling", self.handling), ("recall", self.recall)):
            if not timedelta(0) < span <= timedelta(days=60):
                raise ValueError(f"{name} of {span}: it must be above 0 and at most 60 days")
        if not 0 < self.nearing < 1:
            raise ValueError(f"nearing of {self.nearing}: it must lie between 0 and 1")


#: From this span on, the share of the time is counted in days: nobody needs hours in a year.
_LONG = timedelta(days=366)

_BRING_DOCUMENTS = (BusinessDocType.NEW, BusinessDocType.UPDATE, BusinessDocType.REPLACEMENT)


# --- opening --------------------------------------------------------------------------------------


def due_time(
    kind: DeadlineKind,
    received_at: datetime,
    calendar: WorkingCalendar,
    limits: Limits,
    reply_by: date | None = None,
) -> datetime | None:
    """When what is owed since `received_at` is due; None for a reply without a usable date."""
    start = calendar.legal_time(received_at)
    if kind is DeadlineKind.RECEIPT:
        return calendar.end_of_day(start)
    if kind is DeadlineKind.HANDLING:
        return calendar.add(start, limits.handling)
    if kind is DeadlineKind.ASSIGN:
        return calendar.next_morning_end(start)
    if kind is DeadlineKind.RECALL:
        return calendar.add(start, limits.recall)
    # A date from another age is a slip of the pen; counting it out would only cost time.
    return calendar.end_on(reply_by) if reply_by is not None and covers(reply_by) else None


def warn_time(
    start: datetime, due: datetime, calendar: WorkingCalendar, limits: Limits
) -> datetime:
    """When the limit is called nearing; the due time itself when that is past from the start."""
    if due <= start:
        return due
    if due - start > _LONG:
        return min(calendar.legal_time(start + (due - start) * limits.nearing), due)
    return calendar.add(start, calendar.working_time_between(start, due) * limits.nearing)


def opened_on_delivery(
    delivery: Delivery,
    package: PackageRecord,
    calendar: WorkingCalendar,
    limits: Limits,
    new_id: Callable[[], str],
    received_at: datetime,
) -> list[Deadline]:
    """The limits that run from the moment the receiver has a document.

    Reports and revocations open none; see `opened_on_recall` for what asks for a 15 or 16.
    """
    if package.kind != DOCUMENT or package.meaning not in _BRING_DOCUMENTS:
        return []
    text = package.summary.get("dueDate")
    reply_by = date.fromisoformat(text) if text else None
    kinds = [DeadlineKind.RECEIPT, DeadlineKind.HANDLING, DeadlineKind.ASSIGN, DeadlineKind.REPLY]
    return _opened(delivery, kinds, calendar, limits, new_id, received_at, reply_by)


def opened_on_recall(
    carrier: Delivery,
    calendar: WorkingCalendar,
    limits: Limits,
    new_id: Callable[[], str],
    received_at: datetime,
) -> list[Deadline]:
    """The limit on the answer to a request.

    It hangs on the delivery that carried the request (`ChangeRequest.carrier_id`), not on the copy
    it is about: a copy can be asked about more than once.
    """
    return _opened(carrier, [DeadlineKind.RECALL], calendar, limits, new_id, received_at, None)


def _opened(
    delivery: Delivery,
    kinds: Sequence[DeadlineKind],
    calendar: WorkingCalendar,
    limits: Limits,
    new_id: Callable[[], str],
    received_at: datetime,
    reply_by: date | None,
) -> list[Deadline]:
    if delivery.document_pk is None:
        # It speaks of a document that is not known here: nobody can be held to it.
        return []
    start = calendar.legal_time(received_at)
    opened = []
    for kind in kinds:
        due = due_time(kind, received_at, calendar, limits, reply_by)
        if due is None:
            continue
        warn = warn_time(start, due, calendar, limits)
        opened.append(
            Deadline(
                id=new_id(),
                delivery_id=delivery.id,
                document_pk=delivery.document_pk,
                package_id=delivery.package_id,
                kind=kind,
                state=DeadlineState.OPEN,
                starts_at=start,
                warn_at=warn,
                due_at=due,
                notice_at=warn,
            )
        )
    return opened


# --- closing --------------------------------------------------------------------------------------

_LADDER = (
    StatusCode.ARRIVED,
    StatusCode.ACCEPTED,
    StatusCode.ASSIGNED,
    StatusCode.PROCESSING,
    StatusCode.FINISHED,
)
#: Which reports give what a limit asks for. A refusal says that it arrived and was handled.
_GIVEN_BY = {
    DeadlineKind.RECEIPT: frozenset({*_LADDER, StatusCode.REFUSED}),
    DeadlineKind.HANDLING: frozenset({*_LADDER[1:], StatusCode.REFUSED}),
    DeadlineKind.ASSIGN: frozenset(_LADDER[2:]),
}
_ENDED_BY_REFUSAL = (DeadlineKind.ASSIGN, DeadlineKind.REPLY)


def closed_by_report(
    deadlines: Iterable[Deadline], code: StatusCode, at: datetime, by: str = ""
) -> list[Settled]:
    """Those of a delivery's deadlines that a report settles, which reached the gateway at `at`.

    Only for reports that the business state allows (`routing.states.acknowledge`).
    """
    settled = []
    for deadline in _unsettled(deadlines):
        if code in _GIVEN_BY.get(deadline.kind, ()):
            settled.append(_given(deadline, at, by or f"report {code}"))
        elif code is StatusCode.REFUSED and deadline.kind in _ENDED_BY_REFUSAL:
            settled.append(_close(deadline, DeadlineState.CANCELLED, at, by or f"report {code}"))
    return settled


def closed_by_reply(deadlines: Iterable[Deadline], at: datetime, by: str) -> list[Settled]:
    """Those that a document in reply settles (lifecycle, "Replies"); `by` names it."""
    return [_given(one, at, by) for one in _unsettled(deadlines) if one.kind is DeadlineKind.REPLY]


def closed_by_answer(
    deadlines: Iterable[Deadline], code: StatusCode, at: datetime, by: str = ""
) -> list[Settled]:
    """Those of a request's carrier that a 15 or 16 settles; any other code settles none."""
    if code not in (StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED):
        return []
    by = by or f"report {code}"
    return [_given(one, at, by) for one in _unsettled(deadlines) if one.kind is DeadlineKind.RECALL]


def cancelled(deadlines: Iterable[Deadline], at: datetime, by: str) -> list[Settled]:
    """All that are unsettled, cancelled; `by` says why: withdrawn, returned, replaced, recalled."""
    return [_close(one, DeadlineState.CANCELLED, at, by) for one in _unsettled(deadlines)]


def _unsettled(deadlines: Iterable[Deadline]) -> list[Deadline]:
    return [deadline for deadline in deadlines if not deadline.state.is_closed]


def _given(deadline: Deadline, at: datetime, by: str) -> Settled:
    state = DeadlineState.LATE if at > deadline.due_at else DeadlineState.MET
    return _close(deadline, state, at, by)


def _close(deadline: Deadline, state: DeadlineState, at: datetime, by: str) -> Settled:
    after = replace(deadline, state=state, notice_at=None, closed_at=at, closed_by=by)
    return Settled(deadline, after)


# --- notices --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nearing:
    """The time is nearly over: the deadline as it stands after this notice, and its event."""

    deadline: Deadline
    event: Event


@dataclass(frozen=True, slots=True)
class Overdue:
    """The time is over: the deadline as it stands after this notice, and its event."""

    deadline: Deadline
    event: Event


def due_notice(
    deadline: Deadline, now: datetime, actor: str = "gateway:timer"
) -> Nearing | Overdue | None:
    """The notice to give now, if any. Each is given once; a missed nearing is not made up for."""
    if deadline.state is not DeadlineState.OPEN or deadline.notice_at is None:
        return None
    if now > deadline.due_at:
        after = replace(deadline, state=DeadlineState.OVERDUE, notice_at=None)
        return Overdue(after, _event(after, "overdue", now, actor, DeadlineState.OPEN))
    if now > deadline.notice_at and deadline.notice_at < deadline.due_at:
        after = replace(deadline, notice_at=deadline.due_at)
        return Nearing(after, _event(after, "nearing", now, actor, DeadlineState.OPEN))
    return None


# --- events ---------------------------------------------------------------------------------------


def opened_event(deadline: Deadline, at: datetime, actor: str, correlation_id: str = "") -> Event:
    """``deadline.opened``."""
    return _event(deadline, "opened", at, actor, None, correlation_id)


def _event(
    deadline: Deadline,
    what: str,
    at: datetime,
    actor: str,
    before: DeadlineState | None,
    correlation_id: str = "",
) -> Event:
    data = {
        "deadlineId": deadline.id,
        "kind": deadline.kind.value,
        "rule": deadline.kind.rule,
        "startsAt": _shown(deadline.starts_at),
        "dueAt": _shown(deadline.due_at),
    }
    if deadline.closed_by:
        data["closedBy"] = deadline.closed_by
    return Event(
        type=f"deadline.{what}",
        at=at,
        actor=actor,
        document_pk=deadline.document_pk,
        package_id=deadline.package_id,
        delivery_id=deadline.delivery_id,
        from_state=before.value if before else None,
        to_state=deadline.state.value,
        correlation_id=correlation_id,
        data=data,
    )


def _shown(at: datetime) -> str:
    """The same text whether the time was just worked out or came from the database."""
    return at.astimezone(VIETNAM_TIME).isoformat()
