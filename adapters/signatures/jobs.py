"""What the service and its verifying processes say to one another.

Requests are pickled: they come from us. Answers are JSON: they come from a process that has just
read hostile input, so nothing in them is ever run.
"""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from adapters.trust.material import TrustMaterial, TrustPolicy
from envelopes.limits import ReadLimits

_LENGTH = struct.Struct(">I")
#: Answers are small: a verdict on one file.
MAX_ANSWER = 4 * 1024 * 1024
#: Characters of one text in an answer.
MAX_TEXT = 1000
#: The index under which the XML signature is answered for.
XML = -1
#: Said once, when a process is there and has loaded what it needs.
READY = -3
#: How a process ends when its memory did not suffice.
EXIT_MEMORY = 77
#: Said once all files lie open: from then on each answer is one file's work.
OPENED = -2


@dataclass(frozen=True, slots=True)
class Setup:
    """What certificates are judged by from now on."""

    material: TrustMaterial
    policy: TrustPolicy


@dataclass(frozen=True, slots=True)
class WantedFile:
    """An attachment to be looked at; `wrapped` and `size` (bytes) as reading found them."""

    index: int
    wrapped: bool
    size: int


@dataclass(frozen=True, slots=True)
class Job:
    """One package to be looked into: its XML signature, some of its files, or both."""

    path: str
    at: datetime
    xml: bool
    files: tuple[WantedFile, ...]
    limits: ReadLimits
    #: Certificates registered for the sender, for a signature that names none.
    known: tuple[bytes, ...] = ()


def packed(request: Setup | Job) -> bytes:
    """A request as it is written."""
    data = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read_request(stream: BinaryIO) -> Setup | Job | None:
    """The next request; None at the end."""
    data = _read_frame(stream)
    # From the service that started this process, over its own pipe.
    return None if data is None else pickle.loads(data)  # noqa: S301


def write_answer(stream: BinaryIO, index: int, body: dict[str, Any]) -> None:
    """Answer for one file (or `XML`). Texts from outside are bounded and made harmless."""
    data = json.dumps({"index": index, **harmless(body)}).encode()
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def harmless(value: Any) -> Any:
    """`value` with its texts fit for logs and databases: no control characters, no half letters."""
    if isinstance(value, str):
        text = value[:MAX_TEXT]
        return text if text.isprintable() else "".join(map(_shown, text))
    if isinstance(value, dict):
        return {key: harmless(one) for key, one in value.items()}
    return [harmless(one) for one in value] if isinstance(value, list) else value


def _shown(char: str) -> str:
    return char if char.isprintable() else "\ufffd"


def _read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def answer_length(head: bytes) -> int:
    """How long the answer is that begins with `head`. Raises ValueError when it cannot be one."""
    (length,) = _LENGTH.unpack(head)
    if length > MAX_ANSWER:
        raise ValueError(f"an answer of {length} bytes")
    return int(length)
