"""`lienthong verify-events`: does the event log lead to the states that are stored?"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from gateway.cli.context import State, json_option, pass_state
from gateway.cli.output import print_json, show
from gateway.cli.session import open_session
from routing.ports import DeliveryQuery, Transaction
from routing.records import Delivery, Event
from routing.replay import Replay

T = TypeVar("T")

#: Rows that are read at once.
PAGE = 1000


@click.command(name="verify-events", short_help="Replay the event log.")
@json_option
@pass_state
async def verify_events(state: State, as_json: bool) -> None:
    """Replay the event log and compare it with the deliveries. Exit code 1 when they disagree.

    On a gateway that is running, what changes between the two readings may show up: run it again.
    """
    replay = Replay()
    deliveries = 0
    async with open_session(state.settings) as session:
        after_event = 0
        while events := await session.database.read(_events_after(after_event)):
            for event in events:
                replay.take(event)
            after_event = events[-1].seq
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
        print_json({"events": replay.events, "deliveries": deliveries, "discrepancies": found})
    else:
        for one in found:
            where = f"event {one['event']}" if one["event"] else "stored"
            show(
                f"{one['delivery']}  {one['what']}: the log says {one['byLog']}, "
                f"{where} {one['found']}"
            )
        show(
            f"{replay.events} events replayed, {deliveries} deliveries compared, "
            f"{len(found)} discrepancies."
        )
    if found:
        sys.exit(1)


Reads = Callable[[Transaction], Awaitable[list[T]]]


def _events_after(seq: int) -> Reads[Event]:
    async def read(tx: Transaction) -> list[Event]:
        return await tx.events_after(seq, PAGE)

    return read


def _deliveries_after(delivery_id: str) -> Reads[Delivery]:
    async def read(tx: Transaction) -> list[Delivery]:
        return await tx.search_deliveries(DeliveryQuery(after=delivery_id, limit=PAGE))

    return read
