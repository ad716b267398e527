"""`lienthong simulate agency`: a recipient in the box, which misbehaves as its script says."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.simulate.agency import AgencyScript
from gateway.simulate.script import ScriptProblem, read_script
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import Child, wait_until
from tests.support.servers.processes import clean_environment
from tests.support.service import ROOT, Site, open_site

SENDER, PUSHED, PULLS = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53"

SCRIPT = """
[[reports]]
status = "01"

[[reports]]
status = "03"

[[rules]]
step = "push"
do = "lost"
times = 1

[[rules]]
step = "confirm"
do = "twice"
"""


@contextmanager
def agency(folder: Path, *arguments: str) -> Iterator[Path]:
    """The program as a process; its journal."""
    script, journal = folder / "agency.toml", folder / "steps.jsonl"
    folder.mkdir()
    script.write_text(SCRIPT)
    journal.touch()
    command = [sys.executable, "-m", "gateway.cli", "simulate", "agency", *arguments]
    child = Child(
        [*command, "--script", str(script), "--journal", str(journal)],
        log=folder / "agency.log",
        env=clean_environment(),
        cwd=ROOT,
    )
    try:
        log = folder / "agency.log"
        wait_until(lambda: "simulated agency" in log.read_text(), 30, "the simulated agency")
        yield journal
        child.send(signal.SIGTERM)
        assert child.wait(10) == 0
    finally:
        if child.running():
            child.kill()


def steps(journal: Path) -> list[dict[str, Any]]:
    """What it did."""
    return [json.loads(line) for line in journal.read_text().splitlines()]


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site on the embedded default."""
    with open_site("embedded", tmp_path / "site", request) as made:
        yield made


def test_it_pulls_confirms_twice_and_reports(site: Site, tmp_path: Path) -> None:
    """A careless client does no harm: delivered once, reported 01 and 03."""
    site.connect(sender=[SENDER], pulls=[PULLS])
    gateway = site.gateway().start()
    sender = site.client("sender", gateway)
    content = packages.document(SENDER, [PULLS], new_id())
    pulling = ("--gateway", gateway.url, "--token", site.tokens["pulls"])
    with agency(tmp_path / "agency", *pulling) as journal:
        (delivery,) = sender.submit(content).json["deliveries"]
        wait_until(lambda: len(sender.waiting()) == 2, 30, "both reports")
        done = steps(journal)
    assert [item["meaning"] for item in sender.waiting()] == ["01", "03"]
    assert [one["step"] for one in done] == ["fetch", "confirm", "confirm", "report", "report"]
    assert done[0]["sha256"] == sha256(content).hexdigest()
    row = sender.delivery(delivery["id"])
    assert (row["state"], row["businessState"]) == ("delivered", "03")


def test_it_loses_an_answer_and_says_so_when_it_is_asked(site: Site, tmp_path: Path) -> None:
    """Pushed to: the first answer is lost, the gateway asks, and nothing is sent again."""
    site.connect(sender=[SENDER])
    with agency(tmp_path / "agency", "--listen", "127.0.0.1:0") as journal:
        log = (tmp_path / "agency" / "agency.log").read_text()
        url = log.split("pushed to at ")[1].split()[0]
        networks = "127.0.0.0/8"
        site.partner("pushed", "push", [PUSHED], url=url, ask_url=url, dial_networks=networks)
        sender = site.client("sender", site.gateway(attempt_waits="0.2s 1s").start())
        answer = sender.submit(packages.document(SENDER, [PUSHED], new_id()))
        (delivery,) = answer.json["deliveries"]
        wait_until(lambda: sender.delivery(delivery["id"])["state"] == "delivered", 30, "delivered")
        assert [(one["step"], one["what"]) for one in steps(journal)] == [
            ("push", "taken [lost]"),
            ("ask", "known"),
        ]


def test_the_script_in_the_guide_is_one(tmp_path: Path) -> None:
    """docs/simulate.md: its second script is read as it stands; a slip is told by its place."""
    guide = (ROOT / "docs" / "simulate.md").read_text("utf-8")
    script = tmp_path / "agency.toml"
    script.write_text(re.findall(r"^```toml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)[1])
    assert [rule.do for rule in read_script(script, AgencyScript).rules] == ["lost", "twice"]
    script.write_text('[[rules]]\ndo = "dance"\n')
    with pytest.raises(ScriptProblem, match=r"rules\.0\.do"):
        read_script(script, AgencyScript)
