"""Axes in tests: connections of kind `vxp-axis`, and what stands on the other side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Self

from gateway.cli.registration import NewConnection
from gateway.settings import Settings
from gateway.simulate.axis import AxisSimulator
from gateway.simulate.script import AxisScript
from gateway.simulate.store import Call, Held
from tests.support.registration import registrar
from tests.support.servers import wait_until
from tests.support.service import Site

SECRET = "bi-mat-cua-truc"
LOOPBACK = "127.0.0.0/8"


def settings_of(site: Site) -> Settings:
    """The settings that commands on this site would have."""
    return Settings.model_construct(data_dir=site.data, database_url=site.database_url)


async def add(
    site: Site,
    name: str,
    kind: str,
    codes: Sequence[str],
    options: dict[str, str],
    secret: str = "",
) -> NewConnection:
    """Add a connection as `lienthong connections add` does."""
    async with registrar(site.database_url, site.data) as to:
        answer = await to.add(name, codes, kind, options, secret)
    site.note(name, answer)
    return answer


def add_axis(
    site: Site,
    name: str,
    address: str,
    codes: Sequence[str] = (),
    *,
    secret: str = SECRET,
    **options: object,
) -> NewConnection:
    """A connection to the axis at `address`, polled often."""
    given = {
        "url": address,
        "system_id": "CLIENT",
        "dial_networks": LOOPBACK,
        "poll_seconds": "0.1",
        "directory_seconds": "0",
        **{key: str(value) for key, value in options.items()},
    }
    if not codes:
        given["default_route"] = "true"
    return asyncio.run(add(site, name, "vxp-axis", codes, given, secret))


class SimulatedAxis:
    """A simulated axis in a thread of this process; a context manager."""

    def __init__(self, **script: object) -> None:
        given = {"system_id": "CLIENT", "secret": SECRET, **script}
        self.simulator = AxisSimulator(AxisScript.model_validate(given))
        self.store = self.simulator.store
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            async with self.simulator.running() as url:
                self.url = url
                self._up.set()
                await self._stop.wait()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10), "the simulated axis did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def calls(self, operation: str) -> list[Call]:
        """What was heard of one operation, in order."""
        return [call for call in list(self.store.calls) if call.operation == operation]

    def heard(self, operation: str, count: int = 1, deadline: float = 20.0) -> list[Call]:
        """Wait until an operation was asked for so often."""
        what = f"{count} calls of {operation}"
        wait_until(lambda: len(self.calls(operation)) >= count, deadline, what)
        return self.calls(operation)

    def sent(self, kind: str, count: int, deadline: float = 20.0) -> list[Held]:
        """Wait until so many packages of a kind were handed over."""
        what = f"{count} packages of type {kind}"
        wait_until(lambda: len(self.store.sent(kind)) >= count, deadline, what)
        return self.store.sent(kind)

    def done(self, *doc_ids: str, deadline: float = 20.0) -> None:
        """Wait until these items are confirmed."""
        wait_until(
            lambda: all(self.store.held[one].status == "DONE" for one in doc_ids),
            deadline,
            f"done of {', '.join(doc_ids)}",
        )
