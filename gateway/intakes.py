"""Running the intakes of connections that packages are taken in from (`Kind.intake`).

One task per connection in the worker role. Where only one process may do it, a lease in the
database says which; a process that dies is followed by another when its lease has run out.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from adapters.database import LeaseStore
from adapters.pause import pause
from gateway import clock
from gateway.kinds import KINDS
from gateway.kinds.base import Intake
from gateway.services import Services
from routing.ports import Unavailable
from routing.route_table import Connection

log = structlog.get_logger(__name__)

#: How long a lease lasts, and how often it is renewed.
LEASE = timedelta(seconds=30)
RENEW = 8.0
#: Seconds before a process that does not hold the lease asks again.
ASK_AGAIN = 3.0
#: Seconds that an intake has to end after it was told to.
GRACE = 15.0
#: Seconds that a cancelled one has to end.
CANCELLED = 5.0


class Intakes:
    """The intakes of this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._leases = LeaseStore(services.database)
        self._tasks: dict[str, tuple[Any, asyncio.Event, asyncio.Task[None]]] = {}

    async def watch(self, connections: dict[str, Connection]) -> None:
        """Start what is missing, tell what is not wanted or has changed to end.

        Waits for none of them: an intake that is slow to end keeps its own successor waiting only.
        """
        wanted = {
            key: connection
            for key, connection in connections.items()
            if connection.may_enter and KINDS[connection.kind].intake is not None
        }
        for key, (as_started, stop, task) in list(self._tasks.items()):
            if task.done():
                del self._tasks[key]
            elif key not in wanted or _shape(wanted[key]) != as_started:
                stop.set()
        for key, connection in wanted.items():
            if key not in self._tasks and not self._services.stopping.is_set():
                stop = asyncio.Event()
                task = asyncio.ensure_future(self._keep(connection, stop))
                self._tasks[key] = (_shape(connection), stop, task)

    async def stop(self) -> None:
        """End all of them. `Services.stopping` is set before: none is started any more."""
        tasks = list(self._tasks.values())
        for _, stop, _ in tasks:
            stop.set()
        await asyncio.gather(*(_ended(task, 2 * GRACE) for _, _, task in tasks))
        self._tasks.clear()

    async def _keep(self, connection: Connection, stop: asyncio.Event) -> None:
        """Run the intake whenever it is this process's turn, until `stop`."""
        kind = KINDS[connection.kind]
        if kind.intake is None:
            return
        lease = f"intake:{connection.id}"
        while not stop.is_set():
            try:
                if kind.intake_alone and not await self._hold(lease):
                    await pause(stop, ASK_AGAIN)
                    continue
                intake = kind.intake(self._services, connection)
                log.info("intake.started", connection=connection.name, kind=connection.kind)
                await self._run(intake, lease if kind.intake_alone else None, stop)
                log.info("intake.stopped", connection=connection.name)
            except Unavailable as error:
                log.warning("intake.store-unavailable", error=str(error))
            except Exception:  # a bug in one partner's intake must not end the others'
                log.exception("intake.bug", connection=connection.name)
            await pause(stop, 1.0)

    async def _run(self, intake: Intake, lease: str | None, stop: asyncio.Event) -> None:
        """Run while the lease can be renewed."""
        mine = asyncio.Event()
        task = asyncio.ensure_future(intake.run(mine))
        stopped = asyncio.ensure_future(stop.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            while not task.done() and not stop.is_set():
                await asyncio.wait({task, stopped}, timeout=RENEW, return_when=first)
                if lease and not task.done() and not stop.is_set() and not await self._hold(lease):
                    log.warning("intake.lease-lost", lease=lease)
                    break
        finally:
            stopped.cancel()
            mine.set()
            try:
                await _ended(task, GRACE)
            finally:
                if lease and task.done():
                    await self._leases.release(lease, self._services.owner, clock.now())

    async def _hold(self, lease: str) -> bool:
        now = clock.now()
        return await self._leases.hold(lease, self._services.owner, now, now + LEASE)


def _shape(connection: Connection) -> Any:
    """What an intake depends on; when it changes, the intake starts anew."""
    return (connection.kind, connection.name, connection.agencies, connection.settings)


async def _ended(task: asyncio.Task[None], grace: float) -> None:
    """Wait for a task that was told to end; one that does not in time is cancelled.

    So it is when this wait itself is cancelled: nobody else knows of the task.
    """
    try:
        _, late = await asyncio.wait({task}, timeout=grace)
        if late:
            log.warning("intake.slow-to-end", seconds=grace)
            task.cancel()
            await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=CANCELLED)
        raise
    finally:
        if task.done() and not task.cancelled() and task.exception() is not None:
            log.error("intake.ended-with-fault", exc_info=task.exception())
