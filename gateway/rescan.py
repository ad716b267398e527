"""Scanning what was accepted while the malware scanner was away, until nothing waits any more."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from adapters.database import LeaseStore
from adapters.malware import ScannerUnavailable
from envelopes.findings import Finding
from envelopes.read import read_package
from envelopes.rules.facts import PackageFacts, ScanFacts, ScanVerdict
from envelopes.rules.profile import national
from envelopes.rules.runner import MALWARE, judge
from gateway import clock
from gateway.inspection import blocks_of, stored_file
from gateway.services import Services
from routing.ports import PayloadMissing, Unavailable
from routing.records import PackageRecord
from routing.rescan import settle, waiting_packages

log = structlog.get_logger(__name__)

#: Seconds between two looks, and how long one process has the work for itself.
PAUSE = 2.0
LEASE = timedelta(minutes=10)
#: Seconds between two renewals of the lease.
RENEW = 60.0
#: Seconds until a package is tried again that could not be scanned for a reason of its own.
PUT_OFF = 600.0
#: The same where the scanner gave no answer.
SOON = 30.0


class Rescan:
    """The scanning of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._leases = LeaseStore(services.database)
        self._renewed = 0.0
        #: When packages that could not be scanned are tried again, by id.
        self._put_off: dict[str, float] = {}

    async def once(self) -> float:
        """Scan what waits; seconds until the next look. Raises `Unavailable`."""
        scanner = self._services.inspection.scanner
        if scanner is None:
            return PAUSE
        self._renewed = float("-inf")
        settled = 0
        try:
            async for package in self._due():
                if self._services.stopping.is_set() or not await self._hold():
                    break
                # Asked before each: whatever goes wrong then is a matter of that package.
                await scanner.version()
                settled += await self._scan(package)
        except ScannerUnavailable:
            return PAUSE
        finally:
            if self._renewed > float("-inf"):
                await self._leases.release("rescan", self._services.owner, clock.now())
        return 0.0 if settled else PAUSE

    async def _due(self) -> AsyncIterator[PackageRecord]:
        """Every package that waits, each once, but those that were put off."""
        seen: set[str] = set()
        after: str | None = ""
        while after is not None:
            packages, after = await waiting_packages(self._services.database, after)
            for package in packages:
                if package.id not in seen:
                    seen.add(package.id)
                    if self._put_off.get(package.id, 0.0) <= time.monotonic():
                        yield package
        self._put_off = {key: at for key, at in self._put_off.items() if key in seen}

    async def _hold(self) -> bool:
        if time.monotonic() - self._renewed < RENEW:
            return True
        now = clock.now()
        held = await self._leases.hold("rescan", self._services.owner, now, now + LEASE)
        self._renewed = time.monotonic() if held else float("-inf")
        return held

    async def _scan(self, package: PackageRecord) -> int:
        """Scan one package; how many of its copies went on or back.

        What is wrong with one package keeps no other waiting. Raises `Unavailable` when a store is
        away.
        """
        try:
            return await self._settle(package)
        except Unavailable:
            raise
        except ScannerUnavailable as error:
            # Gone meanwhile, which the next question shows, or one of the files is too much for it.
            log.warning("rescan.not-scanned", package=package.id, error=str(error))
            self._put_off[package.id] = time.monotonic() + SOON
            return 0
        except PayloadMissing:
            log.error("rescan.payload-missing", package=package.id, digest=package.digest)
        except Exception:  # a bug that one package brings out
            log.exception("rescan.bug", package=package.id)
        self._put_off[package.id] = time.monotonic() + PUT_OFF
        return 0

    async def _settle(self, package: PackageRecord) -> int:
        services = self._services
        with tempfile.TemporaryDirectory(dir=services.settings.data_dir) as folder:
            path = await stored_file(services.payloads, package.digest, Path(folder))
            read = await asyncio.to_thread(
                lambda: read_package(blocks_of(path), services.read_limits)
            )
            scans = await services.inspection.scan_all(path, read)
        if read.package is None:
            # Bounds may have become tighter since: nothing of it was looked at.
            return self._unreadable(package, "package")
        infected = _infected(PackageFacts.of_reading(read, scans=scans), scans)
        unscanned = [scan.index for scan in scans if scan.verdict is ScanVerdict.UNSCANNED]
        if unscanned and infected is None:
            return self._unreadable(package, f"files {unscanned}")
        routes = await services.registry.routes()
        rows = await settle(
            services.database, services.reports, package, infected, routes, clock.now()
        )
        if rows:
            self._tell(package, infected, len(rows))
        return len(rows)

    def _unreadable(self, package: PackageRecord, what: str) -> int:
        log.error("rescan.unreadable", package=package.id, what=what, consequence="it waits")
        self._put_off[package.id] = time.monotonic() + PUT_OFF
        return 0

    def _tell(self, package: PackageRecord, infected: Finding | None, count: int) -> None:
        if infected is not None:
            self._services.metrics.alarms.labels("malware").inc()
        self._services.outbox.notify()
        log.warning(
            "package.scanned",
            package=package.id,
            clean=infected is None,
            deliveries=count,
            correlation_id=package.correlation_id,
        )


def _infected(facts: PackageFacts, scans: tuple[ScanFacts, ...]) -> Finding | None:
    """The finding of an infected file, in the words that intake would have used."""
    if all(scan.verdict is not ScanVerdict.INFECTED for scan in scans):
        return None
    found = judge(replace(facts, reading_findings=()), national()).findings
    return next(finding for finding in found if finding.rule == MALWARE)
