"""`lienthong recall`: taking a document back, over REST."""

from __future__ import annotations

import click

from gateway.cli.context import NAME, State, in_a_table, json_option, pass_state
from gateway.cli.output import print_json, print_table, say, sentence
from gateway.cli.remote import connect, remote_options, unless_problem


@click.command(short_help="Take a document back.")
@click.argument("document", type=NAME)
@click.option(
    "--recipient", "recipients", multiple=True, type=NAME, metavar="CODE", help="Only from these."
)
@click.option("--reason", required=True, help="Why; every receiver is told.")
@remote_options
@json_option
@pass_state
async def recall(
    state: State,
    document: str,
    recipients: tuple[str, ...],
    reason: str,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Take DOCUMENT (a DocumentId of yours, or its key) back from its recipients.

    What a recipient has not fetched is withdrawn at once. Otherwise the recipient is asked; its
    answer, 15 (agreed) or 16 (refused), comes into your inbox.
    """
    async with connect(state, url, token) as client:
        answer = unless_problem(await client.recall(document, reason, recipients), state, as_json)
    if as_json:
        print_json(answer)
        return
    rows = []
    for item in answer["items"]:
        asked = item["deliveries"][0]
        why = (
            sentence(asked["reason"], in_a_table(state))
            if asked["reason"]
            else "asked; no answer yet"
        )
        rows.append((item["recipient"], asked["state"], why))
    print_table(("recipient", "request", "what became of it"), rows)
    if not rows:
        say("The document has no recipients.")
