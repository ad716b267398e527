"""`lienthong connections …`: partners' software, the agencies they serve, their tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TextIO

import click

from gateway import clock
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import Failure, refuse
from gateway.cli.output import print_json, print_table, say, show
from gateway.cli.registration import (
    MAX_NAME,
    NewConnection,
    NotAdded,
    add_connection,
    changed_options,
    keep_secret,
    new_token,
    provide,
    tidy_name,
)
from gateway.cli.session import Session, open_session
from gateway.kinds import KINDS, Kind
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


def _options(
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


_KINDS_HELP = "\b\nKinds:\n" + "\n".join(
    f"  {kind.name:<9} {kind.summary}" for kind in KINDS.values()
)
_options_option = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    callback=_options,
    metavar="KEY=VALUE",
    help="An option of the kind; see `lienthong connections kinds`. May be repeated.",
)
_secret_option = click.option(
    "--secret-file",
    type=click.File("r"),
    help="File with the secret that the partner gave us, or has already; - for standard input.",
)


@connections.command(epilog=_KINDS_HELP)
@click.argument("name", callback=_name)
@click.option("--kind", default="pull", show_default=True, help="How it is spoken to; see below.")
@click.option(
    "--agency",
    "codes",
    multiple=True,
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
@_options_option
@_secret_option
@json_option
@operator_option
@pass_state
async def add(
    state: State,
    name: str,
    kind: str,
    codes: tuple[str, ...],
    names: dict[str, str],
    options: dict[str, str],
    secret_file: TextIO | None,
    as_json: bool,
    operator: str,
) -> None:
    """Add connection NAME. Its token or secret is shown once and kept nowhere in the open."""
    if kind not in KINDS:
        raise click.BadParameter(
            f"{kind!r} is no kind of connection; allowed: {', '.join(KINDS)}", param_hint="--kind"
        )
    if not codes and options.get("default_route", "").lower() not in ("true", "1", "yes"):
        raise click.UsageError("Name the agencies that it serves: --agency CODE.")
    names = _names_for(codes, names)
    async with open_session(state.settings, creates=True) as session:
        answer = await add_connection(
            session,
            name,
            codes,
            names,
            kind=kind,
            options=options,
            secret=_given(secret_file),
            operator=operator,
        )
    if isinstance(answer, NotAdded):
        refuse(answer.reason)
    _tell_added(answer, as_json)


def _given(secret_file: TextIO | None) -> str:
    """The partner's secret; empty when none was handed in."""
    if secret_file is None:
        return ""
    secret = secret_file.read().strip()
    if not secret:
        raise click.BadParameter("there is no secret in it", param_hint="--secret-file")
    return secret


def _tell_added(answer: NewConnection, as_json: bool) -> None:
    for agency in answer.added:
        say(f"Added to the directory: {agency.organ_id} {agency.name}")
    if as_json:
        added = [{"organId": one.organ_id.text, "name": one.name} for one in answer.added]
        shown = {"token": answer.token, "secret": answer.secret}
        print_json(
            {
                **_connection_dict(answer.connection),
                **{key: value for key, value in shown.items() if value},
                "agenciesAdded": added,
                "notes": list(answer.notes),
            }
        )
        return
    say(f"Connection {answer.connection.name!r} was added.")
    for note in answer.notes:
        say(note)
    if answer.token:
        say("Its token for the REST API, shown only now:")
        show(answer.token)
    if answer.secret:
        say("The secret shared with the partner, shown only now:")
        show(answer.secret)


@connections.command()
@click.argument("kind", required=False)
@json_option
def kinds(kind: str | None, as_json: bool) -> None:
    """The kinds of connections, or the options of one KIND."""
    if kind is not None and kind not in KINDS:
        raise click.BadParameter(f"{kind!r} is no kind; there are: {', '.join(KINDS)}")
    if kind is None:
        if as_json:
            print_json({"items": [{"name": k.name, "summary": k.summary} for k in KINDS.values()]})
            return
        print_table(("kind", "how"), ((k.name, k.summary) for k in KINDS.values()))
        return
    rows = _option_rows(KINDS[kind])
    if as_json:
        print_json({"name": kind, "summary": KINDS[kind].summary, "options": rows})
        return
    show(f"{kind}: {KINDS[kind].summary}")
    print_table(
        ("option", "default", "what it does"),
        ((row["name"], row["default"], row["description"]) for row in rows),
    )


def _option_rows(kind: Kind) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "default": "(needed)" if field.is_required() else _word(field.default),
            "description": field.description or "",
        }
        for name, field in kind.options.model_fields.items()
    ]


def _word(value: object) -> str:
    """An option's value as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)
    return str(value)


@connections.command("show")
@click.argument("name")
@json_option
@pass_state
async def show_(state: State, name: str, as_json: bool) -> None:
    """Everything about connection NAME but its secrets."""
    async with open_session(state.settings) as session:
        connection = _known(session, name)
    if as_json:
        print_json({**_connection_dict(connection), "options": connection.settings})
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
    rows += [(key, _word(value)) for key, value in sorted(connection.settings.items())]
    print_table(("what", "value"), rows)


@connections.command("set")
@click.argument("name")
@_options_option
@click.option("--unset", "unset", multiple=True, metavar="KEY", help="Back to the default.")
@json_option
@operator_option
@pass_state
async def set_(
    state: State,
    name: str,
    options: dict[str, str],
    unset: tuple[str, ...],
    as_json: bool,
    operator: str,
) -> None:
    """Change options of connection NAME; running gateways follow within a second."""
    async with open_session(state.settings) as session:
        connection = _known(session, name)
        changed = changed_options(session, connection, options, unset)
        if isinstance(changed, NotAdded):
            refuse(changed.reason)
        notes = await provide(session.settings, changed, "")
        if isinstance(notes, NotAdded):
            refuse(notes.reason)
        await session.registry.set_options(
            changed, changed.settings, actor=f"operator:{operator}", now=clock.now()
        )
    if as_json:
        print_json({**_connection_dict(changed), "options": changed.settings})
        return
    for note in notes:
        say(note)
    show(f"Connection {changed.name!r} now has: {_in_words(changed.settings)}")


def _in_words(options: dict[str, Any]) -> str:
    words = (f"{key}={_word(value)}" for key, value in sorted(options.items()))
    return " ".join(words) or "only defaults"


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
    metavar="HOURS",
    help="How long the old one still works. [default: 24]",
)
@click.option("--now", "at_once", is_flag=True, help="The old one ends at once: it is known.")
@click.option("--secret", "of_secret", is_flag=True, help="The shared secret, not the token.")
@_secret_option
@json_option
@operator_option
@pass_state
async def rotate(
    state: State,
    name: str,
    overlap: float | None,
    at_once: bool,
    of_secret: bool,
    secret_file: TextIO | None,
    as_json: bool,
    operator: str,
) -> None:
    """Give NAME a new token or secret, shown once. The old one ends after the overlap."""
    if at_once and overlap is not None:
        raise click.UsageError("--now and --overlap contradict each other; give one of them.")
    actor, now = f"operator:{operator}", clock.now()
    hours = 24.0 if overlap is None else overlap
    ends = now if at_once else now + timedelta(hours=hours)
    async with open_session(state.settings) as session:
        connection = _known(session, name)
        kind = KINDS[connection.kind]
        of_secret = of_secret or not kind.has_token
        if of_secret:
            at_once = at_once or (kind.secret is not None and not kind.secret.overlaps)
            ends = now if at_once else ends
            given = _given(secret_file)
            new, made = await _new_secret(session, connection, given, ends, actor, now)
        else:
            made = True
            new, token = new_token(connection.id, now)
            await session.registry.rotate_token(connection, token, ends, actor=actor, now=now)
    what = "secret" if of_secret else "token"
    shown = new if made else ""
    if as_json:
        data = {what: shown} if shown else {}
        ended = "oldSecretsEnd" if of_secret else "oldTokensEnd"
        print_json({**_connection_dict(connection), **data, ended: ends.isoformat()})
        return
    say(f"The old {what} ended." if at_once else f"The old {what} works for {hours:g} hours.")
    if shown:
        say(f"The new {what} of {connection.name!r}, shown only now:")
        show(shown)


async def _new_secret(
    session: Session,
    connection: Connection,
    given: str,
    ends: datetime,
    actor: str,
    now: datetime,
) -> tuple[str, bool]:
    """The new secret, and whether it was made here."""
    kind = KINDS[connection.kind]
    if kind.secret is None:
        raise click.UsageError(f"Kind {kind.name} shares no secret; it has a token.")
    if kind.secret.given and not given:
        raise click.UsageError("The partner gives this secret: --secret-file FILE (or -).")
    if given and not (kind.secret.given or kind.secret.may_be_given):
        raise click.UsageError("This secret is made here; leave --secret-file away.")
    new = given or kind.secret.make()
    notes = await provide(session.settings, connection, new)
    if isinstance(notes, NotAdded):
        refuse(notes.reason)
    await keep_secret(session, connection, new, ends, actor, now)
    return new, not given


def _known(session: Session, name: str) -> Connection:
    connection = session.connection_named(tidy_name(name) or name)
    if connection is None:
        names = ", ".join(repr(known.name) for known in session.routes.connections.values())
        raise Failure(f"There is no connection {name!r}. There are: {names or 'none'}.")
    return connection
