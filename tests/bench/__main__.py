"""``make bench``: prints speed as a ratio to the floor, latency at half load, and memory growth."""

from __future__ import annotations

import argparse
import http.client
import os
import resource
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from tests.bench import floor, load
from tests.bench.gateways import APART, ONE_PROCESS, Gateway, Used, gateway
from tests.bench.large import large_package
from tests.support.servers import Postgres, RabbitMq

WARM_UP = 40

PREFACE = """\
floor:  in one process parse, digest, two commits, one confirmed publish and one consume; no HTTP,
        nothing checked, the payload not kept (the gateway: two fsyncs), one recipient
rate:   8 senders submit; 2 recipients list, fetch and confirm every document: 5 requests each
time:   processor time for each document. Loops: HTTP, routing, the drivers of PostgreSQL and
        RabbitMQ, in Python, one process at a time on one core. Threads: SQLite, reading and
        digesting the package, the disk. Client: this benchmark. Rest: the servers and whatever
        else ran on this machine"""


def busy() -> float:
    """Seconds that the cores of this machine worked since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Meter:
    """Processor time from now on: of the gateway, of this client, of the machine."""

    def __init__(self, measured: Gateway) -> None:
        self._gateway = measured
        self._before = measured.used, own(), busy()

    def told(self, documents: int) -> str:
        """Milliseconds for each document, by where they went."""
        used, client, machine = self._before
        mine: Used = self._gateway.used.since(used)
        client, machine = own() - client, busy() - machine
        rest = max(machine - client - mine.loops - mine.threads, 0)
        parts = {"loops": mine.loops, "threads": mine.threads, "client": client, "rest": rest}
        each = (f"{name} {1000 * value / documents:.1f}" for name, value in parts.items())
        return ", ".join(each) + " ms"


def speed(
    title: str,
    floor_rate: float,
    env: Mapping[str, str],
    folder: Path,
    count: int,
    roles: Sequence[str] = ONE_PROCESS,
) -> None:
    """Print rate, floor, ratio, where the time goes, and latencies at half load of one mode."""
    with gateway(folder, env, roles) as measured:
        url, (sender, *recipients) = measured.url, measured.tokens
        uvloop.run(load.end_to_end(url, sender, recipients, WARM_UP, f"w{secrets.token_hex(2)}"))
        run = f"r{secrets.token_hex(2)}"
        meter = Meter(measured)
        full = uvloop.run(load.end_to_end(url, sender, recipients, count, run))
        times = meter.told(count)
        half = full.rate / 2
        run = f"h{secrets.token_hex(2)}"
        calm = uvloop.run(load.paced(url, sender, recipients, count // 2, half, run))
    print(
        f"{title:<28} {full.rate:7.1f} documents/s   floor {floor_rate:7.1f}   "
        f"ratio {full.rate / floor_rate:4.2f}   submission at half load ({half:.0f}/s): "
        f"p50 {calm.percentile(0.50):.1f} ms, p99 {calm.percentile(0.99):.1f} ms\n"
        f"{'':<28} time: {times}",
        flush=True,
    )


def memory(folder: Path) -> None:
    """Print how much a 200 MB package lets the process grow."""
    with gateway(folder, {}) as measured:
        token, *recipients = measured.tokens
        warm = uvloop.run(load.end_to_end(measured.url, token, recipients, 10, "m"))
        before = measured.peak
        seconds = _send_large(measured.url, token)
        after = measured.peak
    print(
        f"{'200 MB package (4 x 50 MB)':<28} memory growth {(after - before) / 1024:5.1f} MB "
        f"(peak {before / 1024:.0f} -> {after / 1024:.0f} MB), taken in {seconds:.1f} s, "
        f"after {warm.documents} small ones",
        flush=True,
    )


def _send_large(url: str, token: str) -> float:
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


def embedded(count: int) -> None:
    """SQLite and the broker inside, one process: what is installed without any server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rate = uvloop.run(floor.embedded(count, folder))
        speed("SQLite, embedded broker", rate, {}, folder, count)


def production(count: int) -> None:
    """PostgreSQL and RabbitMQ: in one process, and with the roles in two as operators run them."""
    with Postgres() as postgres, RabbitMq() as rabbit:
        floor_url = rabbit.url(rabbit.create_vhost())
        rate = uvloop.run(floor.production(count, postgres.create_database(), floor_url))
        rows = {
            "PostgreSQL, RabbitMQ": ONE_PROCESS,
            "  api apart from the rest": APART,
        }
        for title, roles in rows.items():
            env = {
                "LIENTHONG_DATABASE_URL": postgres.create_database(),
                "LIENTHONG_BROKER_URL": rabbit.url(rabbit.create_vhost()),
            }
            with tempfile.TemporaryDirectory() as name:
                speed(title, rate, env, Path(name), count, roles)


def main() -> None:
    """Run what was asked for; everything by default."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=600, help="documents per measurement")
    parser.add_argument("--only", choices=("embedded", "production", "memory"))
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; one attachment of 300 KB, two recipients, 8 senders")
    print(PREFACE, flush=True)
    if options.only in (None, "embedded"):
        embedded(options.count)
    if options.only in (None, "production"):
        production(options.count)
    if options.only in (None, "memory"):
        with tempfile.TemporaryDirectory() as name:
            memory(Path(name))


if __name__ == "__main__":
    main()
