"""Printing: results to stdout for people or programs, talk to stderr.

What is printed for people came from strangers (subjects, names, reasons), so control characters are
made visible: no document may move the cursor of an operator's terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from envelopes.model import VIETNAM_TIME
from gateway.rest.encode import time_of
from identifiers.texts import Bilingual

#: In a context's `meta`: stdout has its one JSON document.
PRINTED = "lienthong.printed"


def print_json(data: Any) -> None:
    """The result as one JSON document."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[PRINTED] = True
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_jsonable))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_of(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def say(text: str) -> None:
    """Something for the person at the keyboard, not part of the result."""
    click.echo(visible(text), err=True)


def show(text: str = "") -> None:
    """A line of the result."""
    click.echo(visible(text))


def visible(text: str) -> str:
    """`text` with control characters written out; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char.isprintable() or char in "\n\u00a0":
        return char
    return ascii(char)[1:-1]


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table: drawn on a terminal, plain aligned columns elsewhere."""
    texts = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headers, texts)
        return
    widths = [max(cell_len(row[at]) for row in [headers, *texts]) for at in range(len(headers))]
    for row in [list(headers), *texts]:
        padded = (
            text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _draw(headers: Sequence[str], texts: list[list[str]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Name and value, one pair a line; what is empty is left out."""
    shown = [(name, _cell(value)) for name, value in fields if value not in (None, "", [], ())]
    width = max((cell_len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name}{' ' * (width - cell_len(name))}  {value}")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    return " ".join(visible(str(value)).split())


def local_time(at: datetime) -> str:
    """A time as people in Vietnam read it off the clock."""
    return at.astimezone(VIETNAM_TIME).strftime("%Y-%m-%d %H:%M:%S")


def local_time_of(text: str | None) -> str:
    """`local_time` of an ISO text of the REST API; empty where there is none."""
    return local_time(datetime.fromisoformat(text)) if text else ""


def sentence(words: Bilingual | dict[str, Any], language: str | None) -> str:
    """A sentence in the language asked for; in both, where none was."""
    vi, en = (words.vi, words.en) if isinstance(words, Bilingual) else (words["vi"], words["en"])
    if language is not None:
        return str(vi if language == "vi" else en)
    return str(vi) if vi == en else f"{vi} / {en}"


def size_text(size: int) -> str:
    """Bytes for people: ``1.5 MiB``."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
