"""The contract of payload stores, on disk and on an S3 server: what was put can be had again."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.payloads import BLOCK, Payloads
from routing.ports import ClaimCheck, PayloadDamaged, PayloadMissing
from tests.support.payload_stores import Ground, content_of, ground

__all__ = ["ground"]

#: Larger than what goes to an object store in one request.
LARGE = 20 * 1024 * 1024 + 11


@pytest.fixture
def store(ground: Ground) -> Payloads:
    """An empty store."""
    return ground.open()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7, LARGE])
async def test_what_is_put_comes_back(store: Payloads, size: int) -> None:
    """The bytes come back as they were, in blocks of bounded size, under their own digest."""
    content = os.urandom(size)
    claim = await store.put(content)
    assert claim == ClaimCheck(hashlib.sha256(content).hexdigest(), size)
    assert await content_of(store, claim.digest) == content
    assert await store.size(claim.digest) == size
    assert all([len(block) <= BLOCK async for block in store.open(claim.digest)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.binary(max_size=2000), max_size=8))
def test_spool_is_the_sum_of_its_blocks(store: Payloads, blocks: list[bytes]) -> None:
    """However the bytes are cut, a kept spool is their sum."""

    async def round_trip() -> bytes:
        spool = store.spool()
        for block in blocks:
            spool.write(memoryview(block))
        claim = spool.finish()
        assert spool.finish() == claim == spool.claim
        assert spool.read() == b"".join(blocks)
        await spool.keep()
        return await content_of(store, claim.digest)

    assert asyncio.run(round_trip()) == b"".join(blocks)


async def test_same_bytes_are_stored_once(store: Payloads, ground: Ground) -> None:
    """The same bytes put many times at once, by several processes, are stored once."""
    other = ground.open()
    claims = await asyncio.gather(*(one.put(b"same") for one in [store, other] * 10))
    assert len(set(claims)) == 1
    assert len(ground.everything()) == 1
    assert await content_of(store, claims[0].digest) == b"same"


async def test_concurrent_payloads_are_not_mixed_up(store: Payloads) -> None:
    """Many different payloads written in turns: each comes back as itself."""
    spools = [store.spool() for _ in range(30)]
    for part in range(20):
        for number, spool in enumerate(spools):
            await asyncio.to_thread(spool.write, f"{number}:{part};".encode() * 50)
    await asyncio.gather(*(asyncio.to_thread(spool.finish) for spool in spools))
    await asyncio.gather(*(spool.keep() for spool in spools))
    for number, spool in enumerate(spools):
        expected = b"".join(f"{number}:{part};".encode() * 50 for part in range(20))
        assert await content_of(store, spool.claim.digest) == expected


async def test_missing_payload(store: Payloads) -> None:
    """A digest nobody has put is said to be missing, in every way of asking."""
    digest = "0" * 64
    with pytest.raises(PayloadMissing, match=digest):
        await content_of(store, digest)
    assert await store.size(digest) is None


async def test_nothing_is_visible_before_keep(store: Payloads, ground: Ground) -> None:
    """A spool that is still written, or discarded, is no payload and leaves nothing behind."""
    spool = store.spool()
    spool.write(b"half")
    claim = spool.finish()
    assert await store.size(claim.digest) is None
    spool.discard()
    spool.discard()
    assert ground.everything() == ground.spooled() == []
    with pytest.raises(ValueError, match="discarded"):
        await spool.keep()
    assert await store.size(claim.digest) is None


async def test_keep_again_and_discard_after_keep_are_harmless(store: Payloads) -> None:
    """Two keeps at once are one; what was kept survives a discard."""
    spool = store.spool()
    spool.write(b"kept")
    spool.finish()
    await asyncio.gather(spool.keep(), spool.keep(), spool.keep())
    spool.discard()
    assert await content_of(store, spool.claim.digest) == b"kept"


async def test_claim_before_the_end_is_a_bug(store: Payloads) -> None:
    """Nobody can take the digest of half a package."""
    spool = store.spool()
    with pytest.raises(AssertionError):
        _ = spool.claim
    spool.discard()


async def test_large_spool_keeps_all_its_bytes(store: Payloads, ground: Ground) -> None:
    """A package that travels in parts comes back whole, also at a second process."""
    content = os.urandom(LARGE)
    spool = store.spool()
    for start in range(0, LARGE, 1_000_003):
        await asyncio.to_thread(spool.write, content[start : start + 1_000_003])
    claim = spool.finish()
    await spool.keep()
    spool.discard()
    assert ground.spooled() == []
    assert await content_of(ground.open(), claim.digest) == content
    await store.put(content)
    assert len(ground.everything()) == 1


async def test_second_process_has_everything(store: Payloads, ground: Ground) -> None:
    """What one process has kept another finds, whatever it remembered of the time before."""
    other = ground.open()
    digest = hashlib.sha256(b"kept").hexdigest()
    assert await other.size(digest) is None
    claim = await store.put(b"kept")
    assert await content_of(other, claim.digest) == b"kept"
    assert store.free_bytes() > 0


@pytest.mark.parametrize("size", [4, 3 * BLOCK])
async def test_damaged_payload_never_comes_whole(
    store: Payloads, ground: Ground, size: int
) -> None:
    """Altered bytes are found at the end, and the last block is withheld until then."""
    content = os.urandom(size)
    claim = await store.put(content)
    ground.damage(claim.digest, content[:-1] + bytes([content[-1] ^ 1]))
    got = b""
    with pytest.raises(PayloadDamaged, match=claim.digest):
        async for block in ground.open().open(claim.digest):
            got += block
    assert len(got) < size and content.startswith(got)


async def test_lost_payload_is_missing_also_for_who_has_put_it(
    store: Payloads, ground: Ground
) -> None:
    """What the store has lost is said to be missing, whatever a process remembers."""
    claim = await store.put(b"lost")
    ground.lose(claim.digest)
    assert await store.size(claim.digest) is None
    with pytest.raises(PayloadMissing):
        await content_of(store, claim.digest)


async def test_putting_again_mends(store: Payloads, ground: Ground) -> None:
    """Handing the same bytes in again repairs a payload that was damaged or lost."""
    claim = await store.put(b"mended")
    ground.damage(claim.digest, b"broken")
    await store.put(b"mended")
    assert await content_of(store, claim.digest) == b"mended"
    ground.lose(claim.digest)
    await store.put(b"mended")
    assert await content_of(store, claim.digest) == b"mended"


async def test_stored_lists_in_order_and_goes_on(store: Payloads) -> None:
    """Everything is listed once, in the order of digests, and from any place on."""
    claims = [await store.put(f"number {number}".encode()) for number in range(40)]
    listed = [payload async for payload in store.stored()]
    assert [payload.digest for payload in listed] == sorted(claim.digest for claim in claims)
    assert {(one.digest, one.size) for one in listed} == {(c.digest, c.size) for c in claims}
    for place in (0, 17, 39):
        rest = [payload async for payload in store.stored(listed[place].digest)]
        assert rest == listed[place + 1 :]


async def test_check_says_well_and_leaves_nothing(store: Payloads, ground: Ground) -> None:
    """A store that works says so, and asking stores no payload."""
    health = await store.check()
    assert health.ok, health
    assert ground.everything() == ground.spooled() == []


async def test_sweep_removes_only_what_was_abandoned(store: Payloads, ground: Ground) -> None:
    """Temporary files of processes long gone are removed; young ones and payloads are not."""
    claim = await store.put(b"kept")
    young, old = store.spool(), store.spool()
    now = datetime.now(UTC)
    day_ago = (now - timedelta(hours=25)).timestamp()
    os.utime(old._path, (day_ago, day_ago))
    assert store.sweep(now) == 1
    assert await content_of(store, claim.digest) == b"kept"
    assert young._path.exists() and not old._path.exists()
    young.discard()
    old.discard()
