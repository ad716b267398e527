"""Signatures of callbacks as Standard Webhooks 1.0 says: ``HMAC-SHA256(id.timestamp.body)``.

`sign` is what the gateway does, `verify` what a receiver has to do. Two secrets may be alive while
one is replaced; a message then carries a signature of each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

#: Begins a signing secret (Standard Webhooks).
SECRET_PREFIX = "whsec_"  # noqa: S105  (a prefix, not a secret)
SECRET_BYTES = 32
#: How far a receiver's clock may be from the time in the signature.
TOLERANCE = timedelta(minutes=5)


def secret_of(chance: bytes) -> str:
    """A signing secret from `SECRET_BYTES` random bytes: ``whsec_<base64>``."""
    if len(chance) != SECRET_BYTES:
        raise ValueError(f"a signing secret is made of {SECRET_BYTES} bytes")
    return SECRET_PREFIX + base64.b64encode(chance).decode()


def sign(
    secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes
) -> dict[str, str]:
    """The three headers of a signed message, with one signature for each secret."""
    signing = Signing(secrets, message_id, timestamp)
    signing.update(body)
    return signing.headers()


class Signing:
    """`sign` for a body that comes in blocks."""

    def __init__(self, secrets: Sequence[str], message_id: str, timestamp: datetime) -> None:
        self._id = message_id
        self._seconds = str(int(timestamp.timestamp()))
        start = f"{message_id}.{self._seconds}.".encode()
        self._macs = [hmac.new(_key(secret), start, hashlib.sha256) for secret in secrets]

    def update(self, block: bytes) -> None:
        """Take the next block of the body."""
        for mac in self._macs:
            mac.update(block)

    def headers(self) -> dict[str, str]:
        """The three headers, when the whole body was taken."""
        signatures = (base64.b64encode(mac.digest()).decode() for mac in self._macs)
        return {
            "webhook-id": self._id,
            "webhook-timestamp": self._seconds,
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """What a receiver does with a message: is it ours, unaltered, and of these five minutes?

    Header names in lower case. A receiver also drops ids that it has seen.
    """
    message_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 12):
        return False
    if abs(now.timestamp() - int(seconds)) > TOLERANCE.total_seconds():
        return False
    expected = _signature(secret, message_id, seconds, body).encode()
    given = [
        one.removeprefix("v1,").encode("utf-8", "surrogateescape")
        for one in headers.get("webhook-signature", "").split(" ")
        if one.startswith("v1,")
    ]
    # All are compared, so that the time taken tells nothing.
    return any([hmac.compare_digest(expected, one) for one in given])


def _signature(secret: str, message_id: str, seconds: str, body: bytes) -> str:
    signed = f"{message_id}.{seconds}.".encode() + body
    return base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a signing secret is whsec_ and base64") from error
