"""`lienthong people …`: people of this gateway and their personal tokens.

For gateways without an OpenID Connect provider, and for the day on which the provider is away.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import click

from adapters.database import PeopleStore, PersonNameTaken, PersonToken, StoredPerson
from gateway import clock
from gateway.access.gate import TOKEN_PREFIX, digest_of
from gateway.access.people import PROVIDER_PREFIX, PersonRole
from gateway.cli.codes import WithAgencies, agencies_option
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import Failure, refuse
from gateway.cli.output import print_json, print_table, say, show
from gateway.cli.registration import TOKEN_BYTES, tidy_name
from gateway.cli.session import open_session
from gateway.rest.encode import time_of
from identifiers.organ_id import OrganId

#: Days that a personal token lives: by default, and at the most.
TOKEN_DAYS, MOST_DAYS = 90, 366
#: The longest overlap of old and new tokens, hours.
LONGEST_OVERLAP = 24 * 7.0


@click.group(short_help="People, their roles and tokens.")
def people() -> None:
    """People who use /v1/admin: operators, auditors, clerks.

    Văn thư, người giám sát và người vận hành.
    """


def _name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    name = tidy_name(value)
    if name is None or ":" in name:
        raise click.BadParameter("a name is 1 to 100 printable characters without a colon")
    return name


_days_option = click.option(
    "--days",
    type=click.FloatRange(0, MOST_DAYS, min_open=True),
    default=TOKEN_DAYS,
    show_default=True,
    help="How long the token lives.",
)


@people.command(cls=WithAgencies)
@click.argument("name", callback=_name)
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([role.value for role in PersonRole]),
    help="What they are to the gateway. May be repeated.",
)
@agencies_option("Agency that a clerk works for, with everything below it.")
@_days_option
@json_option
@operator_option
@pass_state
async def add(
    state: State,
    name: str,
    roles: tuple[str, ...],
    codes: tuple[str, ...],
    days: float,
    as_json: bool,
    operator: str,
) -> None:
    """Open an account for NAME. The personal token is shown once and kept nowhere in the open."""
    if (PersonRole.CLERK.value in roles) != bool(codes):
        raise click.UsageError("A clerk works for agencies, and only a clerk: --agency CODE.")
    now = clock.now()
    agencies = tuple(OrganId.of(code).text for code in codes)
    person = StoredPerson(clock.new_id(), name, tuple(dict.fromkeys(roles)), agencies, now)
    secret, token = _new_token(person, now, days)
    async with open_session(state.settings) as session:
        store = PeopleStore(session.database)
        answer = await store.add(person, token, actor=f"operator:{operator}")
    if isinstance(answer, PersonNameTaken):
        refuse(f"There is an account {name!r} already; names of closed ones are not used again.")
    _tell(person, secret, token, as_json)


def _new_token(person: StoredPerson, now: datetime, days: float) -> tuple[str, PersonToken]:
    secret = f"{TOKEN_PREFIX}{secrets.token_urlsafe(TOKEN_BYTES)}"
    ends = now + timedelta(days=days)
    return secret, PersonToken(clock.new_id(), person.id, digest_of(secret), now, ends)


def _tell(person: StoredPerson, secret: str, token: PersonToken, as_json: bool) -> None:
    if as_json:
        ends = time_of(token.expires_at)
        print_json({**_person_dict(person), "token": secret, "tokenEnds": ends})
        return
    say(f"The token of {person.name!r} until {token.expires_at:%Y-%m-%d}, shown only now:")
    show(secret)


def _person_dict(person: StoredPerson) -> dict[str, Any]:
    return {
        "name": person.name,
        "roles": list(person.roles),
        "agencies": list(person.agencies),
        "createdAt": time_of(person.created_at),
        "closedAt": time_of(person.closed_at),
    }


@people.command("list")
@json_option
@pass_state
async def list_(state: State, as_json: bool) -> None:
    """All accounts by name, closed ones too, and until when their tokens work."""
    now = clock.now()
    async with open_session(state.settings) as session:
        accounts = await PeopleStore(session.database).all()
    rows = []
    for person, tokens in accounts:
        valid = [token.expires_at for token in tokens if token.expires_at > now]
        ends = max(valid) if valid and person.closed_at is None else None
        rows.append((person, ends))
    if as_json:
        items = [{**_person_dict(person), "tokenEnds": time_of(ends)} for person, ends in rows]
        print_json({"items": items})
        return
    if not rows:
        say("No accounts. Open one with: lienthong people add NAME --role auditor")
        return
    print_table(
        ("name", "roles", "agencies", "opened", "token until", "closed"),
        (
            (
                person.name,
                ", ".join(person.roles),
                ", ".join(person.agencies),
                person.created_at,
                ends,
                person.closed_at,
            )
            for person, ends in rows
        ),
    )


@people.command()
@click.argument("name")
@json_option
@operator_option
@pass_state
async def close(state: State, name: str, as_json: bool, operator: str) -> None:
    """Close the account of NAME for ever; its tokens are refused from this moment.

    NAME is oidc:… as the event log has it for somebody who comes with tokens of the provider.
    """
    async with open_session(state.settings) as session:
        store, now = PeopleStore(session.database), clock.now()
        person = await _find(store, name)
        if person is None and name.startswith(PROVIDER_PREFIX) and tidy_name(name) == name:
            person = StoredPerson(clock.new_id(), name, (), (), now)
            await store.shut_out(person, actor=f"operator:{operator}", now=now)
        person = person or await _known(store, name)
        changed = person.closed_at is None
        await store.close(person, actor=f"operator:{operator}", now=now)
    if as_json:
        print_json({"name": person.name, "closed": True, "changed": changed})
        return
    show(f"The account of {person.name!r} {'is now' if changed else 'was already'} closed.")


@people.command()
@click.argument("name")
@_days_option
@click.option(
    "--overlap",
    type=click.FloatRange(0, LONGEST_OVERLAP),
    default=0.0,
    show_default=True,
    metavar="HOURS",
    help="How long the old token still works.",
)
@json_option
@operator_option
@pass_state
async def rotate(
    state: State, name: str, days: float, overlap: float, as_json: bool, operator: str
) -> None:
    """Give NAME a new token, shown once."""
    async with open_session(state.settings) as session:
        store, now = PeopleStore(session.database), clock.now()
        person = await _known(store, name)
        if person.closed_at is not None:
            refuse(f"The account of {person.name!r} is closed; open a new one under another name.")
        secret, token = _new_token(person, now, days)
        old_end = now + timedelta(hours=overlap)
        await store.rotate(person, token, old_end, actor=f"operator:{operator}")
    _tell(person, secret, token, as_json)


async def _find(store: PeopleStore, name: str) -> StoredPerson | None:
    wanted = tidy_name(name) or name
    accounts = (person for person, _ in await store.all())
    return next((person for person in accounts if person.name == wanted), None)


async def _known(store: PeopleStore, name: str) -> StoredPerson:
    person = await _find(store, name)
    if person is None:
        raise Failure(f"There is no account {name!r}. See: lienthong people list")
    return person
