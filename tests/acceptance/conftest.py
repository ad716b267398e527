"""What the acceptance tests share: a gateway per module and mode, with its agencies connected."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.acceptance.ministry import AGENCIES, Ministry
from tests.acceptance.strictness import BUGS, CANARY, GRACE
from tests.support.service import MODES, open_site, show_logs
from tests.support.vxp_town import Town, open_town


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


@pytest.fixture(scope="session", params=MODES)
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """A gateway of each mode with systems of the national axis protocol; shared by the run."""
    with open_town(request.param, tmp_path_factory.mktemp(request.param), request) as opened:
        yield opened


@pytest.fixture(scope="module", params=MODES)
def strict(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministry]:
    """A gateway with little patience; at its end its log holds no secrets."""
    with open_site(request.param, tmp_path_factory.mktemp("refusals"), request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway(
            intake_grace_seconds=GRACE, intake_min_rate_kib=64, log_level="debug"
        ).start()
        yield Ministry(site, gateway)
        assert gateway.stop() == 0
        log = gateway.log.read_text(errors="replace")
        for secret in (*site.tokens.values(), CANARY, "lt_khong-phai-ma"):
            assert secret not in log


@pytest.fixture
def still_healthy(strict: Ministry) -> Iterator[None]:
    """After each refusal: ready, no fault of ours in the log, no leftovers among the payloads."""
    before = len(strict.gateway.log.read_text(errors="replace"))
    yield
    assert strict.gateway.ready()
    log = strict.gateway.log.read_text(errors="replace")[before:]
    bugs = [line[:3000] for line in log.splitlines() if any(mark in line for mark in BUGS)]
    assert bugs == []
    assert list(strict.site.incoming.iterdir()) == []
