"""A crash right after every step of a package's life: each time exactly one copy arrives."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.faults.checker import History, Report, check, contradictions
from tests.faults.workload import Workload
from tests.support.mutants import CRASH_POINTS, CRASHED
from tests.support.servers import Postgres
from tests.support.service import SERVE, Site

pytestmark = pytest.mark.fault

MUTANT = (sys.executable, "-m", "tests.support.mutants")


def test_every_crash_point_converges(
    site: Site, seed: int, show: Callable[[Report], None], request: pytest.FixtureRequest
) -> None:
    """Process after process dies at the next point, each recovering what the last one left."""
    history = History()
    gateway = site.gateway(relay_claim_seconds=1, relay_poll_seconds=0.2, timer_seconds=0.5)
    work = Workload(site, gateway, history)
    with work.running():
        for number, point in enumerate(CRASH_POINTS):
            gateway.command = (*MUTANT, "--crash-at", point)
            gateway.launch()
            work.hand_in(number)
            assert gateway.ended(40) == CRASHED, gateway.tail()
            history.struck(point)
        gateway.command = SERVE
        gateway.start()
        work.drain(60)
    postgres: Postgres | None = None
    if site.mode == "production":
        postgres = request.getfixturevalue("postgres_server")
    title = f"a crash at each of {len(CRASH_POINTS)} points, {site.mode}"
    planned = dict.fromkeys(CRASH_POINTS, 1)
    report = check(history, title, seed, planned, contradictions(site, postgres))
    show(report)
    assert report.valid, report
    assert report.acknowledged == len(CRASH_POINTS)
    gateway.stop()
