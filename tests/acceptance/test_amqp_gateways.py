"""Two gateways over one RabbitMQ: B joins A's broker as a partner, packages and statuses cross."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.rabbitmq_admin import RabbitMqAdmin
from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.amqp_software import Account, add_partner, amqp_gateway, command
from tests.support.packages import new_id
from tests.support.servers import RabbitMq, wait_until
from tests.support.service import GatewayProcess, Site, open_site

PROVINCE = "000.00.00.H41"
MINISTRY = "000.00.00.G22"
MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
#: Bytes of the attachments of a package of 120 MB on the wire (base64 makes them a third larger).
ATTACHMENTS = (45 * MIB, 45 * MIB)
#: How much the broker may grow while a package of 120 MB passes by.
MOST_GROWTH = 25 * MIB


@dataclass
class Side:
    """One gateway and the one office behind it."""

    site: Site
    gateway: GatewayProcess
    office: AgencyClient


@dataclass
class Pair:
    """A with the broker, B its partner."""

    a: Side
    b: Side
    account: Account
    rabbitmq: RabbitMq


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq_server: RabbitMq,
) -> Iterator[Pair]:
    """A on PostgreSQL and RabbitMQ with the province, B on its embedded default with a ministry."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("gateways")
        site_a = stack.enter_context(open_site("production", folder / "a", request))
        site_b = stack.enter_context(open_site("embedded", folder / "b", request))
        site_a.connect(province=(PROVINCE,))
        site_b.connect(ministry=(MINISTRY,))
        options = ("gateway=true",)
        account = add_partner(site_a, rabbitmq_server, "gateway-b", MINISTRY, options=options)
        gateway_a = amqp_gateway(site_a, rabbitmq_server, relay_poll_seconds=0.2)
        choices = (
            f"url={account.url}",
            f"user={account.user}",
            f"names_prefix={site_a.prefix}",
            f"gateway_url={gateway_a.url}",
            # What is under way when B is killed waits for its lease: twice this and a minute.
            "timeout_seconds=30",
        )
        chosen = [part for choice in choices for part in ("-o", choice)]
        command(
            site_b,
            *("connections", "add", "gateway-a", "--kind", "amqp-axis", "--agency", PROVINCE),
            *(*chosen, "--secret-file", "-"),
            given=account.secret,
        )
        gateway_b = site_b.gateway(relay_poll_seconds=0.2).start()
        a = Side(site_a, gateway_a, site_a.client("province", gateway_a))
        b = Side(site_b, gateway_b, site_b.client("ministry", gateway_b))
        yield Pair(a, b, account, rabbitmq_server)


def _until_delivered(side: Side, delivery_id: str, deadline: float = 60.0) -> None:
    wait_until(
        lambda: side.office.delivery(delivery_id)["state"] == "delivered", deadline, "delivered"
    )


def _round_trip(from_side: Side, to_side: Side, sender: str, recipient: str) -> None:
    letter = packages.document(sender, (recipient,), new_id(sender))
    answer = from_side.office.submit(letter)
    assert answer.status == 202, answer
    [delivery] = answer.json["deliveries"]
    got = to_side.office.receive(1)
    assert list(got.values()) == [letter]
    _until_delivered(from_side, delivery["id"])
    for code in ("01", "03", "06"):
        reported = to_side.office.report(next(iter(got)), code)
        assert reported.status in (200, 202), reported
        [report] = from_side.office.receive(1).values()
        assert f"<edXML:StatusCode>{code}".encode() in report
    wait_until(lambda: from_side.office.delivery(delivery["id"])["businessState"] == "06", 10, "06")


def test_a_document_goes_over_and_its_statuses_return(pair: Pair) -> None:
    """From an office of A to one of B: byte for byte, delivered, then 01, 03 and 06 come back."""
    _round_trip(pair.a, pair.b, PROVINCE, MINISTRY)


def test_the_same_in_the_other_direction(pair: Pair) -> None:
    """From B, which publishes to A's broker, and gets its answers there."""
    _round_trip(pair.b, pair.a, MINISTRY, PROVINCE)


def test_what_the_other_gateway_refuses_comes_back_as_a_status_02(pair: Pair) -> None:
    """B's office sends in the name of an agency that A does not believe B to speak for."""
    pair.b.site.connect(other=("000.00.00.G17",))
    other = pair.b.site.client("other", pair.b.gateway)
    answer = other.submit(packages.document("000.00.00.G17", (PROVINCE,), new_id("000.00.00.G17")))
    assert answer.status == 202, answer
    [report] = other.receive(1).values()
    assert b"<edXML:StatusCode>02" in report
    row = other.delivery(answer.json["deliveries"][0]["id"])
    assert (row["state"], row["reason"]["code"]) == ("returned", "refused-by-partner")
    assert pair.a.office.waiting() == []


def test_both_ways_at_once_each_arrives_once(pair: Pair) -> None:
    """Fifty documents each way while B is killed: nothing lost, doubled or altered."""
    there = [packages.document(PROVINCE, (MINISTRY,), new_id(PROVINCE)) for _ in range(50)]
    back = [packages.document(MINISTRY, (PROVINCE,), new_id(MINISTRY)) for _ in range(50)]
    for one, other in zip(there, back, strict=True):
        assert pair.a.office.submit(one).status == 202
        assert pair.b.office.submit(other).status == 202
    pair.b.gateway.kill()
    pair.b.gateway.start()
    # What B was handing over when it was killed belongs to it until its lease ends; see recover.
    assert sorted(pair.b.office.receive(50, 60).values()) == sorted(there)
    assert sorted(pair.a.office.receive(50, 200).values()) == sorted(back)
    assert pair.a.office.waiting() == [] == pair.b.office.waiting()


def _memory(rabbitmq: RabbitMq) -> int:
    async def ask() -> int:
        async with RabbitMqAdmin(rabbitmq.admin_url, "/") as admin:
            return int((await admin._call("GET", "nodes", None))[0]["mem_used"])

    return asyncio.run(ask())


@contextmanager
def _flat_broker(rabbitmq: RabbitMq, label: str) -> Iterator[None]:
    """Sample the broker's memory all the while; it may not grow with the package.

    The management API knows it to the nearest five seconds, the kernel at any moment.
    """
    statm = Path(f"/proc/{rabbitmq.pid}/statm")

    def resident() -> int:
        return int(statm.read_text().split()[1]) * PAGE

    told, measured = [_memory(rabbitmq)], [resident()]
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            measured.append(resident())
            if len(measured) % 5 == 0:
                told.append(_memory(rabbitmq))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    for what, values in (("management API", told), ("resident", measured)):
        before, peak, after = (one / MIB for one in (values[0], max(values), values[-1]))
        print(f"{label}, {what}: before {before:.1f}, peak {peak:.1f}, after {after:.1f} MiB")
        assert len(values) > 3, "too few samples to prove anything"
        assert max(values) - values[0] < MOST_GROWTH


def _fetch_digest(side: Side, delivery_id: str) -> str:
    """SHA-256 of the bytes in an inbox, read block by block."""
    link = http.client.HTTPConnection("127.0.0.1", side.gateway.port, timeout=60)
    name = next(iter(side.site.tokens))
    headers = {"Authorization": f"Bearer {side.site.tokens[name]}"}
    link.request("GET", f"/v1/packages/{delivery_id}/content", headers=headers)
    answer = link.getresponse()
    assert answer.status == 200
    digest = hashlib.sha256()
    while block := answer.read(MIB):
        digest.update(block)
    link.close()
    return digest.hexdigest()


@pytest.mark.parametrize("direction", ["to the partner", "from the partner"])
def test_a_package_of_120_mb_leaves_the_broker_flat(
    pair: Pair, tmp_path: Path, direction: str
) -> None:
    """Only a claim check passes through RabbitMQ; both gateways stream."""
    ends = [(pair.a, PROVINCE), (pair.b, MINISTRY)]
    (start, sender), (end, recipient) = ends if direction == "to the partner" else ends[::-1]
    file = tmp_path / "large.edxml"
    digest = packages.write_large(file, sender, (recipient,), new_id(sender), ATTACHMENTS)
    assert file.stat().st_size >= 120_000_000
    with _flat_broker(pair.rabbitmq, direction):
        name = next(iter(start.site.tokens))
        link = http.client.HTTPConnection("127.0.0.1", start.gateway.port, timeout=120)
        with file.open("rb") as body:
            headers = {"Authorization": f"Bearer {start.site.tokens[name]}"}
            link.request("POST", "/v1/packages", body, headers)
            answer = link.getresponse()
            told = json.loads(answer.read())
        link.close()
        assert answer.status == 202, told
        _until_delivered(start, told["deliveries"][0]["id"], 120)
        [item] = end.office.inbox(wait=10)["items"]
        assert item["sha256"] == digest == _fetch_digest(end, item["id"])
        assert end.office.confirm(item["id"]).status == 200
    for side in (start, end):
        assert side.gateway.memory_peak() < 400 * MIB


def test_both_end_promptly_without_a_fault_in_their_logs(pair: Pair) -> None:
    """SIGTERM; no bug, no secret in either log."""
    for side in (pair.b, pair.a):
        assert side.gateway.stop(20) == 0
        log = side.gateway.log.read_text()
        assert '.bug"' not in log and pair.account.secret not in log and "signature=" not in log
