"""Documents recalled, updated, replaced and answered, driven over HTTP as agencies do it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.ministry import AGENCIES, NGHE_AN, QUANG_NAM, SENDER, Ministry
from tests.support import packages
from tests.support.agency_client import Answer
from tests.support.packages import new_id
from tests.support.servers import Postgres, wait_until
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import run_program
from tests.support.service import ROOT

HA_TINH = "H53.17"
CAO_BANG, HAI_PHONG = "000.00.00.H14", "000.00.00.G17"
ALL_AGENCIES: dict[str, tuple[str, ...]] = {**AGENCIES, "ha_tinh": (HA_TINH,)}
#: Packages of the national toolkit in the order of a document's life, where they lie beside this.
SAMPLES = ROOT.parent / "shared/samples/edxml"
#: What each makes of the copy for Nghệ An: its business state and its last request.
LIFE = {
    "status_inbox_01": ("01", None),
    "status_acceptance_03": ("03", None),
    "status_cancellation_13": ("03", "recall-pending"),
    "status_change-acceptance_15": ("03", "recalled"),
    "edoc_revocation": ("03", "recall-pending"),
    "edoc_update": ("03", "recall-pending"),
    "status_rejection_02": ("02", "recall-pending"),
}
SERVED_BY = {code: name for name, codes in AGENCIES.items() for code in codes}
RACES = 200


@pytest.fixture(scope="module", autouse=True)
def _a_third_recipient(ministry: Ministry) -> None:
    """One more agency than the other acceptance tests have."""
    ministry.site.connect(ha_tinh=(HA_TINH,))


@pytest.fixture(autouse=True)
def _empty_inboxes(ministry: Ministry) -> None:
    """Every test begins with empty inboxes."""
    for name in ALL_AGENCIES:
        client = ministry.client(name)
        for item in client.waiting():
            assert client.fetch(item["id"]).status == 200
            assert client.confirm(item["id"]).status == 200


# --- steps ---


def sent(ministry: Ministry, *recipients: str, **particulars: Any) -> tuple[str, dict[str, Any]]:
    """Hand a new document in; its DocumentId, and its copies by recipient."""
    document_id = new_id()
    _, answer = ministry.send(*recipients, document_id=document_id, **particulars)
    return document_id, {row["recipientOrganId"]: row for row in answer.json["deliveries"]}


def taken(ministry: Ministry, name: str, package_id: str) -> str:
    """Fetch and confirm a package; the delivery's id."""
    line = ministry.offered(name, package_id)
    assert ministry.client(name).fetch(line["id"]).status == 200
    assert ministry.client(name).confirm(line["id"]).status == 200
    return str(line["id"])


def told(ministry: Ministry, document_id: str, code: str) -> str:
    """Wait until the sender has a status of this code in its inbox; fetch and confirm it."""
    line = waiting(ministry, "vpcp", document_id, code)
    content = ministry.sender.fetch(line["id"]).body.decode()
    assert f"StatusCode>{code}<" in content
    assert ministry.sender.confirm(line["id"]).status == 200
    return content


def waiting(ministry: Ministry, name: str, document_id: str, meaning: str) -> dict[str, Any]:
    """Wait until a package about a document is in an inbox; its line there."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [
            item
            for item in ministry.client(name).waiting()
            if (item["documentId"], item["meaning"]) == (document_id, meaning)
        ]
        return bool(found)

    wait_until(look, 10.0, f"{meaning} about {document_id} in the inbox of {name}")
    return found[0]


def by_revocation(ministry: Ministry, document_id: str, recipient: str) -> None:
    """A revocation package."""
    content = packages.document(SENDER, (recipient,), document_id, kind="1", reason="Ban hành nhầm")
    assert ministry.sender.submit(content).status == 202


def by_status(ministry: Ministry, document_id: str, recipient: str) -> None:
    """A status 13 of the sender's own software."""
    content = packages.status(SENDER, recipient, document_id, "13", "Ban hành nhầm")
    assert ministry.sender.submit(content).status == 202


def by_rest(ministry: Ministry, document_id: str, recipient: str) -> None:
    """The REST call."""
    answer = recall(ministry, "vpcp", document_id, recipient)
    assert answer.status == 202, answer
    assert len(answer.json["items"]) == 1


def by_command(ministry: Ministry, document_id: str, recipient: str) -> None:
    """The command line."""
    done = command(
        ministry, "recall", document_id, "--recipient", recipient, "--reason", "Ban hành nhầm"
    )
    assert done.returncode == 0, done


WAYS = {"revocation": by_revocation, "status": by_status, "rest": by_rest, "command": by_command}


def recall(ministry: Ministry, name: str, document_id: str, *recipients: str) -> Answer:
    """POST /v1/documents/{id}/recall."""
    body = json.dumps({"reason": "Ban hành nhầm", "recipients": recipients})
    path = f"/v1/documents/{quote(document_id, safe='')}/recall"
    return ministry.client(name).call("POST", path, body, {"Content-Type": "application/json"})


def command(ministry: Ministry, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `lienthong` in the sender's shell, on the gateway's machine."""
    env = clean_environment(
        LIENTHONG_URL=ministry.gateway.url,
        LIENTHONG_TOKEN=ministry.site.tokens["vpcp"],
        **ministry.site.environment,
    )
    return run_program(*arguments, env=env)


def limits(ministry: Ministry, name: str, delivery_id: str) -> dict[str, str]:
    """The states of a delivery's time limits by their kinds, as REST shows them."""
    shown = ministry.client(name).delivery(delivery_id)["deadlines"]
    return {one["kind"]: one["state"] for one in shown}


def thread_of(ministry: Ministry, name: str, document_id: str) -> dict[str, Any]:
    """GET /v1/documents/{id}/thread."""
    path = f"/v1/documents/{quote(document_id, safe='')}/thread"
    answer = ministry.client(name).call("GET", path)
    assert answer.status == 200, answer
    return answer.json


# --- recall ---


@pytest.mark.parametrize("way", WAYS)
def test_recall_before_delivery(ministry: Ministry, way: str) -> None:
    """By every way: the recipient never sees the document; the sender fetches a 15."""
    document_id, copies = sent(ministry, NGHE_AN)
    ministry.offered("nghe_an", copies[NGHE_AN]["packageId"])
    WAYS[way](ministry, document_id, NGHE_AN)
    assert NGHE_AN in told(ministry, document_id, "15")
    assert ministry.nghe_an.waiting() == []
    gone = ministry.nghe_an.fetch(copies[NGHE_AN]["id"])
    assert gone.status in (404, 409), gone
    seen = ministry.sender.delivery(copies[NGHE_AN]["id"])
    assert (seen["state"], seen["changeState"], seen["fetchedAt"]) == (
        "withdrawn",
        "recalled",
        None,
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("code", "state"), [("15", "recalled"), ("16", "recall-refused")])
def test_recall_after_delivery(ministry: Ministry, way: str, code: str, state: str) -> None:
    """By every way: the recipient is asked; its answer settles it and reaches the sender."""
    document_id, copies = sent(ministry, NGHE_AN)
    copy = taken(ministry, "nghe_an", copies[NGHE_AN]["packageId"])
    WAYS[way](ministry, document_id, NGHE_AN)
    assert ministry.sender.delivery(copy)["changeState"] == "recall-pending"
    asked = waiting(ministry, "nghe_an", document_id, "1" if way == "revocation" else "13")
    assert "Ban hành nhầm" in ministry.nghe_an.fetch(asked["id"]).body.decode()
    assert ministry.nghe_an.confirm(asked["id"]).status == 200
    assert limits(ministry, "nghe_an", asked["id"])["recall"] == "open"
    words = "Đã hủy bản nhận" if code == "15" else "Đã trình lãnh đạo"
    answer = packages.status(NGHE_AN, SENDER, document_id, code, words)
    assert ministry.nghe_an.submit(answer).status == 202
    assert words in told(ministry, document_id, code)
    assert ministry.sender.delivery(copy)["changeState"] == state
    assert limits(ministry, "nghe_an", asked["id"])["recall"] == "met"


def test_recall_from_one_of_three(ministry: Ministry) -> None:
    """The two others notice nothing, whether they had taken it or not."""
    document_id, copies = sent(ministry, NGHE_AN, QUANG_NAM, HA_TINH)
    package_id = copies[NGHE_AN]["packageId"]
    taken(ministry, "quang_nam", package_id)
    ministry.offered("nghe_an", package_id)
    assert recall(ministry, "vpcp", document_id, NGHE_AN).status == 202
    told(ministry, document_id, "15")
    assert ministry.nghe_an.waiting() == [] == ministry.quang_nam.waiting()
    taken(ministry, "ha_tinh", package_id)
    states = {code: ministry.sender.delivery(row["id"])["state"] for code, row in copies.items()}
    assert states == {NGHE_AN: "withdrawn", QUANG_NAM: "delivered", HA_TINH: "delivered"}


def test_nobody_recalls_for_another(ministry: Ministry) -> None:
    """By package: 403 not-the-owner. By REST there is no such document of theirs."""
    document_id, copies = sent(ministry, NGHE_AN)
    ministry.offered("nghe_an", copies[NGHE_AN]["packageId"])
    for foreign in (
        packages.document(QUANG_NAM, (NGHE_AN,), document_id, kind="1", reason="Giả mạo"),
        packages.status(QUANG_NAM, NGHE_AN, document_id, "13", "Giả mạo"),
    ):
        answer = ministry.quang_nam.submit(foreign)
        assert (answer.status, answer.json["code"]) == (403, "not-the-owner"), answer
    assert recall(ministry, "quang_nam", document_id, NGHE_AN).status == 404
    taken(ministry, "nghe_an", copies[NGHE_AN]["packageId"])


def test_recall_racing_a_fetch(ministry: Ministry) -> None:
    """One outcome each time, and the sender is told the true one."""
    documents = {}
    for _ in range(RACES):
        document_id, copies = sent(ministry, NGHE_AN)
        documents[document_id] = copies[NGHE_AN]["id"]
    wait_until(lambda: len(ministry.nghe_an.waiting()) == RACES, 20.0, "all documents in the inbox")

    def fetch(delivery_id: str, head_start: float) -> int:
        # Not waiting for anything: the two come in by turns a little earlier or later.
        threading.Event().wait(head_start)
        return ministry.nghe_an.fetch(delivery_id).status

    def take_back(document_id: str) -> int:
        return ministry.sender.submit(
            packages.status(SENDER, NGHE_AN, document_id, "13", "Gửi nhầm")
        ).status

    outcomes: dict[str, tuple[Future[int], Future[int]]] = {}
    with ThreadPoolExecutor(8) as pool:
        for number, (document_id, delivery_id) in enumerate(documents.items()):
            outcomes[document_id] = (
                pool.submit(take_back, document_id),
                pool.submit(fetch, delivery_id, number % 10 * 0.004),
            )
    fetched = {document_id for document_id, (_, got) in outcomes.items() if got.result() == 200}
    assert {asked.result() for asked, _ in outcomes.values()} == {202}
    assert {got.result() for _, got in outcomes.values()} <= {200, 404, 409}
    assert 0 < len(fetched) < RACES, "the races were none"
    asked: list[str] = []
    withdrawn: list[str] = []

    def everybody_knows() -> bool:
        asked[:] = [
            one["documentId"] for one in ministry.nghe_an.waiting() if one["meaning"] == "13"
        ]
        withdrawn[:] = [
            one["documentId"] for one in ministry.sender.waiting() if one["meaning"] == "15"
        ]
        return len(asked) + len(withdrawn) >= RACES

    wait_until(everybody_knows, 20.0, "an outcome of every race")
    assert sorted(asked) == sorted(fetched)
    assert sorted(withdrawn) == sorted(documents.keys() - fetched)


# --- update, replacement, reply ---


def test_an_update_adds_one_receiver_and_removes_another(ministry: Ministry) -> None:
    """Added: the newest version; removed: asked for its copy; the rest agree to the update."""
    document_id, copies = sent(ministry, NGHE_AN, QUANG_NAM)
    for name in ("nghe_an", "quang_nam"):
        taken(ministry, name, copies[NGHE_AN]["packageId"])
    content = packages.document(
        SENDER,
        (NGHE_AN, HA_TINH),
        document_id,
        kind="2",
        subject="V/v kiểm tra (bản sửa)",
        reason="Sửa ngày họp",
        business=packages.receivers(added=[HA_TINH], removed=[QUANG_NAM]),
    )
    answer = ministry.sender.submit(content)
    assert answer.status == 202, answer
    for name in ("ha_tinh", "nghe_an"):
        line = ministry.offered(name, answer.json["id"])
        assert ministry.client(name).fetch(line["id"]).body == content
    asked = waiting(ministry, "quang_nam", document_id, "13")
    assert "Sửa ngày họp" in ministry.quang_nam.fetch(asked["id"]).body.decode()
    for name, code in (("nghe_an", NGHE_AN), ("quang_nam", QUANG_NAM)):
        agreed = packages.status(code, SENDER, document_id, "15", f"Đồng ý, {name}")
        assert ministry.client(name).submit(agreed).status == 202
    states = {
        code: ministry.sender.delivery(row["id"])["changeState"] for code, row in copies.items()
    }
    assert states == {NGHE_AN: "updated", QUANG_NAM: "recalled"}


def test_a_replacement_of_two_documents(ministry: Ministry) -> None:
    """Both become replaced with one 15; the thread shows the links from either end."""
    old = [sent(ministry, NGHE_AN) for _ in range(2)]
    for _, copies in old:
        taken(ministry, "nghe_an", copies[NGHE_AN]["packageId"])
    new = new_id()
    content = packages.document(
        SENDER,
        (NGHE_AN,),
        new,
        kind="3",
        reason="Thay thế hai văn bản",
        business=packages.replaces([NGHE_AN], *(document_id for document_id, _ in old)),
    )
    answer = ministry.sender.submit(content)
    assert answer.status == 202, answer
    taken(ministry, "nghe_an", answer.json["id"])
    agreed = packages.status(NGHE_AN, SENDER, new, "15", "Đồng ý thay thế")
    assert ministry.nghe_an.submit(agreed).status == 202
    for _, copies in old:
        assert ministry.sender.delivery(copies[NGHE_AN]["id"])["changeState"] == "replaced"
    for name, ends in (("vpcp", [new, old[0][0]]), ("nghe_an", [new, old[1][0]])):
        for end in ends:
            shown = thread_of(ministry, name, end)
            ids = {one["id"]: one["documentId"] for one in shown["items"]}
            assert {(ids[one["from"]], one["kind"], ids[one["to"]]) for one in shown["links"]} == {
                (new, "replaces", document_id) for document_id, _ in old
            }


def test_a_reply_closes_its_deadline(ministry: Ministry) -> None:
    """DUE-REPLY is open after delivery, met by the answer; the thread ties both."""
    due = (datetime.now(UTC) + timedelta(days=20)).strftime("%Y/%m/%d")
    asked, copies = sent(ministry, NGHE_AN, due=due)
    copy = taken(ministry, "nghe_an", copies[NGHE_AN]["packageId"])
    assert limits(ministry, "vpcp", copy)["reply"] == "open"
    reply = new_id(NGHE_AN)
    answer = ministry.nghe_an.submit(
        packages.document(NGHE_AN, (SENDER,), reply, response_for=packages.answers(SENDER, asked))
    )
    assert answer.status == 202, answer
    assert limits(ministry, "vpcp", copy)["reply"] == "met"
    taken(ministry, "vpcp", answer.json["id"])
    for name in ("vpcp", "nghe_an"):
        shown = thread_of(ministry, name, asked)
        ids = {one["id"]: one["documentId"] for one in shown["items"]}
        assert [(ids[one["from"]], one["kind"], ids[one["to"]]) for one in shown["links"]] == [
            (reply, "replies-to", asked)
        ]


# --- real packages, the story, the log ---


def test_the_toolkits_packages_in_the_order_of_a_life(ministry: Ministry) -> None:
    """New, reports, recall, answer, revocation, update: everything is taken, nothing breaks."""
    document_id = "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"
    _, new = ministry.send(NGHE_AN, CAO_BANG, HAI_PHONG, document_id=document_id)
    copies = {row["recipientOrganId"]: row["id"] for row in new.json["deliveries"]}
    assert len(copies) == 3
    # The toolkit's own packages, where they are at hand.
    for name in ("edoc_new", *LIFE) if SAMPLES.exists() else ():
        for inbox in AGENCIES:
            for item in ministry.client(inbox).waiting():
                assert ministry.client(inbox).fetch(item["id"]).status == 200
                assert ministry.client(inbox).confirm(item["id"]).status == 200
        if name == "status_inbox_01":
            wait_until(
                lambda: (
                    ministry.sender.delivery(copies[NGHE_AN])["state"] == "delivered"
                    or bool(taken(ministry, "nghe_an", new.json["id"]))
                ),
                10.0,
                "the document with its first reader",
            )
        content = (SAMPLES / f"{name}.edxml").read_bytes()
        sender = re.search(rb"From>.*?OrganId>([^<]+)<", content, re.DOTALL)
        assert sender is not None
        answer = ministry.client(SERVED_BY[sender[1].decode()]).submit(content)
        assert answer.status == 202, (name, answer)
        if name in LIFE:
            seen = ministry.sender.delivery(copies[NGHE_AN])
            assert (seen["businessState"], seen["changeState"]) == LIFE[name], name


@pytest.fixture
def eventful(ministry: Ministry) -> Iterator[str]:
    """A document that was reported on, updated, answered, recalled and given back; its id."""
    due = (datetime.now(UTC) + timedelta(days=20)).strftime("%Y/%m/%d")
    document_id, copies = sent(ministry, NGHE_AN, QUANG_NAM, due=due)
    taken(ministry, "nghe_an", copies[NGHE_AN]["packageId"])
    ministry.offered("quang_nam", copies[NGHE_AN]["packageId"])
    changed = packages.document(
        SENDER, (NGHE_AN, QUANG_NAM), document_id, kind="2", subject="Bản sửa", reason="Sửa ngày"
    )
    newer = ministry.sender.submit(changed).json["id"]
    taken(ministry, "nghe_an", newer)
    ministry.offered("quang_nam", newer)
    steps = [("15", "Đồng ý sửa"), ("03", "Đã tiếp nhận")]
    for code, words in steps:
        status = packages.status(NGHE_AN, SENDER, document_id, code, words)
        assert ministry.nghe_an.submit(status).status == 202
        told(ministry, document_id, code)
    reply = packages.document(
        NGHE_AN, (SENDER,), new_id(NGHE_AN), response_for=packages.answers(SENDER, document_id)
    )
    taken(ministry, "vpcp", ministry.nghe_an.submit(reply).json["id"])
    for recipient in (NGHE_AN, QUANG_NAM):
        by_status(ministry, document_id, recipient)
    asked = waiting(ministry, "nghe_an", document_id, "13")
    taken(ministry, "nghe_an", asked["packageId"])
    told(ministry, document_id, "15")
    agreed = packages.status(NGHE_AN, SENDER, document_id, "15", "Đã hủy")
    assert ministry.nghe_an.submit(agreed).status == 202
    told(ministry, document_id, "15")
    yield document_id


STORY = {
    "vi": [
        "Trục nhận văn bản mới từ kết nối «vpcp» (bản 1",
        "Trục nhận bản cập nhật từ kết nối «vpcp» (bản 2",
        "Bên gửi yêu cầu cập nhật văn bản: Sửa ngày",
        "Bên nhận đồng ý cập nhật.",
        "báo 03 (đã tiếp nhận): «Đã tiếp nhận»",
        "Đúng hạn",
        "Bên gửi yêu cầu lấy lại văn bản: Ban hành nhầm",
        "Văn bản đã được lấy lại.",
        "Hiện nay: bên nhận đã có đủ; cơ quan nhận báo 03 (đã tiếp nhận); đã được lấy lại.",
        "Trục báo cho bên gửi 15 (đồng ý cho cập nhật / lấy lại): «[H53.13] Trục đã thu hồi",
        "Hiện nay: đã thu hồi trước khi chuyển; đã được lấy lại.",
    ],
    "en": [
        "The gateway accepted a new document from connection “vpcp” (version 1",
        "The gateway accepted an update from connection “vpcp” (version 2",
        "The sender asked to update the document: Sửa ngày",
        "The recipient agreed to the update.",
        "reported 03 (accepted): «Đã tiếp nhận»",
        "In time for",
        "The sender asked for the document back: Ban hành nhầm",
        "The document was taken back.",
        "Now: the recipient has it; the agency reported 03 (accepted); taken back.",
        "The gateway reported 15 (update or recall agreed to) to the sender: «[H53.13]",
        "Now: taken back in time; taken back.",
    ],
}
#: What clerks have no use for: types of events, and ids of the database.
RAW = (
    r"\b(delivery|package|report|change|deadline|security)\.[a-z-]+",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}",
)


def test_the_story_of_an_eventful_document(ministry: Ministry, eventful: str) -> None:
    """Key sentences in both languages; no event type, no bare id; the log leads to the states."""
    for language, sentences in STORY.items():
        done = command(ministry, "trace", eventful, "--lang", language)
        assert done.returncode == 0, done
        for sentence in sentences:
            assert sentence in done.stdout, (sentence, done.stdout)
        for pattern in RAW:
            assert re.search(pattern, done.stdout) is None, done.stdout
    wait_until(
        lambda: command(ministry, "verify-events").returncode == 0, 20.0, "a log that agrees"
    )


def edit(ministry: Ministry, request: pytest.FixtureRequest, statement: str) -> str:
    """What somebody with access to the database can do past the gateway; the first value."""
    if ministry.site.mode == "production":
        server: Postgres = request.getfixturevalue("postgres_server")
        return server.sql(statement, ministry.site.database_url.rpartition("/")[2])
    path = ministry.site.data / "lienthong.db"
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        return "".join(str(value) for row in database.execute(statement) for value in row)


def test_a_changed_row_does_not_go_unnoticed(
    ministry: Ministry, eventful: str, request: pytest.FixtureRequest
) -> None:
    """Somebody edits one delivery in the database: verify-events ends with 1 and names it."""
    row = "SELECT id FROM deliveries WHERE state = 'delivered' ORDER BY id LIMIT 1"
    chosen = edit(ministry, request, row)
    change = f"UPDATE deliveries SET state = '{{}}' WHERE id = '{chosen}'"
    edit(ministry, request, change.format("returned"))
    try:
        done = command(ministry, "verify-events")
    finally:
        edit(ministry, request, change.format("delivered"))
    assert done.returncode == 1, done
    assert f"{chosen}  transport: the log says delivered, stored returned" in done.stdout
    assert "1 discrepancies" in done.stdout
    assert command(ministry, "verify-events").returncode == 0
