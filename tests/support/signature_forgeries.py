"""What rows of the matrix of signature cases are made of: forged, old and foreign material."""

from __future__ import annotations

from datetime import timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID

from adapters.trust import TrustMaterial
from tests.support import pdf_signing as pdfs
from tests.support.pki import DAY, NOW, Authority, Credential, Pki, name, pki, rsa_key
from tests.support.signature_case import lists, package


def old_lists(p: Pki, before: timedelta) -> tuple[bytes, ...]:
    """Lists of a time when nothing was revoked yet."""
    kept, p.government.revoked = p.government.revoked, {}
    try:
        return p.root.crl(NOW - before), p.government.crl(NOW - before)
    finally:
        p.government.revoked = kept


def with_ocsp(p: Pki) -> tuple[Credential, bytes]:
    """A certificate that names a responder, and its good answer."""
    p.government.ocsp_url = "http://ocsp.test/"
    try:
        one = p.government.issue(p.agency.certificate.subject, p.agency.key)
    finally:
        p.government.ocsp_url = ""
    return one, p.government.ocsp(one.certificate, responder=p.responder)


def ocsp_revoked() -> tuple[bytes, TrustMaterial]:
    p = pki()
    one, _ = with_ocsp(p)
    p.government.revoked[one.serial] = NOW - 5 * DAY
    try:
        answer = p.government.ocsp(one.certificate, responder=p.responder)
    finally:
        del p.government.revoked[one.serial]
    signed = package(pdfs.sign_pdf(pdfs.make_pdf(), one))
    return signed, lists(*p.crls, ocsps=(answer,), stamp="ocsp-revoked")


def with_range(pdf: bytes, new: bytes) -> bytes:
    """The last signature's range of bytes exchanged."""
    start = pdf.rindex(b"/ByteRange") + len(b"/ByteRange ")
    end = pdf.index(b"]", start) + 1
    return pdf[:start] + new.ljust(end - start) + pdf[end:]


def transplanted(p: Pki) -> bytes:
    """A genuine signature (of an empty letter) moved into a forged document of the same form."""
    genuine = pdfs.sign_pdf(pdfs.make_pdf("Thư trống"), p.agency)
    forged = pdfs.sign_pdf(pdfs.make_pdf("Thư tiền!"), p.agency)
    start = genuine.index(b"/Contents <") + len(b"/Contents <")
    end = genuine.index(b">", start)
    place = forged.index(b"/Contents <") + len(b"/Contents <")
    room = forged.index(b">", place) - place
    value = genuine[start:end][:room].ljust(room, b"0")
    return forged[:place] + value + forged[place + room :]


def forged_list(p: Pki) -> bytes:
    """An empty list that names the government's authority and is signed by somebody else."""
    own = p.government.credential
    return Authority(Credential(own.certificate, p.stranger.credential.key)).crl()


def stranger_tsa(p: Pki) -> Credential:
    return p.stranger.issue(
        name("TSA of a stranger"),
        rsa_key(4),
        usages=("digital_signature",),
        extended=(ExtendedKeyUsageOID.TIME_STAMPING,),
    )
