"""Headers of the national axis protocol, from their bytes to a trusted parameter."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator

from gateway.vxp.headers import (
    Distrusted,
    claim_of,
    is_signed_by,
    judge_time,
    parameters_of,
)
from tests.fuzz.promises import NOW, Broken, storable

SECRET = "vxp-secret-of-the-fuzzing-run"


def _headers(data: bytes) -> list[tuple[bytes, bytes]]:
    """One header a line, ``Name: value``; `SIGN` for a hash stands for the right one."""
    found = []
    signed = b""
    for line in data.split(b"\n")[:80]:
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        value = value.strip(b" \t\r")
        if name.strip().lower() == b"xroadvnpt-sign-header":
            signed = value
        found.append((name, value))
    right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest().encode()
    return [(name, right if value == b"SIGN" else value) for name, value in found]


def run_vxp(data: bytes) -> None:
    """`claim_of` to `judge_time`; nothing is trusted that the secret did not sign."""
    headers = _headers(data)
    claim = claim_of(headers)
    if isinstance(claim, Distrusted):
        storable([claim.sentence.vi, claim.sentence.en])
        return
    right = hmac.new(SECRET.encode(), claim.signed_text, hashlib.sha256).hexdigest()
    if is_signed_by(claim, [SECRET]) != (claim.hash_header == right.encode()):
        raise Broken("a wrong signature counts")
    if is_signed_by(claim, []) or is_signed_by(claim, [""]):
        raise Broken("no secret signs everything")
    parameters = parameters_of(claim)
    if isinstance(parameters, Distrusted):
        storable([parameters.sentence.vi, parameters.sentence.en])
        return
    for name in parameters.values:
        value = parameters.trusted(name)
        if isinstance(value, str) and value and name not in parameters.signed:
            raise Broken(f"{name} is trusted unsigned")
    late = judge_time(parameters, 300, NOW)
    if late is not None:
        storable([late.sentence.vi, late.sentence.en])


def vxp_seeds() -> Iterator[bytes]:
    """Requests as vendors send them."""
    for signed in (
        {"systemid": "S1", "timestamp": "02032026T093000+0000", "from": "H34.1", "to": "H34.2"},
        {"systemid": "S1", "timestamp": "02032026T093000", "to": ["H34.2", "H34.3"]},
        {"systemid": "S1", "timestamp": "01010001T000000", "docId": "1"},
        {"systemid": "S1"},
    ):
        names = ";".join(signed)
        lines = [
            f"XroadVnpt-{name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in signed.items()
        ]
        text = json.dumps(signed)
        for digest in ("SIGN", "0" * 64):
            yield "\n".join(
                [
                    *lines,
                    f"XroadVnpt-sign-header-key: {names}",
                    f"XroadVnpt-sign-header: {text}",
                    f"XroadVnpt-hash-header: {digest}",
                    "Content-Type: application/octet-stream",
                ]
            ).encode()
