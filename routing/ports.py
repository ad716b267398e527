"""What the use cases need from the world, as Protocols. The adapters implement them.

Everything here is data or a promise; nothing here does anything. Ids are UUIDv7 texts, times are
aware datetimes in UTC, digests are lower-case hex SHA-256.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from identifiers.organ_id import OrganId
from routing.change_requests import RequestStore
from routing.deadline_watch import DeadlineStore
from routing.lanes import Lane
from routing.records import (
    Attempt,
    Change,
    Delivery,
    DocumentRecord,
    Event,
    PackageRecord,
)
from routing.route_table import RegistryData
from routing.states import TransportState


@dataclass(frozen=True, slots=True)
class Doorbell:
    """What travels through the broker: the id of a delivery to look at, never its content."""

    delivery_id: str
    connection_id: str
    lane: Lane
    correlation_id: str = ""


class PublishOutcome(StrEnum):
    """What is known of one published doorbell."""

    #: The broker has it, durably as far as it can.
    CONFIRMED = "confirmed"
    #: No answer in time, or the connection was lost: it may or may not be in the queue.
    UNKNOWN = "unknown"
    #: The broker said no (returned as unroutable, or negatively confirmed).
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """The broker as `/readyz` shows it."""

    ok: bool
    detail: str


class BrokerUnavailable(Exception):
    """The broker could not be reached within the time allowed (broken infrastructure)."""


DoorbellHandler = Callable[[Sequence[Doorbell]], Awaitable[None]]


class Broker(Protocol):
    """A doorbell between processes. The database is the truth; this only says where to look."""

    #: True when a restart of this process empties it (the embedded broker).
    volatile: bool

    async def start(self) -> None:
        """Connect; raises `BrokerUnavailable` after a bounded time. Reconnects by itself later."""

    async def close(self) -> None:
        """Stop consuming, let running handlers end, disconnect."""

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        """Publish all, wait for the confirms together; one outcome each, in order.

        Never hangs beyond `timeout` seconds and never raises for trouble with the broker.
        """

    async def subscribe(
        self,
        connection_id: str,
        lane: Lane,
        handler: DoorbellHandler,
        batch: int = 50,
        places: int = 0,
    ) -> None:
        """Hand over what arrives for one connection and lane, up to `batch` at once.

        With `places` each doorbell is handed over alone, so many at the same time. A doorbell is
        acked after `handler` returned, and comes again when it raised.
        """

    async def unsubscribe(self, connection_id: str) -> None:
        """Stop handing over for a connection; what is in its queues stays there."""

    async def health(self) -> BrokerHealth:
        """Whether publishing would work now."""

    async def depths(self) -> dict[tuple[str, Lane], int]:
        """Doorbells that wait, per connection and lane, as far as they are known."""


# --- the database ---------------------------------------------------------------------------------

T = TypeVar("T")


class Unavailable(Exception):
    """Something that taking packages in needs is away: nothing was accepted, try again later."""


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time or refused; nothing is known to have been stored."""


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """What `GET /v1/documents` asks for. Every given field narrows the result."""

    #: Words of the subject, number or DocumentId; case and accents do not matter.
    text: str = ""
    document_id: str | None = None
    #: Only documents that this connection sent or receives; None for an operator.
    connection_id: str | None = None
    #: Of those, only the ones that it sent.
    sent_only: bool = False
    #: Only documents that these agencies or any below them sent or received; None: of all.
    within: tuple[OrganId, ...] | None = None
    sender: str = ""
    recipient: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None
    #: The pk after which to go on (newest first).
    after: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """What `lienthong deliveries list` asks for."""

    states: tuple[TransportState, ...] = ()
    connection_id: str | None = None
    recipient: str = ""
    document_id: str | None = None
    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One package that waits for a pull connection, newest knowledge of its delivery included."""

    delivery: Delivery
    package: PackageRecord


@dataclass(frozen=True, slots=True)
class InboxCursor:
    """A place in the order of an inbox: urgent first, then by the time of the offer."""

    rank: int
    offered_at: datetime
    delivery_id: str


class Transaction(Protocol):
    """One database transaction. Everything done through it commits together or not at all."""

    @property
    def requests(self) -> RequestStore:
        """Requests to change copies, and links."""

    @property
    def deadlines(self) -> DeadlineStore:
        """Time limits of deliveries."""

    async def find_package(self, sender: str, digest: str) -> PackageRecord | None:
        """The package of this sender with these bytes."""

    async def get_package(self, package_id: str) -> PackageRecord | None:
        """The package of this id."""

    async def get_packages(self, package_ids: Sequence[str]) -> dict[str, PackageRecord]:
        """Those of these packages that exist, by id."""

    async def packages_of_document(
        self, document_pk: str, *, kind: str = ""
    ) -> list[PackageRecord]:
        """All packages that are or speak about a document, oldest first; of one kind if given.

        A circular has many times more reports than versions.
        """

    async def insert_package(self, package: PackageRecord) -> None:
        """Keep a new package."""

    async def lock_document(
        self,
        sender: str,
        document_id: str,
        *,
        pk: str,
        subject: str,
        search: str,
        now: datetime,
        version: int = 0,
    ) -> DocumentRecord:
        """The document of this sender and DocumentId, made under `pk` when new, and locked.

        Until the transaction ends nobody else takes a step in this document's life. A document
        just made has this `version`: 0 where its first package may need a second try.
        """

    async def known_before(
        self, sender: str, digest: str, document_id: str
    ) -> tuple[bool, DocumentRecord | None]:
        """Whether the sender handed these bytes in before, and its document of this DocumentId."""

    async def find_document(self, sender: str, document_id: str) -> DocumentRecord | None:
        """The document, if it is known."""

    async def documents_called(self, document_id: str) -> list[DocumentRecord]:
        """Every sender's document of this DocumentId, oldest first."""

    async def get_document(self, document_pk: str) -> DocumentRecord | None:
        """The document of this key."""

    async def set_version(self, document_pk: str, version: int, subject: str, search: str) -> None:
        """Note a document's newest version and its subject."""

    async def search_documents(self, query: DocumentQuery) -> list[DocumentRecord]:
        """Documents that match, newest first."""

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Keep new deliveries; one per package and recipient."""

    async def get_delivery(self, delivery_id: str, *, lock: bool = False) -> Delivery | None:
        """The delivery of this id; with `lock` nobody else changes it until the end."""

    async def get_deliveries(
        self, delivery_ids: Sequence[str], *, lock: bool = False
    ) -> list[Delivery]:
        """Those of these deliveries that exist, in no order."""

    async def deliveries_behind(
        self, some_id: str, connection_id: str, *, lock: bool = False
    ) -> list[Delivery]:
        """One connection's deliveries behind a delivery's or a package's id, none of others."""

    async def deliveries_of_package(self, package_id: str, *, lock: bool = False) -> list[Delivery]:
        """A package's deliveries, in the order of its recipients."""

    async def deliveries_of_document(
        self, document_pk: str, recipient: str = "", *, kind: str = "", lock: bool = False
    ) -> list[Delivery]:
        """Deliveries of a document's packages, by version; of one recipient or kind if given."""

    async def deliveries_of_documents(
        self, document_pks: Sequence[str]
    ) -> list[tuple[Delivery, str | None]]:
        """All deliveries of these documents by version, each with its package's connection id."""

    async def search_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Deliveries that match, newest first."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Store changed deliveries and append their events."""

    async def append(self, events: Sequence[Event]) -> None:
        """Append events that change no delivery."""

    async def events_of_document(self, document_pk: str) -> list[Event]:
        """A document's events in the order of the log."""

    async def events_of_package(self, package_id: str) -> list[Event]:
        """A package's events in the order of the log."""

    async def events_after(self, seq: int, limit: int) -> list[Event]:
        """The log after this number, for reading it through."""

    async def claim_rings(
        self, owner: str, now: datetime, until: datetime, limit: int, window: int
    ) -> list[Delivery]:
        """Claim up to `limit` deliveries whose doorbell is due, for `owner` until `until`.

        Urgent first, then by fair key. Connections that are suspended or that have `window`
        doorbells in the broker already are passed over.
        """

    async def queue_rings(self, owner: str, changes: Sequence[Change]) -> list[str]:
        """Store changes of doorbells that the broker has, with their events; the ids of those.

        Left alone is what `owner` has not claimed any more, or what is not in the state that it
        was claimed in. All changes have the same states and the same time.
        """

    async def settle_rings(
        self, owner: str, confirmed: Sequence[str], failed: Sequence[str], retry_at: datetime
    ) -> list[Delivery]:
        """Clear the outbox part of `confirmed`, put `failed` off to `retry_at`.

        Returns the confirmed deliveries as they are now, locked. Only what `owner` still has
        claimed is touched.
        """

    async def inbox(
        self, connection_id: str, after: InboxCursor | None, limit: int
    ) -> list[InboxItem]:
        """What waits for a pull connection: offered or fetched, not confirmed."""

    async def lost_rings(self, before: datetime, limit: int) -> list[Delivery]:
        """Deliveries that waited in the broker since before `before`, locked."""

    async def lapsed_leases(self, now: datetime, limit: int) -> list[Delivery]:
        """Deliveries whose attempt's lease has run out, locked."""

    async def start_attempt(self, attempt: Attempt) -> None:
        """Write an attempt down before it starts."""

    async def finish_attempt(self, attempt: Attempt) -> None:
        """Complete an attempt."""

    async def attempts_of(self, delivery_id: str) -> list[Attempt]:
        """A delivery's attempts, in order."""

    async def registry_version(self) -> int:
        """Counts up with every change of agencies, connections and tokens."""

    async def load_registry(self) -> RegistryData:
        """Everything that routing and authentication need to know."""


class Database(Protocol):
    """The only source of truth."""

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in one durable transaction and return its result.

        `work` may be run again from the start after a conflict, so it does nothing that a second
        run would double outside the transaction. Raises `DatabaseUnavailable`.
        """

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` on a consistent view; it changes nothing. Raises `DatabaseUnavailable`."""


# --- payloads -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """Stands in for a stored payload: its digest and size in bytes."""

    digest: str
    size: int


class PayloadStore(Protocol):
    """Content-addressed store of the exact bytes received."""

    async def put(self, content: bytes) -> ClaimCheck:
        """Store `content` durably; returns after it would survive a power cut."""

    def open(self, digest: str) -> AsyncIterator[bytes]:
        """The bytes in blocks; raises `PayloadMissing` when there are none."""

    async def size(self, digest: str) -> int | None:
        """Bytes stored under `digest`; None when there is nothing."""


class PayloadMissing(Exception):
    """The database names a payload that the store does not have (broken infrastructure)."""


class PayloadDamaged(PayloadMissing):
    """The store has other bytes than were put (broken infrastructure); they are no payload."""


class PayloadsUnavailable(Unavailable):
    """The payload store did not answer in time or refused; nothing is known to have been stored."""
