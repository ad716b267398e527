"""An axis: who is named in one request for all recipients, and what is kept while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.axis.partner import AxisPartner
from gateway.axis.poller import AxisIntake
from gateway.services import Services
from routing.deliver import AttemptOutcome, AttemptResult
from routing.ports import DatabaseUnavailable, Transaction
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection
from routing.states import Happening, TransportState
from tests.support.builders import (
    NOW,
    delivery,
    new_id,
    package,
    put,
    settle_world,
    step,
    stored,
)
from tests.support.parts import open_parts

A, B = "H41.A", "H41.B"
SETTINGS = {"url": "https://truc.example.gov.vn", "system_id": "CLIENT"}


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway."""
    async with open_parts(tmp_path) as parts:
        yield parts


class Requests(AxisPartner):
    """Requests are noted and taken; nothing is sent."""

    named: tuple[str, ...] = ()

    async def _send(
        self, connection: Connection, package: PackageRecord, recipients: Any, options: Any
    ) -> AttemptResult:
        self.named = recipients
        return AttemptResult(AttemptOutcome.DELIVERED, "the axis has it")


async def two_versions(services: Services, axis: Connection) -> dict[tuple[int, str], Delivery]:
    """Versions 1 and 2 of one document to A and B through the axis, all of them waiting."""

    async def write(tx: Transaction) -> dict[tuple[int, str], Delivery]:
        known = await tx.lock_document("G22", new_id(), pk=new_id(), subject="", search="", now=NOW)
        rows = {}
        for version in (1, 2):
            of = package("G22", document_pk=known.pk, version=version)
            await tx.insert_package(of)
            for code in (A, B):
                rows[version, code] = delivery(of, code, connection_id=axis.id)
        await tx.insert_deliveries(list(rows.values()))
        return rows

    return await services.database.write(write)


async def test_a_version_is_not_taken_along_before_an_earlier_one(services: Services) -> None:
    """A has version 1, B has not: A's request for version 2 neither names nor settles B's."""
    world = await settle_world(services.database, kind="vxp-axis")
    axis = replace(world.beta, settings=SETTINGS)
    rows = await two_versions(services, axis)
    first, mine, other = rows[1, A], rows[2, A], rows[2, B]
    await put(services.database, step(first, Happening.DELIVERED, delivered_at=NOW, ring_at=None))
    of = replace(package("G22", version=2), id=mine.package_id)
    partner = Requests(services)
    result = await partner.deliver(axis, mine, of)
    assert result.outcome is AttemptOutcome.DELIVERED
    assert partner.named == (A,)
    assert (await stored(services.database, other.id)).state is TransportState.ACCEPTED
    held_up = rows[1, B]
    await put(services.database, step(held_up, Happening.DELIVERED, delivered_at=NOW, ring_at=None))
    await partner.deliver(axis, mine, of)
    assert set(partner.named) == {A, B}
    assert (await stored(services.database, other.id)).state is TransportState.DELIVERED


async def test_a_database_that_is_away_loses_no_back_off(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notice that the axis is away cannot be kept either: the pauses grow all the same."""
    world = await settle_world(services.database, kind="vxp-axis")
    intake = AxisIntake(services, replace(world.beta, settings={**SETTINGS, "breaker_failures": 2}))

    async def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(services.database, "write", away)
    monkeypatch.setattr(services.database, "read", away)
    waits = [await intake._round(asyncio.Event()) for _ in range(4)]
    assert all(
        least <= wait < 1.25 * least for wait, least in zip(waits, (1, 2, 4, 8), strict=True)
    )
