"""Working calendars: public holidays of Vietnam, and what the operator's file says otherwise.

Holidays, Tết, days off in lieu and make-up Saturdays come from the `holidays` library, year by year
when they are asked for. Which days are swapped is decided every year by the government, and some
agencies keep other hours, so a TOML file goes before the library:

    [national]                        # holds for every profile
    office_hours = ["07:30-11:30", "13:30-17:00"]
    weekend = ["sat", "sun"]
    holidays = ["2027-02-11 Nghỉ bù Tết"]     # off, whatever the library says
    working_days = ["2026-08-22"]             # worked, whatever the library says
    not_holidays = ["2026-11-24"]             # nothing special: its weekday decides

    [kon-tum]                         # a profile; takes over what it does not say itself
    weekend = ["sun"]
    office_hours = { sat = ["07:30-11:30"] }  # other hours on some weekdays only
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

import holidays as library

from routing.working_time import (
    FIRST_DAY,
    LAST_DAY,
    USUAL_HOURS,
    USUAL_WEEKEND,
    Hours,
    WorkingCalendar,
    check_hours,
    covers,
)

#: The profile that every other one inherits from, and that holds where there is no other.
NATIONAL = "national"

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS = ("office_hours", "weekend", "holidays", "working_days", "not_holidays")

#: What a day off is called when the file gives it no name.
UNNAMED = "Ngày nghỉ"


class CalendarProblem(Exception):
    """The operator's file cannot be used; each of `problems` names the profile and the key."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# --- the library's days ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Year:
    holidays: Mapping[date, str]
    working_days: frozenset[date]


@lru_cache(maxsize=256)
def _year(year: int) -> _Year:
    """The library's days of one year; a day may be made up for in the year before or after."""
    known = library.country_holidays("VN", years=(year - 1, year, year + 1), language="vi")
    return _Year(
        {day: name for day, name in known.items() if day.year == year},
        frozenset(day for day in known.weekend_workdays if day.year == year),
    )


# --- the operator's days --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Off:
    """A day off, and what it is called."""

    name: str


@dataclass(frozen=True, slots=True)
class _Worked:
    """A day that is worked."""


@dataclass(frozen=True, slots=True)
class _Usual:
    """A day like any other of its weekday."""


_Said = Mapping[date, _Off | _Worked | _Usual]


@dataclass(frozen=True, slots=True)
class _Holidays:
    """`routing.working_time.NamedDays` of the file, else of the library."""

    said: _Said

    def get(self, day: date, /) -> str | None:
        said = self.said.get(day)
        if said is None:
            return _year(day.year).holidays.get(day)
        return said.name if isinstance(said, _Off) else None


@dataclass(frozen=True, slots=True)
class _WorkingDays:
    """The make-up days of the file, else of the library."""

    said: _Said

    def __contains__(self, day: object) -> bool:
        if not isinstance(day, date):
            return False
        said = self.said.get(day)
        if said is None:
            return day in _year(day.year).working_days
        return isinstance(said, _Worked)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one profile once the file was read, inheritance included."""

    office_hours: tuple[Hours, ...] = (USUAL_HOURS,) * 7
    weekend: frozenset[int] = USUAL_WEEKEND
    said: _Said = field(default_factory=dict)

    def calendar(self) -> WorkingCalendar:
        """The calendar; raises `ValueError` when nobody would ever work."""
        return WorkingCalendar(
            office_hours=self.office_hours,
            weekend=self.weekend,
            holidays=_Holidays(self.said),
            working_days=_WorkingDays(self.said),
        )


class Calendars:
    """The calendars of all profiles."""

    def __init__(self, calendars: Mapping[str, WorkingCalendar] | None = None) -> None:
        self._calendars = {NATIONAL: Profile().calendar(), **(calendars or {})}

    @classmethod
    def load(cls, file: Path | None) -> Calendars:
        """The calendars of an operator's file; without one the library's alone.

        Raises `CalendarProblem` with all that is wrong with the file.
        """
        if file is None:
            return cls()
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CalendarProblem((f"{file}: {error}",)) from error
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> Calendars:
        """`load` of a file with this text."""
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CalendarProblem((f"this is no TOML: {error}",)) from error
        reader = _Reader()
        calendars = reader.calendars(tables)
        if reader.problems:
            raise CalendarProblem(tuple(reader.problems))
        return cls(calendars)

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles that have a calendar of their own."""
        return tuple(self._calendars)

    def of(self, profile: str = NATIONAL) -> WorkingCalendar:
        """The calendar of a profile; the national one where it has none of its own."""
        return self._calendars.get(profile) or self._calendars[NATIONAL]


# --- reading the file -----------------------------------------------------------------------------


class _Reader:
    """Reads the tables and collects everything that is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def calendars(self, tables: Mapping[str, Any]) -> dict[str, WorkingCalendar]:
        """A calendar for every table that is right, inheriting from the national one."""
        national = self._profile(NATIONAL, tables.get(NATIONAL, {}), Profile())
        profiles = {NATIONAL: national}
        for name, keys in tables.items():
            if name != NATIONAL:
                profiles[name] = self._profile(name, keys, national)
        made = {}
        for name, profile in profiles.items():
            try:
                made[name] = profile.calendar()
            except ValueError as error:
                self._wrong(name, error)
        return made

    def _wrong(self, where: str, what: object) -> None:
        self.problems.append(f"{where}: {what}")

    def _profile(self, name: str, keys: Any, parent: Profile) -> Profile:
        if not isinstance(keys, dict):
            self._wrong(name, f"there is no key of this name outside a profile; write [{NATIONAL}]")
            return parent
        for key in sorted(keys.keys() - set(KEYS)):
            self._wrong(f"{name}.{key}", f"there is no such key; there are {', '.join(KEYS)}")
        hours, weekend = parent.office_hours, parent.weekend
        if "office_hours" in keys:
            hours = self._office_hours(f"{name}.office_hours", keys["office_hours"], hours)
        if "weekend" in keys:
            listed = self._texts(f"{name}.weekend", keys["weekend"])
            weekend = frozenset(self._weekdays(f"{name}.weekend", listed))
        said = self._said(name, keys)
        for day, what in said.items():
            if isinstance(what, _Worked) and not hours[day.weekday()]:
                there = WEEKDAYS[day.weekday()]
                self._wrong(f"{name}.working_days", f"{day} is a {there}, which has no hours")
        return Profile(hours, weekend, {**parent.said, **said})

    def _office_hours(self, where: str, value: Any, parent: tuple[Hours, ...]) -> tuple[Hours, ...]:
        """One list for all weekdays, or a table of lists for some of them."""
        if not isinstance(value, dict):
            return (self._sessions(where, value),) * 7
        hours = list(parent)
        for day in self._weekdays(where, value):
            there = WEEKDAYS[day]
            hours[day] = self._sessions(f"{where}.{there}", value[there])
        return tuple(hours)

    def _sessions(self, where: str, value: Any) -> Hours:
        sessions = []
        for text in self._texts(where, value):
            start, _, end = text.partition("-")
            try:
                sessions.append((_clock(start), _clock(end)))
            except ValueError:
                self._wrong(where, f"{text!r} is not written like 07:30-11:30")
        try:
            check_hours(tuple(sessions))
        except ValueError as error:
            self._wrong(where, error)
        return tuple(sessions)

    def _weekdays(self, where: str, texts: Any) -> Iterator[int]:
        for text in texts:
            if text in WEEKDAYS:
                yield WEEKDAYS.index(text)
            else:
                self._wrong(where, f"{text!r} is no weekday; they are {', '.join(WEEKDAYS)}")

    def _said(self, name: str, keys: Mapping[str, Any]) -> dict[date, _Off | _Worked | _Usual]:
        said: dict[date, _Off | _Worked | _Usual] = {}
        listed_in: dict[date, str] = {}
        for key in ("holidays", "working_days", "not_holidays"):
            for day, label in self._days(f"{name}.{key}", keys.get(key, [])):
                if day in said:
                    self._wrong(f"{name}.{key}", f"{day} is listed in {listed_in[day]} already")
                listed_in[day] = key
                if key == "holidays":
                    said[day] = _Off(label or UNNAMED)
                else:
                    said[day] = _Worked() if key == "working_days" else _Usual()
        return said

    def _days(self, where: str, value: Any) -> Iterator[tuple[date, str]]:
        """Dates with their names, if any; TOML's own dates will do too."""
        if not isinstance(value, list):
            self._wrong(where, f"{value!r} is not a list")
            return
        for item in value:
            try:
                day, label = _named_day(item)
            except ValueError:
                self._wrong(where, f"{str(item)!r} is not written like 2027-02-11 or '… Nghỉ bù'")
                continue
            if covers(day):
                yield day, label
            else:
                self._wrong(where, f"{day} does not lie between {FIRST_DAY} and {LAST_DAY}")

    def _texts(self, where: str, value: Any) -> list[str]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self._wrong(where, f"{value!r} is not a list of texts")
        return []


def _named_day(item: Any) -> tuple[date, str]:
    # A date with a time of day is a date too, to Python.
    if isinstance(item, date) and not isinstance(item, datetime):
        return item, ""
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is no date")
    text, _, label = item.strip().partition(" ")
    return date.fromisoformat(text), label.strip()


def _clock(text: str) -> time:
    return datetime.strptime(text.strip(), "%H:%M").time()  # noqa: DTZ007  # a time of day, no zone
