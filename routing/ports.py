"""What the use cases need from the world, as Protocols. The adapters implement them.

Everything here is data or a promise; nothing here does anything. Ids are UUIDv7 texts, times are
aware datetimes in UTC, digests are lower-case hex SHA-256.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from routing.lanes import Lane


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
        self, connection_id: str, lane: Lane, handler: DoorbellHandler, batch: int = 50
    ) -> None:
        """Hand over what arrives for one connection and lane, up to `batch` at once.

        A doorbell is acked after `handler` returned, and comes again when it raised.
        """

    async def unsubscribe(self, connection_id: str) -> None:
        """Stop handing over for a connection; what is in its queues stays there."""

    async def health(self) -> BrokerHealth:
        """Whether publishing would work now."""

    async def depths(self) -> dict[tuple[str, Lane], int]:
        """Doorbells that wait, per connection and lane, as far as they are known."""
