"""One dead partner delays nobody else: the fourth's delivery latency beside three that misbehave.

Run with ``python -m tests.bench.partners``. Four agencies are pushed to: one answers after 30 s,
one takes requests and never answers, one refuses connections, the fourth is well. Measured is the
time from the acceptance of a document to its arrival at the fourth: with traffic for the fourth
alone, then with the same traffic for each of the four, evenly spaced. The aim: p99 within 1.5
times. For comparison the same with three neighbours that are well: what is left then is the cost
of four times the documents on this machine, whoever they are for.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.support import packages
from tests.support.servers import free_port, wait_until
from tests.support.service import GatewayProcess, Site

SENDER = "000.00.00.G22"
CODES = {
    "well": "000.00.00.H41",
    "slow": "000.00.00.H53",
    "silent": "000.00.00.H17",
    "refusing": "000.00.00.H34",
    "good_1": "000.00.00.H14",
    "good_2": "000.00.00.H29",
    "good_3": "000.00.00.H40",
}
BAD = ("slow", "silent", "refusing")
GOOD = ("good_1", "good_2", "good_3")
#: Documents a second for each partner, and for how many seconds.
RATE, SECONDS = 8, 25
WARM_UP = 30


@dataclass
class Arrivals:
    """When each delivery reached the partner that is well."""

    port: int
    at: dict[str, float] = field(default_factory=dict)


@contextmanager
def partner(delay: float) -> Iterator[Arrivals]:
    """A partner that answers 200 after `delay` seconds."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            arrivals.at.setdefault(self.headers["webhook-id"], time.time())
            time.sleep(delay)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    arrivals = Arrivals(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield arrivals
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield listener.getsockname()[1]


def main() -> None:
    """Measure both and print the ratio."""
    with (
        tempfile.TemporaryDirectory() as folder,
        partner(0.0) as well,
        partner(30.0) as slow,
        silent() as quiet,
    ):
        url = f"sqlite:///{folder}/data/lienthong.db"
        site = Site("embedded", Path(folder), url, "embedded:", "lienthong")
        ports = {"well": well.port, "slow": slow.port, "silent": quiet, "refusing": free_port()}
        ports |= dict.fromkeys(GOOD, well.port)
        site.partner("sender", "pull", [SENDER])
        for name, port in ports.items():
            site.partner(
                name,
                "push",
                [CODES[name]],
                url=f"http://127.0.0.1:{port}/edxml",
                dial_networks="127.0.0.0/8",
                timeout_seconds=60,
            )
        gateway = site.gateway(log_level="warning").start()
        try:
            _measure(site, gateway, well, ["well"], WARM_UP)
            alone = _measure(site, gateway, well, ["well"], RATE * SECONDS)
            beside = _measure(site, gateway, well, ["well", *BAD], RATE * SECONDS)
            company = _measure(site, gateway, well, ["well", *GOOD], RATE * SECONDS)
        finally:
            gateway.close()
    print(f"documents for each partner: {RATE * SECONDS}, {RATE} a second, embedded default")
    print(f"alone:                  p50 {alone[0]:6.1f} ms   p99 {alone[1]:6.1f} ms")
    print(f"beside three bad ones:  p50 {beside[0]:6.1f} ms   p99 {beside[1]:6.1f} ms")
    print(f"beside three good ones: p50 {company[0]:6.1f} ms   p99 {company[1]:6.1f} ms")
    print(f"p99 ratio, bad neighbours to none: {beside[1] / alone[1]:.2f}   (aim: at most 1.5)")
    print(f"p99 ratio, bad to good neighbours: {beside[1] / company[1]:.2f}")


def _measure(
    site: Site, gateway: GatewayProcess, well: Arrivals, names: list[str], count: int
) -> tuple[float, float]:
    """p50 and p99 in milliseconds from acceptance to arrival at the partner that is well."""
    client = site.client("sender", gateway)
    accepted: dict[str, float] = {}
    start = time.monotonic()
    for number in range(count):
        for turn, name in enumerate(names):
            due = start + (number + turn / len(names)) / RATE
            time.sleep(max(0.0, due - time.monotonic()))  # pacing
            document_id = f"{SENDER},2026/11/02,{time.monotonic_ns()}/CV"
            answer = client.submit(packages.document(SENDER, [CODES[name]], document_id))
            assert answer.status == 202, answer
            if name == "well":
                accepted[answer.json["deliveries"][0]["id"]] = time.time()
    wait_until(lambda: accepted.keys() <= well.at.keys(), 120, "all arrivals")
    waits = [(well.at[key] - at) * 1000 for key, at in accepted.items()]
    cuts = quantiles(waits, n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    main()
