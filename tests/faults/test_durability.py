"""What SIGKILL cannot show: that everything is on the disk before "accepted" is said.

The order of system calls is read from strace; where that is not installed, from a trace inside the
process. A run without fsync and one that answers too early must be found out.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.workload import package
from tests.support.servers import wait_until
from tests.support.service import Site

pytestmark = pytest.mark.fault

MUTANT = (sys.executable, "-m", "tests.support.mutants")
#: The order that was promised (reliability 0.2, 1.6).
ORDER = ("fsync file", "rename", "fsync folder", "commit", "answer")
_CALLS = "fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg,read,recvfrom"
_STEPS = (
    ("fsync file", re.compile(r"^f(?:data)?sync \S*/incoming/")),
    ("rename", re.compile(r"^rename\S* .*/incoming/.*/payloads/[0-9a-f]{2}/[0-9a-f]{64}")),
    ("fsync folder", re.compile(r"^f(?:data)?sync \S*/payloads/[0-9a-f]{2}$")),
    # SQLite: the pages are on the disk (its journal is synced for a rollback, too).
    ("commit", re.compile(r"^f(?:data)?sync \S*/lienthong\.db(?:-wal)?$")),
    ("commit", re.compile(r"^commit$")),
    ("answer", re.compile(r"^(?:answer$|(?:write|writev|sendto|sendmsg) .*HTTP/1\.1 202)")),
)
#: What is said to PostgreSQL and by it, on one socket.
_RECORDS = re.compile(r"^(?:write|writev|sendto|sendmsg) (\S+?), .*INSERT INTO packages")
_SAYS = re.compile(r"^(?:read|recvfrom) (\S+?), .*(COMMIT|ROLLBACK)")
_CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>")
_RESULT = re.compile(r"\)\s+= .*$")
_PATH = re.compile(r"^\d+<([^>]*)>")


def completed(lines: list[str]) -> Iterator[str]:
    """System calls as ``name text``, where they end; answers where they begin."""
    begun: dict[str, str] = {}
    for line in lines:
        resumed, call = _RESUMED.match(line), _CALL.match(line)
        if resumed:
            yield begun.pop(resumed[1], "") + line[resumed.end() :]
        elif call:
            pid, name, rest = call.groups()
            synced = _PATH.match(rest)
            text = f"{name} {synced[1] if synced and 'sync' in name else rest}"
            if "<unfinished" in line and "HTTP/1.1 202" not in line:
                begun[pid] = text.partition(" <unfinished")[0]
            else:
                yield text
        else:
            yield line


def steps(lines: list[str]) -> list[str]:
    """The steps of `ORDER` in a trace, as they came."""
    found = []
    recording: set[str] = set()
    for text in completed(lines):
        text = _RESULT.sub("", text) if "sync " in text[:10] else text
        found += [name for name, pattern in _STEPS if pattern.search(text)][:1]
        records, says = _RECORDS.match(text), _SAYS.match(text)
        if records:
            recording.add(records[1])
        elif says and says[1] in recording:
            recording.discard(says[1])
            found += ["commit"] if says[2] == "COMMIT" else []
    return found


def out_of_order(found: list[str]) -> str:
    """Why this is not the promised order; empty when it is."""
    place = -1
    for step in ORDER:
        later = [at for at, name in enumerate(found) if name == step and at > place]
        if step == "answer":
            later = [at for at in later if at == found.index("answer")]
        if not later:
            return f"no {step!r} at its place in {found}"
        place = later[0]
    return ""


def traced(site: Site, trace: Path, *mutants: str) -> list[str]:
    """The steps that one accepted package causes."""
    if shutil.which("strace"):
        calls = f"trace={_CALLS}"
        strace = ("strace", "-D", "-f", "-y", "-s", "200", "-e", calls, "-o", str(trace))
        gateway = site.gateway(command=(*strace, *MUTANT, *mutants))
    else:
        gateway = site.gateway(command=(*MUTANT, *mutants, "--trace", str(trace)))
    gateway.start(deadline=60)
    before = len(_lines(trace))
    client = site.client("vpcp", gateway)
    assert client.submit(package(1).content).status == 202
    inbox = site.client("nghe_an", gateway)
    wait_until(lambda: inbox.waiting(), 20, "the package in the inbox")
    assert gateway.stop(deadline=20) == 0
    return steps(_lines(trace)[before:])


def _lines(trace: Path) -> list[str]:
    return trace.read_text(errors="replace").splitlines() if trace.exists() else []


def test_on_the_disk_before_accepted(site: Site, tmp_path: Path) -> None:
    """fsync of the file, rename, fsync of the folder, commit, and only then 202."""
    found = traced(site, tmp_path / "trace")
    assert out_of_order(found) == "", found


@pytest.mark.parametrize(
    ("mutant", "wrong"), [("no-fsync", "fsync file"), ("answer-first", "commit|answer")]
)
def test_a_wrong_order_is_found_out(site: Site, tmp_path: Path, mutant: str, wrong: str) -> None:
    """Without fsync, or with an early answer, the same look at the trace says so."""
    found = traced(site, tmp_path / "trace", "--mutant", mutant)
    assert re.match(f"no '({wrong})' at its place", out_of_order(found)), found
