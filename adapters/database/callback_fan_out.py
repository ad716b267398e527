"""Events become callback messages in the transaction that appends them (`routing.callbacks`).

`SqlTransaction.append` hands its events over when the database was given a `CallbackFanOut`. Where
there is no active endpoint that costs one small look per process and `FRESH` seconds; where there
is one, a select and, if somebody is told, an insert per append (and on PostgreSQL a lock).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Select, and_, exists, insert, or_, select, text

from adapters.database import rows
from adapters.database.executes import Executes
from adapters.database.lifecycle_tables import callback_endpoints, callback_messages
from adapters.database.tables import deliveries, events, packages
from routing.callbacks import (
    DeliveryFacts,
    EndpointStatus,
    MessageState,
    PackageFacts,
    body_of,
    cloud_event,
    is_told,
    matches,
    may_see,
    subject_of,
)
from routing.records import Event

#: Seconds for which "there are no endpoints" is believed. Events of that time are not told to an
#: endpoint that was added meanwhile.
FRESH = 0.5
#: Events that are looked up, and messages that are inserted, by one statement.
BATCH = 500

T = TypeVar("T")

_e, _p, _d = callback_endpoints.c, packages.c, deliveries.c

#: Transactions that tell of one document go one after another from here on, so that the numbers of
#: its events grow in the order of their commits: a dispatcher that sees one sees all before it.
_IN_TURN = text(
    "SELECT pg_advisory_xact_lock(731103, key) FROM (SELECT DISTINCT hashtext(subject) AS key"
    " FROM unnest(CAST(:subjects AS text[])) AS subject ORDER BY 1) AS keys"
)


@dataclass(frozen=True, slots=True)
class _Listener:
    endpoint_id: str
    connection_id: str
    types: tuple[str, ...]


@dataclass(slots=True)
class _Known:
    """What the database knows about some events, as far as an endpoint cares."""

    packages: dict[str, PackageFacts] = field(default_factory=dict)
    deliveries: dict[str, DeliveryFacts] = field(default_factory=dict)
    listeners: dict[str, dict[str, _Listener]] = field(default_factory=dict)

    def told(self, event: Event) -> Iterator[_Listener]:
        """The endpoints that are told of this event."""
        if not is_told(event):
            return
        package = self.packages.get(event.package_id or "")
        if package is None:
            return
        delivery = self.deliveries.get(event.delivery_id or "")
        for listener in self.listeners[package.id].values():
            wanted = matches(listener.types, event.type)
            if wanted and may_see(listener.connection_id, package, delivery):
                yield listener


class CallbackFanOut:
    """Makes messages from events; one instance per process and database."""

    def __init__(self, source: str = "lienthong", *, fresh: float = FRESH) -> None:
        #: The `source` attribute of every CloudEvent: names this gateway.
        self._source = source
        self._fresh = fresh
        self._wanted = False
        self._looked = float("-inf")

    async def wants(self, connection: Executes, new: Sequence[Event]) -> bool:
        """Whether any endpoint is active, and any of these events is of a kind that is told."""
        return any(is_told(event) for event in new) and await self._is_wanted(connection)

    async def append(self, connection: Executes, new: Sequence[Event]) -> None:
        """Insert events into the log, with the messages that tell of them."""
        known = _Known()
        news = [event for event in new if is_told(event)]
        if news and await self._is_wanted(connection):
            for batch in _batches(news):
                await _look_up(connection, batch, known)
        told = [place for place, event in enumerate(new) if any(True for _ in known.told(event))]
        if not told:
            await connection.execute(insert(events), [rows.event_row(event) for event in new])
            return
        if connection.dialect.name == "postgresql":
            subjects = sorted({subject_of(new[place]) for place in told})
            await connection.execute(_IN_TURN, {"subjects": subjects})
        numbers = await _insert(connection, new)
        numbered = (replace(new[place], seq=numbers[place]) for place in told)
        for messages in _batches(self._messages(numbered, known)):
            await connection.execute(insert(callback_messages), messages)

    async def _is_wanted(self, connection: Executes) -> bool:
        """Whether any endpoint is active; what is known is believed for `FRESH` seconds."""
        if time.monotonic() - self._looked > self._fresh:
            active = select(exists().where(_e.status == EndpointStatus.ACTIVE.value))
            self._wanted = bool((await connection.execute(active)).scalar_one())
            self._looked = time.monotonic()
        return self._wanted

    def _messages(self, told: Iterable[Event], known: _Known) -> Iterator[dict[str, Any]]:
        for event in told:
            package = known.packages[event.package_id or ""]
            delivery = known.deliveries.get(event.delivery_id or "")
            body = body_of(cloud_event(event, package, delivery, source=self._source))
            for listener in known.told(event):
                yield {
                    "endpoint_id": listener.endpoint_id,
                    "event_seq": event.seq,
                    "subject": subject_of(event),
                    "body": body,
                    "state": MessageState.PENDING.value,
                    "attempts": 0,
                    "next_at": event.at,
                    "last_error": "",
                    "created_at": event.at,
                }


async def _insert(connection: Executes, new: Sequence[Event]) -> list[int]:
    """Insert events; their numbers, in the same order."""
    numbered = insert(events).returning(events.c.seq, sort_by_parameter_order=True)
    found = await connection.execute(numbered, [rows.event_row(event) for event in new])
    return [int(number) for number in found.scalars()]


async def _look_up(connection: Executes, batch: Sequence[Event], known: _Known) -> None:
    """The packages and deliveries of these events for which any endpoint listens."""
    package_ids = list({event.package_id for event in batch if event.package_id})
    delivery_ids = list({event.delivery_id for event in batch if event.delivery_id})
    found = await connection.execute(_listeners(package_ids, delivery_ids))
    for row in found.mappings():
        package_id = row["package_id"]
        known.packages[package_id] = PackageFacts(
            id=package_id,
            kind=row["kind"],
            meaning=row["meaning"],
            document_id=row["document_id"],
            sender_organ_id=row["sender_organ_id"],
            connection_id=row["sent_by"],
        )
        if row["delivery_id"] is not None:
            known.deliveries[row["delivery_id"]] = DeliveryFacts(
                id=row["delivery_id"],
                recipient_organ_id=row["recipient_organ_id"],
                connection_id=row["goes_to"],
                state=row["state"],
                shown=row["offered_at"] is not None or row["delivered_at"] is not None,
            )
        listener = _Listener(row["endpoint_id"], row["listens"], tuple(row["types"]))
        known.listeners.setdefault(package_id, {})[listener.endpoint_id] = listener


def _listeners(package_ids: list[str], delivery_ids: list[str]) -> Select[Any]:
    """Every active endpoint that sent one of the packages or receives one of the deliveries."""
    delivered = and_(_d.package_id == _p.id, _d.id.in_(delivery_ids))
    concerned = or_(_e.connection_id == _p.connection_id, _e.connection_id == _d.connection_id)
    return (
        select(
            _e.id.label("endpoint_id"),
            _e.connection_id.label("listens"),
            _e.types,
            _p.id.label("package_id"),
            _p.kind,
            _p.meaning,
            _p.document_id,
            _p.sender_organ_id,
            _p.connection_id.label("sent_by"),
            _d.id.label("delivery_id"),
            _d.recipient_organ_id,
            _d.connection_id.label("goes_to"),
            _d.state,
            _d.offered_at,
            _d.delivered_at,
        )
        .select_from(packages)
        .outerjoin(deliveries, delivered)
        .join(callback_endpoints, and_(_e.status == EndpointStatus.ACTIVE.value, concerned))
        .where(_p.id.in_(package_ids))
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, `BATCH` at a time."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
