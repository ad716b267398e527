"""`lienthong connections add`, `kinds` and `set`: what a connection is made of."""

from __future__ import annotations

from typing import Any, TextIO

import click

from gateway import clock
from gateway.cli.codes import WithAgencies, agencies_option
from gateway.cli.connection_shapes import (
    connection_dict,
    given_secret,
    known,
    option_text,
    options_option,
    secret_option,
)
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import refuse
from gateway.cli.output import print_json, print_table, say, show
from gateway.cli.registration import (
    MAX_NAME,
    NewConnection,
    NotAdded,
    add_connection,
    changed_options,
    provide,
    tidy_name,
)
from gateway.cli.session import open_session
from gateway.kinds import KINDS, Kind
from identifiers.organ_id import MalformedOrganId, OrganId


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


_KINDS_HELP = "\b\nKinds:\n" + "\n".join(
    f"  {kind.name:<9} {kind.summary}" for kind in KINDS.values()
)


@click.command(cls=WithAgencies, epilog=_KINDS_HELP)
@click.argument("name", callback=_name)
@click.option("--kind", default="pull", show_default=True, help="How it is spoken to; see below.")
@agencies_option("Code of an agency it serves, with everything below it.")
@click.option(
    "--agency-name",
    "names",
    multiple=True,
    callback=_agency_names,
    metavar="[CODE=]NAME",
    help="Name of an agency that is not in the directory yet.",
)
@options_option
@secret_option
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
            secret=given_secret(secret_file),
            operator=operator,
        )
    if isinstance(answer, NotAdded):
        refuse(answer.reason)
    _tell_added(answer, as_json)


def _tell_added(answer: NewConnection, as_json: bool) -> None:
    for agency in answer.added:
        code = str(agency.organ_id)
        named = f" {agency.name}" if agency.name != code else " (its name: --agency-name)"
        say(f"Added to the directory: {code}{named}")
    if as_json:
        added = [{"organId": one.organ_id.text, "name": one.name} for one in answer.added]
        shown = {"token": answer.token, "secret": answer.secret}
        print_json(
            {
                **connection_dict(answer.connection),
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


def _names_for(codes: tuple[str, ...], names: dict[str, str]) -> dict[str, str]:
    if "" not in names:
        return names
    organ_id = OrganId.parse(codes[0])
    if len(codes) > 1 or isinstance(organ_id, MalformedOrganId):
        raise click.BadParameter(
            "with several agencies write CODE=NAME", param_hint="--agency-name"
        )
    return {organ_id.key: names[""]}


@click.command()
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
            "default": "(needed)" if field.is_required() else option_text(field.default),
            "description": field.description or "",
        }
        for name, field in kind.options.model_fields.items()
    ]


@click.command("set")
@click.argument("name")
@options_option
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
        connection = known(session, name)
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
        print_json({**connection_dict(changed), "options": changed.settings})
        return
    for note in notes:
        say(note)
    show(f"Connection {changed.name!r} now has: {_in_words(changed.settings)}")


def _in_words(options: dict[str, Any]) -> str:
    words = (f"{key}={option_text(value)}" for key, value in sorted(options.items()))
    return " ".join(words) or "only defaults"
