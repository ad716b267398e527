"""Seals over the event log: what was once written cannot be changed or left out unseen.

Events are sealed in groups, shortly after they were committed. A seal holds the root of a Merkle
tree over its events (RFC 6962: leaves and nodes are hashed apart) and the digest of the seal before
it, and is signed. So one event can be shown to have been in the log with a few hashes and a seal,
and nothing can be taken out of the middle of the log without breaking the chain.

Events are chosen by not being sealed yet, never by a high-water mark: numbers are given before
transactions commit, so a lower number may appear later (reliability 1.2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from routing.records import Event

#: `typ` of a signed seal, and of a signed receipt.
SEAL_KIND = "lienthong-seal+jws"
RECEIPT_KIND = "lienthong-receipt+jws"
#: What the first seal names as the one before it.
NOTHING_BEFORE = "0" * 64
#: Events of one seal at the most.
LARGEST = 4096
#: An event may be this much older than what is in the log: transactions that waited, other clocks.
LATE = timedelta(minutes=15)


def canonical(data: dict[str, Any]) -> bytes:
    """JSON that is the same for the same data: sorted members, no spaces, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def event_text(event: Event) -> bytes:
    """An event as it is sealed and exported; times in UTC with microseconds."""
    return canonical(
        {
            "seq": event.seq,
            "type": event.type,
            "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": event.actor,
            "documentPk": event.document_pk,
            "packageId": event.package_id,
            "deliveryId": event.delivery_id,
            "fromState": event.from_state,
            "toState": event.to_state,
            "correlationId": event.correlation_id,
            "data": event.data,
        }
    )


def leaf_of(text: bytes) -> bytes:
    """The hash of one event's text."""
    return hashlib.sha256(b"\x00" + text).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below `count` (RFC 6962, 2.1)."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves, at least one."""
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return _node(root_of(leaves[:middle]), root_of(leaves[middle:]))


def path_to(leaves: Sequence[bytes], position: int) -> list[bytes]:
    """The hashes that lead from a leaf to the root, nearest first."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if position < middle:
        return [*path_to(leaves[:middle], position), root_of(leaves[middle:])]
    return [*path_to(leaves[middle:], position - middle), root_of(leaves[:middle])]


def root_from(leaf: bytes, position: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf, its place and a path lead to; None when they do not fit together."""
    if not 0 <= position < count:
        return None
    if count == 1:
        return None if path else leaf
    if not path:
        return None
    middle = _split(count)
    if position < middle:
        below = root_from(leaf, position, middle, path[:-1])
        return _node(below, path[-1]) if below else None
    below = root_from(leaf, position - middle, count - middle, path[:-1])
    return _node(path[-1], below) if below else None


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal; `signed` is the JWS over `text`, `stamp` a time stamp (RFC 3161) over `signed`."""

    number: int
    root: str
    previous: str
    events: int
    first_seq: int
    last_seq: int
    sealed_at: datetime
    signed: str = ""
    stamp: bytes | None = None

    @property
    def text(self) -> bytes:
        """What is signed."""
        return canonical(
            {
                "number": self.number,
                "root": self.root,
                "previous": self.previous,
                "events": self.events,
                "firstSeq": self.first_seq,
                "lastSeq": self.last_seq,
                "sealedAt": self.sealed_at.astimezone(UTC).isoformat(timespec="microseconds"),
            }
        )

    @property
    def digest(self) -> str:
        """What the next seal names as the one before it."""
        return hashlib.sha256(self.text).hexdigest()


def seal_over(events: Sequence[Event], before: Seal | None, now: datetime) -> Seal:
    """The next seal, not signed yet, over these events in the order of their numbers."""
    numbers = [event.seq for event in events]
    return Seal(
        number=before.number + 1 if before else 1,
        root=root_of([leaf_of(event_text(event)) for event in events]).hex(),
        previous=before.digest if before else NOTHING_BEFORE,
        events=len(events),
        first_seq=min(numbers),
        last_seq=max(numbers),
        sealed_at=now,
    )


@dataclass(frozen=True, slots=True)
class SealFault:
    """Where log and seals disagree: the seal's number, a code, what was found."""

    number: int
    #: ``altered``, ``missing``, ``chain``, ``signature``, ``signer``, ``time``, ``head``,
    #: ``unsealed``, ``stamp``.
    what: str
    found: str


def compare(seal: Seal, before: Seal | None, events: Sequence[Event]) -> list[SealFault]:
    """Hold a seal against the events that it covers and the seal before it."""
    faults = []
    expected = before.digest if before else NOTHING_BEFORE
    if seal.previous != expected or seal.number != (before.number + 1 if before else 1):
        faults.append(SealFault(seal.number, "chain", "it does not follow the seal before it"))
    if len(events) != seal.events:
        found = f"{len(events)} of {seal.events} events are there"
        faults.append(SealFault(seal.number, "missing", found))
    elif root_of([leaf_of(event_text(event)) for event in events]).hex() != seal.root:
        found = f"an event from {seal.first_seq} to {seal.last_seq} is not what was sealed"
        faults.append(SealFault(seal.number, "altered", found))
    return faults


def misdated(seal: Seal, before: Seal | None, events: Sequence[Event]) -> list[SealFault]:
    """Events whose time lies well before that of what was in the log already.

    Nobody can write into the past: what is sealed now was not there when the seal before was made.
    """
    return [
        SealFault(
            seal.number,
            "time",
            f"event {event.seq} of {event.at.isoformat()} came after {newest.isoformat()}",
        )
        for event, newest in dated_back(before, events)
    ]


def dated_back(before: Seal | None, events: Sequence[Event]) -> list[tuple[Event, datetime]]:
    """Those of the events behind this seal that are misdated, and what was there before each."""
    found = []
    newest = before.sealed_at if before else None
    for event in events:
        if newest is not None and event.at < newest - LATE:
            found.append((event, newest))
        newest = max(newest, event.at) if newest else event.at
    return found
