"""`--certificate`: which certificates a command believes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.own_certificates import NoCertificate, named

F = TypeVar("F", bound=Callable[..., Any])


def certificate_option(help_: str) -> Callable[[F], F]:
    """The option, which may be given several times; the command gets a set of fingerprints."""
    return click.option(
        "--certificate",
        "certificates",
        metavar="FILE|SHA256",
        multiple=True,
        callback=_fingerprints,
        help=help_,
    )


def _fingerprints(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> set[str]:
    try:
        return {one for value in values for one in named(value)}
    except NoCertificate as error:
        raise click.BadParameter(str(error)) from None
