"""Looking again at packages that wait for a fresh list of revoked certificates (reliability 2.3).

Only profiles that demand signatures wait (`Judgement.awaits_list`). The list is asked for by
`gateway.revocation`; when it is there, the signatures are verified as of the moment the package was
received, and its files are scanned where there is a scanner. What cannot be told yet is looked at
again after growing pauses; what waits for a list, as soon as the trust material changes.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from time import monotonic

import structlog

from adapters.trust import TrustFolder
from envelopes.findings import Finding
from envelopes.rules.facts import PackageFacts
from envelopes.rules.outcome import Missing
from envelopes.rules.runner import MALWARE, Judgement, judge
from envelopes.signature_facts import Reason, SignatureFacts
from gateway import clock
from gateway.held_packages import HeldPackages
from gateway.services import Services
from routing.ports import PayloadMissing, Unavailable
from routing.records import NO_REVOCATION_LIST, PackageRecord
from routing.rescan import settle
from routing.route_table import RouteTable

log = structlog.get_logger(__name__)

#: Seconds between two looks.
PAUSE = 10.0
#: Seconds until a package is looked at again, at first and at most.
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 600.0

#: What of a signature could not be told for a reason that passes: the machine was busy, or ours.
_OURS = frozenset({Reason.TIME_LIMIT, Reason.MEMORY_LIMIT, Reason.WORKER_DIED})


class _StillUnknown(Exception):
    """Whether the package may go on cannot be told yet; `why` is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


_NO_LIST = "no-fresh-list"


class Recheck:
    """The looking again of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held = HeldPackages(services, "recheck", NO_REVOCATION_LIST)
        self._trust = TrustFolder(services.settings.effective_trust_dir)
        self._stamp = ""

    async def once(self) -> float:
        """Look at everything that is due; seconds until the next look. Raises `Unavailable`."""
        await self._see_trust()
        async with aclosing(self._held.due()) as packages:
            async for package in packages:
                await self._look(package)
        return PAUSE

    async def _see_trust(self) -> None:
        """With other trust material, what waits for a list is due."""
        try:
            stamp = await asyncio.to_thread(self._trust.stamp)
        except OSError as error:
            log.warning("recheck.trust-folder", error=str(error))
            return
        if stamp != self._stamp:
            self._stamp = stamp
            self._held.take_up(_NO_LIST)

    def _later(self, package: PackageRecord, why: str = "") -> float:
        """Put a package off; for how many seconds."""
        pause = min(self._held.pause_of(package.id) * 2, LONGEST_PAUSE) or FIRST_PAUSE
        self._held.put_off(package.id, pause, why)
        return pause

    async def _look(self, package: PackageRecord) -> None:
        """What is wrong with one package keeps no other waiting."""
        try:
            await self._settle(package)
        except Unavailable:
            raise
        except _StillUnknown as unknown:
            pause = self._later(package, unknown.why)
            tell = log.info if unknown.why == _NO_LIST else log.warning
            tell("recheck.waits", package=package.id, why=unknown.why, again_in=pause)
        except PayloadMissing:
            self._later(package)
            log.error("recheck.payload-missing", package=package.id, digest=package.digest)
        except Exception:  # a bug that one package brings out
            self._later(package)
            log.exception("recheck.bug", package=package.id)

    async def _settle(self, package: PackageRecord) -> None:
        services = self._services
        routes = await services.registry.routes()
        started = monotonic()
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
        if rows:
            services.outbox.notify()
            log.warning(
                "package.signatures-checked",
                package=package.id,
                good=bad is None,
                deliveries=len(rows),
                seconds=round(monotonic() - started, 2),
                correlation_id=package.correlation_id,
            )

    async def _judged(self, package: PackageRecord, routes: RouteTable) -> Finding | None:
        """What sends the package back, None when it may go on. Raises `_StillUnknown`."""
        services = self._services
        inspection = services.inspection
        connection = routes.connections.get(package.connection_id or "")
        profile = inspection.profile(connection, package.sender_organ_id, routes)
        async with self._held.opened(package) as (path, read):
            if read.package is None:
                # Bounds may have become tighter since.
                raise _StillUnknown("unreadable")
            signatures = await inspection.verify(path, read, package.received_at, profile, routes)
            if signatures is None:
                raise _StillUnknown("not-verified")
            if faults := _reasons(signatures) & _OURS:
                raise _StillUnknown(", ".join(sorted(faults)))
            facts = replace(
                PackageFacts.of_reading(read, signatures=signatures), reading_findings=()
            )
            judgement = judge(facts, profile)
            if (bad := _bad(judgement)) is not None:
                return bad
            if _list_missing(judgement):
                raise _StillUnknown(_NO_LIST)
            scans = await inspection.scan(path, read)
        if scans is None:
            return None
        judgement = judge(replace(facts, scans=scans), profile)
        bad = _bad(judgement)
        if bad is not None and bad.rule == MALWARE:
            services.metrics.alarms.labels("malware").inc()
        if bad is None and any(one.rule == MALWARE for one in judgement.not_judged):
            raise _StillUnknown("not-scanned")
        return bad


def _reasons(signatures: SignatureFacts) -> set[Reason]:
    """Why any of the signatures is not simply valid, or any file could not be looked at."""
    found = {reason for one in signatures.all_signatures for reason in one.reasons}
    return found | {reason for file in signatures.files for reason in file.reasons}


def _bad(judgement: Judgement) -> Finding | None:
    """The finding that refuses, of those that are judged again."""
    for finding in judgement.findings:
        # Everything else was judged when it came.
        if finding.refuses and (finding.rule == MALWARE or finding.rule.startswith("SIG-")):
            return finding
    return None


def _list_missing(judgement: Judgement) -> bool:
    return any(one.why is Missing.REVOCATION for one in judgement.not_judged)
