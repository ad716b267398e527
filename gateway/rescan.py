"""Scanning what was accepted while the malware scanner was away, until nothing waits any more."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import structlog

from adapters.malware import ScannerUnavailable
from envelopes.findings import Finding
from envelopes.rules.facts import PackageFacts, ScanFacts, ScanVerdict
from envelopes.rules.profile import national
from envelopes.rules.runner import MALWARE, judge
from gateway import clock
from gateway.held_packages import HeldPackages
from gateway.services import Services
from routing.ports import PayloadMissing, Unavailable
from routing.records import NOT_SCANNED, PackageRecord
from routing.rescan import settle

log = structlog.get_logger(__name__)

#: Seconds between two looks.
PAUSE = 2.0
#: Seconds until a package is tried again that could not be scanned for a reason of its own.
PUT_OFF = 600.0
#: The same where the scanner gave no answer.
SOON = 30.0


class Rescan:
    """The scanning of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held = HeldPackages(services, "rescan", NOT_SCANNED)

    async def once(self) -> float:
        """Scan what waits; seconds until the next look. Raises `Unavailable`."""
        scanner = self._services.inspection.scanner
        if scanner is None:
            return PAUSE
        settled = 0
        try:
            async with aclosing(self._held.due()) as packages:
                async for package in packages:
                    # Asked before each: whatever goes wrong then is a matter of that package.
                    await scanner.version()
                    settled += await self._scan(package)
        except ScannerUnavailable:
            return PAUSE
        return 0.0 if settled else PAUSE

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
            self._held.put_off(package.id, SOON)
            return 0
        except PayloadMissing:
            log.error("rescan.payload-missing", package=package.id, digest=package.digest)
        except Exception:  # a bug that one package brings out
            log.exception("rescan.bug", package=package.id)
        self._held.put_off(package.id, PUT_OFF)
        return 0

    async def _settle(self, package: PackageRecord) -> int:
        services = self._services
        async with self._held.opened(package) as (path, read):
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
        self._held.put_off(package.id, PUT_OFF)
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
