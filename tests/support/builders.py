"""Records and packages for tests: every field has a plausible value, tests name what matters.

The little world: three agencies, each with a connection of its own, written old-style:
`ALPHA` sends, `BETA` and `GAMMA` receive; `STRANGER` is a well-formed code nobody knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from adapters.database import RegistryStore, SqlDatabase
from envelopes.compose import compose_bytes
from envelopes.model import (
    VIETNAM_TIME,
    BusinessDocType,
    Code,
    Document,
    DocumentType,
    OtherInfo,
    Party,
    ResponseFor,
    SignerInfo,
    StatusCode,
    StatusReport,
)
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.lanes import Lane
from routing.ports import Database, Transaction
from routing.records import DOCUMENT, Change, Delivery, PackageRecord, change
from routing.route_table import (
    Connection,
    ConnectionStatus,
    RegistryData,
    RouteTable,
    Token,
)
from routing.states import Happening, Impossible, TransportState

NOW = datetime(2026, 3, 2, 1, 30, 0, 123456, tzinfo=UTC)

ALPHA = "000.00.01.H41"
BETA = "000.00.02.H41"
GAMMA = "000.00.03.H41"
STRANGER = "000.00.99.H99"


def new_id() -> str:
    """A fresh, growing id, as the gateway makes them."""
    return str(uuid7())


def later(seconds: float = 1.0, *, than: datetime = NOW) -> datetime:
    """Some seconds after."""
    return than + timedelta(seconds=seconds)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float = 1.0) -> datetime:
        """Go on, and the new time."""
        self.now += timedelta(seconds=seconds)
        return self.now


# --- registry -------------------------------------------------------------------------------------


def agency(code: str, name: str = "", **fields: Any) -> Agency:
    """An agency of this code."""
    return Agency(OrganId.of(code), name or f"Cơ quan {code}", **fields)


def connection(
    name: str, *codes: str, status: ConnectionStatus = ConnectionStatus.ACTIVE, kind: str = "pull"
) -> Connection:
    """A connection that serves these codes."""
    agencies = tuple(OrganId.of(code) for code in codes)
    return Connection(new_id(), name, kind, status, agencies, NOW)


def token(owner: Connection, secret: str = "", **fields: Any) -> Token:
    """A token of a connection."""
    digest = hashlib.sha256((secret or new_id()).encode()).hexdigest()
    return Token(new_id(), owner.id, digest, NOW, **fields)


@dataclass(frozen=True)
class World:
    """The registry of a test: the three connections and the routes they make."""

    alpha: Connection
    beta: Connection
    gamma: Connection
    routes: RouteTable

    def of(self, code: str) -> Connection:
        """The connection of an agency of the little world."""
        return {ALPHA: self.alpha, BETA: self.beta, GAMMA: self.gamma}[code]


async def settle_world(database: SqlDatabase, *, kind: str = "pull") -> World:
    """Register the little world in an empty database."""
    store = RegistryStore(database)
    made = []
    for name, code in (("alpha", ALPHA), ("beta", BETA), ("gamma", GAMMA)):
        new = connection(name, code, kind=kind)
        refusal = await store.add_connection(
            new, token(new), [agency(code)], actor="operator:test", now=NOW
        )
        assert refusal is None
        made.append(new)
    return World(*made, routes=RouteTable(await store.load()))


def route_table(agencies: Sequence[Agency], connections: Sequence[Connection]) -> RouteTable:
    """Routes without any database."""
    return RouteTable(RegistryData(1, tuple(agencies), tuple(connections), ()))


# --- records --------------------------------------------------------------------------------------


def package(sender: str = "H41.ALPHA", **fields: Any) -> PackageRecord:
    """A document package as stored."""
    record = PackageRecord(
        id=new_id(),
        kind=DOCUMENT,
        sender=sender,
        sender_organ_id=sender,
        sender_name="Cơ quan gửi",
        connection_id=None,
        document_pk=None,
        document_id=f"{sender},2026/03/02,1/CV",
        meaning=BusinessDocType.NEW.value,
        version=1,
        digest=hashlib.sha256(new_id().encode()).hexdigest(),
        size=1234,
        lane=Lane.ORDINARY,
        correlation_id="trace-1",
        received_at=NOW,
        summary={"subject": "V/v kiểm tra", "codeNumber": "1", "codeNotation": "CV"},
    )
    return replace(record, **fields)


def delivery(of: PackageRecord, recipient: str = "H41.BETA", **fields: Any) -> Delivery:
    """A delivery of a package as accepted: due to be relayed."""
    row = Delivery(
        id=new_id(),
        package_id=of.id,
        document_pk=of.document_pk,
        recipient=recipient,
        recipient_organ_id=recipient,
        recipient_name="Cơ quan nhận",
        connection_id=None,
        lane=of.lane,
        state=TransportState.ACCEPTED,
        fair_key=of.received_at,
        created_at=of.received_at,
        updated_at=of.received_at,
        correlation_id=of.correlation_id,
        version=of.version,
        ring_at=of.received_at,
    )
    return replace(row, **fields)


def step(row: Delivery, happening: Happening, now: datetime = NOW, **fields: Any) -> Change:
    """A change that must be possible."""
    made = change(row, happening, actor="test", now=now, **fields)
    assert not isinstance(made, Impossible), made.sentence.en
    return made


async def keep(database: Database, of: PackageRecord, *rows: Delivery) -> None:
    """Store a package with its deliveries."""

    async def write(tx: Transaction) -> None:
        await tx.insert_package(of)
        await tx.insert_deliveries(rows)

    await database.write(write)


async def versions(
    database: Database, count: int, connection_id: str, recipient: str = "H41.B"
) -> list[Delivery]:
    """One document in so many versions on their way to one recipient, due to be relayed."""

    async def write(tx: Transaction) -> list[Delivery]:
        known = await tx.lock_document(
            "H41.A", new_id(), pk=new_id(), subject="", search="", now=NOW
        )
        rows = []
        for version in range(1, count + 1):
            of = package("H41.A", document_pk=known.pk, version=version)
            rows.append(delivery(of, recipient, connection_id=connection_id))
            await tx.insert_package(of)
        await tx.insert_deliveries(rows)
        return rows

    return await database.write(write)


async def stored(database: Database, delivery_id: str) -> Delivery:
    """A delivery as the database has it now."""

    async def read(tx: Transaction) -> Delivery | None:
        return await tx.get_delivery(delivery_id)

    row = await database.read(read)
    assert row is not None
    return row


async def put(database: Database, *changes: Change) -> None:
    """Store changes."""

    async def write(tx: Transaction) -> None:
        await tx.apply(changes)

    await database.write(write)


async def look(database: Database, question: Callable[[Transaction], Any]) -> Any:
    """Ask one thing of a read transaction."""

    async def read(tx: Transaction) -> Any:
        return await question(tx)

    return await database.read(read)


# --- packages on the wire -------------------------------------------------------------------------


def document(
    *recipients: str,
    sender: str = ALPHA,
    number: int = 1,
    subject: str = "V/v kiểm tra công tác văn thư",
    priority: int = 0,
    meaning: BusinessDocType = BusinessDocType.NEW,
    **fields: Any,
) -> Document:
    """A document package that keeps every rule."""
    made = Document(
        sender=Party(sender, "Sở Nội vụ"),
        recipients=tuple(Party(code, f"Cơ quan {code}") for code in recipients or (BETA,)),
        document_id=f"{sender},2026/03/02,{number}/SNV-VP",
        code=Code(str(number), "SNV-VP"),
        place="Đà Nẵng",
        promulgation_date=date(2026, 3, 2),
        document_type=DocumentType("1", "", "Công văn"),
        subject=subject,
        signer=SignerInfo("", "Giám đốc", "Nguyễn Văn A"),
        other_info=OtherInfo(priority=priority, page_amount=1),
    )
    made = replace(made, **fields)
    return replace(made, business=replace(made.business, doc_type=meaning))


def report(
    code: StatusCode,
    about: Document,
    *,
    sender: str = BETA,
    description: str = "Đã xử lý",
    at: datetime = NOW,
) -> StatusReport:
    """A status package about a document."""
    return StatusReport(
        sender=Party(sender, f"Cơ quan {sender}"),
        response_for=ResponseFor(
            organ_id=about.sender.organ_id,
            code=f"{about.code.number}/{about.code.notation}",
            document_id=about.document_id,
            promulgation_date=about.promulgation_date,
        ),
        status_code=code.value,
        description=description,
        timestamp=at.astimezone(VIETNAM_TIME).replace(microsecond=0),
    )


def wire(what: Document | StatusReport) -> bytes:
    """The package as a system hands it in."""
    return compose_bytes(what, {})
