"""What a simulated partner has and how it misbehaves: a TOML file, checked as it is read.

The script of an axis stands here, that of an agency in `agency`.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Literal, TypeVar

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


class Part(BaseModel):
    """A table of a script."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatedAgency(Part):
    """One line of the axis' directory."""

    code: str | None
    name: str | None
    old_code: str = ""
    code102: str = ""
    version: int = 1
    deleted: bool = False
    modified: str = ""


class WaitingFile(Part):
    """A package that waits for the client from the start."""

    file: Path
    sender: str | None = Field(None, alias="from")
    to: str | None = None
    type: str | None = "edoc"
    doc_id: str = ""
    created_time: str | None = None


class Reply(Part):
    """A status that every recipient of a document reports, so many seconds after it came."""

    status: str
    reason: str = "Văn thư xử lý"
    after_seconds: float = 0.0


class Misbehaviour(Part):
    """What all rules say. The first that fits a call is used; without one all goes well."""

    #: Calls that it lets pass before, and how many it spoils then; 0: all.
    skip: int = Field(0, ge=0)
    times: int = Field(0, ge=0)
    seconds: float = Field(5.0, ge=0)
    status: int = Field(503, ge=100, le=599)
    text: str = "simulated"


class Rule(Misbehaviour):
    """One misbehaviour of an axis."""

    operation: str = Field("*", description="sendEdoc, getEdoc …; * for any.")
    do: Action
    code: str = "1"
    doc_id: str = Field("", description="Only calls about this docId.")


class AxisScript(Part):
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


Script = TypeVar("Script", bound=Part)


def read_script(path: Path, model: type[Script]) -> Script:
    """Read a script of this kind. Raises `ScriptProblem`."""
    try:
        return model.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScriptProblem(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: {'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise ScriptProblem("\n".join(lines)) from error


def load_axis(path: Path) -> AxisScript:
    """Read a script; the files it names are found beside it. Raises `ScriptProblem`."""
    script = read_script(path, AxisScript)
    here = path.parent
    waiting = tuple(
        one.model_copy(update={"file": (here / one.file).resolve()}) for one in script.waiting
    )
    missing = [str(one.file) for one in waiting if not one.file.is_file()]
    if missing:
        raise ScriptProblem(f"{path}: there is no file {missing[0]}")
    return script.model_copy(update={"waiting": waiting})


OneRule = TypeVar("OneRule", bound=Misbehaviour)


class Counted(Generic[OneRule]):
    """Rules in order, each with how many calls it has met."""

    def __init__(self, rules: Sequence[OneRule]) -> None:
        self._rules = rules
        self._met: Counter[int] = Counter()

    def first(self, fits: Callable[[OneRule], bool]) -> OneRule | None:
        """The first rule that fits a call and is not used up; every one that is asked counts it."""
        for number, rule in enumerate(self._rules):
            if not fits(rule):
                continue
            self._met[number] += 1
            count = self._met[number] - rule.skip
            if count > 0 and (not rule.times or count <= rule.times):
                return rule
        return None
