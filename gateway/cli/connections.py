"""`lienthong connections …`: partners' software, the agencies they serve, their tokens."""

from __future__ import annotations

from datetime import datetime

import click

from gateway import clock
from gateway.cli.connection_add import add, kinds, set_
from gateway.cli.connection_rotate import rotate
from gateway.cli.connection_shapes import connection_dict, known, option_text
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.output import print_json, print_table, say, show
from gateway.cli.session import open_session
from gateway.rest.encode import time_of
from routing.route_table import ConnectionStatus


@click.group(short_help="Partners' software and their tokens.")
def connections() -> None:
    """Partners' software: one QLVB or one axis, the agencies it serves, its tokens."""


for command in (add, kinds, set_, rotate):
    connections.add_command(command)


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
                    **connection_dict(connection),
                    "validTokens": len(valid),
                    "nextTokenEnd": time_of(min(ends, default=None)),
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


@connections.command("show")
@click.argument("name")
@json_option
@pass_state
async def show_(state: State, name: str, as_json: bool) -> None:
    """Everything about connection NAME but its secrets."""
    async with open_session(state.settings) as session:
        connection = known(session, name)
    if as_json:
        print_json({**connection_dict(connection), "options": connection.settings})
        return
    since = connection.status_since or connection.created_at
    rows: list[tuple[str, object]] = [
        ("name", connection.name),
        ("kind", connection.kind),
        ("status", connection.status.value),
        ("since", since),
        ("agencies", ", ".join(code.text for code in connection.agencies)),
        ("added", connection.created_at),
        ("id", connection.id),
    ]
    rows += [(key, option_text(value)) for key, value in sorted(connection.settings.items())]
    print_table(("what", "value"), rows)


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
async def pause(state: State, name: str, as_json: bool, operator: str) -> None:
    """Hand nothing over to NAME for now; it may still send. No attempt is used up."""
    await _set_status(state, name, ConnectionStatus.PAUSED, as_json, operator)


@connections.command()
@click.argument("name")
@json_option
@operator_option
@pass_state
async def drain(state: State, name: str, as_json: bool, operator: str) -> None:
    """Hand over what NAME was sent up to now; what comes later waits, as when paused."""
    await _set_status(state, name, ConnectionStatus.DRAINING, as_json, operator)


@connections.command()
@click.argument("name")
@json_option
@operator_option
@pass_state
async def resume(state: State, name: str, as_json: bool, operator: str) -> None:
    """Let a paused, draining or suspended connection take part again."""
    await _set_status(state, name, ConnectionStatus.ACTIVE, as_json, operator)


async def _set_status(
    state: State, name: str, status: ConnectionStatus, as_json: bool, operator: str
) -> None:
    async with open_session(state.settings) as session:
        connection = known(session, name)
        changed = connection.status is not status
        if changed:
            await session.registry.set_status(
                connection, status, actor=f"operator:{operator}", now=clock.now()
            )
    if as_json:
        data = {**connection_dict(connection), "status": status.value, "changed": changed}
        print_json(data)
        return
    now = "is now" if changed else "was already"
    show(f"Connection {connection.name!r} {now} {status}.")
