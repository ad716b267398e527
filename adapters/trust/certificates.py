"""Certificates as facts: reading PEM and DER, telling whose a certificate is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID, ObjectIdentifier

from envelopes.signature_facts import CertificateFacts, SignerKind
from identifiers.organ_id import OrganId

#: userid (RFC 4519): where Vietnamese authorities write MST:… (tax code) and CCCD:… (citizen).
_UID = ObjectIdentifier("0.9.2342.19200300.100.1.1")
_PERSONAL = (NameOID.GIVEN_NAME, NameOID.SURNAME, NameOID.TITLE)
_CODE = re.compile(r"[0-9A-Z]{1,3}(?:\.[0-9A-Z]{1,3})+|[A-Z][0-9]{2}")


class NotACertificate(ValueError):
    """Bytes that are no certificate; the message says what was found."""


def load_certificates(data: bytes) -> tuple[bytes, ...]:
    """The certificates (DER) of a PEM bundle, a PKCS#7 bundle or one DER certificate.

    Raises NotACertificate.
    """
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            found = x509.load_pem_x509_certificates(data)
        elif b"-----BEGIN PKCS7-----" in data:
            found = pkcs7.load_pem_pkcs7_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise NotACertificate(f"no certificate in PEM or DER form: {error}") from error
    return tuple(one.public_bytes(Encoding.DER) for one in found)


def load_crl(data: bytes) -> x509.CertificateRevocationList:
    """A revocation list in PEM or DER form. Raises ValueError for what is none."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def crl_der(data: bytes) -> bytes:
    """A revocation list in DER form, whichever it came in. Raises ValueError for what is none."""
    return load_crl(data).public_bytes(Encoding.DER)


def certificate_facts(der: bytes) -> CertificateFacts:
    """What a certificate says. Raises NotACertificate."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        subject = certificate.subject
        kind, bits = _key(certificate)
        return CertificateFacts(
            subject=_text(subject),
            issuer=_text(certificate.issuer),
            serial=f"{certificate.serial_number:x}",
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            common_name=_first(subject, NameOID.COMMON_NAME),
            organization=_first(subject, NameOID.ORGANIZATION_NAME),
            organizational_unit=_first(subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
            organization_identifier=_first(subject, NameOID.ORGANIZATION_IDENTIFIER),
            serial_number=_first(subject, NameOID.SERIAL_NUMBER) or _first(subject, _UID),
            organ_code=_organ_code(subject),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key_type=kind,
            key_bits=bits,
            crl_urls=crl_urls(certificate),
        )
    except ValueError as error:
        raise NotACertificate(str(error)) from error


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the authority says its list is: at most a few addresses, to be opened with care."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(
        name.value[:500]
        for point in points
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    )[:8]


def sha256_of(der: bytes) -> str:
    """The name of a certificate in registers: SHA-256 of its DER form, lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def _text(name: x509.Name) -> str:
    try:
        return name.rfc4514_string()
    except ValueError:
        return ""


def _first(name: x509.Name, oid: ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    if not found:
        return ""
    value = found[0].value
    return value if isinstance(value, str) else value.hex()


def _organ_code(subject: x509.Name) -> str:
    """An agency code that stands by itself in the subject."""
    for oid in (
        NameOID.ORGANIZATION_IDENTIFIER,
        NameOID.SERIAL_NUMBER,
        _UID,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
    ):
        for attribute in subject.get_attributes_for_oid(oid):
            text = str(attribute.value).strip()
            parsed = OrganId.parse(text) if _CODE.fullmatch(text) else None
            if isinstance(parsed, OrganId):
                return parsed.text
    return ""


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        # Kinds of keys that the library does not know.
        return "unknown", 0
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ec", key.key_size
    return type(key).__name__, 0


@dataclass(frozen=True, slots=True)
class KindRule:
    """How an official's and an agency's certificate are told apart, by the subject.

    Patterns are regular expressions, case ignored. `…_number` is tried on serialNumber and UID,
    `agency_name` on the start of the common name. Whoever certifies otherwise sets other patterns.
    """

    agency_number: str = r"(MST|MSDN|QHNS|MDD)\s*[:\-]?\s*\S+|(VAT|NTR|GOV)VN-?\S+|\d{10}(-?\d{3})?"
    official_number: str = (
        r"(CCCD|CMND|CMT|CMTND|HC)\s*[:\-]?\s*\S+|(PNO|IDC|PAS)VN-?\S+|\d{9}|\d{12}"
    )
    agency_name: str = (
        r"(UBND|HĐND|Ủy ban|Uỷ ban|Hội đồng|Sở|Bộ|Văn phòng|Cục|Chi cục|Tổng cục|Vụ|Ban|Phòng|"
        r"Trung tâm|Viện|Thanh tra|Kho bạc|Trường)\s"
    )

    def kind_of(self, der: bytes) -> SignerKind:
        """Whose certificate it is; UNKNOWN where the subject does not tell."""
        subject = x509.load_der_x509_certificate(der).subject
        if _first(subject, NameOID.ORGANIZATION_IDENTIFIER):
            return SignerKind.AGENCY
        for oid in (NameOID.SERIAL_NUMBER, _UID):
            number = _first(subject, oid).strip()
            if number and re.fullmatch(self.agency_number, number, re.IGNORECASE):
                return SignerKind.AGENCY
            if number and re.fullmatch(self.official_number, number, re.IGNORECASE):
                return SignerKind.OFFICIAL
        if any(_first(subject, oid) for oid in _PERSONAL):
            return SignerKind.OFFICIAL
        return self._by_name(subject)

    def _by_name(self, subject: x509.Name) -> SignerKind:
        name = _first(subject, NameOID.COMMON_NAME).strip()
        bodies = (
            _first(subject, NameOID.ORGANIZATION_NAME),
            _first(subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
        )
        if name and name.casefold() in (body.strip().casefold() for body in bodies):
            return SignerKind.AGENCY
        if re.match(self.agency_name, name, re.IGNORECASE):
            return SignerKind.AGENCY
        return SignerKind.UNKNOWN
