"""What the gateway needs of a payload store, and the values that stores speak in.

`routing.ports.PayloadStore` is what the use cases need. Around it the gateway receives, hands out,
looks after and sweeps; `Payloads` is all of that. Disk and S3 keep the same contract suite.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from adapters.payloads.spool import Spool
from routing.ports import PayloadDamaged, PayloadStore

#: Size of the blocks in which payloads are handed out.
BLOCK = 256 * 1024
#: Hexadecimal digits of a digest.
DIGEST_LENGTH = 64

#: Says which of these digests some record speaks of. Raises when that cannot be known.
References = Callable[[AbstractSet[str]], Awaitable[AbstractSet[str]]]


@dataclass(frozen=True, slots=True)
class PayloadHealth:
    """A store as `/readyz` shows it: whether a payload could be kept now."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """One stored copy of a payload, as listing the store finds it."""

    digest: str
    size: int
    #: Nobody has adopted this copy later than this (UTC).
    adopted: datetime
    #: Which copy, where a store may hold several of the same bytes for a while.
    copy: str = ""


class Payloads(PayloadStore, Protocol):
    """A payload store with everything that running it takes."""

    def spool(self) -> Spool:
        """A new temporary file for one package on its way in; blocks on the disk."""

    def path(self, digest: str) -> Path | None:
        """The file with these bytes, for handing to the kernel; None: only `open` has them.

        Raises `PayloadMissing`.
        """

    async def check(self) -> PayloadHealth:
        """Whether a payload could be kept now. Tries it; never raises, never hangs."""

    def free_bytes(self) -> int:
        """What the disk still takes on which packages arrive; 0 when it is gone."""

    def stored(self, after: str = "") -> AsyncIterator[StoredPayload]:
        """All stored payloads in the order of their digests, those behind `after` only."""

    async def remove(self, payload: StoredPayload, before: datetime) -> bool:
        """Remove a stored copy unless it was adopted since `before`; whether it is gone.

        Only `orphans.sweep` calls this, which has made sure that no record speaks of it.
        """

    def sweep(self, now: datetime) -> int:
        """Remove temporary files of processes that are gone; how many. Blocks on the disk."""

    async def close(self) -> None:
        """Let go of connections."""


async def file_blocks(path: Path, size: int = BLOCK) -> AsyncIterator[bytes]:
    """The bytes of a file in blocks, read in threads."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, size):
            yield block
    finally:
        file.close()


async def verified(blocks: AsyncIterator[bytes], digest: str) -> AsyncIterator[bytes]:
    """The same blocks, of which the last is held back until the digest is known to be right.

    So whoever was told the length never takes altered bytes for the whole. Raises
    `PayloadDamaged`.
    """
    found = hashlib.sha256()
    held: bytes | None = None
    async for block in blocks:
        if held is not None:
            yield held
        found.update(block)
        held = block
    if found.hexdigest() != digest:
        raise PayloadDamaged(digest, f"the stored bytes have the digest {found.hexdigest()}")
    if held is not None:
        yield held
