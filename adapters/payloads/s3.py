"""Payloads in an S3-compatible object store, which gateways on several machines can share.

A package arrives in a local spool file; `keep` uploads it (in parts when it is large) and returns
after the store has acknowledged it. The bytes are read again for that, and their digest compared
with the one taken when they arrived; the store checks what it gets by SHA-256 checksums.

Names of objects
================
``<prefix>/<first two digits>/<digest>/<window>``, where the window is the half day in which the
object was adopted: ``20261121a`` before noon UTC, ``20261121b`` after it. S3 knows no "remove
unless somebody adopted it meanwhile", and a removal that timed out may still happen later. With
windows neither matters: adopting never relies on an object of an earlier window, and nobody writes
under the name of an earlier one, so that removing an object whose window ended a day ago and that
no record speaks of can take nothing away from anybody. The price is a second copy when the same
bytes are handed in anew after half a day.

Every call has a time limit and a bounded number of tries. What goes wrong is `PayloadsUnavailable`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import obstore

from adapters.payloads.probe import probe_folder, remembered
from adapters.payloads.s3_calls import Calls, Observe, S3Options, open_store
from adapters.payloads.s3_names import end_of, folder_of, window
from adapters.payloads.spool import Spool, free_bytes, sweep_abandoned, temporary_name
from adapters.payloads.store import (
    BLOCK,
    DIGEST_LENGTH,
    PayloadHealth,
    StoredPayload,
    file_blocks,
    verified,
)
from routing.ports import ClaimCheck, PayloadDamaged, PayloadMissing, PayloadsUnavailable

#: Up to this many bytes are uploaded in one request, and downloaded in one; also a part's size.
PART = 8 * 1024 * 1024
#: Parts of one upload that are under way at the same time.
PARTS_AT_ONCE = 2
#: Objects whose names this process remembers.
REMEMBERED = 20_000
#: Written by `check`, to see whether writing works.
PROBE = "readiness-probe"


class S3Spool(Spool):
    """A package on its way into an object store."""

    def __init__(self, store: S3Payloads, path: Path) -> None:
        super().__init__(path)
        self._store = store
        self._kept = False
        self._discarded = False
        self._one_at_a_time = asyncio.Lock()

    async def keep(self) -> None:
        """See `Spool.keep`. Unlike on disk, trying again after a failure is sound."""
        async with self._one_at_a_time:
            if self._kept:
                return
            if self._discarded:
                raise ValueError("this spool was discarded")
            await self._store.upload(self._path, self.claim)
            self._kept = True

    def discard(self) -> None:
        """See `Spool.discard`; the local file is not needed after `keep` either."""
        self._discarded = True
        super().discard()


class S3Payloads:
    """The payload store in a bucket."""

    def __init__(
        self,
        options: S3Options,
        folder: Path,
        clock: Callable[[], datetime] | None = None,
        observe: Observe | None = None,
    ) -> None:
        """Packages arrive in `folder`, which is made. Raises `S3Problem` and OSError.

        Nothing is asked of the store yet; `check` does.
        """
        self._options = options
        self._clock = clock or (lambda: datetime.now(UTC))
        self._calls = Calls(options, observe)
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._store = open_store(options)
        self._names: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._check = remembered(self._look)

    # --- in ---

    def spool(self) -> S3Spool:
        """See `Payloads`."""
        return S3Spool(self, temporary_name(self._incoming))

    async def put(self, content: bytes) -> ClaimCheck:
        """See the port."""
        claim = ClaimCheck(hashlib.sha256(content).hexdigest(), len(content))
        await self._put_small(claim, content)
        return claim

    async def upload(self, path: Path, claim: ClaimCheck) -> None:
        """Bring a file of this digest into the store, acknowledged.

        Raises `PayloadsUnavailable`, also when the file is no longer what arrived.
        """
        try:
            if claim.size <= PART:
                blocks = verified(file_blocks(path, PART // 8), claim.digest)
                await self._put_small(claim, b"".join([block async for block in blocks]))
            else:
                await self._put_large(claim, path)
        except PayloadDamaged as error:
            raise PayloadsUnavailable(f"{path.parent} changed what arrived: {error}") from error
        except OSError as error:
            raise PayloadsUnavailable(f"{path.parent}: {error.strerror or error}") from error

    async def _put_small(self, claim: ClaimCheck, content: bytes) -> None:
        name = self._name_now(claim.digest)
        async with self._calls.bounded("put", claim.size):
            await obstore.put_async(self._store, name, content, use_multipart=False)
        self._remember(claim.digest, name, claim.size)

    async def _put_large(self, claim: ClaimCheck, path: Path) -> None:
        """In parts. The same bytes that are there already need not travel again."""
        name = self._name_now(claim.digest)
        if await self._size_of(name) != claim.size:
            async with self._calls.bounded("put", claim.size):
                await obstore.put_async(
                    self._store,
                    name,
                    verified(file_blocks(path, PART // 8), claim.digest),
                    use_multipart=True,
                    chunk_size=PART,
                    max_concurrency=PARTS_AT_ONCE,
                )
            size = await self._size_of(name)
            if size != claim.size:
                raise PayloadsUnavailable(f"S3 put: {claim.size} bytes went there, {size} arrived")
        self._remember(claim.digest, name, claim.size)

    async def _size_of(self, name: str) -> int | None:
        try:
            async with self._calls.bounded("head"):
                return (await obstore.head_async(self._store, name))["size"]
        except PayloadMissing:
            return None

    # --- out ---

    def path(self, digest: str) -> None:
        """There is no file on this machine."""

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """See the port."""
        async for block in verified(self._blocks(digest), digest):
            yield block

    async def _blocks(self, digest: str) -> AsyncIterator[bytes]:
        """Part by part, each a call of its own: a slow reader holds no connection open."""
        name, size = await self._find(digest)
        for start in range(0, size, PART):
            length = min(PART, size - start)
            try:
                part = await self._part(name, start, length)
            except PayloadMissing:
                # Swept while another copy of the same bytes took its place.
                self._names.pop(digest, None)
                name, _ = await self._find(digest)
                part = await self._part(name, start, length)
            for offset in range(0, len(part), BLOCK):
                yield bytes(part[offset : offset + BLOCK])

    async def _part(self, name: str, start: int, length: int) -> memoryview:
        async with self._calls.bounded("get"):
            return memoryview(
                await obstore.get_range_async(self._store, name, start=start, length=length)
            )

    async def size(self, digest: str) -> int | None:
        """See the port. Asks the store, whatever is remembered."""
        self._names.pop(digest, None)
        try:
            return (await self._find(digest))[1]
        except PayloadMissing:
            return None

    async def _find(self, digest: str) -> tuple[str, int]:
        """Name and size of the newest object with these bytes. Raises `PayloadMissing`."""
        if digest in self._names:
            self._names.move_to_end(digest)
            return self._names[digest]
        found = [copy async for copy in self._list(folder_of(digest))]
        if not found:
            raise PayloadMissing(digest)
        newest = max(found, key=lambda copy: copy.copy)
        name = f"{folder_of(digest)}/{newest.copy}"
        self._remember(digest, name, newest.size)
        return name, newest.size

    def _remember(self, digest: str, name: str, size: int) -> None:
        self._names[digest] = name, size
        self._names.move_to_end(digest)
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    # --- upkeep ---

    async def check(self) -> PayloadHealth:
        """See `Payloads`."""
        return await self._check()

    async def _look(self) -> PayloadHealth:
        local = await asyncio.to_thread(probe_folder, self._incoming)
        if not local.ok:
            return local
        try:
            async with self._calls.bounded("put"):
                await obstore.put_async(self._store, PROBE, b"lienthong", use_multipart=False)
        except PayloadsUnavailable as error:
            return PayloadHealth(False, str(error))
        return PayloadHealth(True, f"bucket {self._options.bucket} can be written to")

    def free_bytes(self) -> int:
        """See `Payloads`."""
        return free_bytes(self._incoming)

    async def stored(self, after: str = "") -> AsyncIterator[StoredPayload]:
        """See `Payloads`."""
        # "~" is behind everything that a name holds, so all copies of `after` are passed over.
        offset = f"{folder_of(after)}/~" if after else None
        async for copy in self._list(None, offset):
            yield copy

    async def _list(
        self, folder: str | None, offset: str | None = None
    ) -> AsyncIterator[StoredPayload]:
        pages = obstore.list(self._store, folder, offset=offset, chunk_size=1000)
        while True:
            async with self._calls.bounded("list"):
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                _, _, rest = found["path"].partition("/")
                digest, _, copy = rest.partition("/")
                ended = end_of(copy)
                if len(digest) == DIGEST_LENGTH and ended is not None:
                    # The time of the server as well, in case a machine's clock is far behind.
                    adopted = max(ended, found["last_modified"])
                    yield StoredPayload(digest, found["size"], adopted, copy)

    async def remove(self, payload: StoredPayload, before: datetime) -> bool:
        """See `Payloads`; the names of objects see to it that nobody has adopted this one since."""
        if payload.adopted >= before:
            return False
        self._names.pop(payload.digest, None)
        async with self._calls.bounded("delete"):
            await obstore.delete_async(self._store, f"{folder_of(payload.digest)}/{payload.copy}")
        return True

    def sweep(self, now: datetime) -> int:
        """See `Payloads`."""
        return sweep_abandoned(self._incoming, now)

    async def close(self) -> None:
        """The client has nothing to close; connections end when they have been idle."""

    def _name_now(self, digest: str) -> str:
        return f"{folder_of(digest)}/{window(self._clock())}"
