"""How long a limit is, and which limits begin when a delivery arrives. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from envelopes.model import BusinessDocType
from routing.deadlines import Deadline, DeadlineKind, DeadlineState
from routing.records import DOCUMENT, Delivery, PackageRecord
from routing.working_time import WorkingCalendar, covers


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
