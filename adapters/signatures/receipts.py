"""Whether what a gateway issued (a receipt, a sealed root, a status package) is genuine.

Small, and of a form of our own: verified in this process. For packages from outside there is
`SignatureInspector`.
"""

from __future__ import annotations

from datetime import datetime

from adapters.signatures.xml import judged
from adapters.trust.judge import Judge
from adapters.trust.material import TrustMaterial, TrustPolicy
from envelopes.json_signature import JsonSignature, verify
from envelopes.signature_facts import SignatureVerdict


async def check_json(
    data: bytes, at: datetime, material: TrustMaterial, policy: TrustPolicy | None = None
) -> tuple[SignatureVerdict, JsonSignature]:
    """The verdict on a signed JSON text used at the moment `at`, and what it says.

    Believe `JsonSignature.payload` only where the verdict is valid. Never raises for what it holds.
    """
    judge = Judge(material, policy or TrustPolicy())
    found = verify(data, judge.policy.keys)
    return await judged(found.signature, at, judge), found
