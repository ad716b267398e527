"""Finding `lienthong …` command lines in documentation and asking click whether they are right."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from tempfile import NamedTemporaryFile

import click

from gateway.cli.root import cli


def commands_in(block: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Command path and a check that raises `click.UsageError` for wrong options."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        place = next((at for at in range(len(words)) if _is_program(words, at)), None)
        if place is None:
            continue
        words = words[place + 1 :]
        cut = next((at for at, word in enumerate(words) if word in ("|", ">", "&&", ";")), None)
        yield line.strip(), _check(words[:cut])


def _is_program(words: list[str], at: int) -> bool:
    """Whether a word is the program and not a user, unit or folder of the same name."""
    after = at == 0 or words[at - 1] == "gateway"
    return words[at].endswith("/bin/lienthong") or (words[at] == "lienthong" and after)


def _check(words: list[str]) -> Callable[[], None]:
    def check() -> None:
        with NamedTemporaryFile(suffix=".csv") as file:
            # Files that only the reader has.
            given = [
                file.name if word.endswith((".csv", ".edxml", ".toml")) else word for word in words
            ]
            _descend(cli, "lienthong", given)

    return check


def _descend(command: click.Command, name: str, words: list[str]) -> None:
    context = command.make_context(name, list(words))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        found, inner, after = command.resolve_command(context, rest)
        assert found is not None and inner is not None
        _descend(inner, found, after)
