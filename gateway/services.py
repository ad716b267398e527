"""The parts of one running gateway, put together by `gateway.app`, handed to those in need."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from adapters.amqp_partner import PartnerLinks
from adapters.database import SqlDatabase
from adapters.payloads import Payloads
from adapters.vault import Vault
from envelopes.read import ReadLimits
from gateway.access.failures import FailedAuthentications
from gateway.access.gate import PeopleGate
from gateway.admission import Admission
from gateway.inspection import Inspection
from gateway.intake import IntakeLimits
from gateway.observability import Metrics
from gateway.partner_secrets import PartnerSecrets
from gateway.registry import Registry
from gateway.sealing import Sealer
from gateway.settings import MIB, Role, Settings
from routing.accept import Accept
from routing.dead_letters import DeadLetters
from routing.gateway_reports import GatewayReports
from routing.on_time import OnTime
from routing.ports import Broker

KIB = 1024


class Signal:
    """Wakes those who wait for something of one key; a missed wake-up costs a poll, no more."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, key: str = "") -> None:
        """Wake everybody who waits for `key`."""
        for event in self._waiting.get(key, ()):
            event.set()

    async def wait(self, seconds: float, key: str = "") -> bool:
        """Wait for `key`; whether it came before the time was over."""
        event = asyncio.Event()
        self._waiting[key].add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]


@dataclass(slots=True)
class Turnstile:
    """How many submissions are being received, in all and per connection."""

    limit: int
    per_connection: int
    total: int = 0
    of_connection: dict[str, int] = field(default_factory=dict)

    def enter(self, connection_id: str) -> bool:
        """Take a place; False when there is none."""
        mine = self.of_connection.get(connection_id, 0)
        if self.total >= self.limit or mine >= self.per_connection:
            return False
        self.total += 1
        self.of_connection[connection_id] = mine + 1
        return True

    def leave(self, connection_id: str) -> None:
        """Give the place back."""
        self.total -= 1
        left = self.of_connection[connection_id] - 1
        if left:
            self.of_connection[connection_id] = left
        else:
            del self.of_connection[connection_id]


@dataclass(slots=True)
class Services:
    """Everything that handlers and background roles use."""

    settings: Settings
    roles: tuple[Role, ...]
    #: Names this process in leases: host, process id and a random part.
    owner: str
    database: SqlDatabase
    payloads: Payloads
    broker: Broker
    registry: Registry
    accept: Accept
    on_time: OnTime
    dead_letters: DeadLetters
    reports: GatewayReports
    vault: Vault
    secrets: PartnerSecrets
    admission: Admission
    failures: FailedAuthentications
    people: PeopleGate
    inspection: Inspection
    sealer: Sealer
    metrics: Metrics
    turnstile: Turnstile
    #: Something may have to be relayed.
    outbox: Signal = field(default_factory=Signal)
    #: Something came into the inbox of a connection (key: its id).
    inbox: Signal = field(default_factory=Signal)
    #: A partner said something of a delivery (key: its id).
    receipts: Signal = field(default_factory=Signal)
    #: Connections to RabbitMQ on which packages for partners are published.
    partner_links: PartnerLinks = field(default_factory=PartnerLinks)
    #: Set when the process is told to stop.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def intake_limits(self) -> IntakeLimits:
        """Bounds of one submission."""
        settings = self.settings
        return IntakeLimits(
            max_bytes=settings.max_package_mib * MIB,
            seconds=settings.intake_seconds,
            min_rate=settings.intake_min_rate_kib * KIB,
            grace_seconds=settings.intake_grace_seconds,
        )

    @property
    def read_limits(self) -> ReadLimits:
        """Bounds of reading one package."""
        return read_limits(self.settings)


def read_limits(settings: Settings) -> ReadLimits:
    """Bounds of reading one package, by these settings."""
    return ReadLimits(
        max_attachment_bytes=settings.max_attachment_mib * MIB,
        max_total_bytes=settings.max_package_mib * MIB,
    )
