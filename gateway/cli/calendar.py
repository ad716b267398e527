"""`lienthong calendar …`: which days are worked, and what the law makes of a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import click

from adapters.calendars import NATIONAL, WEEKDAYS, CalendarProblem, Calendars
from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.cli.context import State, in_a_table, json_option, pass_state
from gateway.cli.failures import wrong_use
from gateway.cli.output import print_fields, print_json, print_table, say, sentence, show
from routing.deadline_limits import Limits, due_time, warn_time
from routing.deadlines import DeadlineKind
from routing.working_time import FIRST_DAY, LAST_DAY, Hours, WorkingCalendar, covers

_DAY_OFF, _MAKE_UP = "off", "worked"


@click.group(short_help="Working days, and limits counted in them.")
def calendar() -> None:
    """Working days, and limits counted in them. Times are Vietnam time (UTC+7)."""


def _profile_option(function: Any) -> Any:
    return click.option(
        "--profile", default=NATIONAL, show_default=True, help="Whose working time."
    )(function)


@calendar.command("show")
@click.option(
    "--year",
    type=click.IntRange(FIRST_DAY.year, LAST_DAY.year),
    help="Default: the present year.",
)
@_profile_option
@json_option
@pass_state
def show_(state: State, year: int | None, profile: str, as_json: bool) -> None:
    """Show office hours, days off and make-up days of a year."""
    working = _calendar(state, profile)
    year = year or clock.now().astimezone(VIETNAM_TIME).year
    days = list(_special_days(working, year))
    if as_json:
        print_json(
            {
                "profile": profile,
                "year": year,
                "officeHours": {
                    name: [f"{a:%H:%M}-{b:%H:%M}" for a, b in hours]
                    for name, hours in zip(WEEKDAYS, working.office_hours, strict=True)
                },
                "weekend": [WEEKDAYS[day] for day in sorted(working.weekend)],
                "days": [
                    {"date": day.isoformat(), "kind": kind, "name": name}
                    for day, kind, name in days
                ],
            }
        )
        return
    print_fields(_hours_fields(working))
    show()
    print_table(
        ("DATE", "DAY", "KIND", "NAME"),
        [(day.isoformat(), WEEKDAYS[day.weekday()], kind, name) for day, kind, name in days],
    )


@calendar.command()
@click.argument("time")
@click.option("--due-date", help="DueDate of the document, YYYY-MM-DD: when the reply is due.")
@_profile_option
@json_option
@pass_state
def explain(state: State, time: str, due_date: str | None, profile: str, as_json: bool) -> None:
    """Tell when what is received at TIME counts as received, and when what is due.

    TIME is written like 2026-08-21T17:30; without a zone it is Vietnam time.
    """
    working, limits = _calendar(state, profile), Limits()
    received = _moment(time)
    reply_by = _due_date(due_date)
    start = working.legal_time(received)
    rows = []
    for kind in DeadlineKind:
        due = due_time(kind, received, working, limits, reply_by)
        if due is not None:
            rows.append((kind, warn_time(start, due, working, limits), due))
    if as_json:
        print_json(
            {
                "profile": profile,
                "time": received,
                "legalTime": start,
                "limits": [
                    {
                        "kind": kind.value,
                        "rule": kind.rule,
                        "nearingAt": warn,
                        "dueAt": due,
                        "vi": kind.sentence.vi,
                        "en": kind.sentence.en,
                    }
                    for kind, warn, due in rows
                ],
            }
        )
        return
    print_fields(
        [
            ("received", _shown(received)),
            ("counts as", _shown(start)),
            ("why", _why(working, received)),
        ]
    )
    show()
    print_table(
        ("LIMIT", "DUE", "NEARING FROM", "WHAT IS OWED"),
        [
            (kind.value, _shown(due), _shown(warn), sentence(kind.sentence, in_a_table(state)))
            for kind, warn, due in rows
        ],
    )


def _calendar(state: State, profile: str) -> WorkingCalendar:
    file = getattr(state.settings, "calendar_file", None)
    try:
        calendars = Calendars.load(file)
    except CalendarProblem as error:
        wrong_use(f"The calendar file {file} cannot be used:\n{error}")
    if profile not in calendars.names:
        say(f"There is no table [{profile}] in the calendar file: the national calendar holds.")
    return calendars.of(profile)


def _special_days(working: WorkingCalendar, year: int) -> Iterator[tuple[date, str, str]]:
    """Days that are not what their weekday says, and holidays on weekends, which have a name."""
    day = date(year, 1, 1)
    while day.year == year:
        name = working.holiday(day)
        if name is not None:
            yield day, _DAY_OFF, name
        elif day in working.working_days and working.is_working_day(day):
            yield day, _MAKE_UP, ""
        day += timedelta(days=1)


def _hours_fields(working: WorkingCalendar) -> Iterator[tuple[str, str]]:
    """Office hours by weekday, equal ones together."""
    days_of: dict[Hours, list[str]] = {}
    for day, hours in enumerate(working.office_hours):
        if day not in working.weekend:
            days_of.setdefault(hours, []).append(WEEKDAYS[day])
    for hours, days in days_of.items():
        written = ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in hours)
        yield " ".join(days), written or "closed"
    yield "weekend", " ".join(WEEKDAYS[day] for day in sorted(working.weekend)) or "none"


def _why(working: WorkingCalendar, received: datetime) -> str:
    """Why the legal time is what it is."""
    if working.legal_time(received) == received:
        return "within office hours"
    day = received.date()
    if working.is_working_day(day):
        return "outside office hours: the start of the next ones counts (BT 7)"
    named = working.holiday(day)
    return f"{named or 'no working day'}: the start of the next office hours counts (BT 7)"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        wrong_use(f"TIME is written like 2026-08-21T17:30, not {text!r}")
    if not covers(moment.date()):
        wrong_use(f"TIME lies between {FIRST_DAY} and {LAST_DAY}, not in {moment.year}")
    local = moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM_TIME)
    return local.astimezone(VIETNAM_TIME)


def _due_date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        wrong_use(f"--due-date is written like 2026-08-21, not {text!r}")
    if not covers(day):
        wrong_use(f"--due-date lies between {FIRST_DAY} and {LAST_DAY}, not on {day}")
    return day


def _shown(at: datetime) -> str:
    """With the weekday, which is what one looks for."""
    return f"{WEEKDAYS[at.weekday()]} {at:%Y-%m-%d %H:%M}"
