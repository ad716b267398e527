"""How words of the settings are written: checks that say what is wrong and how to write it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from adapters.malware import ClamAv
from gateway.access.people import PersonRole
from identifiers.organ_id import MalformedOrganId, OrganId
from schemas.catalogue import profile_names

_BASE_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+")
#: First parts of paths that the REST API has.
_OWN_PATHS = {"v1", "healthz", "readyz", "metrics", "openapi.json", "docs"}
_HOST = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def listen_address(value: str) -> str:
    """HOST:PORT. Raises ValueError with how to write it."""
    host, _, port = value.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]+", port):
        raise ValueError("write it as HOST:PORT, for example 127.0.0.1:8080")
    if int(port) > 65535:
        raise ValueError("the port must be 1–65535, or 0 for one that is free")
    return value


def payload_place(value: str) -> str:
    """`disk`, or a bucket. Raises ValueError with how to write it."""
    bucket = value.removeprefix("s3://").partition("/")[0]
    if value != "disk" and not (value.startswith("s3://") and _BUCKET.fullmatch(bucket)):
        raise ValueError("write disk, or s3://BUCKET/PREFIX (3 to 63 small letters, digits, . -)")
    return value


def http_address(value: str) -> str:
    """An address of an HTTP service, or nothing. Raises ValueError with how to write it."""
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("write it as https://HOST or https://HOST:PORT")
    return value.rstrip("/")


def http_endpoint(value: str) -> str:
    """One address that is asked exactly as it stands, or nothing. Raises ValueError likewise."""
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("write it as https://HOST/PATH")
    return value


def base_path(value: str) -> str:
    """A path that the REST API does not have. Raises ValueError with how to write it."""
    if not _BASE_PATH.fullmatch(value) or value.split("/")[1] in _OWN_PATHS:
        raise ValueError("write it as /PART/PART of letters, digits, . _ -, and not under /v1")
    return value


def a_day_or_never(value: int) -> int:
    """Hours: a day at least, or never. Raises ValueError with how to write it."""
    if 0 < value < 24:
        raise ValueError("at least 24, or 0 for never")
    return value


def host_words(value: str) -> str:
    """Names of hosts. Raises ValueError with how to write it."""
    for word in value.split():
        if not _HOST.fullmatch(word):
            raise ValueError(f"{word!r}: write HOST or HOST:PORT, in small letters")
    return value


def list_urls(value: str) -> str:
    """Addresses of revocation lists. Raises ValueError with how to write it."""
    for word in value.split():
        if not word.startswith(("http://", "https://")):
            raise ValueError(f"{word!r}: write it as http://HOST/PATH")
    return value


def data_when_empty(value: Any) -> Any:
    """The folder `data` where nothing was written: an empty path would be the current folder."""
    return "data" if value == "" else value


def none_when_empty(value: Any) -> Any:
    """Nothing where nothing was written."""
    return None if value == "" else value


def organ_code(value: str) -> str:
    """An agency's code. Raises ValueError with how to write it."""
    parsed = OrganId.parse(value)
    if isinstance(parsed, MalformedOrganId):
        raise ValueError(parsed.reason.en)
    return parsed.text


def scanner_address(value: str) -> str:
    """Where clamd listens, or nothing. Raises ValueError with how to write it."""
    if value:
        ClamAv(value)
    return value


def issuer_url(value: str) -> str:
    """An issuer of OpenID Connect, or nothing. Raises ValueError with how to write it."""
    parts = urlsplit(value)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if value and not (parts.hostname and (parts.scheme == "https" or local)):
        raise ValueError("write it as https://HOST/PATH (http only on the machine itself)")
    return value


def role_pairs(value: str) -> str:
    """ROLE=WORD, several. Raises ValueError with how to write it."""
    for word in value.split():
        role, equals, name = word.partition("=")
        if not equals or not name or role not in set(PersonRole):
            raise ValueError(f"{word!r}: write ROLE=WORD; roles are {', '.join(PersonRole)}")
    return value


def profile_words(value: str) -> str:
    """CODE=PROFILE, several. Raises ValueError with how to write it."""
    for word in value.split():
        code, equals, name = word.partition("=")
        if not equals or isinstance(OrganId.parse(code), MalformedOrganId):
            raise ValueError(f"{word!r}: write CODE=NAME, for example H34=kon-tum")
        if name not in profile_names():
            raise ValueError(f"{name!r} is no profile; there are: {', '.join(profile_names())}")
    return value


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def durations(value: str) -> str:
    """Waits such as 5s 2m 1h. Raises ValueError with how to write it."""
    for word in value.split():
        if not _DURATION.fullmatch(word):
            raise ValueError(f"{word!r} is no wait; write them like 5s 30s 2m 1h")
    return value


def times_of(waits: str) -> tuple[timedelta, ...]:
    """Waits as times."""
    found = _DURATION.findall(waits)
    return tuple(timedelta(seconds=float(count) * _UNITS[unit]) for count, unit in found)
