"""Rows of the matrix about signatures in PDFs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from adapters.trust import RevocationMode, TrustMaterial, TrustPolicy
from envelopes.signature_facts import Reason
from tests.support import pdf_signing as pdfs
from tests.support.pki import DAY, NOW, Credential, Pki, pki
from tests.support.signature_case import (
    ABSENT,
    BY_USE,
    HOUR,
    INVALID,
    UNVERIFIABLE,
    VALID,
    Case,
    lists,
    package,
    trusted,
)
from tests.support.signature_cases_stamps import STAMP_CASES
from tests.support.signature_forgeries import (
    forged_list,
    ocsp_revoked,
    old_lists,
    stranger_tsa,
    transplanted,
    with_ocsp,
    with_range,
)


def _pdf(change: Callable[[Pki], bytes]) -> Callable[[Pki], bytes]:
    return lambda p: package(change(p))


def _signed(by: Callable[[Pki], Credential], **form: object) -> Callable[[Pki], bytes]:
    return _pdf(lambda p: pdfs.sign_pdf(pdfs.make_pdf(), by(p), **form))


def _both(p: Pki) -> bytes:
    """The official's signature, then the agency's seal."""
    return pdfs.sign_pdf(pdfs.sign_pdf(pdfs.make_pdf(), p.official), p.agency, field="Seal")


def _stamped(p: Pki, by: Credential, before: timedelta, **form: object) -> bytes:
    stamper = pdfs.time_stamper(p.tsa, NOW - before)
    return pdfs.sign_pdf(pdfs.make_pdf(), by, timestamper=stamper, **form)


PDF_CASES = [
    Case("unsigned PDF", _pdf(lambda p: pdfs.make_pdf()), ABSENT),
    Case("file that is no PDF", lambda p: package(b"\xd0\xcf\x11\xe0" + b"x" * 99), ABSENT),
    Case("signature of an official", _signed(lambda p: p.official), VALID, each=(VALID,)),
    Case("official and agency", _pdf(_both), VALID, each=(VALID, VALID)),
    Case("elliptic curve", _signed(lambda p: p.on_curve), VALID),
    Case("SHA-512", _signed(lambda p: p.agency, digest="sha512"), VALID),
    Case("adbe.pkcs7.detached", _signed(lambda p: p.agency, pades=False), VALID),
    Case("certified, no changes", _signed(lambda p: p.agency, no_changes=True), VALID),
    Case(
        "page replaced by an update",
        _pdf(lambda p: pdfs.replace_page(_both(p))),
        INVALID,
        (Reason.CHANGED_LATER,),
        each=(INVALID, INVALID),
    ),
    Case(
        "annotation laid over",
        _pdf(lambda p: pdfs.hide_by_overlay(_both(p))),
        INVALID,
        (Reason.CHANGED_LATER,),
    ),
    Case(
        "page tree swapped",
        _pdf(lambda p: pdfs.swap_catalog(_both(p))),
        INVALID,
        (Reason.CHANGED_LATER,),
    ),
    Case(
        "empty field added later",
        _pdf(lambda p: pdfs.add_field(_both(p))),
        INVALID,
        (Reason.CHANGED_LATER,),
        each=(VALID, INVALID),
    ),
    Case(
        "changed between two signatures",
        _pdf(
            lambda p: pdfs.sign_pdf(
                pdfs.replace_page(pdfs.sign_pdf(pdfs.make_pdf(), p.official)),
                p.agency,
                field="Seal",
            )
        ),
        INVALID,
        (Reason.CHANGED_LATER,),
        each=(INVALID, VALID),
    ),
    Case(
        "field added to a certified document",
        _pdf(lambda p: pdfs.add_field(pdfs.sign_pdf(pdfs.make_pdf(), p.official, no_changes=True))),
        INVALID,
        (Reason.CHANGED_LATER,),
    ),
    Case(
        "ZIP after the end (polyglot)",
        _pdf(lambda p: _both(p) + b"PK\x05\x06" + b"\0" * 18),
        INVALID,
        (Reason.APPENDED,),
        each=(VALID, INVALID),
    ),
    Case(
        "ZIP after stored evidence",
        _pdf(lambda p: pdfs.with_evidence(_both(p), p.crls) + b"PK\x05\x06" + b"\0" * 18),
        INVALID,
        (Reason.APPENDED,),
    ),
    Case(
        "one bit of the content",
        _pdf(lambda p: pdfs.flipped(_both(p), b" Tj ET")),
        INVALID,
        (Reason.CHANGED,),
        each=(INVALID, INVALID),
    ),
    Case(
        "ByteRange renamed (universal forgery)",
        _pdf(lambda p: _both(p).replace(b"/ByteRange", b"/BiteRange")),
        UNVERIFIABLE,
        (Reason.MALFORMED,),
    ),
    Case(
        "ByteRange of nothing",
        _pdf(lambda p: with_range(_both(p), b"[0 0 0 0]")),
        INVALID,
        (Reason.CHANGED, Reason.NOT_WHOLE),
    ),
    Case(
        "ByteRange that leaves the end out",
        _pdf(lambda p: with_range(_both(p), b"[0 100 100 100]")),
        INVALID,
        (Reason.CHANGED, Reason.NOT_WHOLE),
    ),
    Case(
        "signature of another document put in",
        _pdf(transplanted),
        INVALID,
        (Reason.CHANGED,),
    ),
    Case(
        "junk before the file",
        _pdf(lambda p: b"x" * 40 + _both(p)),
        UNVERIFIABLE,
        (Reason.MALFORMED,),
    ),
    Case("cut off", _pdf(lambda p: _both(p)[:-400]), UNVERIFIABLE, (Reason.MALFORMED,)),
    Case("encrypted", _pdf(lambda p: pdfs.encrypted(b"")), UNVERIFIABLE, (Reason.ENCRYPTED,)),
    Case("expired", _signed(lambda p: p.expired), INVALID, (Reason.EXPIRED,)),
    Case("not yet valid", _signed(lambda p: p.early), INVALID, (Reason.NOT_YET_VALID,)),
    Case(
        "revoked by a list",
        _signed(lambda p: p.revoked),
        INVALID,
        (Reason.REVOKED,),
        revocation="revoked",
    ),
    Case(
        "key for encryption", _signed(lambda p: p.for_encryption), INVALID, (Reason.WRONG_PURPOSE,)
    ),
    *(
        Case(
            f"certificate {by}",
            _signed(lambda p, by=by: getattr(p, by)),
            VALID if signs else INVALID,
            () if signs else (Reason.WRONG_PURPOSE,),
        )
        for by, signs in BY_USE.items()
    ),
    Case("unknown authority", _signed(lambda p: p.unknown), INVALID, (Reason.UNTRUSTED,)),
    Case(
        "issued by an end entity",
        _signed(lambda p: p.by_no_authority),
        INVALID,
        (Reason.UNTRUSTED,),
    ),
    Case("RSA-1024", _signed(lambda p: p.small), INVALID, (Reason.KEY_TOO_SMALL,)),
    Case(
        "SHA-1, by policy",
        _signed(lambda p: p.agency, digest="sha1"),
        UNVERIFIABLE,
        (Reason.WEAK_ALGORITHM,),
    ),
    Case(
        "suspended a moment ago",
        _signed(lambda p: p.agency),
        INVALID,
        (Reason.SUSPENDED,),
        material=lambda p: replace(
            trusted(p), suspended={p.agency.sha256: NOW - timedelta(seconds=1)}, stamp="suspended"
        ),
    ),
    Case(
        "authority suspended",
        _signed(lambda p: p.agency),
        INVALID,
        (Reason.SUSPENDED,),
        material=lambda p: replace(
            trusted(p), suspended={p.government.credential.sha256: NOW - DAY}, stamp="suspended-ca"
        ),
    ),
    Case(
        "no anchors",
        _signed(lambda p: p.agency),
        UNVERIFIABLE,
        (Reason.NO_TRUST_ANCHORS,),
        material=lambda p: TrustMaterial(stamp="none"),
    ),
    Case(
        "no list at all",
        _signed(lambda p: p.agency),
        UNVERIFIABLE,
        (Reason.REVOCATION_UNKNOWN,),
        material=lambda p: lists(stamp="no-lists"),
        revocation="unknown",
    ),
    Case(
        "no list at all, soft policy",
        _signed(lambda p: p.agency),
        VALID,
        material=lambda p: lists(stamp="no-lists-soft"),
        policy=TrustPolicy(revocation=RevocationMode.SOFT),
        revocation="unknown",
    ),
    Case(
        "list overdue for 12 hours (grace)",
        _signed(lambda p: p.agency),
        VALID,
        material=lambda p: lists(
            p.root.crl(),
            p.government.crl(NOW - 2 * DAY, NOW - 12 * HOUR),
            stamp="grace",
        ),
        revocation="stale",
    ),
    Case(
        "list overdue for 25 hours",
        _signed(lambda p: p.agency),
        UNVERIFIABLE,
        (Reason.REVOCATION_UNKNOWN,),
        material=lambda p: lists(
            p.root.crl(), p.government.crl(NOW - 3 * DAY, NOW - 25 * HOUR), stamp="stale"
        ),
    ),
    Case(
        "list of a stranger in the authority's name",
        _signed(lambda p: p.agency),
        UNVERIFIABLE,
        (Reason.REVOCATION_UNKNOWN,),
        material=lambda p: lists(p.root.crl(), forged_list(p), stamp="forged-list"),
    ),
    Case(
        "OCSP good, no list",
        _pdf(lambda p: pdfs.sign_pdf(pdfs.make_pdf(), _OCSP[0])),
        VALID,
        material=lambda p: lists(p.root.crl(), ocsps=(_OCSP[1],), stamp="ocsp"),
        revocation="good",
    ),
    Case(
        "OCSP revoked, list says nothing yet",
        lambda p: _REVOKED_BY_OCSP[0],
        INVALID,
        (Reason.REVOKED,),
        material=lambda p: _REVOKED_BY_OCSP[1],
    ),
    Case(
        "revoked; an older good list embedded by the owner",
        _pdf(
            lambda p: pdfs.with_evidence(
                pdfs.sign_pdf(pdfs.make_pdf(), p.revoked), old_lists(p, 12 * DAY)
            )
        ),
        INVALID,
        (Reason.REVOKED,),
    ),
    Case(
        "stored evidence, none of our own",
        _pdf(lambda p: pdfs.with_evidence(_both(p), p.crls)),
        VALID,
        material=lambda p: lists(stamp="no-lists"),
        each=(VALID, VALID),
    ),
    Case(
        "stamped before it expired, evidence of then",
        _pdf(
            lambda p: pdfs.with_evidence(
                _stamped(p, p.expired, 60 * DAY), (*old_lists(p, 61 * DAY), *p.crls)
            )
        ),
        VALID,
        time_source="timestamp",
    ),
    Case(
        "stamped before it expired, no evidence of then",
        _pdf(lambda p: _stamped(p, p.expired, 60 * DAY)),
        UNVERIFIABLE,
        (Reason.REVOCATION_UNKNOWN,),
        time_source="timestamp",
    ),
    Case(
        "stamped after it expired",
        _pdf(lambda p: _stamped(p, p.expired, 10 * DAY)),
        INVALID,
        (Reason.EXPIRED,),
        time_source="timestamp",
    ),
    Case(
        "stamped before it was revoked",
        _pdf(lambda p: _stamped(p, p.revoked, 20 * DAY)),
        VALID,
        time_source="timestamp",
    ),
    Case(
        "stamped after it was revoked",
        _pdf(lambda p: _stamped(p, p.revoked, 5 * DAY)),
        INVALID,
        (Reason.REVOKED,),
    ),
    Case(
        "stamped by an unknown authority: the stamp counts for nothing",
        _pdf(
            lambda p: pdfs.sign_pdf(
                pdfs.make_pdf(),
                p.expired,
                timestamper=pdfs.time_stamper(stranger_tsa(p), NOW - 60 * DAY),
            )
        ),
        INVALID,
        (Reason.EXPIRED,),
        time_source="received",
    ),
    Case(
        "stamped by a certificate that is none for stamps",
        _pdf(
            lambda p: pdfs.sign_pdf(
                pdfs.make_pdf(),
                p.expired,
                timestamper=pdfs.time_stamper(p.agency, NOW - 60 * DAY),
            )
        ),
        INVALID,
        (Reason.EXPIRED,),
        time_source="received",
    ),
    Case(
        "document time stamp over stored evidence (LTA)",
        _pdf(
            lambda p: pdfs.stamp_pdf(
                pdfs.with_evidence(
                    pdfs.sign_pdf(pdfs.make_pdf(), p.expired),
                    (*old_lists(p, 61 * DAY), *p.crls),
                ),
                pdfs.time_stamper(p.tsa, NOW - 60 * DAY),
            )
        ),
        VALID,
        time_source="timestamp",
    ),
    Case(
        "document time stamp, changed afterwards",
        _pdf(
            lambda p: pdfs.replace_page(
                pdfs.stamp_pdf(_both(p), pdfs.time_stamper(p.tsa, NOW - DAY))
            )
        ),
        INVALID,
        (Reason.CHANGED_LATER,),
    ),
    *STAMP_CASES,
]


_OCSP = with_ocsp(pki())
_REVOKED_BY_OCSP = ocsp_revoked()
