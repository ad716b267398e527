"""Facts for the rules' tests: the sound package, and signatures, scans and lookups around it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from envelopes.check import examine
from envelopes.model import VIETNAM_TIME, Document
from envelopes.rules.facts import (
    Lookups,
    PackageFacts,
    ScanFacts,
    ScanVerdict,
)
from envelopes.signature_facts import (
    CertificateFacts,
    FileSignatures,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
    SignerKind,
)
from tests.support.make_rule_corpus import pdf, sound

SENDER = "000.00.00.G22"
#: Tuesday, the day the sound package was signed; the clock of its entry.
SIGNED_AT = datetime(2025, 7, 1, 9, 0, tzinfo=VIETNAM_TIME)


class Weekdays:
    """A calendar without holidays: Monday to Friday, 07:30-11:30 and 13:30-17:00."""

    def is_working_day(self, day: Any, /) -> bool:
        """Whether it is no weekend."""
        return bool(day.weekday() < 5)

    def intervals(self, day: Any, /) -> tuple[tuple[datetime, datetime], ...]:
        """Both sessions of a working day."""
        if not self.is_working_day(day):
            return ()
        start = datetime(day.year, day.month, day.day, 7, 30, tzinfo=VIETNAM_TIME)
        noon = start + timedelta(hours=4)
        return ((start, noon), (noon + timedelta(hours=2), noon + timedelta(hours=5.5)))


def certificate(**fields: Any) -> CertificateFacts:
    """A certificate of the sending agency, good for five years."""
    known: dict[str, Any] = {
        "subject": "CN=Văn phòng Chính phủ",
        "common_name": "Văn phòng Chính phủ",
        "sha256": "aa" * 32,
        "organ_code": SENDER,
        "not_before": datetime(2023, 1, 1, tzinfo=UTC),
        "not_after": datetime(2028, 1, 1, tzinfo=UTC),
    }
    return CertificateFacts(**{**known, **fields})


def verdict(
    *reasons: Reason,
    kind: SignerKind = SignerKind.AGENCY,
    outcome: SignatureOutcome | None = None,
    signer: CertificateFacts | None = None,
    **fields: Any,
) -> SignatureVerdict:
    """A signature: valid without reasons, invalid with them, unless `outcome` says otherwise."""
    found = outcome or (SignatureOutcome.INVALID if reasons else SignatureOutcome.VALID)
    return SignatureVerdict(found, reasons, kind=kind, signer=signer or certificate(), **fields)


BOTH = (verdict(kind=SignerKind.OFFICIAL), verdict(kind=SignerKind.AGENCY))


def signed_file(
    *signatures: SignatureVerdict, index: int = 0, pages: int | None = 2, **fields: Any
) -> FileSignatures:
    """The signatures of one PDF; ABSENT without any."""
    outcomes = {one.outcome for one in signatures} or {SignatureOutcome.ABSENT}
    known: dict[str, Any] = {
        "content_id": str(index + 1),
        "name": "7816_VPCP-TTDT.pdf" if index == 0 else "phuluc.pdf",
        "sha256": "",
        "is_pdf": True,
        "outcome": min(outcomes, key=str),
    }
    return FileSignatures(index, signatures=signatures, pages=pages, **{**known, **fields})


def signatures(*files: FileSignatures, **fields: Any) -> SignatureFacts:
    """The signature facts of the sound package; signed by both without `files`."""
    return SignatureFacts(
        files=files or (signed_file(*BOTH),), **{"sender_organ_id": SENDER, **fields}
    )


def known(**fields: Any) -> Lookups:
    """Lookups that find nothing wrong."""
    found: dict[str, Any] = {
        "received_at": SIGNED_AT,
        "calendar": Weekdays(),
        "answered_known": (),
        "routing_findings": (),
    }
    return Lookups(**{**found, **fields})


def facts(packed: bytes | None = None, **fields: Any) -> PackageFacts:
    """All facts of a package, with nothing wrong but what `packed` and `fields` say."""
    examined = examine([packed or sound()])
    assert examined.facts is not None
    files = examined.facts.document.attachments if examined.facts.document else ()
    complete: dict[str, Any] = {
        "signatures": signatures(),
        "scans": tuple(ScanFacts(index, ScanVerdict.CLEAN) for index in range(len(files))),
        "lookups": known(),
    }
    return replace(examined.facts, **{**complete, **fields})


def two_files(*second: SignatureVerdict) -> PackageFacts:
    """A signed main document with one appendix under `second` signatures."""
    packed = sound(pdf(), pdf("phuluc.pdf", "2"))
    both = signatures(signed_file(*BOTH), signed_file(*second, index=1))
    return facts(packed, signatures=both)


def altered(made: PackageFacts, **fields: Any) -> PackageFacts:
    """The facts with other fields of the document."""
    assert isinstance(made.package, Document)
    return replace(made, package=replace(made.package, **fields))


def sized(size: int) -> PackageFacts:
    """The sound package with a file of `size` bytes."""
    made = facts()
    assert made.document is not None
    file = replace(made.document.attachments[0], size=size)
    return altered(made, attachments=(file,))
