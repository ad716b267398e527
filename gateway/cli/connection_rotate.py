"""`lienthong connections rotate`: a new token or secret, with an overlap."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TextIO

import click

from gateway import clock
from gateway.cli.connection_shapes import connection_dict, given_secret, known, secret_option
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import refuse
from gateway.cli.output import print_json, say, show
from gateway.cli.registration import NotAdded, keep_secret, new_token, provide
from gateway.cli.session import Session, open_session
from gateway.kinds import KINDS
from gateway.rest.encode import time_of
from routing.route_table import Connection

#: The longest overlap of old and new tokens, hours.
LONGEST_OVERLAP = 24 * 90.0


@click.command()
@click.argument("name")
@click.option(
    "--overlap",
    type=click.FloatRange(0, LONGEST_OVERLAP),
    metavar="HOURS",
    help="How long the old one still works. [default: 24]",
)
@click.option("--now", "at_once", is_flag=True, help="The old one ends at once: it is known.")
@click.option("--secret", "of_secret", is_flag=True, help="The shared secret, not the token.")
@secret_option
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
        connection = known(session, name)
        kind = KINDS[connection.kind]
        of_secret = of_secret or not kind.has_token
        if of_secret:
            at_once = at_once or (kind.secret is not None and not kind.secret.overlaps)
            ends = now if at_once else ends
            given = given_secret(secret_file)
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
        print_json({**connection_dict(connection), **data, ended: time_of(ends)})
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
