"""Agency software of the national axis protocol: everything it does on a day that goes well."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.raw import talk
from tests.support import packages
from tests.support.packages import new_id
from tests.support.vxp_client import Failed, VxpClient, padded, unpadded
from tests.support.vxp_town import MINISTRY, OLD, PROVINCE, PULLED, Town

MIB = 1024 * 1024


def test_a_document_goes_from_one_system_to_another(town: Town) -> None:
    """Send, list, get, processing, done: the same bytes, and the sender sees each step."""
    content, document = town.send(subject="V/v báo cáo công tác", number="77")
    item = town.offered(town.province, document)
    assert (item["from"], item["to"]) == (MINISTRY, PROVINCE)
    assert (item["serviceType"], item["messageType"], item["status"]) == ("eDoc", "edoc", "INITIAL")
    assert item["created_time"] and item["updated_time"] and item["status_desc"]
    (line,) = town.ministry.sent(doc_id=document)
    assert (line["senderDocId"], line["receiverDocId"]) == (document, item["docId"])
    assert (line["title"], line["notation"]) == ("V/v báo cáo công tác", "77/CV-TEST")
    assert (line["fromCode"], line["toCode"], line["sendStatus"]) == (MINISTRY, PROVINCE, "INITIAL")
    assert (line["receivedTime"], line["receiveStatus"]) == ("", "")
    town.province.update(item["docId"], "processing")
    assert town.ministry.sent(doc_id=document)[0]["sendStatus"] == "PROCESSING"
    assert town.province.get(item["docId"]) == content
    assert town.ministry.sent(doc_id=document)[0]["sendStatus"] == "PROCESSING"
    town.province.update(item["docId"], "done")
    assert item["docId"] not in {one["docId"] for one in town.province.received()}
    (line,) = town.ministry.sent(doc_id=document)
    assert line["sendStatus"] == "DONE" and line["receivedTime"]
    assert document in {one["senderDocId"] for one in town.ministry.sent()}


def test_done_comes_after_the_bytes_and_once_is_enough(town: Town) -> None:
    """Done before getEdoc is refused; done twice is once; what is done can still be fetched."""
    content, document = town.send()
    doc_id = town.offered(town.province, document)["docId"]
    with pytest.raises(Failed, match="trước khi xác nhận"):
        town.province.update(doc_id, "done")
    town.province.get(doc_id)
    town.province.update(doc_id, "done")
    town.province.update(doc_id, "done")
    assert town.province.get(doc_id) == content
    with pytest.raises(Failed) as refused:
        town.province.update(doc_id, "fail")
    assert refused.value.code == "409"
    assert doc_id not in {one["docId"] for one in town.province.received()}


def test_what_failed_is_offered_again_and_nothing_else_is_touched(town: Town) -> None:
    """`fail` keeps it in the list and is written down; confirming one leaves the others."""
    sent = [town.send()[1] for _ in range(3)]
    ids = [town.offered(town.province, document)["docId"] for document in sent]
    town.province.get(ids[0])
    town.province.call(
        "updateStatus", json.dumps({"reason": "hết đĩa"}).encode(), docId=ids[0], status="fail"
    )
    waiting = {one["docId"] for one in town.province.received()}
    assert set(ids) <= waiting
    (line,) = town.ministry.sent(doc_id=sent[0])
    assert line["sendStatus"] == "INITIAL"
    assert line["sendStatusDesc"] == "Bên nhận báo lỗi khi lưu, sẽ lấy lại: hết đĩa"
    assert town.listed(town.province, ids[0])["status"] == "INITIAL"
    town.province.get(ids[0])
    assert town.ministry.sent(doc_id=sent[0])[0]["sendStatus"] == "PROCESSING"
    trace = town.command("trace", sent[0], "--json")
    assert "delivery.not-stored" in trace and "hết đĩa" in trace
    for doc_id in ids:
        town.province.get(doc_id)
        town.province.update(doc_id, "done")
        waiting.discard(doc_id)
        assert {one["docId"] for one in town.province.received()} == waiting


def test_a_repeat_gets_the_first_doc_id(town: Town) -> None:
    """The same bytes again, by whatever client object: OK, one document, one delivery."""
    content, document = town.send()
    assert town.ministry.send(content) == document
    assert town.client(MINISTRY, stamp=town.ministry.stamp).send(content) == document
    assert len(town.ministry.sent(doc_id=document)) == 1


def test_the_conversation_of_two_worlds(town: Town) -> None:
    """VXP sends, REST answers 01, 03, 06: as status packages, and in the sent list."""
    content, document = town.send(PULLED)
    town.ministry.agencies()
    rest = town.pulled
    got = rest.receive(1)
    ((delivery, bytes_received),) = got.items()
    assert bytes_received == content
    for code in ("01", "03", "06"):
        assert rest.report(delivery, code).status in (200, 202)
    reports = town.status_packages(town.ministry, 3)
    codes = [f"<edXML:StatusCode>{code}</edXML:StatusCode>".encode() for code in ("01", "03", "06")]
    assert all(any(code in report for report in reports) for code in codes)
    (line,) = town.ministry.sent(doc_id=document)
    assert (line["sendStatus"], line["receiveStatus"]) == ("DONE", "06")
    assert line["receiveStatusDesc"] == "Hoàn thành"


def test_reports_travel_as_status_packages(town: Town) -> None:
    """REST sends, VXP reports 01, 03, 06 with messagetype=status; the sender reads the state."""
    document_id = new_id(PULLED)
    answer = town.pulled.submit(packages.document(PULLED, (PROVINCE,), document_id))
    assert answer.status == 202
    (delivery,) = (row["id"] for row in answer.json["deliveries"])
    item = town.listed(town.province, delivery)
    town.province.get(item["docId"])
    town.province.update(item["docId"], "done")
    for code in ("01", "03", "06"):
        report = packages.status(PROVINCE, PULLED, document_id, code)
        assert town.province.send(report, kind="status")
    assert town.pulled.delivery(delivery)["businessState"] == "06"
    sent = town.province.sent("status")
    assert {line["messageType"] for line in sent} == {"status"}
    assert PULLED in {line["toCode"] for line in sent}


def test_a_docid_of_the_sent_list(town: Town) -> None:
    """A status package is no line of the documents; what is no id has no lines, and no fault."""
    document_id = new_id(PULLED)
    town.pulled.submit(packages.document(PULLED, (PROVINCE,), document_id))
    report = town.province.send(packages.status(PROVINCE, PULLED, document_id, "01"), kind="status")
    assert town.province.sent("edoc", report) == []
    assert [line["senderDocId"] for line in town.province.sent("status", report)] == [report]
    told = town.province.call("getSentEdocList", content_type=None, docId=report)
    assert [line["senderDocId"] for line in told["data"]] == [report]
    for wrong in ("1", "x" * 36, "000.00.00.H41,2026/11/02,1/CV"):
        assert town.province.sent("edoc", wrong) == []


def test_a_report_by_who_was_no_recipient_says_so_in_the_list(town: Town) -> None:
    """Its line in the issuer's list has the warning; what the reporter hears tells it nothing."""
    document_id = new_id()
    town.ministry.send(packages.document(MINISTRY, (PULLED,), document_id))
    report = town.province.send(
        packages.status(PROVINCE, MINISTRY, document_id, "03"), kind="status"
    )
    (line,) = town.province.sent("status", report)
    item = town.listed(town.ministry, line["receiverDocId"], "status")
    assert "[STATUS-FOREIGN-DOCUMENT]" in item["status_desc"]
    assert "STATUS" not in line["sendStatusDesc"]
    town.ministry.get(item["docId"])
    town.ministry.update(item["docId"], "done")


def test_documents_and_reports_are_counted_apart(town: Town) -> None:
    """The two counts are the lengths of the two lists."""
    _, document = town.send()
    town.offered(town.province, document)
    for operation, kind in (("countReceiveEdoc", "edoc"), ("countReceiveStatus", "status")):
        assert town.province.count(operation) == len(town.province.received(kind))
    assert town.province.count("countReceiveEdoc") >= 1


def test_a_download_gives_the_bytes_themselves(town: Town) -> None:
    """GET downloadEdoc: no JSON, no base64; it counts as a fetch."""
    content, document = town.send()
    doc_id = town.offered(town.province, document)["docId"]
    headers = town.province.headers({"docId": doc_id}, None)
    status, _, body = town.province.raw("downloadEdoc", headers, method="GET")
    assert (status, body) == (200, content)
    town.province.update(doc_id, "done")


def test_only_the_named_recipients_get_a_copy(town: Town) -> None:
    """`to` says who of the package's recipients is meant here; one nobody named is refused."""
    content = packages.document(MINISTRY, (PROVINCE, PULLED), new_id())
    document = town.ministry.send(content, to=json.dumps([PULLED]))
    assert [line["toCode"] for line in town.ministry.sent(doc_id=document)] == [PULLED]
    assert town.ministry.send(content, to=json.dumps(["H41"])) == document
    assert {line["toCode"] for line in town.ministry.sent(doc_id=document)} == {PROVINCE, PULLED}
    with pytest.raises(Failed, match=r"\[ID-RECIPIENT\]"):
        fresh = packages.document(MINISTRY, (PROVINCE,), new_id())
        town.ministry.send(fresh, to=json.dumps([OLD]))


@pytest.mark.parametrize("hashed", [padded, unpadded])
@pytest.mark.parametrize("behind", [b"", b"\r\n"])
def test_every_way_of_hashing_a_file(town: Town, hashed: object, behind: bytes) -> None:
    """Hex padded or not, a stray CRLF or none: taken, and the hashed bytes are what is kept."""
    assert callable(hashed)
    content = packages.document(MINISTRY, (PROVINCE,), new_id())
    document = town.ministry.send(content, **{"hash-file": hashed(content)})
    parameters = {"from": MINISTRY, "messagetype": "edoc", "hash-file": hashed(content)}
    again = town.ministry.headers(parameters, "application/octet-stream")
    told = town.ministry.answer("sendEdoc", again, content + behind)
    assert told["DocId"] == document
    assert town.province.get(town.offered(town.province, document)["docId"]) == content


def test_a_crlf_that_is_hashed_belongs_to_the_file(town: Town) -> None:
    """A file that ends in CRLF keeps it, and a second CRLF behind it goes."""
    content = packages.document(MINISTRY, (PROVINCE,), new_id()) + b"\r\n"
    parameters = {"from": MINISTRY, "messagetype": "edoc", "hash-file": unpadded(content)}
    headers = town.ministry.headers(parameters, "application/octet-stream")
    document = town.ministry.answer("sendEdoc", headers, content + b"\r\n")["DocId"]
    assert town.ministry.answer("sendEdoc", headers, content)["DocId"] == document
    assert town.province.get(town.offered(town.province, document)["docId"]) == content


def test_bodies_content_types_and_cases_as_clients_have_them(town: Town) -> None:
    """Empty, `{}` and absent bodies, no content type, docid for docId, other prefixes' case."""
    content, document = town.send()
    doc_id = town.offered(town.province, document)["docId"]
    province = town.province
    for body, content_type in ((b"{}", "application/json"), (b"", None), (b"{}", "text/plain")):
        headers = province.headers({"docid": doc_id}, content_type, prefix="xroadvnpt-")
        told = province.answer("getEdoc", headers, body)
        assert base64.b64decode(told["data"]) == content
    headers = province.headers({"DOCID": doc_id}, None, prefix="XROADVNPT-")
    assert province.answer("GETEDOC", headers)["status"] == "OK"
    for body, method in ((b"", "POST"), (b"{}", "POST"), (b"", "GET")):
        headers = province.headers({"servicetype": "eDoc", "messagetype": "edoc"}, None)
        assert province.answer("getReceivedEdocList", headers, body, method)["status"] == "OK"
    chunked = province.headers({"docId": doc_id})
    assert province.answer("getEdoc", chunked, iter([b"{", b"}"]))["status"] == "OK"


def test_clients_that_wait_for_100(town: Town) -> None:
    """Expect: 100-continue is answered for `{}` and for packages, and not for who is unknown."""
    content, document = town.send()
    doc_id = town.offered(town.province, document)["docId"]
    said = town.province.expecting("getEdoc", town.province.headers({"docId": doc_id}), b"{}")
    assert [line.split()[1] for line in said[:2]] == [b"100", b"200"]
    fresh = packages.document(MINISTRY, (PROVINCE,), new_id())
    headers = town.ministry.headers({"from": MINISTRY, "hash-file": unpadded(fresh)})
    said = town.ministry.expecting("sendEdoc", headers, fresh)
    assert b" 100 " in said[0] and json.loads(said[2])["status"] == "OK"
    stranger = VxpClient(town.gateway.port, MINISTRY, "sai")
    headers = stranger.headers({"from": MINISTRY, "hash-file": unpadded(fresh)})
    assert [line.split()[1] for line in stranger.expecting("sendEdoc", headers, fresh)] == [b"200"]
    assert content


@pytest.mark.parametrize("mistake", ["secret", "sender"])
def test_a_body_that_nobody_wants_is_not_waited_for(town: Town, mistake: str) -> None:
    """Refused before 100 Continue: the answer closes the connection at once, not after seconds."""
    client = VxpClient(town.gateway.port, MINISTRY, "sai") if mistake == "secret" else town.ministry
    sender = PROVINCE if mistake == "sender" else MINISTRY
    headers = client.headers({"from": sender, "hash-file": "0"}, "application/octet-stream")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Host: x", "Expect: 100-continue", "Content-Length: 5000"]
    with socket.create_connection(("127.0.0.1", town.gateway.port), timeout=30) as link:
        request = f"POST {client.base}/sendEdoc HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
        link.sendall(request.encode())
        start, said = time.monotonic(), b""
        while block := link.recv(65536):
            said += block
    assert b"Connection: close" in said and b'"FAIL"' in said
    assert time.monotonic() - start < 5


def test_slashes_where_an_address_was_changed(town: Town) -> None:
    """Too many slashes before, within and behind: the operation is done all the same."""
    base, province = town.province.base, town.province
    for slipped in (f"{base}/", f"{base}//", f"/{base}", f"//{base}/"):
        client = replace(province, base=slipped)
        assert client.answer("getReceivedEdocList", client.headers({}, None))["status"] == "OK"
        assert client.answer("countReceiveEdoc/", client.headers({}, None))["status"] == "OK"
    content = packages.document(MINISTRY, (PROVINCE,), new_id())
    assert replace(town.ministry, base=f"{base}/").send(content)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_whatever_is_under_the_base_path_is_answered_by_200(town: Town, method: str) -> None:
    """The bare base, paths below operations, other methods: FAIL with 404 or 405."""
    province = town.province
    root, _, last = province.base.rpartition("/")
    for base, operation in (
        (root, last),
        (province.base, ""),
        (province.base, "x/getReceivedEdocList"),
        (province.base, "getEdoc/more/of%20it"),
    ):
        told = replace(province, base=base).answer(operation, province.headers({}), b"", method)
        assert told["ErrorCode"] == "404" and "there are: sendEdoc" in told["ErrorDesc"]
    told = province.answer("getEdoc", province.headers({}), b"", method)
    assert told["ErrorCode"] == ("400" if method in ("GET", "POST") else "405")


def test_one_connection_serves_many_calls(town: Town) -> None:
    """Bodies are read to their end: the next call on the same socket is understood."""
    link = http.client.HTTPConnection("127.0.0.1", town.gateway.port, timeout=20)
    for _ in range(3):
        for operation in ("getReceivedEdocList", "getAgenciesList", "countReceiveEdoc"):
            path = f"{town.province.base}/{operation}"
            link.request("POST", path, b"{}", town.province.headers({}))
            assert json.loads(link.getresponse().read())["status"] == "OK"
    link.close()


def test_a_circular_names_many_recipients_in_one_header(town: Town) -> None:
    """Five hundred codes in `to`: no header is too long for that."""
    codes = [f"{number:03}.00.10.G22" for number in range(100, 600)]
    content = packages.document(MINISTRY, (PROVINCE,), new_id())
    assert town.ministry.send(content, to=json.dumps([*codes, PROVINCE]))


def test_a_large_package_in_constant_memory(town: Town, tmp_path: Path) -> None:
    """60 MB in and, as base64 in JSON, out again: the process hardly grows."""
    warm = town.send()
    town.province.get(town.offered(town.province, warm[1])["docId"])
    source = tmp_path / "large.edxml"
    digest = packages.write_large(source, MINISTRY, (PROVINCE,), new_id(), [45 * MIB])
    assert source.stat().st_size > 60 * MIB
    before = town.gateway.memory_peak()
    document = town.ministry.send_file(source)
    doc_id = town.offered(town.province, document)["docId"]
    got = hashlib.sha256(town.province.get(doc_id)).hexdigest()
    assert got == digest
    grown = town.gateway.memory_peak() - before
    print(f"grown by {grown / MIB:.1f} MiB")
    assert grown <= 48 * MIB
    town.province.update(doc_id, "done")


def test_packages_under_way_at_once_are_not_mixed_up(town: Town) -> None:
    """Thirty in eight threads, sent and fetched at the same time: each is what it was."""
    contents = [
        packages.document(MINISTRY, (PROVINCE,), new_id(), subject=f"Văn bản {number}")
        for number in range(30)
    ]
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda content: town.ministry.send(content), contents))
        items = pool.map(lambda document: town.offered(town.province, document), documents)
        got = list(pool.map(lambda item: town.province.get(item["docId"]), items))
    assert got == contents
    assert len(set(documents)) == 30
    for item in town.province.received():
        if item["status"] == "PROCESSING":
            town.province.update(item["docId"], "done")


def test_headers_in_utf8_and_bodies_nobody_wanted(town: Town) -> None:
    """A reason in Vietnamese as a raw header; a large body under a wrong secret: both answered."""
    _, document = town.send()
    doc_id = town.offered(town.province, document)["docId"]
    parameters = {"docId": doc_id, "status": "fail", "reason": "máy chủ hết đĩa"}
    headers = town.province.headers(parameters)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Content-Length: 2", "Host: x"]
    with talk(town.gateway.port) as peer:
        peer.send(f"POST {town.province.base}/updateStatus/ HTTP/1.1\r\n".encode())
        peer.send(("\r\n".join(lines) + "\r\n\r\n{}").encode())
        assert json.loads(peer.answer()[2])["status"] == "OK"
    assert "máy chủ hết đĩa" in town.command("trace", document, "--json")
    stranger = VxpClient(town.gateway.port, MINISTRY, "sai")
    headers = stranger.headers({"from": MINISTRY, "hash-file": "0"}, "application/octet-stream")
    assert stranger.answer("sendEdoc", headers, bytes(5 * MIB))["ErrorCode"] == "401"
