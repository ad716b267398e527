"""Intakes that are slow to end: nobody runs on unseen, and nobody else waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.database import LeaseStore
from gateway import clock, intakes
from gateway.intakes import Intakes
from gateway.kinds import KINDS
from gateway.services import Services
from routing.route_table import Connection
from tests.support.builders import connection
from tests.support.parts import open_parts
from tests.support.servers import wait_until_async


class Stubborn:
    """An intake that does not listen; cancelling ends it, after what it does last."""

    running: list[str]

    def __init__(self, _services: Services, of: Connection) -> None:
        self._name = of.name

    async def run(self, stopping: asyncio.Event) -> None:
        """See `Intake`."""
        self.running.append(self._name)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.running.remove(self._name)


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of connections whose intakes run; folders have stubborn ones here."""
    monkeypatch.setattr(intakes, "GRACE", 0.2)
    monkeypatch.setitem(KINDS, "folder", replace(KINDS["folder"], intake=Stubborn))
    Stubborn.running = []
    return Stubborn.running


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway."""
    async with open_parts(tmp_path) as parts:
        yield parts


def some(*names: str) -> dict[str, Connection]:
    """Folder connections of these names, by id."""
    made = [connection(name, f"000.00.0{n}.H41", kind="folder") for n, name in enumerate(names)]
    return {one.id: one for one in made}


def changed(connections: dict[str, Connection]) -> dict[str, Connection]:
    """The same after an operator changed an option of each."""
    return {key: replace(one, settings={"keep_days": 3}) for key, one in connections.items()}


async def until(running: list[str], *names: str) -> None:
    """Until these run and no others."""
    await wait_until_async(lambda: sorted(running) == sorted(names), 10.0, f"{names}: {running}")


async def free(services: Services, connections: dict[str, Connection]) -> bool:
    """Whether another process could take the intakes over now."""
    leases, now = LeaseStore(services.database), clock.now()
    return all(
        [
            await leases.hold(f"intake:{key}", "other", now, now + timedelta(seconds=30))
            for key in connections
        ]
    )


async def test_at_the_end_nothing_runs_on(services: Services, running: list[str]) -> None:
    """Intakes that do not listen are cancelled, all within one grace, and their leases are free."""
    here, those = Intakes(services), some("a", "b", "c")
    await here.watch(those)
    await until(running, "a", "b", "c")
    services.stopping.set()
    began = asyncio.get_running_loop().time()
    await here.stop()
    assert asyncio.get_running_loop().time() - began < 3.0
    assert running == [] and await free(services, those)


async def test_a_changed_connection_never_has_two_intakes(
    services: Services, running: list[str]
) -> None:
    """The new one begins when the old one has ended; the look itself waits for neither."""
    here, those = Intakes(services), some("a")
    await here.watch(those)
    await until(running, "a")
    after = changed(those)
    most = 0

    async def replaced() -> bool:
        nonlocal most
        await here.watch(after)
        most = max(most, len(running))
        (shape, _, _) = here._tasks.get(next(iter(after)), (None, None, None))
        return shape == intakes._shape(*after.values()) and running == ["a"]

    await wait_until_async(replaced, 10.0, "the new intake")
    assert most == 1
    services.stopping.set()
    await here.stop()


async def test_one_that_is_slow_to_end_delays_no_other(
    services: Services, running: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a removed connection's intake has all the time it wants, a new one starts."""
    monkeypatch.setattr(intakes, "GRACE", 30.0)
    here, old, new = Intakes(services), some("old"), some("new")
    await here.watch(old)
    await until(running, "old")
    async with asyncio.timeout(5):
        await here.watch(new)
    await until(running, "old", "new")
    monkeypatch.setattr(intakes, "GRACE", 0.1)
    services.stopping.set()
    await here.stop()
    assert running == []


async def test_nothing_starts_when_the_process_stops(
    services: Services, running: list[str]
) -> None:
    """A look that comes after the end was told starts no intake, nor after it was waited for."""
    here, those = Intakes(services), some("a")
    await here.watch(those)
    await until(running, "a")
    services.stopping.set()
    await asyncio.gather(here.stop(), here.watch(some("b")))
    await here.watch(some("c"))
    left = [one for one in asyncio.all_tasks() if "Intakes" in str(one.get_coro())]
    for orphan in left:
        orphan.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    assert not left and running == []
