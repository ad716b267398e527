"""What the commands on connections share: options, how a connection is shown, how one is found."""

from __future__ import annotations

from typing import Any, TextIO

import click

from gateway.cli.failures import Failure
from gateway.cli.registration import tidy_name
from gateway.cli.session import Session
from gateway.rest.encode import time_of
from routing.route_table import Connection


def key_values(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Options of a connection: KEY=VALUE each."""
    options = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{item!r}: write KEY=VALUE")
        options[key.strip()] = value.strip()
    return options


options_option = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    callback=key_values,
    metavar="KEY=VALUE",
    help="An option of the kind; see `lienthong connections kinds`. May be repeated.",
)
secret_option = click.option(
    "--secret-file",
    type=click.File("r"),
    help="File with the secret that the partner gave us, or has already; - for standard input.",
)


def given_secret(secret_file: TextIO | None) -> str:
    """The partner's secret; empty when none was handed in."""
    if secret_file is None:
        return ""
    secret = secret_file.read().strip()
    if not secret:
        raise click.BadParameter("there is no secret in it", param_hint="--secret-file")
    return secret


def option_text(value: object) -> str:
    """An option's value as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)
    return str(value)


def connection_dict(connection: Connection) -> dict[str, Any]:
    """A connection as JSON-ready data, without its options."""
    return {
        "id": connection.id,
        "name": connection.name,
        "kind": connection.kind,
        "status": connection.status.value,
        "agencies": [code.text for code in connection.agencies],
        "createdAt": time_of(connection.created_at),
    }


def known(session: Session, name: str) -> Connection:
    """The connection of this name. Raises `Failure` naming those there are."""
    connection = session.routes.connection_named(tidy_name(name) or name)
    if connection is None:
        names = ", ".join(repr(one.name) for one in session.routes.connections.values())
        raise Failure(f"There is no connection {name!r}. There are: {names or 'none'}.")
    return connection
