"""The road of a package, driven as agencies drive it: hand in, list, fetch, confirm, report."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ministry import AGENCIES, HOA_SON, NGHE_AN, QUANG_NAM, SENDER, Ministry
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import wait_until
from tests.support.service import ROOT

CORPUS = sorted((ROOT / "tests/corpus/good").glob("*.edxml"))
#: Packages written by the national toolkit, where this checkout lies beside them.
SAMPLES = sorted((ROOT.parent / "shared/samples/edxml").glob("*.edxml"))
_DOCUMENT_ID = re.compile(rb"([0-9A-Z.]+,[0-9]{4}/[0-9]{2}/[0-9]{2},[0-9]+)(/VPCP[^<]*)")
_SERVED_BY = {code: name for name, codes in AGENCIES.items() for code in codes}


@pytest.fixture(autouse=True)
def _empty_inboxes(ministry: Ministry) -> None:
    """Every test begins with empty inboxes."""
    ministry.empty_inboxes()


def _renumbered(path: Path, number: int) -> tuple[bytes, set[str]]:
    """A file with DocumentIds of its own (all of the corpus share one), and which they are."""
    content = _DOCUMENT_ID.sub(rb"\1-%d\2" % number, path.read_bytes())
    return content, {b"".join(match).decode() for match in _DOCUMENT_ID.findall(content)}


def _about_something_known(ministry: Ministry, content: bytes, ids: set[str]) -> None:
    """Deliver the documents that a status package, a recall or an update speaks about."""
    own = re.search(rb"</[^>]*To>.*?DocumentId>([^<]+)<", content, re.DOTALL)
    is_first = re.search(rb"DocType>[01]<", content) and own is not None
    for document_id in sorted(ids):
        if document_id.startswith(SENDER) and not (is_first and own[1].decode() == document_id):
            _, answer = ministry.send(NGHE_AN, QUANG_NAM, document_id=document_id)
            for name in ("nghe_an", "quang_nam"):
                line = ministry.offered(name, answer.json["id"])
                ministry.client(name).fetch(line["id"])
                assert ministry.client(name).confirm(line["id"]).status == 200


def test_every_good_package_arrives_byte_for_byte(ministry: Ministry) -> None:
    """All known dialects, with every recipient getting exactly the bytes handed in."""
    assert len(CORPUS) >= 40
    expected: dict[str, tuple[str, bytes]] = {}
    for number, path in enumerate([*CORPUS, *SAMPLES], start=1):
        content, ids = _renumbered(path, number)
        _about_something_known(ministry, content, ids)
        sender = re.search(rb"From>.*?OrganId>([^<]+)<", content, re.DOTALL)
        assert sender is not None
        client = ministry.client(_SERVED_BY[sender[1].decode().strip()])
        answer = client.submit(content)
        assert answer.status == 202, (path.name, answer)
        assert answer.json["sha256"] == sha256(content).hexdigest(), path.name
        for delivery in answer.json["deliveries"]:
            if delivery["state"] == "withdrawn":
                # An update is not for the receiver that it removes from the list.
                assert "update" in path.name, (path.name, delivery)
                continue
            assert delivery["state"] == "accepted", (path.name, delivery)
            expected[delivery["id"]] = (_SERVED_BY[delivery["recipientOrganId"]], content)
    assert len(expected) > len(CORPUS)

    def all_taken() -> bool:
        for name in AGENCIES:
            client = ministry.client(name)
            for item in client.inbox(limit=500)["items"]:
                fetched = client.fetch(item["id"])
                assert client.confirm(item["id"]).status == 200
                if item["id"] in expected:
                    assert expected.pop(item["id"]) == (name, fetched.body)
        return not expected

    wait_until(all_taken, 20, "every recipient's package")


def test_acknowledgements_reach_the_sender(ministry: Ministry) -> None:
    """01, 03, 06 through the gateway's composer; the sender reads each and the final state."""
    _, accepted = ministry.send(NGHE_AN)
    item = ministry.offered("nghe_an", accepted.json["id"])
    ministry.nghe_an.fetch(item["id"])
    ministry.nghe_an.confirm(item["id"])
    for code in ("01", "03", "06"):
        answer = ministry.nghe_an.report(item["id"], code, f"Bước {code}")
        assert answer.status == 202, answer
        line = ministry.offered("vpcp", answer.json["id"])
        assert (line["kind"], line["meaning"]) == ("status", code)
        report = ministry.sender.fetch(line["id"]).body.decode()
        assert f"StatusCode>{code}<" in report and f"Bước {code}" in report
        assert item["documentId"] in report
    assert ministry.sender.delivery(item["id"])["businessState"] == "06"
    late = ministry.nghe_an.report(item["id"], "02", "Đổi ý")
    assert (late.status, late.json["code"]) == (409, "impossible-report"), late


def test_a_refusal_reaches_the_sender_unchanged(ministry: Ministry) -> None:
    """A 02 that the recipient's own software composed arrives byte for byte and is final."""
    document_id = new_id()
    _, accepted = ministry.send(NGHE_AN, document_id=document_id)
    item = ministry.offered("nghe_an", accepted.json["id"])
    ministry.nghe_an.fetch(item["id"])
    refusal = packages.status(NGHE_AN, SENDER, document_id, "02", "Không đúng thẩm quyền")
    answer = ministry.nghe_an.submit(refusal)
    assert answer.status == 202, answer
    line = ministry.offered("vpcp", answer.json["id"])
    assert ministry.sender.fetch(line["id"]).body == refusal
    seen = ministry.sender.delivery(item["id"])
    # The report proves that the recipient has the package, confirmed or not.
    assert (seen["businessState"], seen["state"]) == ("02", "delivered")


def test_nobody_reports_for_another(ministry: Ministry) -> None:
    """An agency that a document was not sent to cannot refuse it in its recipient's place."""
    document_id = new_id()
    _, accepted = ministry.send(NGHE_AN, document_id=document_id)
    forged = packages.status(QUANG_NAM, SENDER, document_id, "02", "Giả mạo")
    unknown = packages.status(QUANG_NAM, SENDER, new_id(), "02", "Giả mạo")
    guessed = [ministry.quang_nam.submit(one) for one in (forged, unknown)]
    assert {answer.status for answer in guessed} == {202}
    rules = [[one["rule"] for one in answer.json["findings"]] for answer in guessed]
    assert rules == [["STATUS-FOREIGN-DOCUMENT"]] * 2, "guessing tells nothing"
    stolen = packages.status(NGHE_AN, SENDER, document_id, "02", "Giả mạo")
    answer = ministry.quang_nam.submit(stolen)
    assert (answer.status, answer.json["code"]) == (403, "not-the-sender"), answer
    ministry.offered("nghe_an", accepted.json["id"])
    state = ministry.sender.package(accepted.json["id"])["deliveries"][0]["businessState"]
    assert state is None


def test_pages_follow_their_cursor(ministry: Ministry) -> None:
    """Pages of an inbox join without gap or repeat while the earlier ones are confirmed."""
    sent = {ministry.send(NGHE_AN)[1].json["id"] for _ in range(25)}
    for package_id in sent:
        ministry.offered("nghe_an", package_id)
    seen: list[str] = []
    cursor = ""
    for expected in (10, 10, 5):
        page = ministry.nghe_an.inbox(limit=10, cursor=cursor)
        assert len(page["items"]) == expected
        for item in page["items"]:
            ministry.nghe_an.fetch(item["id"])
            ministry.nghe_an.confirm(item["id"])
        seen += [item["packageId"] for item in page["items"]]
        cursor = page["next"]
    assert cursor is None
    assert sorted(seen) == sorted(sent)


def test_a_waiting_inbox_wakes_at_once(ministry: Ministry) -> None:
    """A long poll ends with the arrival, not with the next look; an empty one with its time."""
    took = []
    for _ in range(4):
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ministry.nghe_an.inbox, wait=20)
            # The request is on its way in; should it come late, its first look finds the package.
            threading.Event().wait(0.1)
            start = time.monotonic()
            ministry.send(NGHE_AN)
            items = waiting.result(timeout=20)["items"]
            took.append(time.monotonic() - start)
        assert len(items) == 1
        ministry.empty_inboxes()
    assert min(took) < 0.5, took
    start = time.monotonic()
    assert ministry.nghe_an.inbox(wait=1)["items"] == []
    assert 0.9 < time.monotonic() - start < 5


def test_confirming_one_touches_one(ministry: Ministry) -> None:
    """What was fetched and not confirmed stays; confirming again is harmless."""
    lines = [ministry.offered("nghe_an", ministry.send()[1].json["id"]) for _ in range(3)]
    first, second, third = (line["id"] for line in lines)
    early = ministry.nghe_an.confirm(first)
    assert (early.status, early.json["code"]) == (409, "not-possible-now"), early
    for line in lines:
        ministry.nghe_an.fetch(line["id"])
    once = ministry.nghe_an.confirm(second)
    again = ministry.nghe_an.confirm(second)
    assert (once.json["alreadyConfirmed"], again.json["alreadyConfirmed"]) == (False, True)
    assert {item["id"] for item in ministry.nghe_an.waiting()} == {first, third}
    states = {key: ministry.sender.delivery(key)["state"] for key in (first, second, third)}
    assert states == {first: "delivering", second: "delivered", third: "delivering"}
    assert ministry.nghe_an.fetch(second).status == 200


def test_nobody_touches_anothers_packages(ministry: Ministry) -> None:
    """To another connection a package does not exist, whatever it asks."""
    _, accepted = ministry.send(NGHE_AN)
    package_id = accepted.json["id"]
    delivery_id = ministry.offered("nghe_an", package_id)["id"]
    stranger = ministry.quang_nam
    document = ministry.sender.call("GET", "/v1/documents").json["items"][0]
    for answer in (
        stranger.fetch(delivery_id),
        stranger.fetch(package_id),
        stranger.confirm(delivery_id),
        stranger.confirm(package_id),
        stranger.report(delivery_id, "01"),
        stranger.call("GET", f"/v1/packages/{package_id}"),
        stranger.call("GET", f"/v1/deliveries/{delivery_id}"),
        stranger.call("GET", f"/v1/documents/{document['id']}/events"),
    ):
        assert (answer.status, answer.json["code"]) == (404, "not-found"), answer
    assert package_id not in {item["packageId"] for item in stranger.waiting()}
    assert (
        stranger.call("GET", f"/v1/documents?documentId={document['documentId']}").json["items"]
        == []
    )
    # The sender may read its own package, and does not thereby fetch it for the recipient.
    assert ministry.sender.fetch(package_id).status == 200
    assert ministry.sender.delivery(delivery_id)["fetchedAt"] is None
    # And the sender cannot confirm for the recipient.
    assert ministry.sender.confirm(delivery_id).status == 404


def test_a_recipient_of_one_copy_sees_no_other(ministry: Ministry) -> None:
    """Of a circular a recipient sees its own copy alone; the sender sees all."""
    _, accepted = ministry.send(NGHE_AN, QUANG_NAM)
    package_id = accepted.json["id"]
    mine = ministry.offered("nghe_an", package_id)["id"]
    ministry.offered("quang_nam", package_id)
    seen = ministry.nghe_an.package(package_id)["deliveries"]
    assert [row["id"] for row in seen] == [mine]
    assert len(ministry.sender.package(package_id)["deliveries"]) == 2


def test_one_correlation_id_from_intake_to_offer(ministry: Ministry) -> None:
    """The caller's correlation id is in the answer, the log, the package and the story."""
    trace = f"don-vi-{time.monotonic_ns()}"
    document_id = new_id()
    content = packages.document(SENDER, (NGHE_AN,), document_id)
    answer = ministry.sender.submit(content, correlation_id=trace)
    assert answer.headers["x-correlation-id"] == answer.json["correlationId"] == trace
    line = ministry.offered("nghe_an", answer.json["id"])
    log = [text for text in ministry.gateway.log.read_text().splitlines() if trace in text]
    told = {re.search(r'"event": "([^"]+)"', text)[1] for text in log}  # type: ignore[index]
    assert {"request", "package.accepted", "delivery.offered"} <= told, log
    assert ministry.nghe_an.fetch(line["id"]).headers["x-correlation-id"] == trace
    pk = ministry.sender.call("GET", "/v1/documents").json["items"][0]["id"]
    story = ministry.sender.call("GET", f"/v1/documents/{pk}/events").json
    assert story["document"]["documentId"] == document_id
    assert {item["correlationId"] for item in story["items"]} == {trace}
    assert story["items"][0]["type"] == "package.accepted"


def test_an_unknown_recipient_holds_up_nobody(ministry: Ministry) -> None:
    """The others are served, the sender gets a 02 that names the agency."""
    _, accepted = ministry.send(NGHE_AN, "000.00.00.Z99", HOA_SON)
    by_code = {row["recipientOrganId"]: row for row in accepted.json["deliveries"]}
    assert by_code["000.00.00.Z99"]["state"] == "returned"
    assert by_code["000.00.00.Z99"]["reason"]["code"] == "unknown-agency"
    assert {finding["rule"] for finding in accepted.json["findings"]} >= {"ID-RECIPIENT"}
    ministry.offered("nghe_an", accepted.json["id"])
    ministry.offered("quang_nam", accepted.json["id"])
    refusals = [item for item in ministry.sender.waiting() if item["meaning"] == "02"]
    assert len(refusals) == 1
    text = ministry.sender.fetch(refusals[0]["id"]).body.decode()
    assert "StatusCode>02<" in text and "000.00.00.Z99" in text


def test_handing_in_again_repeats_the_answer(ministry: Ministry) -> None:
    """The same bytes: 200, the same ids, no second copy; from eight clients at once, too."""
    content, first = ministry.send(NGHE_AN, QUANG_NAM)
    again = ministry.sender.submit(content)
    assert (again.status, again.json["repeated"]) == (200, True)
    assert again.json["id"] == first.json["id"]
    ids = [row["id"] for row in first.json["deliveries"]]
    assert [row["id"] for row in again.json["deliveries"]] == ids
    fresh = packages.document(SENDER, (NGHE_AN,), new_id())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ministry.sender.submit, [fresh] * 8))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [202]
    assert len({answer.json["id"] for answer in answers}) == 1
    ministry.offered("nghe_an", answers[0].json["id"])
    ministry.offered("nghe_an", first.json["id"])
    assert len(ministry.nghe_an.waiting()) == 2


def test_one_document_id_stands_for_one_content(ministry: Ministry) -> None:
    """Other bytes under a known DocumentId: 409 with both digests and the differing fields."""
    document_id = new_id()
    content, first = ministry.send(NGHE_AN, document_id=document_id, subject="Họp ngày 05")
    other = packages.document(SENDER, (NGHE_AN,), document_id, subject="Họp ngày 06")
    answer = ministry.sender.submit(other)
    assert (answer.status, answer.json["code"]) == (409, "same-document-id-other-content")
    problem = answer.json
    assert problem["firstPackage"] == first.json["id"]
    assert problem["firstDigest"] == sha256(content).hexdigest()
    assert problem["secondDigest"] == sha256(other).hexdigest()
    assert {"field": "subject", "first": "Họp ngày 05", "second": "Họp ngày 06"} in problem[
        "differences"
    ]
    assert ministry.sender.package(first.json["id"])["summary"]["subject"] == "Họp ngày 05"


def test_a_dry_run_keeps_nothing(ministry: Ministry) -> None:
    """/v1/check says where copies would go and what is wrong; the package stays unknown."""
    content = packages.document(SENDER, (NGHE_AN, "000.00.00.Z99"), new_id())
    told = ministry.sender.call("POST", "/v1/check", content).json
    routes = {row["organId"]: (row["route"], row["connection"]) for row in told["recipients"]}
    assert routes == {NGHE_AN: ("routed", "nghe_an"), "000.00.00.Z99": ("unknown-agency", None)}
    assert told["kind"] == "document"
    new = ministry.sender.submit(content)
    assert new.status == 202  # the dry run left nothing behind
    ministry.offered("nghe_an", new.json["id"])
    assert ministry.sender.call("POST", "/v1/check", content).json["accepted"] is True
    other = content.replace(b":Subject>", ":Subject>Khác: ".encode(), 1)
    assert other != content
    refused = ministry.sender.call("POST", "/v1/check", other).json
    assert refused["accepted"] is False
    assert "DUPLICATE-CONTENT" in [one["rule"] for one in refused["findings"]]
    assert ministry.sender.submit(other).status == 409


def test_concurrent_packages_are_never_mixed(ministry: Ministry) -> None:
    """200 packages at once, each with its own words: id, digest, bytes and recipient agree."""
    sent: dict[str, tuple[str, bytes]] = {}

    def hand_in(number: int) -> None:
        recipient = (NGHE_AN, QUANG_NAM)[number % 2]
        words = f"Nội dung riêng số {number} "
        file = packages.File(f"{number}.pdf", packages.pdf(words * 40 * (number % 7 + 1)))
        content = packages.document(SENDER, (recipient,), new_id(), subject=words, files=[file])
        answer = ministry.sender.submit(content)
        assert answer.status == 202, answer
        assert answer.json["sha256"] == sha256(content).hexdigest()
        (delivery,) = answer.json["deliveries"]
        sent[delivery["id"]] = (recipient, content)

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(hand_in, range(200)))
    assert len(sent) == 200
    got: dict[str, tuple[str, bytes]] = {}
    for name, code in (("nghe_an", NGHE_AN), ("quang_nam", QUANG_NAM)):
        received = ministry.client(name).receive(100, 20)
        got |= {delivery: (code, body) for delivery, body in received.items()}
    assert got == sent


def test_metrics_have_the_promised_series(ministry: Ministry) -> None:
    """/metrics speaks of intake, relay, delivery, queues, disk and roles."""
    ministry.offered("nghe_an", ministry.send()[1].json["id"])
    text = ministry.sender.call("GET", "/metrics").body.decode()
    samples: dict[str, Any] = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"
    )
    names = {name.partition("{")[0] for name in samples}
    assert names >= {
        "lienthong_submissions_total",
        "lienthong_delivery_steps_total",
        "lienthong_doorbells_total",
        "lienthong_http_request_seconds_bucket",
        "lienthong_time_to_inbox_seconds_bucket",
        "lienthong_deliveries_open",
        "lienthong_deliveries_oldest_seconds",
        "lienthong_payload_free_bytes",
        "lienthong_role_last_round_timestamp_seconds",
    }
    accepted = 'lienthong_submissions_total{connection="vpcp",kind="document",outcome="accepted"}'
    assert float(samples[accepted]) >= 1
    waiting = 'lienthong_deliveries_open{connection="nghe_an",lane="ordinary",state="offered"}'
    assert float(samples[waiting]) == 1
    beats = {name for name in samples if "last_round" in name}
    assert {f'"{role}"' in " ".join(beats) for role in ("relay", "worker", "timer")} == {True}


def test_readiness_names_every_part(ministry: Ministry) -> None:
    """/readyz says how database, payloads and broker are, and which roles run."""
    ready = ministry.sender.call("GET", "/readyz").json
    assert ready["status"] == "ready"
    assert set(ready["roles"]) == {"api", "relay", "worker", "timer"}
    server = "SQLite" if ministry.site.mode == "embedded" else "PostgreSQL"
    assert ready["parts"]["database"]["detail"].startswith(server)
    assert {name: part["ok"] for name, part in ready["parts"].items()} == {
        "database": True,
        "payloads": True,
        "broker": True,
    }
    assert ministry.sender.call("GET", "/healthz").json == {"status": "ok"}
