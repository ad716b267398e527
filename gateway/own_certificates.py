"""Whose signature counts as the gateway's own: the certificates of its keys, now and earlier.

A signature that merely fits the certificate beside it proves nothing: anybody can make both. So
seals and receipts are held against certificates known from elsewhere: the gateway's key, the
certificates that earlier keys left in the data folder, and what whoever asks names himself.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.durable import write_durably

#: Of the standard library: commands without a log of their own say it on stderr.
log = logging.getLogger(__name__)

#: In the data folder: a certificate of each key that the gateway ever signed with.
FOLDER = "signing-certificates"
#: A certificate's file is larger than this only by mistake.
LARGEST = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PEM = b"-----BEGIN CERTIFICATE-----"


class NoCertificate(Exception):
    """What was named is no fingerprint and no file with certificates; the message says why."""


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER), in hex."""
    return hashlib.sha256(certificate).hexdigest()


def keep(data_dir: Path, certificate: x509.Certificate) -> None:
    """Remember that the gateway signs with this one.

    Who may not write there (an operator who only looks) can sign and verify all the same; what is
    missing later can be named.
    """
    name = fingerprint(certificate.public_bytes(Encoding.DER))
    path = data_dir / FOLDER / f"{name}.pem"
    try:
        if not path.exists():
            write_durably(path, certificate.public_bytes(Encoding.PEM))
    except OSError as error:
        log.warning("%s: the signing certificate is not kept: %s", path, error.strerror)


def kept(data_dir: Path) -> set[str]:
    """Fingerprints of the certificates that this gateway signed with. Raises OSError."""
    found: set[str] = set()
    for path in sorted((data_dir / FOLDER).glob("*.pem")):
        try:
            found |= _of_file(path)
        except NoCertificate:
            # It counts for nothing; the seals that need it will say so.
            continue
    return found


def named(text: str) -> set[str]:
    """The fingerprints that a fingerprint (colons are passed over) or a file's name stands for.

    Raises `NoCertificate`.
    """
    plain = text.replace(":", "").strip().lower()
    if _SHA256.fullmatch(plain):
        return {plain}
    return _of_file(Path(text))


def _of_file(path: Path) -> set[str]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
        several = _PEM in data
        found = (
            x509.load_pem_x509_certificates(data)
            if several
            else [x509.load_der_x509_certificate(data)]
        )
    except OSError as error:
        raise NoCertificate(
            f"{path}: {error.strerror}; write a SHA-256 or name a certificate's file"
        ) from None
    except ValueError:
        raise NoCertificate(f"{path}: no certificate (PEM or DER)") from None
    return {fingerprint(one.public_bytes(Encoding.DER)) for one in found}
