"""The time limits on a delivery: opened when it arrives (`routing.deadline_limits`), closed by what
the receiver reports.

Pure. A limit never changes the document; it only gives notice, before its time is over and after
(rules, part D). No change of a deadline without its event: see `opened_event`, `Settled.event` and
the events inside `Nearing` and `Overdue`; `routing.deadline_watch` stores them together.

    open ── time over, notice given ──▶ overdue
    open or overdue ── came in time ──▶ met
    open or overdue ── came too late ──▶ late
    open or overdue ── nothing is owed any more ──▶ cancelled
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, StatusCode
from routing.records import Event


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
