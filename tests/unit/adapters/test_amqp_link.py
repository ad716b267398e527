"""What keeps a link going, without a broker."""

from __future__ import annotations

import asyncio

import pytest

from adapters import amqp_link
from adapters.amqp_link import BROKER_FAULTS, bounded, persistently


async def test_what_ends_without_a_reason_is_a_lost_connection() -> None:
    """The library ends waiting calls with a bare exception then; anything else stays what it is."""

    async def ends(error: BaseException) -> None:
        raise error

    with pytest.raises(BROKER_FAULTS, match="was closed"):
        await bounded(ends(Exception()), 5)
    with pytest.raises(ConnectionResetError, match="cancelled"):
        await bounded(ends(asyncio.CancelledError()), 5)
    with pytest.raises(ZeroDivisionError):
        await bounded(ends(ZeroDivisionError()), 5)


async def test_a_call_that_takes_no_cancel_holds_nobody_up() -> None:
    """As a write to a dead connection: the time-out comes, the call is left alone."""
    release = asyncio.Event()

    async def deaf() -> None:
        try:
            await release.wait()
        finally:
            await release.wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bounded(deaf(), 0.01), 5)
    release.set()


async def test_a_fault_of_the_program_ends_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told and the work begins again, until it returns or is cancelled."""
    monkeypatch.setattr(amqp_link, "LONGEST_BACKOFF", 0)
    runs = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise ZeroDivisionError
        if len(runs) == 4:
            raise asyncio.CancelledError

    await persistently(work)
    assert runs == [0, 1, 2]
    with pytest.raises(asyncio.CancelledError):
        await persistently(work)
