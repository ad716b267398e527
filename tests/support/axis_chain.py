"""Three gateways in a row: a province, the national axis, a ministry."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agency_client import AgencyClient
from tests.support.axis import LOOPBACK, add, add_axis
from tests.support.axis_gateway import QUICK
from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site, open_site

BASE = "/XrdAdapter/RestService/forward"
COMPRESSED = (sys.executable, "-m", "tests.support.axis_gateway")
SENDER, RECEIVER = "H41", "G22"


@dataclass
class Chain:
    """A – N – B, and the agency software at both ends."""

    sites: dict[str, Site]
    gateways: dict[str, GatewayProcess]

    @property
    def province(self) -> AgencyClient:
        """The software of the agency behind A."""
        return self.sites["A"].client("qlvb", self.gateways["A"])

    @property
    def ministry(self) -> AgencyClient:
        """The software of the agency behind B."""
        return self.sites["B"].client("qlvb", self.gateways["B"])


@contextmanager
def open_chain(
    folder: Path, request: pytest.FixtureRequest, attempt_seconds: float
) -> Iterator[Chain]:
    """The three of them, started, connected, their directories in step.

    An attempt of a gateway that was killed is given up after twice `attempt_seconds`.
    """
    with (
        open_site("embedded", folder / "a", request) as a,
        open_site("embedded", folder / "n", request) as n,
        open_site("embedded", folder / "b", request) as b,
    ):
        sites = {"A": a, "N": n, "B": b}
        gateways = {name: site.gateway(command=COMPRESSED, **QUICK) for name, site in sites.items()}
        url = f"{gateways['N'].url}{BASE}"
        for name, code in (("A", SENDER), ("B", RECEIVER)):
            options = {"system_id": name, "gateway": "true"}
            made = asyncio.run(add(n, name, "vxp", [code], options))
            asyncio.run(add(sites[name], "qlvb", "pull", [code], {}))
            add_axis(
                sites[name],
                "axis",
                url,
                secret=made.secret,
                system_id=name,
                dial_networks=LOOPBACK,
                directory_seconds=3600,
                timeout_seconds=attempt_seconds,
                breaker_seconds=0.5,
                request_seconds=10,
            )
        for name in ("N", "A", "B"):
            gateways[name].start()
        chain = Chain(sites, gateways)
        for name in ("A", "B"):
            wait_until(
                lambda name=name: "axis.directory-synced" in gateways[name].log.read_text(),
                20,
                f"the directory of {name}",
            )
        yield chain
