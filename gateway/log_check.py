"""Holding the seals of the event log against the log, and against the gateway's own key.

What the database says of itself proves little to whoever may write there. So a seal counts only
with the signature of a certificate that is known from elsewhere (`gateway.own_certificates`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adapters.database import SealStore
from adapters.timestamps import NoStamp, judge_of
from adapters.trust import TrustMaterial
from adapters.trust.judge import Judge
from envelopes.json_signature import verify
from envelopes.signature_facts import SignatureOutcome
from gateway.own_certificates import fingerprint
from gateway.seal_head import Head, digest_of
from gateway.stamp_check import check_stamp
from routing.seals import SEAL_KIND, Seal, SealFault, compare, misdated

#: Seals that are read at once.
PAGE = 100
#: Clocks may differ by this much; what is dated later was not written when it says.
AHEAD = timedelta(minutes=1)
#: Ranges of numbers that a fault names.
NAMED = 50


@dataclass(slots=True)
class Stamped:
    """The time stamps of one authority; the chain carries the newest back to all seals before."""

    #: None: nobody is known here who may be believed.
    trusted: bool | None
    count: int = 0
    #: The newest seal with a stamp, and the time that the authority vouches for.
    newest: int = 0
    at: datetime | None = None


@dataclass(slots=True)
class LogCheck:
    """What checking the seals found."""

    #: Fingerprints of the certificates whose seals count.
    known: Collection[str]
    #: Seals that are known from outside the database.
    heads: Sequence[Head] = ()
    #: Judges the authorities of time stamps.
    judge: Judge = field(default_factory=lambda: judge_of(TrustMaterial()))
    seals: int = 0
    faults: list[SealFault] = field(default_factory=list)
    #: How many seals each certificate signed, by fingerprint.
    signers: dict[str, int] = field(default_factory=dict)
    #: The time stamps that hold, by their authority.
    stamps: dict[str, Stamped] = field(default_factory=dict)
    unstamped: int = 0

    async def seals_of(self, store: SealStore) -> None:
        """Every seal: its events, its place in the chain, its signature and whose it is."""
        before: Seal | None = None
        while seals := await store.seals(before.number if before else 0, PAGE):
            for seal in seals:
                covered = await store.covered(seal.number)
                self.faults += compare(seal, before, covered)
                self.faults += misdated(seal, before, covered)
                self._signature(seal)
                self._head(seal)
                await self._stamp(seal)
                before = seal
                self.seals += 1
        last = before.number if before else 0
        for head in self.heads:
            if head.number > last:
                found = f"the log ends with seal {last}; {head.place} knows this one"
                self._fault(head.number, "head", found)

    async def unsealed(self, store: SealStore, before: datetime, now: datetime) -> None:
        """Events that should have been sealed (written before `before`), or that are yet to come.

        Covered is only what a seal of the chain covers: a row beside it proves nothing.
        """
        for number in await store.unreal():
            self._fault(number, "chain", "no seal has this number: somebody wrote it by hand")
        late = await store.uncovered(before)
        if late:
            found = f"{len(late)} events, {_numbers(late)}, are old and not sealed"
            self._fault(0, "unsealed", f"{found} (is the gateway down?)")
        ahead = await store.dated_after(now + AHEAD)
        if ahead:
            found = f"{len(ahead)} events, {_numbers(ahead)}, are of a time that is yet to come"
            self._fault(0, "time", found)

    def head_signatures(self) -> None:
        """That the heads are what our key signed; a bare digest is believed as it was named."""
        for head in self.heads:
            if not head.signed:
                continue
            signed = verify(head.signed.encode())
            holds = signed.signature.outcome is SignatureOutcome.VALID
            who = fingerprint(signed.signature.certificate or b"")
            text = digest_of(signed.payload or b"")
            if not holds or text != head.digest or who not in self.known:
                self._fault(head.number, "head", f"{head.place} was not signed by this gateway")

    def _head(self, seal: Seal) -> None:
        for head in self.heads:
            if head.number == seal.number and head.digest != seal.digest:
                found = f"{head.place} knows another seal of this number"
                self._fault(seal.number, "head", found)

    async def _stamp(self, seal: Seal) -> None:
        if seal.stamp is None:
            self.unstamped += 1
            return
        found = await check_stamp(seal.stamp, seal.signed.encode(), seal.sealed_at, self.judge)
        if isinstance(found, NoStamp):
            self._fault(seal.number, "stamp", f"its time stamp does not count: {found.found}")
            return
        known = self.stamps.setdefault(found.authority, Stamped(found.trusted))
        known.count += 1
        known.newest, known.at = seal.number, found.at

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


def _numbers(numbers: Sequence[int]) -> str:
    """Numbers in rising order, as ranges: ``3, 7 to 9``."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    told = [f"{first} to {last}" if last > first else f"{first}" for first, last in ranges[:NAMED]]
    more = len(ranges) - NAMED
    return ", ".join(told) + (f" and {more} more ranges" if more > 0 else "")
