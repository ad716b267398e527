"""What the database adapter does while its server is killed, frozen or cut off, or its disk full.

The invariant throughout: what `write` returned for is kept, whatever happens; a call that cannot be
answered ends as `DatabaseUnavailable` in bounded time; and when the server is back, work goes on
without anybody's help.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from adapters.database import SqlDatabase, open_database
from adapters.database.store import ANSWER_WITHIN
from routing.ports import DatabaseUnavailable, Transaction
from routing.records import PackageRecord
from tests.support.builders import look, package
from tests.support.servers import FlakyProxy, Postgres, wait_until_async

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
#: Beyond the promised time, for the scheduler of a busy machine.
SLACK = 5.0


@pytest.fixture(scope="module")
def server_of_module() -> Iterator[Postgres]:
    """A server of this module's own, because its tests break it."""
    with Postgres() as server:
        yield server


@pytest.fixture
def server(server_of_module: Postgres) -> Iterator[Postgres]:
    """The server, running at the start and at the end of each test."""
    server_of_module.start()
    yield server_of_module
    server_of_module.resume()
    server_of_module.start()


@pytest.fixture
async def database(server: Postgres) -> AsyncIterator[SqlDatabase]:
    """A migrated database on it."""
    opened = await open_database(server.create_database())
    await opened.migrate()
    yield opened
    await opened.close()


async def keep(database: SqlDatabase, new: PackageRecord) -> None:
    """Store a package as use cases do: harmless when run again."""

    async def write(tx: Transaction) -> None:
        if await tx.find_package(new.sender, new.digest) is None:
            await tx.insert_package(new)

    await database.write(write)


class Writer:
    """Writes packages without a pause and remembers what it was told about each."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.kept: list[str] = []
        self.unsure: list[str] = []
        self.others: list[BaseException] = []
        self.slowest = 0.0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int = 4) -> None:
        """So many at once."""
        self._tasks = [asyncio.create_task(self._write()) for _ in range(count)]

    async def stop(self) -> None:
        """Let the present writes end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _write(self) -> None:
        while not self._stop.is_set():
            new = package()
            began = time.monotonic()
            try:
                await keep(self._database, new)
                self.kept.append(new.id)
            except DatabaseUnavailable:
                self.unsure.append(new.id)
                # A client's pause before it tries again; nothing is waited for.
                await asyncio.sleep(0.02)
            except Exception as error:
                self.others.append(error)
                await asyncio.sleep(0.02)
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def progress(self, count: int, deadline: float = 60.0) -> None:
        """Wait until so many more were kept."""
        goal = len(self.kept) + count
        await wait_until_async(lambda: len(self.kept) >= goal, deadline, f"{count} more writes")


async def all_there(database: SqlDatabase, ids: list[str]) -> bool:
    """Whether every one of these packages is stored."""
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        if len(await look(database, lambda tx, part=part: tx.get_packages(part))) != len(part):
            return False
    return True


async def test_kill_and_restart_under_load(server: Postgres, database: SqlDatabase) -> None:
    """kill -9 of the postmaster while writing, three times: nothing that was answered is lost."""
    writer = Writer(database)
    writer.start()
    for _ in range(3):
        await writer.progress(20)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await writer.progress(20)
    await writer.stop()
    assert writer.others == []
    assert len(writer.kept) == len(set(writer.kept)) >= 80
    assert await all_there(database, writer.kept)
    assert writer.slowest < ANSWER_WITHIN + SLACK


async def test_orderly_restart_is_ridden_out(server: Postgres, database: SqlDatabase) -> None:
    """A restart of a second or two: callers wait a little, nobody hears of it."""
    writer = Writer(database)
    writer.start(2)
    await writer.progress(10)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await writer.progress(10)
    await writer.stop()
    assert (writer.others, writer.unsure) == ([], [])
    assert await all_there(database, writer.kept)


async def test_server_that_is_away(server: Postgres, database: SqlDatabase) -> None:
    """Nobody listens: unavailable in bounded time; back again: the next write works."""
    new = package()
    await asyncio.to_thread(server.stop)
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await keep(database, new)
    assert time.monotonic() - began < ANSWER_WITHIN + SLACK
    await asyncio.to_thread(server.start)
    await keep(database, new)
    assert await all_there(database, [new.id])


async def test_frozen_server(server: Postgres, database: SqlDatabase) -> None:
    """Connections stay open and nothing answers: every caller hears so in bounded time."""
    kept = package()
    await keep(database, kept)
    server.pause()
    began = time.monotonic()
    answers = await asyncio.gather(
        *(keep(database, package()) for _ in range(5)),
        look(database, lambda tx: tx.get_package(kept.id)),
        return_exceptions=True,
    )
    took = time.monotonic() - began
    server.resume()
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 6
    assert took < ANSWER_WITHIN + SLACK
    new = package()
    await keep(database, new)
    assert await all_there(database, [kept.id, new.id])


async def test_connection_cut_in_the_middle(server: Postgres) -> None:
    """Cut at many places of a conversation: each write is kept once, or said to be unsure."""
    inner = make_url(server.create_database())
    async with FlakyProxy(server.port) as proxy:
        direct = await open_database(inner.render_as_string(hide_password=False))
        await direct.migrate()
        through = await open_database(
            inner.set(port=proxy.port).render_as_string(hide_password=False)
        )
        kept = []
        for count in range(0, 400, 23):
            new = package()
            proxy.cut_after(count, "up" if count % 2 else "down")
            try:
                await keep(through, new)
                kept.append(new.id)
            except DatabaseUnavailable:
                pass
            finally:
                proxy.heal()
        assert len(kept) >= 15
        assert await all_there(direct, kept)
        await through.close()
        await direct.close()


async def test_cancelled_callers_leak_no_connections(
    server: Postgres, database: SqlDatabase
) -> None:
    """Hundreds of callers that go away at odd moments: no transaction stays open."""
    for wave in range(20):
        tasks = [asyncio.create_task(keep(database, package())) for _ in range(15)]
        # Odd moments are the point: some turns of the loop, then some milliseconds.
        for _ in range(wave % 5):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001 * (wave % 7))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    new = package()
    await keep(database, new)
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lienthong'"
        " AND state LIKE 'idle in transaction%'"
    )
    await wait_until_async(lambda: server.sql(question) == "0", 10.0, "no open transaction")
    assert await all_there(database, [new.id])


async def test_transaction_outlives_its_cancelled_caller(database: SqlDatabase) -> None:
    """The caller goes away in the middle: the transaction ends by itself, whole."""
    new = package()
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def write(tx: Transaction) -> None:
        await tx.insert_package(new)
        inside.set()
        await go_on.wait()

    caller = asyncio.create_task(database.write(write))
    await inside.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert caller.cancelled()
    go_on.set()
    await wait_until_async(lambda: all_there(database, [new.id]), 10.0, "the commit")


async def test_long_lock_of_somebody_else(database: SqlDatabase) -> None:
    """A table locked by an administrator: unavailable in time, fine afterwards."""
    inside, release = asyncio.Event(), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        from sqlalchemy import text

        from adapters.database.transaction import SqlTransaction

        assert isinstance(tx, SqlTransaction)
        await tx.connection.execute(text("LOCK TABLE packages IN ACCESS EXCLUSIVE MODE"))
        inside.set()
        await release.wait()

    holder = asyncio.create_task(database.write(hold))
    await inside.wait()
    database.answer_within = 1.0
    with pytest.raises(DatabaseUnavailable):
        await keep(database, package())
    del database.answer_within
    release.set()
    await holder
    await keep(database, package())


# --- SQLite ---------------------------------------------------------------------------------------

WRITE_UNTIL_KILLED = """
import asyncio, sys
sys.path.insert(0, ".")
from adapters.database import open_database
from tests.support.builders import package

async def main():
    database = await open_database(sys.argv[1])
    await database.migrate()
    print("ready", flush=True)

    async def one():
        while True:
            new = package()

            async def write(tx):
                await tx.insert_package(new)

            await database.write(write)
            sys.stdout.write(new.id + "\\n")
            sys.stdout.flush()

    await asyncio.gather(*(one() for _ in range(8)))

asyncio.run(main())
"""


async def test_sqlite_killed_while_writing(tmp_path: Path) -> None:
    """kill -9 in the middle of group commits, five times: what was answered is there."""
    url = f"sqlite:///{tmp_path}/l.db"
    told: list[str] = []
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_UNTIL_KILLED, url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(40):
            told.append(process.stdout.readline().strip())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().splitlines()
        told += [line for line in rest if len(line) == len(told[0])]
        process.wait()
        process.stdout.close()
    database = await open_database(url)
    await database.migrate()
    assert len(told) >= 200
    assert await all_there(database, told)
    await database.close()


FULL = """
import asyncio, resource, sys
sys.path.insert(0, ".")
from adapters.database import open_database
from routing.ports import DatabaseUnavailable
from tests.support.builders import look, package

async def main():
    database = await open_database(sys.argv[1])
    await database.migrate()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    kept, refused = [], 0

    async def keep(new):
        async def write(tx):
            await tx.insert_package(new)
        await database.write(write)
        kept.append(new.id)

    for _ in range(60):
        try:
            await keep(package(summary={"subject": "x" * 20_000}))
        except DatabaseUnavailable:
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = package()
    await keep(after)
    found = await look(database, lambda tx: tx.get_packages(kept))
    print(len(kept) > 5, refused > 5, len(found) == len(kept), after.id in found)
    await database.close()

asyncio.run(main())
"""


async def test_sqlite_on_a_full_disk(tmp_path: Path) -> None:
    """No room: unavailable, nothing half; room again: work goes on in the same process."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FULL, f"sqlite:///{tmp_path}/l.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["True"] * 4, done.stderr


async def test_sqlite_locked_by_another_program(tmp_path: Path) -> None:
    """Another process holds the write lock: callers wait or hear unavailable, then go on."""
    import sqlite3

    database = await open_database(f"sqlite:///{tmp_path}/l.db")
    await database.migrate()
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    database.answer_within = 0.5
    new = package()
    with pytest.raises(DatabaseUnavailable):
        await keep(database, new)
    other.execute("COMMIT")
    other.close()
    database.answer_within = 30.0
    await keep(database, new)
    assert await all_there(database, [new.id])
    await database.close()
