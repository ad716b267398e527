"""What a signature of a PDF speaks for, and what came into the file after it.

What pyHanko's defaults let pass is refused here: bytes after the last signature, fields added to
the form, changes that no later signature answers for. A document time stamp answers for nothing:
whoever has an authority of its own makes one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from adapters.signatures.pdf_titles import same_titles
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
    signature: EmbeddedPdfSignature,
    status: Any,
    draft: Draft,
    *,
    stamps_after: int | None,
    file: BinaryIO,
) -> Coverage:
    """What the signature speaks for; whatever it leaves out must be signed by a later one.

    `stamps_after` is how many document time stamps follow, where nothing else does; None where a
    signature follows, which answers for what came in between.
    """
    if status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        draft.note(Reason.NOT_WHOLE, f"covers {status.coverage.name}")
        return Coverage.PARTIAL
    if status.coverage is SignatureCoverageLevel.ENTIRE_FILE:
        return Coverage.WHOLE
    level = status.modification_level
    if level is None or level is ModificationLevel.OTHER or status.docmdp_ok is False:
        draft.note(Reason.CHANGED_LATER, "changed after signing")
        return Coverage.PARTIAL
    if stamps_after is None:
        return Coverage.REVISION
    if not same_titles(signature.reader, signature.signed_revision):
        draft.note(Reason.CHANGED_LATER, "title or other metadata changed after the last signature")
        return Coverage.PARTIAL
    added = _fields_added(signature) == stamps_after
    store_only = level is ModificationLevel.LTA_UPDATES and added
    if store_only and _ends_cleanly(file):
        # Certificates, lists, answers and time stamps for the years to come: PAdES B-LT and B-LTA.
        return Coverage.REVISION
    nothing = level is ModificationLevel.NONE or store_only
    draft.note(
        Reason.APPENDED if nothing else Reason.CHANGED_LATER,
        f"something after the last signature ({level.name})",
    )
    return Coverage.PARTIAL


def _fields_added(signature: EmbeddedPdfSignature) -> int:
    """Fields of the form that it had not when signed: pyHanko lets empty ones be added."""
    reader = signature.reader
    then, now = (
        len(root["/AcroForm"]["/Fields"])
        for root in (reader.get_historical_root(signature.signed_revision), reader.root)
    )
    return now - then


def _ends_cleanly(file: BinaryIO) -> bool:
    file.seek(0, 2)
    file.seek(max(file.tell() - 1024, 0))
    return _CLEAN_END.search(file.read()) is not None
