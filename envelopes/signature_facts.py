"""What verification found out about the signatures of a package, as data.

The rules of part C (SIG-INTEGRITY, SIG-TRUST, SIG-BOTH, SIG-OWNER, SIG-APPENDIX, SIG-TERM,
SIG-REVOKED-NOW) judge these facts; nothing here judges. The facts are stored with the package and
returned to its sender, so everything is frozen and has a JSON form (`as_dict`, `from_dict`).

Four outcomes are kept apart (specification, edXML section 6):

- *valid*: intact, of a certificate trusted at the time of signing, not revoked as far as the policy
  asks for it, covering everything it should;
- *invalid*: shown to be wrong (changed, forged, revoked, of an unknown authority, forbidden form);
- *unverifiable*: cannot be told (a placeholder, revocation unknown, an old algorithm, a broken or
  encrypted PDF, a time-out): neither good nor proven bad;
- *absent*: there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any


class SignatureOutcome(StrEnum):
    """What is known of a signature."""

    VALID = "valid"
    INVALID = "invalid"
    UNVERIFIABLE = "unverifiable"
    ABSENT = "absent"


class SignerKind(StrEnum):
    """Whose signature it is (Decree 30/2020, Appendix I), told by the certificate's subject."""

    #: The personal signature of the official.
    OFFICIAL = "official"
    #: The seal signature of the agency.
    AGENCY = "agency"
    #: The subject does not tell.
    UNKNOWN = "unknown"


class Coverage(StrEnum):
    """How much of the file or package the signature speaks for."""

    #: Everything there is.
    WHOLE = "whole"
    #: Everything that was there when it was made; only permitted changes came later.
    REVISION = "revision"
    #: Less, or something was changed or appended that may not be.
    PARTIAL = "partial"
    #: Not told: the verification did not get that far.
    UNKNOWN = "unknown"


class Revocation(StrEnum):
    """What CRLs and OCSP answers say of the certificate chain."""

    GOOD = "good"
    REVOKED = "revoked"
    #: Good by a list or answer whose nextUpdate is over, within the grace time: taken, and told.
    STALE = "stale"
    #: No answer that is fresh enough (nextUpdate and the grace time are over, or none was had).
    UNKNOWN = "unknown"
    #: Not looked at: the signature failed before, or the policy does not ask.
    UNCHECKED = "unchecked"


class TimeSource(StrEnum):
    """Where `SignatureVerdict.signed_at` is from; the signer's own claim is never relied on."""

    #: An RFC 3161 time stamp inside the signature, of a trusted authority.
    TIMESTAMP = "timestamp"
    #: The moment at which the gateway received the package.
    RECEIVED = "received"


class Reason(StrEnum):
    """Why a signature is not simply valid. The names are part of the stored facts."""

    # Shown to be wrong.
    CHANGED = "changed"  # the digest or the signature value does not fit
    CHANGED_LATER = "changed-later"  # incremental update that is no permitted change
    APPENDED = "appended"  # bytes after the last signature
    NOT_WHOLE = "not-whole"  # the signature leaves something out
    FORBIDDEN_FORM = "forbidden-form"  # reference, transform or place that we do not allow
    SEVERAL_SIGNATURES = "several-signatures"  # more than one XML signature
    COMMENT = "comment"  # comment or processing instruction in a signed package
    DTD = "dtd"
    ALGORITHM = "algorithm"  # not one of those allowed
    KEY_TOO_SMALL = "key-too-small"
    CERTIFICATE_MISMATCH = "certificate-mismatch"  # not the registered or the signing certificate
    UNTRUSTED = "untrusted"  # no chain to a trusted authority
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_PURPOSE = "wrong-purpose"  # key usage, extended key usage, no CA
    REVOKED = "revoked"
    SUSPENDED = "suspended"  # reported lost to the gateway (SIG-REVOKED-NOW)
    TIMESTAMP_INVALID = "timestamp-invalid"
    # Cannot be told.
    PLACEHOLDER = "placeholder"
    WEAK_ALGORITHM = "weak-algorithm"  # RSA-SHA1 and the like: policy
    NO_CERTIFICATE = "no-certificate"
    REVOCATION_UNKNOWN = "revocation-unknown"
    NO_TRUST_ANCHORS = "no-trust-anchors"
    MALFORMED = "malformed"
    ENCRYPTED = "encrypted"
    TIME_LIMIT = "time-limit"
    MEMORY_LIMIT = "memory-limit"
    WORKER_DIED = "worker-died"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    UNSUPPORTED = "unsupported"


#: These leave open whether the signature is good; all other reasons show it to be wrong.
UNTELLING = frozenset(
    {
        Reason.PLACEHOLDER,
        Reason.WEAK_ALGORITHM,
        Reason.NO_CERTIFICATE,
        Reason.REVOCATION_UNKNOWN,
        Reason.NO_TRUST_ANCHORS,
        Reason.MALFORMED,
        Reason.ENCRYPTED,
        Reason.TIME_LIMIT,
        Reason.MEMORY_LIMIT,
        Reason.WORKER_DIED,
        Reason.TOO_LARGE,
        Reason.TOO_MANY,
        Reason.UNSUPPORTED,
    }
)


def outcome_of(reasons: Iterable[Reason]) -> SignatureOutcome:
    """The outcome of a signature that exists: VALID where nothing speaks against it."""
    given = set(reasons)
    if given - UNTELLING:
        return SignatureOutcome.INVALID
    return SignatureOutcome.UNVERIFIABLE if given else SignatureOutcome.VALID


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a signer's certificate says; texts are for people, `sha256` names the certificate."""

    subject: str = ""
    issuer: str = ""
    #: Lower-case hex, without leading zeros.
    serial: str = ""
    #: SHA-256 of the DER form, lower-case hex.
    sha256: str = ""
    common_name: str = ""
    organization: str = ""
    organizational_unit: str = ""
    #: OID 2.5.4.97, serialNumber or tax code: the organisation's or the person's number as written.
    organization_identifier: str = ""
    serial_number: str = ""
    #: Agency code of one of the two systems found in the subject; empty where none.
    organ_code: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    key_type: str = ""
    key_bits: int = 0
    #: Where the authority says its list of revoked certificates is; not opened for that.
    crl_urls: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data."""
        return _as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CertificateFacts:
        """What `as_dict` wrote."""
        times = _times(data, "not_before", "not_after")
        return cls(**{**data, **times, "crl_urls": tuple(data["crl_urls"])})


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """One signature and what verification found.

    `intact` and `trusted` are None where that was not got at. `trusted` speaks of chain, validity
    at `signed_at`, purpose and suspension; `revocation` of revocation alone.
    """

    outcome: SignatureOutcome
    reasons: tuple[Reason, ...] = ()
    #: More words for the operator, English; never shown to strangers as it is.
    detail: str = ""
    kind: SignerKind = SignerKind.UNKNOWN
    signer: CertificateFacts | None = None
    #: The time that certificate and revocation were judged at, and where it is from.
    signed_at: datetime | None = None
    time_source: TimeSource = TimeSource.RECEIVED
    #: What the signer claims: for people only.
    claimed_at: datetime | None = None
    coverage: Coverage = Coverage.UNKNOWN
    intact: bool | None = None
    trusted: bool | None = None
    revocation: Revocation = Revocation.UNCHECKED
    #: Names of algorithms, for example ``rsa-sha256``.
    algorithm: str = ""
    #: Name of the PDF signature field; empty for XML.
    field: str = ""
    #: Agency codes that this very certificate is registered for with the gateway.
    registered_for: tuple[str, ...] = ()
    #: Whether an earlier certificate of the same subject is registered; None: not known.
    renewed: bool | None = None

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return self.outcome is SignatureOutcome.VALID

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data."""
        return _as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SignatureVerdict:
        """What `as_dict` wrote."""
        signer = data["signer"]
        return cls(
            **{
                **data,
                **_times(data, "signed_at", "claimed_at"),
                "outcome": SignatureOutcome(data["outcome"]),
                "reasons": tuple(Reason(one) for one in data["reasons"]),
                "kind": SignerKind(data["kind"]),
                "signer": CertificateFacts.from_dict(signer) if signer else None,
                "time_source": TimeSource(data["time_source"]),
                "coverage": Coverage(data["coverage"]),
                "revocation": Revocation(data["revocation"]),
                "registered_for": tuple(data["registered_for"]),
            }
        )


#: No signature at all.
ABSENT = SignatureVerdict(SignatureOutcome.ABSENT)


@dataclass(frozen=True, slots=True)
class FileSignatures:
    """One attachment that is a PDF (`is_pdf`) or cannot carry signatures we know.

    `outcome` is the worst of its signatures (`worst_outcome`), ABSENT where there is none, or
    UNVERIFIABLE with `reasons` where the file could not be looked at.
    """

    index: int
    content_id: str
    name: str
    sha256: str
    is_pdf: bool
    outcome: SignatureOutcome
    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    signatures: tuple[SignatureVerdict, ...] = ()
    #: Pages of the PDF (FILE-COMPLETE); None where not told.
    pages: int | None = None

    def of_kind(self, kind: SignerKind) -> tuple[SignatureVerdict, ...]:
        """The valid signatures of `kind`."""
        return tuple(one for one in self.signatures if one.valid and one.kind is kind)

    @property
    def signed_by_official(self) -> bool:
        """Whether it bears a valid signature of an official."""
        return bool(self.of_kind(SignerKind.OFFICIAL))

    @property
    def signed_by_agency(self) -> bool:
        """Whether it bears a valid signature of an agency."""
        return bool(self.of_kind(SignerKind.AGENCY))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data."""
        return _as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FileSignatures:
        """What `as_dict` wrote."""
        return cls(
            **{
                **data,
                "outcome": SignatureOutcome(data["outcome"]),
                "reasons": tuple(Reason(one) for one in data["reasons"]),
                "signatures": tuple(SignatureVerdict.from_dict(one) for one in data["signatures"]),
            }
        )


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """All signatures of one package.

    `files` has an entry for every attachment, in order; the first is the main document, the others
    its appendices. `sender_certificates` are the SHA-256 of those certificates that are registered
    for the sender: where there are any, SIG-OWNER refuses another one.
    """

    xml: SignatureVerdict = ABSENT
    files: tuple[FileSignatures, ...] = ()
    checked_at: datetime | None = None
    sender_organ_id: str = ""
    sender_certificates: tuple[str, ...] = ()

    @property
    def all_signatures(self) -> tuple[SignatureVerdict, ...]:
        """The XML signature, where there is one, and those of all files."""
        own = () if self.xml.outcome is SignatureOutcome.ABSENT else (self.xml,)
        return own + tuple(one for file in self.files for one in file.signatures)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data, stored with the package."""
        return _as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SignatureFacts:
        """What `as_dict` wrote."""
        return cls(
            xml=SignatureVerdict.from_dict(data["xml"]),
            files=tuple(FileSignatures.from_dict(one) for one in data["files"]),
            sender_organ_id=data["sender_organ_id"],
            sender_certificates=tuple(data["sender_certificates"]),
            checked_at=_times(data, "checked_at")["checked_at"],
        )


_FROM_WORST = (
    SignatureOutcome.INVALID,
    SignatureOutcome.UNVERIFIABLE,
    SignatureOutcome.VALID,
)


def worst_outcome(signatures: Iterable[SignatureVerdict]) -> SignatureOutcome:
    """INVALID before UNVERIFIABLE before VALID; ABSENT where there is none."""
    found = {one.outcome for one in signatures}
    return next((one for one in _FROM_WORST if one in found), SignatureOutcome.ABSENT)


def _times(data: dict[str, Any], *names: str) -> dict[str, datetime | None]:
    return {name: datetime.fromisoformat(data[name]) if data[name] else None for name in names}


def _as_dict(record: Any) -> dict[str, Any]:
    return {one.name: _plain(getattr(record, one.name)) for one in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return _as_dict(value) if hasattr(value, "__dataclass_fields__") else value
