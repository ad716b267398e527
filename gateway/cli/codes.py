"""Codes of agencies as options take them: repeated, or several in one value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from gateway.cli.context import State
from identifiers.organ_id import MalformedOrganId, OrganId

F = TypeVar("F", bound=Callable[..., Any])

_BETWEEN = re.compile(r"[\s,;]+")


def code_of(text: str, ctx: click.Context | None) -> OrganId:
    """An agency's code. Raises `click.BadParameter` saying how one is written."""
    organ_id = OrganId.parse(text)
    if isinstance(organ_id, MalformedOrganId):
        language = ctx.ensure_object(State).language if ctx is not None else None
        why = organ_id.reason.vi if language == "vi" else organ_id.reason.en
        found = f"{text!r} is no agency code" if text.strip() else "there is no code in it"
        raise click.BadParameter(f"{found}. {why}", ctx)
    return organ_id


def codes_of(ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    """Callback of an option that may be repeated: every code once, as it was written.

    ``G22,G01`` and ``"G22 G01"`` are two codes. Raises `click.BadParameter`.
    """
    words = [word for item in given for word in _BETWEEN.split(item.strip())]
    return tuple({code_of(word, ctx): word for word in words}.values())


class WithAgencies(click.Command):
    """A command with `--agency`: says how several are written, where one was taken for a word.

    ``--agency G22 G01`` is not understood as two on purpose: in ``--agency G22 G01 NAME`` nobody
    could say which word is the name.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; whatever is left over is refused with the hint."""
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(
                f"Not understood: {' '.join(ctx.args)}. For several agencies repeat --agency, or "
                "write them in one: --agency G22,G01.",
                ctx,
            )
        return left


def agencies_option(what: str) -> Callable[[F], F]:
    """`--agency CODE…`, for commands of the class `WithAgencies`; the parameter is `codes`."""
    return click.option(
        "--agency",
        "codes",
        multiple=True,
        callback=codes_of,
        metavar="CODE[,CODE…]",
        help=f"{what} May be repeated.",
    )
