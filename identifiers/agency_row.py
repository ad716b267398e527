"""One row of an agency CSV: cells cleaned and read, or the reason why the row cannot stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from identifiers import agency_csv_sentences as say
from identifiers.organ_id import CodeSystem, MalformedOrganId, OrganId
from identifiers.texts import Bilingual, clean, hidden_characters

_YEAR_FIRST = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})")
_DAY_FIRST = re.compile(r"([0-9]{1,2})[-/]([0-9]{1,2})[-/]([0-9]{4})")

#: Columns that hold codes of one system only (level 1 is the same in both).
_SYSTEM_OF = {"code102": CodeSystem.QCVN_102, "code_qd20": CodeSystem.DECISION_20}


@dataclass(frozen=True, slots=True)
class AgencyRow:
    """A row that can stand: `codes` are the agency's own, the primary one first."""

    line: int
    columns: frozenset[str]
    codes: tuple[OrganId, ...]
    name: str
    aliases: tuple[OrganId, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    successors: tuple[OrganId, ...] = ()
    #: Characters that cleaning removed from or replaced in the row, as ``U+200B``.
    hidden: tuple[str, ...] = ()

    def has(self, *columns: str) -> bool:
        """Whether the file has any of these columns."""
        return any(column in self.columns for column in columns)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot stand, and why; code and name as far as they could be read."""

    code: str
    name: str
    reason: Bilingual


class _Unreadable(Exception):
    """Carries the first reason out of the readers below; never leaves this module."""

    def __init__(self, reason: Bilingual) -> None:
        super().__init__(reason.en)
        self.reason = reason


def read_row(
    line: int, cells: Mapping[str, str], code_columns: tuple[str, ...]
) -> AgencyRow | BadRow:
    """Read one row's recognised cells; `code_columns` are in order of precedence."""
    name = clean(cells["name"])
    written = next((text for column in code_columns if (text := clean(cells.get(column, "")))), "")
    try:
        return _read(line, cells, code_columns, name)
    except _Unreadable as problem:
        return BadRow(written, name, problem.reason)


def _read(
    line: int, cells: Mapping[str, str], code_columns: tuple[str, ...], name: str
) -> AgencyRow:
    codes = tuple(
        dict.fromkeys(
            _code(cells[column], column) for column in code_columns if clean(cells.get(column, ""))
        )
    )
    if not codes:
        raise _Unreadable(say.NO_CODE)
    if not name:
        raise _Unreadable(say.NO_NAME)
    valid_from = _day(cells.get("valid_from", ""), "valid_from")
    valid_until = _day(cells.get("valid_until", ""), "valid_until")
    if valid_from is not None and valid_until is not None and valid_until < valid_from:
        raise _Unreadable(say.ends_before_start(valid_from, valid_until))
    successors = _codes(cells.get("successors", ""), "successors")
    if any(code in codes for code in successors):
        raise _Unreadable(say.SUCCEEDS_ITSELF)
    aliases = (
        *_codes(cells.get("old_code", ""), "old_code"),
        *_codes(cells.get("alias", ""), "alias"),
    )
    hidden = {char for cell in cells.values() for char in hidden_characters(cell)}
    return AgencyRow(
        line=line,
        columns=frozenset(cells),
        codes=codes,
        name=name,
        aliases=tuple(code for code in dict.fromkeys(aliases) if code not in codes),
        valid_from=valid_from,
        valid_until=valid_until,
        successors=successors,
        hidden=tuple(sorted(hidden)),
    )


def _code(text: str, column: str) -> OrganId:
    code = OrganId.parse(text)
    if isinstance(code, MalformedOrganId):
        raise _Unreadable(say.bad_code(column, code))
    wanted = _SYSTEM_OF.get(column, code.system)
    # `full` tells a real level 1 code, which both systems share, from a lone number.
    shared = code.level == 1 and code.full is not None
    if code.system is not wanted and not shared:
        raise _Unreadable(say.wrong_system(column, code))
    return code


def _codes(cell: str, column: str) -> tuple[OrganId, ...]:
    texts = [text for text in cell.split(";") if clean(text)]
    return tuple(dict.fromkeys(_code(text, column) for text in texts))


def _day(cell: str, column: str) -> date | None:
    """A date as yyyy-MM-dd, yyyy/MM/dd or dd/MM/yyyy; None for an empty cell."""
    text = clean(cell)
    if not text:
        return None
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day = map(int, match.groups())
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year = map(int, match.groups())
    else:
        raise _Unreadable(say.bad_date(column, text))
    try:
        return date(year, month, day)
    except ValueError:
        raise _Unreadable(say.bad_date(column, text)) from None
