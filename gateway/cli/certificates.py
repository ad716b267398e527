"""`--certificate`: which certificates a command believes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from gateway.cli.failures import wrong_use
from gateway.own_certificates import NoCertificate, named

F = TypeVar("F", bound=Callable[..., Any])


def certificate_option(help_: str) -> Callable[[F], F]:
    """The option, which may be given several times; `believed` reads what was given."""
    return click.option(
        "--certificate",
        "certificates",
        metavar="FILE|SHA256",
        multiple=True,
        help=help_,
    )


def believed(values: Iterable[str]) -> set[str]:
    """The fingerprints of the certificates that were named; ends the command where one is none."""
    try:
        return {one for value in values for one in named(value)}
    except NoCertificate as error:
        wrong_use(f"--certificate: {error}")
