"""The sentence about signatures: who, whose, when, and what is to be thought of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from envelopes.signature_facts import (
    ABSENT,
    CertificateFacts,
    FileSignatures,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
    SignerKind,
    TimeSource,
)
from gateway.story_signatures import signatures_told
from routing.summary import differences, summarise
from tests.unit.envelopes.packages import good_document

AT = datetime(2026, 11, 2, 3, 4, tzinfo=UTC)
OFFICIAL = SignatureVerdict(
    SignatureOutcome.VALID,
    kind=SignerKind.OFFICIAL,
    signer=CertificateFacts(common_name="Nguyễn Văn A"),
    signed_at=AT,
    time_source=TimeSource.TIMESTAMP,
)
SEAL = SignatureVerdict(
    SignatureOutcome.INVALID,
    (Reason.SUSPENDED,),
    kind=SignerKind.AGENCY,
    signer=CertificateFacts(common_name="Sở Y tế"),
    signed_at=AT,
)


def file(name: str, *signatures: SignatureVerdict) -> FileSignatures:
    """A PDF with these signatures."""
    outcome = signatures[-1].outcome if signatures else SignatureOutcome.ABSENT
    return FileSignatures(0, "1", name, "00", True, outcome, signatures=signatures)


def told(xml: SignatureVerdict, *files: FileSignatures) -> Any:
    """What is kept of these facts."""
    return summarise(good_document()[0], SignatureFacts(xml, files, AT))["signatures"]


def test_signers_are_told_with_their_times_and_outcomes() -> None:
    """A time is told where a time stamp proves it; what is wrong stands out with its reason."""
    sentence = signatures_told(told(ABSENT, file("a.pdf", OFFICIAL, SEAL)))
    assert sentence is not None
    assert sentence.vi == (
        "Chữ ký: a.pdf: Nguyễn Văn A (chữ ký cá nhân, 02/11/2026 10:04, hợp lệ), "
        "Sở Y tế (chữ ký cơ quan, KHÔNG hợp lệ [suspended])."
    )
    assert sentence.en == (
        "Signatures: a.pdf: Nguyễn Văn A (official, 2026-11-02 10:04, valid), "
        "Sở Y tế (agency's seal, INVALID [suspended])."
    )


def test_many_files_are_counted() -> None:
    """Five are named."""
    sentence = signatures_told(told(OFFICIAL, *(file(f"{number}.pdf") for number in range(7))))
    assert sentence is not None
    assert "the package: Nguyễn Văn A" in sentence.en and "4.pdf: not signed" in sentence.en
    assert "5.pdf" not in sentence.en and sentence.en.endswith("and 2 more files.")


@pytest.mark.parametrize("summary", [None, told(ABSENT)])
def test_without_anything_to_tell_nothing_is_told(summary: Any) -> None:
    """Signatures were not verified, or there is neither a signature nor a file to look at."""
    assert signatures_told(summary) is None


def test_a_package_of_many_signatures_stays_small() -> None:
    """Files and signatures that are kept are bounded."""
    found = told(ABSENT, *(file(f"{number}.pdf", *[OFFICIAL] * 30) for number in range(300)))
    assert len(found["files"]) == 200
    assert {len(one["signatures"]) for one in found["files"]} == {20}


def test_signatures_are_no_difference_between_packages() -> None:
    """A conflict report compares what was sent, not what was found out about it."""
    first = summarise(good_document()[0], SignatureFacts(OFFICIAL, (), AT))
    assert differences(first, summarise(good_document()[0])) == []
