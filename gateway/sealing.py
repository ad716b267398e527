"""Sealing the event log while the gateway runs, and the signed receipts of packages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from adapters.database import SealStore, SqlDatabase
from adapters.signing import Signer, SigningProblem
from gateway import clock
from gateway.seal_head import Head, NoHead, keep_head, read_head
from routing.accepted_facts import accepted_facts, differences, receipt_of, tells_all
from routing.ports import DatabaseUnavailable
from routing.records import Delivery, Event, PackageRecord
from routing.seals import (
    LARGEST,
    RECEIPT_KIND,
    SEAL_KIND,
    Seal,
    canonical,
    dated_back,
    seal_over,
)

log = structlog.get_logger(__name__)

#: Events younger than this are left for the next seal: their neighbours may not be committed yet.
SETTLE = timedelta(seconds=2)


#: Time for sealing when the process ends.
LAST_SECONDS = 5
#: Time for receipts in one round: the next one must not be late.
ISSUE_SECONDS = 30.0
#: Receipts that are signed and kept at once.
AT_ONCE = 100


class NotAsLogged(Exception):
    """What is stored of a package is not what the log tells; nothing is signed."""


class Sealer:
    """Makes seals and receipts with the gateway's key."""

    def __init__(
        self, database: SqlDatabase, signer: Signer, organ_id: str, head: Path | None = None
    ) -> None:
        """`head`: the file in which the newest seal is kept outside the database."""
        self._head = head
        self._head_kept = False
        self._store = SealStore(database)
        self._signer = signer
        self._organ_id = organ_id

    async def seal(
        self, now: datetime, *, everything: bool = False, settle: timedelta = SETTLE
    ) -> int:
        """Seal what is not sealed yet; how many events were. Raises `SigningProblem`.

        `everything` looks at the whole log and leaves nothing for its youth.
        """
        before = now + SETTLE if everything else now - settle
        sealed = 0
        newest: Seal | None = None
        accepted: list[Event] = []
        while True:
            # The last seal first: what another process seals after this look, `add` refuses.
            last = await self._store.last()
            events = await self._store.unsealed(before, LARGEST, everywhere=everything)
            if not events:
                break
            seal = seal_over(events, last, now)
            signed = await self._signer.sign_json(seal.text, SEAL_KIND)
            seal = replace(seal, signed=signed.decode("ascii"))
            if await self._store.add(seal, events):
                sealed += len(events)
                newest = seal
                accepted += _believed(last, events)
            if len(events) < LARGEST and not everything:
                break
        await self._keep_head(newest)
        await self._issue(accepted, now)
        return sealed

    async def seal_the_rest(self) -> None:
        """Before the process ends: what happened last is not left unsealed until the next start.

        What cannot be done now is done then.
        """
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.seal(clock.now(), settle=-SETTLE)
        except (SigningProblem, DatabaseUnavailable, TimeoutError) as error:
            log.warning("seal.not-at-the-end", error=str(error), consequence="at the next start")

    async def _keep_head(self, newest: Seal | None) -> None:
        """Keep the newest seal outside the database, unless the log is not what it was."""
        if self._head is None or (newest is None and self._head_kept):
            return
        newest = newest or await self._store.last()
        try:
            kept = await asyncio.to_thread(read_head, self._head)
            if kept is not None and not await self._has(kept):
                log.error(
                    "seal.log-cut-off",
                    kept=kept.number,
                    newest=newest.number if newest else 0,
                    consequence="seals that were made are gone: lienthong verify-events",
                )
                return
            if newest is not None:
                await asyncio.to_thread(keep_head, self._head, newest)
                log.info("seal.head", head=f"{newest.number}:{newest.digest}")
            self._head_kept = True
        except (NoHead, OSError) as error:
            self._head_kept = False
            log.error("seal.head-not-kept", error=str(error), consequence="tried again")

    async def _has(self, kept: Head) -> bool:
        found = await self._store.seals_numbered([kept.number])
        return [seal.digest for seal in found] == [kept.digest]

    async def _issue(self, accepted: Sequence[Event], now: datetime) -> None:
        """The receipts of the packages that these events accepted, before anybody asks.

        With a slow token those that do not fit into the time are made when they are asked for.
        """
        until = time.monotonic() + ISSUE_SECONDS
        for start in range(0, len(accepted), AT_ONCE):
            if time.monotonic() >= until:
                log.warning("receipts.later", count=len(accepted) - start)
                return
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

        It says what the log says. Raises `NotAsLogged` where the tables say something else, and
        where the log tells of the acceptance in a time that was over.
        """
        known = await self._store.receipt(package.id)
        if known is not None:
            return known
        event = await self._store.accepted(package.id)
        wrong = differences(event, package, rows) if event else ["its acceptance"]
        if event is None or wrong:
            log.error("receipt.refused", package=package.id, differs=wrong)
            raise NotAsLogged(f"package {package.id}: the event log differs on {', '.join(wrong)}")
        if await self._dated_back(event):
            log.error(
                "receipt.misdated", package=package.id, seq=event.seq, at=event.at.isoformat()
            )
            raise NotAsLogged(f"package {package.id}: its acceptance was dated back")
        if not tells_all(event):
            # Accepted by an earlier version, and what its event tells is as the tables have it.
            event = replace(event, data=accepted_facts(package, rows))
        text = canonical(receipt_of(event, self._organ_id))
        signed = await self._signer.sign_json(text, RECEIPT_KIND)
        return await self._store.keep_receipt(package.id, signed.decode("ascii"), now)

    async def _dated_back(self, event: Event) -> bool:
        """Whether the log was further than this event tells when the event came into it."""
        number = (await self._store.seals_of([event.seq])).get(event.seq)
        if number is None:
            return bool(dated_back(await self._store.last(), [event]))
        seals = {one.number: one for one in await self._store.seals_numbered([number - 1, number])}
        if number < 1 or number not in seals:
            return True
        covered = await self._store.covered(number)
        found = dated_back(seals.get(number - 1), covered)
        return event.seq in {one.seq for one, _ in found}


def _believed(last: Seal | None, events: Sequence[Event]) -> list[Event]:
    """The acceptances among events sealed behind `last`, but for those that were dated back.

    Whoever writes an acceptance into last month gets no receipt of last month by it.
    """
    wrong = {event.seq for event, _ in dated_back(last, events)}
    accepted = [event for event in events if tells_all(event)]
    for event in accepted:
        if event.seq in wrong:
            log.error(
                "receipt.misdated",
                package=event.package_id,
                seq=event.seq,
                at=event.at.isoformat(),
                consequence="no receipt is made: lienthong verify-events",
            )
    return [event for event in accepted if event.seq not in wrong]
