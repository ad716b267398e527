"""Concurrency and failure behaviour of `routing.ports.Database`, the same on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.database import SqlDatabase, open_database
from routing.ports import Transaction
from routing.records import Event, PackageRecord
from routing.states import Happening
from tests.support.builders import (
    NOW,
    delivery,
    keep,
    look,
    new_id,
    package,
    put,
    step,
    stored,
)


class Broken(Exception):
    """What a piece of work raises on purpose."""


async def test_identical_packages_become_one(database: SqlDatabase) -> None:
    """Twenty writers of the same bytes at once: one row, and everybody learns which."""
    same = package()

    async def submit(number: int) -> str:
        mine = replace(same, id=new_id(), correlation_id=f"trace-{number}")

        async def write(tx: Transaction) -> str:
            known = await tx.find_package(mine.sender, mine.digest)
            if known is None:
                await tx.insert_package(mine)
            return (known or mine).id

        return await database.write(write)

    told = await asyncio.gather(*(submit(number) for number in range(20)))
    assert len(set(told)) == 1
    assert (await look(database, lambda tx: tx.get_package(told[0]))) is not None


async def test_lock_document_serialises(database: SqlDatabase) -> None:
    """Fifty writers read the version and write it back plus one: none is lost."""

    async def count_up(_: int) -> int:
        async def write(tx: Transaction) -> int:
            known = await tx.lock_document("A", "d", pk=new_id(), subject="", search="", now=NOW)
            await tx.set_version(known.pk, known.version + 1, "", "")
            return known.version + 1

        return await database.write(write)

    versions = await asyncio.gather(*(count_up(number) for number in range(50)))
    assert sorted(versions) == list(range(1, 51))


async def test_locked_delivery_is_changed_by_one_at_a_time(database: SqlDatabase) -> None:
    """Many read-modify-writes of one delivery under its lock: every one counts."""
    of = package()
    row = delivery(of)
    await keep(database, of, row)

    async def attempt(_: int) -> None:
        async def write(tx: Transaction) -> None:
            now = await tx.get_delivery(row.id, lock=True)
            assert now is not None
            made = step(replace(now, state=row.state), Happening.RELAYED, attempts=now.attempts + 1)
            await tx.apply([made])

        await database.write(write)

    await asyncio.gather(*(attempt(number) for number in range(30)))
    assert (await stored(database, row.id)).attempts == 30


async def test_opposite_lock_orders_both_finish(database: SqlDatabase) -> None:
    """Two transactions that lock the same deliveries the other way round both commit."""
    of = package()
    first, second = delivery(of, "1"), delivery(of, "2")
    await keep(database, of, first, second)

    async def both(one: str, other: str) -> None:
        async def write(tx: Transaction) -> None:
            for delivery_id in (one, other):
                row = await tx.get_delivery(delivery_id, lock=True)
                assert row is not None
                await tx.apply([replace(step(row, Happening.HELD), after=row)])

        await database.write(write)

    pairs = [(first.id, second.id), (second.id, first.id)]
    await asyncio.gather(*(both(*pair) for pair in pairs))
    events = await look(database, lambda tx: tx.events_of_package(of.id))
    assert len(events) == 4


async def test_read_your_own_writes(database: SqlDatabase) -> None:
    """Whoever was told that a write is done finds it, in the same and in the next transaction."""

    async def insert_and_find(new: PackageRecord) -> None:
        async def write(tx: Transaction) -> bool:
            await tx.insert_package(new)
            return await tx.get_package(new.id) == new

        assert await database.write(write)
        assert await look(database, lambda tx: tx.get_package(new.id)) == new

    await asyncio.gather(*(insert_and_find(package()) for _ in range(40)))


async def test_failing_work_harms_nobody_else(database: SqlDatabase) -> None:
    """Of many writes at once each failing one gets its own exception; the others are kept."""
    good = [package() for _ in range(20)]
    bad = [package() for _ in range(20)]

    async def write(new: PackageRecord, error: Exception | None) -> None:
        async def work(tx: Transaction) -> None:
            await tx.insert_package(new)
            if error is not None:
                raise error

        await database.write(work)

    errors = [Broken(str(number)) for number in range(20)]
    pairs = [
        pair for g, b, e in zip(good, bad, errors, strict=True) for pair in ((g, None), (b, e))
    ]
    answers = await asyncio.gather(*(write(*pair) for pair in pairs), return_exceptions=True)
    assert answers == [error for _, error in pairs]
    for new in good:
        assert await look(database, lambda tx, new=new: tx.get_package(new.id)) == new
    for new in bad:
        assert await look(database, lambda tx, new=new: tx.get_package(new.id)) is None


async def test_work_that_cancels_itself_does_not_hang_the_others(database: SqlDatabase) -> None:
    """A CancelledError out of one piece of work is that caller's alone."""
    new = package()

    async def cancelled(tx: Transaction) -> None:
        await tx.insert_package(package())
        raise asyncio.CancelledError

    async def good(tx: Transaction) -> None:
        await tx.insert_package(new)

    first = asyncio.ensure_future(database.write(cancelled))
    second = asyncio.ensure_future(database.write(good))
    _, waiting = await asyncio.wait([first, second], timeout=5)
    assert not waiting
    assert second.exception() is None
    assert first.cancelled()
    assert await look(database, lambda tx: tx.get_package(new.id)) == new


async def test_cancelled_callers_leave_whole_transactions(database: SqlDatabase) -> None:
    """A caller that goes away half-way: both of its rows are there, or neither."""
    pairs = [(package(), package()) for _ in range(30)]

    async def write(first: PackageRecord, second: PackageRecord) -> None:
        async def work(tx: Transaction) -> None:
            await tx.insert_package(first)
            await tx.insert_package(second)

        await database.write(work)

    tasks = [asyncio.create_task(write(*pair)) for pair in pairs]
    for number, task in enumerate(tasks):
        # One turn of the loop: the task has begun and is not done.
        await asyncio.sleep(0)
        if number % 2:
            task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for number, ((first, second), answer) in enumerate(zip(pairs, answers, strict=True)):
        kept = await look(database, lambda tx, ids=(first.id, second.id): tx.get_packages(ids))
        assert len(kept) in (0, 2)
        if number % 2 == 0:
            assert answer is None and len(kept) == 2


async def test_cancelled_caller_returns_no_open_transaction(database: SqlDatabase) -> None:
    """After callers were cancelled inside their work, their locks are gone."""
    of = package()
    row = delivery(of)
    await keep(database, of, row)
    inside = asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await tx.get_delivery(row.id, lock=True)
        inside.set()

    for _ in range(10):
        task = asyncio.create_task(database.write(hold))
        # One turn: cancelled where it just began.
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(put(database, step(row, Happening.HELD)), 5)


async def test_a_read_changes_nothing(database: SqlDatabase) -> None:
    """What is done inside `read` is refused or undone, never kept by accident."""
    new = package()

    async def sneaky(tx: Transaction) -> None:
        await tx.insert_package(new)

    with pytest.raises(Exception):  # noqa: B017 - which one is the driver's affair
        await database.read(sneaky)
    assert await look(database, lambda tx: tx.get_package(new.id)) is None


async def test_read_is_one_view(database: SqlDatabase) -> None:
    """Between two questions of one read nothing moves, however many commit meanwhile."""

    async def question(tx: Transaction) -> tuple[int, int]:
        first = len(await tx.events_of_document("doc"))
        second = len(await tx.events_of_document("doc"))
        return first, second

    async def append() -> None:
        async def write(tx: Transaction) -> None:
            await tx.append([Event("t", NOW, "a", document_pk="doc")])

        await database.write(write)

    answers = await asyncio.gather(
        *(task for _ in range(10) for task in (database.read(question), append()))
    )
    seen = [answer for answer in answers if answer is not None]
    assert all(first == second for first, second in seen)


async def test_close_lets_running_work_end(database_url: str) -> None:
    """What was begun before `close` is kept."""
    database = await open_database(database_url, allow_unsafe=True)
    await database.migrate()
    new = package()

    async def write(tx: Transaction) -> None:
        await tx.insert_package(new)

    task = asyncio.create_task(database.write(write))
    # The first turn starts the task, the second its write: it is queued when the close comes.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await database.close()
    await task
    again = await open_database(database_url, allow_unsafe=True)
    assert await look(again, lambda tx: tx.get_package(new.id)) == new
    await again.close()


async def test_two_processes_worth_of_databases_agree(database_url: str) -> None:
    """Two openings of one database write at once; both see everything."""
    one = await open_database(database_url, allow_unsafe=True)
    two = await open_database(database_url, allow_unsafe=True)
    await one.migrate()
    new = [package() for _ in range(40)]

    async def write(database: SqlDatabase, record: PackageRecord) -> None:
        async def work(tx: Transaction) -> None:
            await tx.insert_package(record)

        await database.write(work)

    await asyncio.gather(
        *(write(two if number % 2 else one, record) for number, record in enumerate(new))
    )
    ids = [record.id for record in new]
    assert len(await look(one, lambda tx: tx.get_packages(ids))) == 40
    assert len(await look(two, lambda tx: tx.get_packages(ids))) == 40
    await one.close()
    await two.close()
