"""A gateway with systems of the national axis protocol and one REST agency beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from tests.support import packages
from tests.support.agency_client import AgencyClient, the_line
from tests.support.axis import add
from tests.support.packages import new_id
from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site, open_site
from tests.support.vxp_client import VxpClient

#: Sender and receiver over VXP, and who uses REST.
MINISTRY, PROVINCE, PULLED = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53"
#: A system that keeps one timestamp for ever, and whose agencies wait for approval.
OLD = "000.00.00.H17"
#: The secret that the province's software has always had.
KEPT = "mat-khau-cu-cua-tinh-0123456789"


@dataclass
class Town:
    """The gateway and its systems."""

    site: Site
    gateway: GatewayProcess
    secrets: dict[str, str] = field(default_factory=dict)

    def client(self, code: str, **more: Any) -> VxpClient:
        """A fresh client object of one system."""
        return VxpClient(self.gateway.port, code, self.secrets[code], **more)

    @property
    def ministry(self) -> VxpClient:
        """Sends."""
        return self.client(MINISTRY)

    @property
    def province(self) -> VxpClient:
        """Receives."""
        return self.client(PROVINCE)

    @property
    def pulled(self) -> AgencyClient:
        """The REST agency."""
        return self.site.client("pulled", self.gateway)

    def send(self, *recipients: str, **particulars: Any) -> tuple[bytes, str]:
        """A new document from the ministry; its bytes and DocId."""
        to = recipients or (PROVINCE,)
        content = packages.document(MINISTRY, to, new_id(), **particulars)
        return content, self.ministry.send(content)

    def command(self, *arguments: str, given: str = "") -> str:
        """Run `lienthong` as the operator, within this process; what it printed."""
        env = {**self.site.environment, "LIENTHONG_OPERATOR": "test"}
        done = CliRunner().invoke(cli, list(arguments), input=given, env=env)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.stdout

    def offered(self, client: VxpClient, document: str, kind: str = "edoc") -> dict[str, str]:
        """Until a package of the ministry's `document` is in a list; its line there."""
        receiver = next(
            one["receiverDocId"]
            for one in self.ministry.sent(doc_id=document)
            if one["toCode"] == client.system_id
        )
        return self.listed(client, receiver, kind)

    def listed(self, client: VxpClient, doc_id: str, kind: str = "edoc") -> dict[str, str]:
        """Until a delivery is in a list; its line there."""
        where = f"the list of {client.system_id}"
        return the_line(lambda: client.received(kind), "docId", doc_id, 10.0, where)

    def status_packages(self, client: VxpClient, count: int) -> list[bytes]:
        """Until so many status packages wait; fetched and confirmed."""
        wait_until(lambda: len(client.received("status")) >= count, 10.0, f"{count} reports")
        got = []
        for item in client.received("status"):
            got.append(client.get(item["docId"]))
            client.update(item["docId"], "done")
        return got


@contextmanager
def open_town(mode: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Town]:
    """A running gateway of a mode, with its systems."""
    with open_site(mode, folder, request) as site:
        site.connect(pulled=[PULLED])
        secrets = asyncio.run(_systems(site))
        yield Town(site, site.gateway(relay_claim_seconds=2).start(), secrets)


async def _systems(site: Site) -> dict[str, str]:
    """The connections of kind `vxp`; their secrets by system id."""
    late = {"tolerance_seconds": "0", "approve_agencies": "true"}
    ministry = await add(site, MINISTRY, "vxp", [MINISTRY], {"system_id": MINISTRY})
    old = await add(site, OLD, "vxp", [OLD], {"system_id": OLD, **late})
    kept = await add(site, PROVINCE, "vxp", [PROVINCE], {"system_id": PROVINCE}, KEPT)
    assert (ministry.token, kept.secret) == ("", "")
    return {MINISTRY: ministry.secret, OLD: old.secret, PROVINCE: KEPT}
