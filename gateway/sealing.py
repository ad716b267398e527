"""Sealing the event log while the gateway runs, and the signed receipts of packages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from adapters.database import SealStore, SqlDatabase
from adapters.signing import Signer
from routing.records import Delivery, PackageRecord
from routing.seals import LARGEST, RECEIPT_KIND, SEAL_KIND, canonical, seal_over

log = structlog.get_logger(__name__)

#: Events younger than this are left for the next seal: their neighbours may not be committed yet.
SETTLE = timedelta(seconds=2)


class Sealer:
    """Makes seals and receipts with the gateway's key."""

    def __init__(self, database: SqlDatabase, signer: Signer, organ_id: str) -> None:
        self._store = SealStore(database)
        self._signer = signer
        self._organ_id = organ_id

    async def seal(self, now: datetime, *, everything: bool = False) -> int:
        """Seal what is not sealed yet; how many events were. Raises `SigningProblem`.

        `everything` looks at the whole log and leaves nothing for its youth.
        """
        before = now + SETTLE if everything else now - SETTLE
        sealed = 0
        while events := await self._store.unsealed(before, LARGEST, everywhere=everything):
            seal = seal_over(events, await self._store.last(), now)
            signed = await self._signer.sign_json(seal.text, SEAL_KIND)
            if await self._store.add(replace(seal, signed=signed.decode("ascii")), events):
                sealed += len(events)
            if len(events) < LARGEST and not everything:
                break
        return sealed

    async def receipt(self, package: PackageRecord, rows: list[Delivery], now: datetime) -> str:
        """The signed receipt of an accepted package; the same text whenever it is asked for."""
        known = await self._store.receipt(package.id)
        if known is not None:
            return known
        text = canonical(receipt_of(package, rows, self._organ_id))
        signed = await self._signer.sign_json(text, RECEIPT_KIND)
        return await self._store.keep_receipt(package.id, signed.decode("ascii"), now)


def receipt_of(package: PackageRecord, rows: list[Delivery], gateway: str) -> dict[str, Any]:
    """Who handed in what, when, for whom: what a receipt says."""
    legal = package.legal_sent_at
    return {
        "gateway": gateway,
        "package": package.id,
        "kind": package.kind,
        "meaning": package.meaning,
        "documentId": package.document_id,
        "version": package.version,
        "sender": package.sender_organ_id,
        "senderName": package.sender_name,
        "sha256": package.digest,
        "size": package.size,
        "receivedAt": _utc(package.received_at),
        "legalSentAt": _utc(legal) if legal else None,
        "recipients": sorted(row.recipient_organ_id for row in rows),
        "findings": sorted({finding.rule for finding in package.findings}),
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
