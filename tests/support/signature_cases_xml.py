"""Rows of the matrix about XML signatures over packages."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace

from lxml import etree

from adapters.trust import TrustPolicy
from envelopes.signature_facts import Reason
from envelopes.xml_signature import KeyPolicy
from tests.support import pdf_signing as pdfs
from tests.support import xml_signing as xmls
from tests.support.pki import Pki
from tests.support.signature_case import (
    ABSENT,
    BY_USE,
    INVALID,
    UNVERIFIABLE,
    VALID,
    Case,
    package,
    trusted,
)


def _xml(**form: object) -> Callable[[Pki], bytes]:
    by = form.pop("by", "agency")
    return lambda p: xmls.sign(package(pdfs.make_pdf()), getattr(p, str(by)), **form)


def _row(
    name: str, made: Callable[[Pki], bytes], expected: str, *reasons: Reason, **more: object
) -> Case:
    return Case(name, made, expected, reasons, xml=True, **more)  # type: ignore[arg-type]


def _resigned(p: Pki) -> bytes:
    """A forged package, signed with a key and certificate of the forger's own making."""
    forged = package(pdfs.make_pdf("Chuyển tiền"))
    return xmls.sign(forged, p.unknown)


def _certificate_swapped(p: Pki) -> bytes:
    """A forged package under the genuine certificate: the forger has no key for it."""
    forged = package(pdfs.make_pdf("Chuyển tiền"))
    return xmls.sign(forged, p.other_agency, certificates=[p.agency.der])


def _wrapped(p: Pki, kind: int) -> bytes:
    """XSW 1 to 8 (Somorovsky et al.), carried over to packages."""
    root = etree.fromstring(xmls.sign(package(pdfs.make_pdf()), p.agency))
    signature = root.find(f".//{{{xmls.DS}}}Signature")
    copy = etree.fromstring(etree.tostring(root))
    envelope = root.find("{*}edXMLEnvelope")
    forged = etree.fromstring(etree.tostring(root))
    stale = forged.find(f".//{{{xmls.DS}}}Signature")
    stale.getparent().remove(stale)
    forged.find(".//{*}Subject").text = "Chuyển tiền"
    if kind == 1:
        forged.append(root)
        return etree.tostring(forged)
    if kind == 2:
        signature.getparent().remove(signature)
        forged.append(signature)
        forged.append(root)
        return etree.tostring(forged)
    if kind == 3:
        root.insert(0, forged.find("{*}edXMLEnvelope"))
        return etree.tostring(root)
    if kind == 4:
        fake = forged.find("{*}edXMLEnvelope")
        root.replace(envelope, fake)
        fake.append(envelope)
        return etree.tostring(root)
    root.find(".//{*}Subject").text = "Chuyển tiền"
    if kind != 6:
        inner = copy.find(f".//{{{xmls.DS}}}Signature")
        inner.getparent().remove(inner)
    if kind == 5:
        root.append(copy.find("{*}edXMLEnvelope"))
    elif kind == 6:
        signature.append(copy)
    elif kind == 7:
        etree.SubElement(root, "Extensions").append(copy.find("{*}edXMLEnvelope"))
    else:
        etree.SubElement(signature, f"{{{xmls.DS}}}Object").append(copy)
    return etree.tostring(root)


#: By what the wrapped package is given away; elsewhere the digest does not fit.
_OF_WRAPPING = {
    1: Reason.FORBIDDEN_FORM,
    4: Reason.FORBIDDEN_FORM,
    6: Reason.SEVERAL_SIGNATURES,
    8: Reason.FORBIDDEN_FORM,
}


def _edited(old: bytes, new: bytes) -> Callable[[Pki], bytes]:
    return lambda p: _xml()(p).replace(old, new, 1)


def fake_digest(raw: bytes) -> bytes:
    """Only the shape of a signature is left: the digest is none."""
    return re.sub(b"<((?:ds:)?DigestValue)>[^<]*", rb"<\1>AAAA", raw)


SHA1 = {"hash_name": "sha1", "digest_name": "sha1"}
XML_CASES = [
    _row("unsigned package", lambda p: package(pdfs.make_pdf()), ABSENT),
    _row("signed package", _xml(), VALID),
    _row("signed package, exclusive form", _xml(canonical=xmls.EXCLUSIVE), VALID),
    _row("signed package, elliptic curve", _xml(by="on_curve"), VALID),
    _row(
        "placeholder in the namespace of edXML",
        lambda p: _xml()(p).replace(xmls.DS.encode(), xmls.NAMESPACE.encode(), 1),
        UNVERIFIABLE,
        Reason.PLACEHOLDER,
    ),
    _row(
        "certificate that is none",
        lambda p: _xml(certificates=[b"MIIFqTCCBJG"])(p),
        UNVERIFIABLE,
        Reason.MALFORMED,
    ),
    _row(
        "placeholder with fake values",
        lambda p: fake_digest(_xml(certificates=())(p)),
        UNVERIFIABLE,
        Reason.PLACEHOLDER,
    ),
    _row(
        "subject changed, DigestValue shortened",
        lambda p: fake_digest(_edited(b"</edXML:Subject>", b"!</edXML:Subject>")(p)),
        INVALID,
        Reason.CHANGED,
    ),
    _row(
        "subject changed",
        _edited(b"</edXML:Subject>", b"!</edXML:Subject>"),
        INVALID,
        Reason.CHANGED,
    ),
    _row(
        "file changed",
        lambda p: _swapped_file(_xml()(p)),
        INVALID,
        Reason.CHANGED,
    ),
    *(
        _row(
            f"XSW {kind}",
            lambda p, kind=kind: _wrapped(p, kind),
            INVALID,
            _OF_WRAPPING.get(kind, Reason.CHANGED),
        )
        for kind in range(1, 9)
    ),
    _row("reference by id", _xml(uri="#x"), INVALID, Reason.FORBIDDEN_FORM),
    _row("two references", _xml(references=2), INVALID, Reason.FORBIDDEN_FORM),
    _row(
        "canonical form with comments",
        _xml(canonical=xmls.EXCLUSIVE + "WithComments"),
        INVALID,
        Reason.FORBIDDEN_FORM,
    ),
    _row(
        "comment splits a value",
        _edited(b"</edXML:Subject>", b"<!-- -->.</edXML:Subject>"),
        INVALID,
        Reason.COMMENT,
    ),
    _row(
        "DOCTYPE",
        _edited(b"<edXML ", b"<!DOCTYPE edXML [<!ENTITY a 'b'>]><edXML "),
        INVALID,
        Reason.DTD,
    ),
    _row("KeyInfo of the forger", _resigned, INVALID, Reason.UNTRUSTED),
    _row("certificate of the victim", _certificate_swapped, INVALID, Reason.CHANGED),
    _row(
        "KeyValue of the forger beside it",
        lambda p: xmls.sign(package(pdfs.make_pdf()), p.agency, key_value_of=p.other_agency),
        INVALID,
        Reason.CERTIFICATE_MISMATCH,
    ),
    _row(
        "HMAC in the place of RSA",
        lambda p: xmls.sign(package(pdfs.make_pdf()), p.agency, hmac_secret=p.agency.der),
        INVALID,
        Reason.ALGORITHM,
    ),
    _row("SHA-1, by policy", _xml(**SHA1), UNVERIFIABLE, Reason.WEAK_ALGORITHM),
    _row(
        "SHA-1 where the profile takes it",
        _xml(**SHA1),
        VALID,
        policy=TrustPolicy(keys=KeyPolicy(allow_sha1=True)),
    ),
    _row("RSA-1024", _xml(by="small"), INVALID, Reason.KEY_TOO_SMALL),
    _row("expired", _xml(by="expired"), INVALID, Reason.EXPIRED),
    _row("not yet valid", _xml(by="early"), INVALID, Reason.NOT_YET_VALID),
    _row("revoked", _xml(by="revoked"), INVALID, Reason.REVOKED),
    _row("key for encryption", _xml(by="for_encryption"), INVALID, Reason.WRONG_PURPOSE),
    *(
        _row(f"certificate {by}", _xml(by=by), VALID)
        if signs
        else _row(f"certificate {by}", _xml(by=by), INVALID, Reason.WRONG_PURPOSE)
        for by, signs in BY_USE.items()
    ),
    _row("no certificate", _xml(certificates=()), UNVERIFIABLE, Reason.NO_CERTIFICATE),
    _row(
        "no certificate, but one is registered",
        _xml(certificates=()),
        VALID,
        material=lambda p: replace(
            trusted(p),
            agencies={"G22": (p.other_agency.der, p.agency.der)},
            intermediates=(p.government.credential.der,),
            stamp="registered",
        ),
    ),
    _row(
        "two signatures",
        lambda p: xmls.sign(_xml()(p), p.official),
        INVALID,
        Reason.SEVERAL_SIGNATURES,
    ),
]


def _swapped_file(raw: bytes) -> bytes:
    """One character of the file's base64 exchanged."""
    end = raw.index(b"</", raw.index(b"ContentTransferEncoded"))
    start = raw.rindex(b">", 0, end) + 1
    data = bytearray(base64.b64decode(raw[start:end]))
    data[len(data) // 2] ^= 1
    return raw[:start] + base64.b64encode(data) + raw[end:]
