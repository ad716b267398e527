"""Settings of the payload store: what is wrong is said by name, and secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.payload_stores import s3_options
from gateway.settings import ROLES, Settings
from gateway.settings_loading import SettingsProblem, load_settings, problems_between
from tests.support.s3_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.servers import free_port
from tests.unit.gateway.cli_runner import Lienthong, lienthong

__all__ = ["lienthong"]

SECRET = "wJalrXUtnFEMI-khong-duoc-lo"


def bucket(endpoint: str, name: str, **more: str) -> dict[str, str]:
    """Environment of a gateway with a bucket."""
    return {
        "LIENTHONG_MIN_FREE_MIB": "0",
        "LIENTHONG_PAYLOAD_URL": f"s3://{name}/lienthong",
        "LIENTHONG_PAYLOAD_S3_ENDPOINT": endpoint,
        "LIENTHONG_PAYLOAD_S3_REGION": REGION,
        "LIENTHONG_PAYLOAD_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "LIENTHONG_PAYLOAD_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        **more,
    }


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a process with this environment has."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PAYLOAD_URL", "s3:bucket", "s3://BUCKET/PREFIX"),
        ("PAYLOAD_URL", "s3://", "s3://BUCKET/PREFIX"),
        ("PAYLOAD_URL", "s3://Not_A_Bucket/x", "small letters"),
        ("PAYLOAD_URL", "/var/lib/payloads", "write disk"),
        ("PAYLOAD_S3_ENDPOINT", "s3.example:9000", "https://HOST"),
        ("PAYLOAD_ORPHAN_HOURS", "12", "at least 24, or 0"),
        ("PAYLOAD_ORPHAN_HOURS", "-1", "greater than or equal to 0"),
        ("PAYLOAD_CHECK_MIB_PER_SECOND", "-1", "greater than or equal to 0"),
    ],
)
def test_wrong_values_are_explained(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting by name, and what may be written there."""
    with pytest.raises(SettingsProblem, match=f"LIENTHONG_{name}") as problem:
        settings_of({f"LIENTHONG_{name}": value}, monkeypatch)
    assert told in str(problem.value)


def test_the_bucket_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bucket, prefix and who we are there come from the settings; a slash more or less is none."""
    environment = bucket("https://s3.example:9000/", "payloads")
    environment["LIENTHONG_PAYLOAD_URL"] = "s3://payloads/a/b/"
    settings = settings_of(environment, monkeypatch)
    options = s3_options(settings)
    assert (options.bucket, options.prefix) == ("payloads", "a/b")
    assert (options.endpoint, options.region) == ("https://s3.example:9000", REGION)
    assert options.secret_access_key == SECRET_ACCESS_KEY
    assert problems_between(settings, ROLES) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"LIENTHONG_PAYLOAD_S3_ACCESS_KEY_ID": ""}, "belong together"),
        ({"LIENTHONG_PAYLOAD_S3_SECRET_ACCESS_KEY": ""}, "belong together"),
        ({"LIENTHONG_PAYLOAD_URL": "disk"}, "mean nothing"),
    ],
)
def test_settings_that_do_not_fit_together(
    changed: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a pair of credentials, and a bucket's settings without the bucket."""
    environment = {**bucket("https://s3.example", "payloads"), **changed}
    [problem] = problems_between(settings_of(environment, monkeypatch), ROLES)
    assert told in problem


def test_the_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither by printing settings or options, nor in the complaint about a malformed one."""
    settings = settings_of(
        bucket("", "payloads", LIENTHONG_PAYLOAD_S3_SECRET_ACCESS_KEY=SECRET), monkeypatch
    )
    shown = [repr(settings), str(settings), repr(s3_options(settings)), settings.model_dump_json()]
    assert not [text for text in shown if SECRET in text]
    monkeypatch.delenv("LIENTHONG_PAYLOAD_S3_SECRET_ACCESS_KEY")
    file = tmp_path / "lienthong.toml"
    file.write_text(f'payload_s3_secret_access_key = ["{SECRET}"]\n')
    with pytest.raises(SettingsProblem, match="payload_s3_secret_access_key") as problem:
        load_settings(file)
    assert SECRET not in str(problem.value)


def test_config_check_tries_the_bucket(lienthong: Lienthong, s3_server: S3Server) -> None:
    """A bucket that takes an object is well; one that is not there, or nobody, is named."""
    name = s3_server.create_bucket()
    told = lienthong.json("config", "check", **bucket(s3_server.endpoint, name))
    assert {item["part"]: item["ok"] for item in told["items"]}["payloads"] is True
    assert not lienthong.data.exists()
    nobody = f"http://127.0.0.1:{free_port()}"
    for endpoint, missing, why in (
        (s3_server.endpoint, "no-such-bucket", "NoSuchBucket"),
        (nobody, name, nobody),
    ):
        result = lienthong("config", "check", code=1, **bucket(endpoint, missing))
        [line] = [line for line in result.stdout.splitlines() if " payloads " in line]
        assert line.startswith("TROUBLE") and why in line
        assert SECRET_ACCESS_KEY not in result.stdout + result.stderr
