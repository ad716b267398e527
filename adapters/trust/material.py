"""What is trusted at one moment, as one value that can be handed to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from adapters.trust.certificates import KindRule, certificate_facts
from envelopes.signature_facts import CertificateFacts
from envelopes.xml_signature import KeyPolicy


class RevocationMode(StrEnum):
    """What is asked of revocation."""

    #: Every certificate below the anchor needs a fresh list or answer; otherwise: unverifiable.
    REQUIRE = "require"
    #: Revoked is invalid; where nothing fresh is had, the signature is valid and that is told.
    SOFT = "soft"
    #: Not looked at.
    OFF = "off"


#: Extended key usages of certificates that sign documents: any, emailProtection, documentSigning
#: (RFC 9336), those of Adobe and Microsoft.
_SIGNING_USES = (
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.2.840.113583.1.1.5",
    "1.3.6.1.4.1.311.10.3.12",
)
#: clientAuth: a person's or agency's own certificate, if its key usage has nonRepudiation as well.
_COMMITTING_USES = ("1.3.6.1.5.5.7.3.2",)


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """How certificates are judged; part of a profile.

    `grace` is how long after its nextUpdate a list or answer is still taken
    (reliability 2.3: 24 hours). Where a certificate names extended key usages (OIDs), one of
    `signing_uses` must be among them, or one of `committing_uses` beside nonRepudiation: those of
    TLS servers, time stamps and OCSP answers sign no documents.
    """

    revocation: RevocationMode = RevocationMode.REQUIRE
    grace: timedelta = timedelta(hours=24)
    keys: KeyPolicy = field(default_factory=KeyPolicy)
    kinds: KindRule = field(default_factory=KindRule)
    signing_uses: tuple[str, ...] = _SIGNING_USES
    committing_uses: tuple[str, ...] = _COMMITTING_USES


@dataclass(frozen=True, slots=True)
class TrustMaterial:
    """Anchors, certificates, lists and answers (all DER) of one profile."""

    anchors: tuple[bytes, ...] = ()
    #: Certificates of authorities that help to build chains and are not trusted by themselves.
    intermediates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsps: tuple[bytes, ...] = ()
    #: Canonical agency code (`OrganId.key`) to the certificates registered for it.
    agencies: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    #: SHA-256 of a certificate to the moment from which it counts for nothing.
    suspended: Mapping[str, datetime] = field(default_factory=dict)
    #: Files that could not be read, for the operator.
    problems: tuple[str, ...] = ()
    #: Changes when anything above does.
    stamp: str = ""

    def certificates_of(self, agency: str) -> tuple[bytes, ...]:
        """The certificates registered for an agency, by its canonical code."""
        return self.agencies.get(agency, ())


class Register:
    """The registered certificates of a material, to be looked up by what a signature shows."""

    def __init__(self, material: TrustMaterial) -> None:
        """Read every certificate once: there may be thousands."""
        self._agencies: dict[str, tuple[str, ...]] = {}
        self._subjects: dict[str, list[CertificateFacts]] = {}
        for code, certificates in material.agencies.items():
            for facts in map(certificate_facts, certificates):
                self._agencies[facts.sha256] = (*self._agencies.get(facts.sha256, ()), code)
                self._subjects.setdefault(facts.subject, []).append(facts)

    def registered_for(self, sha256: str) -> tuple[str, ...]:
        """The agencies that a certificate is registered for."""
        return self._agencies.get(sha256, ())

    def renewed(self, facts: CertificateFacts) -> bool | None:
        """Whether an earlier certificate of the same subject is registered; None: not known."""
        same = [one for one in self._subjects.get(facts.subject, ()) if one.sha256 != facts.sha256]
        if not same or facts.not_before is None:
            return None
        return any(one.not_before and one.not_before < facts.not_before for one in same)
