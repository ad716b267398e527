"""The service over time: lanes, suspended partners, tokens, several processes, ends and outages."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from routing.route_table import ConnectionStatus
from tests.acceptance.ministry import AGENCIES, NGHE_AN, QUANG_NAM, SENDER, Ministry
from tests.acceptance.raw import talk
from tests.support import packages
from tests.support.agency_client import LOST, AgencyClient
from tests.support.packages import new_id
from tests.support.servers import FlakyProxy, RabbitMq, wait_until
from tests.support.service import MODES, Site, open_site


@pytest.fixture
def production(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site of its own on PostgreSQL and RabbitMQ."""
    with open_site("production", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        yield site


@contextmanager
def suspended(ministry: Ministry, name: str) -> Iterator[None]:
    """Suspend a connection and wait until the gateway knows; resume it afterwards."""
    client = ministry.client(name)
    ministry.site.set_status(name, ConnectionStatus.SUSPENDED)
    try:
        wait_until(lambda: client.call("GET", "/v1/inbox").status == 403, 5, "the suspension")
        yield
    finally:
        ministry.site.set_status(name, ConnectionStatus.ACTIVE)
    wait_until(lambda: client.call("GET", "/v1/inbox").status == 200, 5, "the resumption")


def test_a_suspended_connection_waits_and_loses_nothing(ministry: Ministry) -> None:
    """Its token is refused with a reason; what is addressed to it waits and comes afterwards."""
    with suspended(ministry, "quang_nam"):
        _, accepted = ministry.send(QUANG_NAM, NGHE_AN)
        ministry.offered("nghe_an", accepted.json["id"])
        refused = ministry.quang_nam.call("GET", "/v1/inbox")
        assert (refused.status, refused.json["code"]) == (403, "connection-suspended")
        package = packages.document(QUANG_NAM, (NGHE_AN,), new_id(QUANG_NAM))
        assert ministry.quang_nam.submit(package).json["code"] == "connection-suspended"
        rows = ministry.sender.package(accepted.json["id"])["deliveries"]
        waiting = next(row for row in rows if row["recipientOrganId"] == QUANG_NAM)
        assert (waiting["state"], waiting["attempts"]) == ("accepted", 0)
    ministry.offered("quang_nam", accepted.json["id"])
    ministry.empty_inboxes()


def test_an_urgent_letter_overtakes(ministry: Ministry) -> None:
    """Behind a backlog of ordinary letters an urgent one is offered and listed first."""
    with suspended(ministry, "quang_nam"):
        ordinary = [ministry.send(QUANG_NAM)[1].json["id"] for _ in range(30)]
        urgent = ministry.send(QUANG_NAM, priority=3)[1].json["id"]
    # The lanes are queues of their own: both are waited for, the order is what the list says.
    ministry.offered("quang_nam", ordinary[-1])
    ministry.offered("quang_nam", urgent)
    lines = ministry.quang_nam.waiting()
    assert [line["packageId"] for line in lines] == [urgent, *ordinary]
    assert lines[0]["lane"] == "urgent"
    if ministry.site.mode == "embedded":
        # RabbitMQ hands over the queues of both lanes side by side; within milliseconds.
        assert lines[0]["offeredAt"] <= min(line["offeredAt"] for line in lines[1:])
    ministry.empty_inboxes()


def test_tokens_overlap_while_they_are_rotated(ministry: Ministry) -> None:
    """Old and new token work side by side for the overlap; then the old one is unknown."""
    old = ministry.site.client("quang_nam", ministry.gateway)
    fresh = ministry.site.rotate("quang_nam", timedelta(seconds=3))
    new = AgencyClient(ministry.gateway.port, fresh)
    assert (new.call("GET", "/v1/inbox").status, old.call("GET", "/v1/inbox").status) == (200, 200)
    wait_until(lambda: old.call("GET", "/v1/inbox").status == 401, 10, "the end of the old token")
    assert old.call("GET", "/v1/inbox").json["code"] == "unknown-token"
    assert new.call("GET", "/v1/inbox").status == 200
    # For the tests that come after this one.
    ministry.site.tokens["quang_nam"] = fresh
    ministry._clients.pop("quang_nam", None)


def test_each_role_in_a_process_of_its_own(production: Site) -> None:
    """api, relay, worker, timer as four processes share the work; each can go away for a while."""
    four = {
        role: production.gateway(roles=[role], relay_poll_seconds=0.2, relay_claim_seconds=2)
        for role in ("api", "relay", "worker", "timer")
    }
    for process in four.values():
        process.launch()
    for process in four.values():
        process.wait_ready()
    ministry = Ministry(production, four["api"])
    first = ministry.send(NGHE_AN)[0:2]
    line = ministry.offered("nghe_an", first[1].json["id"])
    assert ministry.nghe_an.fetch(line["id"]).body == first[0]
    for role, process in four.items():
        answer = AgencyClient(process.port, production.tokens["vpcp"]).call("GET", "/v1/inbox")
        assert answer.status == (200 if role == "api" else 404), (role, answer)
    for role in ("relay", "worker"):
        assert four[role].stop() == 0
        accepted = ministry.send(NGHE_AN)[1]
        four[role].start()
        ministry.offered("nghe_an", accepted.json["id"])
    assert four["api"].stop() == 0


def test_a_body_on_its_way_is_taken_at_the_end(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """SIGTERM between two parts of a body: the rest is taken, answered with 202, and it ends."""
    with open_site("embedded", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway().start()
        content = packages.document(SENDER, (NGHE_AN,), new_id())
        with talk(gateway.port) as peer:
            headers = {"Authorization": f"Bearer {site.tokens['vpcp']}", "Expect": "100-continue"}
            peer.head("POST", "/v1/packages", Content_Length=str(len(content)), **headers)
            assert peer.socket.recv(1000).startswith(b"HTTP/1.1 100 ")
            peer.send(content[:500])
            gateway.terminate()
            wait_until(lambda: not gateway.ready(), 10, "the closed door")
            peer.send(content[500:1000])
            peer.send(content[1000:])
            status, _, body = peer.answer()
        assert (status, json.loads(body)["sha256"]) == (202, sha256(content).hexdigest())
        assert gateway.ended() == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_orderly_end_under_load_loses_nothing(
    mode: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """SIGTERM while clients hand in and wait: it ends in time, and what was accepted arrives."""
    with open_site(mode, tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway().start()
        ministry = Ministry(site, gateway)
        accepted: dict[str, bytes] = {}
        strange: list[object] = []
        stop = threading.Event()

        def hand_in() -> None:
            client = site.client("vpcp", gateway)
            while not stop.is_set():
                content = packages.document(SENDER, (NGHE_AN,), new_id())
                try:
                    answer = client.once("POST", "/v1/packages", content)
                except LOST:
                    return  # the gateway is gone
                if answer.status == 202:
                    accepted[answer.json["id"]] = content
                elif answer.status not in (429, 503):
                    strange.append(answer)

        threads = [threading.Thread(target=hand_in) for _ in range(6)]
        polling = threading.Thread(
            target=_poll_until_gone, args=(site.client("quang_nam", gateway),)
        )
        for thread in (*threads, polling):
            thread.start()
        wait_until(lambda: len(accepted) >= 60, 20, "60 accepted packages")
        start = time.monotonic()
        assert gateway.stop(deadline=10) == 0
        took = time.monotonic() - start
        stop.set()
        for thread in (*threads, polling):
            thread.join(10)
            assert not thread.is_alive()
        assert strange == []
        assert took < 10
        assert '"event": "stopped"' in gateway.tail()
        assert list(site.incoming.iterdir()) == []
        gateway.start()
        got = ministry.nghe_an.receive(len(accepted))
        assert sorted(got.values()) == sorted(accepted.values())
        wait_until(lambda: ministry.nghe_an.waiting() == [], 5, "an empty inbox")


def _poll_until_gone(client: AgencyClient) -> None:
    try:
        while client.once("GET", "/v1/inbox?wait=30").status == 200:
            pass
    except LOST:
        return


@contextmanager
def proxied(port: int) -> Iterator[tuple[FlakyProxy, Callable[[Callable[[], None]], None]]]:
    """A proxy in a thread of its own, and a way to tell it things."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = FlakyProxy(target_port=port)
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(5)

    def tell(what: Callable[[], None]) -> None:
        async def call() -> None:
            what()

        asyncio.run_coroutine_threadsafe(call(), loop).result(5)

    try:
        yield proxy, tell
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def test_without_the_broker_documents_wait_and_none_is_refused(
    production: Site, rabbitmq_server: RabbitMq
) -> None:
    """The broker is away, at the start and later: 202 all the same, delivered when it is back."""
    with proxied(rabbitmq_server.port) as (proxy, tell):
        vhost = production.broker_url.rpartition("/")[2]
        site = replace(production, broker_url=rabbitmq_server.url(vhost, port=proxy.port))
        tell(proxy.cut)
        gateway = site.gateway(relay_claim_seconds=2).start()
        production.processes.append(gateway)
        ministry = Ministry(site, gateway)
        for _ in range(2):  # away from the start, then lost in the middle of things
            wait_until(lambda: not _part(ministry, "broker"), 15, "the broker to be missed")
            waiting = [ministry.send(NGHE_AN) for _ in range(5)]
            tell(proxy.heal)
            for content, answer in waiting:
                line = ministry.offered("nghe_an", answer.json["id"], deadline=30)
                assert ministry.nghe_an.fetch(line["id"]).body == content
            assert _part(ministry, "broker")
            tell(proxy.cut)
        tell(proxy.heal)


def _part(ministry: Ministry, name: str) -> bool:
    """Whether /readyz (which stays 200 without a broker) says that a part is well."""
    answer = ministry.sender.call("GET", "/readyz")
    assert answer.status == 200, answer
    return bool(json.loads(answer.body)["parts"][name]["ok"])
