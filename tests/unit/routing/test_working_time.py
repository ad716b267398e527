"""Office hours as law counts them: examples from the calendar of 2026, and the laws of counting."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.model import VIETNAM_TIME
from routing.working_time import (
    LAST_DAY,
    USUAL_HOURS,
    Hours,
    WorkingCalendar,
    covers,
)

#: 2026: Monday 27 April is off in lieu, Tết from Monday 16 to Friday 20 February, Monday
#: 31 August is swapped for Saturday 22 August.
HOLIDAYS = {
    date(2026, 4, 27): "Giỗ Tổ (nghỉ bù)",
    date(2026, 4, 30): "Ngày Chiến thắng",
    date(2026, 5, 1): "Quốc tế Lao động",
    **{date(2026, 2, day): "Tết" for day in range(16, 21)},
    date(2026, 8, 31): "Ngày nghỉ (thay cho 22/08/2026)",
}
CALENDAR = WorkingCalendar(holidays=HOLIDAYS, working_days=frozenset({date(2026, 8, 22)}))
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """A moment of 2026 in Vietnam time: ``04-24 17:30``."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=VIETNAM_TIME)


# --- examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "legal"),
    [
        ("04-28 08:15", "04-28 08:15"),
        ("04-28 07:30", "04-28 07:30"),
        ("04-28 06:00", "04-28 07:30"),
        ("04-28 11:30", "04-28 13:30"),
        ("04-28 12:10", "04-28 13:30"),
        ("04-28 16:59:59.999999", "04-28 16:59:59.999999"),
        ("04-28 17:00", "04-29 07:30"),
        # Friday evening before a Monday off.
        ("04-24 17:30", "04-28 07:30"),
        # On a holiday that lies between working days.
        ("04-30 09:00", "05-04 07:30"),
        # The Friday before Tết: ten days until the office opens again.
        ("02-13 17:30", "02-23 07:30"),
        ("02-17 00:00", "02-23 07:30"),
        # A make-up Saturday is worked, the Monday that it makes up for is not.
        ("08-21 18:00", "08-22 07:30"),
        ("08-28 18:00", "09-01 07:30"),
    ],
)
def test_outside_office_hours_the_start_of_the_next_ones_counts(moment: str, legal: str) -> None:
    """BT 7: what happens while the office is closed counts as its next opening."""
    assert CALENDAR.legal_time(at(moment)) == at(legal)


@pytest.mark.parametrize(
    ("moment", "hours", "due"),
    [
        ("04-24 17:30", 2, "04-28 09:30"),
        ("04-28 10:30", 2, "04-28 14:30"),
        # The end of the day, not the start of the next.
        ("04-28 15:00", 2, "04-28 17:00"),
        ("04-28 15:30", 2, "04-29 08:00"),
        ("02-13 16:00", 8, "02-23 16:30"),
        ("08-21 16:00", 2, "08-22 08:30"),
        ("04-25 10:00", 0, "04-25 10:00"),
    ],
)
def test_hours_are_counted_while_the_office_is_open(moment: str, hours: int, due: str) -> None:
    """Working hours run over lunch, nights, weekends and holidays without being spent."""
    assert CALENDAR.add(at(moment), hours * HOUR) == at(due)


def test_the_same_day_is_the_legal_day() -> None:
    """What comes in the evening is still in time at the end of the next working day."""
    assert CALENDAR.end_of_day(at("04-28 09:00")) == at("04-28 17:00")
    assert CALENDAR.end_of_day(at("04-24 17:30")) == at("04-28 17:00")


def test_the_next_morning_is_that_of_the_next_working_day() -> None:
    """KG 3.3: the morning after the legal day of receipt, over weekends and holidays."""
    assert CALENDAR.next_morning_end(at("04-28 09:00")) == at("04-29 11:30")
    assert CALENDAR.next_morning_end(at("04-29 16:00")) == at("05-04 11:30")
    assert CALENDAR.next_morning_end(at("04-24 17:30")) == at("04-29 11:30")


@pytest.mark.parametrize(
    ("hours", "end"),
    [
        (((time(8), time(16)),), time(12)),
        (((time(7), time(9)), (time(10), time(11)), (time(13), time(15))), time(11)),
        (((time(13), time(15)), (time(16), time(18))), time(15)),
    ],
)
def test_morning_is_what_lies_before_noon(hours: Hours, end: time) -> None:
    """Offices without a lunch break, with many, and without a morning have a morning's end too."""
    calendar = WorkingCalendar(office_hours=(hours,) * 7)
    found = calendar.next_morning_end(at("04-28 14:00"))
    assert found == datetime.combine(date(2026, 4, 29), end, VIETNAM_TIME)


def test_a_date_is_over_with_its_office_hours_or_those_before_it() -> None:
    """A due date on a day off is the end of the last working day before it."""
    assert CALENDAR.end_on(date(2026, 4, 28)) == at("04-28 17:00")
    assert CALENDAR.end_on(date(2026, 5, 3)) == at("04-29 17:00")
    assert CALENDAR.end_on(date(2026, 8, 22)) == at("08-22 17:00")


def test_working_time_between_counts_open_hours_only() -> None:
    """7.5 hours a day; nothing when the end does not come later."""
    assert CALENDAR.working_time_between(at("04-28 00:00"), at("04-30 00:00")) == 15 * HOUR
    assert CALENDAR.working_time_between(at("04-28 11:00"), at("04-28 14:00")) == HOUR
    assert CALENDAR.working_time_between(at("02-14 00:00"), at("02-23 07:30")) == 0 * HOUR
    assert CALENDAR.working_time_between(at("04-28 10:00"), at("04-28 09:00")) == 0 * HOUR


def test_a_make_up_day_is_no_holiday_any_more() -> None:
    """Being worked goes before being a holiday or a weekend."""
    calendar = WorkingCalendar(
        holidays=HOLIDAYS, working_days={date(2026, 4, 27), date(2026, 5, 2)}
    )
    assert calendar.holiday(date(2026, 4, 27)) is None
    assert calendar.is_working_day(date(2026, 4, 27))
    assert calendar.is_working_day(date(2026, 5, 2))
    assert CALENDAR.holiday(date(2026, 4, 27)) == "Giỗ Tổ (nghỉ bù)"
    assert CALENDAR.intervals(date(2026, 4, 27)) == ()


def test_a_weekday_without_hours_is_never_worked() -> None:
    """Hours are per weekday: Saturday mornings only, Sundays never, not even as a make-up day."""
    morning: Hours = ((time(7, 30), time(11, 30)),)
    calendar = WorkingCalendar(
        office_hours=(*(USUAL_HOURS,) * 5, morning, ()),
        weekend=frozenset({6}),
        working_days={date(2026, 4, 26)},
    )
    assert calendar.end_of_day(at("04-25 08:00")) == at("04-25 11:30")
    assert calendar.legal_time(at("04-25 12:00")) == at("04-27 07:30")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "office_hours",
    [
        (USUAL_HOURS,) * 5,
        (((time(9), time(8)),),) * 7,
        (((time(8), time(8)),),) * 7,
        (((time(8), time(12)), (time(11), time(17))),) * 7,
        ((),) * 7,
        (*((),) * 5, USUAL_HOURS, USUAL_HOURS),
    ],
)
def test_hours_that_nobody_can_keep_are_refused(office_hours: tuple[Hours, ...]) -> None:
    """Overlapping or backward hours, and a week without any, never become a calendar."""
    with pytest.raises(ValueError, match="office hours"):
        WorkingCalendar(office_hours=office_hours)


def test_a_calendar_without_working_days_says_so_instead_of_searching_for_ever() -> None:
    """A year and more of holidays is a mistake that is named."""

    class Always:
        def get(self, day: date, /) -> str | None:
            return "Nghỉ"

    with pytest.raises(ValueError, match="no working day"):
        WorkingCalendar(holidays=Always()).legal_time(at("04-28 09:00"))


def test_times_without_a_zone_and_negative_spans_are_bugs() -> None:
    """Both are refused instead of guessed at."""
    with pytest.raises(ValueError, match="naive"):
        CALENDAR.legal_time(datetime(2026, 4, 28))  # noqa: DTZ001  # that is the point
    with pytest.raises(ValueError, match="forward"):
        CALENDAR.add(at("04-28 09:00"), -HOUR)


def test_dates_of_another_age_are_not_covered() -> None:
    """Slips of the pen are recognised before anybody counts to them."""
    assert covers(date(2026, 1, 1))
    assert covers(LAST_DAY)
    assert not covers(date(206, 1, 1))
    assert not covers(date(9999, 12, 31))


# --- laws -----------------------------------------------------------------------------------------


@st.composite
def hours_of_a_day(draw: st.DrawFn) -> Hours:
    """One to three sessions."""
    minutes = draw(st.lists(st.integers(0, 24 * 60 - 1), min_size=2, max_size=6, unique=True))
    clocks = [time(minute // 60, minute % 60) for minute in sorted(minutes)]
    return tuple(zip(clocks[::2], clocks[1::2], strict=False))


@st.composite
def calendars(draw: st.DrawFn) -> WorkingCalendar:
    """Any calendar with hours on Wednesdays, and some days off and made up around the moments."""
    week = [draw(st.one_of(st.just(()), hours_of_a_day())) for _ in range(7)]
    week[2] = draw(hours_of_a_day())
    days = st.dates(date(2026, 1, 1), date(2026, 3, 31))
    return WorkingCalendar(
        office_hours=tuple(week),
        weekend=frozenset(draw(st.sets(st.sampled_from([0, 1, 3, 4, 5, 6])))),
        holidays=dict.fromkeys(draw(st.sets(days, max_size=30)), "Nghỉ"),
        working_days=frozenset(draw(st.sets(days, max_size=5))),
    )


MOMENTS = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001  # the strategy adds the zone
    datetime(2026, 4, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, VIETNAM_TIME]),
)
SPANS = st.timedeltas(timedelta(0), timedelta(hours=30))


@given(calendars(), MOMENTS)
def test_law_legal_time_is_the_first_open_moment(calendar: WorkingCalendar, a: datetime) -> None:
    """It lies in office hours, not before the moment, no open hour between; once is all."""
    legal = calendar.legal_time(a)
    assert legal >= a
    assert any(start <= legal < end for start, end in calendar.intervals(legal.date()))
    assert calendar.working_time_between(a, legal) == timedelta(0)
    assert calendar.legal_time(legal) == legal


@given(calendars(), MOMENTS, MOMENTS)
def test_law_legal_time_keeps_the_order(
    calendar: WorkingCalendar, a: datetime, b: datetime
) -> None:
    """What happened first never counts as later."""
    a, b = min(a, b), max(a, b)
    assert calendar.legal_time(a) <= calendar.legal_time(b)


@given(calendars(), MOMENTS, SPANS, SPANS)
def test_law_spans_add_up(
    calendar: WorkingCalendar, a: datetime, x: timedelta, y: timedelta
) -> None:
    """Adding in one step or two is the same."""
    assert calendar.add(a, x + y) == calendar.add(calendar.add(a, x), y)


@given(calendars(), MOMENTS, SPANS)
def test_law_what_was_added_lies_between(
    calendar: WorkingCalendar, a: datetime, x: timedelta
) -> None:
    """Counting back gives exactly what was added, and the legal start makes no difference."""
    end = calendar.add(a, x)
    assert calendar.working_time_between(a, end) == x
    if x:
        assert calendar.add(calendar.legal_time(a), x) == end


@given(calendars(), MOMENTS, MOMENTS, MOMENTS)
def test_law_working_time_is_additive(
    calendar: WorkingCalendar, a: datetime, b: datetime, c: datetime
) -> None:
    """The parts of a stretch of time make the whole."""
    a, b, c = sorted((a, b, c))
    parts = calendar.working_time_between(a, b) + calendar.working_time_between(b, c)
    assert parts == calendar.working_time_between(a, c)
