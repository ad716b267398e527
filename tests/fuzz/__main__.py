"""`python -m tests.fuzz [--seconds 60] [TARGET …]`: fuzz, report, keep what was found.

Each target runs in a process of its own for that long, then its whole corpus is replayed to see
whether memory grows. What breaks a promise is made small, written to `tests/corpus/fuzz/<target>`
(where `make test` replays it), and the command ends with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.promises import CORPUS, MAX_SEED
from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".fuzz"
KEPT = CORPUS / "fuzz"
#: More growth than this (bytes) over the measured rounds is a finding.
MAX_GROWTH = 8 * 1024 * 1024
#: Seconds that making one input small may take.
SHRINK_SECONDS = 20.0
#: Seconds after which libFuzzer calls an input a hang.
HANG_SECONDS = 60


@dataclass(slots=True)
class Report:
    """What came of one target."""

    name: str
    executions: int = 0
    edges: int = 0
    features: int = 0
    corpus: int = 0
    slowest: float = 0.0
    growth: int = 0
    peak: int = 0
    findings: list[str] = field(default_factory=list)


def fuzz(target: Target, seconds: int) -> Report:
    """Fuzz one target for `seconds`, then replay what it learnt."""
    corpus, found, seeds = (WORK / part / target.name for part in ("corpus", "found", "seeds"))
    for folder in (corpus, found, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for old in found.iterdir():
        old.unlink()
    for seed in (*target.seeds(), *(path.read_bytes() for path in kept(target.name))):
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = WORK / f"{target.name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", target.name, str(found)),
        *(f"-max_total_time={seconds}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=2500"),
        *(f"-max_len={MAX_SEED}", f"-dict={words}", f"-artifact_prefix={found}/lib-"),
        *("-print_final_stats=1", "-reload=0", str(corpus), str(seeds)),
    ]
    log = WORK / f"{target.name}.log"
    with log.open("wb") as out:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(), stderr=out, stdout=out, check=False
        )
    told = log.read_text(errors="replace")
    report = _numbers(target.name, told)
    if done.returncode != 0:
        report.findings.append(f"the process ended with {done.returncode}; see {log}")
    _replayed(target, corpus, report)
    for path in sorted(found.glob("*.txt")):
        report.findings.append(path.read_text().splitlines()[0])
        keep(target, path.with_suffix(".bin").read_bytes())
    for path in sorted(found.glob("lib-*")):
        report.findings.append(f"hang or crash of the process: {path}")
        keep_as_it_is(target.name, path.read_bytes())
    return report


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{WORK / 'site'}", "PYTHONHASHSEED": "0"}


def _escaped(word: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word
    )


def _numbers(name: str, told: str) -> Report:
    """libFuzzer's last words, as numbers."""
    report = Report(name)
    progress = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)", told)
    if progress:
        executions, edges, features, corpus = (int(number) for number in progress[-1])
        report.executions, report.edges = executions, edges
        report.features, report.corpus = features, corpus
    executed = re.search(r"stat::number_of_executed_units:\s+(\d+)", told)
    if executed:
        report.executions = int(executed[1])
    return report


def _replayed(target: Target, corpus: Path, report: Report) -> None:
    command = [sys.executable, "-m", "tests.fuzz.replay", target.name, str(corpus), "20"]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        report.findings.append(f"the replay ended with {done.returncode}: {done.stderr[-300:]}")
        return
    told = json.loads(done.stdout)
    report.slowest, report.growth, report.peak = told["slowest"], told["growth"], told["peak"]
    if report.growth > MAX_GROWTH:
        report.findings.append(f"memory grew by {report.growth} bytes over {told['rounds']} rounds")


# What was found


def kept(name: str) -> list[Path]:
    """The findings of earlier runs."""
    return sorted((KEPT / name).glob("*.bin"))


def keep(target: Target, data: bytes) -> None:
    """Make a finding small and put it where every test run replays it."""
    keep_as_it_is(target.name, shrunk(data, _breaks_alike(target, data), SHRINK_SECONDS))


def keep_as_it_is(name: str, data: bytes) -> None:
    """The same for one that cannot be tried here: it would take this process along."""
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)


def _breaks_alike(target: Target, data: bytes) -> Callable[[bytes], bool]:
    def way(tried: bytes) -> str | None:
        try:
            target.run(tried)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            return f"{type(error).__name__} {trace.tb_lineno if trace else 0}"
        return None

    first = way(data)
    return lambda tried: first is not None and way(tried) == first


def shrunk(data: bytes, breaks: Callable[[bytes], bool], seconds: float) -> bytes:
    """A smaller input that breaks in the same way: ever smaller pieces are left out."""
    until = time.monotonic() + seconds
    piece = len(data) // 2
    while piece >= 1:
        at = 0
        while at < len(data):
            if time.monotonic() > until:
                return data
            tried = data[:at] + data[at + piece :]
            if breaks(tried):
                data = tried
            else:
                at += piece
        piece //= 2
    return data


def _line(report: Report) -> str:
    return (
        f"{report.name:14} {report.executions:>11,} {report.edges:>7,} {report.corpus:>7,} "
        f"{report.slowest * 1000:>10.1f} {report.growth / 1024:>10.0f} "
        f"{report.peak / 1024**2:>8.0f} {len(report.findings):>9}"
    )


def main() -> int:
    """Fuzz the targets one by one."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    print(
        f"{'target':14} {'executions':>11} {'edges':>7} {'corpus':>7} {'slowest ms':>10} "
        f"{'growth KiB':>10} {'peak MiB':>8} {'findings':>9}"
    )
    found: list[str] = []
    for name in given.targets or TARGETS:
        report = fuzz(TARGETS[name], given.seconds)
        print(_line(report), flush=True)
        found += [f"{name}: {one}" for one in report.findings]
    for one in found:
        print(one)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
