"""The matrix of signature cases: what is signed how, and what must be said of it.

`CASES` is the table; `python -m tests.support.signature_cases` prints it with what is really found.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from adapters.signatures import SignatureInspector, WorkerLimits
from adapters.trust import TrustMaterial
from envelopes.read import read_package
from envelopes.signature_facts import FileSignatures, Reason, SignatureFacts
from tests.support.pki import NOW, pki
from tests.support.signature_case import Case, trusted
from tests.support.signature_cases_pdf import PDF_CASES
from tests.support.signature_cases_xml import XML_CASES

CASES = [*PDF_CASES, *XML_CASES]


class Fixed:
    """One material for every profile."""

    def __init__(self, material: TrustMaterial) -> None:
        self._material = material

    def material(self, profile: str) -> TrustMaterial:
        """See `TrustSource`."""
        return self._material


@dataclass(frozen=True)
class Seen:
    """What was really found."""

    outcome: str
    reasons: tuple[Reason, ...]
    facts: SignatureFacts

    @property
    def file(self) -> FileSignatures:
        """The first file."""
        return self.facts.files[0]


async def look(case: Case, inspectors: dict[str, SignatureInspector], folder: Path) -> Seen:
    """Inspect the package of a case by the public door."""
    raw = await asyncio.to_thread(case.made, pki())
    material = (case.material or trusted)(pki())
    key = f"{material.stamp}/{case.policy}"
    inspector = inspectors.get(key)
    if inspector is None:
        inspector = inspectors[key] = SignatureInspector(
            Fixed(material),
            WorkerLimits(workers=1, seconds=20),
            policies={"national": case.policy},
            folder=folder,
        )
        if inspectors:
            # One process serves all cases: it is told of each new material.
            inspector.pool = next(iter(inspectors.values())).pool
    path = folder / "package.edxml"
    path.write_bytes(raw)
    facts = await inspector.inspect(path, read_package([raw]), NOW)
    if case.xml:
        return Seen(facts.xml.outcome.value, facts.xml.reasons, facts)
    file = facts.files[0]
    found = dict.fromkeys(
        [*file.reasons, *(reason for one in file.signatures for reason in one.reasons)]
    )
    return Seen(file.outcome.value, tuple(found), facts)


async def _print() -> None:
    inspectors: dict[str, SignatureInspector] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            seen = await look(case, inspectors, Path(name))
            right = seen.outcome == case.expected and seen.reasons == case.reasons
            wrong += not right
            reasons = ", ".join(seen.reasons)
            kind = "XML" if case.xml else "PDF"
            print(f"{'ok' if right else 'NO':3}{kind} {case.name:58}{seen.outcome:13}{reasons}")
        for inspector in inspectors.values():
            await inspector.close()
    print(f"{len(CASES)} cases, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    asyncio.run(_print())
