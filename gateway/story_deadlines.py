"""The sentences of `gateway.story` about time limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME
from routing.deadlines import DeadlineKind
from routing.records import Event

_SAID: Mapping[str, Sentence] = {
    "opened": Sentence("Hạn {due}: {owed}.", "Due {due}: {owed}."),
    "nearing": Sentence("Sắp đến hạn {due}: {owed}.", "Nearly due, {due}: {owed}."),
    "overdue": Sentence("QUÁ HẠN {due}: {owed}.", "OVERDUE since {due}: {owed}."),
    "met": Sentence("Đúng hạn {due}: {owed}.", "In time for {due}: {owed}."),
    "late": Sentence("Trễ hạn {due}: {owed}.", "Late, it was due {due}: {owed}."),
    "cancelled": Sentence("Không còn hạn {due}: {owed}.", "No longer due {due}: {owed}."),
}


def is_dull(event: Event) -> bool:
    """Whether a clerk can do without it: that a limit began to run."""
    return event.type == "deadline.opened"


def deadline(event: Event) -> Sentence:
    """What a time limit did."""
    said = _SAID.get(event.type.removeprefix("deadline."), _SAID["opened"])
    owed = DeadlineKind(event.data["kind"]).sentence
    due = datetime.fromisoformat(event.data["dueAt"]).astimezone(VIETNAM_TIME)
    return Sentence(
        said.vi.format(due=due.strftime("%d/%m/%Y %H:%M"), owed=_lower(owed.vi)),
        said.en.format(due=due.strftime("%Y-%m-%d %H:%M"), owed=_lower(owed.en)),
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
