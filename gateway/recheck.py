"""Looking again at packages that wait for a fresh list of revoked certificates (reliability 2.3).

Only profiles that demand signatures wait (`Judgement.awaits_list`). The list is asked for by
`gateway.revocation`; when it is there, the signatures are verified as of the moment the package was
received, and its files are scanned where there is a scanner.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from adapters.database import LeaseStore
from envelopes.findings import Finding
from envelopes.read import read_package
from envelopes.rules.facts import PackageFacts
from envelopes.rules.outcome import Missing
from envelopes.rules.runner import MALWARE, Judgement, judge
from gateway import clock
from gateway.inspection import blocks_of, stored_file
from gateway.services import Services
from routing.ports import PayloadMissing, Unavailable
from routing.records import NO_REVOCATION_LIST, PackageRecord
from routing.rescan import settle, waiting_packages
from routing.route_table import RouteTable

log = structlog.get_logger(__name__)

#: Seconds between two looks, and how long one process has the work for itself.
PAUSE = 10.0
LEASE = timedelta(minutes=10)


class _StillUnknown(Exception):
    """There is no fresh list yet, or no scanner."""


class Recheck:
    """The looking again of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._leases = LeaseStore(services.database)

    async def once(self) -> float:
        """Look at everything that waits; seconds until the next look. Raises `Unavailable`."""
        services, seen = self._services, set[str]()
        after: str | None = ""
        try:
            while after is not None:
                packages, after = await waiting_packages(
                    services.database, after, awaited=NO_REVOCATION_LIST
                )
                for package in packages:
                    if package.id in seen:
                        continue
                    seen.add(package.id)
                    if services.stopping.is_set() or not await self._hold():
                        return PAUSE
                    await self._look(package)
        finally:
            if seen:
                await self._leases.release("recheck", services.owner, clock.now())
        return PAUSE

    async def _hold(self) -> bool:
        now = clock.now()
        return await self._leases.hold("recheck", self._services.owner, now, now + LEASE)

    async def _look(self, package: PackageRecord) -> None:
        """What is wrong with one package keeps no other waiting."""
        services = self._services
        routes = await services.registry.routes()
        started = time.monotonic()
        try:
            bad = await self._judged(package, routes)
            rows = await settle(
                services.database,
                services.reports,
                package,
                bad,
                routes,
                clock.now(),
                NO_REVOCATION_LIST,
            )
        except Unavailable:
            raise
        except _StillUnknown:
            return
        except PayloadMissing:
            log.error("recheck.payload-missing", package=package.id, digest=package.digest)
            return
        except Exception:  # a bug that one package brings out
            log.exception("recheck.bug", package=package.id)
            return
        if rows:
            services.outbox.notify()
            log.warning(
                "package.signatures-checked",
                package=package.id,
                good=bad is None,
                deliveries=len(rows),
                seconds=round(time.monotonic() - started, 2),
                correlation_id=package.correlation_id,
            )

    async def _judged(self, package: PackageRecord, routes: RouteTable) -> Finding | None:
        """What sends the package back, None when it may go on. Raises `_StillUnknown`."""
        services = self._services
        inspection = services.inspection
        connection = routes.connections.get(package.connection_id or "")
        profile = inspection.profile(connection, package.sender_organ_id, routes)
        with tempfile.TemporaryDirectory(dir=services.settings.data_dir) as folder:
            path = await stored_file(services.payloads, package.digest, Path(folder))
            read = await asyncio.to_thread(
                lambda: read_package(blocks_of(path), services.read_limits)
            )
            if read.package is None:
                raise _StillUnknown
            signatures = await inspection.verify(path, read, package.received_at, profile)
            scans = await inspection.scan(path, read)
        facts = PackageFacts.of_reading(read, signatures=signatures, scans=scans)
        judgement = judge(replace(facts, reading_findings=()), profile)
        for finding in judgement.findings:
            # Everything else was judged when it came.
            if finding.refuses and (finding.rule == MALWARE or finding.rule.startswith("SIG-")):
                if finding.rule == MALWARE:
                    services.metrics.alarms.labels("malware").inc()
                return finding
        unscanned = inspection.scanner is not None and any(
            one.rule == MALWARE for one in judgement.not_judged
        )
        if unscanned or signatures is None or _list_missing(judgement):
            raise _StillUnknown
        return None


def _list_missing(judgement: Judgement) -> bool:
    return any(one.why is Missing.REVOCATION for one in judgement.not_judged)
