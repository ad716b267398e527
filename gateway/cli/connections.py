"""`lienthong connections …`: partners' software, the agencies they serve, their tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from gateway import clock
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import Failure, refuse
from gateway.cli.output import print_json, print_table, say, show
from gateway.cli.registration import KINDS, MAX_NAME, NotAdded, add_connection, new_token, tidy_name
from gateway.cli.session import Session, open_session
from identifiers.organ_id import MalformedOrganId, OrganId
from routing.route_table import Connection, ConnectionStatus

#: The longest overlap of old and new tokens, hours.
LONGEST_OVERLAP = 24 * 90.0


@click.group(short_help="Partners' software and their tokens.")
def connections() -> None:
    """Partners' software: one QLVB or one axis, the agencies it serves, its tokens."""


def _name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    name = tidy_name(value)
    if name is None:
        raise click.BadParameter(f"a name is 1 to {MAX_NAME} printable characters")
    return name


def _agency_names(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Canonical code to name; the key is empty for a name without a code."""
    names = {}
    for item in given:
        code, equals, name = item.partition("=") if "=" in item else ("", "", item)
        organ_id = OrganId.parse(code) if equals else None
        if isinstance(organ_id, MalformedOrganId):
            raise click.BadParameter(f"{code!r} is no agency code; write CODE=NAME")
        names[organ_id.key if organ_id else ""] = name.strip()
    return names


@connections.command()
@click.argument("name", callback=_name)
@click.option("--kind", default="pull", show_default=True, help="How packages get there: pull.")
@click.option(
    "--agency",
    "codes",
    multiple=True,
    required=True,
    metavar="CODE",
    help="Code of an agency it serves, with everything below it. May be repeated.",
)
@click.option(
    "--agency-name",
    "names",
    multiple=True,
    callback=_agency_names,
    metavar="[CODE=]NAME",
    help="Name of an agency that is not in the directory yet.",
)
@json_option
@operator_option
@pass_state
async def add(
    state: State,
    name: str,
    kind: str,
    codes: tuple[str, ...],
    names: dict[str, str],
    as_json: bool,
    operator: str,
) -> None:
    """Add connection NAME. Its token is shown once and kept nowhere: put it in a safe place."""
    if kind not in KINDS:
        raise click.BadParameter(
            f"{kind!r} is no kind of connection; allowed: {', '.join(KINDS)}", param_hint="--kind"
        )
    names = _names_for(codes, names)
    async with open_session(state.settings, creates=True) as session:
        answer = await add_connection(session, name, codes, names, kind=kind, operator=operator)
    if isinstance(answer, NotAdded):
        refuse(answer.reason)
    for agency in answer.added:
        say(f"Added to the directory: {agency.organ_id} {agency.name}")
    if as_json:
        added = [{"organId": one.organ_id.text, "name": one.name} for one in answer.added]
        data = _connection_dict(answer.connection)
        print_json({**data, "token": answer.token, "agenciesAdded": added})
        return
    say(f"Connection {name!r} was added. Its token, shown only now:")
    show(answer.token)


def _names_for(codes: tuple[str, ...], names: dict[str, str]) -> dict[str, str]:
    if "" not in names:
        return names
    organ_id = OrganId.parse(codes[0])
    if len(codes) > 1 or isinstance(organ_id, MalformedOrganId):
        raise click.BadParameter(
            "with several agencies write CODE=NAME", param_hint="--agency-name"
        )
    return {organ_id.key: names[""]}


@connections.command("list")
@json_option
@pass_state
async def list_(state: State, as_json: bool) -> None:
    """All connections, by name."""
    async with open_session(state.settings) as session:
        now = clock.now()
        tokens = (await session.registry.load()).tokens
        rows = []
        for connection in session.routes.connections.values():
            mine = [token for token in tokens if token.connection_id == connection.id]
            valid = [token for token in mine if token.valid_at(now)]
            ends = [token.expires_at for token in valid if token.expires_at is not None]
            rows.append(
                {
                    **_connection_dict(connection),
                    "validTokens": len(valid),
                    "nextTokenEnd": min(ends).isoformat() if ends else None,
                }
            )
    if as_json:
        print_json({"items": rows})
        return
    if not rows:
        say("No connections. Add one with: lienthong connections add NAME --agency CODE")
        return
    print_table(
        ("name", "kind", "status", "agencies", "tokens", "added"),
        (
            (
                row["name"],
                row["kind"],
                row["status"],
                ", ".join(row["agencies"]),
                row["validTokens"],
                datetime.fromisoformat(row["createdAt"]),
            )
            for row in rows
        ),
    )


def _connection_dict(connection: Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "name": connection.name,
        "kind": connection.kind,
        "status": connection.status.value,
        "agencies": [code.text for code in connection.agencies],
        "createdAt": connection.created_at.isoformat(),
    }


@connections.command()
@click.argument("name")
@json_option
@operator_option
@pass_state
async def suspend(state: State, name: str, as_json: bool, operator: str) -> None:
    """Refuse NAME's tokens; what is addressed to it waits and uses up no attempt."""
    await _set_status(state, name, ConnectionStatus.SUSPENDED, as_json, operator)


@connections.command()
@click.argument("name")
@json_option
@operator_option
@pass_state
async def resume(state: State, name: str, as_json: bool, operator: str) -> None:
    """Let a suspended connection take part again."""
    await _set_status(state, name, ConnectionStatus.ACTIVE, as_json, operator)


async def _set_status(
    state: State, name: str, status: ConnectionStatus, as_json: bool, operator: str
) -> None:
    async with open_session(state.settings) as session:
        connection = _known(session, name)
        changed = connection.status is not status
        if changed:
            await session.registry.set_status(
                connection, status, actor=f"operator:{operator}", now=clock.now()
            )
    if as_json:
        data = {**_connection_dict(connection), "status": status.value, "changed": changed}
        print_json(data)
        return
    now = "is now" if changed else "was already"
    show(f"Connection {connection.name!r} {now} {status}.")


@connections.command()
@click.argument("name")
@click.option(
    "--overlap",
    type=click.FloatRange(0, LONGEST_OVERLAP),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How long the old token still works.",
)
@click.option("--now", "at_once", is_flag=True, help="The old token ends at once: it is known.")
@json_option
@operator_option
@pass_state
async def rotate(
    state: State, name: str, overlap: float, at_once: bool, as_json: bool, operator: str
) -> None:
    """Give NAME a new token, shown once. The old one ends after the overlap."""
    async with open_session(state.settings) as session:
        connection = _known(session, name)
        now = clock.now()
        ends = now if at_once else now + timedelta(hours=overlap)
        secret, token = new_token(connection.id, now)
        await session.registry.rotate_token(
            connection, token, ends, actor=f"operator:{operator}", now=now
        )
    if as_json:
        data = {**_connection_dict(connection), "token": secret, "oldTokensEnd": ends.isoformat()}
        print_json(data)
        return
    say("The old token ended." if at_once else f"The old token works for {overlap:g} hours.")
    say(f"The new token of {connection.name!r}, shown only now:")
    show(secret)


def _known(session: Session, name: str) -> Connection:
    connection = session.connection_named(tidy_name(name) or name)
    if connection is None:
        names = ", ".join(repr(known.name) for known in session.routes.connections.values())
        raise Failure(f"There is no connection {name!r}. There are: {names or 'none'}.")
    return connection
