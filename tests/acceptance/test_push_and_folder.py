"""Agencies that packages are pushed to, and agencies that know folders only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.packages import new_id
from tests.support.push_receiver import CUT, TAKE_AND_CUT, PushReceiver, push_receiver
from tests.support.servers import wait_until
from tests.support.service import MODES, GatewayProcess, Site, open_site

SENDER, PUSHED, FOLDER = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53"


@dataclass
class Town:
    """One gateway with a sender, a pushed agency and a folder agency."""

    site: Site
    gateway: GatewayProcess
    receiver: PushReceiver
    folder: Path

    @property
    def sender(self) -> AgencyClient:
        """The sender's software."""
        return self.site.client("sender", self.gateway)

    def send(self, *recipients: str, content: bytes = b"") -> tuple[bytes, list[str]]:
        """Hand a document in; its bytes and the delivery ids."""
        content = content or packages.document(SENDER, recipients, new_id())
        answer = self.sender.submit(content)
        assert answer.status == 202, answer
        return content, [row["id"] for row in answer.json["deliveries"]]

    def state_becomes(self, delivery: str, state: str, deadline: float = 20.0) -> None:
        """Until a delivery is in a state."""
        wait_until(
            lambda: self.sender.delivery(delivery)["state"] == state,
            deadline,
            f"{state} {delivery}",
        )

    def picked_up(self, count: int = 1) -> dict[str, bytes]:
        """Until this many packages lie in delivery/; then they are taken away."""
        place = self.folder / "delivery"
        wait_until(lambda: len(list(place.glob("*.edxml"))) >= count, 20.0, "files in delivery/")
        found = {path.name: path.read_bytes() for path in place.glob("*.edxml")}
        for path in place.iterdir():
            path.unlink()
        return found

    def drop(self, name: str, content: bytes) -> None:
        """Put a file into drop/ as a careful program does."""
        hidden = self.folder / "drop" / f".{name}"
        hidden.write_bytes(content)
        hidden.rename(self.folder / "drop" / name)


@pytest.fixture(scope="module", params=MODES)
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """A running gateway of each mode."""
    ground = tmp_path_factory.mktemp(request.param)
    with open_site(request.param, ground, request) as site, push_receiver() as receiver:
        site.partner("sender", "pull", [SENDER])
        pushed = site.partner(
            "pushed",
            "push",
            [PUSHED],
            url=receiver.url,
            ask_url=receiver.url,
            dial_networks="127.0.0.0/8",
            timeout_seconds=5,
            breaker_failures=100,
        )
        receiver.secret = pushed["secret"]
        folder = ground / "folder"
        answer = site.partner(
            "folder", "folder", [FOLDER], folder=folder, settle_seconds=0.2, poll_seconds=0.1
        )
        assert "token" not in answer and str(folder) in answer["notes"][0]
        waits = "0.2s 0.5s 1s 2s"
        yield Town(site, site.gateway(attempt_waits=waits).start(), receiver, folder)


@pytest.fixture(autouse=True)
def _clean(town: Town) -> None:
    town.receiver.script.clear()
    town.receiver.requests.clear()
    town.receiver.answer_body = b""


def test_a_pushed_package_arrives_signed_and_byte_for_byte(town: Town) -> None:
    """The receiver gets the exact bytes, a genuine signature, and what the package is."""
    content, (delivery,) = town.send(PUSHED)
    town.state_becomes(delivery, "delivered")
    assert town.receiver.taken[delivery] == content
    assert town.receiver.forged == []
    ((_, _, headers),) = town.receiver.requests
    assert headers["lienthong-recipient"] == PUSHED
    assert headers["lienthong-kind"] == "document"
    assert headers["content-type"] == "application/xml"


def test_a_receiver_that_fails_is_tried_again_under_the_same_id(town: Town) -> None:
    """500, then 200: two requests, one id, one package."""
    town.receiver.script[:] = [500]
    content, (delivery,) = town.send(PUSHED)
    town.state_becomes(delivery, "delivered")
    assert [key for _, key, _ in town.receiver.requests] == [delivery, delivery]
    story = town.site.command("trace", delivery, "--lang", "vi")
    assert "Lần chuyển thứ 1 chưa được (Nơi nhận chưa nhận được lúc này (HTTP 500).)" in story
    assert "(pushed) đã nhận đủ gói tin ở lần chuyển thứ 2." in story
    assert town.receiver.taken[delivery] == content


def test_after_a_lost_answer_the_receiver_is_asked_before_anything_else(town: Town) -> None:
    """It took the package and the answer was lost: asked, it says so; nothing is sent twice."""
    town.receiver.script[:] = [TAKE_AND_CUT]
    _, (delivery,) = town.send(PUSHED)
    town.state_becomes(delivery, "delivered")
    assert [method for method, _, _ in town.receiver.requests] == ["POST", "GET"]
    assert town.receiver.repeats == 0


def test_a_receiver_that_lost_the_package_gets_it_again(town: Town) -> None:
    """The connection was cut before it had the package: asked, it says no; then it is sent."""
    town.receiver.script[:] = [CUT]
    content, (delivery,) = town.send(PUSHED)
    town.state_becomes(delivery, "delivered")
    assert [method for method, _, _ in town.receiver.requests] == ["POST", "GET", "POST"]
    assert town.receiver.taken[delivery] == content


def test_what_a_receiver_refuses_returns_to_its_sender_with_the_reason(town: Town) -> None:
    """422 with a problem document: state returned, and a status 02 in the receiver's words."""
    town.receiver.script[:] = [422]
    town.receiver.answer_body = json.dumps({"detailVi": "Sai thẩm quyền tiếp nhận"}).encode()
    _, (delivery,) = town.send(PUSHED)
    town.state_becomes(delivery, "returned")
    wait_until(lambda: len(town.sender.waiting()) == 1, 20.0, "the status 02")
    (item,) = town.sender.waiting()
    report = town.sender.fetch(item["id"]).body.decode()
    assert item["meaning"] == "02" and "Sai thẩm quyền tiếp nhận" in report
    town.sender.confirm(item["id"])


def test_a_delivered_file_is_complete_and_described(town: Town) -> None:
    """delivery/ gets the exact bytes under a sortable name, and a note beside them."""
    content, (delivery,) = town.send(FOLDER)
    town.state_becomes(delivery, "delivered")
    (note,) = (town.folder / "delivery").glob("*.json")
    told = json.loads(note.read_text())
    assert told["delivery"] == delivery and told["sender"] == SENDER
    ((name, found),) = town.picked_up().items()
    assert found == content
    assert SENDER in name and delivery in name


def test_a_dropped_package_is_sent_and_its_receipt_lies_beside_it(town: Town) -> None:
    """A file dropped by the agency reaches the recipient; accepted/ holds it with a receipt."""
    content = packages.document(FOLDER, [SENDER], new_id(FOLDER))
    town.drop("cong-van.edxml", content)
    wait_until(lambda: len(town.sender.waiting()) == 1, 20.0, "the dropped package")
    (item,) = town.sender.waiting()
    assert town.sender.fetch(item["id"]).body == content
    town.sender.confirm(item["id"])
    accepted = town.folder / "accepted"
    wait_until(lambda: len(list(accepted.glob("cong-van.*.edxml"))) == 1, 20.0, "the file aside")
    (receipt,) = accepted.glob("*.json")
    assert json.loads(receipt.read_text())["package"] == item["packageId"]
    assert not list((town.folder / "drop").iterdir())
    shutil.rmtree(accepted)


def test_a_refused_file_is_moved_aside_with_a_report_in_vietnamese(town: Town) -> None:
    """Another's name as sender: refused, nothing sent, and the clerk can read why."""
    forged = packages.document(SENDER, [PUSHED], new_id())
    town.drop("gia-mao.edxml", forged)
    refused = town.folder / "refused"
    wait_until(lambda: len(list(refused.glob("gia-mao.*.edxml"))) == 1, 20.0, "the refused file")
    (file,) = refused.glob("gia-mao.*.edxml")
    assert file.read_bytes() == forged
    text = file.with_name(f"{file.name}.txt").read_text()
    assert text.startswith("VĂN BẢN KHÔNG ĐƯỢC GỬI") and "ID-SENDER" in text
    assert "THE PACKAGE WAS NOT SENT" in text


def test_half_written_and_foreign_files_are_left_alone(town: Town) -> None:
    """Temporary names, other endings, links and folders stay where they are."""
    drop = town.folder / "drop"
    (drop / "nhap.edxml.tmp").write_bytes(b"<half")
    (drop / ".an.edxml").write_bytes(b"<half")
    (drop / "anh.png").write_bytes(b"png")
    (drop / "thu-muc.edxml").mkdir()
    (drop / "lien-ket.edxml").symlink_to("/etc/hostname")
    content = packages.document(FOLDER, [SENDER], new_id(FOLDER))
    town.drop("sau-cung.xml", content)
    wait_until(lambda: len(town.sender.waiting()) == 1, 20.0, "the whole one")
    (item,) = town.sender.waiting()
    town.sender.fetch(item["id"])
    town.sender.confirm(item["id"])
    assert sorted(path.name for path in drop.iterdir()) == [
        ".an.edxml",
        "anh.png",
        "lien-ket.edxml",
        "nhap.edxml.tmp",
        "thu-muc.edxml",
    ]


def test_a_file_that_still_grows_is_not_taken(town: Town) -> None:
    """A slow copy straight into drop/: taken when it is whole and not before."""
    content = packages.document(FOLDER, [SENDER], new_id(FOLDER))
    path = town.folder / "drop" / "cham.edxml"
    step = len(content) // 12 + 1
    with path.open("wb") as file:
        for start in range(0, len(content), step):
            file.write(content[start : start + step])
            file.flush()
            seen = path.stat().st_mtime_ns
            # Longer than the look, shorter than the time to settle.
            wait_until(lambda then=seen: _clock_passed(then, 0.12), 5.0, "time to pass")
    wait_until(lambda: len(town.sender.waiting()) == 1, 20.0, "the slow file")
    (item,) = town.sender.waiting()
    assert town.sender.fetch(item["id"]).body == content
    town.sender.confirm(item["id"])
    assert not list((town.folder / "refused").glob("cham.*"))


def _clock_passed(since_ns: int, seconds: float) -> bool:
    import time

    return time.time_ns() - since_ns > seconds * 1e9


def test_a_folder_that_is_away_costs_time_and_nothing_else(town: Town) -> None:
    """The share is not mounted: the delivery waits and is made when it is back."""
    away = town.folder.with_name("away")
    town.folder.rename(away)
    town.folder.write_bytes(b"not a folder")
    try:
        content, (delivery,) = town.send(FOLDER)
        wait_until(
            lambda: (
                town.sender.delivery(delivery)["attempts"] >= 1
                and town.sender.delivery(delivery)["state"] == "queued"
            ),
            20.0,
            "a first attempt that found no folder",
        )
    finally:
        town.folder.unlink()
        away.rename(town.folder)
    town.state_becomes(delivery, "delivered")
    assert content in town.picked_up().values()


def test_a_paused_partner_waits_and_burns_no_attempt(town: Town) -> None:
    """pause: nothing is handed over; drain: what was there goes out; resume: the rest does."""
    town.site.command("connections", "pause", "pushed")
    wait_until(lambda: _status(town) == "paused", 5.0, "paused")
    first = _waits_while_others_go_on(town)
    town.site.command("connections", "drain", "pushed")
    town.state_becomes(first, "delivered")
    second = _waits_while_others_go_on(town)
    town.site.command("connections", "resume", "pushed")
    town.state_becomes(second, "delivered")
    assert town.sender.delivery(second)["attempts"] == 1
    town.picked_up()


def _waits_while_others_go_on(town: Town) -> str:
    """A delivery that is still untouched when a later one to somebody else has arrived."""
    _, (waits,) = town.send(PUSHED)
    _, (other,) = town.send(FOLDER)
    town.state_becomes(other, "delivered")
    found = town.sender.delivery(waits)
    assert (found["state"], found["attempts"]) == ("accepted", 0)
    return waits


def _status(town: Town) -> str:
    return str(json.loads(town.site.command("connections", "show", "pushed", "--json"))["status"])
