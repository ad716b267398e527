"""A PKCS#11 token in software (SoftHSM), in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import Credential

LIBRARY = next(
    (
        path
        for path in (
            Path("/usr/lib/softhsm/libsofthsm2.so"),
            Path("/usr/lib64/pkcs11/libsofthsm2.so"),
            Path("/usr/lib64/softhsm/libsofthsm.so"),
            Path("/usr/local/lib/softhsm/libsofthsm2.so"),
        )
        if path.exists()
    ),
    Path("libsofthsm2.so"),
)
TOKEN, PIN = "lienthong-test", "246813"


class SoftHsm:
    """A fresh token. One per process: the library reads its settings once."""

    def __init__(self, folder: Path) -> None:
        """Make the token in `folder`; the process's environment points the library at it."""
        self._folder = folder
        (folder / "tokens").mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(
            f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
            "log.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(config)
        self._util("--init-token", "--free", "--label", TOKEN, "--so-pin", PIN)

    def _util(self, *arguments: str) -> None:
        command = ["softhsm2-util", *arguments, "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True)

    def put(self, credential: Credential, label: str, number: int) -> None:
        """Put a key and its certificate into the token."""
        key = self._folder / f"{label}.pem"
        key.write_bytes(credential.key_pem)
        where = ("--token", TOKEN, "--label", label, "--id", f"{number:02x}")
        self._util("--import", str(key), *where)
        key.unlink()
        token = pkcs11.lib(str(LIBRARY)).get_token(token_label=TOKEN)
        with token.open(rw=True, user_pin=PIN) as session:
            session.create_object(_certificate(credential.certificate, label, number))


def _certificate(certificate: x509.Certificate, label: str, number: int) -> dict[object, object]:
    return {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
        pkcs11.Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
        pkcs11.Attribute.TOKEN: True,
        pkcs11.Attribute.LABEL: label,
        pkcs11.Attribute.ID: bytes([number]),
        pkcs11.Attribute.SUBJECT: certificate.subject.public_bytes(),
        pkcs11.Attribute.VALUE: certificate.public_bytes(Encoding.DER),
    }
