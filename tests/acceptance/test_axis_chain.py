"""Axis ↔ gateway ↔ axis: a province, the national axis and a ministry, three gateways in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway import clock
from gateway.cli.session import open_session
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.axis import settings_of
from tests.support.axis_chain import RECEIVER, SENDER, Chain, open_chain
from tests.support.servers import wait_until


@pytest.fixture(scope="module")
def chain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    """The three gateways, shared by the module."""
    with open_chain(tmp_path_factory.mktemp("chain"), request, 60) as opened:
        yield opened


def _document(number: int, *recipients: str, **more: Any) -> bytes:
    document_id = f"{SENDER},2026/11/02,{number}/CV-ROAD"
    return packages.document(
        SENDER, recipients or (RECEIVER,), document_id, number=str(number), **more
    )


def _next(client: AgencyClient, deadline: float = 30.0) -> tuple[dict[str, Any], bytes]:
    """The next package of an inbox, fetched and confirmed."""
    found: list[dict[str, Any]] = []
    wait_until(lambda: found.extend(client.inbox(wait=2)["items"]) or found, deadline, "a package")
    item = found[0]
    body = client.fetch(item["id"]).body
    assert client.confirm(item["id"]).status == 200
    return item, body


def _state(client: AgencyClient, package_id: str) -> tuple[str, str | None]:
    (row,) = client.package(package_id)["deliveries"]
    return row["state"], row.get("businessState")


def test_there_and_back(chain: Chain) -> None:
    """Byte for byte to the ministry; 01, 03 and 06 arrive at the first sender and are applied."""
    province, ministry = chain.province, chain.ministry
    content = _document(1, files=[packages.File("a.pdf", packages.pdf("nội dung", 20_000))])
    sent = province.submit(content)
    assert sent.status == 202, sent
    item, body = _next(ministry)
    assert body == content
    for code in ("01", "03", "06"):
        assert ministry.report(item["id"], code).status in (200, 201, 202)
        told, _ = _next(province)
        assert (told["meaning"], told["documentId"]) == (code, item["documentId"])
    assert _state(province, sent.json["id"]) == ("delivered", "06")
    assert ministry.inbox()["items"] == province.inbox()["items"] == []


def test_a_refusal_of_the_ministry(chain: Chain) -> None:
    """02 with its reason, through both other gateways."""
    sent = chain.province.submit(_document(2))
    item, _ = _next(chain.ministry)
    assert chain.ministry.report(item["id"], "02", "Gửi nhầm cơ quan").status in (200, 201, 202)
    told, body = _next(chain.province)
    assert told["meaning"] == "02" and "Gửi nhầm cơ quan".encode() in body
    assert _state(chain.province, sent.json["id"]) == ("delivered", "02")


def test_a_recall_goes_the_whole_way(chain: Chain) -> None:
    """The ministry has the document, is asked to give it back, agrees: the province hears 15."""
    sent = chain.province.submit(_document(3))
    item, _ = _next(chain.ministry)
    recalled = chain.province.call(
        "POST",
        f"/v1/documents/{sent.json['documentId'].replace('/', '%2F')}/recall",
        '{"reason": "Ban hành nhầm"}'.encode(),
        {"Content-Type": "application/json"},
    )
    assert recalled.status in (200, 202), recalled
    asked, _ = _next(chain.ministry)
    assert asked["documentId"] == item["documentId"]
    assert chain.ministry.report(item["id"], "15").status in (200, 201, 202)
    told, _ = _next(chain.province)
    assert told["meaning"] == "15"


def test_whom_the_axis_does_not_know(chain: Chain) -> None:
    """One recipient is unknown at the axis: the other gets the document, the sender a status 02."""

    async def known_here_alone() -> None:
        async with open_session(settings_of(chain.sites["A"])) as session:
            agency = Agency(OrganId.of("X77"), "Chỉ tỉnh biết")
            await session.registry.put_agencies(
                [agency], actor="operator:test", source="test", now=clock.now()
            )

    asyncio.run(known_here_alone())
    content = _document(4, RECEIVER, "X77")
    chain.province.submit(content)
    _, body = _next(chain.ministry)
    assert body == content
    told, report = _next(chain.province)
    assert told["meaning"] == "02" and b"X77" in report


def test_the_axis_is_away_for_a_while(chain: Chain) -> None:
    """Documents are accepted at both ends meanwhile, and cross when it is back; each comes once."""
    chain.gateways["N"].kill()
    contents = {_document(number) for number in range(5, 9)}
    for content in contents:
        assert chain.province.submit(content).status == 202
    chain.gateways["N"].start()
    assert set(chain.ministry.receive(4, 60).values()) == contents
    assert chain.ministry.inbox()["items"] == []


def test_a_large_package_in_little_memory(chain: Chain, tmp_path: Path) -> None:
    """60 MB through three gateways, base64 in JSON on the way: the bytes are the same."""
    path = tmp_path / "large.edxml"
    document_id = f"{SENDER},2026/11/02,60/CV-ROAD"
    sizes = [22 * 1024 * 1024, 22 * 1024 * 1024]
    digest = packages.write_large(path, SENDER, [RECEIVER], document_id, sizes)
    before = {name: gateway.memory_peak() for name, gateway in chain.gateways.items()}
    sent = chain.province.submit(path.read_bytes())
    assert sent.status == 202, sent
    item, body = _next(chain.ministry, 60)
    assert (item["documentId"], sha256(body).hexdigest()) == (document_id, digest)
    for name, gateway in chain.gateways.items():
        grown = gateway.memory_peak() - before[name]
        assert grown < 40 * 1024 * 1024, f"{name} grew by {grown >> 20} MiB"
