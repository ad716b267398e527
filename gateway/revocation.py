"""Keeping what is known about revocation fresh while the service runs, and telling how fresh it is.

The timer role asks the hosts of `revocation_hosts` for what is due. Where an inspection missed a
list of such a host, whichever process missed it asks at once: the next package finds it there.
Every process that verifies signatures tells the age of lists and the end of certificates.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog

from adapters.trust import FetchPolicy, RevocationFetcher, TrustFolder, kept_revocation
from adapters.trust.folder import AGENCIES, ANCHORS, INTERMEDIATES, expiring
from envelopes.signature_facts import SignatureFacts
from gateway import clock
from gateway.observability import Metrics
from gateway.settings import Settings

log = structlog.get_logger(__name__)

#: Seconds between two looks at what is due.
ROUND = 60.0
#: How long before its end a certificate is counted as expiring.
SOON = timedelta(days=60)


class Revocation:
    """One per process that verifies signatures; `run` is its loop."""

    def __init__(self, folder: TrustFolder, settings: Settings, metrics: Metrics) -> None:
        """Asks nobody where `revocation_hosts` names nobody."""
        self._folder = folder
        self._metrics = metrics
        hosts = frozenset(settings.revocation_hosts.split())
        urls = tuple(settings.revocation_urls.split())
        self._fetcher = RevocationFetcher(folder, FetchPolicy(hosts=hosts, urls=urls))
        self._asks = bool(hosts)
        self._missed = asyncio.Event()

    def note(self, facts: SignatureFacts) -> None:
        """Ask soon for the lists that the signatures of `facts` were missing."""
        if self._asks and self._fetcher.want(facts):
            self._missed.set()

    async def run(self, stopping: asyncio.Event, *, timer: bool) -> None:
        """Round after round until `stopping`; only the `timer` asks without being told to."""
        while not stopping.is_set():
            missed = self._missed.is_set()
            self._missed.clear()
            try:
                if self._asks and (timer or missed):
                    await self.refresh(clock.now())
                await asyncio.to_thread(self.measure, clock.now())
            except OSError as error:
                log.error("revocation.folder", error=str(error), consequence="lists grow old")
            except Exception:  # a list that a library stumbles over must not stop the others
                log.exception("revocation.bug")
            await self._rest(stopping)

    async def refresh(self, now: datetime) -> None:
        """Ask for what is due. Raises OSError of the folder."""
        for one in await self._fetcher.refresh(now):
            if one.refused:
                log.info("revocation.not-asked", url=one.url, why=one.problem)
                continue
            self._metrics.revocation_asked.labels("kept" if one.ok else "failed").inc()
            if one.ok:
                log.info("revocation.kept", url=one.url, kind=one.kind, until=str(one.next_update))
            else:
                log.warning("revocation.failed", url=one.url, kind=one.kind, error=one.problem)

    def measure(self, now: datetime) -> None:
        """Set the figures. Blocks on the disk; raises OSError."""
        metrics = self._metrics
        entries = self._folder.entries()
        soon = expiring(entries, now, SOON)
        for role in (ANCHORS, INTERMEDIATES, AGENCIES):
            metrics.expiring.labels(role).set(sum(one.role == role for one in soon))
        ends = [one.facts.not_after for one in entries if one.facts.not_after]
        metrics.first_expiry.set(min(ends).timestamp() if ends else 0)
        kept = kept_revocation(self._folder)
        made = [one.this_update for one in kept]
        metrics.revocation_oldest.set(min(made).timestamp() if made else 0)
        late = [one for one in kept if one.next_update is not None and one.next_update < now]
        metrics.revocation_overdue.set(len(late))

    async def _rest(self, stopping: asyncio.Event) -> None:
        """Until the next round is due, something was missed, or the process is to stop."""
        waiting = [asyncio.ensure_future(one.wait()) for one in (stopping, self._missed)]
        try:
            await asyncio.wait(waiting, timeout=ROUND, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
