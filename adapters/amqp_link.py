"""One AMQP connection that comes back by itself, and calls that cannot hang.

aio-pika's plain connection is used, not its robust one: what has to be restored after a loss is
decided in one visible place each (link, publisher, consumer), and a consumer is rebuilt in the same
way whatever ended it.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.common import FieldTable
from yarl import URL

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: What a broker, the network or a message that cannot be encoded makes a call raise (time-outs are
#: OSErrors). ValueError: confirms not supported, too many channels, a routing key too long;
#: TypeError: headers that AMQP does not know; struct.error: a garbled frame.
BROKER_FAULTS = (*CONNECTION_EXCEPTIONS, ValueError, TypeError, struct.error)

HEARTBEAT = 10  # seconds; a silent peer is given up after (10 + 1) * 3 s
CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 5.0
#: A connection that lived this long (seconds) counts as a success for the back-off.
_STABLE = 5.0

_jitter = random.Random()  # noqa: S311 - spreads reconnects, no secret


async def bounded(work: Coroutine[Any, Any, T], timeout: float) -> T:
    """Result of ``work``; raises ``TimeoutError`` after ``timeout`` seconds at the latest.

    Whatever else it raises, for a lost connection it is one of `BROKER_FAULTS`.

    ``asyncio.timeout`` waits until the cancelled call has ended, and a cancelled AMQP call first
    writes to the connection that may be what hangs. So the call is cancelled and left alone.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(swallow)
    if not done:
        raise TimeoutError(f"no answer from the broker within {timeout:g} s")
    if task.cancelled():
        # Closing a channel cancels its calls; nobody asked us to stop.
        raise ConnectionResetError("the call was cancelled by the closing channel")
    error = task.exception()
    if type(error) is Exception:
        # How aiormq ends what waits when a connection closes without a reason.
        raise ConnectionResetError("the connection was closed") from error
    return task.result()


async def persistently(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work`, which takes care of the broker's faults itself, until it returns.

    A fault of the program ends one run of it, is told, and the next run begins: nobody else would
    start again what has to go on as long as the process.
    """
    while True:
        try:
            return await work()
        except Exception:  # whatever it is: nobody else would begin again
            task = asyncio.current_task()
            log.exception("amqp.bug", task=task.get_name() if task else "")
            await asyncio.sleep(LONGEST_BACKOFF)


def swallow(task: asyncio.Future[Any]) -> None:
    """Retrieve the outcome of a call that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def backoff(failures: int) -> float:
    """Seconds to wait after ``failures`` (1, 2, …) failures: doubling, bounded, with jitter."""
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * float(2 ** min(failures - 1, 16)))
    return _jitter.uniform(longest / 2, longest)


class _Tap(TransportFactory):
    """Opens the transport as aiormq would, and keeps it, to be able to cut it off.

    aiormq's orderly close waits for a peer that may not answer; tasks that wait so would also keep
    the event loop from ending.
    """

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **kwargs)
        return reader, self._writer

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class Link:
    """A connection to RabbitMQ that is opened again whenever it is lost."""

    def __init__(self, url: str, name: str) -> None:
        """``name`` is shown by the broker's management tools. Nothing happens before start."""
        address = URL(url)
        if "heartbeat" not in address.query:
            address = address.update_query(heartbeat=str(HEARTBEAT))
        self._url = address
        self._name = name
        self._connection: AbstractConnection | None = None
        self._tap = _Tap()
        self._leaving: set[asyncio.Future[None]] = set()
        self._up = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self.trouble = "not started"
        self._log = log.bind(link=name)

    @property
    def up(self) -> bool:
        """Whether there is an open connection, as far as we have noticed."""
        return self._up.is_set()

    def start(self) -> None:
        """Connect in the background and stay connected."""
        if self._supervisor is None:
            self.trouble = "connecting"
            self._supervisor = asyncio.create_task(
                persistently(self._supervise), name=f"amqp {self._name}"
            )

    async def close(self) -> None:
        """Disconnect and stay so."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait({supervisor})
        self._up.clear()
        self.trouble = "closed"
        await self._drop()

    async def wait_up(self, timeout: float | None = None) -> None:
        """Return when connected; raises ``TimeoutError`` after ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            await self._up.wait()

    async def channel(self, timeout: float = CALL_TIMEOUT) -> AbstractChannel:
        """A new channel with confirms, on which returned messages raise.

        Raises ``TimeoutError`` or an AMQP error; never waits longer than ``timeout``.
        """
        connection = self._connection
        if connection is None or not self.up:
            raise ConnectionResetError(f"not connected: {self.trouble}")
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await bounded(channel.initialize(), timeout)
        return channel

    async def _supervise(self) -> None:
        # What a run before this one left, if a fault ended it.
        self._up.clear()
        await self._drop()
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                lost = await self._open()
            except (*BROKER_FAULTS, EOFError) as error:
                # All the same to us, and none is final.
                self.trouble = f"{type(error).__name__}: {error}" if str(error) else repr(error)
                self._log.warning("cannot connect to broker", reason=self.trouble)
            else:
                self._log.info("connected to broker")
                self._up.set()
                reason = await lost
                self._up.clear()
                self.trouble = f"connection lost: {reason!r}"
                self._log.warning("connection to broker lost", reason=repr(reason))
                await self._drop()
                if clock() - began >= _STABLE:
                    failures = 0
            failures += 1
            await asyncio.sleep(backoff(failures))

    async def _open(self) -> asyncio.Future[BaseException | None]:
        """Connect; the future that is returned ends when the connection is lost."""
        lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def on_close(_: AbstractConnection | None, reason: BaseException | None) -> None:
            if not lost.done():
                lost.set_result(reason)

        properties: FieldTable = {"connection_name": self._name}
        connection = aio_pika.Connection(self._url, client_properties=properties)
        self._tap = _Tap()
        connection.kwargs["transport_factory"] = self._tap
        # Before connecting, so that no loss goes unnoticed.
        connection.close_callbacks.add(on_close)
        async with AsyncExitStack() as undo:
            # Else the library begins a close of its own when it forgets the object.
            undo.push_async_callback(self.release, connection)
            undo.callback(self._tap.abort)
            await bounded(connection.connect(timeout=CONNECT_TIMEOUT), CONNECT_TIMEOUT + 1.0)
            undo.pop_all()
        self._connection = connection
        return lost

    async def release(self, resource: AbstractConnection | AbstractChannel) -> None:
        """Close a channel (or the connection); returns within ``CLOSE_TIMEOUT`` seconds.

        A close that takes longer is not cancelled (aiormq would wait on, deaf to a second cancel)
        but ends by itself when the transport is aborted.
        """
        leaving = asyncio.ensure_future(_close(resource))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        leaving.add_done_callback(swallow)
        await asyncio.wait({leaving}, timeout=CLOSE_TIMEOUT)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self.release(connection)
        self._tap.abort()
        if self._leaving:
            await asyncio.wait(set(self._leaving), timeout=CLOSE_TIMEOUT)


async def _close(resource: AbstractConnection | AbstractChannel) -> None:
    await resource.close()


def end_of(channel: AbstractChannel) -> asyncio.Future[str]:
    """A future that says why, once this new channel is closed."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    channel.close_callbacks.add(lambda _, why: _end(ended, f"channel closed: {why!r}"))
    return ended


async def tell_cancel(channel: AbstractChannel, ended: asyncio.Future[str]) -> None:
    """Let the future end as well when the broker cancels the channel's consumer."""
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: _end(ended, "cancelled by the broker"))


def _end(future: asyncio.Future[str], reason: str) -> None:
    if not future.done():
        future.set_result(reason)
