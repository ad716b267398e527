"""`lienthong callbacks …`: the addresses that partners' systems are called back at.

An operator registers them, and the partner only where the setting `callbacks_by_partners` says so:
a URL makes the gateway open connections. The signing secret is shown once; in the database
it is sealed with the gateway's key (`adapters.vault`), because the service signs with it.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

import click

from adapters.database.callback_store import SqlCallbacks
from adapters.vault import Vault
from adapters.webhook import WebhookSender
from adapters.webhook_addresses import Blocked, check_url, networks_of, parse_network
from gateway import clock
from gateway.callbacks import post_signed
from gateway.cli.callback_shapes import endpoint_dict, message_dict, result_dict
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import GOOD, REFUSED, UNAVAILABLE, Failure, refuse
from gateway.cli.output import print_json, print_table, say, sentence, show
from gateway.cli.session import Session, open_session
from gateway.rest.encode import time_of
from routing.callbacks import (
    Endpoint,
    EndpointStatus,
    MessageState,
    PostOutcome,
    body_of,
    check_event,
    is_type_pattern,
)
from routing.webhook_signature import SECRET_BYTES, secret_of

#: The longest overlap of old and new secrets, hours.
LONGEST_OVERLAP = 24 * 90.0

#: How `test` ends for each outcome; a receiver that may be better later is "unavailable".
_EXIT = {
    PostOutcome.DELIVERED: GOOD,
    PostOutcome.TRY_LATER: UNAVAILABLE,
    PostOutcome.UNKNOWN: UNAVAILABLE,
    PostOutcome.REFUSED: REFUSED,
    PostOutcome.BLOCKED: REFUSED,
}


@click.group(short_help="Addresses that partners are called back at.")
def callbacks() -> None:
    """Signed HTTP calls that tell partners' systems of every change (CloudEvents)."""


def _types(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    types = tuple(one.strip() for item in given for one in item.split(",") if one.strip())
    for one in types:
        if not is_type_pattern(one):
            raise click.BadParameter(
                f"{one!r} is no event type; write delivery.delivered or delivery.*"
            )
    return tuple(dict.fromkeys(types))


def _networks(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    networks = []
    for text in given:
        network = parse_network(text)
        if isinstance(network, Blocked):
            raise click.BadParameter(f"{text!r}: {network.sentence.en}")
        networks.append(str(network))
    return tuple(dict.fromkeys(networks))


@callbacks.command()
@click.argument("connection")
@click.argument("url")
@click.option(
    "--type",
    "types",
    multiple=True,
    callback=_types,
    metavar="TYPE[,TYPE…]",
    help="Only these events: delivery.delivered, or delivery.* and the like. Without it: all.",
)
@click.option(
    "--allow-network",
    "networks",
    multiple=True,
    callback=_networks,
    metavar="CIDR",
    help="A network outside the public internet that it may lie in; there http and any port go.",
)
@json_option
@operator_option
@pass_state
async def add(
    state: State,
    connection: str,
    url: str,
    types: tuple[str, ...],
    networks: tuple[str, ...],
    as_json: bool,
    operator: str,
) -> None:
    """Call CONNECTION back at URL from now on. The signing secret is shown once."""
    checked = check_url(url, networks_of(networks))
    if isinstance(checked, Blocked):
        refuse(sentence(checked.sentence, state.language))
    async with open_session(state.settings) as session:
        owner = session.routes.connection_named(connection)
        if owner is None:
            refuse(f"There is no connection {connection!r}.")
        now = clock.now()
        secret = secret_of(secrets.token_bytes(SECRET_BYTES))
        endpoint = Endpoint(clock.new_id(), owner.id, str(checked), secret, now, types, networks)
        store = _store(session)
        await store.add(endpoint, actor=f"operator:{operator}", now=now)
        shown = endpoint_dict(endpoint, session.connection_name(endpoint.connection_id))
    if as_json:
        print_json({**shown, "secret": secret})
        return
    say(f"Endpoint {endpoint.id} was added. Its signing secret, shown only now:")
    show(secret)


@callbacks.command("list")
@json_option
@pass_state
async def list_(state: State, as_json: bool) -> None:
    """All endpoints, with how many messages wait or are parked."""
    async with open_session(state.settings) as session:
        store = _store(session)
        figures = await store.figures()
        items = [
            {
                **endpoint_dict(endpoint, session.connection_name(endpoint.connection_id)),
                **{kind.value: figures.get(endpoint.id, {}).get(kind, 0) for kind in MessageState},
            }
            for endpoint in await store.endpoints()
        ]
    if as_json:
        print_json({"items": items})
        return
    if not items:
        say("No endpoints. Add one with: lienthong callbacks add CONNECTION URL")
        return
    print_table(
        ("id", "connection", "status", "url", "types", "networks", "pending", "parked"),
        (
            (
                item["id"],
                item["connection"],
                item["status"],
                item["url"],
                ", ".join(item["types"]) or "all",
                ", ".join(item["allowedNetworks"]),
                item["pending"],
                item["parked"],
            )
            for item in items
        ),
    )


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@json_option
@pass_state
async def test(state: State, endpoint_id: str, as_json: bool) -> None:
    """Send a signed event vn.lienthong.test now, and show the answer or why it is blocked."""
    async with open_session(state.settings) as session:
        endpoint = await _known(_store(session), endpoint_id)
        source = session.settings.organ_id
    now = clock.now()
    test_id = f"test-{clock.new_id()}"
    body = body_of(check_event(test_id, source, now)).encode()
    sender = WebhookSender(total=state.settings.callback_timeout_seconds)
    result = await post_signed(sender, endpoint, test_id, body, now)
    if as_json:
        print_json(result_dict(test_id, result))
    else:
        answer = f"HTTP {result.status}" if result.status else result.outcome.value
        show(f"{answer}  {result.seconds * 1000:.0f} ms")
        show(sentence(result.sentence, state.language))
    if _EXIT[result.outcome] != GOOD:
        raise click.exceptions.Exit(_EXIT[result.outcome])


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@click.option(
    "--overlap",
    type=click.FloatRange(0, LONGEST_OVERLAP),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How long messages are signed with the old secret as well.",
)
@json_option
@operator_option
@pass_state
async def rotate(
    state: State, endpoint_id: str, overlap: float, as_json: bool, operator: str
) -> None:
    """Give endpoint ID a new signing secret, shown once."""
    async with open_session(state.settings) as session:
        store = _store(session)
        endpoint = await _known(store, endpoint_id)
        now = clock.now()
        ends = now + timedelta(hours=overlap)
        secret = secret_of(secrets.token_bytes(SECRET_BYTES))
        await store.rotate(endpoint, secret, ends, actor=f"operator:{operator}", now=now)
    if as_json:
        print_json({"id": endpoint_id, "secret": secret, "oldSecretEnds": time_of(ends)})
        return
    say(f"Messages are signed with the old secret as well for {overlap:g} hours.")
    say("The new secret, shown only now:")
    show(secret)


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@json_option
@operator_option
@pass_state
async def suspend(state: State, endpoint_id: str, as_json: bool, operator: str) -> None:
    """Send nothing to endpoint ID. What waits stays; nothing new is queued meanwhile."""
    await _set_status(state, endpoint_id, EndpointStatus.SUSPENDED, as_json, operator)


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@json_option
@operator_option
@pass_state
async def resume(state: State, endpoint_id: str, as_json: bool, operator: str) -> None:
    """Serve a suspended endpoint again, beginning with what waits."""
    await _set_status(state, endpoint_id, EndpointStatus.ACTIVE, as_json, operator)


async def _set_status(
    state: State, endpoint_id: str, status: EndpointStatus, as_json: bool, operator: str
) -> None:
    async with open_session(state.settings) as session:
        store = _store(session)
        endpoint = await _known(store, endpoint_id)
        changed = endpoint.status is not status
        if changed:
            actor = f"operator:{operator}"
            await store.set_status(endpoint, status, actor=actor, now=clock.now())
    if as_json:
        print_json({"id": endpoint_id, "status": status.value, "changed": changed})
        return
    show(f"Endpoint {endpoint_id} {'is now' if changed else 'was already'} {status}.")


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@json_option
@operator_option
@pass_state
async def remove(state: State, endpoint_id: str, as_json: bool, operator: str) -> None:
    """Forget endpoint ID with its secret and all its messages, sent or not."""
    async with open_session(state.settings) as session:
        store = _store(session)
        endpoint = await _known(store, endpoint_id)
        await store.remove(endpoint, actor=f"operator:{operator}", now=clock.now())
    if as_json:
        print_json({"id": endpoint_id, "removed": True})
        return
    show(f"Endpoint {endpoint_id} was removed.")


@callbacks.command()
@click.argument("endpoint_id", metavar="ID")
@click.option("--state", "wanted", type=click.Choice([one.value for one in MessageState]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@pass_state
async def log(
    state: State, endpoint_id: str, wanted: str | None, limit: int, as_json: bool
) -> None:
    """Messages to endpoint ID, newest first, with every attempt."""
    async with open_session(state.settings) as session:
        store = _store(session)
        await _known(store, endpoint_id)
        only = MessageState(wanted) if wanted else None
        entries = await store.log(endpoint_id, state=only, limit=limit)
    if as_json:
        print_json({"items": [message_dict(*entry) for entry in entries]})
        return
    if not entries:
        say("No messages.")
        return
    print_table(
        ("message", "event", "state", "tries", "made", "next try", "delivered", "last error"),
        (
            (
                message.seq,
                message.id,
                message.state,
                message.attempts,
                message.created_at,
                message.next_at if message.state is MessageState.PENDING else None,
                message.delivered_at,
                message.last_error,
            )
            for message, _ in entries
        ),
    )


@callbacks.command()
@click.argument("messages", nargs=-1, type=int, metavar="[MESSAGE…]")
@click.option("--parked", is_flag=True, help="Everything that is parked.")
@click.option(
    "--endpoint", "endpoint_id", metavar="ID", help="With --parked: only this endpoint's."
)
@json_option
@pass_state
async def replay(
    state: State,
    messages: tuple[int, ...],
    parked: bool,
    endpoint_id: str | None,
    as_json: bool,
) -> None:
    """Send parked or delivered messages again, with the same ids (numbers as `log` shows them)."""
    if parked == bool(messages):
        raise click.UsageError("Name messages, or write --parked.")
    if endpoint_id is not None and not parked:
        raise click.UsageError("--endpoint goes with --parked.")
    async with open_session(state.settings) as session:
        store, now = _store(session), clock.now()
        if endpoint_id is not None:
            await _known(store, endpoint_id)
        again = (
            await store.replay_parked(endpoint_id, now=now)
            if parked
            else await store.replay(messages, now=now)
        )
    missing = sorted(set(messages) - set(again))
    if as_json:
        print_json({"replayed": again, "notReplayed": missing})
    else:
        show(f"{len(again)} messages will be sent again.")
    if missing:
        numbers = ", ".join(str(one) for one in missing)
        refuse(f"Neither parked nor delivered: {numbers}.")


def _store(session: Session) -> SqlCallbacks:
    """Endpoints and messages, secrets sealed with the gateway's key. Raises `VaultProblem`."""
    vault = Vault.from_file(session.settings.effective_key_file)
    return SqlCallbacks(session.database, vault)


async def _known(store: SqlCallbacks, endpoint_id: str) -> Endpoint:
    endpoint = await store.endpoint(endpoint_id)
    if endpoint is None:
        raise Failure(f"There is no endpoint {endpoint_id!r}. See: lienthong callbacks list")
    return endpoint
