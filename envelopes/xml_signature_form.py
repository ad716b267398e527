"""The one form of XML signature that is taken, and taking a ds:Signature of that form apart.

Whatever has another form ends with `Found`: an outcome and the reason for it (specification, edXML
section 6; reliability 2.2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from envelopes.element_names import DIGITAL_SIGNATURE, EDXML, ENVELOPE, HEADER, SIGNATURE
from envelopes.signature_facts import Reason, SignatureOutcome
from envelopes.xml_signature_scan import SignatureScan

_DS = "http://www.w3.org/2000/09/xmldsig#"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED = _DS + "enveloped-signature"
_SIGNATURES = (SIGNATURE, DIGITAL_SIGNATURE)
#: Canonical forms without comments: whether they are exclusive.
_CANONICAL = {
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": False,
    "http://www.w3.org/2006/12/xml-c14n11": False,
    _EXCLUSIVE: True,
}
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    _MORE + "sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    _DS + "sha1": "sha1",
}
_METHODS = {
    **{
        f"{_MORE}{kind}-{name}": (kind, name)
        for kind in ("rsa", "ecdsa")
        for name in ("sha256", "sha384", "sha512")
    },
    _DS + "rsa-sha1": ("rsa", "sha1"),
    _MORE + "ecdsa-sha1": ("ecdsa", "sha1"),
}
_CERTIFICATE = "X509Certificate"
#: Certificates that one KeyInfo may hold.
_MAX_CERTIFICATES = 10


class Found(Exception):
    """Ends a check with an outcome; never leaves `envelopes`."""

    def __init__(self, outcome: SignatureOutcome, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.outcome, self.reason, self.detail = outcome, reason, detail


def invalid(reason: Reason, detail: str) -> Found:
    """It is shown to be wrong."""
    return Found(SignatureOutcome.INVALID, reason, detail)


def unverifiable(reason: Reason, detail: str) -> Found:
    """It cannot be told."""
    return Found(SignatureOutcome.UNVERIFIABLE, reason, detail)


def locate(scan: SignatureScan) -> tuple[etree._ElementTree, etree._Element]:
    """The skeleton as a tree, files marked, and the one signature in it."""
    if scan.problem is not None:
        detail = scan.detail
        if scan.problem in (Reason.MALFORMED, Reason.TOO_LARGE):
            raise unverifiable(scan.problem, detail)
        raise invalid(scan.problem, detail)
    if scan.signatures > 1:
        raise invalid(Reason.SEVERAL_SIGNATURES, f"{scan.signatures} signatures")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=False
    )
    try:
        root = etree.fromstring(marker(scan).join(scan.pieces).encode(), parser)
    except etree.XMLSyntaxError as error:
        raise unverifiable(Reason.MALFORMED, str(error)) from error
    named = (one for one in root.iter() if etree.QName(one).localname in _SIGNATURES)
    signature = next(named, None)
    if signature is None:
        raise unverifiable(Reason.MALFORMED, "there is no signature")
    if signature.tag != ds(SIGNATURE):
        raise unverifiable(Reason.PLACEHOLDER, "the signature is not in the XML-DSig namespace")
    path = [etree.QName(one).localname for one in signature.iterancestors()]
    if path not in ([HEADER, ENVELOPE, EDXML], [EDXML]):
        raise invalid(Reason.FORBIDDEN_FORM, f"the signature lies in {'/'.join(reversed(path))}")
    return root.getroottree(), signature


def marker(scan: SignatureScan) -> str:
    """A text that stands for a file and occurs nowhere else in the skeleton."""
    number = 0
    while any(f"@file{number}@" in piece for piece in scan.pieces):
        number += 1
    return f"@file{number}@"


def ds(name: str) -> str:
    return f"{{{_DS}}}{name}"


@dataclass(frozen=True, slots=True)
class Transform:
    """A canonical form: exclusive or not, and the prefixes an exclusive one includes."""

    exclusive: bool
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, element: etree._Element) -> Transform:
        uri = element.get("Algorithm", "")
        if uri not in _CANONICAL:
            raise invalid(Reason.FORBIDDEN_FORM, f"canonical form {uri[:100]!r}")
        children = list(element)
        exclusive = _CANONICAL[uri]
        if not children:
            return cls(exclusive)
        if not exclusive or [one.tag for one in children] != [
            f"{{{_EXCLUSIVE}}}InclusiveNamespaces"
        ]:
            raise invalid(Reason.FORBIDDEN_FORM, "parameters of a canonical form")
        return cls(exclusive, tuple(children[0].get("PrefixList", "").split()))

    def write(self, tree: etree._ElementTree) -> bytes:
        """A whole document in this form."""
        try:
            return etree.tostring(
                tree,
                method="c14n",
                exclusive=self.exclusive,
                with_comments=False,
                inclusive_ns_prefixes=list(self.prefixes) or None,
            )
        except (etree.LxmlError, ValueError) as error:
            # Relative namespace names, for one, have no canonical form.
            raise unverifiable(Reason.UNSUPPORTED, f"no canonical form: {error}"[:200]) from error


@dataclass(frozen=True, slots=True)
class Parts:
    """A ds:Signature taken apart; everything in it has a form that is taken."""

    signed_info: etree._Element
    info_form: Transform
    transform: Transform
    kind: str
    hash_name: str
    digest_name: str
    digest_value: bytes
    value: bytes
    certificates: tuple[bytes, ...]
    key_value: etree._Element | None

    @classmethod
    def of(cls, signature: etree._Element) -> Parts:
        """The parts of `signature`. Raises `Found`, a placeholder only where no certificate is.

        Whoever damages a value of a real signature must not turn *invalid* into *placeholder*.
        """
        try:
            return cls._taken(signature)
        except Found as found:
            if found.reason is not Reason.PLACEHOLDER:
                raise
            given = [
                one.text for one in signature.iter(ds(_CERTIFICATE)) if (one.text or "").strip()
            ]
            if any(_is_certificate(text) for text in given):
                raise invalid(Reason.CHANGED, found.detail) from found
            if given:
                raise unverifiable(Reason.MALFORMED, found.detail) from found
            raise

    @classmethod
    def _taken(cls, signature: etree._Element) -> Parts:
        info, value, key_info = _children_of_signature(signature)
        children = list(info)
        if len(children) < 2 or [one.tag for one in children[:2]] != [
            ds("CanonicalizationMethod"),
            ds("SignatureMethod"),
        ]:
            raise _placeholder("SignedInfo is not one of XML-DSig")
        references = children[2:]
        if len(references) != 1 or references[0].tag != ds("Reference"):
            raise invalid(Reason.FORBIDDEN_FORM, f"{len(references)} references, 1 is allowed")
        transform, digest_name, digest_value = _reference(references[0])
        kind, hash_name = _method(children[1])
        certificates, key_value = _key_info(key_info)
        return cls(
            signed_info=info,
            info_form=Transform.of(children[0]),
            transform=transform,
            kind=kind,
            hash_name=hash_name,
            digest_name=digest_name,
            digest_value=digest_value,
            value=decoded(value, "SignatureValue"),
            certificates=certificates,
            key_value=key_value,
        )


def _placeholder(detail: str) -> Found:
    return unverifiable(Reason.PLACEHOLDER, detail)


def _children_of_signature(
    signature: etree._Element,
) -> tuple[etree._Element, etree._Element, etree._Element | None]:
    children = list(signature)
    tags = [one.tag for one in children]
    whole = [ds("SignedInfo"), ds("SignatureValue"), ds("KeyInfo")]
    if tags in (whole, whole[:2]):
        return children[0], children[1], children[2] if len(children) > 2 else None
    if not set(whole[:2]) <= set(tags):
        raise _placeholder("SignedInfo or SignatureValue is missing")
    extra = [str(tag) for tag in tags if tag not in whole]
    raise invalid(Reason.FORBIDDEN_FORM, f"inside the signature: {extra or tags}"[:200])


def _reference(reference: etree._Element) -> tuple[Transform, str, bytes]:
    uri = reference.get("URI")
    if uri != "":
        raise invalid(Reason.FORBIDDEN_FORM, f"Reference URI {uri!r}, only '' is allowed"[:200])
    children = list(reference)
    if [one.tag for one in children] != [
        ds("Transforms"),
        ds("DigestMethod"),
        ds("DigestValue"),
    ]:
        raise invalid(Reason.FORBIDDEN_FORM, "Reference without its transforms or digest")
    transforms = list(children[0])
    named = [one.get("Algorithm") for one in transforms]
    if len(named) != 2 or named[0] != _ENVELOPED or len(transforms[0]):
        raise invalid(Reason.FORBIDDEN_FORM, f"transforms {named}"[:300])
    method = children[1].get("Algorithm", "")
    name = _DIGESTS.get(method)
    if name is None:
        raise invalid(Reason.ALGORITHM, f"digest {method[:100]!r}")
    digest = decoded(children[2], "DigestValue")
    if len(digest) != hashlib.new(name, usedforsecurity=False).digest_size:
        raise _placeholder(f"DigestValue is no {name}")
    return Transform.of(transforms[1]), name, digest


def _method(element: etree._Element) -> tuple[str, str]:
    uri = element.get("Algorithm", "")
    if uri not in _METHODS or len(element):
        raise invalid(Reason.ALGORITHM, f"signature method {uri[:100]!r}")
    return _METHODS[uri]


def decoded(element: etree._Element, name: str) -> bytes:
    text = "".join("".join(str(part) for part in element.itertext()).split())
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _placeholder(f"{name} is no base64") from error
    if len(element) or not data:
        raise _placeholder(f"{name} is empty or no plain text")
    return data


def _key_info(key_info: etree._Element | None) -> tuple[tuple[bytes, ...], etree._Element | None]:
    """Certificates (DER) and the KeyValue; both may be missing."""
    if key_info is None:
        return (), None
    elements = key_info.findall(f"{ds('X509Data')}/{ds(_CERTIFICATE)}")
    if len(elements) > _MAX_CERTIFICATES:
        raise invalid(Reason.TOO_MANY, f"{len(elements)} certificates")
    certificates = []
    for element in elements:
        der = decoded(element, _CERTIFICATE)
        try:
            certificates.append(x509.load_der_x509_certificate(der).public_bytes(Encoding.DER))
        except (ValueError, x509.InvalidVersion) as error:
            raise _placeholder("X509Certificate is no certificate") from error
    return tuple(certificates), key_info.find(ds("KeyValue"))


def _is_certificate(text: str | None) -> bool:
    try:
        x509.load_der_x509_certificate(base64.b64decode("".join((text or "").split())))
    except (ValueError, x509.InvalidVersion):
        return False
    return True
