"""``make bench``: prints speed as a ratio to the floor, latency at half load, and memory growth."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from uuid_utils.compat import uuid7

from adapters.database import RegistryStore, open_database
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.route_table import Connection, ConnectionStatus, Token
from tests.bench import floor, load
from tests.bench.packages import RECIPIENTS, SENDER
from tests.support.servers import Postgres, RabbitMq
from tests.support.servers.processes import free_port

WARM_UP = 40


@contextmanager
def gateway(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, int, list[str]]]:
    """A gateway process with three connections: its URL, its process id, and the tokens."""
    port = free_port()
    env = {
        **os.environ,
        "LIENTHONG_DATA_DIR": str(folder / "data"),
        "LIENTHONG_LISTEN": f"127.0.0.1:{port}",
        "LIENTHONG_LOG_LEVEL": "warning",
        **environment,
    }
    url = env.get("LIENTHONG_DATABASE_URL") or f"sqlite:///{folder / 'data' / 'lienthong.db'}"
    tokens = asyncio.run(_connections(url))
    with subprocess.Popen([sys.executable, "-m", "gateway.cli", "serve"], env=env) as process:
        try:
            _wait_ready(port)
            yield f"http://127.0.0.1:{port}", process.pid, tokens
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def _connections(database_url: str) -> list[str]:
    database = await open_database(database_url, allow_unsafe=True)
    await database.migrate()
    store = RegistryStore(database)
    tokens = []
    now = datetime.now(UTC)
    for code in (SENDER, *RECIPIENTS):
        token = "lt_" + secrets.token_urlsafe(32)
        connection_id = str(uuid7())
        organ_id = OrganId.of(code)
        digest = hashlib.sha256(token.encode()).hexdigest()
        await store.add_connection(
            Connection(connection_id, code, "pull", ConnectionStatus.ACTIVE, (organ_id,), now),
            Token(str(uuid7()), connection_id, digest, now),
            [Agency(organ_id, f"Cơ quan {code}")],
            actor="bench",
            now=now,
        )
        tokens.append(token)
    await database.close()
    return tokens


def _wait_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the gateway did not become ready")


def speed(title: str, floor_rate: float, env: dict[str, str], folder: Path, count: int) -> None:
    """Print rate, floor, ratio, and latencies at half load of one mode."""
    with gateway(folder, env) as (url, _, tokens):
        sender, *recipients = tokens
        uvloop.run(load.end_to_end(url, sender, recipients, WARM_UP, f"w{secrets.token_hex(2)}"))
        run = f"r{secrets.token_hex(2)}"
        full = uvloop.run(load.end_to_end(url, sender, recipients, count, run))
        half = full.rate / 2
        run = f"h{secrets.token_hex(2)}"
        calm = uvloop.run(load.paced(url, sender, recipients, count // 2, half, run))
    print(
        f"{title:<28} {full.rate:7.1f} documents/s   floor {floor_rate:7.1f}   "
        f"ratio {full.rate / floor_rate:4.2f}   submission at half load ({half:.0f}/s): "
        f"p50 {calm.percentile(0.50):.1f} ms, p99 {calm.percentile(0.99):.1f} ms",
        flush=True,
    )


def memory(folder: Path) -> None:
    """Print how much a 200 MB package lets the process grow."""
    with gateway(folder, {}) as (url, pid, tokens):
        warm = uvloop.run(load.end_to_end(url, tokens[0], tokens[1:], 10, "m"))
        before = _peak(pid)
        seconds = _send_large(url, tokens[0])
        after = _peak(pid)
    print(
        f"{'200 MB package (4 x 50 MB)':<28} memory growth {(after - before) / 1024:5.1f} MB "
        f"(peak {before / 1024:.0f} -> {after / 1024:.0f} MB), taken in {seconds:.1f} s, "
        f"after {warm.documents} small ones",
        flush=True,
    )


def _peak(pid: int) -> int:
    """Peak resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _send_large(url: str, token: str) -> float:
    from tests.bench.large import large_package

    start = time.perf_counter()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)
    connection.request(
        "POST",
        "/v1/packages",
        large_package(),
        {"Authorization": f"Bearer {token}"},
        encode_chunked=True,
    )
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 202:
        raise RuntimeError(f"{answer.status}: {body[:500]!r}")
    return time.perf_counter() - start


def main() -> None:
    """Run what was asked for; everything by default."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=600, help="documents per measurement")
    parser.add_argument("--only", choices=("embedded", "production", "memory"))
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} cores; one attachment of 300 KB, two recipients, 8 senders", flush=True
    )
    if options.only in (None, "embedded"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rate = uvloop.run(floor.embedded(options.count, folder))
            speed("SQLite, embedded broker", rate, {}, folder, options.count)
    if options.only in (None, "production"):
        with tempfile.TemporaryDirectory() as name, Postgres() as postgres, RabbitMq() as rabbit:
            vhost = rabbit.create_vhost()
            database_url = postgres.create_database()
            rate = uvloop.run(
                floor.production(options.count, postgres.create_database(), rabbit.url(vhost))
            )
            env = {
                "LIENTHONG_DATABASE_URL": database_url,
                "LIENTHONG_BROKER_URL": rabbit.url(vhost),
            }
            speed("PostgreSQL, RabbitMQ", rate, env, Path(name), options.count)
    if options.only in (None, "memory"):
        with tempfile.TemporaryDirectory() as name:
            memory(Path(name))


if __name__ == "__main__":
    main()
