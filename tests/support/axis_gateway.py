"""The service as an axis' client with compressed time, and with crash points on that road.

``python -m tests.support.axis_gateway --crash-at axis-sent`` starts the service like
``lienthong serve``, changed in this process alone: what waits for minutes waits for a moment, and
the process is gone right after the first step called so.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from typing import Any

from adapters.vxp_client import AxisAnswer, VxpClient
from gateway import hand_over, intakes
from gateway.app import run_service
from gateway.axis import poller, taking
from gateway.settings import ROLES
from gateway.settings_loading import load_settings
from tests.support.mutants import crash, crash_after_commit

#: Settings that do the same.
QUICK = {
    "relay_claim_seconds": 1,
    "relay_poll_seconds": 0.1,
    "timer_seconds": 0.2,
    "attempt_waits": " ".join(["0.5s"] * 40),
}
#: Every crash point, in the order of an exchange: a package in, a package out.
CRASH_POINTS = (
    "axis-listed",
    "axis-fetched",
    "axis-committed",
    "axis-done",
    "axis-begun",
    "axis-sent",
    "axis-settled",
)


def compress_time() -> None:
    """Leases of the dead, waits of the living: short."""
    intakes.LEASE = timedelta(seconds=2)
    intakes.RENEW = 0.5
    intakes.ASK_AGAIN = 0.2
    hand_over.LEASE_MARGIN = timedelta(seconds=1)
    poller.FIRST_WAIT, poller.LONGEST_WAIT = 0.1, 0.5
    taking.FIRST_WAIT, taking.LONGEST_WAIT = 0.1, 0.5


def plant_crash(point: str) -> None:
    """Crash right after the first step called `point`."""
    match point:
        case "axis-listed":
            _after(VxpClient, "received", point)
        case "axis-done":
            _after(VxpClient, "update_status", point)
        case "axis-sent":
            _after(VxpClient, "send_edoc", point)
        case "axis-fetched":
            _around_record(before=point)
        case "axis-committed":
            _around_record(after=point)
        case "axis-begun":
            crash_after_commit("Deliver._begin.<locals>.write", point)
        case "axis-settled":
            crash_after_commit("Deliver._end.<locals>.write", point)


def _after(owner: type, name: str, point: str) -> None:
    """An operation that the axis did; an empty list is no step."""
    real = getattr(owner, name)

    async def changed(*args: Any, **kwargs: Any) -> AxisAnswer:
        answer: AxisAnswer = await real(*args, **kwargs)
        if answer.ok and (answer.rows or name != "received"):
            crash(point)
        return answer

    setattr(owner, name, changed)


def _around_record(before: str = "", after: str = "") -> None:
    real = taking.record

    async def changed(*args: Any) -> Any:
        if before:
            crash(before)
        result = await real(*args)
        if after:
            crash(after)
        return result

    taking.record = changed


def plant_done_first() -> None:
    """A mutant: `done` is said before the package is durable."""
    real = taking.Taker._fetch

    async def changed(self: Any, client: VxpClient, item: Any, *args: Any) -> Any:
        await client.update_status(item.doc_id, "done")
        return await real(self, client, item, *args)

    taking.Taker._fetch = changed  # type: ignore[method-assign]


def main() -> None:
    """Compress time, plant what was asked for, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--crash-at", choices=CRASH_POINTS)
    parser.add_argument("--done-first", action="store_true")
    parser.add_argument("--role", default=",".join(ROLES))
    options = parser.parse_args()
    compress_time()
    if options.crash_at:
        plant_crash(options.crash_at)
    if options.done_first:
        plant_done_first()
    roles = tuple(role for role in ROLES if role in options.role.split(","))
    sys.exit(run_service(load_settings(), roles))


if __name__ == "__main__":
    main()
