"""Scanning what was accepted while the malware scanner was away, until nothing waits any more."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from adapters.database import LeaseStore
from envelopes.findings import Finding
from envelopes.read import read_package
from envelopes.rules.facts import PackageFacts, ScanFacts, ScanVerdict
from envelopes.rules.profile import national
from envelopes.rules.runner import MALWARE, judge
from gateway import clock
from gateway.inspection import blocks_of, stored_file
from gateway.services import Services
from routing.ports import PayloadMissing
from routing.records import PackageRecord
from routing.rescan import settle, waiting_packages

log = structlog.get_logger(__name__)

#: Seconds between two looks, and how long one process has the work for itself.
PAUSE = 2.0
LEASE = timedelta(minutes=10)


async def rescan_once(services: Services) -> float:
    """Scan what waits; seconds until the next look."""
    scanner = services.inspection.scanner
    packages = await waiting_packages(services.database) if scanner is not None else []
    if not packages:
        return PAUSE
    now = clock.now()
    leases = LeaseStore(services.database)
    if not await leases.hold("rescan", services.owner, now, now + LEASE):
        return PAUSE
    try:
        for package in packages:
            if services.stopping.is_set() or not await _rescan(services, package):
                return PAUSE
    finally:
        await leases.release("rescan", services.owner, clock.now())
    return 0.0


async def _rescan(services: Services, package: PackageRecord) -> bool:
    """Scan one package and let its copies go on or back; False when the scanner is still away."""
    with tempfile.TemporaryDirectory(dir=services.settings.data_dir) as folder:
        try:
            path = await stored_file(services.payloads, package.digest, Path(folder))
        except PayloadMissing:
            log.error("rescan.payload-missing", package=package.id, digest=package.digest)
            return True
        read = await asyncio.to_thread(lambda: read_package(blocks_of(path), services.read_limits))
        scans = await services.inspection.scan(path, read) or ()
    if any(scan.verdict is ScanVerdict.UNSCANNED for scan in scans):
        return False
    infected = _infected(PackageFacts.of_reading(read, scans=scans), scans)
    routes = await services.registry.routes()
    rows = await settle(services.database, services.reports, package, infected, routes, clock.now())
    if infected is not None:
        services.metrics.alarms.labels("malware").inc()
    services.outbox.notify()
    log.warning(
        "package.scanned",
        package=package.id,
        clean=infected is None,
        deliveries=len(rows),
        correlation_id=package.correlation_id,
    )
    return True


def _infected(facts: PackageFacts, scans: tuple[ScanFacts, ...]) -> Finding | None:
    """The finding of an infected file, in the words that intake would have used."""
    if all(scan.verdict is ScanVerdict.CLEAN for scan in scans):
        return None
    found = judge(replace(facts, reading_findings=()), national()).findings
    return next(finding for finding in found if finding.rule == MALWARE)
