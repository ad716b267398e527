"""A gateway as the client of axes that misbehave: nothing lost, nothing doubled, everybody told."""

from __future__ import annotations

import itertools
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from adapters.vxp_request import unpadded
from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.axis import SimulatedAxis, add, add_axis
from tests.support.axis_gateway import QUICK
from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site, open_site

_numbers = itertools.count(1)


@dataclass
class Province:
    """A gateway with agencies of its own; each test gets an axis and codes that nobody else has."""

    site: Site
    gateway: GatewayProcess

    def agency(self, code: str) -> AgencyClient:
        """An agency of ours, connected by REST."""
        import asyncio

        name = f"qlvb-{code}"
        asyncio.run(add(self.site, name, "pull", [code], {}))
        return self.site.client(name, self.gateway)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Data of all events of a type."""
        database = sqlite3.connect(self.site.data / "lienthong.db")
        try:
            rows = database.execute("SELECT data FROM events WHERE type = ?", (kind,))
            return [json.loads(row[0]) for row in rows]
        finally:
            database.close()


@pytest.fixture(scope="module")
def province(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Province]:
    """One gateway on the embedded default for the whole module."""
    with open_site("embedded", tmp_path_factory.mktemp("axis"), request) as site:
        site.connect(nobody=("Z99",))
        yield Province(site, site.gateway(**QUICK).start())


@pytest.fixture
def codes() -> Callable[[int], list[str]]:
    """Codes of agencies that no other test uses."""
    return lambda count: [f"Q{next(_numbers):02}" for _ in range(count)]


Codes = Callable[[int], list[str]]


def _document(sender: str, *recipients: str, number: str = "1", **more: Any) -> bytes:
    document_id = f"{sender},2026/11/02,{number}/CV-TEST"
    return packages.document(sender, recipients, document_id, number=number, **more)


def test_a_package_comes_in_and_its_states_go_back(province: Province, codes: Codes) -> None:
    """list → getEdoc → durable → done; the bytes are the same; reports go out by sendEdoc."""
    theirs, mine = codes(2)
    content = _document(theirs, mine)
    ours = province.agency(mine)
    with SimulatedAxis() as axis:
        waiting = axis.store.put(content, "edoc", theirs, [mine])
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        (item,) = ours.inbox(wait=10)["items"]
        assert ours.fetch(item["id"]).body == content
        ours.confirm(item["id"])
        axis.done(waiting.doc_id)
        assert ours.report(item["id"], "03").status in (200, 201, 202)
        (report,) = axis.sent("status", 1)
        assert (report.sender, report.to) == (mine, [theirs])
        assert [call.parameters["status"] for call in axis.calls("updateStatus")] == ["done"]


def test_one_request_for_all_recipients(province: Province, codes: Codes) -> None:
    """A package for three agencies there is sent once, names all three, and is signed right."""
    mine, *theirs = codes(4)
    ours = province.agency(mine)
    content = _document(mine, *theirs)
    with SimulatedAxis(replies=[{"status": "01"}, {"status": "06"}]) as axis:
        add_axis(province.site, f"axis-{mine}", axis.url, theirs)
        answer = ours.submit(content)
        assert answer.status == 202, answer
        (sent,) = axis.sent("edoc", 1)
        assert (sent.content, sent.sender, sent.to) == (content, mine, theirs)
        received = ours.receive(6)
        assert len(received) == 6
        (call,) = axis.calls("sendEdoc")
        assert call.parameters["hash-file"] == unpadded(sha256(content).hexdigest())
        assert call.parameters["servicetype"] == "eDoc"
        states = {row["state"] for row in ours.package(answer.json["id"])["deliveries"]}
        assert states == {"delivered"}


@pytest.mark.parametrize("spoiled", ["nulls", "twice", "reverse"])
def test_odd_lists(province: Province, codes: Codes, spoiled: str) -> None:
    """Null members, repeated rows, any order: each package comes once."""
    theirs, mine = codes(2)
    ours = province.agency(mine)
    rules = [{"operation": "getReceivedEdocList", "do": spoiled}]
    with SimulatedAxis(rules=rules) as axis:
        held = [
            axis.store.put(_document(theirs, mine, number=str(n)), "edoc", theirs, [mine])
            for n in range(3)
        ]
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(*(one.doc_id for one in held))
        assert len(ours.receive(3)) == 3
        assert ours.inbox()["items"] == []


def test_the_same_bytes_for_two_agencies(province: Province, codes: Codes) -> None:
    """Two items with the same bytes: one package, two deliveries; each gets its copy once."""
    theirs, one, two = codes(3)
    first, second = province.agency(one), province.agency(two)
    content = _document(theirs, one, two, "Z98")
    with SimulatedAxis() as axis:
        held = [axis.store.put(content, "edoc", theirs, [code]) for code in (one, two)]
        add_axis(province.site, f"axis-{one}", axis.url, [theirs])
        axis.done(*(item.doc_id for item in held))
        for client in (first, second):
            assert list(client.receive(1).values()) == [content]
            assert client.inbox()["items"] == []
        assert axis.store.sent() == []


def test_a_poisoned_item_stops_no_other(province: Province, codes: Codes) -> None:
    """One item is never given whole, another only the third time: the rest come at once."""
    theirs, mine = codes(2)
    ours = province.agency(mine)
    rules = [
        {"operation": "getEdoc", "doc_id": "poison", "do": "cut"},
        {"operation": "getEdoc", "doc_id": "late", "do": "html", "times": 2},
    ]
    with SimulatedAxis(rules=rules) as axis:
        for number, doc_id in enumerate(["poison", "late", "good", "also-good"]):
            content = _document(theirs, mine, number=str(number))
            axis.store.put(content, "edoc", theirs, [mine], doc_id)
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs], alarm_after=2)
        axis.done("good", "also-good")
        axis.done("late")
        assert axis.store.held["poison"].status == "INITIAL"
        assert len(ours.receive(3)) == 3
        wait_until(lambda: province.events("axis.item-stuck"), 10, "the alarm")
        assert {one["docId"] for one in province.events("axis.item-stuck")} >= {"poison"}


def test_refused_for_good_is_told_once(province: Province, codes: Codes) -> None:
    """A package against the rules: status 02 to its sender, done, an event; `done` is lost once."""
    theirs, mine = codes(2)
    province.agency(mine)
    bad = _document(theirs, mine).replace(b"<edXML:Subject>", b"<edXML:Subjekt>", 1)
    rules = [{"operation": "updateStatus", "do": "drop", "times": 1}]
    with SimulatedAxis(rules=rules) as axis:
        axis.store.put(bad, "edoc", theirs, [mine], "bad")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done("bad")
        (report,) = axis.sent("status", 1)
        assert report.to == [theirs]
        assert b"<edXML:StatusCode>02</edXML:StatusCode>" in report.content
        told = [one for one in province.events("axis.refused") if one["docId"] == "bad"]
        assert [one["senderTold"] for one in told] == [True]


def test_bytes_spoiled_on_the_way_are_fetched_again(province: Province, codes: Codes) -> None:
    """getEdoc gives something else, or nothing, once: every document comes, nobody is refused."""
    theirs, mine = codes(2)
    ours = province.agency(mine)
    rules = [
        {"operation": "getEdoc", "doc_id": f"{mine}-{n}", "do": "other-bytes", "times": 1}
        for n in range(3)
    ]
    contents = {f"{mine}-{n}": _document(theirs, mine, number=str(n)) for n in range(4)}
    with SimulatedAxis(rules=rules) as axis:
        for doc_id, content in contents.items():
            axis.store.put(content, "edoc", theirs, [mine], doc_id)
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(*contents)
        assert set(ours.receive(4).values()) == set(contents.values())
        assert axis.store.sent() == []
    assert not {one["docId"] for one in province.events("axis.refused")} & set(contents)


@pytest.mark.parametrize("wrong", [b"<not-a-package/>", b"", b"\x00"])
def test_bytes_that_stay_wrong_are_refused_the_second_time(
    province: Province, codes: Codes, wrong: bytes
) -> None:
    """The same bytes twice: status 02 to whom the axis names, with the axis' docId; then done."""
    theirs, mine = codes(2)
    province.agency(mine)
    with SimulatedAxis() as axis:
        axis.store.put(wrong, "edoc", theirs, [mine], f"bad-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(f"bad-{mine}")
        assert len(axis.calls("getEdoc")) == 2
        (report,) = axis.sent("status", 1)
        assert report.to == [theirs] and f"bad-{mine}".encode() in report.content
        assert "docId của gói tin trên trục".encode() in report.content


def test_a_status_package_that_cannot_be_read_is_answered_by_no_report(
    province: Province, codes: Codes
) -> None:
    """Reports about reports are never made: it is written down and done."""
    theirs, mine = codes(2)
    province.agency(mine)
    with SimulatedAxis() as axis:
        axis.store.put(b"<not-a-package/>", "status", theirs, [mine], f"report-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(f"report-{mine}")
        assert axis.store.sent() == []
    told = [one for one in province.events("axis.refused") if one["docId"] == f"report-{mine}"]
    assert [one["senderTold"] for one in told] == [False]


def test_what_nobody_can_be_told_of_stays_listed(province: Province, codes: Codes) -> None:
    """No way to the sender: no `done`, an alarm; once there is a way it is told, and done."""
    theirs, unknown, mine = codes(3)
    province.agency(mine)
    bad = f"bad-{mine}"
    with SimulatedAxis() as axis:
        axis.store.put(b"<not-a-package/>", "edoc", unknown, [mine], bad)
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs], alarm_after=3)
        wait_until(
            lambda: bad in {one["docId"] for one in province.events("axis.item-stuck")},
            10,
            "the alarm",
        )
        assert axis.store.held[bad].status == "INITIAL"
        assert bad not in {one["docId"] for one in province.events("axis.refused")}
        sender = province.agency(unknown)
        (report,) = sender.receive(1).values()
        assert bad.encode() in report
        axis.done(bad)
        # The third time, and when it was told, only the telling was tried.
        assert len(axis.calls("getEdoc")) == 2


def test_a_state_secret_is_fetched_once(province: Province, codes: Codes) -> None:
    """Its sender cannot be told: refused and done all the same, with one security event."""
    unknown, theirs, mine = codes(3)
    province.agency(mine)
    secret = _document(unknown, mine, subject="TỐI MẬT về phương án")
    digest = sha256(secret).hexdigest()
    with SimulatedAxis() as axis:
        axis.store.put(secret, "edoc", "", [mine], f"secret-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(f"secret-{mine}")
        assert len(axis.calls("getEdoc")) == 1
        assert axis.store.sent() == []
    told = [one for one in province.events("axis.refused") if one["docId"] == f"secret-{mine}"]
    assert [(one["senderTold"], one["digest"]) for one in told] == [(False, digest)]
    alarms = province.events("security.state-secret")
    assert [one["digest"] for one in alarms if one["digest"] == digest] == [digest]


def test_what_is_refused_holds_up_no_other_refusal(province: Province, codes: Codes) -> None:
    """A recall of another's document does not wait for what is refused and cannot be told of."""
    unknown, theirs, mine = codes(3)
    ours = province.agency(mine)
    answer = ours.submit(_document(mine, "Z99"))
    assert answer.status == 202, answer
    recall = packages.document(theirs, [mine], answer.json["documentId"], kind="1")
    with SimulatedAxis() as axis:
        axis.store.put(b"<not-a-package/>", "edoc", unknown, [mine], f"bad-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.heard("getEdoc", 2)
        axis.store.put(recall, "edoc", unknown, [mine], f"recall-{mine}")
        axis.done(f"recall-{mine}")
        (report,) = axis.sent("status", 1)
        assert report.to == [theirs]
        assert axis.store.held[f"bad-{mine}"].status == "INITIAL"


#: The service, looking for a way to the sender of what it refused for four seconds.
IMPATIENT = """
from gateway.axis import refusals
from tests.support import axis_gateway
refusals.GIVE_UP_AFTER = 4.0
axis_gateway.main()
"""


def test_a_way_to_the_sender_is_looked_for_a_bounded_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Nobody is named at all: first it stays listed, then it is done, written down, alarmed."""
    with open_site("embedded", tmp_path, request) as site, SimulatedAxis() as axis:
        site.connect(qlvb=("H41",))
        axis.store.put(b"<not-a-package/>", "edoc", "", ["H41"], "bad")
        add_axis(site, "truc", axis.url, ["G22"], alarm_after=3)
        gateway = site.gateway(command=(sys.executable, "-c", IMPATIENT), **QUICK).start()
        here = Province(site, gateway)
        wait_until(lambda: here.events("axis.item-stuck"), 10, "the alarm")
        assert axis.store.held["bad"].status == "INITIAL"
        assert here.events("axis.refused") == []
        axis.done("bad")
        assert [one["senderTold"] for one in here.events("axis.refused")] == [False]
        assert len(axis.calls("getEdoc")) == 2
        with urlopen(f"{gateway.url}/metrics", timeout=10) as metrics:
            assert b'lienthong_alarms_total{what="refused-untold"} 1.0' in metrics.read()


def test_recalls_that_wait_for_one_another_do_so_for_a_bounded_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What both might have waited for has left the list: in the end both are refused and told."""
    rules = [{"operation": "getEdoc", "doc_id": "poison", "do": "cut"}]
    with open_site("embedded", tmp_path, request) as site, SimulatedAxis(rules=rules) as axis:
        site.connect(qlvb=("H41",), other=("Z99",))
        gateway = site.gateway(command=(sys.executable, "-c", IMPATIENT), **QUICK).start()
        answer = site.client("qlvb", gateway).submit(_document("H41", "Z99"))
        assert answer.status == 202, answer
        axis.store.put(_document("G22", "H41"), "edoc", "G22", ["H41"], "poison")
        for number in ("1", "2"):
            recall = packages.document(
                "G22", ["H41"], answer.json["documentId"], kind="1", number=number
            )
            axis.store.put(recall, "edoc", "G22", ["H41"], f"recall-{number}")
        add_axis(site, "truc", axis.url, ["G22"], alarm_after=3)
        here = Province(site, gateway)
        stuck = {"poison", "recall-1", "recall-2"}
        wait_until(
            lambda: {one["docId"] for one in here.events("axis.item-stuck")} == stuck,
            10,
            "the alarms",
        )
        axis.store.held["poison"].status = "DONE"
        axis.done("recall-1", "recall-2")
        assert len(axis.sent("status", 2)) == 2


@pytest.mark.parametrize("said", ["000.00.00.Q98", ""])
def test_a_sender_nobody_knows_yet_is_waited_for(
    province: Province, codes: Codes, said: str
) -> None:
    """The axis' code is not in our directory, or it names none: no forgery, and not `done`."""
    theirs, later, mine = codes(3)
    ours = province.agency(mine)
    content = _document(later, mine)
    with SimulatedAxis() as axis:
        axis.store.put(content, "edoc", said, [mine], f"early-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs], alarm_after=2)
        wait_until(
            lambda: f"early-{mine}" in {one["docId"] for one in province.events("axis.item-stuck")},
            10,
            "the alarm",
        )
        assert axis.store.held[f"early-{mine}"].status == "INITIAL"
        add_axis(province.site, f"second-{mine}", axis.url, [later])
        axis.done(f"early-{mine}")
        assert list(ours.receive(1).values()) == [content]


def test_the_first_poll_of_a_new_gateway(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Directory and packages come at once, one spoiled, one no package: delivered, and told."""
    mine, theirs = "H41", "G22.10"
    agencies = [{"code": theirs, "name": "Cục", "code102": "000.00.77.G22"}]
    rules = [{"operation": "getEdoc", "doc_id": "spoiled", "do": "other-bytes", "times": 1}]
    with (
        open_site("embedded", tmp_path, request) as site,
        SimulatedAxis(rules=rules, agencies=agencies) as axis,
    ):
        site.connect(qlvb=(mine,))
        content = _document(theirs, mine)
        axis.store.put(content, "edoc", "000.00.77.G22", [mine], "spoiled")
        axis.store.put(b"<not-a-package/>", "edoc", "000.00.77.G22", [mine], "bad")
        add_axis(site, "truc", axis.url, directory_seconds=3600)
        gateway = site.gateway(**QUICK).start()
        axis.done("spoiled", "bad")
        assert list(site.client("qlvb", gateway).receive(1).values()) == [content]
        (report,) = axis.sent("status", 1)
        assert b"bad" in report.content


def test_a_sender_that_is_not_behind_this_axis(province: Province, codes: Codes) -> None:
    """From in the package is another's than the axis says: nobody gets it, it is written down."""
    theirs, forged, mine = codes(3)
    ours = province.agency(mine)
    province.agency(forged)
    with SimulatedAxis() as axis:
        axis.store.put(_document(forged, mine), "edoc", theirs, [mine], f"forged-{mine}")
        add_axis(province.site, f"axis-{mine}", axis.url, [theirs])
        axis.done(f"forged-{mine}")
        assert ours.inbox()["items"] == []
        assert axis.store.sent() == []
        assert province.events("security.not-the-sender")


def _outcome(ours: AgencyClient, package_id: str) -> str:
    (row,) = ours.package(package_id)["deliveries"]
    return str(row["state"])


def _send_one(
    province: Province, codes: Codes, axis: SimulatedAxis, **options: object
) -> tuple[AgencyClient, str, str]:
    mine, theirs = codes(2)
    ours = province.agency(mine)
    add_axis(province.site, f"axis-{mine}", axis.url, [theirs], **options)
    answer = ours.submit(_document(mine, theirs))
    assert answer.status == 202, answer
    return ours, str(answer.json["id"]), theirs


def test_exists_already_is_a_receipt(province: Province, codes: Codes) -> None:
    """The axis says that it has the package: delivered."""
    rules = [{"operation": "sendEdoc", "do": "fail", "text": "Edoc đã tồn tại", "code": "9"}]
    with SimulatedAxis(rules=rules) as axis:
        ours, package_id, _ = _send_one(province, codes, axis)
        wait_until(lambda: _outcome(ours, package_id) == "delivered", 10, "delivered")


def test_a_refusal_reaches_the_sender_in_the_axis_words(province: Province, codes: Codes) -> None:
    """FAIL for good: returned, and the sender gets a status 02 that says why."""
    text = "Agency code does not exist on this axis"
    rules = [{"operation": "sendEdoc", "do": "fail", "text": text}]
    with SimulatedAxis(rules=rules) as axis:
        ours, package_id, theirs = _send_one(province, codes, axis)
        (report,) = ours.receive(1).values()
        assert text.encode() in report and theirs.encode() in report
        assert _outcome(ours, package_id) == "returned"


def test_busy_is_tried_again(province: Province, codes: Codes) -> None:
    """HTTP 503: tried again, then delivered."""
    rules = [{"operation": "sendEdoc", "do": "http", "status": 503, "times": 1}]
    with SimulatedAxis(rules=rules) as axis:
        ours, package_id, _ = _send_one(province, codes, axis)
        wait_until(lambda: _outcome(ours, package_id) == "delivered", 20, "delivered")
        assert len(axis.calls("sendEdoc")) == 2


def test_a_lost_answer_is_asked_about(province: Province, codes: Codes) -> None:
    """Done there, answer lost: unknown, the sent list is asked, delivered without sending twice."""
    rules = [{"operation": "sendEdoc", "do": "lost", "times": 1}]
    with SimulatedAxis(rules=rules) as axis:
        ours, package_id, _ = _send_one(province, codes, axis)
        wait_until(lambda: _outcome(ours, package_id) == "delivered", 20, "delivered")
        assert len(axis.calls("sendEdoc")) == 1
        assert axis.calls("getSentEdocList")


def test_an_axis_that_is_silent_holds_up_no_other(province: Province, codes: Codes) -> None:
    """Two axes: one never answers, the other's packages arrive meanwhile."""
    mine, silent, quick = codes(3)
    ours = province.agency(mine)
    rules = [{"operation": "*", "do": "never"}]
    with SimulatedAxis(rules=rules) as first, SimulatedAxis() as second:
        options = {"request_seconds": 0.5, "timeout_seconds": 1}
        add_axis(province.site, f"silent-{mine}", first.url, [silent], **options)
        add_axis(province.site, f"quick-{mine}", second.url, [quick])
        stuck = ours.submit(_document(mine, silent, number="1"))
        first.heard("sendEdoc")
        ours.submit(_document(mine, quick, number="2"))
        second.sent("edoc", 1, deadline=5)
        assert _outcome(ours, stuck.json["id"]) != "delivered"


def test_an_address_that_must_not_be_dialled(province: Province, codes: Codes) -> None:
    """Without its network on the list the axis is not dialled, and nothing is lost."""
    with SimulatedAxis() as axis:
        url = axis.url.replace("127.0.0.1", "localhost")
        ours, package_id, _ = _send_one(
            province, codes, axis, url=url, dial_networks="203.0.113.0/24"
        )
        wait_until(lambda: _outcome(ours, package_id) == "queued", 10, "an attempt")
        wait_until(
            lambda: "must not be called" in province.gateway.log.read_text(), 10, "the reason"
        )
        assert axis.store.calls == []
