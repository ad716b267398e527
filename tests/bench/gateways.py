"""The gateway under measurement: its processes, its connections, what it uses of the machine."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.packages import RECIPIENTS, SENDER
from tests.support.registration import registrar
from tests.support.servers import wait_until
from tests.support.servers.processes import free_port

#: Everything in one process, and as an operator separates the roles (docs/operators.md).
ONE_PROCESS = ("api,relay,worker,timer",)
APART = ("api", "relay,worker,timer")


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor time since the start of the processes."""

    #: The threads that run the event loops: HTTP, routing, drivers of PostgreSQL and RabbitMQ.
    loops: float
    #: All other threads: SQLite, reading packages, the disk.
    threads: float

    def since(self, earlier: Used) -> Used:
        """What came on top."""
        return Used(self.loops - earlier.loops, self.threads - earlier.threads)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: where its API answers, its processes, the bearer tokens."""

    url: str
    pids: tuple[int, ...]
    tokens: tuple[str, ...]

    @property
    def used(self) -> Used:
        """Processor time so far, of all its processes."""
        loops = threads = 0.0
        for pid in self.pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                seconds = _seconds(thread / "stat")
                if thread.name == str(pid):
                    loops += seconds
                else:
                    threads += seconds
        return Used(loops, threads)

    @property
    def peak(self) -> int:
        """Peak resident memory of the process that takes packages in, in KiB."""
        status = Path(f"/proc/{self.pids[0]}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])


@contextmanager
def gateway(
    folder: Path, environment: Mapping[str, str], roles: Sequence[str] = ONE_PROCESS
) -> Iterator[Gateway]:
    """A gateway with three connections, a process for each of `roles`; the first has the API."""
    env = {
        **os.environ,
        "LIENTHONG_DATA_DIR": str(folder / "data"),
        "LIENTHONG_LOG_LEVEL": "warning",
        **environment,
    }
    url = env.get("LIENTHONG_DATABASE_URL") or f"sqlite:///{folder / 'data' / 'lienthong.db'}"
    tokens = asyncio.run(_connections(url, folder / "data"))
    with ExitStack() as stack:
        served = [stack.enter_context(_process(env, role)) for role in roles]
        port = served[0][0]
        pids = tuple(pid for _, pid in served)
        yield Gateway(f"http://127.0.0.1:{port}", pids, tuple(tokens))


@contextmanager
def _process(env: Mapping[str, str], role: str) -> Iterator[tuple[int, int]]:
    """One process of the gateway: its port and its id."""
    port = free_port()
    command = [sys.executable, "-m", "gateway.cli", "serve", "--role", role]
    listen = {"LIENTHONG_LISTEN": f"127.0.0.1:{port}"}
    with subprocess.Popen(command, env={**env, **listen}) as process:
        try:
            _wait_ready(port)
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def _connections(database_url: str, data: Path) -> list[str]:
    async with registrar(database_url, data) as to:
        return [(await to.add(code, [code])).token for code in (SENDER, *RECIPIENTS)]


def _wait_ready(port: int) -> None:
    def ready() -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    wait_until(ready, 30, "/readyz", interval=0.05)


def _seconds(stat: Path) -> float:
    """User and system time of a thread; nothing when it has just ended."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
