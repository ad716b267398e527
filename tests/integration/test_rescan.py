"""Packages that wait for the scanner: none is forgotten because of another."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.database import LeaseStore
from adapters.malware import ClamAv, ScannerUnavailable
from gateway import clock, held_packages
from gateway.rescan import PAUSE, Rescan
from gateway.services import Services
from routing.records import NOT_SCANNED, PackageRecord
from routing.states import TransportState
from tests.support import packages
from tests.support.builders import delivery as delivery_of
from tests.support.builders import keep, package
from tests.support.builders import stored as stored_row
from tests.support.parts import open_parts
from tests.support.servers import EICAR, ClamAvServer, free_port

SENDER, RECIPIENT = "000.00.00.G22", "000.00.00.H41"


@pytest.fixture
async def services(tmp_path: Path, clamav_server: ClamAvServer) -> AsyncIterator[Services]:
    """The parts of a gateway with a real scanner."""
    settings = {"malware_scanner": clamav_server.address, "signature_checks": False}
    async with open_parts(tmp_path, **settings) as parts:
        yield parts


_number = iter(range(1, 1000))


async def waiting(
    services: Services, *contents: bytes, broken: bool = False, stored: bool = True
) -> tuple[PackageRecord, str]:
    """A package with these files that came while the scanner was away, and its delivery's id."""
    files = [packages.File(f"f{n}.pdf", content) for n, content in enumerate(contents)]
    name = f"{SENDER},2026/11/02,{next(_number)}/CV-TEST"
    content = packages.document(SENDER, [RECIPIENT], name, files=files)
    if broken:
        content = content.replace(base64.b64encode(contents[0])[:8], b"!!!!!!!!")
    digest = hashlib.sha256(content).hexdigest()
    if stored:
        await services.payloads.put(content)
    record = package(SENDER, digest=digest, size=len(content))
    row = delivery_of(record, state=TransportState.HELD, reason=NOT_SCANNED, ring_at=None)
    await keep(services.database, record, row)
    return record, row.id


async def state(services: Services, delivery: str) -> TransportState:
    """Of a delivery, now."""
    return (await stored_row(services.database, delivery)).state


def alarms(services: Services) -> float:
    """How often malware was found."""
    name = "lienthong_alarms_total"
    return services.metrics.registry.get_sample_value(name, {"what": "malware"}) or 0.0


async def test_a_missing_payload_keeps_nothing_waiting_and_nobody_busy(services: Services) -> None:
    """The newest package's bytes are gone: the older ones go on; then there is time to rest."""
    _, older = await waiting(services, packages.pdf("a"), packages.pdf("b"))
    _, lost = await waiting(services, packages.pdf("c"), stored=False)
    scanning = Rescan(services)
    assert await scanning.once() == 0.0
    assert await state(services, older) is TransportState.ACCEPTED
    assert await state(services, lost) is TransportState.HELD
    assert await scanning.once() == PAUSE


async def test_what_cannot_be_read_is_not_a_scanner_that_is_away(services: Services) -> None:
    """Its file is broken, it is not passed on unscanned; the package behind it goes on."""
    _, older = await waiting(services, packages.pdf("a"))
    _, broken = await waiting(services, packages.pdf("b"), broken=True)
    scanning = Rescan(services)
    assert await scanning.once() == 0.0
    assert await state(services, older) is TransportState.ACCEPTED
    assert await state(services, broken) is TransportState.HELD
    assert await scanning.once() == PAUSE


@pytest.mark.parametrize("fault", [ScannerUnavailable("too large"), ValueError("a bug")])
async def test_what_goes_wrong_with_one_package_ends_no_round(
    services: Services, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """The scanner hangs up on one file, or a bug shows: the others go on, this one later."""
    rows = [(await waiting(services, packages.pdf(name)))[1] for name in "ab"]
    scan, calls = ClamAv.scan, 0

    async def once_faulty(self: ClamAv, content: AsyncIterator[bytes]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise fault
        return await scan(self, content)

    monkeypatch.setattr(ClamAv, "scan", once_faulty)
    scanning = Rescan(services)
    assert await scanning.once() == 0.0
    states = [await state(services, row) for row in rows]
    assert sorted(states) == [TransportState.ACCEPTED, TransportState.HELD]
    assert await scanning.once() == PAUSE and calls == 2, "not again at once"
    assert await Rescan(services).once() == 0.0
    assert [await state(services, row) for row in rows] == [TransportState.ACCEPTED] * 2


async def test_while_the_scanner_is_away_everything_waits(services: Services) -> None:
    """Nothing is passed on unscanned."""
    _, row = await waiting(services, packages.pdf("a"))
    services.inspection.scanner = ClamAv(f"tcp://127.0.0.1:{free_port()}")
    assert await Rescan(services).once() == PAUSE
    assert await state(services, row) is TransportState.HELD


async def test_what_operators_hold_hides_no_package_that_waits(services: Services) -> None:
    """Two hundred newer copies are held for other reasons."""
    _, row = await waiting(services, packages.pdf("a"))
    other = package(SENDER)
    held = [
        delivery_of(other, f"H41.N{n}", state=TransportState.HELD, ring_at=None) for n in range(205)
    ]
    await keep(services.database, other, *held)
    await Rescan(services).once()
    assert await state(services, row) is TransportState.ACCEPTED
    assert {await state(services, one.id) for one in held[:3]} == {TransportState.HELD}


async def test_an_infected_package_is_counted_once(services: Services) -> None:
    """Two processes meet at one package: only who changed something tells of it."""
    record, row = await waiting(services, packages.pdf("clean"), EICAR)
    scanning = Rescan(services)
    assert await scanning.once() == 0.0
    assert await state(services, row) is TransportState.RETURNED
    assert alarms(services) == 1
    assert await scanning._scan(record) == 0
    assert alarms(services) == 1


async def test_one_process_at_a_time_and_as_long_as_it_takes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has the lease: nothing is done. Ours is renewed between packages and given back."""
    rows = [(await waiting(services, packages.pdf(name)))[1] for name in "ab"]
    leases, now = LeaseStore(services.database), clock.now()
    assert await leases.hold("rescan", "other", now, now + timedelta(minutes=1))
    assert await Rescan(services).once() == PAUSE
    await leases.release("rescan", "other", clock.now())
    monkeypatch.setattr(held_packages, "RENEW", -1.0)
    until = []
    hold = LeaseStore.hold

    async def noted(self: LeaseStore, name: str, owner: str, now: Any, end: Any) -> bool:
        until.append(end)
        return await hold(self, name, owner, now, end)

    monkeypatch.setattr(LeaseStore, "hold", noted)
    assert await Rescan(services).once() == 0.0
    assert len(until) == 2 and until[0] < until[1]
    assert [await state(services, row) for row in rows] == [TransportState.ACCEPTED] * 2
    now = clock.now()
    assert await hold(leases, "rescan", "other", now, now + timedelta(minutes=1))
