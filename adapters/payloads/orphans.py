"""Removes payloads that no record speaks of: kept for a package that was never recorded.

A payload is kept before the transaction that records its package, so a crash between the two, or a
refusal inside the transaction, leaves bytes behind. Taking them away must never race a package of
the same bytes that is being handed in at the same moment. Three things see to that:

1. Only what was not adopted for `GRACE` is looked at. Adopting makes a payload young again (a fresh
   time on disk, a fresh name in S3), and recording follows adopting within minutes.
2. References are asked for after the age was seen, and once more right before removing: a record of
   an adoption that was older than the grace is visible by then.
3. Removing is atomic against adopting (see `disk`), or cannot hit what was adopted (see `s3`).

A store in which most old payloads are unknown belongs to another database, or the database was
restored from an old backup: then nothing is removed and the operator is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.payloads.store import Payloads, References, StoredPayload

#: Least age of what is removed. Two windows of `s3`, and far more than a submission may take.
GRACE = timedelta(hours=24)
#: Digests that are asked about at once.
BATCH = 2000
#: Payloads that one sweep removes at most; the next one goes on.
MOST = 10_000
#: From so many unknown payloads on, and when they are the greater part, nothing is removed.
SUSPICIOUS = 100


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: old payloads looked at, found without a record, and removed."""

    looked_at: int = 0
    unknown: int = 0
    removed: int = 0
    #: True when too many were unknown to believe it; then none was removed.
    refused: bool = False


async def sweep(
    payloads: Payloads, referenced: References, now: datetime, *, grace: timedelta = GRACE
) -> Swept:
    """Remove what was adopted before `now - grace` and is not `referenced`.

    Raises ValueError for a grace below `GRACE`, `PayloadsUnavailable`, and what `referenced`
    raises; what was removed until then stays removed.
    """
    if grace < GRACE:
        raise ValueError(f"a grace of {grace} is too short: {GRACE} at least")
    before = now - grace
    looked_at = unknown = 0
    doubtful: list[StoredPayload] = []
    async for batch in _old(payloads, before):
        strangers = await _strangers(batch, referenced)
        looked_at += len(batch)
        unknown += len(strangers)
        doubtful += strangers[: MOST - len(doubtful)]
    if unknown >= SUSPICIOUS and unknown * 2 > looked_at:
        return Swept(looked_at, unknown, 0, refused=True)
    removed = 0
    for start in range(0, len(doubtful), BATCH):
        for payload in await _strangers(doubtful[start : start + BATCH], referenced):
            removed += await payloads.remove(payload, before)
    return Swept(looked_at, unknown, removed)


async def _old(payloads: Payloads, before: datetime) -> AsyncIterator[list[StoredPayload]]:
    batch: list[StoredPayload] = []
    async for payload in payloads.stored():
        if payload.adopted < before:
            batch.append(payload)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _strangers(batch: list[StoredPayload], referenced: References) -> list[StoredPayload]:
    known = await referenced({payload.digest for payload in batch})
    return [payload for payload in batch if payload.digest not in known]
