"""What the acceptance tests share: a gateway per module and mode, with its agencies connected."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.acceptance.ministry import AGENCIES, Ministry
from tests.support.service import MODES, open_site, show_logs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the gateways wrote."""
    report = yield
    show_logs(report)
    return report


@pytest.fixture(scope="module", params=MODES)
def ministry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministry]:
    """A running gateway of each mode with the agencies of `AGENCIES`; shared by a module."""
    mode = request.param
    with open_site(mode, tmp_path_factory.mktemp(mode), request) as site:
        site.connect(**AGENCIES)
        yield Ministry(site, site.gateway(relay_claim_seconds=2).start())
