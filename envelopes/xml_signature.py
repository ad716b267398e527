"""Verifying the XML signature of a package: what was signed, by which key, and is it unchanged.

Only one form is taken (specification, edXML section 6; reliability 2.2): one enveloped signature
over the whole package, `Reference URI=""`, transforms exactly enveloped-signature and a canonical
form without comments, algorithms of a short list. No ids are resolved, so there is nothing to wrap:
whatever the business layer reads lies outside the one ds:Signature and is part of the digest.
Whether the certificate may be trusted is not told here (`adapters.trust`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

from envelopes.limits import ReadLimits
from envelopes.signature_facts import Reason, SignatureOutcome
from envelopes.xml_signature_form import (
    Found,
    Parts,
    Transform,
    decoded,
    ds,
    locate,
    marker,
    unverifiable,
)
from envelopes.xml_signature_scan import (
    Ranges,
    SignatureScan,
    SignatureScanner,
    UnsupportedContent,
    canonical_content,
)

_INHERITED = "{http://www.w3.org/XML/1998/namespace}"
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
#: How much of a package is read at a time.
BLOCK = 256 * 1024

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Which keys and algorithms count; for XML and PDF signatures alike."""

    min_rsa_bits: int = 2048
    min_ec_bits: int = 256
    #: Whether SHA-1 signatures of old packages count; otherwise they are unverifiable.
    allow_sha1: bool = False


@dataclass(frozen=True, slots=True)
class XmlSignature:
    """What the XML signature of a package is worth by itself.

    VALID means: unchanged and made by the key of `certificate`; whose that is must be judged still.
    """

    outcome: SignatureOutcome
    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    algorithm: str = ""
    #: DER of the signer's certificate and of the others that came along.
    certificate: bytes | None = None
    others: tuple[bytes, ...] = ()


def check_file(
    file: BinaryIO,
    policy: KeyPolicy | None = None,
    known: Sequence[bytes] = (),
    limits: ReadLimits | None = None,
) -> XmlSignature:
    """Verify the signature of the package in `file`, which must be seekable."""
    scanner = SignatureScanner(limits)
    file.seek(0)
    while not scanner.stopped and (block := file.read(BLOCK)):
        scanner.feed(block)

    return check_signature(scanner.close(), ranges_of(file), policy or KeyPolicy(), known)


def ranges_of(file: BinaryIO) -> Ranges:
    """Ranges of a seekable file."""

    def ranges(start: int, end: int) -> Iterator[bytes]:
        file.seek(start)
        while start < end and (block := file.read(min(BLOCK, end - start))):
            start += len(block)
            yield block

    return ranges


def check_signature(
    scan: SignatureScan, ranges: Ranges, policy: KeyPolicy, known: Sequence[bytes] = ()
) -> XmlSignature:
    """Verify the signature of a scanned package.

    `known` are certificates (DER) that may have signed where the signature itself names none.
    """
    try:
        return _check(scan, ranges, policy, known)
    except Found as found:
        return XmlSignature(found.outcome, (found.reason,), found.detail)


def signed_form(scan: SignatureScan, ranges: Ranges) -> Iterator[bytes]:
    """The canonical bytes that the signature of `scan` speaks for: all that may be believed.

    Raises ValueError where the signature has no form that is taken.
    """
    try:
        tree, signature = locate(scan)
        parts = Parts.of(signature)
        yield from _canonical(scan, tree, signature, parts.transform, ranges)
    except Found as found:
        raise ValueError(found.detail) from found


def _check(
    scan: SignatureScan, ranges: Ranges, policy: KeyPolicy, known: Sequence[bytes]
) -> XmlSignature:
    if not scan.signatures and scan.problem is None:
        return XmlSignature(SignatureOutcome.ABSENT)
    tree, signature = locate(scan)
    parts = Parts.of(signature)
    # Before the digest: computing it takes the signature out of the tree.
    signed_info = _canonical_signed_info(parts)
    digest = hashlib.new(parts.digest_name, usedforsecurity=False)
    for piece in _canonical(scan, tree, signature, parts.transform, ranges):
        digest.update(piece)
    result = XmlSignature(
        SignatureOutcome.VALID,
        algorithm=f"{parts.kind}-{parts.hash_name}",
        others=parts.certificates,
    )
    if digest.digest() != parts.digest_value:
        return replace(
            result,
            outcome=SignatureOutcome.INVALID,
            reasons=(Reason.CHANGED,),
            detail="the digest does not fit: the package was changed",
            certificate=parts.certificates[0] if parts.certificates else None,
        )
    return _check_value(result, parts, signed_info, policy, known)


def _check_value(
    result: XmlSignature,
    parts: Parts,
    signed_info: bytes,
    policy: KeyPolicy,
    known: Sequence[bytes],
) -> XmlSignature:
    candidates = parts.certificates or tuple(known)
    if not candidates:
        raise unverifiable(Reason.NO_CERTIFICATE, "the signature names no certificate")
    signer = next((one for one in candidates if _made_by(one, parts, signed_info)), None)
    if signer is None:
        return replace(
            result,
            outcome=SignatureOutcome.INVALID,
            reasons=(Reason.CHANGED,),
            detail="the signature value fits none of the certificates",
            certificate=parts.certificates[0] if parts.certificates else None,
        )
    others = tuple(one for one in parts.certificates if one != signer)
    result = replace(result, certificate=signer, others=others)
    key = _key_of(signer)
    problem = key_problem(key, policy) if key is not None else None
    if problem is not None:
        return replace(
            result,
            outcome=SignatureOutcome.INVALID,
            reasons=(Reason.KEY_TOO_SMALL,),
            detail=problem,
        )
    if parts.key_value is not None and key is not None and not _same_key(parts.key_value, key):
        return replace(
            result,
            outcome=SignatureOutcome.INVALID,
            reasons=(Reason.CERTIFICATE_MISMATCH,),
            detail="KeyValue is another key than the certificate's",
        )
    if "sha1" in (parts.hash_name, parts.digest_name) and not policy.allow_sha1:
        return replace(
            result,
            outcome=SignatureOutcome.UNVERIFIABLE,
            reasons=(Reason.WEAK_ALGORITHM,),
            detail="SHA-1 proves nothing any more",
        )
    return result


# The canonical form and its digest


def _canonical_signed_info(parts: Parts) -> bytes:
    if not parts.info_form.exclusive:
        _refuse_inherited(parts.signed_info)
    # By way of a document of its own, all namespaces in scope kept: libxml2 writes xmlns="" where
    # there is none when it canonicalises an element in the midst of a tree.
    alone = etree.fromstring(etree.tostring(parts.signed_info, with_tail=False))
    return parts.info_form.write(alone.getroottree())


def _refuse_inherited(element: etree._Element) -> None:
    """Canonical XML hands xml: attributes down, lxml does not: better to say so than be wrong."""
    for ancestor in element.iterancestors():
        if any(str(name).startswith(_INHERITED) for name in ancestor.attrib):
            raise unverifiable(Reason.UNSUPPORTED, "xml: attributes above the signature")


def _canonical(
    scan: SignatureScan,
    tree: etree._ElementTree,
    signature: etree._Element,
    transform: Transform,
    ranges: Ranges,
) -> Iterator[bytes]:
    """The package without its signature in canonical form, the files spliced in as they stream."""
    _take_out(signature)
    pieces = transform.write(tree).split(marker(scan).encode())
    if len(pieces) != len(scan.contents) + 1:
        raise unverifiable(Reason.UNSUPPORTED, "a file lies where none is expected")
    yield pieces[0]
    for (start, end), piece in zip(scan.contents, pieces[1:], strict=True):
        try:
            yield from canonical_content(ranges(start, end))
        except UnsupportedContent as error:
            detail = "a file is not written as plain base64"
            raise unverifiable(Reason.UNSUPPORTED, detail) from error
        yield piece


def _take_out(signature: etree._Element) -> None:
    """Remove the signature and leave the text that follows it."""
    parent, before, tail = signature.getparent(), signature.getprevious(), signature.tail or ""
    if parent is None:
        raise AssertionError("the signature is the root")
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    signature.tail = None
    parent.remove(signature)


# The signature value


def _key_of(certificate: bytes) -> PublicKey | None:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None


def key_problem(key: PublicKey, policy: KeyPolicy) -> str | None:
    """Why `key` is too small, None where it is not."""
    least = policy.min_rsa_bits if isinstance(key, rsa.RSAPublicKey) else policy.min_ec_bits
    if key.key_size >= least:
        return None
    return f"the key has {key.key_size} bits, at least {least} are asked for"


def _made_by(certificate: bytes, parts: Parts, signed_info: bytes) -> bool:
    key = _key_of(certificate)
    algorithm = _HASHES[parts.hash_name]()
    try:
        if isinstance(key, rsa.RSAPublicKey) and parts.kind == "rsa":
            key.verify(parts.value, signed_info, padding.PKCS1v15(), algorithm)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and parts.kind == "ecdsa":
            half = (key.key_size + 7) // 8
            if len(parts.value) != 2 * half:
                return False
            r, s = (int.from_bytes(part) for part in (parts.value[:half], parts.value[half:]))
            key.verify(utils.encode_dss_signature(r, s), signed_info, ec.ECDSA(algorithm))
            return True
    except InvalidSignature:
        return False
    return False


def _same_key(key_value: etree._Element, key: PublicKey) -> bool:
    """Whether an RSA KeyValue is `key`; of other kinds nothing is said, and nothing is used."""
    if not isinstance(key, rsa.RSAPublicKey):
        return key_value.find(ds("RSAKeyValue")) is None
    numbers = key.public_numbers()
    modulus = key_value.find(f"{ds('RSAKeyValue')}/{ds('Modulus')}")
    exponent = key_value.find(f"{ds('RSAKeyValue')}/{ds('Exponent')}")
    if modulus is None or exponent is None:
        return False
    return (
        int.from_bytes(decoded(modulus, "Modulus")) == numbers.n
        and int.from_bytes(decoded(exponent, "Exponent")) == numbers.e
    )
