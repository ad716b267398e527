"""Whose signature it is: what certificate and register say of the signer."""

from __future__ import annotations

from dataclasses import replace

from adapters.trust.certificates import certificate_facts
from adapters.trust.judge import Judge
from envelopes.signature_facts import SignatureVerdict, SignerKind


def with_signer(verdict: SignatureVerdict, der: bytes, judge: Judge) -> SignatureVerdict:
    """`verdict` with what is known of the signer."""
    facts = certificate_facts(der)
    registered = judge.register.registered_for(facts.sha256)
    kind = judge.policy.kinds.kind_of(der)
    if kind is SignerKind.UNKNOWN and registered:
        kind = SignerKind.AGENCY
    return replace(
        verdict,
        signer=facts,
        kind=kind,
        registered_for=registered,
        renewed=judge.register.renewed(facts),
    )
