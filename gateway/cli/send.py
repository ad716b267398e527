"""`lienthong send` and `lienthong report`: handing in, over REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from envelopes.model import StatusCode
from gateway.cli.context import NAME, State, in_a_table, json_option, pass_state
from gateway.cli.given_file import GIVEN_FILE, readable
from gateway.cli.output import print_fields, print_json, print_table, say, sentence
from gateway.cli.remote import connect, finding_lines, remote_options, unless_problem
from schemas.catalogue import status_codes


@click.command(short_help="Hand in a package.")
@click.argument("file", type=GIVEN_FILE)
@click.option("--correlation-id", default="", help="Your own id, to be found again in all logs.")
@remote_options
@json_option
@pass_state
async def send(
    state: State, file: Path, correlation_id: str, url: str | None, token: str | None, as_json: bool
) -> None:
    """Hand in the package FILE (edXML; - for stdin). Sending it again repeats the first answer."""
    with readable(file) as package:
        async with connect(state, url, token) as client:
            answer = unless_problem(await client.send(package, correlation_id), state, as_json)
    _print_accepted(answer, state, as_json)


@click.command(short_help="Report what became of a document.")
@click.argument("id", metavar="ID", type=NAME)
@click.option(
    "--status",
    "code",
    required=True,
    type=click.Choice([code.value for code in StatusCode]),
    help="01 arrived, 02 refused, 03 accepted, 04 assigned, 05 being processed, 06 finished; "
    "13 the sender takes it back; 15 agreed to give it back or have it updated, 16 refused that.",
)
@click.option("--reason", default="", help="Why; with 02 and 16 it must be given.")
@click.option("--department", default="", help="Department of the clerk.")
@click.option("--staff", default="", help="Name of the clerk.")
@click.option("--mobile", default="", help="Telephone of the clerk.")
@click.option("--email", default="", help="E-mail of the clerk.")
@remote_options
@json_option
@pass_state
async def report(
    state: State,
    id: str,
    code: str,
    reason: str,
    department: str,
    staff: str,
    mobile: str,
    email: str,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Report to the sender what became of delivery ID (from `lienthong inbox`)."""
    if status_codes()[code].needs_reason and not reason.strip():
        raise click.UsageError(f"--reason is required with --status {code}")
    given = {"department": department, "staff": staff, "mobile": mobile, "email": email}
    clerk = {name: value for name, value in given.items() if value}
    async with connect(state, url, token) as client:
        answer = await client.report(id, code, reason, clerk)
        accepted = unless_problem(answer, state, as_json)
    _print_accepted(accepted, state, as_json)


def _print_accepted(answer: dict[str, Any], state: State, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    if answer.get("repeated"):
        say("This package was handed in before; this is the first answer again.")
    print_fields(
        (
            ("package", answer["id"]),
            ("document", answer["documentId"]),
            ("correlation id", answer.get("correlationId")),
        )
    )
    print_table(
        ("delivery", "to", "name", "state", "why"),
        (
            (
                row["id"],
                row["recipientOrganId"],
                row["recipientName"],
                row["state"],
                sentence(row["reason"], in_a_table(state)) if row["reason"] else "",
            )
            for row in answer["deliveries"]
        ),
    )
    for finding in answer.get("findings", ()):
        for line in finding_lines(finding, state.language, accepted=True):
            say(line)
