"""Calendars from the holidays library and the operator's file, and the commands that show them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.calendars import CalendarProblem, Calendars
from envelopes.model import VIETNAM_TIME
from gateway.cli.calendar import calendar
from gateway.cli.context import State
from routing.working_time import USUAL_HOURS


def at(text: str) -> datetime:
    """A moment in Vietnam time."""
    return datetime.fromisoformat(text).replace(tzinfo=VIETNAM_TIME)


# --- the library ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "legal"),
    [
        # Giỗ Tổ 2026 falls on a Sunday: Monday is off in lieu.
        ("2026-04-24T17:30", "2026-04-28T07:30"),
        ("2026-02-13T17:30", "2026-02-23T07:30"),
        ("2026-08-21T17:30", "2026-08-22T07:30"),
        ("2026-08-28T17:30", "2026-09-03T07:30"),
        # The Friday before New Year's Eve 2019 was made up for in the year after it.
        ("2019-01-04T17:30", "2019-01-05T07:30"),
        ("2018-12-28T17:30", "2019-01-02T07:30"),
    ],
)
def test_public_holidays_and_make_up_days_are_known(received: str, legal: str) -> None:
    """Holidays, days off in lieu and swapped Saturdays need no file."""
    assert Calendars().of().legal_time(at(received)) == at(legal)


def test_holidays_have_their_vietnamese_names() -> None:
    """A clerk reads why a day does not count."""
    working = Calendars().of()
    assert working.holiday(date(2026, 9, 2)) == "Quốc khánh"
    assert working.holiday(date(2026, 2, 17)) == "Tết Nguyên Đán"
    assert working.holiday(date(2026, 9, 4)) is None


def test_every_profile_has_a_calendar() -> None:
    """One without a table keeps national working time."""
    calendars = Calendars()
    assert calendars.names == ("national",)
    assert calendars.of("kon-tum") is calendars.of("national")


# --- the file -------------------------------------------------------------------------------------

FILE = """
[kon-tum]
weekend = ["sun"]
office_hours = { sat = ["07:30-11:30"] }
holidays = ["2026-08-22"]

[national]
office_hours = ["07:00-11:30", "13:30-16:30"]
weekend = ["sat", "sun"]
holidays = ["2026-07-01 Ngày của tỉnh", 2026-07-02]
working_days = ["2026-09-02", "2026-07-11"]
not_holidays = ["2026-11-24", "2026-08-22"]

[bien-gioi]
not_holidays = ["2026-07-01"]
"""


def test_the_file_goes_before_the_library() -> None:
    """Days off, days worked and days that are nothing special, as the operator says."""
    working = Calendars.parse(FILE).of()
    assert working.holiday(date(2026, 7, 1)) == "Ngày của tỉnh"
    assert working.holiday(date(2026, 7, 2)) == "Ngày nghỉ"
    assert working.is_working_day(date(2026, 9, 2))
    assert working.is_working_day(date(2026, 7, 11))
    assert working.is_working_day(date(2026, 11, 24))
    assert not working.is_working_day(date(2026, 8, 22))
    assert working.end_of_day(at("2026-07-03T08:00")) == at("2026-07-03T16:30")
    # What the file does not mention is the library's.
    assert working.holiday(date(2026, 1, 1)) == "Tết Dương lịch"


def test_a_profile_takes_over_what_it_does_not_say() -> None:
    """National hours and days hold, but for what the profile's own table says."""
    calendars = Calendars.parse(FILE)
    kon_tum, border = calendars.of("kon-tum"), calendars.of("bien-gioi")
    assert kon_tum.office_hours[0] == ((time(7), time(11, 30)), (time(13, 30), time(16, 30)))
    assert kon_tum.end_of_day(at("2026-07-04T08:00")) == at("2026-07-04T11:30")
    assert kon_tum.holiday(date(2026, 8, 22)) == "Ngày nghỉ"
    assert kon_tum.holiday(date(2026, 7, 1)) == "Ngày của tỉnh"
    assert border.is_working_day(date(2026, 7, 1))
    assert not border.is_working_day(date(2026, 7, 2))
    assert border.is_working_day(date(2026, 9, 2))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[national]\noffice_hour = []", "national.office_hour: there is no such key"),
        ('office_hours = ["07:30-11:30"]', "office_hours: there is no key of this name outside"),
        ('[kt]\nholidays = ["2026-02-30 Nghỉ"]', "kt.holidays: '2026-02-30 Nghỉ' is not written"),
        ("[kt]\nworking_days = [2026-02-01T08:00:00]", "kt.working_days: '2026-02-01 08:00:00'"),
        ('[kt]\nholidays = ["0206-02-01"]', "kt.holidays: 0206-02-01 does not lie between"),
        ('[kt]\nholidays = "2026-02-01"', "kt.holidays: '2026-02-01' is not a list"),
        ('[kt]\nweekend = ["chủ nhật"]', "kt.weekend: 'chủ nhật' is no weekday"),
        ("[kt]\nweekend = [6]", "kt.weekend: [6] is not a list of texts"),
        ('[kt]\noffice_hours = ["7h-11h"]', "kt.office_hours: '7h-11h' is not written like"),
        ('[kt]\noffice_hours = ["11:30-07:30"]', "kt.office_hours: office hours 11:30-07:30"),
        (
            '[kt]\noffice_hours = ["07:30-11:30", "11:00-17:00"]',
            "kt.office_hours: office hours that start at 11:00 overlap",
        ),
        ('[kt]\noffice_hours = { t7 = ["07:30-11:30"] }', "kt.office_hours: 't7' is no weekday"),
        ("[kt]\noffice_hours = []", "kt: no weekday has office hours"),
        (
            '[kt]\nholidays = ["2026-08-22"]\nworking_days = ["2026-08-22"]',
            "kt.working_days: 2026-08-22 is listed in holidays already",
        ),
        (
            '[kt]\noffice_hours = { sat = [] }\nworking_days = ["2026-08-22"]',
            "kt.working_days: 2026-08-22 is a sat, which has no hours",
        ),
        ("[kt", "this is no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(text: str, problem: str) -> None:
    """Profile, key and value are named, so that the operator finds the line."""
    with pytest.raises(CalendarProblem) as caught:
        Calendars.parse(text)
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_all_problems_are_told_at_once() -> None:
    """A file is mended in one go."""
    with pytest.raises(CalendarProblem) as caught:
        Calendars.parse('[a]\nholidays = ["x"]\n[b]\nweekend = ["y"]\nz = 1')
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "a.holidays",
        "b.z",
        "b.weekend",
    ]


def test_a_file_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    """So is one that is not text; without a file there is none."""
    with pytest.raises(CalendarProblem, match=r"none\.toml"):
        Calendars.load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CalendarProblem, match=r"binary\.toml"):
        Calendars.load(tmp_path / "binary.toml")
    assert Calendars.load(None).of().office_hours == (USUAL_HOURS,) * 7


# --- the commands ---------------------------------------------------------------------------------


@dataclass
class SettingsWithCalendar:
    """The one setting that the commands read."""

    calendar_file: Path | None = None


def run(*arguments: str, file: Path | None = None, code: int = 0) -> Result:
    """`lienthong calendar …` with this calendar file."""
    settings: Any = SettingsWithCalendar(file)
    state = State(language="vi", _settings=settings)
    result = CliRunner().invoke(calendar, list(arguments), obj=state)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_show_lists_days_off_and_days_made_up() -> None:
    """Hours, weekends, holidays with their names and make-up days of one year."""
    shown = run("show", "--year", "2026").stdout
    assert "mon tue wed thu fri  07:30-11:30, 13:30-17:00" in shown
    assert "2026-08-22  sat  worked" in shown
    assert "2026-09-02  wed  off     Quốc khánh" in shown
    data = json.loads(run("show", "--year", "2026", "--json").stdout)
    assert {"date": "2026-08-22", "kind": "worked", "name": ""} in data["days"]
    assert data["weekend"] == ["sat", "sun"]


def test_explain_tells_the_legal_time_and_every_limit(tmp_path: Path) -> None:
    """What an operator answers when asked why something is overdue."""
    file = tmp_path / "calendar.toml"
    file.write_text(FILE, "utf-8")
    arguments = ("explain", "2026-04-24 17:30", "--due-date", "2026-05-03", "--json")
    national = json.loads(run(*arguments).stdout)
    assert national["legalTime"] == "2026-04-28T00:30:00Z"
    assert {limit["kind"]: limit["dueAt"] for limit in national["limits"]} == {
        "receipt": "2026-04-28T10:00:00Z",
        "handling": "2026-04-28T02:30:00Z",
        "assign": "2026-04-29T04:30:00Z",
        "reply": "2026-04-29T10:00:00Z",
        "recall": "2026-04-29T01:00:00Z",
    }
    other = json.loads(run(*arguments, "--profile", "kon-tum", file=file).stdout)
    assert other["legalTime"] == "2026-04-25T00:30:00Z"
    words = run("explain", "2026-04-30T09:00+07:00").stdout
    assert "Ngày Chiến thắng" in words
    assert "mon 2026-05-04 07:30" in words
    assert "KT 10.1c" in words


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "yesterday"),
        ("explain", "0026-04-24T17:30"),
        ("explain", "2026-04-24", "--due-date", "soon"),
        ("explain", "2026-04-24", "--due-date", "9999-12-31"),
        ("show", "--year", "1800"),
    ],
)
def test_wrong_times_are_wrong_use(arguments: tuple[str, ...]) -> None:
    """Exit code 2, and no traceback."""
    run(*arguments, code=2)


def test_a_broken_file_and_an_unknown_profile_are_said(tmp_path: Path) -> None:
    """The file's problems end the command; a profile without a table is only remarked on."""
    file = tmp_path / "calendar.toml"
    file.write_text("[kt]\nx = 1", "utf-8")
    assert "kt.x" in run("show", file=file, code=2).stderr
    assert "[kt]" in run("show", "--profile", "kt").stderr
