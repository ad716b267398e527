"""Requests of the national axis protocol (VXP): signed headers, as toolkit 2.0.x sends them.

Every parameter travels as a header ``XroadVnpt-<name>``. The HMAC covers headers alone; the body is
tied in by ``hash-file``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

PREFIX = "XroadVnpt-"
VERSION = "3.0.201608"
USER_AGENT = "JAVASDKAgent/1.0.0 XRoad/VPCP"
EDXML = "application/octet-stream"
JSON = "application/json"

_VIETNAM = timezone(timedelta(hours=7))


def timestamp(now: datetime) -> str:
    """``ddMMyyyy'T'HHmmss+SSSS`` in Vietnam's time; SSSS are milliseconds, not a zone."""
    local = now.astimezone(_VIETNAM)
    return f"{local:%d%m%Y}T{local:%H%M%S}+{local.microsecond // 1000:04d}"


def unpadded(digest: str) -> str:
    """A hex digest as the toolkit writes it: each byte without its leading zero (0x0a → ``a``)."""
    return "".join(f"{byte:x}" for byte in bytes.fromhex(digest))


def signed_headers(
    system_id: str,
    secret: str,
    parameters: Mapping[str, str],
    now: datetime,
    content_type: str = "",
) -> dict[str, str]:
    """All headers of a request with these parameters, in the order in which they are signed."""
    named = {"systemid": system_id, "timestamp": timestamp(now)}
    if content_type:
        named["Content-Type"] = content_type
    named |= parameters
    headers = {PREFIX + name: value for name, value in named.items()}
    signed = json.dumps(headers, ensure_ascii=False, separators=(",", ":"))
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    headers |= {
        f"{PREFIX}sign-header-key": ";".join(named),
        f"{PREFIX}sign-header": signed,
        f"{PREFIX}hash-header": mac,
        f"{PREFIX}version": VERSION,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    if content_type:
        headers["Content-Type"] = content_type
    return headers
