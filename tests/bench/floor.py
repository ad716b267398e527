"""The floor: what the same bytes cost with the same libraries and nothing else.

Per document: parse, digest, one commit, one confirmed publish, one consume, one commit. No HTTP, no
checks, no states, no second recipient, and the payload is not kept (a gateway syncs it and its
folder before it answers): whatever a gateway does comes on top of this.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aio_pika
from lxml import etree
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.database.engine import parse_url, postgresql_engine, sqlite_engine
from tests.bench.packages import Packages

CONCURRENCY = 8

_metadata = MetaData()
_table = Table(
    "floor",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64)),
    Column("state", String(10)),
)

Commit = Callable[[int, str], Awaitable[None]]


async def embedded(count: int, folder: Path) -> float:
    """Documents per second with SQLite and a queue in memory."""
    engine: Engine = sqlite_engine(parse_url(f"sqlite:///{folder / 'floor.db'}"))
    _metadata.create_all(engine)
    thread = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()

    def write(number: int, digest: str) -> None:
        with engine.begin() as connection:
            if digest:
                connection.execute(insert(_table).values(id=number, digest=digest, state="new"))
            else:
                connection.execute(update(_table).where(_table.c.id == number).values(state="done"))

    async def commit(number: int, digest: str) -> None:
        await loop.run_in_executor(thread, write, number, digest)

    queue: asyncio.Queue[int] = asyncio.Queue()

    async def publish(number: int) -> None:
        await queue.put(number)

    async def consume(done: Callable[[int], Awaitable[None]]) -> None:
        for _ in range(count):
            await done(await queue.get())

    try:
        return await _run(count, commit, publish, consume)
    finally:
        engine.dispose()
        thread.shutdown()


async def production(count: int, database_url: str, amqp_url: str) -> float:
    """Documents per second with PostgreSQL and RabbitMQ."""
    engine: AsyncEngine = postgresql_engine(parse_url(database_url))
    async with engine.begin() as prepared:
        await prepared.run_sync(_metadata.create_all)

    async def commit(number: int, digest: str) -> None:
        async with engine.begin() as transaction:
            if digest:
                await transaction.execute(
                    insert(_table).values(id=number, digest=digest, state="new")
                )
            else:
                await transaction.execute(
                    update(_table).where(_table.c.id == number).values(state="done")
                )

    connection = await aio_pika.connect_robust(amqp_url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.set_qos(50)
    queue = await channel.declare_queue("floor", durable=True, arguments={"x-queue-type": "quorum"})

    async def publish(number: int) -> None:
        message = aio_pika.Message(
            str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await channel.default_exchange.publish(message, "floor", mandatory=True, timeout=10)

    async def consume(done: Callable[[int], Awaitable[None]]) -> None:
        seen = 0
        async with queue.iterator() as messages:
            async for message in messages:
                await done(int(message.body))
                await message.ack()
                seen += 1
                if seen == count:
                    return

    try:
        return await _run(count, commit, publish, consume)
    finally:
        await connection.close()
        await engine.dispose()


async def _run(
    count: int,
    commit: Commit,
    publish: Callable[[int], Awaitable[None]],
    consume: Callable[[Callable[[int], Awaitable[None]]], Coroutine[Any, Any, None]],
) -> float:
    packages = Packages("floor")
    numbers = iter(range(count))

    async def sender() -> None:
        for number in numbers:
            content = packages.make(number)
            etree.fromstring(content)
            await commit(number, hashlib.sha256(content).hexdigest())
            await publish(number)

    async def done(number: int) -> None:
        await commit(number, "")

    start = time.perf_counter()
    consumer = asyncio.create_task(consume(done))
    await asyncio.gather(*(sender() for _ in range(CONCURRENCY)))
    await consumer
    return count / (time.perf_counter() - start)
