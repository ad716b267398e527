"""Sealing the event log while the gateway runs, and the signed receipts of packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from adapters.database import SealStore, SqlDatabase
from adapters.signing import Signer
from routing.accepted_facts import accepted_facts, differences, receipt_of, tells_all
from routing.records import Delivery, Event, PackageRecord
from routing.seals import LARGEST, RECEIPT_KIND, SEAL_KIND, canonical, seal_over

log = structlog.get_logger(__name__)

#: Events younger than this are left for the next seal: their neighbours may not be committed yet.
SETTLE = timedelta(seconds=2)


#: Receipts that are signed and kept at once.
AT_ONCE = 100


class NotAsLogged(Exception):
    """What is stored of a package is not what the log tells; nothing is signed."""


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
                await self._issue(events, now)
            if len(events) < LARGEST and not everything:
                break
        return sealed

    async def _issue(self, sealed: Sequence[Event], now: datetime) -> None:
        """The receipts of the packages that these events accepted, before anybody asks."""
        accepted = [event for event in sealed if tells_all(event)]
        for start in range(0, len(accepted), AT_ONCE):
            part = accepted[start : start + AT_ONCE]
            ids = [event.package_id or "" for event in part]
            known = await self._store.receipts(ids)
            texts = {
                one: canonical(receipt_of(event, self._organ_id))
                for one, event in zip(ids, part, strict=True)
                if one not in known
            }
            signed = await self._signer.sign_several(list(texts.values()), RECEIPT_KIND)
            made = {one: text.decode("ascii") for one, text in zip(texts, signed, strict=True)}
            await self._store.keep_receipts(made, now)

    async def receipt(self, package: PackageRecord, rows: list[Delivery], now: datetime) -> str:
        """The signed receipt of an accepted package; the same text whenever it is asked for.

        It says what the log says. Raises `NotAsLogged` where the tables say something else.
        """
        known = await self._store.receipt(package.id)
        if known is not None:
            return known
        event = await self._store.accepted(package.id)
        wrong = differences(event, package, rows) if event else ["its acceptance"]
        if event is None or wrong:
            log.error("receipt.refused", package=package.id, differs=wrong)
            raise NotAsLogged(f"package {package.id}: the event log differs on {', '.join(wrong)}")
        if not tells_all(event):
            # Accepted by an earlier version, and what its event tells is as the tables have it.
            event = replace(event, data=accepted_facts(package, rows))
        text = canonical(receipt_of(event, self._organ_id))
        signed = await self._signer.sign_json(text, RECEIPT_KIND)
        return await self._store.keep_receipt(package.id, signed.decode("ascii"), now)
