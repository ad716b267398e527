"""A throwaway authority for TLS on loopback, dated around now."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        """SHA-256 as people write it: pairs with colons."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def write(self, folder: Path, name: str, password: str = "") -> tuple[Path, Path]:
        """Certificate and key as files, each in place at once."""
        protect = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protect)
        places = folder / f"{name}.pem", folder / f"{name}.key"
        contents = self.certificate.public_bytes(Encoding.PEM), pem
        for place, content in zip(places, contents, strict=True):
            part = place.with_suffix(".part")
            part.write_bytes(content)
            part.rename(place)
        return places


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 30 * DAY)
        .not_valid_after(until)
    )


@dataclass(frozen=True)
class Authority:
    """Signs certificates of servers and clients."""

    identity: Identity

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.identity.certificate.public_bytes(Encoding.PEM)

    def issue(self, subject: str, *, server: bool = False, days: float = 10) -> Identity:
        """A certificate that ends in so many days; negative: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + days * DAY
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        ours = self.identity.certificate
        builder = (
            _builder(subject, key, ours.subject, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.identity.key.public_key()),
                False,
            )
        )
        return Identity(builder.sign(self.identity.key, hashes.SHA256()), key)


@cache
def authority(name: str) -> Authority:
    """One of the process's authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(name, key, _name(name), datetime.now(UTC) + 20 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            True,
        )
    )
    return Authority(Identity(builder.sign(key, hashes.SHA256()), key))
