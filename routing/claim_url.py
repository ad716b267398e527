"""Short-lived signed addresses for claim checks: who holds one may read one payload for a while.

A package that is too large to travel through a partner's broker is announced by its digest and an
address to fetch it from. The address itself is the permission, so it says which bytes, for whom and
until when, and carries an HMAC-SHA256 over exactly that. It says nothing else and reveals nothing:
not the key, not a path, not a name of a file.

The key belongs to the gateway alone and must have at least 32 bytes. Several keys are accepted, so
that they can be changed while addresses are under way: the first signs, all verify.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from envelopes.findings import Sentence

#: Longest time for which an address may be signed.
LONGEST = timedelta(days=7)
#: Least length of a key, bytes: that of the digest (RFC 2104, section 3).
KEY_BYTES = 32
#: Names of the parameters of an address.
AUDIENCE, EXPIRES, SIGNATURE = "audience", "expires", "signature"

_PURPOSE = b"lienthong claim check 1"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EXPIRES = re.compile(r"[1-9][0-9]{0,10}")


class ClaimFault(StrEnum):
    """Why an address is not good."""

    MALFORMED = "malformed"
    FORGED = "forged"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ClaimGranted:
    """The address is good: these bytes may be read by this audience until then."""

    digest: str
    audience: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """The address is not good. Asking again with the same one does not help; a new one may."""

    fault: ClaimFault
    sentence: Sentence


_SENTENCES = {
    ClaimFault.MALFORMED: Sentence(
        vi="Đường dẫn tải gói tin thiếu hoặc sai tham số audience, expires, signature.",
        en="The address lacks audience, expires or signature, or they are malformed.",
    ),
    ClaimFault.FORGED: Sentence(
        vi="Chữ ký của đường dẫn tải gói tin không đúng.",
        en="The signature of the address is wrong.",
    ),
    ClaimFault.EXPIRED: Sentence(
        vi="Đường dẫn tải gói tin đã hết hạn; hãy yêu cầu gửi lại thông báo.",
        en="The address has expired; ask for the announcement to be sent again.",
    ),
}


def sign_claim(keys: Sequence[bytes], digest: str, audience: str, expires_at: datetime) -> str:
    """The query of an address for the payload `digest`, to be put behind its path.

    `audience` names the connection that may use it. Raises ValueError for a digest that is none, an
    empty audience, or a key that is too short: bugs or wrong settings of ours.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError("a digest has 64 small hexadecimal digits")
    if not audience:
        raise ValueError("a claim check is for somebody")
    expires = str(int(expires_at.timestamp()))
    return urlencode(
        {
            AUDIENCE: audience,
            EXPIRES: expires,
            SIGNATURE: _signature(_good(keys)[0], digest, audience, expires),
        }
    )


def expiry(now: datetime, lifetime: timedelta) -> datetime:
    """When an address signed now ends. Raises ValueError for no time or more than `LONGEST`."""
    if not timedelta(0) < lifetime <= LONGEST:
        raise ValueError(f"an address lives up to {LONGEST}, not {lifetime}")
    return now + lifetime


def verify_claim(
    keys: Sequence[bytes], digest: str, query: Mapping[str, str], now: datetime
) -> ClaimGranted | ClaimRefused:
    """Whether an address for `digest` with these parameters is good `now`.

    The signature is compared in constant time, and before the expiry is looked at: nobody learns
    anything from an address that we did not sign. Raises ValueError for keys that are too short.
    """
    audience, expires = query.get(AUDIENCE, ""), query.get(EXPIRES, "")
    given = query.get(SIGNATURE, "")
    whole = _DIGEST.fullmatch(digest) and audience and _EXPIRES.fullmatch(expires) and given
    if not whole or not given.isascii():
        return _refused(ClaimFault.MALFORMED)
    # Every key is tried, so that the time taken does not tell which one fitted.
    fits = [
        hmac.compare_digest(_signature(key, digest, audience, expires), given)
        for key in _good(keys)
    ]
    if not any(fits):
        return _refused(ClaimFault.FORGED)
    expires_at = datetime.fromtimestamp(int(expires), UTC)
    if now >= expires_at:
        return _refused(ClaimFault.EXPIRED)
    return ClaimGranted(digest, audience, expires_at)


def _refused(fault: ClaimFault) -> ClaimRefused:
    return ClaimRefused(fault, _SENTENCES[fault])


def _good(keys: Sequence[bytes]) -> Sequence[bytes]:
    if not keys or any(len(key) < KEY_BYTES for key in keys):
        raise ValueError(f"a key of at least {KEY_BYTES} bytes is needed")
    return keys


def _signature(key: bytes, digest: str, audience: str, expires: str) -> str:
    """HMAC over the parts, each with its length before it: no two triples give the same message."""
    parts = (_PURPOSE, digest.encode(), audience.encode("utf-8", "surrogatepass"), expires.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    mac = hmac.new(key, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
