"""`lienthong` as its users run it: processes, a service on a free port, a temporary data folder."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from envelopes.compose import compose_bytes
from envelopes.model import Attachment
from tests.support.builders import ALPHA, BETA, GAMMA, document, wire
from tests.support.servers import Child, free_port, wait_until
from tests.support.servers.warm import run_program

ROOT = Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-m", "gateway.cli")
#: Seconds that one command may take on a busy machine.
PATIENCE = 60.0


class Shell:
    """A user's shell: an environment in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")
        }
        self.environment = {
            **inherited,
            "LIENTHONG_DATA_DIR": str(folder / "data"),
            "LIENTHONG_LISTEN": f"127.0.0.1:{self.port}",
            "LIENTHONG_URL": f"http://127.0.0.1:{self.port}",
            "LIENTHONG_MIN_FREE_MIB": "0",
        }

    def run(
        self, *arguments: str | Path, code: int = 0, token: str = "", given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, `given` on its standard input; its exit code must be `code`."""
        done = self.ended(*arguments, token=token, given=given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def ended(
        self, *arguments: str | Path, token: str = "", given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        environment = {**self.environment, **({"LIENTHONG_TOKEN": token} if token else {})}
        return run_program(*arguments, env=environment, given=given, timeout=PATIENCE)

    def json(self, *arguments: str | Path, **options: Any) -> Any:
        """Run a command with --json; the document that it prints."""
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def ready(self) -> bool:
        """Whether the service answers and is well."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell without a service."""
    return Shell(tmp_path)


@pytest.fixture
def served(shell: Shell) -> Iterator[Shell]:
    """A shell with a service; it must end well when it is told to."""
    log = shell.folder / "service.log"
    with Child([*COMMAND, "serve"], log=log, env=shell.environment, cwd=ROOT) as child:
        wait_until(shell.ready, PATIENCE, "the service")
        yield shell
        assert child.end(patience=PATIENCE) == 0


def connect(shell: Shell, name: str, *codes: str) -> str:
    """Add a connection; its token."""
    agencies = [part for code in codes for part in ("--agency", code)]
    return shell.run("connections", "add", name, *agencies).stdout.strip()


def test_the_whole_road_by_commands(served: Shell) -> None:
    """Send, list, fetch byte for byte, confirm, report, read the report, trace."""
    alpha, beta = connect(served, "alpha", ALPHA), connect(served, "beta", BETA)
    content = wire(document(BETA, subject="V/v liên thông"))
    package = served.folder / "document.edxml"
    package.write_bytes(content)

    sent = served.json("send", package, token=alpha)
    assert sent["repeated"] is False and len(sent["deliveries"]) == 1
    again = served.run("send", package, token=alpha)
    assert "handed in before" in again.stderr and sent["id"] in again.stdout
    piped = served.json("send", "-", token=alpha, given=content.decode())
    assert piped["repeated"] is True and piped["id"] == sent["id"]

    item = served.json("inbox", "--wait", "20", token=beta)["items"][0]
    assert item["subject"] == "V/v liên thông"
    early = served.run("confirm", item["id"], token=beta, code=1)
    assert "trước khi xác nhận" in early.stderr and "Fetch the package" in early.stderr

    received = served.folder / "received.edxml"
    fetched = served.json("fetch", item["id"], "-o", received, token=beta)
    assert received.read_bytes() == content
    assert fetched["sha256"] == hashlib.sha256(content).hexdigest()
    assert served.run("fetch", item["id"], "-o", "-", token=beta).stdout.encode() == content

    assert served.json("confirm", item["id"], token=beta)["alreadyConfirmed"] is False
    assert "confirmed before" in served.run("confirm", item["id"], token=beta).stdout
    assert "Nothing waits" in served.run("inbox", token=beta).stderr

    served.run("report", item["id"], "--status", "03", "--staff", "Lan", token=beta)
    report = served.json("inbox", "--wait", "20", token=alpha)["items"][0]
    assert (report["kind"], report["meaning"]) == ("status", "03")

    story = served.run("trace", sent["documentId"], "--lang", "en").stdout
    for words in ("accepted a new document", "fetched the package", "reported 03 (accepted)"):
        assert words in story


def test_refusals_are_readable_and_exit_1(served: Shell) -> None:
    """Another's name, a broken rule, an impossible report: why, in both languages or in one."""
    alpha, beta = connect(served, "alpha", ALPHA), connect(served, "beta", BETA)
    package = served.folder / "document.edxml"
    package.write_bytes(wire(document(BETA)))
    forged = served.run("send", package, token=beta, code=1).stderr
    assert "ID-SENDER" in forged and ALPHA in forged and "403" in forged

    broken = served.folder / "broken.edxml"
    broken.write_bytes(package.read_bytes().replace(b"BussinessDocType>0<", b"BussinessDocType>9<"))
    findings = served.json("send", broken, token=alpha, code=1)["findings"]
    said = served.run("send", broken, token=alpha, code=1).stderr
    for finding in findings:
        assert finding["sentence"]["vi"] in said and finding["sentence"]["en"] in said
        assert f"line {finding['line']}" in said
    only = served.run("--lang", "vi", "send", broken, token=alpha, code=1).stderr
    assert findings[0]["sentence"]["en"] not in only and findings[0]["sentence"]["vi"] in only

    served.run("send", package, token="lt_wrong", code=1)
    served.run("send", package, code=2)
    served.run("fetch", "no-such-id", "-o", served.folder / "x", token=beta, code=1)
    assert not (served.folder / "x").exists()


def test_a_large_package_comes_back_whole_or_not_at_all(served: Shell) -> None:
    """Streamed both ways, verified against its digest; no temporary file is left behind."""
    alpha, beta = connect(served, "alpha", ALPHA), connect(served, "beta", BETA)
    file = b"%PDF-1.7\n" + os.urandom(6 * 1024 * 1024)
    attached = Attachment(
        "1", "a.pdf", "application/pdf", "", len(file), hashlib.sha256(file).hexdigest()
    )
    content = compose_bytes(document(BETA, attachments=(attached,)), {"1": file})
    package = served.folder / "large.edxml"
    package.write_bytes(content)
    served.run("send", package, token=alpha)
    item = served.json("inbox", "--wait", "20", token=beta)["items"][0]
    folder = served.folder / "got"
    folder.mkdir()
    served.run("fetch", item["id"], "-o", folder / "large.edxml", token=beta)
    assert (folder / "large.edxml").read_bytes() == content
    assert [path.name for path in folder.iterdir()] == ["large.edxml"]


def test_a_running_service_obeys_operators_at_once(served: Shell) -> None:
    """Suspended and rotated tokens stop working; a held delivery waits and goes on."""
    alpha, beta = connect(served, "alpha", ALPHA), connect(served, "beta", BETA)
    served.run("connections", "suspend", "beta")
    wait_until(
        lambda: "403" in served.ended("inbox", token=beta).stderr, PATIENCE, "the suspension"
    )
    package = served.folder / "document.edxml"
    package.write_bytes(wire(document(BETA)))
    waiting = served.json("send", package, token=alpha)["deliveries"][0]["id"]
    served.run("deliveries", "hold", waiting, "--reason", "kiểm tra lại")
    served.run("connections", "resume", "beta")
    served.run("deliveries", "release", waiting)
    new = served.run("connections", "rotate", "beta", "--now").stdout.strip()
    item = served.json("inbox", "--wait", "20", token=new)["items"][0]
    assert item["id"] == waiting
    served.run("inbox", token=beta, code=1)


def test_without_a_service_the_answer_is_one_line_and_exit_3(shell: Shell) -> None:
    """Connection refused is no traceback."""
    done = shell.run("inbox", token="lt_x", code=3)
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_a_reader_that_had_enough_is_no_error_message(shell: Shell) -> None:
    """`lienthong … | head` ends quietly."""
    for number in range(3):
        connect(shell, f"c{number}", f"H5{number}")
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(COMMAND)} agencies list | head -n 1"],
        cwd=ROOT,
        env=shell.environment,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.startswith(b"code") and not done.stderr


def test_an_empty_postgresql_asks_to_be_migrated(shell: Shell, postgres_url: str) -> None:
    """Only SQLite is made by itself; a server's database is migrated when an operator says so."""
    shell.environment["LIENTHONG_DATABASE_URL"] = postgres_url
    assert "lienthong database migrate" in shell.run("agencies", "list", code=2).stderr
    assert shell.json("database", "migrate")["before"] == "empty"
    connect(shell, "gamma", GAMMA)
    assert shell.json("connections", "list")["items"][0]["name"] == "gamma"
    assert shell.json("config", "check")["ok"] is True


def children_of(pid: int) -> list[str]:
    """The pids of a process's children."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []


def test_the_demonstration_shows_the_whole_road_in_time(shell: Shell, tmp_path: Path) -> None:
    """Under 15 seconds, every step with its command, and nothing left behind."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    shell.environment["TMPDIR"] = str(temporary)
    # What the shell is set up for must not be touched.
    shell.environment["LIENTHONG_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/x"
    start = time.monotonic()
    text = shell.run("demo").stdout
    assert time.monotonic() - start < 15
    for verb in ("serve", "connections add", "send", "inbox", "fetch", "confirm", "report"):
        assert f"$ lienthong {verb}" in text
    assert "byte for byte" in text and "reported 06 (finished)" in text
    assert "reported 02 (refused): «Gửi nhầm cơ quan" in text
    assert not list(temporary.iterdir()) and not (shell.folder / "data").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_stopped_leaves_nothing_running(
    shell: Shell, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C or kill in the middle: the service ends, the folder goes.

    Also where it was started as scripts start what they leave in the background: SIGINT ignored.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    demo = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, "demo"],
        cwd=ROOT,
        env={**shell.environment, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: bool(children_of(demo.pid)), PATIENCE, "the service of the demo")
        service = children_of(demo.pid)[0]
        demo.send_signal(number)
        assert demo.wait(PATIENCE) == 130
        wait_until(lambda: not Path(f"/proc/{service}").exists(), PATIENCE, "the service's end")
        assert not list(temporary.iterdir())
    finally:
        demo.kill()
        demo.wait()


def test_a_command_that_is_stopped_ends_like_a_shell_says(shell: Shell) -> None:
    """Ctrl-C is no refusal: exit 130, not a word, nothing left of what was being fetched."""
    folder = shell.folder / "got"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", shell.port)) as silent:
        command = subprocess.Popen(
            [*COMMAND, "fetch", "x", "-o", str(folder / "x.edxml"), "--token", "lt_x"],
            cwd=ROOT,
            env=shell.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # As from a terminal: whoever runs these tests in the background ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        silent.settimeout(PATIENCE)
        asked, _ = silent.accept()
        with asked:
            command.send_signal(signal.SIGINT)
            assert command.communicate(timeout=PATIENCE) == (b"", b"")
    assert command.returncode == 130
    assert not list(folder.iterdir())


def test_a_port_in_use_is_found_before_anything_is_changed(shell: Shell) -> None:
    """Exit 3 and the port; no database was made or migrated."""
    with socket.create_server(("127.0.0.1", shell.port)):
        told = shell.run("serve", code=3).stderr
    assert f"port {shell.port} is in use" in told and "database.open" not in told
    assert not (shell.folder / "data" / "lienthong.db").exists()
