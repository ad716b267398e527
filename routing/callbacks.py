"""Callbacks: telling partners' systems of changes as they happen (lifecycle, "Callbacks").

A connection registers an *endpoint*, an HTTP address. Every event of the log that it may see
becomes a *message* to it, in the transaction of the event: a CloudEvents 1.0 document, signed as
Standard Webhooks says. Messages of one subject (a document) to one endpoint go out in the order of
the log, at least once, with the same id on every attempt; the receiver drops repeats by that id.

Who may see what: the connection that handed a package in sees all that becomes of it; a recipient's
connection sees what happens to its own deliveries from the time they were offered to it. Nothing of
a document's content is told: the receiver fetches that with its credentials.

Everything here is pure; signatures are in `routing.webhook_signature`.
`adapters.database.callback_fan_out` makes messages,
`adapters.database.callback_store` keeps them, `adapters.webhook` posts, and `gateway.callbacks`
drives it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from envelopes.findings import Sentence
from routing.records import Event
from routing.states import TransportState

#: What goes before an event's type in a CloudEvent.
TYPE_PREFIX = "vn.lienthong."
#: Media type of a CloudEvent in the structured JSON form.
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"

#: Waits after the 1st, 2nd … failed attempt: two days in all, then the message is parked.
SCHEDULE = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    timedelta(hours=12),
    timedelta(hours=20),
)
#: A wait is stretched by up to this share of itself.
JITTER = 0.25
#: The longest wait that a receiver's Retry-After can ask for.
LONGEST_RETRY_AFTER = timedelta(hours=6)
#: The answer of a receiver that wants no more callbacks at all.
GONE = 410

_TYPE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)*(\.\*)?")
#: States in which a recipient does not know of its delivery (yet, or any more).
_NOT_SHOWN = (TransportState.ACCEPTED.value, TransportState.QUEUED.value)


class EndpointStatus(StrEnum):
    """Whether an endpoint is served."""

    ACTIVE = "active"
    #: Nothing is sent and nothing new is queued; what waits stays.
    SUSPENDED = "suspended"


class MessageState(StrEnum):
    """Where one message is."""

    #: To be sent, now or later.
    PENDING = "pending"
    #: The endpoint answered 2xx.
    DELIVERED = "delivered"
    #: Attempts are used up; it goes again when an operator says so.
    PARKED = "parked"


class PostOutcome(StrEnum):
    """How one attempt to post ended."""

    #: 2xx.
    DELIVERED = "delivered"
    #: The receiver surely does not have it, and said or showed that later may be better.
    TRY_LATER = "try-later"
    #: No answer after the request went out: it may have it or not.
    UNKNOWN = "unknown"
    #: It answered that it does not want it: 3xx, 4xx.
    REFUSED = "refused"
    #: We may not go to that address.
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class PostResult:
    """One attempt to post: the outcome, why, and the seconds it took."""

    outcome: PostOutcome
    #: For logs; never holds words of the receiver's body.
    detail: str
    sentence: Sentence
    seconds: float = 0.0
    status: int | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a connection that wants to be told of changes.

    The service must sign with the secrets, so they lie in the database sealed, not hashed.
    """

    id: str
    connection_id: str
    url: str
    secret: str = field(repr=False)
    created_at: datetime
    #: Event types, or prefixes that end in ``.*``; none: all.
    types: tuple[str, ...] = ()
    #: Networks (CIDR) outside the public internet that an operator allowed for this endpoint.
    allowed_networks: tuple[str, ...] = ()
    old_secret: str | None = field(default=None, repr=False)
    old_secret_until: datetime | None = None
    status: EndpointStatus = EndpointStatus.ACTIVE

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """The secrets to sign with at `now`, the newest first; two while a rotation overlaps."""
        until = self.old_secret_until
        if self.old_secret is not None and until is not None and now < until:
            return self.secret, self.old_secret
        return (self.secret,)


@dataclass(frozen=True, slots=True)
class CallbackMessage:
    """One event for one endpoint. `body` is sent byte for byte the same on every attempt."""

    seq: int
    endpoint_id: str
    event_seq: int
    subject: str
    body: str
    state: MessageState
    attempts: int
    next_at: datetime
    created_at: datetime
    lease_owner: str | None = None
    lease_until: datetime | None = None
    last_error: str = ""
    delivered_at: datetime | None = None

    @property
    def id(self) -> str:
        """The id that receivers drop repeats by."""
        return event_id(self.event_seq)


@dataclass(frozen=True, slots=True)
class PostAttempt:
    """One attempt as it is kept."""

    number: int
    started_at: datetime
    seconds: float
    outcome: PostOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent now, by the one who claimed it; `message.attempts` counts this one."""

    message: CallbackMessage
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message after an attempt."""

    state: MessageState
    #: When it goes again, if it does.
    next_at: datetime
    #: The receiver wants no more: stop serving the endpoint.
    suspend_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What may be told of a package: who sent it and which document it is or is about."""

    id: str
    kind: str
    meaning: str
    document_id: str
    sender_organ_id: str
    #: The connection that handed it in; None for the gateway's own.
    connection_id: str | None


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """What may be told of a delivery, as it is after the event."""

    id: str
    recipient_organ_id: str
    connection_id: str | None
    state: str
    #: Whether the recipient was shown it, or was handed it.
    shown: bool


# --- what is told, and to whom --------------------------------------------------------------------


def is_type_pattern(text: str) -> bool:
    """Whether `text` can stand in an endpoint's list of types."""
    return _TYPE.fullmatch(text) is not None


def matches(types: Sequence[str], event_type: str) -> bool:
    """Whether an endpoint with this list of types is told of events of this type."""
    return not types or any(
        event_type.startswith(one[:-1]) if one.endswith(".*") else event_type == one
        for one in types
    )


def is_told(event: Event) -> bool:
    """Whether an event is news for anybody: about a package, and a change.

    The log also notes doorbells rung again, repeated fetches and who read what; those change
    nothing.
    """
    if event.package_id is None or event.type.endswith(".read"):
        return False
    return not (event.type.startswith("delivery.") and event.from_state == event.to_state)


def may_see(connection_id: str, package: PackageFacts, delivery: DeliveryFacts | None) -> bool:
    """Whether a connection may be told of an event of this package (and delivery)."""
    if package.connection_id == connection_id:
        return True
    if delivery is None or delivery.connection_id != connection_id:
        return False
    return delivery.shown and delivery.state not in _NOT_SHOWN


def subject_of(event: Event) -> str:
    """What messages are kept in order by: the document, or the package if it has none."""
    return event.document_pk or event.package_id or ""


def event_id(event_seq: int) -> str:
    """The id of an event outside: the same for every endpoint and attempt."""
    return f"evt-{event_seq}"


def cloud_event(
    event: Event, package: PackageFacts, delivery: DeliveryFacts | None, *, source: str
) -> dict[str, Any]:
    """The event as a CloudEvent 1.0 in structured form (JSON-ready).

    Nothing of the document's content and no free text: what people wrote is fetched, not told.
    """
    reason = event.data.get("reason")
    told = {
        "document": package.document_id,
        "sender": package.sender_organ_id,
        "recipient": delivery.recipient_organ_id if delivery else None,
        "packageId": package.id,
        "deliveryId": event.delivery_id,
        "kind": package.kind,
        "meaning": package.meaning,
        "fromState": event.from_state,
        "toState": event.to_state,
        "statusCode": event.data.get("code") if event.type.startswith("report.") else None,
        "reasonCode": reason.get("code") if isinstance(reason, Mapping) else None,
    }
    return {
        "specversion": "1.0",
        "id": event_id(event.seq),
        "source": source,
        "type": TYPE_PREFIX + event.type,
        "subject": package.document_id,
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in told.items() if value is not None},
    }


def check_event(test_id: str, source: str, now: datetime) -> dict[str, Any]:
    """A CloudEvent that tells of nothing: an operator tries out an endpoint."""
    return {
        "specversion": "1.0",
        "id": test_id,
        "source": source,
        "type": f"{TYPE_PREFIX}test",
        "time": now.isoformat(),
        "datacontenttype": "application/json",
        "data": {},
    }


def body_of(told: Mapping[str, Any]) -> str:
    """The text that is stored, signed and sent."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


# --- when again -----------------------------------------------------------------------------------


def after_post(
    attempts: int,
    result: PostResult,
    now: datetime,
    spread: float,
    schedule: Sequence[timedelta] = SCHEDULE,
) -> Verdict:
    """What follows the `attempts`-th attempt; `spread` is a random number in [0, 1)."""
    if result.outcome is PostOutcome.DELIVERED:
        return Verdict(MessageState.DELIVERED, now)
    if result.status == GONE:
        return Verdict(MessageState.PENDING, now, suspend_endpoint=True)
    if attempts > len(schedule):
        return Verdict(MessageState.PARKED, now)
    wait = schedule[max(attempts, 1) - 1] * (1 + JITTER * spread)
    asked = min(result.retry_after or timedelta(0), LONGEST_RETRY_AFTER)
    return Verdict(MessageState.PENDING, now + max(wait, asked))


# --- ports ----------------------------------------------------------------------------------------


class CallbackStore(Protocol):
    """Messages to send, as the dispatcher needs them. Raises `DatabaseUnavailable`."""

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints, oldest first."""

    async def claim_due(
        self,
        owner: str,
        now: datetime,
        until: datetime,
        limit: int,
        *,
        per_endpoint: int,
        room: Mapping[str, int],
    ) -> list[Claimed]:
        """Claim up to `limit` messages for `owner` until `until`; their attempts count up.

        Of one endpoint and subject only the first pending message, and only when none is under
        way; of one endpoint at most `per_endpoint`, or what `room` says for it.
        """

    async def settle(
        self, owner: str, claimed: Claimed, result: PostResult, to: Verdict, *, now: datetime
    ) -> bool:
        """Keep the attempt and what becomes of the message; whether it was still `owner`'s.

        A success counts also when the lease has lapsed meanwhile and nobody else took the message.
        """


class CallbackSender(Protocol):
    """Posts one message; answers with a value, never raises for the receiver."""

    async def post(
        self,
        url: str,
        allowed_networks: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> PostResult:
        """POST `body` once, following nothing, within bounded time."""
