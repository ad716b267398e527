"""Orphans are removed, and nothing that somebody adopts meanwhile: on disk and on an S3 server.

The sweep asks back for references, and reaches for the store at certain moments; whatever a
submission may do is done exactly there, with a clock that the test turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.payloads import DiskPayloads, Payloads, S3Payloads, StoredPayload
from adapters.payloads.orphans import GRACE, SUSPICIOUS, Swept, sweep
from tests.support.payload_stores import Ground, content_of, ground, s3_options
from tests.support.s3_server import S3Server

__all__ = ["ground"]

#: The clock that tests turn begins at the real time, which the server has as well.
START = datetime.now(UTC)
HOUR = timedelta(hours=1)
#: Long after START, by all clocks: whatever was adopted at START is old.
LATER = START + 3 * GRACE
CONTENTS = [f"payload {number}".encode() for number in range(3)]


@dataclass
class Hands:
    """The submissions of a test: they adopt, record a little later, or never."""

    store: Payloads
    now: datetime = START
    recorded: set[str] = field(default_factory=set)
    #: Adopted and not yet recorded: digest and when.
    pending: list[tuple[str, datetime]] = field(default_factory=list)

    async def adopt(self, number: int) -> None:
        """Keep a payload, the way a submission does."""
        spool = self.store.spool()
        spool.write(CONTENTS[number])
        digest = spool.finish().digest
        await spool.keep()
        spool.discard()
        self.pending.append((digest, self.now))

    def record(self) -> None:
        """Commit the oldest submission under way."""
        if self.pending:
            self.recorded.add(self.pending.pop(0)[0])

    def wait(self, hours: int) -> None:
        """Let time go by; nobody takes longer than an hour from adopting to recording."""
        self.now += hours * HOUR
        while self.pending and self.now - self.pending[0][1] > HOUR:
            self.record()

    async def referenced(self, digests: Set[str]) -> Set[str]:
        """What the database would say at this moment."""
        return digests & self.recorded


class Interrupted:
    """A store that lets others do something before each step of a sweep."""

    def __init__(self, inner: Payloads, interrupt: Callable[[], object]) -> None:
        self._inner = inner
        self._interrupt = interrupt

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def stored(self, after: str = "") -> AsyncIterator[StoredPayload]:
        """Interrupted before every payload."""
        async for payload in self._inner.stored(after):
            await self._interrupt()  # type: ignore[misc]
            yield payload

    async def remove(self, payload: StoredPayload, before: datetime) -> bool:
        """Interrupted before the removal."""
        await self._interrupt()  # type: ignore[misc]
        return await self._inner.remove(payload, before)


adoptions = st.tuples(st.just("adopt"), st.integers(0, len(CONTENTS) - 1))
steps = st.one_of(
    adoptions,
    st.tuples(st.just("record"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 3)),
)
pauses = st.lists(st.lists(steps, max_size=3), max_size=12)


async def do(hands: Hands, step: tuple[str, int]) -> None:
    """One step of the submissions."""
    what, number = step
    if what == "adopt":
        await hands.adopt(number)
    elif what == "record":
        hands.record()
    else:
        hands.wait(number)


async def sweep_meanwhile(hands: Hands, script: list[list[tuple[str, int]]]) -> None:
    """A sweep at `hands.now`, between whose steps the script goes on."""
    rest = list(script)

    async def interrupt() -> None:
        for step in rest.pop(0) if rest else ():
            await do(hands, step)

    async def referenced(digests: Set[str]) -> Set[str]:
        before = await hands.referenced(digests)
        await interrupt()
        return before

    store: Payloads = Interrupted(hands.store, interrupt)  # type: ignore[assignment]
    await sweep(store, referenced, hands.now)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=st.lists(steps, max_size=6), days=st.integers(0, 3), first=pauses, second=pauses)
@example(  # adopted between the last look at the records and the removal
    before=[("adopt", 0)], days=3, first=[[], [], [], [("adopt", 0)]], second=[]
)
@example(  # adopted right after the first look, recorded only after the sweep
    before=[("adopt", 0)], days=3, first=[[], [("adopt", 0)]], second=[[("record", 0)]]
)
def test_what_is_recorded_is_never_swept(
    ground: Ground,
    before: list[tuple[str, int]],
    days: int,
    first: list[list[tuple[str, int]]],
    second: list[list[tuple[str, int]]],
) -> None:
    """However adopting and recording fall between the steps of two sweeps: what is recorded stays.

    Every example goes on in the store of the one before it, as a real store would: later.
    """
    begun = max(ground.clock(), START) + 10 * GRACE

    async def play() -> None:
        hands = Hands(ground.open(), now=begun)
        ground.clock = lambda: hands.now
        for step in before:
            await do(hands, step)
        # Recorded or lost with its process; then it is an orphan.
        hands.pending = hands.pending[:1]
        hands.wait(24 * days)
        for script in (first, second):
            await sweep_meanwhile(hands, script)
        hands.wait(2)
        for digest in sorted(hands.recorded):
            assert hashlib.sha256(await content_of(hands.store, digest)).hexdigest() == digest

    asyncio.run(play())


async def test_orphans_go_and_everything_else_stays(ground: Ground) -> None:
    """Of recorded, young and forgotten payloads only the last are removed; again finds nothing."""
    hands = Hands(ground.open())
    ground.clock = lambda: hands.now
    await hands.adopt(0)
    hands.record()
    await hands.adopt(1)
    hands.now = LATER
    await hands.adopt(2)
    assert await sweep(hands.store, hands.referenced, LATER) == Swept(2, 1, 1)
    listed = {payload.digest async for payload in hands.store.stored()}
    assert listed == {hashlib.sha256(CONTENTS[number]).hexdigest() for number in (0, 2)}
    assert await sweep(hands.store, hands.referenced, LATER) == Swept(1, 0, 0)


async def test_young_payloads_are_not_even_asked_about(ground: Ground) -> None:
    """Within the grace nothing is looked up, and no shorter grace is allowed."""
    hands = Hands(ground.open())
    ground.clock = lambda: hands.now
    await hands.adopt(0)

    async def nobody_asks(_: Set[str]) -> Set[str]:
        raise AssertionError("asked about a young payload")

    assert await sweep(hands.store, nobody_asks, START + GRACE) == Swept()
    with pytest.raises(ValueError, match="too short"):
        await sweep(hands.store, nobody_asks, LATER, grace=GRACE - HOUR)


async def test_a_store_of_another_database_is_left_alone(ground: Ground) -> None:
    """When most of a store is unknown nothing is removed, and the sweep says so."""
    store = ground.open()
    ground.clock = lambda: START
    for number in range(SUSPICIOUS):
        await store.put(f"of another gateway {number}".encode())

    async def unknown(_: Set[str]) -> Set[str]:
        return set()

    swept = await sweep(store, unknown, LATER)
    assert swept == Swept(SUSPICIOUS, SUSPICIOUS, 0, refused=True)
    assert len(ground.everything()) == SUSPICIOUS


async def test_no_answer_from_the_records_removes_nothing(ground: Ground) -> None:
    """When the database cannot say what it knows, the sweep ends and everything stays."""
    hands = Hands(ground.open())
    ground.clock = lambda: hands.now
    await hands.adopt(0)
    asked = 0

    async def away_the_second_time(digests: Set[str]) -> Set[str]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ConnectionError("the database is away")
        return set()

    with pytest.raises(ConnectionError):
        await sweep(hands.store, away_the_second_time, LATER)
    assert len(ground.everything()) == 1


def test_removing_and_adopting_on_disk_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adoption that begins between the look at the age and the removal waits and survives."""
    clock = [START]
    store = DiskPayloads(tmp_path / "payloads", lambda: clock[0])
    claim = asyncio.run(store.put(b"adopted"))
    clock[0] = LATER
    [payload] = asyncio.run(_listed(store))
    adopting = threading.Thread(target=lambda: asyncio.run(store.put(b"adopted")))
    unlink = Path.unlink

    def interrupted(self: Path, missing_ok: bool = False) -> None:
        if self.name == claim.digest and not adopting.ident:
            adopting.start()
            # It cannot come to an end before the removal has; a quarter second would do.
            adopting.join(0.25)
            assert adopting.is_alive()
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", interrupted)
    assert asyncio.run(store.remove(payload, LATER - GRACE))
    adopting.join(10)
    assert asyncio.run(content_of(store, claim.digest)) == b"adopted"
    assert not asyncio.run(store.remove(payload, LATER - GRACE))


async def _listed(store: Payloads) -> list[StoredPayload]:
    return [payload async for payload in store.stored()]


async def test_a_late_removal_in_a_bucket_hits_nobody(s3_server: S3Server, tmp_path: Path) -> None:
    """A removal decided long ago and carried out now takes nothing from who adopted meanwhile."""
    clock = [START]
    options = s3_options(s3_server, s3_server.create_bucket())
    store = S3Payloads(options, tmp_path / "one", lambda: clock[0])
    claim = await store.put(b"adopted")
    [old] = await _listed(store)
    clock[0] = LATER
    await store.put(b"adopted")
    assert await store.remove(old, LATER - GRACE)
    other = S3Payloads(options, tmp_path / "two", lambda: clock[0])
    for reader in (store, other):
        assert await content_of(reader, claim.digest) == b"adopted"


async def test_a_clock_far_behind_costs_nothing(s3_server: S3Server, tmp_path: Path) -> None:
    """A machine that lives in another year adopts: by the server's clock its payload is young."""
    options = s3_options(s3_server, s3_server.create_bucket())
    behind = S3Payloads(options, tmp_path / "behind", lambda: START - 1000 * GRACE)
    claim = await behind.put(b"adopted")

    async def not_recorded_yet(_: Set[str]) -> Set[str]:
        return set()

    right = S3Payloads(options, tmp_path / "right")
    assert await sweep(right, not_recorded_yet, datetime.now(UTC)) == Swept()
    assert await content_of(right, claim.digest) == b"adopted"


async def test_what_was_written_long_ago_is_young_when_adopted(tmp_path: Path) -> None:
    """The age of a payload counts from its adoption, not from when its bytes arrived."""
    store = DiskPayloads(tmp_path / "payloads")
    spool = store.spool()
    spool.write(b"slow")
    spool.finish()
    os.utime(spool._path, (0, 0))
    await spool.keep()
    [payload] = await _listed(store)
    assert abs(payload.adopted - datetime.now(UTC)) < HOUR
