"""Every signature of one PDF, put to the test (pyHanko), as facts.

Runs in a worker process (`adapters.signatures.worker`): parsers of PDF have hung and crashed before
(reliability 2.4). What pyHanko's defaults let pass is refused here: bytes after the last signature,
changes after it, trust without revocation, times that only the signer claims.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from asn1crypto import cms, x509
from asn1crypto.crl import CertificateList
from asn1crypto.ocsp import OCSPResponse
from pyhanko.pdf_utils.decode_limits import DecodePurpose
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import find_cms_attribute_iter
from pyhanko.sign.validation import (
    DocumentSecurityStore,
    EmbeddedPdfSignature,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.errors import NoDSSFoundError
from pyhanko.sign.validation.generic_cms import (
    extract_certs_for_validation,
    extract_self_reported_ts,
    extract_tst_data_iter,
    message_imprint_checker,
    validate_tst_signed_data,
)
from pyhanko.sign.validation.status import PdfSignatureStatus

from adapters.signatures.pdf_coverage import Draft, check_coverage
from adapters.signatures.signer import with_signer
from adapters.trust.judge import Evidence, Judge, Purpose
from envelopes.signature_facts import (
    Reason,
    SignatureOutcome,
    SignatureVerdict,
    TimeSource,
    outcome_of,
    worst_outcome,
)

_HASHES = frozenset({"sha256", "sha384", "sha512"})
_WEAK_HASHES = frozenset({"sha1"})
_MECHANISMS = frozenset({"rsassa_pkcs1v15", "rsassa_pss", "ecdsa"})
#: A time stamp may be this much ahead of our clock.
_AHEAD = timedelta(minutes=5)
#: Signatures of one file; more are not looked at.
MAX_SIGNATURES = 50
#: What a PDF with a signature, or one that hides something, names in the clear.
_NAMES = (b"ByteRange", b"/SubFilter", b"/Sig", b"/Encrypt")
_DOCUMENT_TIMESTAMP = "/DocTimeStamp"


@dataclass(frozen=True, slots=True)
class PdfCheck:
    """What was found in one PDF."""

    outcome: SignatureOutcome
    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    signatures: tuple[SignatureVerdict, ...] = ()
    pages: int | None = None


async def check_pdf(file: BinaryIO, judge: Judge, at: datetime) -> PdfCheck:
    """Verify all signatures of the PDF in `file`, received at the moment `at`. Never raises."""
    try:
        return await _check(file, judge, at)
    except MemoryError:
        raise
    except Exception as error:
        # A parser of hostile files: whatever it raises, the file could not be looked at. Not a
        # list of exceptions: what it missed would end the process, for this file and the next.
        if not _mentions_signature(file):
            return PdfCheck(SignatureOutcome.ABSENT, detail=_said(error))
        return PdfCheck(SignatureOutcome.UNVERIFIABLE, (Reason.MALFORMED,), _said(error))


async def _check(file: BinaryIO, judge: Judge, at: datetime) -> PdfCheck:
    reader = PdfFileReader(file, strict=True)
    if reader.encrypted:
        return PdfCheck(SignatureOutcome.UNVERIFIABLE, (Reason.ENCRYPTED,), "encrypted")
    pages = _pages(reader)
    embedded: list[EmbeddedPdfSignature] = list(reader.embedded_signatures)
    if not embedded:
        return PdfCheck(SignatureOutcome.ABSENT, pages=pages)
    if len(embedded) > MAX_SIGNATURES:
        reasons = (Reason.TOO_MANY,)
        return PdfCheck(SignatureOutcome.UNVERIFIABLE, reasons, f"{len(embedded)}", pages=pages)
    evidence = _stored_evidence(reader)
    verdicts: list[SignatureVerdict] = []
    # From the last to the first: a later document time stamp proves when the earlier existed.
    known = _Known(at, TimeSource.RECEIVED)
    stamps_after: int | None = 0
    for signature in reversed(embedded):
        verdict, known = await _one(signature, judge, known, evidence, stamps_after, file)
        if verdict is not None:
            verdicts.insert(0, verdict)
        if signature.sig_object_type != _DOCUMENT_TIMESTAMP:
            stamps_after = None
        elif stamps_after is not None:
            stamps_after += 1
    return PdfCheck(worst_outcome(verdicts), signatures=tuple(verdicts), pages=pages)


@dataclass(frozen=True, slots=True)
class _Known:
    """By when what is being looked at existed, and how that is known."""

    at: datetime
    source: TimeSource


async def _one(
    signature: EmbeddedPdfSignature,
    judge: Judge,
    known: _Known,
    evidence: Evidence,
    stamps_after: int | None,
    file: BinaryIO,
) -> tuple[SignatureVerdict | None, _Known]:
    """The verdict on one signature (None for a good document time stamp), and what is known now."""
    try:
        if signature.sig_object_type == _DOCUMENT_TIMESTAMP:
            return await _document_timestamp(signature, judge, known, evidence, stamps_after, file)
        return await _signature(signature, judge, known, evidence, stamps_after, file), known
    except MemoryError:
        raise
    except Exception as error:
        # As above: hostile input, whatever is raised; the other signatures are looked at.
        broken = SignatureVerdict(
            SignatureOutcome.UNVERIFIABLE,
            (Reason.MALFORMED,),
            _said(error),
            field=str(signature.field_name)[:100],
        )
        return broken, known


async def _signature(
    signature: EmbeddedPdfSignature,
    judge: Judge,
    known: _Known,
    evidence: Evidence,
    stamps_after: int | None,
    file: BinaryIO,
) -> SignatureVerdict:
    draft = Draft()
    certificate = signature.signer_cert
    evidence = _with_own(signature, evidence)
    time = await _signature_time(signature, judge, known, evidence, draft)
    context = judge.context(time.at, evidence)
    status = await async_validate_pdf_signature(
        signature, signer_validation_context=context, ts_validation_context=context
    )
    _check_algorithms(signature.signer_info, judge, draft)
    _check_integrity(status, draft)
    coverage = check_coverage(signature, status, draft, stamps_after=stamps_after, file=file)
    judgement = await judge.judge(
        certificate,
        time.at,
        Purpose.SIGNING,
        evidence,
        path=status.validation_path if status.trusted else None,
    )
    for reason in judgement.reasons:
        draft.note(reason, judgement.detail)
    verdict = SignatureVerdict(
        outcome=outcome_of(draft.reasons),
        reasons=tuple(draft.reasons),
        detail="; ".join(draft.details)[:500],
        signed_at=time.at,
        time_source=time.source,
        claimed_at=extract_self_reported_ts(signature.signer_info),
        coverage=coverage,
        intact=bool(status.intact and status.valid),
        trusted=judgement.trusted,
        revocation=judgement.revocation,
        algorithm=_algorithm(signature.signer_info),
        field=str(signature.field_name)[:100],
    )
    return with_signer(verdict, certificate.dump(), judge)


def _check_algorithms(signer_info: cms.SignerInfo, judge: Judge, draft: Draft) -> None:
    names = {signer_info["digest_algorithm"]["algorithm"].native}
    algorithm = signer_info["signature_algorithm"]
    # Where the mechanism names no digest of its own, the digest algorithm counts.
    with contextlib.suppress(ValueError):
        names.add(algorithm.hash_algo)
    if algorithm.signature_algo not in _MECHANISMS or names - _HASHES - _WEAK_HASHES:
        draft.note(Reason.ALGORITHM, f"{algorithm['algorithm'].native}, {sorted(names)}")
    elif names & _WEAK_HASHES and not judge.policy.keys.allow_sha1:
        draft.note(Reason.WEAK_ALGORITHM, "SHA-1")


def _algorithm(signer_info: cms.SignerInfo) -> str:
    kind = str(signer_info["signature_algorithm"].signature_algo).replace("rsassa_pkcs1v15", "rsa")
    return f"{kind}-{signer_info['digest_algorithm']['algorithm'].native}"


def _check_integrity(status: PdfSignatureStatus, draft: Draft) -> None:
    if not (status.intact and status.valid):
        draft.note(Reason.CHANGED, "digest or signature value do not fit")
    if not status.seed_value_ok:
        draft.note(Reason.FORBIDDEN_FORM, "against the constraints of the signature field")


# Time


async def _signature_time(
    signature: EmbeddedPdfSignature,
    judge: Judge,
    known: _Known,
    evidence: Evidence,
    draft: Draft,
) -> _Known:
    """The time of a good time stamp inside the signature; else what is known already."""
    check_imprint = message_imprint_checker(signature.signer_info)
    for token in extract_tst_data_iter(signature.signer_info, signed=False):
        status = await validate_tst_signed_data(
            token, judge.context(known.at, evidence), check_imprint
        )
        if not (status["intact"] and status["valid"]):
            draft.note(Reason.TIMESTAMP_INVALID, "the time stamp is of something else")
            continue
        stamped = await _trusted_time(status, token, judge, known, evidence)
        if stamped is not None:
            return stamped
    return known


async def _trusted_time(
    status: dict[str, Any],
    token: cms.SignedData,
    judge: Judge,
    known: _Known,
    evidence: Evidence,
) -> _Known | None:
    """The time of an intact token, where its authority may be believed."""
    certificates = extract_certs_for_validation(token)
    with_token = replace(evidence, certificates=(*evidence.certificates, *certificates.other_certs))
    judgement = await judge.judge(
        certificates.signer_cert, known.at, Purpose.TIME_STAMPING, with_token
    )
    at: datetime = status["timestamp"]
    if not judgement.good or at > known.at + _AHEAD:
        return None
    return _Known(at, TimeSource.TIMESTAMP)


async def _document_timestamp(
    signature: EmbeddedPdfSignature,
    judge: Judge,
    known: _Known,
    evidence: Evidence,
    stamps_after: int | None,
    file: BinaryIO,
) -> tuple[SignatureVerdict | None, _Known]:
    draft = Draft()
    context = judge.context(known.at, evidence)
    status = await async_validate_pdf_timestamp(signature, validation_context=context)
    if not (status.intact and status.valid):
        draft.note(Reason.TIMESTAMP_INVALID, "the document time stamp does not fit")
    coverage = check_coverage(signature, status, draft, stamps_after=stamps_after, file=file)
    if draft.reasons:
        verdict = SignatureVerdict(
            outcome_of(draft.reasons),
            tuple(draft.reasons),
            "; ".join(draft.details)[:500],
            coverage=coverage,
            intact=bool(status.intact and status.valid),
            field=str(signature.field_name)[:100],
        )
        return with_signer(verdict, signature.signer_cert.dump(), judge), known
    stamped = await _trusted_time(
        {"timestamp": status.timestamp}, signature.signed_data, judge, known, evidence
    )
    return None, stamped or known


# Evidence in the file


def _stored_evidence(reader: PdfFileReader) -> Evidence:
    """Certificates, lists and answers of the document security store (ISO 32000-2, PAdES)."""
    try:
        store = DocumentSecurityStore.read_dss(reader)
    except NoDSSFoundError:
        return Evidence()
    return Evidence(
        tuple(store.load_certs()),
        tuple(
            CertificateList.load(one.get_object().read_data(DecodePurpose.CRL))
            for one in store.crls
        ),
        tuple(
            OCSPResponse.load(one.get_object().read_data(DecodePurpose.OCSP_RESPONSE))
            for one in store.ocsps
        ),
    )


def _with_own(signature: EmbeddedPdfSignature, evidence: Evidence) -> Evidence:
    """`evidence` with what lies in the signature itself (Adobe's revocation information)."""
    certificates: list[x509.Certificate] = [*evidence.certificates, *signature.other_embedded_certs]
    crls, ocsps = list(evidence.crls), list(evidence.ocsps)
    archive = find_cms_attribute_iter(
        signature.signer_info["signed_attrs"], "adobe_revocation_info_archival"
    )
    for one in archive:
        crls += list(one["crl"])
        ocsps += list(one["ocsp"])
    return Evidence(tuple(certificates), tuple(crls), tuple(ocsps))


def _pages(reader: PdfFileReader) -> int | None:
    try:
        count = int(reader.root["/Pages"]["/Count"])
    except (KeyError, TypeError, ValueError):
        return None
    return count if 0 <= count <= 1_000_000 else None


def _mentions_signature(file: BinaryIO) -> bool:
    """Whether the bytes name what every signature must name in the clear."""
    file.seek(0)
    before = b""
    while block := file.read(1024 * 1024):
        if any(name in before + block for name in _NAMES):
            return True
        before = block[-16:]
    return False


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
