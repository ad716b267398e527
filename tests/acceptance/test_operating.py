"""What operators and their monitoring see while parts of the ground are missing."""

from __future__ import annotations

import json
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from routing.route_table import ConnectionStatus
from tests.acceptance.ministry import AGENCIES, NGHE_AN, QUANG_NAM, SENDER, Ministry, bearer
from tests.acceptance.raw import talk
from tests.acceptance.test_cli import PATIENCE
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import free_port, wait_until
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import run_program
from tests.support.service import MODES, GatewayProcess, Site, open_site


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site of its own on SQLite."""
    with open_site("embedded", tmp_path / "site", request) as opened:
        opened.connect(**AGENCIES)
        yield opened


def figures(gateway: GatewayProcess) -> dict[tuple[str, str], float]:
    """/metrics by name and the values of the labels."""
    with urlopen(f"{gateway.url}/metrics", timeout=8.0) as answer:
        text = answer.read().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def status(site: Site, *gateways: GatewayProcess) -> tuple[int, dict[str, Any]]:
    """`lienthong status --json` as a process: its exit code and the document."""
    urls = [word for gateway in gateways for word in ("--url", gateway.url)]
    env = clean_environment(**site.environment)
    done = run_program("status", "--json", *urls, env=env, timeout=PATIENCE)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("mode", MODES)
def test_status_with_the_service_up_and_down(
    mode: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """0 while all is well; with the process gone it says so, and still what waits for whom."""
    with open_site(mode, tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway().start()
        ministry = Ministry(site, gateway)
        _, answer = ministry.send(NGHE_AN)
        ministry.offered("nghe_an", answer.json["id"])
        wait_until(lambda: status(site, gateway)[1]["ok"], 15, "a first round of every role")
        code, told = status(site, gateway)
        assert (code, told["attention"]) == (0, [])
        (process,) = told["processes"]
        assert set(process["rounds"]) == {"relay", "worker", "timer"}
        assert set(process["well"]) == {"database", "payloads", "broker"}
        (queue,) = told["queues"]
        assert (queue["connection"], queue["lane"], queue["state"]) == (
            *("nghe_an", "ordinary", "offered"),
        )

        site.set_status("quang_nam", ConnectionStatus.SUSPENDED)
        ministry.send(QUANG_NAM)
        assert gateway.stop() == 0
        code, told = status(site, gateway)
        assert code == 1
        sentences = [one["en"] for one in told["attention"]]
        assert any("does not answer" in one for one in sentences)
        assert any("“quang_nam” is suspended, waiting: 1" in one for one in sentences)
        assert {queue["connection"] for queue in told["queues"]} == {"nghe_an", "quang_nam"}


def test_a_broker_that_was_never_there(site: Site) -> None:
    """Roles beat and are counted from the start; a document waits; the end comes promptly."""
    gateway = replace(site, broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}/").gateway()
    site.processes.append(gateway)
    gateway.start()
    beat = "lienthong_role_last_round_timestamp_seconds"
    roles = [(beat, role) for role in ("relay", "worker", "timer")]
    wait_until(lambda: all(figures(gateway).get(role, 0) > 0 for role in roles), 10, "the beats")
    shown = figures(gateway)
    assert shown["lienthong_doorbells_total", "confirmed"] == 0
    assert shown["lienthong_doorbells_total", "unconfirmed"] == 0
    Ministry(site, gateway).send(NGHE_AN)
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 6
    assert "Warning" not in gateway.log.read_text().replace("warning", "")


def test_metrics_while_the_database_is_locked(site: Site) -> None:
    """The rest is answered in time, and says that the queue figures are missing."""
    gateway = site.gateway().start()
    Ministry(site, gateway).send(NGHE_AN)
    known = ("lienthong_queue_figures_known", "")
    assert figures(gateway)[known] == 1
    locker = sqlite3.connect(site.data / "lienthong.db", isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    try:
        began = time.monotonic()
        shown = figures(gateway)
        assert time.monotonic() - began < 6
        assert shown[known] == 0
        assert shown["lienthong_payload_free_bytes", ""] > 0
        assert not [name for name, _ in shown if name == "lienthong_deliveries_open"]
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    wait_until(lambda: figures(gateway)[known] == 1, 15, "the figures")
    assert any(name == "lienthong_deliveries_open" for name, _ in figures(gateway))
    offered = [
        labels for name, labels in figures(gateway) if name.startswith("lienthong_delivery_")
    ]
    assert "nghe_an,offered,ordinary" in offered
    assert gateway.stop() == 0
    assert "never retrieved" not in gateway.log.read_text()


def test_the_page_speaks_of_the_address_it_was_read_at(site: Site) -> None:
    """/docs shows the address of its reader, or `public_url`, and nothing that is no address."""
    plain = site.gateway().start()
    assert f"GATEWAY={plain.url}" in _page(plain)
    assert "GATEWAY=http://gateway.example:81" in _page(plain, "gateway.example:81")
    assert "<script>" not in _page(plain, "x<script>")
    assert plain.stop() == 0
    behind = site.gateway(public_url="https://truc.example.vn/").start()
    assert "GATEWAY=https://truc.example.vn\n" in _page(behind)


def _page(gateway: GatewayProcess, host: str = "") -> str:
    request = Request(f"{gateway.url}/docs", headers={"Host": host} if host else {})
    with urlopen(request, timeout=8.0) as answer:
        return str(answer.read().decode())


def test_data_are_their_owners_alone(site: Site) -> None:
    """Folder 0700 and files 0600 where the gateway makes them; `config check` names others."""
    fresh = replace(site, folder=site.folder / "fresh")
    fresh.folder.mkdir()
    fresh = replace(fresh, database_url=f"sqlite:///{fresh.data / 'lienthong.db'}")
    gateway = fresh.gateway()
    site.processes.append(gateway)
    gateway.start()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in fresh.data.iterdir()}
    assert stat.S_IMODE(fresh.data.stat().st_mode) == 0o700
    assert modes["payloads"] == 0o700 and modes["lienthong.db"] == 0o600
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes
    assert "WARNING: every user" not in _checked(fresh)
    (fresh.data / "lienthong.db").chmod(0o644)
    assert "lienthong.db (0644)" in _checked(fresh)


def _checked(site: Site) -> str:
    return site.command("config", "check")


def test_a_start_that_fails_says_what_it_is_about(site: Site) -> None:
    """An address in use, a database that is away: named, exit code 3, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = site.gateway()
        gateway.port = taken.getsockname()[1]
        assert gateway.launch().ended(20) == 3
        assert f"cannot start: listen = 127.0.0.1:{gateway.port}: " in gateway.tail()
    away = replace(site, database_url=f"postgresql://a:b@127.0.0.1:{free_port()}/c")
    gateway = away.gateway()
    site.processes.append(gateway)
    assert gateway.launch().ended(30) == 3
    assert "cannot start: the database: " in gateway.tail()
    assert "Traceback" not in gateway.tail()


def test_figures_may_want_a_token(site: Site) -> None:
    """With `metrics_token` /metrics is refused to others, as a problem; the probes stay open."""
    gateway = site.gateway(metrics_token="chỉ-giám-sát").start()
    for header in ({}, {"Authorization": "Bearer sai"}, {"Authorization": "chỉ-giám-sát"}):
        asked = Request(f"{gateway.url}/metrics", headers=_latin(header))
        with pytest.raises(HTTPError) as refused:
            urlopen(asked, timeout=8.0)
        with refused.value as answer:
            assert answer.code == 401
            assert json.loads(answer.read())["code"] == "unknown-token"
    right = Request(
        f"{gateway.url}/metrics", headers=_latin({"Authorization": "Bearer chỉ-giám-sát"})
    )
    with urlopen(right, timeout=8.0) as answer:
        assert b"lienthong_payload_free_bytes" in answer.read()
    assert gateway.ready()
    assert gateway.stop() == 0
    assert "giám-sát" not in gateway.log.read_text()


def _latin(headers: dict[str, str]) -> dict[str, str]:
    """Header values travel as bytes; `urllib` takes them as Latin-1."""
    return {name: value.encode().decode("latin-1") for name, value in headers.items()}


def test_taking_back_takes_a_place_like_handing_in(site: Site) -> None:
    """While all places of a connection are taken, a recall is asked to come again."""
    gateway = site.gateway(intake_per_connection=1).start()
    ministry = Ministry(site, gateway)
    document_id = new_id()
    ministry.send(NGHE_AN, document_id=document_id)
    path = f"/v1/documents/{quote(document_id, safe='')}/recall"
    body = json.dumps({"reason": "Ban hành nhầm"}).encode()
    with talk(gateway.port) as slow:
        slow.head("POST", "/v1/packages", Authorization=bearer(ministry), Content_Length="1000")
        slow.send(b"<")
        wait_until(
            lambda: ministry.sender.once("POST", path, body).status == 429, 5, "no place left"
        )
    wait_until(lambda: ministry.sender.once("POST", path, body).status == 202, 10, "the place back")


def test_no_room_is_told_with_figures(site: Site) -> None:
    """507 says what is free, what is needed and by which setting, in either language."""
    gateway = site.gateway(min_free_mib=10**9).launch()
    wait_until(lambda: _answers(gateway), 20, "an answer")
    answer = Ministry(site, gateway).sender.once("POST", "/v1/packages", b"<x/>")
    assert (answer.status, answer.json["code"]) == (507, "disk-full")
    for sentence in (answer.json["detail"], answer.json["detailVi"]):
        assert "1000000000 MiB" in sentence and "min_free_mib" in sentence


def _answers(gateway: GatewayProcess) -> bool:
    """Whether somebody is there; without room it is never ready."""
    try:
        with urlopen(f"{gateway.url}/healthz", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_an_accepted_package_is_not_called_refused(site: Site, tmp_path: Path) -> None:
    """`send` with one unknown recipient: that copy is `returned`; the table is in one language."""
    gateway = site.gateway().start()
    file = tmp_path / "package.edxml"
    file.write_bytes(packages.document(SENDER, (NGHE_AN, "000.00.77.H77"), new_id()))
    environment = {"LIENTHONG_URL": gateway.url, "LIENTHONG_TOKEN": site.tokens["vpcp"]}
    done = run_program("send", file, env=clean_environment(**site.environment, **environment))
    assert done.returncode == 0 and "[returned] ID-RECIPIENT" in done.stderr
    assert "[refuse]" not in done.stderr
    table = done.stdout
    assert "is not in the directory" in table and "không có trong danh bạ" not in table


def test_taking_back_what_was_never_sent(site: Site) -> None:
    """Told as that, in whole sentences."""
    gateway = site.gateway().start()
    body = json.dumps({"reason": "Ban hành nhầm"}).encode()
    answer = Ministry(site, gateway).sender.call("POST", "/v1/documents/none/recall", body)
    assert answer.status == 404
    assert answer.json["detailVi"] == "Kết nối của bạn chưa gửi văn bản nào có mã này."
