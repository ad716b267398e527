"""Callbacks in tests: a receiver to script, a database that tells, endpoints."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from cryptography.fernet import Fernet

from adapters.database import SqlDatabase
from adapters.database.callback_fan_out import CallbackFanOut
from adapters.database.callback_store import SqlCallbacks
from adapters.database.transaction import SqlTransaction
from adapters.vault import Vault
from routing.callbacks import Endpoint
from routing.ports import Transaction
from routing.webhook_signature import secret_of
from tests.support.builders import NOW, new_id
from tests.support.servers import wait_until_async

T = TypeVar("T")

#: What a receiver of a test does with one request: a status, or something worse.
HANG = "hang"
CUT = "cut"
Behaviour = int | str | Callable[["Received"], Awaitable[int]]

LOOPBACK = ("127.0.0.0/8",)
#: Seals the secrets of all test endpoints.
VAULT = Vault([Fernet.generate_key().decode()])


class TellingDatabase:
    """A database whose transactions make callback messages."""

    def __init__(self, database: SqlDatabase, source: str = "test") -> None:
        self.database = database
        self.fan_out = CallbackFanOut(source, fresh=0.0)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """A durable transaction."""

        async def telling(tx: Transaction) -> T:
            assert isinstance(tx, SqlTransaction)
            tx.fan_out = self.fan_out
            return await work(tx)

        return await self.database.write(telling)

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """A consistent view."""
        return await self.database.read(work)


def endpoint(connection_id: str, url: str = "https://example.vn/cb", **fields: Any) -> Endpoint:
    """An endpoint of a connection, with a secret of its own."""
    identity = new_id()
    secret = secret_of(identity[-32:].encode())
    return Endpoint(identity, connection_id, url, secret, NOW, **fields)


async def add_endpoint(
    database: SqlDatabase, connection_id: str, url: str = "https://example.vn/cb", **fields: Any
) -> Endpoint:
    """Register an endpoint."""
    made = endpoint(connection_id, url, **fields)
    await SqlCallbacks(database, VAULT).add(made, actor="operator:test", now=NOW)
    return made


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """A partner's HTTP server: answers from a script (the last answer for ever), keeps all."""

    script: list[Behaviour] = field(default_factory=lambda: [200])
    received: list[Received] = field(default_factory=list)
    url: str = ""
    #: Set at the end of the test: whoever hangs may go.
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        arrived = Received(headers, await request.read())
        self.received.append(arrived)
        behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if behaviour == HANG:
            await self.over.wait()
            return web.Response(status=500)
        if behaviour == CUT:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        status = behaviour if isinstance(behaviour, int) else None
        if status is None:
            assert callable(behaviour)
            status = await behaviour(arrived)
        return web.Response(status=status, headers={"Location": "/elsewhere"}, text="x" * 100)

    @property
    def ids(self) -> list[str]:
        """Ids in the order of arrival, each the first time only."""
        return list(dict.fromkeys(one.id for one in self.received))

    async def until(self, count: int, seconds: float = 20.0) -> None:
        """Wait until `count` different ids have arrived."""
        await wait_until_async(lambda: len(self.ids) >= count, seconds)


@asynccontextmanager
async def receiver(
    *script: Behaviour, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver on a free port of loopback."""
    made = Receiver(list(script) or [200])
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/cb"
    try:
        yield made
    finally:
        made.over.set()
        await runner.cleanup()
