"""Holding the seals of the event log against the log, and against the gateway's own key.

What the database says of itself proves little to whoever may write there. So a seal counts only
with the signature of a certificate that is known from elsewhere (`gateway.own_certificates`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from adapters.database import SealStore
from envelopes.json_signature import verify
from envelopes.signature_facts import SignatureOutcome
from gateway.own_certificates import fingerprint
from routing.seals import SEAL_KIND, Seal, SealFault, compare

#: Seals that are read at once.
PAGE = 100


@dataclass(slots=True)
class LogCheck:
    """What checking the seals found."""

    #: Fingerprints of the certificates whose seals count.
    known: Collection[str]
    seals: int = 0
    faults: list[SealFault] = field(default_factory=list)
    #: How many seals each certificate signed, by fingerprint.
    signers: dict[str, int] = field(default_factory=dict)

    async def seals_of(self, store: SealStore) -> None:
        """Every seal: its events, its place in the chain, its signature and whose it is."""
        before: Seal | None = None
        while seals := await store.seals(before.number if before else 0, PAGE):
            for seal in seals:
                self.faults += compare(seal, before, await store.covered(seal.number))
                self._signature(seal)
                before = seal
                self.seals += 1

    def _signature(self, seal: Seal) -> None:
        signed = verify(seal.signed.encode())
        holds = signed.signature.outcome is SignatureOutcome.VALID
        if not holds or signed.payload != seal.text or signed.kind != SEAL_KIND:
            self._fault(seal.number, "signature", "it is not what was signed")
        if signed.signature.certificate is None:
            return
        who = fingerprint(signed.signature.certificate)
        self.signers[who] = self.signers.get(who, 0) + 1
        if who not in self.known:
            self._fault(seal.number, "signer", f"signed by a certificate that is not ours: {who}")

    def _fault(self, number: int, what: str, found: str) -> None:
        self.faults.append(SealFault(number, what, found))
