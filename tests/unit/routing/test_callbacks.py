"""Callbacks: what is told to whom, signatures, and when a message goes again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.findings import Sentence
from routing.callbacks import (
    LONGEST_RETRY_AFTER,
    SCHEDULE,
    DeliveryFacts,
    Endpoint,
    MessageState,
    PackageFacts,
    PostOutcome,
    PostResult,
    after_post,
    body_of,
    check_event,
    cloud_event,
    is_told,
    is_type_pattern,
    matches,
    may_see,
    subject_of,
)
from routing.records import Event
from routing.webhook_signature import secret_of, sign, verify

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
SECRET = secret_of(bytes(range(32)))
PACKAGE = PackageFacts("p1", "document", "0", "H41,2026,1/CV", "H41.ALPHA", "alpha")
DELIVERY = DeliveryFacts("d1", "H41.BETA", "beta", "offered", shown=True)
EVENT = Event(
    "delivery.offered",
    NOW,
    "gateway:worker",
    document_pk="doc",
    package_id="p1",
    delivery_id="d1",
    from_state="queued",
    to_state="offered",
    data={"detail": "mật", "reason": {"code": "no-connection", "vi": "mật", "en": "mật"}},
    seq=42,
)


def result(outcome: PostOutcome, **fields: object) -> PostResult:
    """An attempt's result."""
    return PostResult(outcome, "", Sentence("", ""), **fields)  # type: ignore[arg-type]


# --- what and to whom ---


@pytest.mark.parametrize(
    ("types", "event_type", "told"),
    [
        ((), "anything.at-all", True),
        (("delivery.offered",), "delivery.offered", True),
        (("delivery.offered",), "delivery.offered-twice", False),
        (("delivery.*",), "delivery.offered", True),
        (("delivery.*",), "deliveryx.offered", False),
        (("delivery.*",), "delivery", False),
        (("report.*", "package.accepted"), "package.accepted", True),
        (("report.*", "package.accepted"), "delivery.offered", False),
    ],
)
def test_types_are_exact_or_prefixes(types: tuple[str, ...], event_type: str, told: bool) -> None:
    """An empty list means all; a prefix ends at a dot."""
    assert matches(types, event_type) is told


def test_type_patterns() -> None:
    """What an operator may write; a bare star or half a word is none."""
    good = ["delivery.*", "delivery.offered", "report.applied", "package.*", "change.recall-asked"]
    bad = ["", "*", "delivery*", "delivery.", ".x", "Delivery.x", "a b", "x.*.y", "đ.x"]
    assert all(is_type_pattern(text) for text in good)
    assert not any(is_type_pattern(text) for text in bad)


def test_only_changes_of_packages_are_told() -> None:
    """Registry events, doorbells rung again and repeated fetches are nobody's news."""
    assert is_told(EVENT)
    assert is_told(replace(EVENT, type="report.recorded", from_state="01", to_state="01"))
    assert not is_told(replace(EVENT, type="delivery.rung", to_state="queued"))
    assert not is_told(
        replace(EVENT, type="delivery.fetched-again", from_state=None, to_state=None)
    )
    assert not is_told(Event("connection.added", NOW, "operator:an"))


def test_senders_see_everything_recipients_their_own_once_offered() -> None:
    """Nobody else sees anything; a recipient does not see what waits, nor the package's events."""
    assert may_see("alpha", PACKAGE, None) and may_see("alpha", PACKAGE, DELIVERY)
    assert may_see("beta", PACKAGE, DELIVERY)
    assert not may_see("beta", PACKAGE, None)
    assert not may_see("gamma", PACKAGE, DELIVERY)
    assert not may_see("beta", PACKAGE, replace(DELIVERY, shown=False))
    # Replayed to another connection: what the first one was shown is not the second one's news.
    assert not may_see("beta", PACKAGE, replace(DELIVERY, state="accepted"))
    assert not may_see("beta", replace(PACKAGE, connection_id=None), None)


def test_cloud_event() -> None:
    """The exact shape; no words of people, no names, nothing of the document."""
    told = cloud_event(EVENT, PACKAGE, DELIVERY, source="LIENTHONG")
    assert told == {
        "specversion": "1.0",
        "id": "evt-42",
        "source": "LIENTHONG",
        "type": "vn.lienthong.delivery.offered",
        "subject": "H41,2026,1/CV",
        "time": "2026-03-02T01:30:00+00:00",
        "datacontenttype": "application/json",
        "data": {
            "document": "H41,2026,1/CV",
            "sender": "H41.ALPHA",
            "recipient": "H41.BETA",
            "packageId": "p1",
            "deliveryId": "d1",
            "kind": "document",
            "meaning": "0",
            "fromState": "queued",
            "toState": "offered",
            "reasonCode": "no-connection",
        },
    }
    assert "mật" not in body_of(told)
    assert json.loads(body_of(told)) == told


def test_report_event_names_its_status_code_and_not_its_words() -> None:
    """The code travels, the description does not."""
    event = replace(
        EVENT, type="report.applied", data={"code": "03", "description": "Đã tiếp nhận"}
    )
    told = cloud_event(event, PACKAGE, DELIVERY, source="s")
    assert told["data"]["statusCode"] == "03"
    assert "tiếp nhận" not in body_of(told)


def test_subject_is_the_document_or_the_package() -> None:
    """A report about an unknown document is in order with itself."""
    assert subject_of(EVENT) == "doc"
    assert subject_of(replace(EVENT, document_pk=None)) == "p1"


def test_check_event_is_a_cloud_event() -> None:
    """It has every required attribute and no data."""
    told = check_event("test-1", "s", NOW)
    assert {"specversion", "id", "source", "type"} <= told.keys()
    assert (told["type"], told["data"]) == ("vn.lienthong.test", {})


# --- signatures ---


def test_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification."""
    headers = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(), st.text(min_size=1, alphabet="abc-123"), st.integers(0, 10**9))
def test_what_is_signed_verifies_and_nothing_else(body: bytes, name: str, seconds: int) -> None:
    """Another body, id, time or secret does not verify."""
    at = datetime.fromtimestamp(seconds, UTC)
    headers = sign([SECRET], name, at, body)
    assert verify(SECRET, headers, body, at)
    assert not verify(SECRET, headers, body + b"x", at)
    assert not verify(secret_of(bytes(32)), headers, body, at)
    assert not verify(SECRET, {**headers, "webhook-id": name + "x"}, body, at)
    assert not verify(SECRET, {**headers, "webhook-timestamp": str(seconds + 1)}, body, at)


def test_tolerance_is_five_minutes_either_way() -> None:
    """A replayed message fails once it is older than that."""
    headers = sign([SECRET], "evt-1", NOW, b"x")
    for seconds, good in ((0, True), (300, True), (301, False), (-300, True), (-301, False)):
        assert verify(SECRET, headers, b"x", NOW + timedelta(seconds=seconds)) is good


def test_two_signatures_while_secrets_overlap() -> None:
    """Old and new secrets both verify until the overlap ends, then the new one alone."""
    new = secret_of(bytes(32))
    endpoint = Endpoint(
        "e", "c", "u", new, NOW, old_secret=SECRET, old_secret_until=NOW + timedelta(hours=1)
    )
    for at, old_verifies in ((NOW, True), (NOW + timedelta(hours=1), False)):
        headers = sign(endpoint.secrets(at), "evt-1", at, b"x")
        assert verify(new, headers, b"x", at)
        assert verify(SECRET, headers, b"x", at) is old_verifies
    assert SECRET not in repr(endpoint) and new not in repr(endpoint)


@pytest.mark.parametrize(
    "broken",
    [
        {"webhook-signature": ""},
        {"webhook-signature": "v2,abc"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": "9" * 400},
    ],
)
def test_nonsense_does_not_verify(broken: dict[str, str]) -> None:
    """Nonsense is refused, not raised."""
    headers = sign([SECRET], "evt-1", NOW, b"x")
    assert not verify(SECRET, {**headers, **broken}, b"x", NOW)
    assert not verify(SECRET, {}, b"x", NOW)


def test_a_secret_is_32_bytes() -> None:
    """Shorter ones are a bug."""
    with pytest.raises(ValueError, match="32"):
        secret_of(b"short")


# --- when again ---


def test_the_schedule_grows_and_ends_after_two_days() -> None:
    """Waits never shrink; the last attempt comes after two to two and a half days."""
    assert list(SCHEDULE) == sorted(SCHEDULE)
    total = sum(SCHEDULE, timedelta(0))
    assert timedelta(hours=44) < total < total * 1.25 < timedelta(hours=62)


def test_every_failure_waits_its_turn_then_the_message_is_parked() -> None:
    """Whatever the failure was; jitter stretches by up to a quarter."""
    for outcome in set(PostOutcome) - {PostOutcome.DELIVERED}:
        for attempt, wait in enumerate(SCHEDULE, start=1):
            least = after_post(attempt, result(outcome), NOW, 0.0)
            most = after_post(attempt, result(outcome), NOW, 0.999)
            assert least.state is most.state is MessageState.PENDING
            assert NOW + wait == least.next_at < most.next_at < NOW + wait * 1.25
        last = after_post(len(SCHEDULE) + 1, result(outcome), NOW, 0.0)
        assert last.state is MessageState.PARKED


def test_success_ends_it_and_gone_suspends_the_endpoint() -> None:
    """410 keeps the message, whatever attempt it was: the endpoint may be resumed."""
    assert after_post(99, result(PostOutcome.DELIVERED), NOW, 0.5).state is MessageState.DELIVERED
    gone = after_post(99, result(PostOutcome.REFUSED, status=410), NOW, 0.5)
    assert gone.suspend_endpoint and gone.state is MessageState.PENDING
    refused = after_post(1, result(PostOutcome.REFUSED, status=404), NOW, 0.5)
    assert not refused.suspend_endpoint


def test_retry_after_is_kept_within_reason() -> None:
    """A longer wait is respected, a shorter one does not hurry us, years are cut."""
    for asked, waited in (
        (timedelta(seconds=1), SCHEDULE[0]),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(days=999), LONGEST_RETRY_AFTER),
    ):
        verdict = after_post(1, result(PostOutcome.TRY_LATER, retry_after=asked), NOW, 0.0)
        assert verdict.next_at == NOW + waited
