"""What a simulated axis has and how it misbehaves: a TOML file, checked as it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

BASE = "/XrdAdapter/RestService/forward"

Action = Literal[
    "slow",
    "never",
    "drop",
    "lost",
    "http",
    "html",
    "fail",
    "nulls",
    "twice",
    "reverse",
    "cut",
    "other-bytes",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatedAgency(_Part):
    """One line of the axis' directory."""

    code: str | None
    name: str | None
    old_code: str = ""
    code102: str = ""
    version: int = 1
    deleted: bool = False
    modified: str = ""


class WaitingFile(_Part):
    """A package that waits for the client from the start."""

    file: Path
    sender: str | None = Field(None, alias="from")
    to: str | None = None
    type: str | None = "edoc"
    doc_id: str = ""
    created_time: str | None = None


class Reply(_Part):
    """A status that every recipient of a document reports, so many seconds after it came."""

    status: str
    reason: str = "Văn thư xử lý"
    after_seconds: float = 0.0


class Rule(_Part):
    """One misbehaviour. The first rule that fits a call is used; without one all goes well."""

    operation: str = Field("*", description="sendEdoc, getEdoc …; * for any.")
    do: Action
    #: Calls that it lets pass before, and how many it spoils then; 0: all.
    skip: int = Field(0, ge=0)
    times: int = Field(0, ge=0)
    seconds: float = Field(5.0, ge=0)
    status: int = Field(503, ge=100, le=599)
    code: str = "1"
    text: str = "simulated"
    doc_id: str = Field("", description="Only calls about this docId.")


class AxisScript(_Part):
    """A simulated axis."""

    base: str = BASE
    system_id: str = "CLIENT"
    #: Empty: signatures are not looked at.
    secret: str = ""
    #: What a package gets that is there already: FAIL "exists already", or OK again.
    duplicates: Literal["fail", "ok", "keep"] = "fail"
    agencies: tuple[SimulatedAgency, ...] = ()
    waiting: tuple[WaitingFile, ...] = ()
    replies: tuple[Reply, ...] = ()
    rules: tuple[Rule, ...] = ()


class ScriptProblem(Exception):
    """The script cannot be used; the text says where and why."""


def load_script(path: Path) -> AxisScript:
    """Read a script; the files it names are found beside it. Raises `ScriptProblem`."""
    try:
        script = AxisScript.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScriptProblem(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: {'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise ScriptProblem("\n".join(lines)) from error
    here = path.parent
    waiting = tuple(
        one.model_copy(update={"file": (here / one.file).resolve()}) for one in script.waiting
    )
    missing = [str(one.file) for one in waiting if not one.file.is_file()]
    if missing:
        raise ScriptProblem(f"{path}: there is no file {missing[0]}")
    return script.model_copy(update={"waiting": waiting})
