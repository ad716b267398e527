"""Rows out of a CSV text, one damaged row never costing its neighbours.

The standard reader lets an unclosed quotation mark swallow the rest of the file. Here a row ends
where its line ends, unless the next few lines complete a quoted cell into a whole row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: A quoted cell may run over at most this many lines.
_LINES_PER_ROW = 5

#: Separators that spreadsheets write; the comma first.
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its first line (1-based), its cells as written, or None where quoting is broken."""

    line: int
    cells: tuple[str, ...] | None
    #: The first physical line, for reports.
    raw: str


def split_lines(source: str | Iterable[str]) -> list[str]:
    """The lines of a text or of an iterable of lines, without line ends and byte order mark.

    LF, CRLF and CR end a line, and nothing else does: a line separator (U+2028) inside a name is
    part of the name.
    """
    text = source if isinstance(source, str) else "\n".join(map(_without_line_end, source))
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _without_line_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def parse_row(lines: list[str], delimiter: str) -> tuple[str, ...] | None:
    """The cells of one row that lies on `lines`; None if they are not exactly one whole row."""
    try:
        rows = list(csv.reader(["\n".join(lines)], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return tuple(rows[0]) if len(rows) == 1 else None


def rows_below_header(lines: list[str], delimiter: str, width: int) -> Iterator[Row]:
    """The rows after the first line that are not blank; `width` is the number of columns."""
    at = 1
    while at < len(lines):
        first = at
        cells = parse_row(lines[at : at + 1], delimiter)
        at += 1
        if cells is None:
            cells, taken = _continued(lines, first, delimiter, width)
            at += taken
        if cells is None or any(cell.strip() for cell in cells):
            yield Row(first + 1, cells, lines[first])


def _continued(
    lines: list[str], first: int, delimiter: str, width: int
) -> tuple[tuple[str, ...] | None, int]:
    """A row whose quoted cell runs on, and how many further lines it took."""
    for more in range(1, _LINES_PER_ROW):
        if first + more >= len(lines):
            break
        cells = parse_row(lines[first : first + more + 1], delimiter)
        if cells is not None and len(cells) == width:
            return cells, more
    return None, 0
