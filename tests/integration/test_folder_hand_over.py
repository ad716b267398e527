"""Packages handed over as files: many at once, and attempts that are cut short."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.folder import PartnerFolder, Writing
from gateway.hand_over import Bounded, places_of
from gateway.kinds.folder import FolderIntake, FolderPartner
from gateway.services import Services
from routing.deliver import AttemptOutcome
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection
from tests.support.builders import connection, delivery, package
from tests.support.parts import open_parts
from tests.support.servers import wait_until_async


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway."""
    async with open_parts(tmp_path / "data") as parts:
        yield parts


@pytest.fixture
def agency(tmp_path: Path) -> Connection:
    """A connection of kind `folder`."""
    return replace(
        connection("folder", "H41.BETA", kind="folder"),
        settings={"folder": str(tmp_path / "agency")},
    )


async def on_its_way(services: Services, content: bytes) -> tuple[Delivery, PackageRecord]:
    """A stored package and its delivery."""
    claim = await services.payloads.put(content)
    record = package(digest=claim.digest, size=claim.size)
    return delivery(record), record


def given(tmp_path: Path) -> list[bytes]:
    """What the agency finds."""
    return sorted(path.read_bytes() for path in (tmp_path / "agency/delivery").glob("*.edxml"))


async def test_more_deliveries_at_once_than_threads_all_arrive(
    services: Services, agency: Connection, tmp_path: Path
) -> None:
    """Twelve at once on four threads, each longer than a block: no thread waits for another."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    contents = [bytes([number]) * 700_000 for number in range(12)]
    partner = FolderPartner(services)
    work = [await on_its_way(services, content) for content in contents]
    async with asyncio.timeout(30):
        results = await asyncio.gather(*(partner.deliver(agency, *one) for one in work))
    assert [result.outcome for result in results] == [AttemptOutcome.DELIVERED] * 12
    assert given(tmp_path) == contents


async def test_a_cut_short_attempt_never_writes_into_the_next_ones_file(
    services: Services, agency: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk hangs in the middle of the first attempt and goes on during the second."""
    content = b"a" * 300_000 + b"b" * 300_000
    row, record = await on_its_way(services, content)
    partner = FolderPartner(services)
    hanging, go_on, late = threading.Event(), threading.Event(), threading.Event()
    really = Writing.write

    def slow(self: Writing, block: bytes) -> None:
        if not hanging.is_set():
            hanging.set()
            go_on.wait(30)
            try:
                really(self, b"x" * len(block))
            finally:
                late.set()
            return
        go_on.set()
        late.wait(30)
        really(self, block)

    monkeypatch.setattr(Writing, "write", slow)
    first = asyncio.ensure_future(partner.deliver(agency, row, record))
    await asyncio.to_thread(hanging.wait, 30)
    first.cancel()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], BaseException)
    asked = await partner.ask(agency, row, record)
    assert asked.outcome is AttemptOutcome.TRY_LATER
    second = await partner.deliver(agency, row, record)
    assert second.outcome is AttemptOutcome.DELIVERED
    assert given(tmp_path) == [content]
    assert list((tmp_path / "agency/.writing").iterdir()) == []


async def test_a_payload_that_breaks_off_is_not_shown(
    services: Services, agency: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a package never gets a name; when the store is well again, the whole one does."""
    row, record = await on_its_way(services, b"whole")
    partner = FolderPartner(services)

    async def broken(_digest: str) -> Any:
        yield b"<half"
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(services.payloads, "open", broken)
        result = await partner.deliver(agency, row, record)
    assert result.outcome is AttemptOutcome.TRY_LATER and given(tmp_path) == []
    assert (await partner.ask(agency, row, record)).outcome is AttemptOutcome.TRY_LATER
    assert (await partner.deliver(agency, row, record)).outcome is AttemptOutcome.DELIVERED
    assert given(tmp_path) == [b"whole"]


async def test_a_folder_that_hangs_takes_no_threads_from_the_rest_of_the_process(
    services: Services, agency: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share went away: more attempts hang than there are common threads; all others work.

    When every thread of the connection hangs, an attempt says at once that it was not made, and
    asking says that it cannot say. When the share is back, all packages arrive.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    places = sum(places_of(agency).values())
    hanging, back = threading.Semaphore(0), threading.Event()
    really = PartnerFolder.prepare

    def hang(self: PartnerFolder) -> None:
        hanging.release()
        back.wait(60)
        really(self)

    contents = [bytes([number]) * 1000 for number in range(places + 1)]
    work = [await on_its_way(services, content) for content in contents]
    partner = FolderPartner(services)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(PartnerFolder, "prepare", hang)
            short = Bounded(partner, 0.2)
            results = await asyncio.gather(*(short.deliver(agency, *one) for one in work))
            assert {result.outcome for result in results} == {AttemptOutcome.UNKNOWN}
            for _ in work:
                assert hanging.acquire(timeout=10)
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(lambda: "free") == "free"
                refused = await partner.deliver(agency, *work[0])
                asked = await partner.ask(agency, *work[0])
            assert refused.outcome is AttemptOutcome.TRY_LATER
            assert asked.outcome is AttemptOutcome.UNKNOWN
            assert not hanging.acquire(blocking=False)
    finally:
        back.set()
    for one in work:

        async def delivered(one: tuple[Delivery, PackageRecord] = one) -> bool:
            return (await partner.deliver(agency, *one)).outcome is AttemptOutcome.DELIVERED

        await wait_until_async(delivered, 30, "the folder that is back")
    assert given(tmp_path) == contents


async def test_an_intake_that_hangs_takes_no_threads_from_the_rest_of_the_process(
    services: Services, agency: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at the folder hangs: the process's only common thread stays free."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    hanging, back = threading.Event(), threading.Event()

    def hang(_: PartnerFolder) -> None:
        hanging.set()
        back.wait(60)

    monkeypatch.setattr(PartnerFolder, "prepare", hang)
    intake = asyncio.ensure_future(FolderIntake(services, agency).run(asyncio.Event()))
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(hanging.wait, 10)
        intake.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait({intake})
    finally:
        back.set()
