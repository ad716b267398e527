"""`lienthong agencies …`: the directory of agencies, straight on the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.cli.agency_requests import requests
from gateway.cli.codes import code_of
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import refuse, wrong_use
from gateway.cli.given_file import GIVEN_FILE, name_of, readable
from gateway.cli.output import print_fields, print_json, print_table, say, sentence, show
from gateway.cli.session import Session, open_session
from identifiers.agency import Agency
from identifiers.agency_csv import DoubtfulRow, ImportResult, read_agencies


@click.group(short_help="The directory of agencies.")
def agencies() -> None:
    """The directory of agencies: their codes, old and new, and who serves them."""


agencies.add_command(requests)


@agencies.command("import")
@click.argument("file", type=GIVEN_FILE)
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@json_option
@operator_option
@pass_state
async def import_(state: State, file: Path, dry_run: bool, as_json: bool, operator: str) -> None:
    """Add and update agencies from FILE, a CSV in UTF-8 (- for stdin).

    Columns: code102, code_qd20, code or organ_id; name; optionally old_code, alias, valid_from,
    valid_until, successors. Doubtful rows are reported; importing twice changes nothing.
    """
    text = _read(file)
    async with open_session(state.settings, creates=True) as session:
        result = read_agencies(text, existing=session.routes.directory)
        if result.header is not None:
            reason = sentence(result.header.reason, state.language)
            found = f"\nfound: {result.header.found}" if result.header.found else ""
            wrong_use(f"{name_of(file)}: {reason}{found}")
        if not dry_run:
            known = session.routes.directory
            changed = [agency for agency in result.agencies if agency not in set(known)]
            await session.registry.put_agencies(
                changed,
                actor=f"operator:{operator}",
                source=name_of(Path(file.name)),
                now=clock.now(),
            )
    if as_json:
        print_json(_import_dict(result, dry_run))
        return
    for doubt in result.doubtful:
        say(f"line {doubt.line}, {doubt.code or doubt.name}: {_doubt(doubt, state.language)}")
    if result.ignored_columns:
        say(f"Columns not read: {', '.join(result.ignored_columns)}")
    would = "Would be: " if dry_run else ""
    show(
        f"{would}{result.added} added, {result.changed} changed, {result.unchanged} unchanged, "
        f"{result.skipped} rows skipped."
    )


def _read(file: Path) -> str:
    try:
        with readable(file) as text:
            return text.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong_use(f"{name_of(file)} is not UTF-8 (byte {error.start + 1}). Save it as CSV UTF-8.")


def _doubt(doubt: DoubtfulRow, language: str | None) -> str:
    return f"{doubt.severity}: {sentence(doubt.reason, language)}"


def _import_dict(result: ImportResult, dry_run: bool) -> dict[str, Any]:
    return {
        "dryRun": dry_run,
        "added": result.added,
        "changed": result.changed,
        "unchanged": result.unchanged,
        "skipped": result.skipped,
        "ignoredColumns": list(result.ignored_columns),
        "doubtful": [
            {
                "line": doubt.line,
                "code": doubt.code,
                "name": doubt.name,
                "severity": doubt.severity.value,
                "reason": {"vi": doubt.reason.vi, "en": doubt.reason.en},
            }
            for doubt in result.doubtful
        ],
    }


@agencies.command("list")
@json_option
@pass_state
async def list_(state: State, as_json: bool) -> None:
    """All agencies, by code."""
    async with open_session(state.settings) as session:
        _print_agencies(session, session.routes.directory.agencies, as_json)


@agencies.command()
@click.argument("words", nargs=-1, required=True)
@json_option
@pass_state
async def find(state: State, words: tuple[str, ...], as_json: bool) -> None:
    """Agencies whose name or code answers WORDS; accents and case do not matter."""
    async with open_session(state.settings) as session:
        found = session.routes.directory.search(" ".join(words))
        _print_agencies(session, found, as_json)


@agencies.command("show")
@click.argument("code")
@json_option
@pass_state
async def show_(state: State, code: str, as_json: bool) -> None:
    """One agency, by any of its codes, and the route to it today."""
    organ_id = code_of(code, click.get_current_context())
    async with open_session(state.settings) as session:
        agency = session.routes.directory.find(organ_id)
        if agency is None:
            claimants = session.routes.directory.claimants(organ_id)
            several = ", ".join(str(claimant.organ_id) for claimant in claimants)
            refuse(
                f"Several agencies claim the code {code}: {several}."
                if several
                else f"No agency in the directory has the code {code}."
            )
        data = _agency_dict(session, agency)
        route = session.routes.route(code, clock.now().astimezone(VIETNAM_TIME).date())
    data["route"] = {
        "kind": route.kind.value,
        "connection": route.connection.name if route.connection else None,
        "reason": {"vi": route.sentence.vi, "en": route.sentence.en},
    }
    if as_json:
        print_json(data)
        return
    print_fields(
        (
            ("code", data["organId"]),
            ("name", data["name"]),
            ("other codes", ", ".join(data["aliases"])),
            ("valid from", data["validFrom"]),
            ("valid until", data["validUntil"]),
            ("successors", ", ".join(data["successors"])),
            ("route", sentence(route.sentence, state.language)),
        )
    )


def _agency_dict(session: Session, agency: Agency) -> dict[str, Any]:
    served = session.routes.connection_of(agency.organ_id)
    return {
        "organId": agency.organ_id.text,
        "organKey": agency.organ_id.key,
        "name": agency.name,
        "aliases": [code.text for code in agency.aliases],
        "validFrom": agency.valid_from.isoformat() if agency.valid_from else None,
        "validUntil": agency.valid_until.isoformat() if agency.valid_until else None,
        "successors": [code.text for code in agency.successors],
        "connection": served[0].name if served else None,
    }


def _print_agencies(session: Session, found: tuple[Agency, ...], as_json: bool) -> None:
    rows = [_agency_dict(session, agency) for agency in found]
    if as_json:
        print_json({"items": rows})
        return
    if not rows:
        say("No agencies.")
        return
    print_table(
        ("code", "name", "other codes", "connection"),
        (
            (row["organId"], row["name"], ", ".join(row["aliases"]), row["connection"])
            for row in rows
        ),
    )
