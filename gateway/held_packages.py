"""Packages that wait for a check of ours: taken up one at a time, by one process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic

from adapters.database import LeaseStore
from envelopes.read import ReadResult, read_package
from gateway import clock
from gateway.inspection import blocks_of, stored_file
from gateway.services import Services
from routing.records import PackageRecord, Reason
from routing.rescan import waiting_packages

#: How long one process has the work for itself, and seconds between two renewals.
LEASE = timedelta(minutes=10)
RENEW = 60.0


@dataclass(frozen=True, slots=True)
class _PutOff:
    until: float
    pause: float
    why: str


class HeldPackages:
    """What waits for one check, as one process sees it."""

    def __init__(self, services: Services, work: str, awaited: Reason) -> None:
        """`work` names the lease; `awaited` is the reason that the copies are held for."""
        self._services = services
        self._leases = LeaseStore(services.database)
        self._work, self._awaited = work, awaited
        self._renewed = float("-inf")
        #: When packages are taken up again that could not be settled, by id.
        self._put_off: dict[str, _PutOff] = {}

    async def due(self) -> AsyncGenerator[PackageRecord, None]:
        """Every package that waits, each once, but those that were put off.

        Ends early when the process stops or another one has the work. Close it (`aclosing`): then
        the work is anybody's again. Raises `Unavailable`.
        """
        self._renewed = float("-inf")
        seen: set[str] = set()
        after: str | None = ""
        try:
            while after is not None:
                packages, after = await waiting_packages(
                    self._services.database, after, awaited=self._awaited
                )
                for package in packages:
                    if package.id in seen:
                        continue
                    seen.add(package.id)
                    if not self._is_due(package.id):
                        continue
                    if self._services.stopping.is_set() or not await self._hold():
                        return
                    yield package
            self._put_off = {key: one for key, one in self._put_off.items() if key in seen}
        finally:
            if self._renewed > float("-inf"):
                await self._leases.release(self._work, self._services.owner, clock.now())

    def put_off(self, package_id: str, seconds: float, why: str = "") -> None:
        """Take this package up again after so many seconds, or when `take_up` is told `why`."""
        self._put_off[package_id] = _PutOff(monotonic() + seconds, seconds, why)

    def pause_of(self, package_id: str) -> float:
        """Seconds for which this package was put off the last time; 0 when it was not."""
        known = self._put_off.get(package_id)
        return known.pause if known else 0.0

    def take_up(self, why: str) -> None:
        """What was put off for this is due now."""
        self._put_off = {key: one for key, one in self._put_off.items() if one.why != why}

    def _is_due(self, package_id: str) -> bool:
        known = self._put_off.get(package_id)
        return known is None or known.until <= monotonic()

    async def _hold(self) -> bool:
        if monotonic() - self._renewed < RENEW:
            return True
        now = clock.now()
        held = await self._leases.hold(self._work, self._services.owner, now, now + LEASE)
        self._renewed = monotonic() if held else float("-inf")
        return held

    @asynccontextmanager
    async def opened(self, package: PackageRecord) -> AsyncIterator[tuple[Path, ReadResult]]:
        """The stored package as a file, and what reading it gives. Raises `PayloadMissing`."""
        services = self._services
        with tempfile.TemporaryDirectory(dir=services.settings.data_dir) as folder:
            path = await stored_file(services.payloads, package.digest, Path(folder))
            yield (
                path,
                await asyncio.to_thread(
                    lambda: read_package(blocks_of(path), services.read_limits)
                ),
            )
