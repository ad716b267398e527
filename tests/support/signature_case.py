"""What a row of the matrix of signature cases is, and what several rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.trust import TrustMaterial, TrustPolicy
from envelopes.signature_facts import Reason
from tests.support.packages import File, document
from tests.support.pki import Pki, pki

HOUR = timedelta(hours=1)
VALID, INVALID, UNVERIFIABLE, ABSENT = "valid", "invalid", "unverifiable", "absent"

#: Certificates that name what they are for: whether they may sign documents.
BY_USE = {
    "for_tls": False,
    "for_stamps": False,
    "for_answers": False,
    "for_mail": True,
    "for_documents": True,
    "for_client": True,
}


@dataclass(frozen=True)
class Case:
    """One row: `made` gives the package; the expected outcomes are of its XML signature or PDFs."""

    name: str
    made: Callable[[Pki], bytes]
    #: Outcome of the XML signature ("") or of the first file.
    expected: str
    reasons: tuple[Reason, ...] = ()
    #: Outcome of each signature of the first file, where there are any.
    each: tuple[str, ...] | None = None
    xml: bool = False
    material: Callable[[Pki], TrustMaterial] | None = None
    policy: TrustPolicy = field(default_factory=TrustPolicy)
    revocation: str | None = None
    time_source: str | None = None


def trusted(p: Pki) -> TrustMaterial:
    """Our anchors and fresh lists."""
    return TrustMaterial(anchors=p.roots, crls=p.crls, stamp="trusted")


def lists(*crls: bytes, ocsps: tuple[bytes, ...] = (), stamp: str) -> TrustMaterial:
    return TrustMaterial(anchors=pki().roots, crls=crls, ocsps=ocsps, stamp=stamp)


def package(*files: bytes, name: str = "van-ban.pdf") -> bytes:
    """A document package with these files."""
    attached = [File(f"{number}-{name}", content) for number, content in enumerate(files)]
    return document("000.00.00.G22", ["000.00.00.H41"], "1/QD", files=attached)
