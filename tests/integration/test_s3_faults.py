"""The S3 store when its server misbehaves: bounded waits, clear words, nothing half stored."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.payloads import PayloadHealth, S3Options, S3Payloads
from adapters.payloads.s3 import PART
from routing.ports import PayloadMissing, PayloadsUnavailable
from tests.support.payload_stores import content_of, s3_options
from tests.support.s3_server import S3Server
from tests.support.servers import FlakyProxy, free_port, wait_until_async

#: A large payload: three parts.
LARGE = 2 * PART + 5
#: A store that answers nothing costs no longer than this.
CALL = 2.0


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """An empty bucket."""
    return s3_server.create_bucket()


def options(server: S3Server, bucket: str, port: int) -> S3Options:
    """Little patience, through a proxy or at a port."""
    return s3_options(
        server,
        bucket,
        endpoint=f"http://127.0.0.1:{port}",
        connect_seconds=0.5,
        request_seconds=1.0,
        call_seconds=CALL,
    )


async def test_a_store_that_never_answers_is_given_up(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """Black hole: every call ends within its time limit, as PayloadsUnavailable; then it works."""
    async with FlakyProxy(s3_server.port) as proxy:
        store = S3Payloads(options(s3_server, bucket, proxy.port), tmp_path)
        claim = await store.put(b"kept")
        other = S3Payloads(options(s3_server, bucket, proxy.port), tmp_path)
        proxy.stall()
        spool = store.spool()
        spool.write(os.urandom(LARGE))
        spool.finish()
        start = time.monotonic()
        *faults, health = await asyncio.gather(
            store.put(b"lost"),
            spool.keep(),
            content_of(other, claim.digest),
            other.size(claim.digest),
            _all_of(other),
            store.check(),
            return_exceptions=True,
        )
        assert time.monotonic() - start < 2 * CALL
        assert [type(fault) for fault in faults] == [PayloadsUnavailable] * 5
        assert isinstance(health, PayloadHealth) and not health.ok
        proxy.heal()
        await spool.keep()
        assert await content_of(other, spool.claim.digest) == spool.read()
        spool.discard()


async def _all_of(store: S3Payloads) -> None:
    async for _ in store.stored():
        pass


@pytest.mark.parametrize("size", [10, LARGE])
async def test_nobody_there(s3_server: S3Server, bucket: str, tmp_path: Path, size: int) -> None:
    """Nothing listens at the address: said within a few tries, and the spool can be kept later."""
    nobody = S3Payloads(options(s3_server, bucket, free_port()), tmp_path)
    health = await nobody.check()
    assert not health.ok and "S3 put" in health.detail
    spool = nobody.spool()
    spool.write(os.urandom(size))
    spool.finish()
    for _ in range(2):
        with pytest.raises(PayloadsUnavailable):
            await spool.keep()
    spool.discard()
    with pytest.raises(ValueError, match="discarded"):
        await spool.keep()


async def test_a_bucket_that_is_not_there_is_not_an_empty_one(
    s3_server: S3Server, tmp_path: Path
) -> None:
    """A wrong name of the bucket is trouble with the store; it never reads as "no such payload"."""
    store = S3Payloads(s3_options(s3_server, "no-such-bucket"), tmp_path)
    assert not (await store.check()).ok
    for call in (store.put(b"x"), store.size("0" * 64), content_of(store, "0" * 64)):
        with pytest.raises(PayloadsUnavailable, match="NoSuchBucket: "):
            await call


async def test_a_spool_file_that_changed_is_not_stored(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """What is on the local disk at the upload is compared with what arrived; nothing is left."""
    store = S3Payloads(s3_options(s3_server, bucket), tmp_path)
    for size in (1000, LARGE):
        spool = store.spool()
        content = os.urandom(size)
        spool.write(content)
        digest = spool.finish().digest
        spool._path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(PayloadsUnavailable, match="changed what arrived"):
            await spool.keep()
        spool.discard()
        assert await store.size(digest) is None
    assert s3_server.keys(bucket) == []
    assert s3_server.uploads(bucket) == 0


async def test_a_keep_that_is_called_off_leaves_no_payload(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """The client of an upload goes away: the upload ends, and the same bytes go in later."""
    async with FlakyProxy(s3_server.port) as proxy:
        store = S3Payloads(options(s3_server, bucket, proxy.port), tmp_path)
        spool = store.spool()
        spool.write(os.urandom(LARGE))
        claim = spool.finish()
        proxy.stall()
        keeping = asyncio.create_task(spool.keep())
        await wait_until_async(lambda: proxy.accepted)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        proxy.heal()
        assert await store.size(claim.digest) is None
        await spool.keep()
        assert await store.size(claim.digest) == LARGE
        spool.discard()


async def test_keeping_again_stores_and_sends_nothing(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """Large bytes that are there already do not travel a second time."""
    async with FlakyProxy(s3_server.port) as proxy:
        content = os.urandom(LARGE)
        for machine in ("one", "two"):
            sent = proxy.forwarded["up"]
            store = S3Payloads(options(s3_server, bucket, proxy.port), tmp_path / machine)
            spool = store.spool()
            spool.write(content)
            spool.finish()
            await asyncio.gather(spool.keep(), spool.keep())
            spool.discard()
            sent = proxy.forwarded["up"] - sent
            assert (sent > LARGE) == (machine == "one"), sent
    assert len(s3_server.keys(bucket)) == 1


async def test_strangers_in_the_bucket_are_passed_over(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """Objects with other names are neither listed nor taken for payloads, so never removed."""
    store = S3Payloads(s3_options(s3_server, bucket), tmp_path)
    claim = await store.put(b"ours")
    folder = f"lienthong/payloads/{claim.digest[:2]}/{claim.digest}"
    for key in ("other/ab/readme.txt", f"{folder}/notes", f"{folder}/2026b", "lienthong/x"):
        s3_server.write(bucket, key, b"not ours")
    fresh = S3Payloads(s3_options(s3_server, bucket), tmp_path)
    assert [payload.digest async for payload in fresh.stored()] == [claim.digest]
    assert await content_of(fresh, claim.digest) == b"ours"


async def test_calls_are_counted_with_their_outcome(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """What operators see: kind, outcome and time of every call."""
    seen: list[tuple[str, str, float]] = []

    def observe(call: str, outcome: str, seconds: float) -> None:
        seen.append((call, outcome, seconds))

    store = S3Payloads(s3_options(s3_server, bucket), tmp_path, observe=observe)
    claim = await store.put(b"x")
    s3_server.delete(bucket, s3_server.keys(bucket)[0])
    with pytest.raises(PayloadMissing):
        await content_of(store, claim.digest)
    assert [(call, outcome) for call, outcome, _ in seen] == [
        ("put", "done"),
        ("get", "missing"),
        ("list", "done"),
    ]
    assert all(0 <= seconds < timedelta(seconds=10).total_seconds() for _, _, seconds in seen)
