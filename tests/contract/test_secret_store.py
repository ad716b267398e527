"""Secrets of connections, and leases, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from adapters.database import LeaseStore, RegistryStore, SealedSecret, SecretStore, SqlDatabase
from routing.route_table import Connection
from tests.support.builders import ALPHA, NOW, connection, later, look, new_id

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def partner(database: SqlDatabase) -> Connection:
    """A connection without a token."""
    made = connection("partner", ALPHA)
    assert await RegistryStore(database).add_connection(made, None, [], actor="a", now=NOW) is None
    return made


def secret(
    partner: Connection, text: str, seconds: float = 0, purpose: str = "vxp"
) -> SealedSecret:
    """A sealed secret made some seconds later."""
    return SealedSecret(new_id(), partner.id, purpose, text, later(seconds))


async def test_secrets_overlap_while_they_are_rotated(
    database: SqlDatabase, partner: Connection
) -> None:
    """The newest comes first; the old one ends when it was told to, others are not touched."""
    store = SecretStore(database)
    first, second = secret(partner, "one"), secret(partner, "two", 10)
    other = secret(partner, "hook", 5, "webhook")
    await store.put(first, partner, others_end=None, actor="operator:an")
    await store.put(other, partner, others_end=later(5), actor="operator:an")
    before = await look(database, lambda tx: tx.registry_version())
    await store.put(second, partner, others_end=later(60), actor="operator:an")
    assert await look(database, lambda tx: tx.registry_version()) == before + 1
    found = await store.all()
    assert [(one.sealed, one.expires_at) for one in found] == [
        ("two", None),
        ("hook", None),
        ("one", later(60)),
    ]
    assert found[2].valid_at(later(59)) and not found[2].valid_at(later(60))
    third = secret(partner, "three", 20)
    await store.put(third, partner, others_end=later(900), actor="operator:an")
    ends = {one.sealed: one.expires_at for one in await store.all()}
    # What was to end earlier still does.
    assert ends["one"] == later(60) and ends["two"] == later(900)


async def test_a_lease_is_held_by_one_until_it_runs_out(database: SqlDatabase) -> None:
    """Renewed by its owner, refused to others, taken over when its time is over."""
    leases = LeaseStore(database)
    assert await leases.hold("poll", "one", NOW, NOW + MINUTE)
    assert not await leases.hold("poll", "two", NOW, NOW + MINUTE)
    assert await leases.hold("other", "two", NOW, NOW + MINUTE)
    assert await leases.hold("poll", "one", later(50), later(50) + MINUTE)
    assert not await leases.hold("poll", "two", later(70), later(70) + MINUTE)
    assert await leases.hold("poll", "two", later(111), later(111) + MINUTE)
    assert not await leases.hold("poll", "one", later(112), later(112) + MINUTE)


async def test_a_lease_given_back_is_free_at_once(database: SqlDatabase) -> None:
    """An orderly stop makes nobody wait; only the owner can give it back."""
    leases = LeaseStore(database)
    await leases.hold("poll", "one", NOW, NOW + MINUTE)
    await leases.release("poll", "two", NOW)
    assert not await leases.hold("poll", "two", NOW, NOW + MINUTE)
    await leases.release("poll", "one", NOW)
    assert await leases.hold("poll", "two", NOW, NOW + MINUTE)


async def test_of_many_that_want_a_lease_at_once_one_gets_it(database: SqlDatabase) -> None:
    """The database decides."""
    leases = LeaseStore(database)
    answers = await asyncio.gather(
        *(leases.hold("poll", f"p{number}", NOW, NOW + MINUTE) for number in range(10))
    )
    assert sum(answers) == 1
