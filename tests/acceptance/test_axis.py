"""What operators and integrators type for axes: sync, check, simulate, and the demonstration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.axis import SECRET, SimulatedAxis, add_axis
from tests.support.servers import Child, wait_until
from tests.support.servers.processes import clean_environment, run
from tests.support.servers.warm import PROGRAM as CLI
from tests.support.servers.warm import run_program
from tests.support.service import ROOT, Site, open_site


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A gateway's data, no process; H41 is an agency of ours."""
    with open_site("embedded", tmp_path, request) as opened:
        opened.connect(qlvb=("H41",))
        yield opened


def _lienthong(site: Site, *words: str, code: int = 0) -> str:
    env = clean_environment(LIENTHONG_DATA_DIR=str(site.data), LIENTHONG_LANG="en")
    done = run_program(*words, env=env)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def _json(site: Site, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_lienthong(site, *words, "--json"))
    return document


def test_the_directory_of_an_axis(site: Site) -> None:
    """New, renamed, recoded, gone, not listed, doubtful, ours: told first, then done."""
    agencies = [
        {"code": "G22", "name": "Văn phòng Chính phủ"},
        {"code": "G01", "name": "Bộ Ngoại giao"},
        {"code": "H53.13", "name": "Sở Nội vụ", "code102": "000.00.13.H53"},
        {"code": "G05", "name": "Bộ cũ"},
        {"code": "G07", "name": "Bộ Y tế"},
    ]
    with SimulatedAxis(agencies=agencies) as axis:
        add_axis(site, "truc", axis.url)
        first = _json(site, "axis", "sync", "truc", "--dry-run")
        assert first["figures"]["new"] == 5 and first["dryRun"]
        listed = _json(site, "agencies", "list")["items"]
        assert [one["organId"] for one in listed] == ["H41"]
        _json(site, "axis", "sync", "truc")
        assert _json(site, "axis", "sync", "truc")["figures"]["unchanged"] == 5
        site.connections.pop("truc")
    later = [
        {"code": "G22", "name": "Văn phòng Chính phủ", "old_code": "000.00.00.G99"},
        {"code": "G01", "name": "Bộ Ngoại giao Việt Nam", "version": 2},
        {"code": "G01", "name": "Bộ Ngoại giao", "version": 1},
        {"code": "H53.13", "name": "Sở Nội vụ", "code102": "000.00.13.H53"},
        {"code": "G05", "name": "Bộ cũ", "deleted": True, "modified": "01/03/2026 00:00:00"},
        {"code": "không phải mã", "name": "Lạ"},
        {"code": None, "name": "Không mã"},
        {"code": "G09", "name": None},
        {"code": "H41", "name": "Tên khác"},
    ]
    with SimulatedAxis(agencies=later) as axis:
        _lienthong(site, "connections", "set", "truc", "-o", f"url={axis.url}")
        diff = _json(site, "axis", "sync", "truc")
        assert [one["after"]["name"] for one in diff["renamed"]] == ["Bộ Ngoại giao Việt Nam"]
        assert [one["after"]["otherCodes"] for one in diff["recoded"]] == [["000.00.00.G99"]]
        (gone,) = diff["gone"]
        assert (gone["after"]["code"], gone["after"]["validUntil"]) == ("G05", "2026-02-28")
        assert [one["code"] for one in diff["notListed"]] == ["G07"]
        assert [one["code"] for one in diff["ours"]] == ["H41"]
        assert len(diff["doubtful"]) == 3
        assert _json(site, "agencies", "show", "G05")["validUntil"] == "2026-02-28"
        assert _json(site, "agencies", "show", "G07")["validUntil"] is None
        told = _lienthong(site, "axis", "sync", "truc", "--end-missing", "--dry-run")
        assert "G07" in told and "Would be: 0 new, 0 renamed, 0 recoded, 1 gone" in told


def test_check_tells_what_is_wrong(site: Site) -> None:
    """Good: exit 0 and counts; a wrong secret or nobody there: exit 1 and why; nothing is taken."""
    with SimulatedAxis() as axis:
        axis.store.put(b"<x/>", "edoc", "G22", ["H41"])
        add_axis(site, "truc", axis.url)
        assert _json(site, "axis", "check", "truc")["answers"]["documents waiting"]["count"] == 1
        assert axis.calls("updateStatus") == axis.calls("getEdoc") == []
        add_axis(site, "sai", axis.url, ["G22"], secret="khac")
        assert "hash-header is wrong" in _lienthong(site, "axis", "check", "sai", code=1)
    assert "not reached" in _lienthong(site, "axis", "check", "truc", code=1)
    assert "not vxp-axis" in _lienthong(site, "axis", "check", "qlvb", code=1)


def test_the_simulator_as_a_program(tmp_path: Path) -> None:
    """`lienthong simulate axis` with the script of the guide: it answers, misbehaves, and ends."""
    script = tmp_path / "axis.toml"
    guide = (ROOT / "docs" / "simulate.md").read_text()
    script.write_text(guide.partition("```toml\n")[2].partition("```")[0])
    (tmp_path / "van-ban.edxml").write_bytes((ROOT / "docs" / "example.edxml").read_bytes())
    journal, log = tmp_path / "journal.jsonl", tmp_path / "simulator.log"
    command = [*CLI, "simulate", "axis", "--script", str(script), "--listen", "127.0.0.1:0"]
    child = Child([*command, "--journal", str(journal)], log=log, env=clean_environment(), cwd=ROOT)
    try:
        wait_until(lambda: "answers at http" in log.read_text(), 20, "the simulator")
        url = next(word for word in log.read_text().split() if word.startswith("http"))
        answer = urlopen(Request(f"{url}/getReceivedEdocList", data=b"", method="POST"), timeout=10)
        assert json.load(answer)["status"] == "FAIL"  # not signed
        wait_until(journal.exists, 5, "the journal")
        assert json.loads(journal.read_text())["operation"] == "getReceivedEdocList"
    finally:
        child.send(signal.SIGTERM)
        assert child.wait(10) == 0
    script.write_text("[[rules]]\ndo = 'dance'\n")
    done = run_program(*command[len(CLI) :], env=clean_environment())
    assert done.returncode == 2 and "rules.0.do" in done.stderr


def test_the_demonstration_of_an_axis(tmp_path: Path) -> None:
    """It tells its story, ends with 0, and leaves no process and no folder behind."""
    done = subprocess.run(
        [*CLI, "demo", "--axis"],
        cwd=ROOT,
        env=clean_environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("taken over; new: G22", "byte for byte", "The axis is back", "06 (finished)"):
        assert words in done.stdout
    assert SECRET not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in os.listdir("/proc") if _works_in(pid, tmp_path)]


def _works_in(pid: str, folder: Path) -> bool:
    """Whether a process was started for this folder."""
    try:
        return str(folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except (OSError, ValueError):
        return False


def test_the_guide_as_it_is_typed(tmp_path: Path) -> None:
    """The shell lines of docs/connect-axis.md, against an axis in the box."""
    guide = (ROOT / "docs" / "connect-axis.md").read_text()
    script = guide.partition("```sh\n")[2].partition("```")[0]
    agencies = [{"code": "G22", "name": "Văn phòng Chính phủ"}]
    with SimulatedAxis(agencies=agencies, system_id="NGHEAN") as axis:
        environment = clean_environment(
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            PYTHONPATH=str(ROOT),
            LIENTHONG_DATA_DIR=str(tmp_path / "data"),
            AXIS_URL=axis.url,
            AXIS_SECRET=SECRET,
        )
        done = run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=environment,
            cwd=tmp_path,
            check=False,
            timeout=90,
        )
    assert done.code == 0, done.output
    assert "Would be: 1 new" in done.output and "Truc quoc gia" in done.output
