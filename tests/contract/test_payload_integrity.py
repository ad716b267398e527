"""Payloads are read again at a bounded rate, and whatever is not as it was accepted is found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from adapters.payloads import Payloads
from adapters.payloads.integrity import (
    LEAST,
    Checked,
    Damage,
    Pace,
    examine,
    walk_expected,
)
from routing.ports import ClaimCheck
from tests.support.payload_stores import Ground, ground

__all__ = ["ground"]


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def pace() -> Pace:
    """As fast as it goes."""
    clock = Clock()
    return Pace(1e12, clock, clock.sleep)


async def filled(store: Payloads, count: int) -> list[ClaimCheck]:
    """Some payloads, in the order of their digests."""
    claims = [await store.put(os.urandom(100 + number)) for number in range(count)]
    return sorted(claims, key=lambda claim: claim.digest)


async def each(claims: list[ClaimCheck]) -> AsyncIterator[ClaimCheck]:
    """What the records speak of."""
    for claim in claims:
        yield claim


async def test_sound_payloads_are_sound(ground: Ground, pace: Pace) -> None:
    """Every payload comes once, in the order of the records, with its size and nothing found."""
    store = ground.open()
    claims = await filled(store, 12)
    found = [result async for result in walk_expected(store, each(claims), pace)]
    assert found == [Checked(claim.digest, claim.size) for claim in claims]


async def test_every_kind_of_damage_is_told_apart(ground: Ground, pace: Pace) -> None:
    """Altered, lost, and recorded with another size; the sound one between them stays sound."""
    store = ground.open()
    altered, lost, sound, shorter = await filled(store, 4)
    ground.damage(altered.digest, b"x" * altered.size)
    ground.lose(lost.digest)
    expected = [altered, lost, sound, ClaimCheck(shorter.digest, shorter.size + 1)]
    found = [result async for result in walk_expected(ground.open(), each(expected), pace)]
    assert [result.damage for result in found] == [
        Damage.OTHER_BYTES,
        Damage.MISSING,
        None,
        Damage.OTHER_SIZE,
    ]
    assert [result.digest for result in found] == [claim.digest for claim in expected]
    assert f"{shorter.size} bytes stored" in found[3].detail


async def test_cut_off_and_grown_payloads_are_found(ground: Ground, pace: Pace) -> None:
    """Bytes missing at the end or added to it are other bytes."""
    store = ground.open()
    content = os.urandom(5000)
    for stored in (content[:-1], content + b"\0", b""):
        claim = await store.put(content)
        ground.damage(claim.digest, stored)
        result = await examine(ground.open(), claim, pace)
        assert result.damage is Damage.OTHER_BYTES, len(stored)


async def test_reading_keeps_below_the_rate(ground: Ground) -> None:
    """A megabyte per second is a megabyte per second; small payloads count for a block each."""
    store, clock = ground.open(), Clock()
    large = await store.put(os.urandom(3_000_000))
    small = [await store.put(f"small {number}".encode()) for number in range(10)]
    pace = Pace(1_000_000, clock, clock.sleep)
    assert (await examine(store, large, pace)).damage is None
    assert clock.now == pytest.approx(3.0)
    async for result in walk_expected(store, each(small), pace):
        assert result.damage is None
    assert clock.now == pytest.approx(3.0 + 10 * LEAST / 1_000_000)


async def test_time_that_was_not_used_is_not_saved_up(ground: Ground) -> None:
    """After a pause the rate is what it was: no burst makes up for it."""
    store, clock = ground.open(), Clock()
    claim = await store.put(os.urandom(1_000_000))
    pace = Pace(1_000_000, clock, clock.sleep)
    clock.now = 1000.0
    await examine(store, claim, pace)
    assert clock.now == pytest.approx(1001.0)
