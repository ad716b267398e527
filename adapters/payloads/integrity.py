"""Reads payloads again and compares their digests, slowly and for ever (evidence, issue 5.7).

Disks forget and people make mistakes. A payload that is not what was accepted must be found while
there is still a backup that has it. What is read is what the records speak of, so that what is gone
is found as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from adapters.payloads.store import Payloads
from routing.ports import ClaimCheck, PayloadDamaged, PayloadMissing


class Damage(StrEnum):
    """What can be wrong with a payload."""

    MISSING = "missing"
    OTHER_BYTES = "other-bytes"
    OTHER_SIZE = "other-size"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Checked:
    """One payload that was read again; `damage` is None when it is as it was."""

    digest: str
    size: int
    damage: Damage | None = None
    detail: str = ""


class Pace:
    """Keeps the mean rate of reading below a bound, in bytes per second."""

    def __init__(
        self,
        bytes_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Each payload counts as at least one block: listing small ones is work as well."""
        self._rate = bytes_per_second
        self._clock, self._sleep = clock, sleep
        self._free_at = clock()

    async def spend(self, count: int) -> None:
        """Note that `count` bytes were read, and wait until the next may be."""
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / self._rate
        await self._sleep(self._free_at - now)


#: Least number of bytes that one payload counts for.
LEAST = 64 * 1024


async def examine(payloads: Payloads, claim: ClaimCheck, pace: Pace) -> Checked:
    """Read one payload again. A `size` below 0 in the claim means that it is not known.

    Raises `PayloadsUnavailable`: then nothing is known about the payload.
    """
    read = 0
    damage, detail = None, ""
    try:
        async for block in payloads.open(claim.digest):
            read += len(block)
            await pace.spend(len(block))
    except PayloadDamaged as found:
        damage, detail = Damage.OTHER_BYTES, str(found.args[-1])
    except PayloadMissing:
        damage = Damage.MISSING
    except OSError as error:
        damage, detail = Damage.UNREADABLE, error.strerror or str(error)
    await pace.spend(max(LEAST - read, 0))
    if damage is None and 0 <= claim.size != read:
        damage, detail = Damage.OTHER_SIZE, f"{read} bytes stored, {claim.size} recorded"
    return Checked(claim.digest, read, damage, detail)


async def walk_expected(
    payloads: Payloads, claims: AsyncIterator[ClaimCheck], pace: Pace
) -> AsyncIterator[Checked]:
    """Every payload that records speak of, in the order in which they come."""
    async for claim in claims:
        yield await examine(payloads, claim, pace)
