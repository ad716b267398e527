"""What the service says to packages it does not want: a clear problem each, nothing left behind."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.ministry import NGHE_AN, SENDER, Ministry, bearer, documents_of, post
from tests.acceptance.raw import Talk, problem, talk
from tests.acceptance.strictness import CANARY, GRACE
from tests.support import packages
from tests.support.packages import new_id
from tests.support.service import ROOT

pytestmark = pytest.mark.usefixtures("still_healthy")
BAD = sorted((ROOT / "tests/corpus/bad").glob("*.edxml"))


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer lt_khong-phai-ma-nao-ca", "Basic dTpw", "Bearer \xff\0"]
)
def test_an_unknown_token_is_refused_before_the_body(strict: Ministry, authorization: str) -> None:
    """401 with WWW-Authenticate although not a byte of the announced body was sent."""
    if "\0" in authorization:
        authorization = authorization.replace("\0", "\udcfe")
    with talk(strict.gateway.port) as peer:
        headers = {"Authorization": authorization} if authorization else {}
        peer.head("POST", "/v1/packages", Content_Length="1000000", **headers)
        status, names, body = peer.answer()
    assert names["www-authenticate"].startswith("Bearer")
    problem((status, names, body), 401, "unknown-token")


def test_a_sender_speaks_for_itself_alone(strict: Ministry) -> None:
    """From another agency: 403 with the finding, and a security event instead of a document."""
    stored = documents_of(strict)
    forged = packages.document(NGHE_AN, (SENDER,), new_id(NGHE_AN))
    told = problem(post(strict, forged), 403, "not-the-sender")
    assert told["findings"][0]["rule"] == "ID-SENDER"
    assert told["findings"][0]["found"] == NGHE_AN
    assert documents_of(strict) == stored
    strict.sender.call("GET", "/v1/inbox")


def test_each_bad_package_is_told_why(strict: Ministry) -> None:
    """Every file of the bad corpus: the rule that its name says, in both languages."""
    assert len(BAD) >= 70
    for path in BAD:
        content = path.read_bytes()
        if not content:
            problem(post(strict, content), 400, "empty")
            continue
        told = problem(post(strict, content), 422, "invalid-package")
        rules = {finding["rule"].lower() for finding in told["findings"]}
        assert path.stem.partition("--")[0] in rules, (path.name, told["findings"])
        for finding in told["findings"]:
            assert finding["sentence"]["vi"] and finding["sentence"]["en"], (path.name, finding)


def test_a_malformed_package_is_told_where(strict: Ministry) -> None:
    """The finding names the line on which the mistake is."""
    content = packages.document(SENDER, (NGHE_AN,), new_id())
    lines = content.replace(b"</edXML:Subject>", b"</edXML:Subjekt>").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if b"Subjekt" in text)
    told = problem(post(strict, b"\n".join(lines)), 422, "invalid-package")
    assert line in {finding.get("line") for finding in told["findings"]}, told["findings"]


def test_the_namespace_of_the_draft_is_named(strict: Ministry) -> None:
    """A package in a namespace from before QCVN 102 is told which one is expected."""
    content = packages.document(SENDER, (NGHE_AN,), new_id()).replace(
        packages.NAMESPACE.encode(), packages.OLD_NAMESPACE.encode()
    )
    told = problem(post(strict, content), 422, "invalid-package")
    finding = next(one for one in told["findings"] if one["rule"] == "XML-NAMESPACE")
    assert packages.OLD_NAMESPACE in finding["found"]
    assert packages.NAMESPACE in finding["allowed"]


def test_a_body_cut_off_leaves_nothing(strict: Ministry) -> None:
    """The connection is lost half way: no document, no payload, no lost place."""
    stored = documents_of(strict)
    content = packages.document(SENDER, (NGHE_AN,), new_id())
    for _ in range(20):  # more often than there are places for one connection
        with talk(strict.gateway.port) as peer:
            length = str(len(content))
            peer.head("POST", "/v1/packages", Authorization=bearer(strict), Content_Length=length)
            peer.send(content[: len(content) // 2])
    assert strict.sender.submit(packages.document(SENDER, (NGHE_AN,), new_id())).status == 202
    assert documents_of(strict) == stored + 1


def test_a_stalled_body_is_let_go(strict: Ministry) -> None:
    """A body that stands still is cut after the grace time, chunked or not."""
    content = packages.document(SENDER, (NGHE_AN,), new_id())
    for headers in ({"Content_Length": str(len(content))}, {"Transfer_Encoding": "chunked"}):
        with talk(strict.gateway.port) as peer:
            start = time.monotonic()
            peer.head("POST", "/v1/packages", Authorization=bearer(strict), **headers)
            if "Transfer_Encoding" in headers:
                peer.chunks([content[:500]])
            else:
                peer.send(content[:500])
            told = problem(peer.answer(), 408, "too-slow")
            assert GRACE * 0.9 <= time.monotonic() - start < GRACE + 5
            assert "intake_grace_seconds" in told["setting"]


def test_a_trickling_body_is_let_go(strict: Ministry) -> None:
    """A byte now and then does not hold a place for ever: the rate counts, not the last byte."""
    with talk(strict.gateway.port) as peer:
        peer.head("POST", "/v1/packages", Authorization=bearer(strict), Content_Length="1000000")
        start = time.monotonic()
        while peer.send(b" ") and time.monotonic() - start < 10:
            if not _quiet(peer, 0.1):
                break
        problem(peer.answer(), 408, "too-slow")
        assert time.monotonic() - start < GRACE + 5


def _quiet(peer: Talk, seconds: float) -> bool:
    """Whether nothing comes from the gateway for so long."""
    peer.socket.settimeout(seconds)
    try:
        return peer.socket.recv(1, 2) == b"never"  # MSG_PEEK
    except TimeoutError:
        return True
    finally:
        peer.socket.settimeout(20)


def test_too_large_is_refused_at_its_announcement(strict: Ministry) -> None:
    """600 MB announced: 413 with limit and setting, before a byte of it is read."""
    with talk(strict.gateway.port) as peer:
        length = str(600 * 1024 * 1024)
        peer.head("POST", "/v1/packages", Authorization=bearer(strict), Content_Length=length)
        told = problem(peer.answer(), 413, "too-large")
    assert told["setting"] == "max_package_mib"
    assert told["allowed"] == f"{512 * 1024 * 1024} bytes"


def test_nothing_compressed_and_no_parts(strict: Ministry) -> None:
    """Content-Encoding (a bomb of 200 MB in 200 kB) and multipart are refused unread."""
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 1)
    peak = strict.gateway.memory_peak()
    for coding in ("gzip", "deflate", "br", "x-la"):
        problem(post(strict, bomb[:1000], Content_Encoding=coding), 415, "content-encoding")
    told = post(strict, bomb, Content_Encoding="gzip")
    problem(told, 415, "content-encoding")
    assert strict.gateway.memory_peak() - peak < 32 * 1024 * 1024
    form = b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n<a/>\r\n--x--\r\n'
    problem(post(strict, form, Content_Type="multipart/form-data; boundary=x"), 415, "multipart")
    problem(post(strict, b""), 400, "empty")


def test_a_zip_bomb_inside_a_package(strict: Ministry) -> None:
    """300 MB of nothing in a small ZIP: a finding, in flat memory and in little time."""
    file = packages.File(
        "a.pdf", packages.zipped("a.pdf", bytes(300 * 1024 * 1024)), "application/zip"
    )
    content = packages.document(SENDER, (NGHE_AN,), new_id(), files=[file])
    peak, start = strict.gateway.memory_peak(), time.monotonic()
    told = problem(post(strict, content), 422, "invalid-package")
    assert {finding["rule"] for finding in told["findings"]} == {"ATT-LIMIT"}
    assert time.monotonic() - start < 5
    assert strict.gateway.memory_peak() - peak < 32 * 1024 * 1024


def test_expect_continue_is_answered_when_wanted(strict: Ministry) -> None:
    """100 only for a body that will be read: not before a 401, 413 or 415."""
    content = packages.document(SENDER, (NGHE_AN,), new_id())
    expected = {"Expect": "100-continue", "Content_Length": str(len(content))}
    token = {"Authorization": bearer(strict)}
    refused: list[tuple[dict[str, str], int]] = [
        (expected, 401),
        ({**expected, **token, "Content_Length": str(2**40)}, 413),
        ({**expected, **token, "Content_Encoding": "gzip"}, 415),
    ]
    for headers, status in refused:
        with talk(strict.gateway.port) as peer:
            peer.head("POST", "/v1/packages", **headers)
            assert peer.answer()[0] == status
    with talk(strict.gateway.port) as peer:
        peer.head("POST", "/v1/packages", **expected, **token)
        assert peer.answer()[0] == 100
        peer.send(content)
        assert peer.answer()[0] == 202


def test_curl_hands_in_and_reads_back(strict: Ministry, tmp_path: Path) -> None:
    """curl, with its own Expect and chunking: accepted, and the same bytes come back."""
    source, back = tmp_path / "a.edxml", tmp_path / "b.edxml"
    files = [packages.File("a.pdf", packages.pdf(CANARY, 2_000_000))]
    source.write_bytes(packages.document(SENDER, (NGHE_AN,), new_id(), files=files))
    common = ["curl", "-sS", "-H", f"Authorization: {bearer(strict)}"]
    url = strict.gateway.url
    for extra in ([], ["-H", "Transfer-Encoding: chunked"]):
        upload = ["--data-binary", f"@{source}", "-w", "%{http_code}", "-o", str(tmp_path / "o")]
        sent = subprocess.run(
            [*common, *extra, *upload, f"{url}/v1/packages"], capture_output=True, check=True
        )
        assert sent.stdout.decode() in ("202", "200")
    answer = json.loads((tmp_path / "o").read_text())
    assert answer["repeated"] is True
    path = f"{url}/v1/packages/{answer['id']}/content"
    subprocess.run([*common, "-o", str(back), path], check=True)
    assert back.read_bytes() == source.read_bytes()
