"""Office hours as law counts time: when something is legally sent, received, and due.

Real times are kept everywhere; legal times are derived here (BT 7: what happens outside office
hours counts as the start of the next office hours). Pure: the days off come in as data.

Working time is a sequence of *sessions*, `[start, end)` each: at 17:00 sharp the office is closed.
A due time may be the end of a session: "within 2 hours" from 15:00 ends at 17:00, not at 07:30.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Protocol

from envelopes.model import VIETNAM_TIME

#: Office hours of one day: sessions in order, start and end in Vietnam time.
Hours = tuple[tuple[time, time], ...]

#: 07:30-11:30 and 13:30-17:00, the usual hours of state agencies.
USUAL_HOURS: Hours = ((time(7, 30), time(11, 30)), (time(13, 30), time(17, 0)))
#: Saturday and Sunday, as `date.weekday` counts.
USUAL_WEEKEND = frozenset({5, 6})

#: Dates that somebody can have meant; public holidays are known for about as long.
FIRST_DAY, LAST_DAY = date(1902, 1, 1), date(2099, 12, 31)

_NOON = time(12, 0)
_ONE_DAY = timedelta(days=1)
_NOTHING = timedelta(0)
#: Longest walk to the next or last working day; a calendar without one for so long is a mistake.
_LONGEST_BREAK = 370


class NamedDays(Protocol):
    """Days off with their names; a dict, or something that works years out when asked."""

    def get(self, day: date, /) -> str | None:
        """The name of the holiday; None for a day that is none."""


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """When an agency works. All datetimes in and out are aware; those out are Vietnam time.

    Raises `ValueError` at once for hours that overlap or run backwards, for a week without work,
    and, when asked, for a naive datetime.
    """

    #: Monday to Sunday: the hours of that weekday when it is worked, weekends included, because a
    #: make-up Saturday has hours too.
    office_hours: tuple[Hours, ...] = (USUAL_HOURS,) * 7
    weekend: frozenset[int] = USUAL_WEEKEND
    holidays: NamedDays = field(default_factory=lambda: _NO_HOLIDAYS)
    #: Make-up days: worked although a weekend or a holiday (hoán đổi ngày làm việc).
    working_days: Container[date] = frozenset()

    def __post_init__(self) -> None:
        if len(self.office_hours) != 7:
            raise ValueError(f"office hours of {len(self.office_hours)} weekdays instead of 7")
        for hours in self.office_hours:
            check_hours(hours)
        if all(day in self.weekend or not self.office_hours[day] for day in range(7)):
            raise ValueError("no weekday has office hours")

    # --- days -------------------------------------------------------------------------------------

    def holiday(self, day: date) -> str | None:
        """The name of the holiday that makes this a day off."""
        return None if day in self.working_days else self.holidays.get(day)

    def is_working_day(self, day: date) -> bool:
        """Whether the office opens at all."""
        if not self.office_hours[day.weekday()]:
            return False
        if day in self.working_days:
            return True
        return day.weekday() not in self.weekend and self.holidays.get(day) is None

    def intervals(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """The sessions of a day in order; none on a day off."""
        if not self.is_working_day(day):
            return ()
        return tuple((_at(day, a), _at(day, b)) for a, b in self.office_hours[day.weekday()])

    # --- moments ----------------------------------------------------------------------------------

    def legal_time(self, moment: datetime) -> datetime:
        """When something that happened at `moment` counts as done (BT 7)."""
        return next(self._sessions(_local(moment)))[0]

    def add(self, moment: datetime, span: timedelta) -> datetime:
        """The first moment at which `span` of working time has gone by since `moment`.

        Nothing added changes nothing, even outside office hours. Raises `ValueError` for a
        negative span.
        """
        if span < _NOTHING:
            raise ValueError(f"working time goes forward only, not {span}")
        at = _local(moment)
        if span == _NOTHING:
            return at
        left = span
        sessions = self._sessions(at)
        while True:
            start, end = next(sessions)
            if left <= end - start:
                return start + left
            left -= end - start

    def working_time_between(self, start: datetime, end: datetime) -> timedelta:
        """Office hours from `start` to `end`; nothing when `end` is not later."""
        start, end = _local(start), _local(end)
        total = _NOTHING
        if end <= start:
            return total
        for opens, closes in self._sessions(start):
            if opens >= end:
                break
            total += min(closes, end) - opens
        return total

    def end_of_day(self, moment: datetime) -> datetime:
        """The end of office hours on the legal day of `moment` ("within the same day")."""
        return self.intervals(self.legal_time(moment).date())[-1][1]

    def next_morning_end(self, moment: datetime) -> datetime:
        """The end of the morning of the working day after the legal day of `moment`.

        Morning is what lies before noon; on a day without any, its first session.
        """
        tomorrow = self.legal_time(moment).date() + _ONE_DAY
        sessions = self.intervals(self._working_day(tomorrow, _ONE_DAY))
        noon = datetime.combine(sessions[0][0].date(), _NOON, VIETNAM_TIME)
        mornings = [min(end, noon) for start, end in sessions if start < noon]
        return mornings[-1] if mornings else sessions[0][1]

    def end_on(self, day: date) -> datetime:
        """The end of office hours on `day`, or on the last working day before a day off."""
        return self.intervals(self._working_day(day, -_ONE_DAY))[-1][1]

    # --- walking ----------------------------------------------------------------------------------

    def _working_day(self, day: date, step: timedelta) -> date:
        """`day`, or the first working day from it in the direction of `step`."""
        found = day
        for _ in range(_LONGEST_BREAK):
            if self.is_working_day(found):
                return found
            found += step
        raise ValueError(f"no working day within {_LONGEST_BREAK} days of {day}")

    def _sessions(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """What is left of the session at `moment`, and all sessions after it, without end."""
        day = moment.date()
        while True:
            day = self._working_day(day, _ONE_DAY)
            for start, end in self.intervals(day):
                if end > moment:
                    yield max(start, moment), end
            day += _ONE_DAY


_NO_HOLIDAYS: Mapping[date, str] = {}


def covers(day: date) -> bool:
    """Whether `day` is one that calendars can work with and somebody can have meant."""
    return FIRST_DAY <= day <= LAST_DAY


def check_hours(hours: Hours) -> None:
    """Raise `ValueError` unless the sessions of a day follow each other."""
    for start, end in hours:
        if start >= end:
            raise ValueError(f"office hours {start:%H:%M}-{end:%H:%M} do not run forward")
    for (_, end), (start, _) in pairwise(hours):
        if start < end:
            raise ValueError(f"office hours that start at {start:%H:%M} overlap those before")


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, VIETNAM_TIME)


def _local(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment!r} given to a calendar")
    return moment.astimezone(VIETNAM_TIME)
