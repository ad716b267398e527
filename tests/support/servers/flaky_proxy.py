"""A TCP proxy that cuts, stalls and slows connections when a test says so.

The few toxics of Toxiproxy that matter here, on asyncio. Run it in the event loop of the test::

    async with FlakyProxy(target_port=server.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

Direction = Literal["up", "down"]  # up: client to server; down: server to client


class FlakyProxy:
    """Forwards loopback connections to ``target_port`` until told to misbehave."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        """``port`` 0 lets the kernel choose; read :attr:`port` after :meth:`start`."""
        self.port = port
        self.accepted = 0
        self.forwarded: dict[Direction, int] = {"up": 0, "down": 0}
        self._target = target_port
        self._refuse = False
        self._latency = 0.0
        self._budget: dict[Direction, int | None] = {"up": None, "down": None}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FlakyProxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection now and refuse new ones until :meth:`heal`."""
        self._refuse = True
        for link in self._links:
            link.cancel()

    def stall(self) -> None:
        """Black hole: connections stay open and accepted, no byte passes until :meth:`heal`."""
        self._flowing.clear()

    def slow(self, latency: float) -> None:
        """Delay every piece of data by ``latency`` seconds."""
        self._latency = latency

    def cut_after(self, count: int, direction: Direction = "down") -> None:
        """Reset all connections once ``count`` more bytes have passed in ``direction``."""
        self._budget[direction] = count

    def heal(self) -> None:
        """Accept and forward normally again."""
        self._refuse, self._latency = False, 0.0
        self._budget = {"up": None, "down": None}
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        self.accepted += 1
        streams = [writer]
        try:
            if not self._refuse:
                back, forth = await asyncio.open_connection("127.0.0.1", self._target)
                streams.append(forth)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, forth, "up"))
                    group.create_task(self._pump(back, writer, "down"))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # one side is gone or we were told to cut: both sides see a reset below
        finally:
            self._links.discard(link)
            for stream in streams:
                stream.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction
    ) -> None:
        while data := await source.read(65536):
            await self._flowing.wait()
            if self._latency:
                await asyncio.sleep(self._latency)
            budget = self._budget[direction]
            if budget is not None:
                data = data[:budget]
                self._budget[direction] = budget - len(data)
            sink.write(data)
            await sink.drain()
            self.forwarded[direction] += len(data)
            if self._budget[direction] == 0:
                self.cut()
                self.heal()
        with contextlib.suppress(OSError):
            sink.write_eof()
