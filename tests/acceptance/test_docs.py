"""What docs/ tells people to type works, and what it explains is complete."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from envelopes.model import StatusCode
from envelopes.rule_catalogue import RULES
from gateway.observability import Metrics
from routing.states import TransportState
from routing.webhook_signature import secret_of, sign
from tests.support.contract_commands import commands_in
from tests.support.servers import free_port
from tests.support.servers.processes import clean_environment

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
#: Seconds for the whole page of shell lines.
DEADLINE = 90


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _run(script: str, folder: Path) -> tuple[int, str]:
    """Run shell lines as a person would, `.venv/bin` first on PATH; exit code and all output."""
    port = free_port()
    environment = clean_environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        LIENTHONG_DATA_DIR=str(folder / "data"),
        LIENTHONG_LISTEN=f"127.0.0.1:{port}",
        GATEWAY=f"http://127.0.0.1:{port}",
    )
    # Into a file: a service left running would hold a pipe open, and the wait would never end.
    told = folder / "shell.log"
    with (
        told.open("wb") as output,
        subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end within {DEADLINE} s; the last lines were\n{_tail(told)}")
        finally:
            # The shell's own session: whatever it left running, the service above all.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    return shell.returncode, told.read_text("utf-8", "replace")


def _tail(file: Path) -> str:
    return file.read_text("utf-8", "replace")[-3000:]


def test_every_shell_line_for_integrators_works(tmp_path: Path) -> None:
    """All blocks of docs/integrators.md, in order, in one shell that stops at the first fault."""
    blocks = _blocks((DOCS / "integrators.md").read_text("utf-8"), "bash")
    assert len(blocks) > 8
    code, output = _run("\n".join(["set -v", *blocks]), tmp_path)
    log = (tmp_path / "gateway.log").read_text("utf-8")
    assert code == 0, f"{output[-3000:]}\n--- gateway.log\n{log[-3000:]}"
    assert '"alreadyConfirmed":false' in output
    assert "status 7816/VPCP-TTĐT UBND tỉnh Nghệ An" in output, "receive.py got the report"
    received = sorted((tmp_path / "received").glob("*.edxml"))
    assert received and b"<edXML:StatusCode>03" in b"".join(one.read_bytes() for one in received)
    assert (tmp_path / "again.edxml").read_bytes() == (tmp_path / "document.edxml").read_bytes()
    assert "stopped" in log


def test_integrators_have_no_shell_lines_outside_the_tested_blocks() -> None:
    """No block with another language name slips past the test above."""
    text = (DOCS / "integrators.md").read_text("utf-8")
    fences = re.findall(r"^```(\w*)$", text, re.MULTILINE)
    assert set(fences) == {"bash", "python", ""} and fences.count("") * 2 == len(fences)


def test_the_receiver_of_callbacks_in_the_guide_tells_true_from_false() -> None:
    """The lines that integrators copy accept what the gateway signs, and nothing else."""
    (block,) = _blocks((DOCS / "integrators.md").read_text("utf-8"), "python")
    scope: dict[str, Any] = {}
    exec(block, scope)
    key, body = bytes(range(32)), b'{"type":"vn.lienthong.test"}'
    headers = sign([secret_of(key)], "evt-1", datetime.now(UTC), body)
    assert scope["genuine"](key, headers, body)
    assert not scope["genuine"](key, headers, body + b" ")
    assert not scope["genuine"](bytes(32), headers, body)


@pytest.mark.parametrize("page", ["docs/operators.md", "deploy/README.md"])
def test_commands_for_operators_exist(page: str) -> None:
    """Every `lienthong …` in a shell block is a command with these options."""
    text = (ROOT / page).read_text("utf-8")
    found = [line for block in _blocks(text, "sh") for line in commands_in(block)]
    assert found
    for path, make in found:
        make()
        assert path


def test_operators_find_every_metric() -> None:
    """docs/operators.md says what each metric means, and names none that does not exist."""
    text = (DOCS / "operators.md").read_text("utf-8")
    named = set(re.findall(r"`(lienthong_[a-z_]+)`", text))
    collectors = Metrics().registry._collector_to_names
    exported = {name for names in collectors.values() for name in names}
    assert named <= exported
    for names in collectors.values():
        assert named & set(names), sorted(names)


def test_operators_find_every_state() -> None:
    """Each transport state is explained."""
    text = (DOCS / "operators.md").read_text("utf-8")
    assert {str(state) for state in TransportState} <= set(re.findall(r"`([a-z]+)`", text))


def test_clerks_find_every_finding_and_every_status() -> None:
    """docs/clerks.vi.md has a line for each rule and each status code, and none that is no more."""
    text = (DOCS / "clerks.vi.md").read_text("utf-8")
    rules = set(re.findall(r"^\| `([A-Z]+-?[A-Z0-9-]*)` \|", text, re.MULTILINE))
    assert rules == set(RULES)
    codes = set(re.findall(r"^\| \*\*(\d\d)\*\* \|", text, re.MULTILINE))
    assert codes == {code.value for code in StatusCode}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """Relative links of a page are files of the project."""
    text = (DOCS / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (DOCS / target).exists(), target
