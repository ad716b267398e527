"""What every command is given: settings, verbosity, language; and the options many share."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from gateway.settings import Settings

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

LANGUAGES = ("vi", "en")


@dataclass(slots=True)
class State:
    """The global options; the settings are read when a command wants them."""

    config: Path | None = None
    verbose: bool = False
    #: None: nobody asked for a language.
    language: str | None = None
    #: The result is wanted as JSON; so is the reason why there is none.
    as_json: bool = False
    _settings: Settings | None = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings; raises `SettingsProblem`."""
        if self._settings is None:
            from gateway.settings_loading import load_settings

            self._settings = load_settings(self.config)
        return self._settings


def in_a_table(state: State) -> str:
    """The language of a table's column: both together are wider than a screen."""
    return state.language or "en"


def pass_state(function: Callable[Concatenate[State, P], Any]) -> Callable[P, Any]:
    """Give a command the `State`; run it in an event loop when it is a coroutine."""

    @click.pass_context
    def run(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        result = function(ctx.ensure_object(State), *args, **kwargs)
        return asyncio.run(result) if isinstance(result, Coroutine) else result

    return update_wrapper(run, function)


def json_option(function: F) -> F:
    """`--json`: the result as one JSON document."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        # Known before another option is found to be wrong.
        is_eager=True,
        callback=_note_json,
        help="Print the result as one JSON document.",
    )(function)


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.ensure_object(State).as_json = value
    return value


class Name(click.ParamType[str]):
    """A name or an id: never empty, which would name nothing, or everything."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text without blanks around it."""
        text = str(value).strip()
        if not text:
            self.fail("it is empty; give a name or an id", param, ctx)
        return text


NAME = Name()


def operator_option(function: F) -> F:
    """`--operator`: who does it, for the event log."""
    return click.option(
        "--operator",
        envvar="LIENTHONG_OPERATOR",
        show_envvar=True,
        default=_me,
        show_default="your user name",
        callback=_operator,
        help="Who does it, for the log.",
    )(function)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user without a name.
        return "unknown"


def _operator(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    name = value.strip()
    if not (0 < len(name) <= 100 and name.isprintable()):
        raise click.BadParameter("write 1 to 100 printable characters")
    return name
