"""TIME-ISSUE: a document enters the gateway on the day of signing or soon after it.

Sources: ĐB 5.2, KG 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from envelopes import element_names as names
from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, BusinessDocType
from envelopes.rules import words
from envelopes.rules.facts import PackageFacts, WorkingDays
from envelopes.rules.header import is_urgent
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile

_ELEMENT = f"{names.MESSAGE_HEADER}/{names.PROMULGATION_INFO}/{names.PROMULGATION_DATE}"
_NOON = time(12, 0)
#: No calendar has so long a break; without this a broken one would keep us for ever.
_LONGEST_BREAK = 370


def check_issue(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """TIME-ISSUE: ordinary documents by the next working day or morning, urgent ones the same day.

    The header says the day of signing alone, so "at once" (ĐB 5.2) is judged as that day.
    """
    document, received = facts.document, facts.lookups.received_at
    if document is None or document.promulgation_date is None:
        return
    if document.business.doc_type not in (BusinessDocType.NEW, BusinessDocType.REPLACEMENT):
        return
    if received is not None:
        today = received.astimezone(VIETNAM_TIME).date()
        if document.promulgation_date > today:
            yield _not_yet(document.promulgation_date, today)
            return
    calendar = facts.lookups.calendar
    urgent = is_urgent(document)
    if received is None or (calendar is None and not urgent):
        yield NotJudged(Missing.CLOCK)
        return
    signed, entered = document.promulgation_date, received.astimezone(VIETNAM_TIME)
    if entered.date() <= signed:
        return
    if urgent:
        last = datetime.combine(signed, time(23, 59, 59), VIETNAM_TIME)
    elif calendar is not None:
        last = latest_issue(signed, calendar, profile.parameters.issue_limit)
    else:
        return
    if entered > last:
        yield Broken(
            _ELEMENT,
            found=f"{entered:%Y/%m/%d %H:%M}",
            allowed=_until(last),
            variant="urgent" if urgent else "",
            values=(("signed", words.on_day(signed)),),
            said=words.at_minute(entered),
        )


def _until(last: datetime) -> Sentence:
    said = words.at_minute(last)
    return Sentence(f"chậm nhất {said.vi}", said.en)


def _not_yet(signed: date, today: date) -> Broken:
    """A date of issue that is still to come."""
    now = words.on_day(today)
    return Broken(
        _ELEMENT,
        found=f"{signed:%Y/%m/%d}",
        allowed=Sentence(f"không sau ngày {now.vi}", f"{now.en} or earlier"),
        variant="future",
        said=words.on_day(signed),
    )


def latest_issue(signed: date, calendar: WorkingDays, limit: str) -> datetime:
    """The last moment for what was signed on `signed`: end of the next working day or morning."""
    day = signed + timedelta(days=1)
    for _ in range(_LONGEST_BREAK):
        if calendar.is_working_day(day):
            break
        day += timedelta(days=1)
    if limit == "next-working-day":
        return datetime.combine(day, time(23, 59, 59), VIETNAM_TIME)
    ends = [end.astimezone(VIETNAM_TIME) for _, end in calendar.intervals(day)]
    morning = [end for end in ends if end.time() <= _NOON]
    return max(morning, default=datetime.combine(day, _NOON, VIETNAM_TIME))
