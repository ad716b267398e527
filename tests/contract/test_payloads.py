"""The contract of `routing.ports.PayloadStore`, on local disk: what was put can be had again.

What durability needs is an order of system calls, so they are recorded as they are made. A full
disk is played with a file size limit, which needs no privileges.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.payloads import BLOCK, DiskPayloads
from routing.ports import ClaimCheck, PayloadMissing, PayloadStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> DiskPayloads:
    """An empty store."""
    return DiskPayloads(tmp_path / "payloads")


async def content_of(store: PayloadStore, digest: str) -> bytes:
    """All bytes under a digest."""
    return b"".join([block async for block in store.open(digest)])


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
async def test_what_is_put_comes_back(store: DiskPayloads, size: int) -> None:
    """The bytes come back as they were, in blocks of bounded size, under their own digest."""
    content = os.urandom(size)
    claim = await store.put(content)
    assert claim == ClaimCheck(hashlib.sha256(content).hexdigest(), size)
    assert await content_of(store, claim.digest) == content
    assert await store.size(claim.digest) == size
    assert all([len(block) <= BLOCK async for block in store.open(claim.digest)])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.binary(max_size=2000), max_size=8))
def test_spool_is_the_sum_of_its_blocks(store: DiskPayloads, blocks: list[bytes]) -> None:
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


async def test_same_bytes_are_stored_once(store: DiskPayloads, tmp_path: Path) -> None:
    """The same bytes put many times at once are one file."""
    claims = await asyncio.gather(*(store.put(b"same") for _ in range(20)))
    assert len(set(claims)) == 1
    assert len(files(tmp_path)) == 1
    assert await content_of(store, claims[0].digest) == b"same"


async def test_concurrent_payloads_are_not_mixed_up(store: DiskPayloads) -> None:
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


async def test_missing_payload(store: DiskPayloads) -> None:
    """A digest nobody has put is said to be missing, in every way of asking."""
    digest = "0" * 64
    with pytest.raises(PayloadMissing, match=digest):
        await content_of(store, digest)
    with pytest.raises(PayloadMissing):
        store.path(digest)
    assert await store.size(digest) is None


async def test_nothing_is_visible_before_keep(store: DiskPayloads, tmp_path: Path) -> None:
    """A spool that is still written, or discarded, is no payload and leaves nothing behind."""
    spool = store.spool()
    spool.write(b"half")
    claim = spool.finish()
    assert await store.size(claim.digest) is None
    spool.discard()
    spool.discard()
    assert files(tmp_path) == []
    with pytest.raises(ValueError, match="discarded"):
        await spool.keep()
    assert await store.size(claim.digest) is None


async def test_keep_again_and_discard_after_keep_are_harmless(store: DiskPayloads) -> None:
    """Two keeps at once are one; what was kept survives a discard."""
    spool = store.spool()
    spool.write(b"kept")
    spool.finish()
    await asyncio.gather(spool.keep(), spool.keep(), spool.keep())
    spool.discard()
    assert await content_of(store, spool.claim.digest) == b"kept"


async def test_claim_before_the_end_is_a_bug(store: DiskPayloads) -> None:
    """Nobody can take the digest of half a package."""
    spool = store.spool()
    with pytest.raises(AssertionError):
        _ = spool.claim
    spool.discard()


async def test_keep_that_went_wrong_is_not_kept_the_second_time(
    store: DiskPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the next one proves nothing: the spool stays broken."""
    spool = store.spool()
    spool.write(b"lost")
    claim = spool.finish()

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        await spool.keep()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="could not be kept"):
        await spool.keep()
    assert await store.size(claim.digest) is None


async def test_put_that_went_wrong_leaves_nothing(
    store: DiskPayloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that could not be made durable is an error and no payload."""

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        await store.put(b"lost")
    assert files(tmp_path) == []


async def test_sweep_removes_only_what_was_abandoned(store: DiskPayloads, tmp_path: Path) -> None:
    """Temporary files of processes long gone are removed; young ones and payloads are not."""
    claim = await store.put(b"kept")
    young, old = store.spool(), store.spool()
    now = datetime.now(UTC)
    day_ago = (now - timedelta(hours=25)).timestamp()
    os.utime(old._path, (day_ago, day_ago))
    os.utime(store.path(claim.digest), (day_ago, day_ago))
    assert store.sweep(now) == 1
    assert await content_of(store, claim.digest) == b"kept"
    assert young._path.exists() and not old._path.exists()
    young.discard()
    old.discard()


async def test_reopened_store_has_everything(store: DiskPayloads, tmp_path: Path) -> None:
    """A second process on the same folder finds what the first has put."""
    claim = await store.put(b"kept")
    assert await content_of(DiskPayloads(tmp_path / "payloads"), claim.digest) == b"kept"
    assert store.free_bytes() > 0


# --- the disk -------------------------------------------------------------------------------------

FULL = """
import asyncio, resource, sys
from pathlib import Path
from adapters.payloads import DiskPayloads

async def main():
    store = DiskPayloads(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    small = await store.put(b"x" * 50_000)
    try:
        await store.put(b"y" * 200_000)
    except OSError as error:
        print("refused", error.errno)
    again = await store.put(b"z" * 99_999)
    for claim in (small, again):
        print(claim.size, sum([len(block) async for block in store.open(claim.digest)]))

asyncio.run(main())
"""


def test_full_disk_is_an_error_and_nothing_half_is_seen(tmp_path: Path) -> None:
    """When the disk takes no more: OSError, no partial payload, and later puts work."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:3] == ["refused 27", "50000 50000", "99999 99999"]
    assert sorted(path.stat().st_size for path in files(tmp_path)) == [50_000, 99_999]


async def test_synced_renamed_and_synced_again_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What survives a power cut: fsync(file) < rename < fsync(its folder) < the answer."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))

    def recorded_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(("rename", f"{source} {target}"))

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    folder = tmp_path / "payloads"
    store = DiskPayloads(folder)
    # The folders that payloads go into are durable before the first one does.
    assert done == [("fsync", str(folder)), ("fsync", str(tmp_path))]
    done.clear()
    spool = store.spool()
    temporary = spool._path
    spool.write(b"payload")
    digest = spool.finish().digest
    await spool.keep()
    place = folder / digest[:2] / digest
    assert done == [
        ("fsync", str(temporary)),
        ("rename", f"{temporary} {place}"),
        ("fsync", str(place.parent)),
    ]
    done.clear()
    await store.put(b"payload")
    assert [what for what, _ in done] == ["fsync", "rename", "fsync"]
