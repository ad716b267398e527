"""The headers of a request: read, and trusted only as far as the client signed them.

Every parameter travels as ``XroadVnpt-<name>``. ``sign-header`` holds the signed ones as JSON,
``hash-header`` its HMAC-SHA256 under the client's secret, over exactly the bytes that travelled.
Nothing here does I/O; times are arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME

PREFIX = "xroadvnpt-"
#: Most parameters of one request, and most bytes of all of them together.
MOST_HEADERS = 64
MOST_BYTES = 256 * 1024
#: Headers that carry the signature themselves and are no parameters.
_OF_THE_SIGNATURE = frozenset({"sign-header-key", "sign-header", "hash-header"})
_TIMESTAMP = re.compile(r"(\d{8}T\d{6})(?:\+(\d{1,6}))?")


class Distrust(StrEnum):
    """Why a request is not believed."""

    #: A header that the signature needs is not there, or cannot be read.
    MALFORMED = "malformed"
    #: One header came twice with different values.
    AMBIGUOUS = "ambiguous"
    #: The HMAC is not that of the system's secret, or nobody has this system id.
    WRONG_SIGNATURE = "wrong-signature"
    #: A header is missing or says something else than was signed.
    TAMPERED = "tampered"
    #: The timestamp is outside the tolerance, or unsigned.
    STALE = "stale"
    #: A parameter that is used was not signed.
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class Distrusted:
    """A request that is not believed, and why."""

    why: Distrust
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself; nothing of it is trusted yet."""

    system_id: str
    #: Exactly the bytes of ``sign-header``.
    signed_text: bytes
    hash_header: bytes
    #: Names in ``sign-header-key``, lower case, without prefix.
    signed_names: tuple[str, ...]
    #: Every parameter of the request, by its name in lower case without prefix.
    values: Mapping[str, str]
    #: The other headers: some clients sign them too, and send Content-Type without prefix.
    plain: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request whose signature is right."""

    system_id: str
    values: Mapping[str, str]
    signed: frozenset[str]

    def trusted(self, name: str) -> str | Distrusted:
        """A parameter that was signed; empty when it was not sent at all."""
        value = self.values.get(name.lower(), "")
        if value and name.lower() not in self.signed:
            return _unsigned(name)
        return value

    def harmless(self, name: str) -> str:
        """A parameter that may be unsigned, because nothing follows from it but a view."""
        return self.values.get(name.lower(), "")


def claim_of(raw_headers: Iterable[tuple[bytes, bytes]]) -> Claim | Distrusted:
    """What the headers of a request say. Names are compared without case."""
    found: dict[str, bytes] = {}
    plain: dict[str, str] = {}
    size = 0
    for raw_name, value in raw_headers:
        name = raw_name.decode("latin-1").strip().lower()
        if not name.startswith(PREFIX):
            plain.setdefault(name, value.decode("utf-8", "surrogateescape"))
            continue
        name = name[len(PREFIX) :]
        size += len(name) + len(value)
        if found.setdefault(name, value) != value:
            return _distrusted(Distrust.AMBIGUOUS, "XroadVnpt-" + name)
        if len(found) > MOST_HEADERS or size > MOST_BYTES:
            return Distrusted(
                Distrust.MALFORMED,
                Sentence(
                    vi=f"Quá nhiều tham số: cho phép {MOST_HEADERS} đầu trang XroadVnpt-*, "
                    f"{MOST_BYTES} byte.",
                    en=f"Too many parameters: at most {MOST_HEADERS} headers XroadVnpt-*, "
                    f"{MOST_BYTES} bytes.",
                ),
            )
    for needed in ("systemid", "sign-header-key", "sign-header", "hash-header"):
        if not found.get(needed):
            return _distrusted(Distrust.MALFORMED, "XroadVnpt-" + needed)
    texts = {name: value.decode("utf-8", "surrogateescape") for name, value in found.items()}
    names = (name.strip().lower() for name in texts["sign-header-key"].split(";"))
    return Claim(
        system_id=texts["systemid"],
        signed_text=found["sign-header"],
        hash_header=found["hash-header"].strip().lower(),
        signed_names=tuple(dict.fromkeys(name.removeprefix(PREFIX) for name in names if name)),
        values={name: text for name, text in texts.items() if name not in _OF_THE_SIGNATURE},
        plain=plain,
    )


def is_signed_by(claim: Claim, secrets: Sequence[str]) -> bool:
    """Whether one of these secrets made the signature; takes as long for any of them.

    Without any secret the work is done all the same, and the answer is no.
    """
    right = False
    for secret in secrets or ("",):
        made = hmac.new(secret.encode("utf-8"), claim.signed_text, hashlib.sha256).hexdigest()
        same = hmac.compare_digest(made.encode("ascii"), claim.hash_header)
        right |= same and bool(secret)
    return right


def parameters_of(claim: Claim) -> Parameters | Distrusted:
    """The parameters, once the signature is right: each signed one is what was signed."""
    try:
        signed = json.loads(
            claim.signed_text, object_pairs_hook=_pairs, parse_int=str, parse_float=str
        )
    except (ValueError, RecursionError):
        return _distrusted(Distrust.MALFORMED, "XroadVnpt-sign-header")
    if not isinstance(signed, _Members):
        return _distrusted(Distrust.MALFORMED, "XroadVnpt-sign-header")
    members: dict[str, Any] = {}
    for key, value in signed.pairs:
        name = key.strip().lower().removeprefix(PREFIX)
        if name in members:
            return _distrusted(Distrust.AMBIGUOUS, key)
        members[name] = value
    for name in dict.fromkeys((*claim.signed_names, *members)):
        sent = claim.values.get(name, claim.plain.get(name))
        if name in members and members[name] is None and not sent:
            # A toolkit that writes members it has no value for: signed as not sent.
            continue
        if name not in members or sent is None or not _same(members[name], sent):
            return _distrusted(Distrust.TAMPERED, "XroadVnpt-" + name)
    signed_names = frozenset(name for name, value in members.items() if value is not None)
    return Parameters(claim.system_id, claim.values, signed_names)


class _Members:
    """A JSON object with every one of its members, repeated ones too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _pairs(pairs: list[tuple[str, Any]]) -> _Members:
    return _Members(pairs)


def _same(signed: Any, sent: str) -> bool:
    """Whether a header has its signed value; a list may be signed as text or as a list."""
    if isinstance(signed, str):
        # JSON knows no half bytes: what was sent is compared as the text it is.
        return signed.strip() == sent.strip()
    if isinstance(signed, list) and all(isinstance(item, str) for item in signed):
        try:
            return bool(json.loads(sent) == signed)
        except (ValueError, RecursionError):
            return False
    return False


def judge_time(parameters: Parameters, tolerance_seconds: int, now: datetime) -> Distrusted | None:
    """Whether the timestamp is near enough to `now`; a tolerance of 0 asks for none."""
    if tolerance_seconds == 0:
        return None
    written = parameters.trusted("timestamp")
    if isinstance(written, Distrusted):
        return written
    moment = parse_timestamp(written)
    ours = now.astimezone(VIETNAM_TIME)
    if moment is None:
        told = "ddMMyyyy'T'HHmmss+SSSS"
        return Distrusted(
            Distrust.STALE,
            Sentence(
                vi=f"Dấu thời gian «{shown(written)}» không đúng dạng {told} (giờ Việt Nam); "
                f"giờ của trục là {ours:%d%m%YT%H%M%S}.",
                en=f"The timestamp {shown(written)!r} has not the form {told} (Vietnam time); "
                f"the gateway's time is {ours:%d%m%YT%H%M%S}.",
            ),
        )
    if abs(moment - ours) <= timedelta(seconds=tolerance_seconds):
        return None
    return Distrusted(
        Distrust.STALE,
        Sentence(
            vi=f"Dấu thời gian {moment:%d/%m/%Y %H:%M:%S} lệch quá {tolerance_seconds} giây so với "
            f"giờ của trục {ours:%d/%m/%Y %H:%M:%S}; hãy chỉnh đồng hồ, hoặc đề nghị người vận "
            "hành đổi tolerance_seconds của kết nối.",
            en=f"The timestamp {moment:%Y-%m-%d %H:%M:%S} is more than {tolerance_seconds} s from "
            f"the gateway's time {ours:%Y-%m-%d %H:%M:%S}; set the clock, or ask the operator to "
            "change the connection's tolerance_seconds.",
        ),
    )


def parse_timestamp(text: str) -> datetime | None:
    """The time of ``ddMMyyyy'T'HHmmss+SSSS``; SSSS are milliseconds and no zone."""
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        return None
    try:
        moment = datetime.strptime(f"{match[1]}+0700", "%d%m%YT%H%M%S%z")
        return moment.astimezone(VIETNAM_TIME)
    except (ValueError, OverflowError):
        # No such time, or in the first hours or the last of all that can be counted.
        return None


def _unsigned(name: str) -> Distrusted:
    return Distrusted(
        Distrust.UNSIGNED,
        Sentence(
            vi=f"Tham số {name} không nằm trong sign-header nên không được tin.",
            en=f"The parameter {name} is not in sign-header and cannot be trusted.",
        ),
    )


def _distrusted(why: Distrust, name: str) -> Distrusted:
    name = shown(name)
    sentences = {
        Distrust.AMBIGUOUS: Sentence(
            vi=f"{name} xuất hiện nhiều lần với giá trị khác nhau.",
            en=f"{name} occurs several times with different values.",
        ),
        Distrust.TAMPERED: Sentence(
            vi=f"{name} thiếu hoặc khác với giá trị đã ký trong sign-header.",
            en=f"{name} is missing or differs from the value signed in sign-header.",
        ),
    }
    otherwise = Sentence(
        vi=f"Thiếu đầu trang {name}, hoặc không đọc được.",
        en=f"The header {name} is missing or cannot be read.",
    )
    return Distrusted(why, sentences.get(why, otherwise))


def shown(text: str, most: int = 60) -> str:
    """Foreign text in a sentence of ours: short and printable."""
    return "".join(char if char.isprintable() else "?" for char in text[:most])
