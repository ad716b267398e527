"""Signing what the gateway itself issues: packages it composes, receipts, sealed roots.

The key lies in a PKCS#12 file or in a PKCS#11 token (an HSM, a smart card, SoftHSM in tests) and
never leaves the token there. Signing blocks (a token takes its time): `Signer`'s methods are
coroutines that sign in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.signer import XMLSigner

from adapters.password_files import first_line
from envelopes.element_names import ENVELOPE, HEADER
from envelopes.json_signature import assembled, signing_input

_DS = "http://www.w3.org/2000/09/xmldsig#"
#: What the gateway signs as XML is small; a package with files is signed by its sender.
MAX_PACKAGE_BYTES = 4 * 1024 * 1024


class SigningProblem(Exception):
    """A key cannot be had or does not work; the message says which and why, never a secret."""


class SigningKey(Protocol):
    """A private key and the certificates that go with it."""

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The signer's certificate first, then its authorities."""

    def sign(self, data: bytes) -> bytes:
        """Sign with SHA-256: PKCS#1 v1.5 of RSA, r and s side by side of ECDSA.

        Blocks. Raises SigningProblem.
        """


def _kind(certificate: x509.Certificate) -> str:
    """``rsa`` or ``ec``. Raises SigningProblem for anything else."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return "rsa"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ec"
    raise SigningProblem("the key must be RSA of 2048 bits at least, or on the curve P-256")


class Pkcs12Key:
    """A key out of a PKCS#12 file (.p12, .pfx)."""

    def __init__(self, data: bytes, password: str) -> None:
        """Open the file's content. Raises SigningProblem."""
        try:
            found = pkcs12.load_pkcs12(data, password.encode())
        except ValueError as error:
            raise SigningProblem("wrong password, or no PKCS#12 file") from error
        if found.key is None or found.cert is None:
            raise SigningProblem("the PKCS#12 file holds no key with its certificate")
        own = found.cert.certificate
        self.certificates = (own, *(one.certificate for one in found.additional_certs))
        _kind(own)
        self._key = found.key
        if self._key.public_key() != own.public_key():
            raise SigningProblem("key and certificate of the PKCS#12 file do not belong together")

    @classmethod
    def from_file(cls, path: Path, password_file: Path) -> Pkcs12Key:
        """Open a file, its password being the first line of another. Raises SigningProblem."""
        try:
            password = first_line(password_file)
            return cls(path.read_bytes(), password)
        except OSError as error:
            raise SigningProblem(f"{error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise SigningProblem(f"{password_file}: {error}") from error

    def sign(self, data: bytes) -> bytes:
        """See `SigningKey`."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            der = self._key.sign(data, ec.ECDSA(hashes.SHA256()))
            r, s = utils.decode_dss_signature(der)
            return r.to_bytes(32) + s.to_bytes(32)
        raise SigningProblem("the key is of another kind than its certificate")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Where in a PKCS#11 token the key is; certificate and key bear the same label."""

    library: Path
    token: str
    label: str
    pin: str = ""

    def __repr__(self) -> str:
        """Without the PIN."""
        return f"TokenKey({self.library}, {self.token!r}, {self.label!r})"


#: The libraries of tokens are not to be relied on with several threads, whichever their sessions:
#: two keys at work at once end some of them, and the process with them.
_TOKENS = threading.Lock()


class Pkcs11Key:
    """A key inside a PKCS#11 token. A session that broke is opened anew, once per signature."""

    def __init__(self, place: TokenKey, chain: tuple[x509.Certificate, ...] = ()) -> None:
        """Open the token. `chain`: authorities' certificates to go along. Raises SigningProblem."""
        self._place = place
        self._lock = _TOKENS
        self._session: Any = None
        own = self._working(self._certificate)
        self._type = _kind(own)
        self.certificates = (own, *chain)
        # Better now than at the first receipt.
        self.sign(b"")

    def sign(self, data: bytes) -> bytes:
        """See `SigningKey`."""
        return bytes(self._working(lambda session: self._sign(session, data)))

    def close(self) -> None:
        """Leave the token."""
        with self._lock:
            self._drop()

    def _working(self, work: Callable[[Any], Any]) -> Any:
        """Do `work` in the session; a session serves one thread at a time."""
        with self._lock:
            for again in (True, False):
                try:
                    if self._session is None:
                        self._session = self._open()
                    return work(self._session)
                except pkcs11.exceptions.PKCS11Error as error:
                    self._drop()
                    if not again or isinstance(error, pkcs11.exceptions.PinIncorrect):
                        raise SigningProblem(f"{self._place!r}: {_said(error)}") from error
        raise AssertionError("the second try returns or raises")

    def _open(self) -> Any:
        library = pkcs11.lib(str(self._place.library))
        token = library.get_token(token_label=self._place.token)
        try:
            return token.open(user_pin=self._place.pin or None)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            # Login is a state of the whole process: another key of this token came first.
            return token.open()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            session.close()
        except pkcs11.exceptions.PKCS11Error:
            # It is broken: that is why it is dropped.
            return

    def _certificate(self, session: Any) -> x509.Certificate:
        search = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
            pkcs11.Attribute.LABEL: self._place.label,
        }
        found = [one[pkcs11.Attribute.VALUE] for one in session.get_objects(search)]
        if len(found) != 1:
            raise SigningProblem(f"{self._place!r}: {len(found)} certificates, 1 is expected")
        return x509.load_der_x509_certificate(found[0])

    def _sign(self, session: Any, data: bytes) -> bytes:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=self._place.label)
        if self._type == "rsa":
            return bytes(key.sign(data, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS))
        digest = hashlib.sha256(data).digest()
        return bytes(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


class _ForSignxml:
    """A `SigningKey` in the shape of the library's private keys."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.key_size = 256

    def sign(self, data: bytes, **_how: object) -> bytes:
        """Sign; the method was chosen to fit the key."""
        value = self._key.sign(data)
        if _kind(self._key.certificates[0]) == "rsa":
            return value
        r, s = int.from_bytes(value[:32]), int.from_bytes(value[32:])
        return utils.encode_dss_signature(r, s)


class Signer:
    """Signs in the gateway's name."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def certificate(self) -> x509.Certificate:
        """Whose signature it is."""
        return self._key.certificates[0]

    async def sign_package(self, package: bytes) -> bytes:
        """A package that the gateway composed, with an enveloped XML signature in its header.

        For small packages without files, as status packages are. Raises SigningProblem for a
        package that is signed already or larger than `MAX_PACKAGE_BYTES`.
        """
        return await asyncio.to_thread(self._sign_package, package)

    def _sign_package(self, package: bytes) -> bytes:
        if len(package) > MAX_PACKAGE_BYTES:
            raise SigningProblem(f"a package of {len(package)} bytes is not signed here")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        root = etree.fromstring(package, parser)
        header = root.find(f"{{*}}{ENVELOPE}/{{*}}{HEADER}")
        if header is None or root.find(".//{*}Signature") is not None:
            raise SigningProblem("the package has no header, or is signed already")
        etree.SubElement(header, f"{{{_DS}}}Signature", {"Id": "placeholder"}, {"ds": _DS})
        rsa_key = _kind(self.certificate) == "rsa"
        signer = XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            signature_algorithm=(
                SignatureMethod.RSA_SHA256 if rsa_key else SignatureMethod.ECDSA_SHA256
            ),
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        chain = [one.public_bytes(Encoding.PEM) for one in self._key.certificates]
        # The library asks of a key only that it can `sign`.
        signed = signer.sign(root, key=_ForSignxml(self._key), cert=b"".join(chain))  # type: ignore[arg-type]
        return etree.tostring(signed, xml_declaration=True, encoding="UTF-8")

    async def sign_json(self, payload: bytes, kind: str) -> bytes:
        """A JSON text, signed as JWS; `kind` becomes its `typ` (``lienthong-receipt+jws``).

        Verified by `envelopes.json_signature.verify`. Raises SigningProblem.
        """
        return await asyncio.to_thread(self._sign_json, payload, kind)

    async def sign_several(self, payloads: Sequence[bytes], kind: str) -> list[bytes]:
        """Several JSON texts, one after the other; see `sign_json`."""
        return await asyncio.to_thread(lambda: [self._sign_json(one, kind) for one in payloads])

    def _sign_json(self, payload: bytes, kind: str) -> bytes:
        algorithm = "RS256" if _kind(self.certificate) == "rsa" else "ES256"
        chain = [one.public_bytes(Encoding.DER) for one in self._key.certificates]
        signed = signing_input(payload, algorithm, chain, kind)
        return assembled(signed, self._key.sign(signed))
