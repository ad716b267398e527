"""Ends test servers whose test run has gone, even when that run was killed with SIGKILL.

Run as a program (by :mod:`tests.support.servers.processes`) it reads lines from standard input:

- ``+ PID START``  this process is ours; START is its start time in clock ticks, so that a later
  process with the same pid is never touched;
- ``- PID``        it has been ended;
- ``folder PATH``  remove this folder (or file) at the end.

End of input means that the test run has ended, in whatever way: kill what is left, remove, exit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot; ``""`` when it is not alive."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def attend(lines: Iterable[str]) -> None:
    """Keep the list that ``lines`` describe; at their end kill and remove what is on it."""
    processes: dict[int, str] = {}
    folders: list[str] = []
    for line in lines:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "+":
            pid, _, started = rest.partition(" ")
            processes[int(pid)] = started
        elif word == "-":
            processes.pop(int(rest), None)
        elif word == "folder":
            folders.append(rest)
    for left, since in processes.items():
        if since and start_time(left) == since:
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
    for folder in folders:
        remove_folder(folder)


def remove_folder(folder: str) -> None:
    """Remove a folder in which a dying process may still write for a moment."""
    for _ in range(50):
        if os.path.isfile(folder):
            os.unlink(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    attend(sys.stdin)
