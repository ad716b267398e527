"""Two gateways on two machines: they share PostgreSQL, RabbitMQ and a bucket, and no folder.

The bucket is reached through a proxy, so that it can be taken away and come back with everything.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ministry import AGENCIES, NGHE_AN, SENDER, Ministry
from tests.acceptance.test_processes import proxied
from tests.support import packages
from tests.support.agency_client import LOST, Answer
from tests.support.mutants import CRASHED
from tests.support.packages import new_id
from tests.support.s3_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.servers import FlakyProxy, wait_until
from tests.support.servers.flaky_proxy import Direction
from tests.support.service import SERVE, open_site

MIB = 1024 * 1024
#: How much memory a gateway may grow by while 72 MB pass through it.
GROWTH = 48 * MIB
#: What a store that is cut off costs is bounded; far less than a client's patience.
PATIENCE = 30.0


@dataclass
class TwoMachines:
    """The machines, the way to their bucket, and how to tell it things."""

    here: Ministry
    there: Ministry
    proxy: FlakyProxy
    tell: Callable[[Callable[[], None]], None]
    server: S3Server
    bucket: str
    settings: dict[str, object]
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def both(self) -> tuple[Ministry, Ministry]:
        """Here and there."""
        return self.here, self.there

    def stored(self) -> list[str]:
        """Names of stored objects."""
        return [key for key in self.server.keys(self.bucket) if "readiness" not in key]

    def cut(self) -> None:
        """The bucket is out of reach, for both."""
        self.tell(self.proxy.cut)

    def cut_in_the_middle(self, of: Callable[[], Answer], direction: Direction) -> Future[Answer]:
        """Begin something slowly, and take the bucket away after some megabytes of it."""
        before = self.proxy.forwarded[direction]
        self.tell(lambda: self.proxy.slow(0.005))
        future = self.threads.submit(of)
        enough = before + 10 * MIB
        wait_until(lambda: self.proxy.forwarded[direction] > enough, 20, "some megabytes")
        assert not future.done()
        self.cut()
        return future

    def heal(self) -> None:
        """The bucket is back."""
        self.tell(self.proxy.heal)
        for one in self.both():
            wait_until(one.gateway.ready, 15, "a gateway that has its bucket back")


@pytest.fixture(scope="module")
def machines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> Iterator[TwoMachines]:
    """Both machines running, with the agencies of `AGENCIES`."""
    bucket = s3_server.create_bucket()
    folder = tmp_path_factory.mktemp("shared")
    with open_site("production", folder / "here", request) as site, proxied(s3_server.port) as way:
        site.connect(**AGENCIES)
        proxy, tell = way
        settings: dict[str, object] = {
            "payload_url": f"s3://{bucket}/lienthong/test",
            "payload_s3_endpoint": f"http://127.0.0.1:{proxy.port}",
            "payload_s3_region": REGION,
            "payload_s3_access_key_id": ACCESS_KEY_ID,
            "payload_s3_secret_access_key": SECRET_ACCESS_KEY,
            "relay_claim_seconds": 2,
        }
        other = replace(site, folder=folder / "there")
        other.folder.mkdir()
        # `processes` is one list for both, so the site ends all of them.
        ministries = [Ministry(one, one.gateway(**settings).start()) for one in (site, other)]
        yield TwoMachines(*ministries, proxy, tell, s3_server, bucket, settings)
        for one in ministries:
            assert one.gateway.stop() == 0
            log = one.gateway.log.read_text(errors="replace")
            assert '.bug"' not in log
            assert SECRET_ACCESS_KEY not in log


@pytest.fixture
def two(machines: TwoMachines) -> Iterator[TwoMachines]:
    """Both machines; afterwards the bucket is there and nothing is left in their folders."""
    yield machines
    machines.heal()
    for one in machines.both():
        assert list(one.site.incoming.iterdir()) == []
    machines.here.empty_inboxes()


def document(size: int, count: int = 1) -> bytes:
    """A document with so many attachments of about this size."""
    files = [
        packages.File(f"công văn {number}.pdf", packages.pdf("văn bản", size))
        for number in range(count)
    ]
    return packages.document(SENDER, (NGHE_AN,), new_id(), files=files)


def try_once(ministry: Ministry, content: bytes) -> Answer:
    """One try of handing in, whatever comes."""
    headers = {"Content-Type": "application/xml"}
    return ministry.sender.once("POST", "/v1/packages", content, headers, timeout=PATIENCE)


def told_to_try_again(answer: Answer) -> None:
    """A 503 that names what is away and when to try again, and is no acceptance."""
    assert (answer.status, answer.json["code"]) == (503, "try-again"), answer
    assert answer.json["cause"] == "payloads"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("size", [1000, 3 * MIB, 17 * MIB])
def test_handed_in_here_fetched_there(two: TwoMachines, size: int) -> None:
    """The other machine hands out the same bytes, small, in blocks, and stored in parts."""
    content = document(size)
    answer = two.here.sender.submit(content)
    assert answer.status == 202, answer
    line = two.there.offered("nghe_an", answer.json["id"])
    for one in (two.there, two.here):
        got = one.nghe_an.fetch(line["id"])
        assert got.body == content
        assert got.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert int(got.headers["content-length"]) == len(content)
    assert [key for key in two.stored() if hashlib.sha256(content).hexdigest() in key]
    again = two.there.sender.submit(content)
    assert (again.status, again.json["id"]) == (200, answer.json["id"])


def test_memory_does_not_grow_with_the_package(two: TwoMachines) -> None:
    """72 MB go into the bucket and come out of it in the memory of a few blocks."""
    warm = two.here.sender.submit(document(9 * MIB))
    two.there.nghe_an.fetch(two.there.offered("nghe_an", warm.json["id"])["id"])
    before = [one.gateway.memory_peak() for one in two.both()]
    content = document(36 * MIB, 2)
    answer = two.here.sender.submit(content)
    assert answer.status == 202, answer
    line = two.there.offered("nghe_an", answer.json["id"])
    assert two.there.nghe_an.fetch(line["id"]).body == content
    after = [one.gateway.memory_peak() for one in two.both()]
    grown = [now - then for now, then in zip(after, before, strict=True)]
    print(f"grown by {[count // MIB for count in grown]} MiB")
    assert max(grown) <= GROWTH


def test_accepted_and_killed(two: TwoMachines) -> None:
    """The machine that said 202 is gone the next moment: the other one has the package."""
    content = document(9 * MIB)
    answer = two.here.sender.submit(content)
    two.here.gateway.kill()
    assert answer.status == 202, answer
    line = two.there.offered("nghe_an", answer.json["id"], deadline=30)
    assert two.there.nghe_an.fetch(line["id"]).body == content
    two.here.gateway.start()


def test_killed_between_bucket_and_database(two: TwoMachines) -> None:
    """Stored and not recorded: no answer, no document; handed in again elsewhere it is taken."""
    command = (sys.executable, "-m", "tests.support.mutants", "--crash-at", "payload-kept")
    mortal = two.here.site.gateway(command=command, **two.settings).start()
    content = document(9 * MIB)
    with pytest.raises(LOST):
        two.here.site.client("vpcp", mortal).once("POST", "/v1/packages", content)
    assert mortal.ended() == CRASHED
    digest = hashlib.sha256(content).hexdigest()
    assert len([key for key in two.stored() if digest in key]) == 1
    answer = two.there.sender.submit(content)
    # Not 200: nothing had been recorded.
    assert answer.status == 202, answer
    line = two.here.offered("nghe_an", answer.json["id"])
    assert two.here.nghe_an.fetch(line["id"]).body == content
    for path in two.here.site.incoming.iterdir():
        # What the dead process was receiving; the upkeep removes it after a day.
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        path.unlink()


def test_without_the_bucket_nothing_is_accepted_and_nothing_lost(two: TwoMachines) -> None:
    """503 that says to try again, and readiness that says why; the same package goes in later."""
    contents = {size: document(size) for size in (1000, 10 * MIB)}
    before = two.stored()
    two.cut()
    for ministry in two.both():
        for content in contents.values():
            told_to_try_again(try_once(ministry, content))
    wait_until(lambda: not two.here.gateway.ready(), 10, "readiness to notice")
    ready = two.here.sender.once("GET", "/readyz", timeout=PATIENCE)
    assert ready.status == 503
    assert ready.json["parts"]["payloads"]["ok"] is False
    assert "S3 put" in ready.json["parts"]["payloads"]["detail"]
    assert ready.json["parts"]["database"]["ok"] is True
    two.heal()
    assert two.stored() == before
    for content in contents.values():
        answer = two.here.sender.submit(content)
        # Not 200: what was answered with 503 had not been recorded.
        assert answer.status == 202, answer
        line = two.there.offered("nghe_an", answer.json["id"])
        assert two.there.nghe_an.fetch(line["id"]).body == content


def test_a_bucket_that_does_not_answer_holds_up_no_probe(two: TwoMachines) -> None:
    """Black hole: readiness says so within its own time limit, and the process is alive."""
    two.tell(two.proxy.stall)
    wait_until(lambda: _payloads_part(two.here)["ok"] is False, 15, "readiness to notice")
    assert "no answer" in _payloads_part(two.here)["detail"]
    assert two.here.sender.once("GET", "/healthz").status == 200


def _payloads_part(ministry: Ministry) -> dict[str, Any]:
    """What /readyz says of the store, within the time that a probe may take."""
    answer = ministry.sender.once("GET", "/readyz", timeout=8)
    part: dict[str, Any] = answer.json["parts"]["payloads"]
    return part


def test_lost_in_the_middle_of_an_upload(two: TwoMachines) -> None:
    """Cut off after some megabytes: 503, no half payload, and the whole one afterwards."""
    content = document(20 * MIB)
    before = two.stored()
    told = two.cut_in_the_middle(lambda: try_once(two.here, content), "up")
    told_to_try_again(told.result(PATIENCE))
    assert two.stored() == before
    two.heal()
    answer = two.there.sender.submit(content)
    assert answer.status == 202, answer
    line = two.here.offered("nghe_an", answer.json["id"])
    assert two.here.nghe_an.fetch(line["id"]).body == content


def test_a_short_interruption_is_bridged(two: TwoMachines) -> None:
    """Connections that are reset in the middle, both ways: tried again, and nobody notices."""
    content = document(20 * MIB)
    two.tell(lambda: two.proxy.cut_after(9 * MIB, "up"))
    answer = try_once(two.here, content)
    assert answer.status == 202, answer
    line = two.there.offered("nghe_an", answer.json["id"])
    two.tell(lambda: two.proxy.cut_after(9 * MIB, "down"))
    assert two.there.nghe_an.fetch(line["id"]).body == content


def test_lost_while_fetching(two: TwoMachines) -> None:
    """Away: 503. Lost in the middle: a connection that ends too early, never a whole answer."""
    content = document(20 * MIB)
    answer = two.here.sender.submit(content)
    line = two.there.offered("nghe_an", answer.json["id"])
    path = f"/v1/packages/{line['packageId']}/content"
    two.cut()
    told_to_try_again(two.there.nghe_an.once("GET", path, timeout=PATIENCE))
    two.heal()
    fetching = two.cut_in_the_middle(lambda: two.there.nghe_an.once("GET", path), "down")
    with pytest.raises((IncompleteRead, *LOST)):
        fetching.result(PATIENCE)
    two.heal()
    assert two.there.nghe_an.fetch(line["id"]).body == content


def test_what_was_lost_in_the_bucket_is_said(two: TwoMachines) -> None:
    """A recorded package without its bytes, or with others: 500 for the operator, never a body."""
    content = document(1000)
    answer = two.here.sender.submit(content)
    line = two.here.offered("nghe_an", answer.json["id"])
    [key] = [key for key in two.stored() if hashlib.sha256(content).hexdigest() in key]
    two.server.write(two.bucket, key, content[:-1] + b" ")
    damaged = two.there.nghe_an.fetch(line["id"])
    assert (damaged.status, damaged.json["code"]) == (500, "payload-missing")
    two.server.delete(two.bucket, key)
    for one in two.both():
        missing = one.nghe_an.fetch(line["id"])
        assert (missing.status, missing.json["code"]) == (500, "payload-missing")
    two.server.write(two.bucket, key, content)
    assert two.there.nghe_an.fetch(line["id"]).body == content


def test_a_bucket_that_comes_and_goes_under_load(two: TwoMachines) -> None:
    """Four senders at two machines while the bucket goes away and returns: all accepted arrive."""
    two.here.empty_inboxes()
    accepted: dict[str, bytes] = {}
    strange: list[object] = []
    stop = threading.Event()

    def hand_in(ministry: Ministry) -> None:
        while not stop.is_set():
            content = packages.document(SENDER, (NGHE_AN,), new_id())
            answer = try_once(ministry, content)
            if answer.status == 202:
                accepted[answer.json["id"]] = content
            elif answer.status not in (429, 503):
                strange.append(answer)

    threads = [threading.Thread(target=hand_in, args=(one,)) for one in two.both() * 2]
    for thread in threads:
        thread.start()
    for _ in range(2):
        reached = len(accepted) + 10
        wait_until(lambda wanted=reached: len(accepted) >= wanted, 30, "accepted packages")  # type: ignore[misc]
        two.cut()
        wait_until(lambda: not two.here.gateway.ready(), 10, "readiness to notice")
        two.heal()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert strange == []
    got = two.there.nghe_an.receive(len(accepted))
    assert sorted(got.values()) == sorted(accepted.values())


def test_a_read_only_folder_is_not_ready(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A data folder that cannot be written to: not ready, with the reason; and ready again."""
    with open_site("embedded", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        # Root may write anywhere, unless it may not do what modes forbid.
        mortal = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
        gateway = site.gateway(command=(*mortal, *SERVE)).start()
        ministry = Ministry(site, gateway)
        ministry.send()
        site.incoming.chmod(0o555)
        wait_until(lambda: not gateway.ready(), 10, "readiness to notice")
        told = ministry.sender.once("GET", "/readyz")
        assert told.status == 503
        part = told.json["parts"]["payloads"]
        assert part["ok"] is False and "cannot be written to" in part["detail"]
        told_to_try_again(try_once(ministry, document(1000)))
        site.incoming.chmod(0o700)
        wait_until(gateway.ready, 10, "readiness to notice")
        ministry.send()
