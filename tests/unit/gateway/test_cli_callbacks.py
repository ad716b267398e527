"""`lienthong callbacks` on a real SQLite database, with a receiver on loopback."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.callbacks import callbacks
from gateway.cli.context import State
from gateway.cli.failures import REFUSED, UNAVAILABLE, WRONG_USE
from routing.webhook_signature import verify
from tests.unit.gateway.cli_runner import Lienthong

LOOPBACK = ("--allow-network", "127.0.0.0/8")


class Callbacks:
    """The `callbacks` commands on the data folder of `lienthong`."""

    def __init__(self, lienthong: Lienthong) -> None:
        self._lienthong = lienthong
        lienthong("connections", "add", "QLVB A", "--agency", "H41")

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """Run a command; its exit code must be `code`."""
        result = CliRunner().invoke(
            callbacks, arguments, env=self._lienthong.environment, obj=State(language="en")
        )
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json; the document that it prints."""
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with sqlite3.connect(self._lienthong.data / "lienthong.db") as database:
            return database.execute(statement, values).fetchall()


@pytest.fixture
def run(lienthong: Lienthong) -> Callbacks:
    """The commands, with one connection registered."""
    return Callbacks(lienthong)


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A receiver in a thread; its URL and what it received."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            received.append((headers, self.rfile.read(int(headers["content-length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "12")
            self.end_headers()
            self.wfile.write(b"internal-doc")

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/cb", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_secret_is_shown_once(run: Callbacks) -> None:
    """stdout is the secret alone; no list, log or event shows it again."""
    secret = run("add", "QLVB A", "https://qlvb.example.vn/cb").stdout.strip()
    assert secret.startswith("whsec_") and len(secret) == 6 + 44
    assert secret not in run("list").output and secret not in json.dumps(run.json("list"))
    assert all(secret not in str(row) for row in run.sql("SELECT * FROM events"))
    (item,) = run.json("list")["items"]
    assert (item["connection"], item["status"], item["types"]) == ("QLVB A", "active", [])
    assert (item["pending"], item["parked"], item["delivered"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["Nobody", "https://example.vn/"], REFUSED, "Nobody"),
        (["QLVB A", "http://example.vn/"], REFUSED, "https"),
        (["QLVB A", "https://example.vn:22/"], REFUSED, "port 22"),
        (["QLVB A", "https://127.0.0.1/"], REFUSED, "this machine"),
        (["QLVB A", "https://169.254.169.254/"], REFUSED, "link-local"),
        (["QLVB A", "https://2130706433/"], REFUSED, "a.b.c.d"),
        (["QLVB A", "https://u:p@example.vn/"], REFUSED, "password"),
        (["QLVB A", "https://example.vn/", "--type", "Delivery"], WRONG_USE, "event type"),
        (["QLVB A", "https://example.vn/", "--allow-network", "x"], WRONG_USE, "CIDR"),
        (["QLVB A", "https://example.vn/", "--allow-network", "0.0.0.0/0"], WRONG_USE, "wide"),
    ],
)
def test_what_cannot_be_added(run: Callbacks, arguments: list[str], code: int, told: str) -> None:
    """Refused with the reason; nothing is stored."""
    assert told in run("add", *arguments, code=code).stderr
    assert run.json("list") == {"items": []}


def test_types_and_networks_are_kept(run: Callbacks) -> None:
    """Repeated and separated by commas, each once."""
    url = "http://10.1.2.3:8080/cb"
    shown = run.json(
        "add", "QLVB A", url, "--type", "delivery.*,report.applied", "--type", "delivery.*",
        "--allow-network", "10.0.0.0/8",
    )  # fmt: skip
    assert shown["types"] == ["delivery.*", "report.applied"]
    assert shown["allowedNetworks"] == ["10.0.0.0/8"]
    assert "delivery.*, report.applied" in run("list").stdout


def test_trying_an_endpoint_out(run: Callbacks) -> None:
    """A signed CloudEvent arrives; the answer and its time are shown, its body is not."""
    with answering(200) as (url, received):
        added = run.json("add", "QLVB A", url, *LOOPBACK)
        output = run("test", added["id"]).stdout
        assert "HTTP 200" in output and " ms" in output and "internal-doc" not in output
        assert run.json("test", added["id"])["outcome"] == "delivered"
    headers, body = received[0]
    assert verify(added["secret"], headers, body, datetime.now(UTC))
    event = json.loads(body)
    assert event["type"] == "vn.lienthong.test" and event["id"] == headers["webhook-id"]
    assert received[1][0]["webhook-id"] != headers["webhook-id"]


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [(500, UNAVAILABLE, "try-later"), (404, REFUSED, "refused"), (302, REFUSED, "refused")],
)
def test_an_endpoint_that_answers_badly(
    run: Callbacks, status: int, code: int, outcome: str
) -> None:
    """Later may help, or not: the exit code says which."""
    with answering(status) as (url, _):
        added = run.json("add", "QLVB A", url, *LOOPBACK)
        answer = run.json("test", added["id"], code=code)
    assert (answer["outcome"], answer["status"]) == (outcome, status)
    assert answer["reason"]["vi"] and answer["reason"]["en"]


def test_a_blocked_endpoint_says_why(run: Callbacks) -> None:
    """A name that leads to this machine: blocked when it is dialled, nothing arrives."""
    added = run.json("add", "QLVB A", "https://localhost:8443/cb")
    answer = run("test", added["id"], code=REFUSED).stdout
    assert "blocked" in answer and "this machine itself" in answer
    assert "no endpoint" in run("test", "x", code=REFUSED).stderr


def test_rotation_signs_with_both(run: Callbacks) -> None:
    """During the overlap; without overlap the old secret ends at once."""
    with answering(200) as (url, received):
        added = run.json("add", "QLVB A", url, *LOOPBACK)
        rotated = run.json("rotate", added["id"])
        run("test", added["id"])
        newest = run("rotate", added["id"], "--overlap", "0").stdout.strip()
        run("test", added["id"])
    now = datetime.now(UTC)
    assert [
        verify(secret, *received[0], now) for secret in (added["secret"], rotated["secret"])
    ] == [
        True,
        True,
    ]
    assert [verify(secret, *received[1], now) for secret in (rotated["secret"], newest)] == [
        False,
        True,
    ]
    run("rotate", added["id"], "--overlap", "-1", code=WRONG_USE)


def test_suspend_resume_remove(run: Callbacks) -> None:
    """Each once more is harmless; the log tells who did it."""
    one = run.json("add", "QLVB A", "https://example.vn/")["id"]
    assert "is now suspended" in run("suspend", one).stdout
    assert "was already suspended" in run("suspend", one).stdout
    assert run.json("resume", one, "--operator", "minh") == {
        "id": one,
        "status": "active",
        "changed": True,
    }
    assert run.json("remove", one)["removed"]
    assert run.json("list") == {"items": []}
    run("remove", one, code=REFUSED)
    kinds = run.sql("SELECT type, actor FROM events WHERE type LIKE 'callback.%' ORDER BY seq")
    assert kinds == [
        ("callback.added", "operator:lan"),
        ("callback.suspended", "operator:lan"),
        ("callback.active", "operator:minh"),
        ("callback.removed", "operator:lan"),
    ]


def test_log_and_replay(run: Callbacks) -> None:
    """Parked ones go again; what is pending or unknown is named and refused."""
    one = run.json("add", "QLVB A", "https://example.vn/")["id"]
    assert "No messages" in run("log", one).stderr
    for number, state in ((1, "parked"), (2, "pending"), (3, "delivered"), (4, "parked")):
        run.sql(
            "INSERT INTO callback_messages (endpoint_id, event_seq, subject, body, state, attempts,"
            " next_at, last_error, created_at) VALUES (?, ?, 'd', '{}', ?, 13, 0, 'HTTP 500', 0)",
            one,
            number,
            state,
        )
    shown = run.json("log", one)["items"]
    assert [item["event"] for item in shown] == ["evt-4", "evt-3", "evt-2", "evt-1"]
    assert "HTTP 500" in run("log", one, "--state", "parked").stdout
    by_event = {item["event"]: str(item["message"]) for item in shown}
    answer = run.json("replay", by_event["evt-3"], by_event["evt-2"], code=REFUSED)
    assert answer == {
        "replayed": [int(by_event["evt-3"])],
        "notReplayed": [int(by_event["evt-2"])],
    }
    assert "2 messages" in run("replay", "--parked", "--endpoint", one).stdout
    assert run.json("list")["items"][0]["pending"] == 4
    for wrong in ([], ["1", "--parked"], ["1", "--endpoint", one]):
        run("replay", *wrong, code=WRONG_USE)
    run("replay", "--parked", "--endpoint", "x", code=REFUSED)
    run("log", "x", code=REFUSED)
