"""Requests that make no sense: paths, ids, parameters, JSON, headers; never a fault of ours."""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import time
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.acceptance.ministry import NGHE_AN, SENDER, Ministry, bearer, post
from tests.acceptance.raw import problem, talk
from tests.acceptance.strictness import GRACE
from tests.support import packages
from tests.support.packages import new_id
from tests.support.servers import wait_until

pytestmark = pytest.mark.usefixtures("still_healthy")


def test_wrong_paths_and_methods(strict: Ministry) -> None:
    """404 and 405 are problems, too; 405 says what is allowed."""
    call = strict.sender.call
    for method, path, status, code in (
        ("GET", "/v1/nirgends", 404, "no-such-path"),
        ("GET", "/nirgends", 404, "no-such-path"),
        ("DELETE", "/v1/inbox", 405, "method-not-allowed"),
        ("PUT", "/v1/packages", 405, "method-not-allowed"),
    ):
        answer = call(method, path)
        problem((answer.status, answer.headers, answer.body), status, code)
        if status == 405:
            assert answer.headers["allow"]
            assert answer.headers["allow"] in answer.json["detail"]
        words = answer.json["detail"].rstrip(".").split(": ")
        assert len(set(words)) == len(words), "nothing is said twice"


def test_ids_that_are_none(strict: Ministry) -> None:
    """Quotes, dots, endless and foreign ids: there is no such thing."""
    ids = ["'", "' OR 1=1--", "../../etc/passwd", "x" * 5000, "\x00", "ữ", "%", "null", "-" * 36]
    for some_id in ids:
        name = quote(some_id, safe="")
        for method, path in (
            ("GET", f"/v1/packages/{name}"),
            ("GET", f"/v1/packages/{name}/content"),
            ("GET", f"/v1/deliveries/{name}"),
            ("POST", f"/v1/inbox/{name}/confirm"),
            ("GET", f"/v1/documents/{name}/events"),
        ):
            answer = strict.sender.call(method, path)
            problem((answer.status, answer.headers, answer.body), 404, "not-found")
        answer = strict.sender.report(name, "01")
        problem((answer.status, answer.headers, answer.body), 404, "not-found")


def test_parameters_that_are_none(strict: Ministry) -> None:
    """Bad limits, waits, cursors, states and times: 400 that names the parameter."""
    cursors = [
        "rubbish",
        "é",
        _cursor("[0]"),
        _cursor('[0,"2026-11-21T00:00:00","x"]'),
        _cursor('[99999999999999999999,"2026-11-21T00:00:00Z","x"]'),
        _cursor('[true,"2026-11-21T00:00:00Z","x"]'),
        _cursor('[0,"0001-01-01T00:00:00+23:59","x"]'),
        _cursor('[0,"9999-12-31T23:59:59-23:59","x"]'),
        _cursor('[0,"2026-11-21T00:00:00Z","\\u0000"]'),
        _cursor('[0,"2026-11-21T00:00:00Z","\\ud800"]'),
        _cursor("[" * 5000),
    ]
    wrong = [
        *(("/v1/inbox", "limit", value) for value in ("0", "-1", "1001", "1e3", "x", "", "٣")),
        *(("/v1/inbox", "wait", value) for value in ("-1", "61", "1.5", "NaN")),
        *(("/v1/inbox", "cursor", value) for value in cursors),
        *(("/v1/documents", "limit", value) for value in ("0", "501", "x")),
        *(("/v1/documents", "state", value) for value in ("FAILED", "' OR 1=1", "\x00")),
        *(("/v1/documents", "since", value) for value in ("gestern", "0001-01-01T00:00:00+23:59")),
        *(("/v1/documents", "until", value) for value in ("13", "9999-12-31T23:59:59-23:59")),
        ("/v1/documents", "limitt", "5"),
        ("/v1/inbox", "state", "offered"),
        *(("/v1/documents", name, "") for name in ("documentId", "sender", "recipient")),
    ]
    for path, name, value in wrong:
        answer = strict.sender.call("GET", f"{path}?{name}={quote(value, safe='')}")
        told = problem((answer.status, answer.headers, answer.body), 400, "bad-parameter")
        assert told["parameter"] == name


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_search_words_are_only_words(strict: Ministry) -> None:
    """NULs, quotes, wildcards, half characters in a search: an answer, never a fault."""
    for name in ("q", "documentId", "sender", "recipient", "cursor"):
        for value in ("%00", "%27", "%25_", "%ff%fe", "%ED%A0%80", "x" * 3000, "%F0%9F%98%80"):
            answer = strict.sender.call("GET", f"/v1/documents?{name}={value}")
            assert answer.status in (200, 400), (name, value, answer)
            if answer.status == 400:
                problem((400, answer.headers, answer.body), 400, "bad-parameter")


#: Words that would tell what the gateway is written in, and nothing to who is refused.
_PYTHONS_OWN = re.compile(r"codec|Expecting|recursion|Invalid|“(list|dict|None|\[?\'.*)”|ord\(")


def test_reports_that_are_none(strict: Ministry) -> None:
    """Whatever is wrong with the JSON of a report: 400 that says so."""
    _, accepted = strict.send(NGHE_AN)
    delivery = strict.offered("nghe_an", accepted.json["id"])["id"]
    good = {"statusCode": "03"}
    bodies: list[bytes] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        *(
            json.dumps(body).encode()
            for body in (
                {},
                {"statusCode": 3},
                {"statusCode": ["03"]},
                {"statusCode": {}},
                {"statusCode": "99"},
                {"status": "03"},
                {**good, "more": 1},
                {**good, "description": 5},
                {**good, "description": "a\x00b"},
                {**good, "description": "a\ud800b"},
                {**good, "description": "a\uffffb"},
                {**good, "description": "x" * 5000},
                {**good, "staff": []},
                {**good, "staff": "An"},
                {**good, "staff": {"age": 5}},
                {**good, "staff": {"staff": "a\x00"}},
                {**good, "timestamp": "heute"},
                {**good, "timestamp": 5},
                {**good, "timestamp": "0001-01-01T00:00:00+23:59"},
                {**good, "timestamp": "9999-12-31T23:59:59-23:59"},
            )
        ),
    ]
    path = f"/v1/deliveries/{delivery}/reports"
    for body in bodies:
        answer = strict.nghe_an.call("POST", path, body, {"Content-Type": "application/json"})
        assert answer.status == 400, (body[:80], answer)
        told = problem((answer.status, answer.headers, answer.body), 400, "bad-parameter")
        said = told["detail"] + told["detailVi"]
        assert not _PYTHONS_OWN.search(said) and told["detail"] != told["detailVi"], said
    refused = strict.nghe_an.call("POST", path, b'{"statusCode": "02"}')
    told = problem((refused.status, refused.headers, refused.body), 422, "invalid-package")
    assert told["parameter"] == "description" and "description" in told["detailVi"]
    assert "từ chối" not in told["detail"]
    for deep in range(900, 1000):
        nested = b'{"statusCode": ' + b"[" * deep + b"]" * deep + b"}"
        assert strict.nghe_an.call("POST", path, nested).status == 400, deep
    strange = {"Content-Type": "application/json; charset=khong-co"}
    answer = strict.nghe_an.call("POST", path, json.dumps(good).encode(), strange)
    assert answer.status in (202, 400), answer
    large = strict.nghe_an.call("POST", path, b" " * 100_000)
    problem((large.status, large.headers, large.body), 413, "too-large")


def test_json_that_stands_still(strict: Ministry) -> None:
    """A JSON body has the grace time and no more: 408, whatever announced it, and closed."""
    for headers in ({"Content_Length": "30"}, {"Transfer_Encoding": "chunked"}):
        with talk(strict.gateway.port) as peer:
            start = time.monotonic()
            peer.head("POST", "/v1/callbacks", Authorization=bearer(strict), **headers)
            half = b'{"address": "htt'
            peer.chunks([half]) if "Transfer_Encoding" in headers else peer.send(half)
            answer = peer.answer()
            told = problem(answer, 408, "too-slow")
            assert GRACE * 0.9 <= time.monotonic() - start < GRACE + 5
            assert told["setting"] == "intake_grace_seconds"
            assert answer[1]["connection"] == "close"


def test_a_body_that_is_not_wanted_ends_the_connection(strict: Ministry) -> None:
    """Refused before its body: the next bytes are no request, and a client that waits is not."""
    nobody = {"Authorization": "Bearer lt_nobody", "Content_Length": "5000"}
    for path, headers, status in (
        ("/v1/packages", {**nobody, "Expect": "100-continue"}, 401),
        ("/v1/packages", nobody, 401),
        ("/v1/inbox", nobody, 405),
    ):
        with talk(strict.gateway.port) as peer:
            start = time.monotonic()
            peer.head("POST", path, **headers)
            answer = peer.answer()
            assert (answer[0], answer[1]["connection"]) == (status, "close")
            if "Expect" in headers:
                assert peer.socket.recv(1) == b""
                assert time.monotonic() - start < GRACE


def test_json_that_is_cut_off(strict: Ministry) -> None:
    """Who hangs up in the middle of a JSON body has made no fault of ours; the log tells 400."""
    path = f"/v1/deliveries/{uuid4()}/reports"
    with talk(strict.gateway.port) as peer:
        peer.head("POST", path, Authorization=bearer(strict), Content_Length="30")
        peer.send(b'{"statusCode":')
    with talk(strict.gateway.port) as peer:
        # A reset instead of a farewell.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.head("POST", path, Authorization=bearer(strict), Content_Length="30")
        peer.send(b'{"statusCode":')

    def told() -> list[int]:
        log = strict.gateway.log.read_text(errors="replace").splitlines()
        requests = [json.loads(line) for line in log if path in line]
        return [one["status"] for one in requests if one["event"] == "request"]

    wait_until(lambda: len(told()) == 2, GRACE * 8, "both requests in the log")
    assert told() == [400, 400]


@pytest.mark.parametrize("long", [41, 256, 300, 5000])
def test_endless_codes_and_ids(strict: Ministry, long: int) -> None:
    """OrganIds and DocumentIds longer than any column: told, or returned, never a fault of ours."""
    code, words = "9" * long, "x" * long
    for content in (
        packages.document(SENDER, (code, NGHE_AN), new_id()),
        packages.document(SENDER, (words,), new_id()),
        packages.document(code, (NGHE_AN,), new_id()),
        packages.document(SENDER, (NGHE_AN,), f"{SENDER},2026/11/02,{words}"),
        packages.document(
            SENDER, (NGHE_AN,), new_id(), subject=words, number=words, notation=words
        ),
        packages.status(SENDER, NGHE_AN, words, "03"),
        packages.status(SENDER, code, new_id(), "03"),
    ):
        answer = post(strict, content)
        assert answer[0] in (202, 403, 422), answer
        if answer[0] != 202:
            found = json.loads(answer[2])["code"]
            problem(answer, answer[0], found)


def test_control_characters_in_a_document_id(strict: Ministry) -> None:
    """NUL and its like, written out or as references: findings, never a stored document."""
    for evil in ("\x00", "\x01", "&#0;", "&#1;", "&#xFFFF;", "\x1b[2J", "\x85", "\u202e"):
        marked = packages.document(SENDER, (NGHE_AN,), f"{SENDER},2026/11/02,7@@/CV")
        answer = post(strict, marked.replace(b"@@", evil.encode()))
        assert answer[0] in (202, 422), (evil, answer)
        if answer[0] == 422:
            problem(answer, 422, "invalid-package")


def test_headers_without_end(strict: Ministry) -> None:
    """A huge header, too many, a broken request line, contradictory lengths: 400, and closed."""
    token = f"Authorization: {bearer(strict)}\r\n"
    for raw in (
        f"GET /v1/inbox HTTP/1.1\r\nHost: x\r\nX-Big: {'a' * 100_000}\r\n{token}\r\n",
        "GET /v1/inbox HTTP/1.1\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(2000)) + "\r\n",
        f"GET /v1/packages/{'x' * 10_000} HTTP/1.1\r\nHost: x\r\n{token}\r\n",
        "GARBAGE\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        f"POST /v1/packages HTTP/1.1\r\nHost: x\r\n{token}Content-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"POST /v1/packages HTTP/1.1\r\nHost: x\r\n{token}Content-Length: -5\r\n\r\n",
        f"POST /v1/packages HTTP/1.1\r\nHost: x\r\n{token}Content-Length: abc\r\n\r\n",
    ):
        with talk(strict.gateway.port) as peer:
            peer.send(raw.encode("latin-1"))
            told = problem(peer.answer(), 400, "bad-request")
            # In our words: the library's show its language and its markers.
            assert "b'" not in told["detail"] and "^" not in told["detail"], told
            assert peer.at_end()


def test_a_chunk_that_is_none(strict: Ministry) -> None:
    """Broken chunked framing inside a body: a problem at once or after the grace time."""
    for pieces in (
        (b"5\r\n<a/>\n\r\nzz\r\nrubbish\r\n",),
        (b"5\r\n<a/>\n\r\n", b"zz\r\nrubbish\r\n"),
    ):
        with talk(strict.gateway.port) as peer:
            token = bearer(strict)
            peer.head("POST", "/v1/packages", Authorization=token, Transfer_Encoding="chunked")
            peer.send(*pieces)
            answer = peer.answer()
            # aiohttp tells the reader of a body only sometimes that its framing broke; then the
            # patience with a body that stands still ends it.
            found = json.loads(answer[2])["code"]
            assert found in ("cut-off", "bad-request", "too-slow"), answer
            problem(answer, 408 if found == "too-slow" else 400, found)
