"""`lienthong verify-events`: does the event log lead to the states that are stored?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import click
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.database import SealStore
from adapters.signing import SigningProblem
from gateway import clock
from gateway.cli.certificates import believed, certificate_option
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.failures import REFUSED, Failure, wrong_use
from gateway.cli.output import print_json, say, show
from gateway.cli.session import open_session
from gateway.log_check import LogCheck
from gateway.own_certificates import fingerprint, kept
from gateway.seal_head import NAME as SEAL_HEAD
from gateway.seal_head import Head, NoHead, named_head, read_head
from gateway.settings import Settings
from gateway.signing_key import has_signer, open_signer
from gateway.stamp_check import PLACE, folder_judge, when
from routing.accepted_facts import ACCEPTED
from routing.ports import DeliveryQuery, Transaction
from routing.records import Delivery, Event, PackageRecord
from routing.replay import Replay

#: After two rounds and so much more, an event should be sealed.
OVERDUE = timedelta(minutes=1)

T = TypeVar("T")

#: Rows that are read at once.
PAGE = 1000


@click.command(name="verify-events", short_help="Replay the event log.")
@certificate_option(
    "Certificate of an earlier key of this gateway (a file, or its SHA-256); may be repeated."
)
@click.option(
    "--head",
    "heads",
    metavar="FILE|NUMBER:SHA256",
    multiple=True,
    help="Newest seal as it was kept elsewhere (a copy of seal-head.json, or as the service's log "
    "has it); may be repeated.",
)
@json_option
@pass_state
async def verify_events(
    state: State, certificates: tuple[str, ...], heads: tuple[str, ...], as_json: bool
) -> None:
    """Replay the event log; compare it with deliveries and packages. Exit code 1: they disagree.

    The seals over the log are checked as well: nothing altered or missing, no gap in the
    chain, nothing dated back or ahead, every seal signed with this gateway's key. What counts as
    its key: the one of the settings, those whose certificates lie in signing-certificates in the
    data folder, and --certificate. That the end was not cut off shows by the newest seal, which is
    in seal-head.json in the data folder and in the service's log (--head). A time stamp that a
    seal has must be of that seal, by an authority that the trust folder knows. On a gateway that is
    running, what changes between the two readings may show up: run it again.
    """
    named_certificates, kept_elsewhere = believed(certificates), _heads(heads)
    replay = Replay()
    deliveries = 0
    async with open_session(state.settings) as session:
        after_event = 0
        while events := await session.database.read(_events_after(after_event)):
            for event in events:
                replay.take(event)
            replay.compare_packages(events, await session.database.read(_accepted_in(events)))
            after_event = events[-1].seq
        known = named_certificates | await asyncio.to_thread(_our_own, state.settings)
        check = LogCheck(
            known,
            [*kept_elsewhere, *_own_head(state.settings)],
            await asyncio.to_thread(folder_judge, state.settings.effective_trust_dir),
        )
        check.head_signatures()
        store = SealStore(session.database)
        await check.seals_of(store)
        now = clock.now()
        await check.unsealed(store, now - OVERDUE - _rounds(state.settings), now)
        after = ""
        while rows := await session.database.read(_deliveries_after(after)):
            deliveries += replay.compare(rows)
            after = rows[-1].id
        replay.not_accepted(await store.not_accepted())
        replay.finish()
    if as_json:
        print_json(_told(replay, deliveries, check))
    else:
        _print(replay, deliveries, check)
    if replay.discrepancies or check.faults:
        sys.exit(REFUSED)


def _rounds(settings: Settings) -> timedelta:
    return timedelta(seconds=2 * settings.seal_seconds)


def _heads(values: tuple[str, ...]) -> list[Head]:
    try:
        return [named_head(value) for value in values]
    except NoHead as error:
        wrong_use(f"--head: {error}")


def _own_head(settings: Settings) -> list[Head]:
    try:
        head = read_head(settings.data_dir / SEAL_HEAD)
    except NoHead as error:
        raise Failure(str(error)) from None
    return [head] if head else []


def _our_own(settings: Settings) -> set[str]:
    """The certificates of this gateway's keys; a key that cannot be opened is said so."""
    found = kept(settings.data_dir)
    if has_signer(settings):
        try:
            certificate = open_signer(settings).certificate
        except SigningProblem as error:
            say(f"The gateway's key cannot be opened: {error}")
        else:
            found.add(fingerprint(certificate.public_bytes(Encoding.DER)))
    return found


def _told(replay: Replay, deliveries: int, check: LogCheck) -> dict[str, Any]:
    return {
        "events": replay.events,
        "deliveries": deliveries,
        "discrepancies": [
            {
                "delivery": one.delivery_id,
                "what": one.what,
                "byLog": one.by_log,
                "found": one.found,
                "event": one.seq or None,
            }
            for one in replay.discrepancies
        ],
        "seals": check.seals,
        "sealFaults": [
            {"seal": one.number, "what": one.what, "found": one.found} for one in check.faults
        ],
        "signers": check.signers,
        "stamps": {
            name: {
                "count": one.count,
                "trusted": one.trusted,
                "newestSeal": one.newest,
                "at": when(one.at) if one.at else None,
            }
            for name, one in check.stamps.items()
        },
        "sealsWithoutStamp": check.unstamped,
        "heads": [f"{head.number}:{head.digest}" for head in check.heads],
    }


def _print(replay: Replay, deliveries: int, check: LogCheck) -> None:
    for one in replay.discrepancies:
        where = f"event {one.seq}" if one.seq else "stored"
        show(f"{one.delivery_id}  {one.what}: the log says {one.by_log}, {where} {one.found}")
    for fault in check.faults:
        show(f"seal {fault.number}  {fault.what}: {fault.found}")
    for who, count in check.signers.items():
        whose = "ours" if who in check.known else "NOT OURS"
        show(f"{count} seals signed by SHA-256 {who} ({whose})")
    _print_stamps(check)
    if check.seals and not check.heads:
        show("NOT PROVEN  that the end of the log was not cut off: there is no seal-head.json here")
    show(
        f"{replay.events} events replayed, {deliveries} deliveries compared, "
        f"{len(replay.discrepancies)} discrepancies. "
        f"{check.seals} seals checked, {len(check.faults)} faults."
    )


def _print_stamps(check: LogCheck) -> None:
    for name, one in check.stamps.items():
        show(
            f"{one.count} seals stamped by {name}; "
            f"seal {one.newest} and all before it existed at {when(one.at) if one.at else '?'}"
        )
        if one.trusted is None:
            show(
                "NOT PROVEN  that this authority may be believed: lienthong trust import FILE "
                f"--profile {PLACE}"
            )
    if check.unstamped:
        show(f"{check.unstamped} seals have no time stamp")


Reads = Callable[[Transaction], Awaitable[list[T]]]


def _events_after(seq: int) -> Reads[Event]:
    async def read(tx: Transaction) -> list[Event]:
        return await tx.events_after(seq, PAGE)

    return read


def _accepted_in(
    events: list[Event],
) -> Callable[[Transaction], Awaitable[dict[str, PackageRecord]]]:
    wanted = [one.package_id for one in events if one.type == ACCEPTED and one.package_id]

    async def read(tx: Transaction) -> dict[str, PackageRecord]:
        return await tx.get_packages(wanted) if wanted else {}

    return read


def _deliveries_after(delivery_id: str) -> Reads[Delivery]:
    async def read(tx: Transaction) -> list[Delivery]:
        return await tx.search_deliveries(DeliveryQuery(after=delivery_id, limit=PAGE))

    return read
