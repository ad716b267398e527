"""The newest seal, kept outside the database: the end of the log cannot be cut off unseen.

Whoever may write in the database can remove the newest events with their seals, and what is left
fits together. So the newest seal also lies in a file of the data folder; its number and digest go
into the service's log, which operators ship elsewhere. `lienthong verify-events` holds the event
log against all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from adapters.durable import write_durably
from routing.seals import Seal

#: In the data folder.
NAME = "seal-head.json"
_LOCK = ".seal-head.lock"
#: The file is larger than this only by mistake.
LARGEST = 4 * 1024 * 1024
_SHORT = re.compile(r"(\d{1,18}):([0-9a-fA-F]{64})")


class NoHead(Exception):
    """What was named tells of no seal; the message says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """Number and digest of a seal that was made; `signed` is its JWS where that was kept too."""

    number: int
    digest: str
    signed: str = ""
    #: Where it was read, for people.
    place: str = ""


def read_head(path: Path) -> Head | None:
    """The head in a file; None when there is no such file. Raises `NoHead`, OSError."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(LARGEST))
        head = Head(int(told["number"]), str(told["digest"]), str(told["signed"]), str(path))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoHead(f"{path}: no head of a log: {error}") from None
    return head


def named_head(text: str) -> Head:
    """The head that ``NUMBER:SHA256`` or a file's name stands for. Raises `NoHead`."""
    short = _SHORT.fullmatch(text.strip())
    if short:
        return Head(int(short[1]), short[2].lower(), place=text.strip()[:30])
    try:
        head = read_head(Path(text))
    except OSError as error:
        raise NoHead(f"{text}: {error.strerror}") from None
    if head is None:
        raise NoHead(f"{text}: no such file; write NUMBER:SHA256 or name a file")
    return head


def keep_head(path: Path, seal: Seal) -> None:
    """Keep this seal as the newest, durably; of several processes the highest number stays.

    Blocks. Raises `NoHead` when what is there cannot be read (it is left alone), OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(_LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read_head(path)
        if kept is not None and kept.number >= seal.number:
            return
        told = {"number": seal.number, "digest": seal.digest, "signed": seal.signed}
        write_durably(path, json.dumps(told).encode() + b"\n")


def digest_of(payload: bytes) -> str:
    """The digest of a seal's text, by which the next seal names it."""
    return hashlib.sha256(payload).hexdigest()
