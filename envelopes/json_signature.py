"""Signed JSON: receipts and sealed roots as JWS (RFC 7515), compact form, certificates in `x5c`.

One form only: header members `alg`, `typ`, `x5c` and no others, RS256 or ES256, the certificate's
own key. What may be believed is the payload that `verify` gives back, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding

from envelopes.signature_facts import Reason, SignatureOutcome
from envelopes.xml_signature import KeyPolicy, XmlSignature, key_problem

#: `alg` of the header to the algorithm's name in facts.
ALGORITHMS = {"RS256": "rsa-sha256", "ES256": "ecdsa-sha256"}
#: A signed receipt is larger than this only by mistake.
MAX_BYTES = 4 * 1024 * 1024
_MEMBERS = {"alg", "typ", "x5c"}


@dataclass(frozen=True, slots=True)
class JsonSignature:
    """What a signed JSON text is worth by itself; whose the certificate is must be judged still.

    `payload` is given only where the signature fits.
    """

    signature: XmlSignature
    payload: bytes | None = None
    #: The header's `typ`: what kind of text this is.
    kind: str = ""


def signing_input(
    payload: bytes, algorithm: str, certificates: Sequence[bytes], kind: str
) -> bytes:
    """What is to be signed, by ``RS256`` or ``ES256``; the signer's certificate comes first."""
    header = {
        "alg": algorithm,
        "typ": kind,
        "x5c": [base64.b64encode(one).decode() for one in certificates],
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    return b".".join((_encoded(head), _encoded(payload)))


def assembled(signed: bytes, signature: bytes) -> bytes:
    """The whole text: what was signed and the signature (of ES256: r and s, 32 bytes each)."""
    return signed + b"." + _encoded(signature)


def verify(data: bytes, policy: KeyPolicy | None = None) -> JsonSignature:
    """Put a signed JSON text to the test. Never raises for what it holds."""
    try:
        return _verify(data, policy or KeyPolicy())
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        x509.InvalidVersion,
        UnsupportedAlgorithm,
    ) as error:
        # binascii.Error, JSON and Unicode errors are ValueErrors.
        detail = f"{type(error).__name__}: {error}"[:300]
        return _not_taken(SignatureOutcome.UNVERIFIABLE, Reason.MALFORMED, detail)


def _verify(data: bytes, policy: KeyPolicy) -> JsonSignature:
    if len(data) > MAX_BYTES:
        return _not_taken(SignatureOutcome.UNVERIFIABLE, Reason.TOO_LARGE, f"{len(data)} bytes")
    parts = data.strip().split(b".")
    if len(parts) != 3:
        raise ValueError(f"{len(parts)} parts, 3 are expected")
    header = json.loads(_decoded(parts[0]), object_pairs_hook=_unique)
    if not isinstance(header, dict) or set(header) != _MEMBERS:
        found = sorted(header) if isinstance(header, dict) else type(header).__name__
        return _not_taken(SignatureOutcome.INVALID, Reason.FORBIDDEN_FORM, f"header {found}"[:200])
    if header["alg"] not in ALGORITHMS:
        detail = f"alg {header['alg']!r}"[:100]
        return _not_taken(SignatureOutcome.INVALID, Reason.ALGORITHM, detail)
    certificates = tuple(
        x509.load_der_x509_certificate(base64.b64decode(one, validate=True)).public_bytes(
            Encoding.DER
        )
        for one in header["x5c"]
    )
    if not certificates:
        return _not_taken(SignatureOutcome.UNVERIFIABLE, Reason.NO_CERTIFICATE, "x5c is empty")
    payload, value = _decoded(parts[1]), _decoded(parts[2])
    key = x509.load_der_x509_certificate(certificates[0]).public_key()
    fits = _fits(key, header["alg"], b".".join(parts[:2]), value)
    problem = (
        key_problem(key, policy)
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        else None
    )
    reason = Reason.CHANGED if not fits else Reason.KEY_TOO_SMALL if problem else None
    signature = XmlSignature(
        SignatureOutcome.INVALID if reason else SignatureOutcome.VALID,
        (reason,) if reason else (),
        problem or "",
        algorithm=ALGORITHMS[header["alg"]],
        certificate=certificates[0],
        others=certificates[1:],
    )
    return JsonSignature(signature, payload if fits else None, str(header["typ"]))


def _fits(key: object, algorithm: str, signed: bytes, value: bytes) -> bool:
    try:
        if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(key.curve, ec.SECP256R1) or len(value) != 64:
                return False
            r, s = int.from_bytes(value[:32]), int.from_bytes(value[32:])
            key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        return False
    return False


def _not_taken(outcome: SignatureOutcome, reason: Reason, detail: str) -> JsonSignature:
    return JsonSignature(XmlSignature(outcome, (reason,), detail))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member of the header occurs twice")
    return found


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    """base64url without padding; one text for the same bytes only."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64url: {error}") from error
    if _encoded(data) != text:
        raise ValueError("not the canonical base64url of its bytes")
    return data
