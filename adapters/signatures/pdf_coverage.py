"""What a signature of a PDF speaks for, and what came into the file after it.

What pyHanko's defaults let pass is refused here: bytes after the last signature, fields added to
the form, changes that no later signature answers for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from envelopes.signature_facts import Coverage, Reason

_CLEAN_END = re.compile(rb"startxref\s+\d+\s+%%EOF\s*\Z")


@dataclass(slots=True)
class Draft:
    """A verdict in the making."""

    reasons: list[Reason] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def note(self, reason: Reason, detail: str = "") -> None:
        """Add a reason once, and what is to be said of it."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        if detail:
            self.details.append(detail)


def check_coverage(
    signature: EmbeddedPdfSignature, status: Any, draft: Draft, *, last: bool, file: BinaryIO
) -> Coverage:
    """What the signature speaks for; whatever it leaves out must be signed by a later one."""
    if status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        draft.note(Reason.NOT_WHOLE, f"covers {status.coverage.name}")
        return Coverage.PARTIAL
    if status.coverage is SignatureCoverageLevel.ENTIRE_FILE:
        return Coverage.WHOLE
    level = status.modification_level
    if level is None or level is ModificationLevel.OTHER or not status.docmdp_ok:
        draft.note(Reason.CHANGED_LATER, "changed after signing")
        return Coverage.PARTIAL
    if not last:
        return Coverage.REVISION
    store_only = level is ModificationLevel.LTA_UPDATES and _same_fields(signature)
    if store_only and _ends_cleanly(file):
        # Certificates, lists and answers were added for the years to come: PAdES B-LT.
        return Coverage.REVISION
    added = level is ModificationLevel.NONE or store_only
    draft.note(
        Reason.APPENDED if added else Reason.CHANGED_LATER,
        f"something after the last signature ({level.name})",
    )
    return Coverage.PARTIAL


def _same_fields(signature: EmbeddedPdfSignature) -> bool:
    """Whether the form has the fields it had when signed: pyHanko lets empty ones be added."""
    reader = signature.reader
    counts = [
        len(root["/AcroForm"]["/Fields"])
        for root in (reader.get_historical_root(signature.signed_revision), reader.root)
    ]
    return counts[0] == counts[1]


def _ends_cleanly(file: BinaryIO) -> bool:
    file.seek(0, 2)
    file.seek(max(file.tell() - 1024, 0))
    return _CLEAN_END.search(file.read()) is not None
