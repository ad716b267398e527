"""What a partner says of a package outside the attempt that brought it: a receipt, or a refusal.

The receipt names the delivery and the digest of what was received, and counts only when it comes
over the connection that the delivery goes to. It may come while the attempt still waits, long after
it ended, or when everybody had given up: a late truth wins (lessons 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from envelopes.findings import Sentence
from routing.gateway_reports import About, GatewayReports, Issued, record_issued
from routing.ids import is_id
from routing.on_time import OnTime, delivered
from routing.ports import Database, Transaction
from routing.records import DOCUMENT, Change, Delivery, PackageRecord, Reason, change, is_unsure
from routing.route_table import Connection, RouteTable
from routing.states import Happening, TransportState


@dataclass(frozen=True, slots=True)
class Receipt:
    """The partner has the package of these bytes, or refuses it for a reason."""

    delivery_id: str
    digest: str
    refusal: Sentence | None = None


class ReceiptEffect(StrEnum):
    """What a receipt did."""

    RECORDED = "recorded"
    #: It said the same before.
    REPEATED = "repeated"
    #: There is no such delivery for this connection.
    NOT_YOURS = "not-found"
    #: The bytes that it speaks of are not those of the delivery.
    OTHER_CONTENT = "wrong-digest"
    #: It contradicts what is final.
    IMPOSSIBLE = "impossible-receipt"


class Receipts:
    """Records receipts."""

    def __init__(self, database: Database, reports: GatewayReports, on_time: OnTime) -> None:
        self._database = database
        self._reports = reports
        self._on_time = on_time

    async def record(
        self, receipt: Receipt, connection: Connection, routes: RouteTable, now: datetime
    ) -> ReceiptEffect:
        """Apply a receipt of this connection. Raises `DatabaseUnavailable`."""
        if not is_id(receipt.delivery_id):
            return ReceiptEffect.NOT_YOURS
        found = await self._database.read(lambda tx: _look(tx, receipt.delivery_id))
        if found is None or found[0].connection_id != connection.id:
            return ReceiptEffect.NOT_YOURS
        row, package = found
        if not (row.attempts or is_unsure(row)):
            # Before the first attempt nobody outside knows the id.
            return ReceiptEffect.NOT_YOURS
        if receipt.digest.lower() != package.digest:
            return ReceiptEffect.OTHER_CONTENT
        if receipt.refusal is None:
            return await self._delivered(row.id, connection, now)
        reason = Reason("refused-by-partner", receipt.refusal)
        issued = None
        if package.kind == DOCUMENT:
            issued = await self._reports.refusal(
                About.of(package), row.recipient_organ_id, reason, routes, row, now
            )
        return await self._returned(row.id, connection, reason, issued, now)

    async def digest_of(self, delivery_id: str) -> str:
        """The digest of a delivery's package; empty when there is none."""
        if not is_id(delivery_id):
            return ""
        found = await self._database.read(lambda tx: _look(tx, delivery_id))
        return found[1].digest if found else ""

    async def _delivered(
        self, delivery_id: str, connection: Connection, now: datetime
    ) -> ReceiptEffect:
        actor = f"connection:{connection.name}"

        async def write(tx: Transaction) -> ReceiptEffect:
            row = await _locked(tx, delivery_id)
            if row.state is TransportState.DELIVERED:
                return ReceiptEffect.REPEATED
            step = delivered(row, actor=actor, now=now, on_time=self._on_time)
            if not isinstance(step, Change):
                return ReceiptEffect.IMPOSSIBLE
            await tx.apply([step])
            await self._on_time.received(tx, step.after, actor, now)
            return ReceiptEffect.RECORDED

        return await self._database.write(write)

    async def _returned(
        self,
        delivery_id: str,
        connection: Connection,
        reason: Reason,
        issued: Issued | None,
        now: datetime,
    ) -> ReceiptEffect:
        async def write(tx: Transaction) -> ReceiptEffect:
            row = await _locked(tx, delivery_id)
            if row.state is TransportState.RETURNED:
                return ReceiptEffect.REPEATED
            step = change(
                row,
                Happening.RETURNED,
                actor=f"connection:{connection.name}",
                now=now,
                reason=reason,
                ring_at=None,
                lease_owner=None,
                lease_until=None,
            )
            if not isinstance(step, Change):
                return ReceiptEffect.IMPOSSIBLE
            await tx.apply([step])
            if issued is not None:
                await record_issued(tx, [issued], row.document_pk)
            return ReceiptEffect.RECORDED

        return await self._database.write(write)


async def _look(tx: Transaction, delivery_id: str) -> tuple[Delivery, PackageRecord] | None:
    row = await tx.get_delivery(delivery_id)
    package = await tx.get_package(row.package_id) if row is not None else None
    return None if row is None or package is None else (row, package)


async def _locked(tx: Transaction, delivery_id: str) -> Delivery:
    row = await tx.get_delivery(delivery_id, lock=True)
    if row is None:
        raise AssertionError(f"delivery {delivery_id} disappeared")
    return row
