"""What a request of the national axis protocol may be believed."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.model import VIETNAM_TIME
from gateway.vxp.headers import (
    MOST_HEADERS,
    Claim,
    Distrust,
    Distrusted,
    Parameters,
    claim_of,
    is_signed_by,
    judge_time,
    parameters_of,
    parse_timestamp,
)
from tests.support.vxp_client import VxpClient, timestamp

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
CLIENT = VxpClient(0, "000.00.00.H41", "bí mật", stamp=timestamp(NOW))
names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=20)
values = st.text(st.characters(min_codepoint=33, max_codepoint=0x1EFF, categories=("L", "N", "P")))


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as they arrive."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def claim(headers: dict[str, str]) -> Claim:
    """The claim of these headers, which must be readable."""
    found = claim_of(raw(headers))
    assert isinstance(found, Claim), found
    return found


def judged(headers: dict[str, str]) -> Parameters | Distrusted:
    """The whole judgement, as the gate makes it."""
    found = claim_of(raw(headers))
    if isinstance(found, Distrusted):
        return found
    if not is_signed_by(found, [CLIENT.secret]):
        return Distrusted(Distrust.WRONG_SIGNATURE, None)  # type: ignore[arg-type]  # not looked at
    return parameters_of(found)


@given(st.dictionaries(names.map(lambda name: "p" + name), values, max_size=8))
def test_what_was_signed_is_believed(parameters: dict[str, str]) -> None:
    """Whatever the parameters, names in any case: each has its value."""
    unique = {name.lower(): value for name, value in parameters.items()}
    found = judged(CLIENT.headers(unique))
    assert isinstance(found, Parameters), found
    assert found.system_id == CLIENT.system_id
    for name, value in unique.items():
        assert found.trusted(name.upper()) == value


@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    """Any byte of the signed text or of a signed header: not believed."""
    headers = CLIENT.headers({"docId": "1234", "status": "done"})
    changing = ("sign-header", "hash-header", "docId", "status", "timestamp", "systemid")
    name = "XroadVnpt-" + data.draw(st.sampled_from(changing))
    text = headers[name]
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("!#ab09Z{}").filter(lambda char: char != text[place]))
    changed = {**headers, name: text[:place] + other + text[place + 1 :]}
    assert isinstance(judged(changed), Distrusted)


def test_each_secret_counts_while_they_overlap() -> None:
    """Any of several opens; none, an empty one and a part of one do not."""
    found = claim(CLIENT.headers({}))
    assert is_signed_by(found, ["cũ", CLIENT.secret])
    assert is_signed_by(found, [CLIENT.secret, "mới"])
    for wrong in ([], [""], ["bí"], ["BÍ MẬT"]):
        assert not is_signed_by(found, wrong)
    empty = VxpClient(0, "x", "", stamp="x")
    assert not is_signed_by(claim(empty.headers({})), [""])


@pytest.mark.parametrize("missing", ["systemid", "sign-header", "sign-header-key", "hash-header"])
def test_a_signature_has_all_its_parts(missing: str) -> None:
    """Without one of them nothing is believed, and the header is named."""
    headers = CLIENT.headers({})
    del headers[f"XroadVnpt-{missing}"]
    found = claim_of(raw(headers))
    assert isinstance(found, Distrusted) and found.why is Distrust.MALFORMED
    assert missing in found.sentence.vi


def test_what_is_signed_in_other_shapes() -> None:
    """Numbers as numbers, lists as lists, names without prefix, escapes: the same values."""
    text = json.dumps(
        {
            "XroadVnpt-systemid": CLIENT.system_id,
            "timestamp": CLIENT.stamp,
            "XROADVNPT-count": 7,
            "XroadVnpt-to": ["H41", "G22"],
            "XroadVnpt-odd": "a=b&c",
        }
    ).replace("=", "\\u003d")
    headers = {
        **CLIENT.headers({"count": "7", "to": '["H41", "G22"]', "odd": "a=b&c"}),
        "XroadVnpt-sign-header": text,
        "XroadVnpt-sign-header-key": "xroadvnpt-systemid;timestamp;COUNT;to;odd;",
    }
    found = parameters_of(claim(headers))
    assert isinstance(found, Parameters), found
    assert found.trusted("to") == '["H41", "G22"]'
    assert found.trusted("odd") == "a=b&c"


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "1", "null", "{", "[" * 5000),
        *('{"XroadVnpt-a":null}', '{"XroadVnpt-a":true}', '{"a":[1]}', '{"XroadVnpt-a":{"b":"1"}}'),
        '{"XroadVnpt-a":"1","xroadvnpt-A":"1"}',
    ],
)
def test_signed_texts_that_say_nothing(text: str) -> None:
    """No JSON object, members twice, values that are no text: refused, and nothing breaks."""
    headers = {**CLIENT.headers({"a": "1"}), "XroadVnpt-sign-header": text}
    assert isinstance(parameters_of(claim(headers)), Distrusted)


def test_a_parameter_signed_as_null_was_not_sent() -> None:
    """Gson with serializeNulls: "XroadVnpt-to":null without the header, or with an empty one."""
    for sent, believed in ((None, True), ("", True), ('["H53"]', False)):
        headers = CLIENT.headers({"docId": "1"})
        members = {**json.loads(headers["XroadVnpt-sign-header"]), "XroadVnpt-to": None}
        text = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
        mac = hmac.new(CLIENT.secret.encode(), text.encode(), sha256).hexdigest()
        headers |= {"XroadVnpt-sign-header": text, "XroadVnpt-hash-header": mac}
        headers["XroadVnpt-sign-header-key"] += ";to"
        found = judged(headers if sent is None else {**headers, "XroadVnpt-to": sent})
        assert isinstance(found, Parameters) is believed, found
        if isinstance(found, Parameters):
            assert (found.trusted("to"), found.trusted("docId")) == ("", "1")
        else:
            assert found.why is Distrust.TAMPERED


def test_other_headers_may_be_signed_too() -> None:
    """Content-Type without prefix, User-Agent: compared, and never taken for a parameter."""
    signed = {"XroadVnpt-Content-Type": "x/y", "User-Agent": "Toolkit", "From": "a@example.vn"}
    headers = CLIENT.headers({}, None)
    headers |= {"XroadVnpt-sign-header": json.dumps(signed), "User-Agent": "Toolkit"}
    headers |= {"XroadVnpt-sign-header-key": "Content-Type", "From": "a@example.vn"}
    found = parameters_of(claim({**headers, "Content-Type": "x/y"}))
    assert isinstance(found, Parameters), found
    assert found.trusted("from") == ""
    assert isinstance(parameters_of(claim({**headers, "Content-Type": "x/z"})), Distrusted)
    assert isinstance(parameters_of(claim(headers)), Distrusted)


def test_a_header_twice_and_very_many() -> None:
    """Two values of one name are refused, one value twice is not; the number is bounded."""
    headers = raw(CLIENT.headers({"docId": "1"}))
    assert isinstance(claim_of([*headers, (b"xroadvnpt-DOCID", b"1")]), Claim)
    found = claim_of([*headers, (b"xroadvnpt-DOCID", b"2")])
    assert isinstance(found, Distrusted) and found.why is Distrust.AMBIGUOUS
    many = [(f"XroadVnpt-{number}".encode(), b"x") for number in range(MOST_HEADERS + 1)]
    assert isinstance(claim_of([*headers, *many]), Distrusted)
    large = (b"XroadVnpt-x", b"x" * 300_000)
    assert isinstance(claim_of([*headers, large]), Distrusted)


def test_bytes_that_are_no_utf8() -> None:
    """A header in another encoding is no reason to break."""
    headers = [*raw(CLIENT.headers({})), (b"XroadVnpt-filePath", b"C:\\t\xe0i li\xea\x80u")]
    found = claim_of(headers)
    assert isinstance(found, Claim)
    assert isinstance(parameters_of(found), Parameters)


@given(st.integers(10**9, 4 * 10**9), st.integers(0, 999_999))
def test_timestamps_are_read_as_they_are_written(second: int, microsecond: int) -> None:
    """To the second; the milliseconds are no zone."""
    moment = datetime.fromtimestamp(second, VIETNAM_TIME).replace(microsecond=microsecond)
    assert parse_timestamp(timestamp(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text", ["", "21112026", "32112026T080000+0000", "21112026T080000+07:00", "21112026T250000"]
)
def test_what_is_no_timestamp(text: str) -> None:
    """Anything else is none."""
    assert parse_timestamp(text) is None


@pytest.mark.parametrize(
    ("seconds", "tolerance", "believed"),
    [
        *((0, 900, True), (899, 900, True), (-899, 900, True), (901, 900, False)),
        *((-902, 900, False), (10**6, 0, True), (5, 1, False)),
    ],
)
def test_the_tolerance_is_the_connections(seconds: int, tolerance: int, believed: bool) -> None:
    """In both directions; 0 is off; who is refused reads both times."""
    late = VxpClient(0, "x", "y", stamp=timestamp(NOW - timedelta(seconds=seconds)))
    found = parameters_of(claim(late.headers({})))
    assert isinstance(found, Parameters)
    refused = judge_time(found, tolerance, NOW)
    assert (refused is None) is believed
    if refused is not None:
        assert "21/11/2026 15:00:00" in refused.sentence.vi
        assert f"{NOW - timedelta(seconds=seconds) + timedelta(hours=7):%H:%M:%S}" in (
            refused.sentence.vi
        )


def test_an_unsigned_timestamp_proves_nothing() -> None:
    """Anybody could write a new one under an old signature."""
    found = parameters_of(claim(CLIENT.headers({}, unsigned=["timestamp"])))
    assert isinstance(found, Parameters)
    refused = judge_time(found, 900, NOW)
    assert refused is not None and refused.why is Distrust.UNSIGNED
