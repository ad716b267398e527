"""Polling an axis: its two lists in turn, with a growing pause while it does not answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from adapters.pause import pause
from adapters.vault import VaultProblem
from gateway import clock
from gateway.axis.events import append
from gateway.axis.items import EDOC, STATUS
from gateway.axis.options import NoSecret, axis_client, axis_options
from gateway.axis.synchronise import keep_directory
from gateway.axis.taking import AxisAway, Taker
from routing.ports import Unavailable
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger(__name__)

#: The wait after a first failure, seconds; it doubles up to the longest.
FIRST_WAIT = 1.0
LONGEST_WAIT = 300.0


class AxisIntake:
    """The intake of one connection; see `gateway.kinds.base.Intake`."""

    def __init__(self, services: Services, connection: Connection) -> None:
        self._services = services
        self._connection = connection
        self._options = axis_options(connection)
        # Documents before the reports about them.
        self._takers = {kind: Taker(services, connection, self._options) for kind in (EDOC, STATUS)}
        self._failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll, and keep the directory in step, until `stopping`."""
        directory = asyncio.ensure_future(
            keep_directory(self._services, self._connection, stopping)
        )
        try:
            while not stopping.is_set():
                await pause(stopping, await self._round(stopping))
        finally:
            directory.cancel()
            await asyncio.gather(directory, return_exceptions=True)

    async def _round(self, stopping: asyncio.Event) -> float:
        """One look at the lists; seconds until the next."""
        done = 0
        try:
            async with await axis_client(self._services.secrets, self._connection) as client:
                for kind, taker in self._takers.items():
                    answer = await client.received(kind)
                    if not answer.ok:
                        return await self._away(str(answer))
                    done += await taker.take(client, answer, stopping)
        except (AxisAway, Unavailable, NoSecret, VaultProblem) as error:
            return await self._away(str(error) or type(error).__name__)
        await self._back()
        return 0.0 if done else self._options.poll_seconds

    async def _away(self, why: str) -> float:
        """The axis or our own database is away; seconds until the next look."""
        self._failures += 1
        wait = min(FIRST_WAIT * 2.0 ** min(self._failures - 1, 20), LONGEST_WAIT)
        log.warning(
            "axis.not-polled", connection=self._connection.name, why=why, again_in=round(wait, 1)
        )
        if self._failures == self._options.breaker_failures:
            data = {"why": why, "failures": self._failures}
            await append(self._services, self._connection, "axis.not-polled", data)
        return wait * (1 + 0.25 * clock.spread())

    async def _back(self) -> None:
        told = self._failures >= self._options.breaker_failures
        self._failures = 0
        metrics, name = self._services.metrics, self._connection.name
        metrics.axis_polled.labels(name).set(time.time())
        metrics.axis_stuck.labels(name).set(sum(one.stuck for one in self._takers.values()))
        if told:
            await append(self._services, self._connection, "axis.polled-again", {})
