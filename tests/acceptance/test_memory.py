"""Large packages in little memory, and disks that have no room for them."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ministry import AGENCIES, NGHE_AN, SENDER, Ministry
from tests.acceptance.raw import problem, talk
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import wait_until
from tests.support.service import SERVE, open_site

MIB = 1024 * 1024
#: How much the process may grow, whatever the size of a package.
GROWTH = 64 * MIB


@pytest.fixture
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ministry]:
    """A gateway of this test alone, not started: its memory is measured, or its disk is full."""
    with open_site("embedded", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        yield Ministry(site, site.gateway())


def test_four_attachments_of_50_mb(alone: Ministry, tmp_path: Path) -> None:
    """267 MB on the wire: in, checked, out again the same, while the process hardly grows."""
    gateway = alone.gateway.start()
    for _ in range(3):  # warm: what is loaded once is not growth
        alone.offered("nghe_an", alone.send()[1].json["id"])
    source = tmp_path / "large.edxml"
    digest = packages.write_large(source, SENDER, (NGHE_AN,), new_id(), [50 * MIB] * 4)
    before = gateway.memory_peak()
    with source.open("rb") as body:
        link = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120, blocksize=MIB)
        headers = {
            "Authorization": f"Bearer {alone.site.tokens['vpcp']}",
            "Content-Length": str(source.stat().st_size),
        }
        link.request("POST", "/v1/packages", body, headers)
        answer = link.getresponse()
        accepted = json.loads(answer.read())
    assert (answer.status, accepted["sha256"]) == (202, digest), accepted
    sizes = [
        file["size"] for file in alone.sender.package(accepted["id"])["summary"]["attachments"]
    ]
    assert sizes == [50 * MIB] * 4
    line = alone.offered("nghe_an", accepted["id"])
    link.request(
        "GET",
        f"/v1/packages/{line['id']}/content",
        headers={"Authorization": f"Bearer {alone.site.tokens['nghe_an']}"},
    )
    back, got = link.getresponse(), hashlib.sha256()
    while block := back.read(MIB):
        got.update(block)
    link.close()
    assert got.hexdigest() == digest
    grown = gateway.memory_peak() - before
    print(f"peak memory before {before // MIB} MiB, grown by {grown / MIB:.1f} MiB")
    assert grown <= GROWTH


def test_a_body_without_end_is_cut_at_the_limit(alone: Ministry) -> None:
    """600 MB in chunks, unannounced: 413 once the limit is reached, in flat memory."""
    gateway = alone.gateway.start()
    alone.offered("nghe_an", alone.send()[1].json["id"])
    before = gateway.memory_peak()
    start = packages.document(SENDER, (NGHE_AN,), new_id(), files=[packages.File("a.pdf", b"%PDF")])
    start = start[: start.index(b"</edXML:ContentTransferEncoded>")]
    block = b"QUJD" * (MIB // 4)
    with talk(gateway.port, timeout=60) as peer:
        token = f"Bearer {alone.site.tokens['vpcp']}"
        peer.head("POST", "/v1/packages", Authorization=token, Transfer_Encoding="chunked")
        peer.chunks([start])
        peer.chunks(block for _ in range(600))
        told = problem(peer.answer(), 413, "too-large")
    assert told["setting"] == "max_package_mib"
    assert gateway.memory_peak() - before <= GROWTH
    assert list(alone.site.incoming.iterdir()) == []


def test_a_full_disk_is_said_before_and_on_the_way(alone: Ministry) -> None:
    """Too little room: 507 that names the setting; room that runs out: 507, and nothing is left."""
    gateway = alone.site.gateway(min_free_mib=10**9).launch()
    wait_until(lambda: "listening" in gateway.tail(), 20, "the gateway to listen")
    full = Ministry(alone.site, gateway)
    answer = full.sender.submit(packages.document(SENDER, (NGHE_AN,), new_id()))
    told = problem((answer.status, answer.headers, answer.body), 507, "disk-full")
    assert (told["setting"], answer.headers["retry-after"]) == ("min_free_mib", "60")
    ready = full.sender.once("GET", "/readyz")
    assert (ready.status, ready.json["parts"]["payloads"]["ok"]) == (503, False)
    assert gateway.stop() == 0
    # The kernel refuses to let any file grow beyond 3 MB: the disk that fills while writing.
    limited = ("prlimit", f"--fsize={3 * MIB}", *SERVE)
    narrow = Ministry(alone.site, alone.site.gateway(command=limited).start())
    files = [packages.File("a.pdf", packages.pdf("lớn", 4 * MIB))]
    large = packages.document(SENDER, (NGHE_AN,), new_id(), files=files)
    answer = narrow.sender.submit(large)
    problem((answer.status, answer.headers, answer.body), 507, "disk-full")
    assert list(alone.site.incoming.iterdir()) == []
    small, accepted = narrow.send()
    line = narrow.offered("nghe_an", accepted.json["id"])
    assert narrow.nghe_an.fetch(line["id"]).body == small
    assert narrow.gateway.stop() == 0
    # With room again the same package is taken.
    wide = Ministry(alone.site, alone.gateway.start())
    assert wide.sender.submit(large).status == 202
