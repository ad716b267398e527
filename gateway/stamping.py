"""Time stamps (RFC 3161) on the seals of the event log, asked for while the gateway runs.

A seal says itself when it was made; a stamp is another's word for it. Sealing never waits for one:
what has no stamp yet is asked for again in the next round, and stays a good seal without.
"""

from __future__ import annotations

import asyncio

import structlog

from adapters.database import SealStore, SqlDatabase
from adapters.pause import pause
from adapters.timestamps import NoStamp, TimeStampAuthority
from gateway.observability import Metrics
from gateway.stamp_check import EARLIEST
from routing.ports import DatabaseUnavailable
from routing.seals import Seal

log = structlog.get_logger(__name__)

#: Questions of one round at the most.
AT_ONCE = 20


class Stamping:
    """Asks one authority for the stamps of seals that have none."""

    def __init__(
        self, database: SqlDatabase, authority: TimeStampAuthority, metrics: Metrics
    ) -> None:
        self._store = SealStore(database)
        self._authority = authority
        self._outcomes = metrics.seal_stamps

    async def run(self, stopping: asyncio.Event, seconds: float) -> None:
        """Round after round until `stopping`."""
        while not stopping.is_set():
            try:
                await self.once(stopping)
            except DatabaseUnavailable as error:
                log.warning("stamp.database-unavailable", error=str(error))
            except Exception:  # a bug here must not end the stamps of later seals
                log.exception("stamp.bug")
            await pause(stopping, seconds)

    async def once(self, stopping: asyncio.Event) -> int:
        """Ask for what is missing, the oldest first; how many stamps came.

        An authority that is away is left alone until the next round; one seal that it does not
        stamp does not keep it from the others.
        """
        stamped = 0
        for seal in await self._store.unstamped(AT_ONCE):
            if stopping.is_set():
                break
            problem = await self._stamp(seal)
            outcome = "away" if problem and problem.away else "refused" if problem else "stamped"
            self._outcomes.labels(outcome).inc()
            if problem is None:
                stamped += 1
                continue
            log.warning(
                "stamp.missing", seal=seal.number, error=problem.found, consequence="asked again"
            )
            if problem.away:
                break
        return stamped

    async def _stamp(self, seal: Seal) -> NoStamp | None:
        answer = await self._authority.stamp(seal.signed.encode())
        if isinstance(answer, NoStamp):
            return answer
        token, stamp = answer
        if stamp.at < seal.sealed_at - EARLIEST:
            # Kept, it would speak against the seal for ever.
            return NoStamp(f"clocks differ: sealed {seal.sealed_at}, stamped {stamp.at}")
        # Another process may have been quicker: its stamp stays.
        await self._store.keep_stamp(seal.number, token)
        log.info("stamp.kept", seal=seal.number, at=stamp.at.isoformat())
        return None
