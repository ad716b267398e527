"""What the fault tests share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.faults.checker import Report
from tests.faults.workload import AGENCIES
from tests.support.reports import REPORT
from tests.support.service import MODES, Site, open_site, show_logs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the gateways wrote."""
    report = yield
    show_logs(report)
    return report


@pytest.fixture(params=MODES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site of each mode."""
    with open_site(request.param, tmp_path_factory.mktemp("fault"), request) as opened:
        opened.connect(**AGENCIES)
        yield opened


@pytest.fixture
def production(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site on PostgreSQL and RabbitMQ."""
    with open_site("production", tmp_path_factory.mktemp("fault"), request) as opened:
        opened.connect(**AGENCIES)
        yield opened


@pytest.fixture
def seed() -> int:
    """The seed of a run; FAULT_SEED repeats one."""
    return int(os.environ.get("FAULT_SEED", "") or random.SystemRandom().randrange(2**31))


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[Report], None]:
    """Show a report at the end of the run, where everybody sees it, passed or not."""

    def keep(report: Report) -> None:
        record_property(REPORT, str(report))

    return keep
