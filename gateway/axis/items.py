"""The rows of an axis' lists, read with patience: nulls, repeats, any order, unknown types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from adapters.vxp_client import text_of
from envelopes.model import VIETNAM_TIME

EDOC = "edoc"
STATUS = "status"

#: Ids go into a header of later requests.
_DOC_ID = re.compile(r"[\x21-\x7e]{1,200}")
_FORMS = (
    "%d/%m/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%d%m%YT%H%M%S",
    "%d/%m/%Y",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One package that waits for us on an axis."""

    doc_id: str
    #: Who sent it, as the axis vouches; empty where it does not say.
    sender: str = ""
    #: Agencies of ours that it is for; empty where the axis does not say.
    recipients: tuple[str, ...] = ()
    created: datetime | None = None
    #: Whether the axis lists it as a status package.
    is_report: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that cannot be worked with, and why."""

    row: str
    why: str


def read_items(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Item], list[Unusable]]:
    """What waits, each id once, oldest first as far as times are told; and unusable rows."""
    items: dict[str, Item] = {}
    unusable = []
    for row in rows:
        item = _item(row)
        if isinstance(item, Unusable):
            unusable.append(item)
            continue
        known = items.get(item.doc_id)
        if known is not None:
            # The same id again, perhaps for another agency.
            both = dict.fromkeys((*known.recipients, *item.recipients))
            everybody = known.recipients and item.recipients
            item = replace(known, recipients=tuple(both) if everybody else ())
        items[item.doc_id] = item
    found = list(items.values())
    if all(item.created is not None for item in found):
        found.sort(key=lambda item: item.created or datetime.min.replace(tzinfo=UTC))
    return found, unusable


def _item(row: Mapping[str, Any]) -> Item | Unusable:
    doc_id = text_of(row.get("docId"))
    shown = json.dumps(row, ensure_ascii=False, default=str)[:300]
    if not _DOC_ID.fullmatch(doc_id):
        return Unusable(shown, "no docId that could be asked for")
    service = text_of(row.get("serviceType"))
    if service and service.lower() != "edoc":
        return Unusable(shown, f"serviceType {service}")
    is_report = text_of(row.get("messageType")).lower() == STATUS
    sender, recipients = text_of(row.get("from")), codes_of(row.get("to"))
    return Item(doc_id, sender, recipients, _created(row), is_report)


def _created(row: Mapping[str, Any]) -> datetime | None:
    for name in ("created_time", "createdTime", "updated_time"):
        at = time_of(row.get(name))
        if at is not None:
            return at
    return None


def codes_of(value: object) -> tuple[str, ...]:
    """Agency codes of a member `to`: one, several with commas, a JSON array as text, or a list."""
    if isinstance(value, list):
        return tuple(dict.fromkeys(text for one in value if (text := text_of(one))))
    text = text_of(value)
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            return codes_of(parsed)
    return tuple(dict.fromkeys(part for part in re.split(r"[,;\s]+", text) if part))


def time_of(value: object) -> datetime | None:
    """A time in one of the forms that axes write; Vietnam's time where no zone is named."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _epoch(float(value))
    text = text_of(value)
    if text.isascii() and text.isdigit() and len(text) in (10, 13):
        return _epoch(float(text))
    for read in (datetime.fromisoformat, *(_reader(form) for form in _FORMS)):
        try:
            at = read(text)
        except ValueError:
            continue
        return at if at.tzinfo else at.replace(tzinfo=VIETNAM_TIME)
    return None


def _reader(form: str) -> Callable[[str], datetime]:
    # The zone is Vietnam's, put on by the caller.
    return lambda text: datetime.strptime(text.split(".")[0].split("+")[0], form)  # noqa: DTZ007


def _epoch(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
