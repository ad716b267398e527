"""Facts about signatures survive being stored as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from envelopes.signature_facts import (
    CertificateFacts,
    FileSignatures,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
    SignerKind,
    worst_outcome,
)

_times = st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
_certificates = st.builds(
    CertificateFacts, not_before=st.none() | _times, not_after=st.none() | _times
)
_verdicts = st.builds(
    SignatureVerdict,
    signer=st.none() | _certificates,
    signed_at=st.none() | _times,
    claimed_at=st.none() | _times,
)
_files = st.builds(FileSignatures, signatures=st.lists(_verdicts, max_size=2).map(tuple))
_facts = st.builds(
    SignatureFacts,
    xml=_verdicts,
    files=st.lists(_files, max_size=2).map(tuple),
    checked_at=st.none() | _times,
)


@given(_facts)
def test_facts_come_back_from_json_as_they_were(facts: SignatureFacts) -> None:
    """`from_dict` of the JSON text of `as_dict` is the same value."""
    assert SignatureFacts.from_dict(json.loads(json.dumps(facts.as_dict()))) == facts


@given(st.lists(_verdicts, max_size=4))
def test_one_bad_signature_is_never_covered_by_good_ones(verdicts: list[SignatureVerdict]) -> None:
    """The outcome of a file is VALID only where every signature is."""
    outcome = worst_outcome(one for one in verdicts if one.outcome is not SignatureOutcome.ABSENT)
    real = [one for one in verdicts if one.outcome is not SignatureOutcome.ABSENT]
    assert (outcome is SignatureOutcome.VALID) == (bool(real) and all(one.valid for one in real))
    assert (outcome is SignatureOutcome.ABSENT) == (not real)


def test_only_valid_signatures_count_for_official_and_agency() -> None:
    """A forged seal next to a good personal signature leaves the agency's signature missing."""
    file = FileSignatures(
        0,
        "a",
        "a.pdf",
        "",
        True,
        SignatureOutcome.INVALID,
        signatures=(
            SignatureVerdict(SignatureOutcome.VALID, kind=SignerKind.OFFICIAL),
            SignatureVerdict(SignatureOutcome.INVALID, kind=SignerKind.AGENCY),
        ),
    )
    assert file.signed_by_official
    assert not file.signed_by_agency
