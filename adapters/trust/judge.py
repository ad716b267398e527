"""Whether a certificate may be believed at a moment: chain, time, purpose, revocation, suspension.

Path validation is pyhanko-certvalidator's, never with its own fetching (reliability 2.3): the URLs
in a stranger's certificate are not ours to open. Lists and answers come from `adapters.trust.fetch`
or from the signed file itself. The moment comes from a time stamp or from our own clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from asn1crypto import crl, ocsp, x509
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    InsufficientRevinfoError,
    InvalidCertificateError,
    NotYetValidError,
    PathBuildingError,
    PathError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.validate import async_validate_path

from adapters.trust.material import Register, RevocationMode, TrustMaterial, TrustPolicy
from envelopes.signature_facts import Reason, Revocation

_TOLERANCE = timedelta(minutes=1)
#: How many certificates' revocation is remembered.
_REMEMBERED = 4096


class Purpose(StrEnum):
    """What the certificate was used for."""

    SIGNING = "signing"
    TIME_STAMPING = "time-stamping"


_USAGES = {
    Purpose.SIGNING: KeyUsageConstraints(
        key_usage={"digital_signature", "non_repudiation"}, match_all_key_usages=False
    ),
    Purpose.TIME_STAMPING: KeyUsageConstraints(
        extd_key_usage={"time_stamping"}, explicit_extd_key_usage_required=True
    ),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of a certificate. `trusted` is None where it cannot be told."""

    trusted: bool | None
    revocation: Revocation = Revocation.UNCHECKED
    reasons: tuple[Reason, ...] = ()
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.trusted is True and not self.reasons


@dataclass(frozen=True, slots=True)
class Evidence:
    """Lists, answers and certificates that came with a file: data, trusted for nothing."""

    certificates: tuple[x509.Certificate, ...] = ()
    crls: tuple[crl.CertificateList, ...] = ()
    ocsps: tuple[ocsp.OCSPResponse, ...] = ()


_Crls = tuple[crl.CertificateList, ...]
_Ocsps = tuple[ocsp.OCSPResponse, ...]
_BEST_FIRST = (Revocation.GOOD, Revocation.STALE, Revocation.UNKNOWN)

#: A file that brings nothing along.
NO_EVIDENCE = Evidence()


class Judge:
    """Judges certificates by one material and policy; keeps what is parsed."""

    def __init__(self, material: TrustMaterial, policy: TrustPolicy) -> None:
        self.material = material
        self.policy = policy
        self.register = Register(material)
        self._anchors = [x509.Certificate.load(one) for one in material.anchors]
        self._others = [x509.Certificate.load(one) for one in material.intermediates]
        self._crls = [crl.CertificateList.load(one) for one in material.crls]
        self._ocsps = [ocsp.OCSPResponse.load(one) for one in material.ocsps]
        self._revocations: dict[tuple[bytes, datetime], Judgement] = {}

    async def judge(
        self,
        certificate: x509.Certificate,
        at: datetime,
        purpose: Purpose = Purpose.SIGNING,
        evidence: Evidence = NO_EVIDENCE,
        path: ValidationPath | None = None,
    ) -> Judgement:
        """What is to be said of `certificate` when it was used at the moment `at`.

        `path` is its chain where that was validated at `at` in a `context` of this judge already.
        """
        if not self._anchors:
            return Judgement(None, reasons=(Reason.NO_TRUST_ANCHORS,), detail="no trust anchors")
        found = path or await self._path(certificate, at, evidence)
        if isinstance(found, Judgement):
            return found
        path = found
        wrong = self._wrong_purpose(certificate, purpose)
        if wrong is not None:
            return wrong
        if _too_small(certificate, self.policy):
            return Judgement(False, reasons=(Reason.KEY_TOO_SMALL,), detail="the key is too small")
        since = self._suspended(path)
        if since is not None and since <= at:
            detail = f"suspended since {since.isoformat()}"
            return Judgement(False, reasons=(Reason.SUSPENDED,), detail=detail)
        if evidence.crls or evidence.ocsps:
            return await self._revocation(path, at, evidence)
        return await self._remembered(certificate, path, at)

    def _wrong_purpose(self, certificate: x509.Certificate, purpose: Purpose) -> Judgement | None:
        """What speaks against this use by key usage and extended key usage; None where nothing."""
        try:
            _USAGES[purpose].validate(certificate)
        except InvalidCertificateError as error:
            return _distrust(Reason.WRONG_PURPOSE, error)
        if purpose is not Purpose.SIGNING or certificate.extended_key_usage_value is None:
            return None
        uses = {one.dotted for one in certificate.extended_key_usage_value}
        if uses & set(self.policy.signing_uses):
            return None
        usage = certificate.key_usage_value
        commits = usage is not None and "non_repudiation" in usage.native
        if commits and uses & set(self.policy.committing_uses):
            return None
        detail = f"no extended key usage for documents: {', '.join(sorted(uses))}"[:300]
        return Judgement(False, reasons=(Reason.WRONG_PURPOSE,), detail=detail)

    async def _remembered(
        self, certificate: x509.Certificate, path: ValidationPath, at: datetime
    ) -> Judgement:
        """What our own lists say, asked once a minute: the same seals sign all day long.

        A large list takes its time, and a minute is what clocks may differ anyway.
        """
        key = (certificate.sha256, at.replace(second=0, microsecond=0))
        found = self._revocations.get(key)
        if found is None:
            chain = Evidence(tuple(path.iter_certs(include_root=True)))
            found = await self._revocation(path, at, chain)
            if len(self._revocations) >= _REMEMBERED:
                self._revocations.clear()
            self._revocations[key] = found
        return found

    async def _path(
        self, certificate: x509.Certificate, at: datetime, evidence: Evidence
    ) -> ValidationPath | Judgement:
        context = self.context(at, evidence)
        try:
            return await CertificateValidator(
                certificate, validation_context=context
            ).async_validate_path()
        except ExpiredError as error:
            return _distrust(Reason.EXPIRED, error)
        except NotYetValidError as error:
            return _distrust(Reason.NOT_YET_VALID, error)
        except DisallowedAlgorithmError as error:
            if _too_small(certificate, self.policy):
                return _distrust(Reason.KEY_TOO_SMALL, error)
            return Judgement(None, reasons=(Reason.WEAK_ALGORITHM,), detail=_said(error))
        except (PathError, PathBuildingError, ValidationError, ValueError) as error:
            return _distrust(Reason.UNTRUSTED, error)

    def context(self, at: datetime, evidence: Evidence = NO_EVIDENCE) -> ValidationContext:
        """Chain, time and purpose at the moment `at`; nothing of revocation."""
        return ValidationContext(
            trust_roots=self._anchors,
            other_certs=[*self._others, *evidence.certificates],
            moment=at,
            allow_fetching=False,
            time_tolerance=_TOLERANCE,
        )

    async def _revocation(
        self, path: ValidationPath, at: datetime, evidence: Evidence
    ) -> Judgement:
        """The worst that any source says, and where none says revoked, the best.

        Sources are asked one by one: an answer from before the revocation, embedded by the owner of
        a lost key, must not speak louder than our newer list.
        """
        if self.policy.revocation is RevocationMode.OFF:
            return Judgement(True)
        best, details = Revocation.UNKNOWN, []
        for crls, ocsps in self._sources(evidence):
            found, detail = await self._asked(path, at, evidence, crls, ocsps)
            if found is Revocation.REVOKED:
                return Judgement(True, found, (Reason.REVOKED,), detail)
            best = min(best, found, key=_BEST_FIRST.index)
            details.append(detail)
        if best is not Revocation.UNKNOWN:
            return Judgement(True, best)
        detail = details[-1] if details else "neither list nor answer"
        if self.policy.revocation is RevocationMode.SOFT:
            return Judgement(True, Revocation.UNKNOWN, detail=detail)
        return Judgement(True, Revocation.UNKNOWN, (Reason.REVOCATION_UNKNOWN,), detail)

    def _sources(self, evidence: Evidence) -> Iterator[tuple[_Crls, _Ocsps]]:
        """Our lists; our lists and answers; and those that came along as well."""
        own, answers = tuple(self._crls), tuple(self._ocsps)
        if own:
            yield own, ()
        if answers:
            yield own, answers
        if evidence.crls or evidence.ocsps:
            yield (*own, *evidence.crls), (*answers, *evidence.ocsps)

    async def _asked(
        self,
        path: ValidationPath,
        at: datetime,
        evidence: Evidence,
        crls: _Crls,
        ocsps: _Ocsps,
    ) -> tuple[Revocation, str]:
        """What one source says of the whole path, and the words for it."""
        lists = _still_listed(crls, tuple(path.iter_certs(include_root=False)))
        detail = ""
        for tolerance, good in (
            (_TOLERANCE, Revocation.GOOD),
            (self.policy.grace, Revocation.STALE),
        ):
            context = ValidationContext(
                trust_roots=self._anchors,
                other_certs=[*self._others, *evidence.certificates],
                moment=at,
                allow_fetching=False,
                time_tolerance=tolerance,
                crls=lists,
                ocsps=ocsps,
                revocation_mode="require",
                # Newer lists tell of the past as well; `_still_listed` leaves out those that may
                # have forgotten.
                retroactive_revinfo=True,
            )
            try:
                await async_validate_path(context, path)
                return good, ""
            except RevokedError as error:
                return Revocation.REVOKED, _said(error)
            except InsufficientRevinfoError as error:
                detail = _said(error)
            except (PathError, ValidationError, ValueError) as error:
                return Revocation.UNKNOWN, _said(error)
        return Revocation.UNKNOWN, detail

    def _suspended(self, path: ValidationPath) -> datetime | None:
        """Since when a certificate of the path counts for nothing."""
        known = self.material.suspended
        found = [
            known[sha256]
            for one in path.iter_certs(include_root=True)
            if (sha256 := one.sha256.hex()) in known
        ]
        return min(found, default=None)


def _still_listed(crls: _Crls, path: Sequence[x509.Certificate]) -> list[crl.CertificateList]:
    """Lists by the path's authorities that were made before its certificates ran out.

    An authority may take an expired certificate off its list, revoked or not.
    """
    until = {one.issuer.hashable: one.not_valid_after for one in path}
    return [
        one
        for one in crls
        if (last := until.get(one.issuer.hashable)) is not None
        and one["tbs_cert_list"]["this_update"].native <= last
    ]


def _distrust(reason: Reason, error: Exception) -> Judgement:
    return Judgement(False, reasons=(reason,), detail=_said(error))


def _said(error: Exception) -> str:
    return str(error.args[0] if error.args else error)[:300]


def _too_small(certificate: x509.Certificate, policy: TrustPolicy) -> bool:
    key = certificate.public_key
    least = policy.keys.min_rsa_bits if key.algorithm == "rsa" else policy.keys.min_ec_bits
    return bool(key.bit_size < least)
