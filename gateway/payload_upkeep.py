"""Looking after stored payloads: leftovers are removed, and what is stored is read again.

Every process removes its own abandoned temporary files. Orphans and integrity concern the store
that all share, so of the processes with the role timer one at a time does them, by a lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from adapters.database import LeaseStore
from adapters.database.payload_references import PayloadReferences
from adapters.pause import pause
from adapters.payloads.integrity import Checked, Pace, walk_expected
from adapters.payloads.orphans import Swept, sweep
from gateway import clock
from gateway.services import Services
from gateway.settings import MIB
from routing.ports import ClaimCheck, Unavailable

log = structlog.get_logger(__name__)

#: Seconds between two sweeps of abandoned temporary files.
SWEEP = 3600.0
#: Seconds until the first sweep of orphans, and between two.
ORPHANS_FIRST, ORPHANS = 600.0, 6 * 3600.0
#: Seconds between the end of one reading of everything and the beginning of the next, at least.
READ_AGAIN = 24 * 3600.0
#: Names of leases.
ORPHAN_SWEEP, INTEGRITY = "payload-orphans", "payload-integrity"
#: Seconds after which something that could not be reached is tried again.
PAUSE = 60.0
#: How long a lease lasts without being renewed.
LEASE = timedelta(minutes=10)
#: Seconds between two renewals of a lease.
RENEW = 60.0
PAGE = 500


class _Stopping(Exception):
    """The process is told to stop; carries nothing."""


class PayloadUpkeep:
    """Runs for as long as the process does."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._references = PayloadReferences(services.database)
        self._leases = LeaseStore(services.database)
        self._position = services.settings.data_dir / "payload-check-position"
        self._renewed = 0.0

    async def run(self) -> None:
        """Until the process is told to stop."""
        settings = self._services.settings
        loops = [self._repeat(0, SWEEP, self.sweep_temporary)]
        if "timer" in self._services.roles:
            if settings.payload_orphan_hours:
                loops.append(self._repeat(ORPHANS_FIRST, ORPHANS, self._orphans_in_turn))
            if settings.payload_check_mib_per_second:
                loops.append(self._repeat(PAUSE, READ_AGAIN, self._read_again_in_turn))
        await asyncio.gather(*loops)

    async def _repeat(
        self, first: float, every: float, work: Callable[[], Awaitable[object]]
    ) -> None:
        wait = first
        while True:
            try:
                await self._rest(wait)
                await work()
                wait = every
            except _Stopping:
                return
            except (Unavailable, OSError) as error:
                log.warning("payloads.upkeep-put-off", work=work.__name__, error=str(error))
                wait = PAUSE
            except Exception:  # a bug here must not end the upkeep for good
                log.exception("payloads.upkeep.bug", work=work.__name__)
                wait = every

    async def _rest(self, seconds: float) -> None:
        """Wait. Raises `_Stopping` when the process is told to stop before or meanwhile."""
        stopping = self._services.stopping
        await pause(stopping, seconds)
        if stopping.is_set():
            raise _Stopping

    async def sweep_temporary(self) -> None:
        """Remove what processes that are gone left half received on this machine."""
        removed = await asyncio.to_thread(self._services.payloads.sweep, clock.now())
        self._services.metrics.payloads_removed.labels("abandoned").inc(removed)
        if removed:
            log.info("payloads.swept", removed=removed)

    # --- orphans ---

    async def _orphans_in_turn(self) -> None:
        if await self._hold(ORPHAN_SWEEP):
            await self.sweep_orphans(clock.now())

    async def sweep_orphans(self, now: datetime) -> Swept:
        """Remove payloads that were stored long before `now` and that no record speaks of."""
        grace = timedelta(hours=self._services.settings.payload_orphan_hours)
        swept = await sweep(self._services.payloads, self._references.referenced, now, grace=grace)
        self._services.metrics.payloads_removed.labels("orphan").inc(swept.removed)
        if swept.refused:
            log.error(
                "payloads.sweep-refused",
                looked_at=swept.looked_at,
                unknown=swept.unknown,
                consequence="nothing was removed: is this the store of this database?",
            )
        elif swept.unknown:
            log.info("payloads.orphans-removed", unknown=swept.unknown, removed=swept.removed)
        return swept

    # --- integrity ---

    async def _read_again_in_turn(self) -> None:
        if await self._hold(INTEGRITY):
            await self.read_again()

    async def read_again(self) -> list[Checked]:
        """Read every payload that a record speaks of, from where the last reading stopped.

        Returns what was found damaged. Raises `Unavailable`, after which the next call goes on.
        """
        rate = self._services.settings.payload_check_mib_per_second * MIB
        pace = Pace(rate, sleep=self._rest)
        damaged = []
        while page := await self._references.claims(await self._begin_at(), PAGE):
            claims = [claim for _, claim in page]
            async for result in walk_expected(self._services.payloads, _each(claims), pace):
                damaged += [result] if self._note(result) else []
                if not await self._renew():
                    return damaged
            await self._go_on_at(page[-1][0])
        await self._go_on_at("")
        return damaged

    def _note(self, result: Checked) -> bool:
        outcome = result.damage.value if result.damage else "sound"
        self._services.metrics.payloads_checked.labels(outcome).inc()
        if result.damage is None:
            return False
        log.error(
            "payload.damaged",
            digest=result.digest,
            damage=outcome,
            detail=result.detail,
            consequence="restore it from a backup; its recipients cannot fetch it",
        )
        return True

    async def _begin_at(self) -> str:
        def read() -> str:
            return self._position.read_text("utf-8").strip() if self._position.exists() else ""

        return await asyncio.to_thread(read)

    async def _go_on_at(self, package_id: str) -> None:
        await asyncio.to_thread(_replace, self._position, package_id)

    # --- one process at a time ---

    async def _hold(self, name: str) -> bool:
        now = clock.now()
        self._renewed = time.monotonic()
        return await self._leases.hold(name, self._services.owner, now, now + LEASE)

    async def _renew(self) -> bool:
        """Whether the reading is still ours; somebody else goes on with it otherwise."""
        return time.monotonic() - self._renewed < RENEW or await self._hold(INTEGRITY)


def _replace(place: Path, text: str) -> None:
    """Write a small file so that it is there as a whole or as it was."""
    fresh = place.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(place)


async def _each(claims: list[ClaimCheck]) -> AsyncIterator[ClaimCheck]:
    for claim in claims:
        yield claim
