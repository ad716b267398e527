"""Signed addresses of claim checks: good for these bytes, this audience, this long, and no more."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.claim_url import (
    LONGEST,
    ClaimFault,
    ClaimGranted,
    ClaimRefused,
    expiry,
    sign_claim,
    verify_claim,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
KEY, OTHER = b"k" * 32, b"o" * 40
DIGEST = hashlib.sha256(b"payload").hexdigest()
digests = st.binary(max_size=8).map(lambda content: hashlib.sha256(content).hexdigest())
audiences = st.text(min_size=1, max_size=30).filter(
    lambda text: not any("\ud800" <= one <= "\udfff" for one in text)
)


def signed(
    digest: str = DIGEST, audience: str = "qlvb-nghe-an", keys: tuple[bytes, ...] = (KEY,)
) -> dict[str, str]:
    """The parameters of an address that is good for an hour."""
    return dict(parse_qsl(sign_claim(keys, digest, audience, expiry(NOW, timedelta(hours=1)))))


def fault(answer: ClaimGranted | ClaimRefused) -> ClaimFault:
    """Why it was refused; fails when it was not."""
    assert isinstance(answer, ClaimRefused)
    assert answer.sentence.vi and answer.sentence.en
    return answer.fault


@given(digest=digests, audience=audiences, seconds=st.integers(1, int(LONGEST.total_seconds())))
def test_what_was_signed_is_good_until_it_ends(digest: str, audience: str, seconds: int) -> None:
    """Good from the first moment to the last, through a URL and back, and not at its end."""
    ends = expiry(NOW, timedelta(seconds=seconds))
    query = dict(parse_qsl(sign_claim([KEY], digest, audience, ends)))
    last = ends - timedelta(microseconds=1)
    for moment in (NOW, last):
        assert verify_claim([KEY], digest, query, moment) == ClaimGranted(digest, audience, ends)
    assert fault(verify_claim([KEY], digest, query, ends)) is ClaimFault.EXPIRED


@given(other=digests.filter(lambda found: found != DIGEST), audience=audiences)
def test_nothing_in_it_can_be_changed(other: str, audience: str) -> None:
    """Other bytes, another audience or a later end under the same signature are forged."""
    query = signed()
    assert fault(verify_claim([KEY], other, query, NOW)) is ClaimFault.FORGED
    later = {**query, "expires": str(int(query["expires"]) + 1)}
    assert fault(verify_claim([KEY], DIGEST, later, NOW)) is ClaimFault.FORGED
    if audience != query["audience"]:
        changed = {**query, "audience": audience}
        assert fault(verify_claim([KEY], DIGEST, changed, NOW)) is ClaimFault.FORGED


@given(audience=audiences, cut=st.integers(0, 40))
def test_parts_cannot_run_into_each_other(audience: str, cut: int) -> None:
    """Moving the border between audience and expiry gives another signature."""
    query = signed(audience=audience + "1")
    moved = {**query, "audience": audience, "expires": "1" + query["expires"]}
    assert isinstance(verify_claim([KEY], DIGEST, moved, NOW), ClaimRefused)
    short = {**query, "signature": query["signature"][:cut]}
    assert isinstance(verify_claim([KEY], DIGEST, short, NOW), ClaimRefused)


@given(query=st.dictionaries(st.sampled_from(["audience", "expires", "signature"]), st.text()))
def test_whatever_strangers_send_is_refused(query: dict[str, str]) -> None:
    """Missing, empty, endless and strange parameters are a refusal, never an exception."""
    assert isinstance(verify_claim([KEY], DIGEST, query, NOW), ClaimRefused)
    assert isinstance(verify_claim([KEY], "../etc/passwd", query, NOW), ClaimRefused)


def test_keys_overlap_while_they_are_changed() -> None:
    """The first key signs; old addresses stay good while their key is still listed."""
    old, new = signed(), signed(keys=(OTHER, KEY))
    for query in (old, new):
        assert isinstance(verify_claim([OTHER, KEY], DIGEST, query, NOW), ClaimGranted)
    assert fault(verify_claim([OTHER], DIGEST, old, NOW)) is ClaimFault.FORGED
    assert isinstance(verify_claim([OTHER], DIGEST, new, NOW), ClaimGranted)


@pytest.mark.parametrize("lifetime", [timedelta(0), -timedelta(1), LONGEST + timedelta(seconds=1)])
def test_lifetimes_are_bounded(lifetime: timedelta) -> None:
    """No address for ever, and none that was never good."""
    with pytest.raises(ValueError, match="lives up to"):
        expiry(NOW, lifetime)


@pytest.mark.parametrize("keys", [[], [b""], [b"k" * 31], [KEY, b"short"]])
def test_weak_keys_are_refused_on_both_ends(keys: list[bytes]) -> None:
    """Signing and verifying with a key that is too short is a bug, never a weak address."""
    with pytest.raises(ValueError, match="32 bytes"):
        sign_claim(keys, DIGEST, "somebody", NOW)
    with pytest.raises(ValueError, match="32 bytes"):
        verify_claim(keys, DIGEST, signed(), NOW)
