"""Whom the national axis protocol believes: secrets, times, signed headers, hashes, senders."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.request import urlopen

import pytest

from adapters.database import open_database
from routing.records import Event
from tests.acceptance.raw import talk
from tests.acceptance.strictness import BUGS
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import wait_until
from tests.support.vxp_client import VIETNAM, Failed, VxpClient, timestamp, unpadded
from tests.support.vxp_town import KEPT, MINISTRY, OLD, PROVINCE, Town

SIGNED_FROM = "XroadVnpt-from"


def document() -> bytes:
    """A new document of the ministry for the province."""
    return packages.document(MINISTRY, (PROVINCE,), new_id())


def sending(client: VxpClient, content: bytes, **more: Any) -> dict[str, str]:
    """The headers of a right `sendEdoc`."""
    parameters = {"from": MINISTRY, "servicetype": "eDoc", "messagetype": "edoc"}
    parameters["hash-file"] = unpadded(content)
    return client.headers(parameters, "application/octet-stream", **more)


def refused(town: Town, headers: dict[str, str], content: bytes, code: str) -> str:
    """The gateway says FAIL with this code and takes nothing; its words."""
    before = len(town.ministry.sent())
    told = town.ministry.answer("sendEdoc", headers, content)
    assert (told["status"], told["ErrorCode"]) == ("FAIL", code), told
    assert len(town.ministry.sent()) == before
    return str(told["ErrorDesc"])


def metric(town: Town, why: str) -> float:
    """How often a request was not believed for this reason."""
    with urlopen(f"{town.gateway.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    wanted = f'lienthong_authentication_failures_total{{face="vxp",why="{why}"}} '
    values = [line.removeprefix(wanted) for line in text.splitlines() if line.startswith(wanted)]
    return float(values[0]) if values else 0.0


def test_a_wrong_secret_and_an_unknown_system_get_the_same_answer(town: Town) -> None:
    """Nobody learns which systems exist; both are counted."""
    content, before = document(), metric(town, "wrong-signature")
    wrong = VxpClient(town.gateway.port, MINISTRY, "không phải")
    unknown = VxpClient(town.gateway.port, "000.00.00.Z99", "không phải")
    said = {refused(town, sending(one, content), content, "401") for one in (wrong, unknown)}
    assert len(said) == 1
    assert metric(town, "wrong-signature") == before + 2
    empty = VxpClient(town.gateway.port, MINISTRY, "")
    refused(town, sending(empty, content), content, "401")


def test_another_systems_secret_is_a_wrong_one(town: Town) -> None:
    """A good secret under another's system id opens nothing."""
    thief = VxpClient(town.gateway.port, MINISTRY, KEPT)
    with pytest.raises(Failed, match="systemid"):
        thief.received()


def test_each_header_is_what_was_signed(town: Town) -> None:
    """Changed, removed or added after signing: refused, whatever the header."""
    content = document()
    right = sending(town.ministry, content)
    names = [name for name in right["XroadVnpt-sign-header-key"].split(";")]
    assert {"systemid", "timestamp", "from", "hash-file", "messagetype"} <= set(names)
    for name in names:
        changed = {**right, f"XroadVnpt-{name}": "khac"}
        del changed["Content-Type"]
        refused(town, {**changed, "Content-Type": "x/y"}, content, "401")
        missing = {key: value for key, value in right.items() if key != f"XroadVnpt-{name}"}
        missing.pop("Content-Type")
        refused(town, missing, content, "401")
    for part in ("sign-header", "sign-header-key", "hash-header"):
        for value in ("", "{", '{"a":{}}', "ô"):
            refused(town, {**right, f"XroadVnpt-{part}": value}, content, "401")
    assert town.ministry.answer("sendEdoc", right, content)["status"] == "OK"


def test_a_word_changed_in_the_signed_text_breaks_it(town: Town) -> None:
    """One byte of sign-header more: the signature is over exactly the bytes."""
    content = document()
    right = sending(town.ministry, content)
    text = right["XroadVnpt-sign-header"]
    for other in (text.replace(",", ", ", 1), text.replace(MINISTRY, PROVINCE, 1)):
        refused(town, {**right, "XroadVnpt-sign-header": other}, content, "401")


def test_what_is_used_must_be_signed(town: Town) -> None:
    """Unsigned hash-file, from, docId, status, timestamp: named and not believed."""
    content = document()
    for name in ("hash-file", "from", "timestamp"):
        said = refused(town, sending(town.ministry, content, unsigned=[name]), content, "401")
        assert name in said
    _, sent = town.send()
    doc_id = town.offered(town.province, sent)["docId"]
    for name in ("docId", "status"):
        parameters = {"docId": doc_id, "status": "done"}
        headers = town.province.headers(parameters, unsigned=[name])
        told = town.province.answer("updateStatus", headers, b"{}")
        assert told["ErrorCode"] == "401" and name in told["ErrorDesc"]
    headers = town.province.headers({"messagetype": "edoc"}, unsigned=["messagetype"])
    assert town.province.answer("getReceivedEdocList", headers)["status"] == "OK"


def test_one_header_twice(town: Town) -> None:
    """The same value twice is harmless; two values are refused."""
    headers = town.province.headers({"messagetype": "edoc"}, None)
    for second, status in (("edoc", "OK"), ("status", "FAIL")):
        with talk(town.gateway.port) as peer:
            path = f"{town.province.base}/getReceivedEdocList"
            lines = [f"{name}: {value}" for name, value in headers.items()]
            lines += [f"xroadvnpt-MESSAGETYPE: {second}", "Content-Length: 0", "Host: x"]
            peer.send(f"POST {path} HTTP/1.1\r\n".encode())
            peer.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            assert json.loads(peer.answer()[2])["status"] == status


def test_a_stale_timestamp_is_told_both_times(town: Town) -> None:
    """A quarter of an hour is allowed, in both directions; a replay after that is refused."""
    content = document()
    now = datetime.now(VIETNAM)
    for minutes in (-16, 16, -60 * 24):
        stamp = timestamp(now + timedelta(minutes=minutes))
        said = refused(town, sending(town.client(MINISTRY, stamp=stamp), content), content, "401")
        assert len(re.findall(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", said)) == 2, said
    for stamp in ("", "hôm nay", "99999999T999999+0000", "2026-11-21T08:00:00+0700"):
        refused(town, sending(town.client(MINISTRY, stamp=stamp), content), content, "401")
    near = timestamp(now - timedelta(minutes=14))
    assert town.client(MINISTRY, stamp=near).send(content)


def test_a_connection_may_ask_for_no_timestamp(town: Town) -> None:
    """tolerance_seconds=0: a client that keeps one timestamp for ever goes on working."""
    assert town.client(OLD, stamp="01012019T000000+0123").received() == []


def test_a_replay_changes_nothing(town: Town) -> None:
    """The very same requests again within the tolerance: one document, still confirmed."""
    content = document()
    headers = sending(town.ministry, content)
    first = town.ministry.answer("sendEdoc", headers, content)["DocId"]
    assert town.ministry.answer("sendEdoc", headers, content)["DocId"] == first
    doc_id = town.offered(town.province, first)["docId"]
    town.province.get(doc_id)
    done = town.province.headers({"docId": doc_id, "status": "done"})
    for _ in range(2):
        assert town.province.answer("updateStatus", done, b"{}")["status"] == "OK"
    assert len(town.ministry.sent(doc_id=first)) == 1


def test_a_replay_carries_no_other_body(town: Town) -> None:
    """Captured headers with another package: the hash ties the body in."""
    content = document()
    headers = sending(town.ministry, content)
    said = refused(town, headers, document(), "400")
    assert "hash-file" in said


def test_a_wrong_hash_is_refused(town: Town) -> None:
    """Another hash, none, a LF behind the file, two CRLF, half of it: nothing is taken."""
    content = document()
    right = sending(town.ministry, content)
    for body in (content + b"\n", content + b"\r\n\r\n", content[:-9], content + b" "):
        assert "SHA-256" in refused(town, right, body, "400")
    wrong = sending(town.ministry, content + b"x")
    refused(town, wrong, content, "400")
    none = town.ministry.headers({"from": MINISTRY, "hash-file": ""}, "application/octet-stream")
    assert "hash-file" in refused(town, none, content, "400")
    assert "không có gói tin" in refused(town, right, b"", "400").lower()


def test_nobody_sends_in_anothers_name(town: Town) -> None:
    """By the header or by the package's From: refused, and written down as a security event."""
    forged = packages.document(PROVINCE, (MINISTRY,), new_id(PROVINCE))
    before = metric(town, "spoofed-sender")
    known = len(asyncio.run(security_events(town)))
    with pytest.raises(Failed) as by_header:
        town.ministry.send(forged, sender=PROVINCE)
    with pytest.raises(Failed) as by_package:
        town.ministry.send(forged, sender=MINISTRY)
    for one in (by_header.value, by_package.value):
        assert one.code == "403" and "[ID-SENDER]" in one.desc and PROVINCE in one.desc
    assert metric(town, "spoofed-sender") == before + 2
    assert town.province.sent() == []
    events = asyncio.run(security_events(town))[known:]
    assert len(events) == 2, events
    assert all(one.actor == f"connection:{MINISTRY}" for one in events)


async def security_events(town: Town) -> list[Event]:
    """What the log has of attempts to act in another's name."""
    database = await open_database(town.site.database_url)
    try:
        events = await database.read(lambda tx: tx.events_after(0, 100_000))
        return [one for one in events if one.type == "security.not-the-sender"]
    finally:
        await database.close()


def test_anothers_documents_are_not_there(town: Town) -> None:
    """Neither fetched nor confirmed nor listed by a system that they are not for."""
    content, sent = town.send()
    doc_id = town.offered(town.province, sent)["docId"]
    stranger = town.client(OLD)
    for doc in (doc_id, sent, "x", "0" * 36, "'; --"):
        with pytest.raises(Failed, match="docId"):
            stranger.get(doc)
        with pytest.raises(Failed, match="docId"):
            stranger.update(doc, "done")
    assert stranger.sent(doc_id=sent) == []
    assert town.province.get(doc_id) == content


def test_what_a_clerk_reads_of_a_bad_package(town: Town) -> None:
    """The Vietnamese sentence first, the rule in brackets, one line of text."""
    content = document().replace(b"<edXML:Subject>V/v ki", b"<edXML:Subjekt>V/v ki")
    with pytest.raises(Failed) as bad:
        town.ministry.send(content)
    assert bad.value.code == "422"
    assert re.search(r"\[[A-Z-]+\]", bad.value.desc) and "\n" not in bad.value.desc
    assert bad.value.desc[0].isalpha() and " / " in bad.value.desc


def test_each_half_of_a_message_is_of_one_language(town: Town) -> None:
    """Vietnamese before the slash, English behind it, and nothing of a program's in either."""
    ministry = town.ministry
    doctype = document().replace(b"?>", b"?><!DOCTYPE edXML:edXML>", 1)
    registering = {"code": "000.01.01.G22", "name": "a\x00b"}
    for operation, headers, body, vietnamese, english in (
        (
            "sendEdoc",
            sending(ministry, b""),
            b"",
            "có 0 byte; cho phép một gói tin edXML",
            "0 bytes",
        ),
        ("sendEdoc", sending(ministry, doctype), doctype, "không có DOCTYPE", "no DOCTYPE"),
        ("registerAgency", None, json.dumps(registering).encode(), "«a?b»", "control characters"),
        ("khongCo", None, b"{}", "có: sendEdoc", "there are: sendEdoc"),
    ):
        told = ministry.answer(operation, headers or ministry.headers({}), body)
        vi, slash, en = told["ErrorDesc"].rpartition(" / ")
        assert slash and vietnamese in vi and english in en, told
        assert not re.search(r"edXML package|no DOCTYPE|allowed|characters|\\x", vi), vi
        assert not re.search(r"không|cho phép|\\x", en), en


def test_parameters_that_make_no_sense(town: Town) -> None:
    """Each is told what is allowed; nothing is HTTP 4xx, nothing is null."""
    for operation, parameters in (
        ("getReceivedEdocList", {"messagetype": "khac"}),
        ("updateStatus", {"docId": "0" * 36, "status": "xong"}),
        ("updateStatus", {"status": "done"}),
        ("getEdoc", {}),
        ("deleteAgency", {}),
        ("deleteAgency", {"AgencyCode": "ma sai!"}),
        ("sendEdoc", {"hash-file": "0", "to": "{}"}),
        ("sendEdoc", {"hash-file": "0", "to": "[1]"}),
        ("registerAgency", {}),
        ("khongCo", {}),
    ):
        headers = town.ministry.headers(parameters)
        assert town.ministry.answer(operation, headers, b"{}")["status"] == "FAIL", operation
    changing = town.ministry.headers({"docId": "0" * 36, "status": "done"})
    told = town.ministry.answer("updateStatus", changing, method="GET")
    assert told["ErrorCode"] == "405"


def test_headers_are_bounded(town: Town) -> None:
    """Hundreds of parameters are refused before anything is worked out."""
    many = {f"XroadVnpt-x{number}": "1" for number in range(100)}
    told = town.ministry.answer("getAgenciesList", {**town.ministry.headers({}), **many})
    assert told["status"] == "FAIL" and "64" in told["ErrorDesc"]


def test_secrets_overlap_while_they_are_rotated(town: Town) -> None:
    """Old and new work side by side; with --now the old one ends."""
    old = town.client(OLD)
    told = json.loads(town.command("connections", "rotate", OLD, "--secret", "--json"))
    new = VxpClient(town.gateway.port, OLD, told["secret"])
    wait_until(lambda: not is_refused(new, "systemid"), 5.0, "the new secret")
    assert old.received() == new.received() == []
    last = "da-co-tu-truoc-0123456789"
    town.command(
        *("connections", "rotate", OLD, "--secret", "--now", "--secret-file", "-"), given=last
    )
    town.secrets[OLD] = last
    wait_until(lambda: not is_refused(town.client(OLD), "systemid"), 5.0, "the last secret")
    for ended in (old, new):
        wait_until(partial(is_refused, ended, "systemid"), 5.0, "the old secret to end")


def test_a_suspended_connection_is_told_so(town: Town) -> None:
    """Good signature, no entry; and back again."""
    client = town.client(OLD)
    town.command("connections", "suspend", OLD)
    wait_until(partial(is_refused, client, "tạm dừng"), 5.0, "the connection to be suspended")
    town.command("connections", "resume", OLD)
    wait_until(lambda: not is_refused(client, "tạm dừng"), 5.0, "the connection to be back")


def is_refused(client: VxpClient, words: str) -> bool:
    """Whether a system is refused with these words, and not with others."""
    try:
        client.received()
    except Failed as failed:
        assert words in failed.desc, failed.desc
        return True
    return False


def test_guessing_is_slowed_down_and_locks_nobody_out(town: Town) -> None:
    """After some dozens of wrong signatures each takes a second; a right one gets in at once."""
    wrong = VxpClient(town.gateway.port, PROVINCE, "sai")
    headers = wrong.headers({}, None)
    start = time.monotonic()
    for _ in range(30):
        assert wrong.answer("getAgenciesList", headers)["ErrorCode"] == "401"
    assert time.monotonic() - start < 20
    with ThreadPoolExecutor(20) as many:
        start = time.monotonic()
        told = many.map(lambda _: wrong.answer("getAgenciesList", headers), range(40))
        codes = Counter(one["ErrorCode"] for one in told)
        assert time.monotonic() - start >= 1
    assert set(codes) == {"401", "429"}, codes
    start = time.monotonic()
    assert town.province.count("countReceiveEdoc") >= 0
    assert time.monotonic() - start < 1


def test_the_log_keeps_secrets_and_has_no_faults_of_ours(town: Town) -> None:
    """After a wrong secret and all of the above: no secret, no traceback, nothing left behind."""
    with pytest.raises(Failed):
        VxpClient(town.gateway.port, OLD, "sai").received()
    log = town.gateway.log.read_text(errors="replace")
    assert "vxp.not-believed" in log
    assert not [secret for secret in town.secrets.values() if secret in log]
    assert [line for line in log.splitlines() if any(mark in line for mark in BUGS)] == []
    assert list(town.site.incoming.iterdir()) == []
