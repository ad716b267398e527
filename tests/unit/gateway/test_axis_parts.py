"""The pure parts of an axis' client: signed headers, answers read in pieces, rows, verdicts."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.vxp_client import AxisAnswer, Heard
from adapters.vxp_edoc import LONGEST_FRAME, EdocAnswer, EdocBroken
from adapters.vxp_request import signed_headers, timestamp, unpadded
from envelopes.findings import Finding, Sentence, Severity
from envelopes.read import ReadResult
from gateway.axis.items import Item, codes_of, read_items, time_of
from gateway.axis.options import AxisOptions
from gateway.axis.refusals import is_over, rejected
from gateway.axis.verdict import verdict
from gateway.vxp.headers import Parameters, claim_of, is_signed_by, judge_time, parameters_of
from routing.deliver import AttemptOutcome
from routing.submission import RefusalKind, Refused

NOW = datetime(2026, 11, 21, 1, 2, 3, 45_000, tzinfo=UTC)
OPTIONS = AxisOptions(url="https://truc.example/x", system_id="H41", held_codes=("17",))


def _pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    return [content[a:b] for a, b in itertools.pairwise(places)]


def _read(content: bytes, cuts: list[int]) -> tuple[bytes, dict[str, object]]:
    answer = EdocAnswer()
    taken = b"".join(answer.feed(piece) for piece in _pieces(content, cuts))
    return taken, answer.close()


@given(st.binary(max_size=300), st.lists(st.integers(0, 2000), max_size=12), st.integers(0, 5))
def test_an_answer_in_any_pieces(package: bytes, cuts: list[int], shape: int) -> None:
    """However the answer is cut and written, the package and the frame come out the same."""
    text = base64.b64encode(package).decode()
    frame = {
        "status": "OK",
        "ErrorDesc": 'mã "data": {x}',
        "more": {"data": "no"},
        "list": ["data"],
    }
    first, last = {**frame, "data": text}, {"data": text, **frame}
    lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    written = [
        json.dumps(first),
        json.dumps(last, indent=2, ensure_ascii=False),
        json.dumps(first).replace("=", "\\u003d"),
        json.dumps(last).replace("/", "\\/"),
        json.dumps({**frame, "data": lines}),
        json.dumps(first).replace(" ", ""),
    ][shape].encode()
    taken, read = _read(written, cuts)
    assert taken == package
    assert read["status"] == "OK" and read["data"] == ""


@pytest.mark.parametrize(
    "content",
    [
        b'{"status": "OK", "data": "AAAA',
        b'{"status": "OK", "data": "AAA"}',
        b'{"status": "OK", "data": "A*AA"}',
        b'{"status": "OK", "data": "AA==AAAA"}',
        b'{"status": "OK", "data": "AAAA", "data": "BBBB"}',
        b'{"status": "OK", "data": "AA\\qA"}',
        b'["data"]',
        b"<html>",
        b'{"x": "' + b"x" * (LONGEST_FRAME + 1) + b'"}',
    ],
)
def test_broken_answers(content: bytes) -> None:
    """Cut off, no base64, two packages, no object, endless: no package is taken for whole."""
    with pytest.raises(EdocBroken):
        _read(content, [7, 20])


def test_signed_headers_are_believed_by_our_server() -> None:
    """What the client signs, the server side, written apart, takes for signed."""
    parameters = {"from": "H41", "to": '["G22","000.00.13.H53"]', "docId": "1"}
    headers = signed_headers("H41", "bí mật", parameters, NOW, "application/json")
    assert headers["XroadVnpt-timestamp"] == timestamp(NOW) == "21112026T080203+0045"
    claim = claim_of([(name.encode(), value.encode()) for name, value in headers.items()])
    assert is_signed_by(claim, ["bí mật"]) and not is_signed_by(claim, ["khác"])
    trusted = parameters_of(claim)
    assert isinstance(trusted, Parameters)
    assert {name: trusted.trusted(name) for name in parameters} == parameters
    assert judge_time(trusted, 1, NOW) is None


def test_unpadded_digest() -> None:
    """Each byte without its leading zero, as the toolkit writes it."""
    digest = "0a00ff10" + "01" * 28
    assert unpadded(digest) == "a0ff10" + "1" * 28
    assert len(unpadded(sha256(b"x").hexdigest())) <= 64


def test_rows_are_read_with_patience() -> None:
    """Nulls, repeats, foreign services, ids that cannot be asked for; oldest first."""
    rows = [
        {"docId": "b", "to": "G22", "created_time": "02/11/2026 08:00:00", "from": None},
        {"docId": "a", "to": '["G22","H41"]', "created_time": 1793500000000, "from": "H53"},
        {"docId": "b", "to": ["H41"], "created_time": "2026/11/02 08:00:00"},
        {"docId": 12, "serviceType": "EDOC", "to": None, "created_time": "2026-11-03T08:00:00"},
        {"docId": "x\r\nX-Evil: 1"},
        {"docId": None},
        {"docId": "c", "serviceType": "ePay"},
    ]
    items, unusable = read_items(rows)
    assert [item.doc_id for item in items] == ["a", "b", "12"]
    assert items[0] == Item("a", "H53", ("G22", "H41"), items[0].created)
    assert items[1].recipients == ("G22", "H41") and items[2].recipients == ()
    assert len(unusable) == 3


@given(
    st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.text()), st.booleans())
)
def test_no_member_makes_reading_fail(value: object) -> None:
    """Whatever a member holds, reading it gives something or nothing."""
    assert isinstance(codes_of(value), tuple)
    at = time_of(value)
    assert at is None or at.tzinfo is not None
    read_items([{"docId": value, "from": value, "to": value, "created_time": value}])


_FAILS = {
    "Edoc already exists": AttemptOutcome.DELIVERED,
    "Văn bản đã tồn tại trên trục": AttemptOutcome.DELIVERED,
    "Duplicate document": AttemptOutcome.DELIVERED,
    "Agency does not exist": AttemptOutcome.REFUSED,
    "Mã cơ quan không tồn tại": AttemptOutcome.REFUSED,
    "Đã có lỗi: sai định dạng": AttemptOutcome.REFUSED,
    "DocumentId already exists with different content": AttemptOutcome.REFUSED,
    "Mã văn bản đã tồn tại với nội dung khác": AttemptOutcome.REFUSED,
    "Server is busy, try again": AttemptOutcome.TRY_LATER,
    "Hệ thống đang bận": AttemptOutcome.TRY_LATER,
    "hash-header is wrong": AttemptOutcome.TRY_LATER,
    "timestamp out of tolerance": AttemptOutcome.TRY_LATER,
    "": AttemptOutcome.TRY_LATER,
}


@pytest.mark.parametrize(("text", "outcome"), _FAILS.items())
def test_what_a_fail_means(text: str, outcome: AttemptOutcome) -> None:
    """The axis' words decide; a doubtful one is never taken for a receipt."""
    assert verdict(AxisAnswer(Heard.FAIL, code="1", text=text), OPTIONS).outcome is outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (AxisAnswer(Heard.OK), AttemptOutcome.DELIVERED),
        (AxisAnswer(Heard.UNKNOWN, code="no answer"), AttemptOutcome.UNKNOWN),
        (AxisAnswer(Heard.LATER, code="HTTP 503", status=503), AttemptOutcome.TRY_LATER),
        (AxisAnswer(Heard.DENIED, code="HTTP 404", status=404), AttemptOutcome.TRY_LATER),
        (AxisAnswer(Heard.DENIED, code="HTTP 413", status=413), AttemptOutcome.REFUSED),
        (AxisAnswer(Heard.BLOCKED, code="private"), AttemptOutcome.TRY_LATER),
        (AxisAnswer(Heard.FAIL, code="17", text="Mã lỗi 17"), AttemptOutcome.DELIVERED),
        (AxisAnswer(Heard.FAIL, code="503", text="Chưa rõ"), AttemptOutcome.TRY_LATER),
    ],
)
def test_what_an_answer_means(answer: AxisAnswer, outcome: AttemptOutcome) -> None:
    """Transport trouble, codes of options, HTTP numbers as codes."""
    assert verdict(answer, OPTIONS).outcome is outcome


@pytest.mark.parametrize(
    ("kind", "rules", "settled", "at_once"),
    [
        (RefusalKind.INVALID, ["HEAD-REQUIRED"], True, False),
        (RefusalKind.INVALID, ["HEAD-REPLY"], False, False),
        (RefusalKind.INVALID, ["HEAD-SECRET"], True, True),
        (RefusalKind.INVALID, ["FILE-MALWARE", "HEAD-REPLY"], True, True),
        (RefusalKind.INVALID, ["ID-RECIPIENT"], False, False),
        (RefusalKind.OTHER_CONTENT, [], False, False),
        (RefusalKind.NOT_THE_OWNER, [], False, False),
    ],
)
def test_what_is_refused_and_may_become_good(
    kind: RefusalKind, rules: list[str], settled: bool, at_once: bool
) -> None:
    """What the directory or other documents decide is looked at again; a secret never is."""
    word = Sentence("việc", "thing")
    findings = tuple(Finding(rule, Severity.REFUSE, word) for rule in rules)
    answer = rejected(Item("1"), Refused(kind, findings), ReadResult(None, ()), "digest")
    assert (answer.settled, answer.at_once) == (settled, at_once)


def test_a_way_is_looked_for_a_day() -> None:
    """A day from the first refusal, whatever the clock began with."""
    assert not is_over(1000.0, 1000.0 + 86_399)
    assert is_over(1000.0, 1000.0 + 86_400)
