"""The upkeep of payloads over real records: what is swept, what is read again, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.database import LeaseStore
from adapters.payloads.integrity import Damage
from adapters.payloads.orphans import Swept
from gateway import clock
from gateway.app import build
from gateway.payload_upkeep import INTEGRITY, LEASE, PayloadUpkeep
from gateway.services import Services
from gateway.settings import ROLES, Settings
from tests.support.builders import BETA, document
from tests.support.databases import database_url, migrated_postgres_url
from tests.support.use_cases import Gateway, open_gateway

__all__ = ["database_url", "migrated_postgres_url"]

DAY = timedelta(hours=24)


@pytest.fixture
async def services(database_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway, nothing of it running."""
    settings = Settings(
        data_dir=tmp_path,
        database_url=database_url,
        database_allow_unsafe=True,
        payload_check_mib_per_second=10_000,
    )
    built = await build(settings, ROLES)
    yield built
    built.stopping.set()
    await built.database.close()


@pytest.fixture
async def gateway(services: Services, tmp_path: Path) -> Gateway:
    """Use cases on the same database and payloads."""
    return await open_gateway(services.database, tmp_path / "payloads")


async def stored(services: Services) -> set[str]:
    """All digests in the store."""
    return {payload.digest async for payload in services.payloads.stored()}


def count(services: Services, name: str, **labels: str) -> float:
    """The value of a metric."""
    return services.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_only_payloads_without_a_record_are_removed(
    services: Services, gateway: Gateway
) -> None:
    """A day after: the recorded package stays, the bytes of one that was never recorded go."""
    accepted = await gateway.accepted(document(BETA))
    orphan = await services.payloads.put(b"kept, and the process died before recording it")
    upkeep = PayloadUpkeep(services)
    assert await upkeep.sweep_orphans(clock.now() + DAY / 2) == Swept()
    assert orphan.digest in await stored(services)
    swept = await upkeep.sweep_orphans(clock.now() + 2 * DAY)
    assert (swept.removed, swept.refused) == (1, False)
    assert accepted.package.digest in await stored(services)
    assert orphan.digest not in await stored(services)
    assert count(services, "lienthong_payloads_removed_total", kind="orphan") == 1


async def test_damage_is_found_counted_and_survives_a_restart(
    services: Services, gateway: Gateway, tmp_path: Path
) -> None:
    """Lost and altered packages are found; an interrupted reading goes on where it stopped."""
    documents = [document(BETA, number=number) for number in range(4)]
    packages = [(await gateway.accepted(one)).package for one in documents]
    lost, altered, *_ = packages
    place = tmp_path / "payloads"
    (place / lost.digest[:2] / lost.digest).unlink()
    (place / altered.digest[:2] / altered.digest).write_bytes(b"altered")
    damaged = await PayloadUpkeep(services).read_again()
    assert {(found.digest, found.damage) for found in damaged} == {
        (lost.digest, Damage.MISSING),
        (altered.digest, Damage.OTHER_BYTES),
    }
    name = "lienthong_payloads_checked_total"
    assert count(services, name, found="sound") == 2
    assert count(services, name, found="missing") == count(services, name, found="other-bytes") == 1
    position = tmp_path / "payload-check-position"
    assert position.read_text() == ""
    # A process that died after the first two packages: the next one begins behind them.
    position.write_text(sorted(package.id for package in packages)[1])
    assert await PayloadUpkeep(services).read_again() == []
    assert count(services, name, found="sound") == 4


async def test_one_process_reads_again_at_a_time(services: Services, gateway: Gateway) -> None:
    """While another process holds the lease nothing is read here."""
    await gateway.accepted(document(BETA))
    now = clock.now()
    assert await LeaseStore(services.database).hold(INTEGRITY, "another", now, now + LEASE)
    await PayloadUpkeep(services)._read_again_in_turn()
    assert count(services, "lienthong_payloads_checked_total", found="sound") == 0
    await LeaseStore(services.database).release(INTEGRITY, "another", now)
    await PayloadUpkeep(services)._read_again_in_turn()
    assert count(services, "lienthong_payloads_checked_total", found="sound") == 1


async def test_it_ends_when_the_process_is_to_stop(services: Services, gateway: Gateway) -> None:
    """However long the next wait would be, the upkeep ends at once."""
    services.stopping.set()
    await PayloadUpkeep(services).run()
