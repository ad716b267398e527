"""The same packages through every kind of connection arrive byte-identical."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.amqp_software import Account, AmqpSoftware, add_partner, amqp_gateway
from tests.support.packages import File, new_id
from tests.support.push_receiver import push_receiver
from tests.support.servers import RabbitMq, wait_until, wait_until_async
from tests.support.service import open_site
from tests.support.vxp_client import VxpClient

SENDER = "000.00.00.G22"
PULL, VXP, AMQP, PUSH, FOLDER = (f"000.00.00.H{number}" for number in (41, 53, 17, 34, 38))


def package_set() -> list[bytes]:
    """Small and large, urgent and ordinary, one file, several, none, odd characters."""
    everybody = (PULL, VXP, AMQP, PUSH, FOLDER)
    return [
        packages.document(
            SENDER, everybody, new_id(), files=files, subject=subject, priority=urgent
        )
        for files, subject, urgent in (
            ((), "Không có tệp", 0),
            ((File("a.pdf", packages.pdf("một")),), "Một tệp & <dấu> “lạ”", 1),
            ((File("to.pdf", packages.pdf("to", 3_000_000)),), "Tệp lớn hơn giới hạn nội tuyến", 0),
            (tuple(File(f"{n}.pdf", packages.pdf(str(n), 50_000)) for n in range(4)), "Bốn tệp", 2),
        )
    ]


def _fetch(port: int, url: str) -> bytes:
    """Follow a claim check: its address is all that is needed."""
    address = urlsplit(url)
    with urlopen(f"http://127.0.0.1:{port}{address.path}?{address.query}", timeout=30) as answer:
        return bytes(answer.read())


async def _through_amqp(
    account: Account, sender: AgencyClient, port: int, expected: dict[str, bytes]
) -> None:
    """Hand the set in, and collect it from the partner's queue."""
    async with AmqpSoftware(account) as software:
        for content in expected.values():
            answer = await asyncio.to_thread(sender.submit, content)
            assert answer.status == 202, answer
        await wait_until_async(
            lambda: len(software.packages) == len(expected), 60, "packages in the queue"
        )
        got = {}
        for message in software.packages.values():
            content = message.body
            if "claim-check" in str(message.content_type):
                content = await asyncio.to_thread(_fetch, port, json.loads(content)["url"])
            got[str(message.headers["lt-sha256"])] = content
    assert got == expected


def test_the_same_set_arrives_byte_identical_through_every_kind(
    request: pytest.FixtureRequest, tmp_path: Path, rabbitmq_server: RabbitMq
) -> None:
    """Pull, VXP, AMQP, push and folder on one gateway: each recipient gets exactly the bytes."""
    with open_site("production", tmp_path / "site", request) as site, push_receiver() as pushed:
        site.connect(sender=[SENDER], pull=[PULL])
        secret = site.partner("vxp", "vxp", [VXP], system_id=VXP)["secret"]
        account = add_partner(site, rabbitmq_server, "amqp", AMQP)
        added = site.partner("push", "push", [PUSH], url=pushed.url, dial_networks="127.0.0.0/8")
        pushed.secret = added["secret"]
        site.partner("folder", "folder", [FOLDER], folder=tmp_path / "folder")
        gateway = amqp_gateway(site, rabbitmq_server)
        sender, vxp = site.client("sender", gateway), VxpClient(gateway.port, VXP, secret)
        sent = package_set()
        expected = {sha256(content).hexdigest(): content for content in sent}
        asyncio.run(_through_amqp(account, sender, gateway.port, expected))
        got = site.client("pull", gateway).receive(len(sent), 60)
        assert sorted(got.values()) == sorted(sent)
        wait_until(lambda: len(vxp.received()) == len(sent), 60, "the VXP list")
        assert sorted(vxp.get(item["docId"]) for item in vxp.received()) == sorted(sent)
        pushed.wait_for(len(sent), 60)
        assert sorted(pushed.taken.values()) == sorted(sent) and pushed.forged == []
        place = tmp_path / "folder" / "delivery"
        wait_until(lambda: len(list(place.glob("*.edxml"))) == len(sent), 60, "files")
        assert sorted(path.read_bytes() for path in place.glob("*.edxml")) == sorted(sent)
