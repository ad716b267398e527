"""A throwaway PKI: authorities, certificates of every kind of trouble, CRLs and OCSP answers.

Everything is made in memory and dated around `NOW`, so that tests never depend on the clock. Keys
are made once per process: making RSA keys is what costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

#: The moment at which tests verify.
NOW = datetime(2026, 8, 21, 3, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
DAY = timedelta(days=1)
UID = ObjectIdentifier("0.9.2342.19200300.100.1.1")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One of the process's RSA keys."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    """One of the process's keys on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str, **more: str) -> x509.Name:
    """A subject: C, then what `more` gives (O, OU, L, UID, serial, organization_identifier)."""
    oids = {
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "L": NameOID.LOCALITY_NAME,
        "T": NameOID.TITLE,
        "UID": UID,
        "serial": NameOID.SERIAL_NUMBER,
        "organization_identifier": NameOID.ORGANIZATION_IDENTIFIER,
    }
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "VN")]
    parts += [x509.NameAttribute(oids[key], value) for key, value in more.items()]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Credential:
    """A certificate with its key and the certificates between it and the root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate as text."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def sha256(self) -> str:
        """The certificate's name in registers."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self) -> int:
        """The certificate's number."""
        return self.certificate.serial_number

    @property
    def asn1(self) -> asn1_x509.Certificate:
        """For pyHanko."""
        return asn1_x509.Certificate.load(self.der)

    @property
    def asn1_key(self) -> asn1_keys.PrivateKeyInfo:
        """For pyHanko."""
        der = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return asn1_keys.PrivateKeyInfo.load(der)

    @property
    def key_pem(self) -> bytes:
        """The key as text, unprotected."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pkcs12(self, password: str) -> bytes:
        """Key and certificates in one protected file."""
        return pkcs12.serialize_key_and_certificates(
            b"signer",
            self.key,
            self.certificate,
            list(self.chain),
            BestAvailableEncryption(password.encode()),
        )


def _usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{one: one in names for one in every})


SIGNING = ("digital_signature", "content_commitment")
TLS = ("digital_signature", "key_encipherment")


@dataclass
class Authority:
    """A certificate authority that issues, revokes, and answers for its certificates."""

    credential: Credential
    #: Written into certificates as places to ask; empty: none.
    crl_url: str = ""
    ocsp_url: str = ""
    revoked: dict[int, datetime] = field(default_factory=dict)
    _serial: int = 1000

    @classmethod
    def root(cls, common_name: str, key: PrivateKey, **more: str) -> Authority:
        """An authority that trusts nobody else."""
        subject = name(common_name, **more)
        certificate = _build(
            subject,
            subject,
            key,
            key,
            1,
            (NOW - 10 * YEAR, NOW + 10 * YEAR),
            [
                (x509.BasicConstraints(True, None), True),
                (_usage("key_cert_sign", "crl_sign"), True),
                (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            ],
        )
        return cls(Credential(certificate, key))

    def issue(
        self,
        subject: x509.Name,
        key: PrivateKey,
        *,
        valid: tuple[datetime, datetime] = (NOW - YEAR, NOW + 2 * YEAR),
        usages: Sequence[str] = SIGNING,
        extended: Sequence[ObjectIdentifier] = (),
        authority: bool = False,
        more: Iterable[tuple[x509.ExtensionType, bool]] = (),
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> Credential:
        """A certificate of this authority."""
        self._serial += 1
        own = self.credential
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(authority, None), True),
            (_usage(*usages), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (
                x509.AuthorityKeyIdentifier.from_issuer_public_key(own.key.public_key()),
                False,
            ),
            *more,
        ]
        if extended:
            extensions.append((x509.ExtendedKeyUsage(extended), True))
        if self.crl_url:
            extensions.append((_crl_point(self.crl_url), False))
        if self.ocsp_url:
            extensions.append((_ocsp_point(self.ocsp_url), False))
        certificate = _build(
            subject,
            own.certificate.subject,
            key,
            own.key,
            self._serial,
            valid,
            extensions,
            algorithm,
        )
        root = own.certificate.issuer == own.certificate.subject
        return Credential(certificate, key, own.chain if root else (own.certificate, *own.chain))

    def subordinate(self, common_name: str, key: PrivateKey, **more: str) -> Authority:
        """An authority under this one."""
        credential = self.issue(
            name(common_name, **more),
            key,
            valid=(NOW - 5 * YEAR, NOW + 5 * YEAR),
            usages=("key_cert_sign", "crl_sign"),
            authority=True,
        )
        return Authority(credential)

    def revoke(self, credential: Credential, at: datetime) -> None:
        """Put a certificate on the list."""
        self.revoked[credential.serial] = at

    def crl(self, this_update: datetime = NOW - DAY, next_update: datetime | None = None) -> bytes:
        """The list of revoked certificates, signed."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.credential.certificate.subject)
            .last_update(this_update)
            .next_update(next_update or this_update + 7 * DAY)
            .add_extension(x509.CRLNumber(1), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.credential.key.public_key()
                ),
                False,
            )
        )
        for serial, at in self.revoked.items():
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(at)
                .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False)
                .build()
            )
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(self.credential.key, hashes.SHA256())
        return signed.public_bytes(Encoding.DER)

    def ocsp(
        self,
        certificate: x509.Certificate,
        this_update: datetime = NOW - timedelta(hours=1),
        next_update: datetime | None = None,
        responder: Credential | None = None,
    ) -> bytes:
        """An answer about one certificate, signed by the authority or its responder."""
        at = self.revoked.get(certificate.serial_number)
        status = ocsp.OCSPCertStatus.REVOKED if at else ocsp.OCSPCertStatus.GOOD
        by = responder or self.credential
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate,
            issuer=self.credential.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=this_update,
            next_update=next_update or this_update + DAY,
            revocation_time=at,
            revocation_reason=x509.ReasonFlags.key_compromise if at else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
        if responder is not None:
            builder = builder.certificates([responder.certificate])
        return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _crl_point(url: str) -> x509.CRLDistributionPoints:
    place = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return x509.CRLDistributionPoints([place])


def _ocsp_point(url: str) -> x509.AuthorityInformationAccess:
    oid = x509.oid.AuthorityInformationAccessOID.OCSP
    access = x509.AccessDescription(oid, x509.UniformResourceIdentifier(url))
    return x509.AuthorityInformationAccess([access])


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    signing_key: PrivateKey,
    serial: int,
    valid: tuple[datetime, datetime],
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
    algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signing_key, algorithm or hashes.SHA256())


OFFICIAL = name("Nguyễn Văn A", O="UBND tỉnh Kon Tum", T="Chủ tịch", UID="CCCD:001080012345")
AGENCY = name("UBND tỉnh Kon Tum", O="UBND tỉnh Kon Tum", L="Kon Tum", UID="MST:6100192031")


class Pki:
    """Everything the tests of signatures need, made on first use and dated around `NOW`."""

    def __init__(self) -> None:
        """Make the authorities; certificates are made by the properties below."""
        self.root = Authority.root("Root CA of tests", ec_key(0), O="Ban Cơ yếu Chính phủ")
        self.government = self.root.subordinate(
            "Government CA of tests", ec_key(1), O="Ban Cơ yếu Chính phủ"
        )
        self.government.crl_url = "http://crl.test/government.crl"
        self.stranger = Authority.root("Stranger CA", ec_key(2))
        self.official = self.government.issue(OFFICIAL, rsa_key(0))
        self.agency = self.government.issue(AGENCY, rsa_key(1))
        self.other_agency = self.government.issue(
            name("Sở Nội vụ", O="Sở Nội vụ", UID="MST:0100000001"), rsa_key(2)
        )
        self.on_curve = self.government.issue(AGENCY, ec_key(3))
        self.small = self.government.issue(AGENCY, rsa_key(3, 1024))
        self.expired = self.government.issue(
            AGENCY, rsa_key(1), valid=(NOW - 3 * YEAR, NOW - 30 * DAY)
        )
        self.early = self.government.issue(AGENCY, rsa_key(1), valid=(NOW + DAY, NOW + YEAR))
        self.revoked = self.government.issue(AGENCY, rsa_key(1))
        self.government.revoke(self.revoked, NOW - 10 * DAY)
        self.for_encryption = self.government.issue(
            AGENCY, rsa_key(1), usages=("key_encipherment",)
        )
        self.unknown = self.stranger.issue(AGENCY, rsa_key(1))
        #: Issued by an end entity: the chain goes through a certificate that is no authority.
        self.by_no_authority = Authority(self.agency).issue(AGENCY, rsa_key(2))
        self.tsa = self.government.issue(
            name("TSA of tests"),
            rsa_key(4),
            usages=("digital_signature",),
            extended=(ExtendedKeyUsageOID.TIME_STAMPING,),
        )
        self.responder = self.government.issue(
            name("OCSP of tests"),
            ec_key(4),
            usages=("digital_signature",),
            extended=(ExtendedKeyUsageOID.OCSP_SIGNING,),
            more=((x509.OCSPNoCheck(), False),),
        )

        client = ExtendedKeyUsageOID.CLIENT_AUTH
        self.for_tls = self._for_use(ExtendedKeyUsageOID.SERVER_AUTH, client, usages=TLS)
        self.for_stamps = self._for_use(ExtendedKeyUsageOID.TIME_STAMPING)
        self.for_answers = self._for_use(ExtendedKeyUsageOID.OCSP_SIGNING)
        self.for_mail = self._for_use(ExtendedKeyUsageOID.EMAIL_PROTECTION, client, usages=TLS)
        self.for_documents = self._for_use(ObjectIdentifier("1.3.6.1.5.5.7.3.36"))
        self.for_client = self._for_use(client)

    def _for_use(self, *uses: ObjectIdentifier, usages: Sequence[str] = SIGNING) -> Credential:
        """A certificate in the agency's name that names what it is for."""
        return self.government.issue(AGENCY, rsa_key(1), usages=usages, extended=uses)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The anchors to be trusted."""
        return (self.root.credential.der,)

    @property
    def crls(self) -> tuple[bytes, ...]:
        """Fresh lists of both authorities."""
        return (self.root.crl(), self.government.crl())


@cache
def pki() -> Pki:
    """The PKI of this process."""
    return Pki()


def private_pem(key: PrivateKey) -> bytes:
    """A key as text."""
    return key.private_bytes(serialization.Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
