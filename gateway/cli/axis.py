"""`lienthong axis …`: connections to axes that the gateway polls itself."""

from __future__ import annotations

from typing import Any

import click

from adapters.vxp_client import VxpClient
from gateway import clock
from gateway.axis.directory import Changed, DirectoryDiff
from gateway.axis.options import NoSecret, client_of_command
from gateway.axis.synchronise import NoDirectory, apply_diff, directory_diff, figures_of
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import REFUSED, UNAVAILABLE, Failure, refuse
from gateway.cli.output import print_json, print_table, sentence, show
from gateway.cli.session import Session, open_session
from gateway.kinds import vxp_axis
from identifiers.agency import Agency
from routing.route_table import Connection


@click.group(short_help="Axes that the gateway polls.")
def axis() -> None:
    """Axes that the gateway polls and sends to (connections of kind vxp-axis)."""


@axis.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option(
    "--end-missing",
    is_flag=True,
    help="End the validity of agencies that are reached through it and that it does not list.",
)
@json_option
@operator_option
@pass_state
async def sync(
    state: State, name: str, dry_run: bool, end_missing: bool, as_json: bool, operator: str
) -> None:
    """Bring our directory in step with that of axis NAME.

    A running gateway does the same by itself every directory_seconds. Agencies that connections of
    ours serve are left as they are; what is doubtful is told and left alone.
    """
    async with open_session(state.settings) as session:
        connection = _axis_named(session, name)
        try:
            async with await axis_client(session, connection) as client:
                diff = await directory_diff(
                    client, session.routes, connection, end_missing=end_missing
                )
        except NoSecret as error:
            refuse(str(error))
        if isinstance(diff, NoDirectory):
            raise Failure(f"{name} gave no directory: {diff.answer}", UNAVAILABLE)
        if not dry_run:
            await apply_diff(session.registry, connection, diff, f"operator:{operator}")
    if as_json:
        print_json(_diff_dict(diff, dry_run))
        return
    _tell(diff, state.language, dry_run)


@axis.command()
@click.argument("name")
@json_option
@pass_state
async def check(state: State, name: str, as_json: bool) -> None:
    """Try axis NAME: address, secret and clock; what waits there is left where it is."""
    async with open_session(state.settings) as session:
        connection = _axis_named(session, name)
        try:
            async with await axis_client(session, connection) as client:
                answers = {
                    "documents waiting": await client.received("edoc"),
                    "statuses waiting": await client.received("status"),
                    "agencies": await client.directory("getAgenciesList"),
                }
        except NoSecret as error:
            refuse(str(error))
    good = all(answer.ok for answer in answers.values())
    if as_json:
        rows = {
            what: {"ok": a.ok, "count": len(a.rows), "answer": str(a)}
            for what, a in answers.items()
        }
        print_json({"connection": name, "at": clock.now(), "ok": good, "answers": rows})
    else:
        print_table(
            ("what", "count", "answer"),
            ((what, len(a.rows) if a.ok else "", str(a)) for what, a in answers.items()),
        )
    if not good:
        raise Failure(f"{name} does not answer as it should.", REFUSED)


def _axis_named(session: Session, name: str) -> Connection:
    connection = session.routes.connection_named(name)
    if connection is None:
        refuse(f"There is no connection {name!r}.")
    if connection.kind != vxp_axis.KIND.name:
        refuse(f"{name!r} is of kind {connection.kind}, not {vxp_axis.KIND.name}.")
    return connection


async def axis_client(session: Session, connection: Connection) -> VxpClient:
    """A client of this axis for a command. Raises `NoSecret`, `VaultProblem`."""
    return await client_of_command(
        session.database, session.settings.effective_key_file, connection
    )


def _tell(diff: DirectoryDiff, language: str | None, dry_run: bool) -> None:
    rows = [("new", one.organ_id.text, one.name) for one in diff.new]
    rows += [_row("renamed", one, f"{one.before.name} → {one.after.name}") for one in diff.renamed]
    rows += [
        _row("recoded", one, f"{_codes(one.before)} → {_codes(one.after)}") for one in diff.recoded
    ]
    rows += [
        _row("gone", one, f"{one.after.name}, until {one.after.valid_until}") for one in diff.gone
    ]
    rows += [("not listed", one.organ_id.text, one.name) for one in diff.missing]
    for what, doubts in (("ours", diff.ours), ("doubtful", diff.doubtful)):
        rows += [
            (what, one.code, f"{one.name}: {sentence(one.reason, language)}") for one in doubts
        ]
    if rows:
        print_table(("what", "code", "agency"), rows)
    figures = figures_of(diff)
    would = "Would be: " if dry_run else ""
    show(
        f"{would}{figures['new']} new, {figures['renamed']} renamed, {figures['recoded']} recoded, "
        f"{figures['gone']} gone, {figures['unchanged']} unchanged of {figures['listed']} listed; "
        f"{figures['notListed']} not listed, {figures['doubtfulLines']} doubtful, "
        f"{figures['ours']} left to our own connections."
    )


def _row(what: str, changed: Changed, text: str) -> tuple[str, str, str]:
    return what, changed.after.organ_id.text, text


def _codes(agency: Agency) -> str:
    return ", ".join(code.text for code in agency.codes)


def _diff_dict(diff: DirectoryDiff, dry_run: bool) -> dict[str, Any]:
    def agency(one: Agency) -> dict[str, Any]:
        return {
            "code": one.organ_id.text,
            "name": one.name,
            "otherCodes": [code.text for code in one.aliases],
            "validUntil": one.valid_until.isoformat() if one.valid_until else None,
        }

    def changes(many: list[Changed]) -> list[dict[str, Any]]:
        return [{"before": agency(one.before), "after": agency(one.after)} for one in many]

    return {
        "dryRun": dry_run,
        "figures": figures_of(diff),
        "new": [agency(one) for one in diff.new],
        "renamed": changes(diff.renamed),
        "recoded": changes(diff.recoded),
        "gone": changes(diff.gone),
        "notListed": [agency(one) for one in diff.missing],
        **{
            what: [
                {
                    "code": one.code,
                    "name": one.name,
                    "reason": {"vi": one.reason.vi, "en": one.reason.en},
                }
                for one in doubts
            ]
            for what, doubts in (("ours", diff.ours), ("doubtful", diff.doubtful))
        },
    }
