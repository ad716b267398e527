"""The gateway's own signing key, by the settings: PKCS#12, a PKCS#11 token, or one made here.

A key that the gateway makes for itself proves that nothing was changed after it was signed; whose
gateway it was, only a certificate of the government's authority proves. So operators replace it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from cryptography.x509.oid import NameOID

from adapters.durable import make_secret
from adapters.password_files import first_line
from adapters.signing import Pkcs11Key, Pkcs12Key, Signer, SigningKey, SigningProblem, TokenKey
from gateway import clock, own_certificates
from gateway.settings import Settings

#: How long a key made here is valid.
YEARS_OF_OUR_OWN = timedelta(days=3650)
#: The file of such a key in the data folder.
OWN_KEY = "signing.p12"


def open_signer(settings: Settings) -> Signer:
    """The signer of these settings; makes a key in the data folder where none is named.

    Its certificate is kept there, so that what it signed is known when the key has changed.
    Blocks on disk or token. Raises `SigningProblem`.
    """
    signer = Signer(_key(settings))
    own_certificates.keep(settings.data_dir, signer.certificate)
    return signer


def has_signer(settings: Settings) -> bool:
    """Whether there is a key to open: one that the settings name, or one made earlier."""
    return bool(settings.signing_key) or (settings.data_dir / OWN_KEY).exists()


def _key(settings: Settings) -> SigningKey:
    kind, _, place = settings.signing_key.partition(":")
    password = settings.signing_password_file
    if kind == "pkcs12":
        if password is None:
            raise SigningProblem("signing_key=pkcs12:… needs signing_password_file")
        return Pkcs12Key.from_file(Path(place), password)
    if kind == "pkcs11":
        library, _, query = place.partition("?")
        named = {key: values[0] for key, values in parse_qs(query).items()}
        if set(named) != {"token", "label"}:
            raise SigningProblem("write signing_key as pkcs11:/path/library.so?token=T&label=L")
        pin = _pin(password) if password else ""
        return Pkcs11Key(TokenKey(Path(library), named["token"], named["label"], pin))
    own = settings.data_dir / OWN_KEY
    if not own.exists():
        _make(own, settings)
    try:
        return Pkcs12Key(own.read_bytes(), "")
    except OSError as error:
        raise SigningProblem(f"{own}: {error.strerror}") from None


def _pin(path: Path) -> str:
    try:
        return first_line(path)
    except OSError as error:
        raise SigningProblem(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise SigningProblem(f"{path}: {error}") from None


def _make(path: Path, settings: Settings) -> None:
    """A key of our own with a certificate that it signed itself; who comes second uses it too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, settings.organ_name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lienthong (self-signed)"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, settings.organ_id),
        ]
    )
    now = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + YEARS_OF_OUR_OWN)
        .sign(key, hashes.SHA256())
    )
    data = pkcs12.serialize_key_and_certificates(
        b"lienthong", key, certificate, None, NoEncryption()
    )
    try:
        make_secret(path, data)
    except OSError as error:
        raise SigningProblem(f"{path}: {error.strerror}") from None
