"""Checks that profiles ask for and settings leave out are said, not passed over in silence."""

from __future__ import annotations

from gateway.observability import Metrics
from gateway.settings import Settings
from gateway.skipped_checks import skipped_checks, tell_skipped
from tests.unit.gateway.cli_runner import Lienthong


def _settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]


def test_the_default_settings_leave_both_out() -> None:
    """No signature is verified, no file scanned: both are named with who asks for them."""
    told = skipped_checks(_settings(agency_profiles="H52=son-la"), ["kon-tum", "no-such"])
    assert [(one.check, one.profiles) for one in told] == [
        ("signatures", ("kon-tum", "national", "son-la")),
        ("malware", ("kon-tum", "national", "son-la")),
    ]
    assert "signature_checks is off" in str(told[0])


def test_with_both_on_nothing_is_said_and_the_metric_is_zero() -> None:
    """The gauge counts the profiles that ask in vain."""
    metrics = Metrics()
    on = _settings(signature_checks=True, malware_scanner="tcp://127.0.0.1:3310")
    assert skipped_checks(on) == ()
    tell_skipped(_settings(), [], metrics)
    assert metrics.registry.get_sample_value("lienthong_checks_skipped", {"check": "malware"}) == 1
    tell_skipped(on, [], metrics)
    for check in ("signatures", "malware"):
        value = metrics.registry.get_sample_value("lienthong_checks_skipped", {"check": check})
        assert value == 0


def test_config_check_warns(lienthong: Lienthong) -> None:
    """One line with a WARNING; the exit code stays 0."""
    items = lienthong.json("config", "check", LIENTHONG_MIN_FREE_MIB="0")["items"]
    (checks,) = [item for item in items if item["part"] == "checks"]
    assert checks["ok"] and checks["detail"].count("WARNING: ") == 2
