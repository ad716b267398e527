"""What the XML signature of a package is worth together with its certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from asn1crypto import x509

from adapters.signatures.signer import with_signer
from adapters.trust.judge import Evidence, Judge, Purpose
from envelopes.signature_facts import (
    Coverage,
    Reason,
    SignatureOutcome,
    SignatureVerdict,
    outcome_of,
)
from envelopes.xml_signature import XmlSignature, check_file


async def check_xml(
    path: str, at: datetime, judge: Judge, known: tuple[bytes, ...]
) -> SignatureVerdict:
    """The verdict on the XML signature of the package at `path`.

    Never raises for what it holds; raises OSError of our own disk.
    """
    try:
        with open(path, "rb") as file:  # noqa: ASYNC230 - this process does nothing else meanwhile
            found = check_file(file, judge.policy.keys, known)
        return await judged(found, at, judge)
    except (MemoryError, OSError):
        # Nothing that the sender did wrong.
        raise
    except Exception as error:
        # A stranger's certificate may make a library raise whatever it likes.
        detail = f"{type(error).__name__}: {error}"[:300]
        return SignatureVerdict(SignatureOutcome.UNVERIFIABLE, (Reason.MALFORMED,), detail)


async def judged(found: XmlSignature, at: datetime, judge: Judge) -> SignatureVerdict:
    """What an XML signature is worth together with its certificate."""
    verdict = SignatureVerdict(
        found.outcome,
        found.reasons,
        found.detail,
        algorithm=found.algorithm,
        signed_at=at,
    )
    if found.certificate is None:
        return verdict
    verdict = with_signer(verdict, found.certificate, judge)
    intact = not {Reason.CHANGED, Reason.FORBIDDEN_FORM} & set(found.reasons)
    coverage = Coverage.WHOLE if intact else Coverage.PARTIAL
    verdict = replace(verdict, intact=intact, coverage=coverage)
    if not intact:
        return verdict
    others = tuple(x509.Certificate.load(one) for one in found.others)
    certificate = x509.Certificate.load(found.certificate)
    judgement = await judge.judge(certificate, at, Purpose.SIGNING, Evidence(others))
    reasons = tuple(dict.fromkeys((*found.reasons, *judgement.reasons)))
    return replace(
        verdict,
        outcome=outcome_of(reasons),
        reasons=reasons,
        detail="; ".join(text for text in (found.detail, judgement.detail) if text),
        trusted=judgement.trusted,
        revocation=judgement.revocation,
    )
