"""`lienthong verify-events`: does the event log lead to the states that are stored?"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from adapters.database import SealStore
from envelopes.json_signature import verify
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.output import print_json, show
from gateway.cli.session import open_session
from routing.ports import DeliveryQuery, Transaction
from routing.records import Delivery, Event
from routing.replay import Replay
from routing.seals import SEAL_KIND, Seal, SealFault, compare

T = TypeVar("T")

#: Rows that are read at once.
PAGE = 1000


@click.command(name="verify-events", short_help="Replay the event log.")
@json_option
@pass_state
async def verify_events(state: State, as_json: bool) -> None:
    """Replay the event log and compare it with the deliveries. Exit code 1 when they disagree.

    The seals over the log are checked as well: nothing altered, nothing missing, every signature
    good, no gap in the chain. On a gateway that is running, what changes between the two readings
    may show up: run it again.
    """
    replay = Replay()
    deliveries = 0
    async with open_session(state.settings) as session:
        after_event = 0
        while events := await session.database.read(_events_after(after_event)):
            for event in events:
                replay.take(event)
            after_event = events[-1].seq
        seals, faults = await _seals(SealStore(session.database))
        after = ""
        while rows := await session.database.read(_deliveries_after(after)):
            deliveries += replay.compare(rows)
            after = rows[-1].id
    found = [
        {
            "delivery": one.delivery_id,
            "what": one.what,
            "byLog": one.by_log,
            "found": one.found,
            "event": one.seq or None,
        }
        for one in replay.discrepancies
    ]
    if as_json:
        print_json(
            {
                "events": replay.events,
                "deliveries": deliveries,
                "discrepancies": found,
                "seals": seals,
                "sealFaults": [
                    {"seal": one.number, "what": one.what, "found": one.found} for one in faults
                ],
            }
        )
    else:
        for one in found:
            where = f"event {one['event']}" if one["event"] else "stored"
            show(
                f"{one['delivery']}  {one['what']}: the log says {one['byLog']}, "
                f"{where} {one['found']}"
            )
        for fault in faults:
            show(f"seal {fault.number}  {fault.what}: {fault.found}")
        show(
            f"{replay.events} events replayed, {deliveries} deliveries compared, "
            f"{len(found)} discrepancies. {seals} seals checked, {len(faults)} faults."
        )
    if found or faults:
        sys.exit(1)


async def _seals(store: SealStore) -> tuple[int, list[SealFault]]:
    """How many seals there are, and what is wrong with them."""
    faults: list[SealFault] = []
    before: Seal | None = None
    while seals := await store.seals(before.number if before else 0, 100):
        for seal in seals:
            faults += compare(seal, before, await store.covered(seal.number))
            signed = verify(seal.signed.encode())
            if signed.payload != seal.text or signed.kind != SEAL_KIND:
                faults.append(SealFault(seal.number, "signature", "it is not what was signed"))
            before = seal
    return before.number if before else 0, faults


Reads = Callable[[Transaction], Awaitable[list[T]]]


def _events_after(seq: int) -> Reads[Event]:
    async def read(tx: Transaction) -> list[Event]:
        return await tx.events_after(seq, PAGE)

    return read


def _deliveries_after(delivery_id: str) -> Reads[Delivery]:
    async def read(tx: Transaction) -> list[Delivery]:
        return await tx.search_deliveries(DeliveryQuery(after=delivery_id, limit=PAGE))

    return read
