"""Agency codes: the old form of QCVN 102 and the new form of Decision 20/2020, side by side.

QCVN 102:2016 writes ``V1V2V3.Z1Z2.Y1Y2.MX`` and is read right to left: MX is level 1 (a letter and
two digits), Y1Y2 level 2, Z1Z2 level 3, V1V2V3 level 4; zeros mean "none". Decision 20/2020/QĐ-TTg
writes groups of 0-9A-Z from the top down, at most 35 characters in all. Level 1 is the same code in
both (``H41`` is ``000.00.00.H41``). Below level 1 the numbers of the two systems have nothing to do
with each other: only a published table ties them (`identifiers.directory`), never arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from identifiers.texts import Bilingual, quote, remove_invisible

#: Decision 20/2020: a code has at most this many characters, dots included.
MAX_LENGTH = 35

#: What `OrganId.parse` takes, in one line for messages.
ALLOWED = (
    "V1V2V3.Z1Z2.Y1Y2.MX (QCVN 102), e.g. 000.00.13.H41; "
    "or groups of 0-9A-Z separated by dots, at most 35 characters (Decision 20/2020), e.g. H41.13"
)

_LEVEL_ONE = re.compile(r"[A-Z][0-9]{2}")
_GROUP = re.compile(r"[0-9A-Z]+")
_NO_BREAK_SPACES = str.maketrans("", "", "\u00a0\u202f\u2007")
#: Widths of the QCVN groups from level 1 down: MX, Y1Y2, Z1Z2, V1V2V3.
_WIDTHS = (3, 2, 2, 3)


class CodeSystem(StrEnum):
    """Which regulation's form a code is written in."""

    #: QCVN 102:2016/BTTTT, read right to left.
    QCVN_102 = "qcvn-102"
    #: Decision 20/2020/QĐ-TTg, read left to right.
    DECISION_20 = "decision-20"


@dataclass(frozen=True, slots=True)
class MalformedOrganId:
    """A text that is no agency code: what was found, what is allowed, and why it was refused."""

    found: str
    reason: Bilingual
    allowed: str = ALLOWED


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OrganId:
    """One agency code. Made by `parse` (foreign text) or `of` (text known to be right).

    Equality, hash and order go by `key`, so ``H41`` equals ``000.00.00.H41`` and ``28.22.H17``
    equals ``000.28.22.H17``, while two codes of different systems below level 1 are never equal.
    The order puts an agency right before its units.
    """

    #: The code as written: trimmed, nothing invisible, upper case.
    text: str
    system: CodeSystem
    #: The groups from the top down, "none" groups at the end left out: ("H41", "13", "05").
    groups: tuple[str, ...]
    #: The canonical text that comparisons use: one per agency code, e.g. ``H41`` at level 1.
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Work out the canonical text once."""
        old = len(self.groups) > 1 and self.system is CodeSystem.QCVN_102
        key = _old_form(self.groups) if old else ".".join(self.groups)
        object.__setattr__(self, "key", key)

    @staticmethod
    def parse(text: str) -> OrganId | MalformedOrganId:
        """Read a code in either system; never raises.

        A code is QCVN 102 when level 1 stands last; a shortened one (``28.22.H17``) is padded.
        Everything else made of 0-9A-Z groups is Decision 20, which also covers enterprises (tax
        codes) and other organisations (Articles 5 and 6).
        """
        written = remove_invisible(text).translate(_NO_BREAK_SPACES).strip()
        problem = _problem_of(written)
        if problem is not None:
            return MalformedOrganId(quote(text), problem)
        upper = written.upper()
        groups = tuple(upper.split("."))
        if len(groups) == 1 or not _LEVEL_ONE.fullmatch(groups[-1]):
            return OrganId(upper, CodeSystem.DECISION_20, groups)
        top_first = groups[::-1]
        fits_old = len(groups) <= len(_WIDTHS) and all(
            len(group) == width for group, width in zip(top_first, _WIDTHS, strict=False)
        )
        starts_new = _LEVEL_ONE.fullmatch(groups[0]) is not None
        if fits_old and not starts_new:
            return OrganId(upper, CodeSystem.QCVN_102, _without_trailing_none(top_first))
        if starts_new and not fits_old:
            return OrganId(upper, CodeSystem.DECISION_20, groups)
        return MalformedOrganId(quote(text), _AMBIGUOUS if fits_old else _BAD_OLD_FORM)

    @staticmethod
    def of(text: str) -> OrganId:
        """The code that `text` is known to be; raises ValueError where it is none (a bug)."""
        parsed = OrganId.parse(text)
        if isinstance(parsed, MalformedOrganId):
            raise ValueError(f"{parsed.found!r}: {parsed.reason.en}")
        return parsed

    @property
    def level(self) -> int:
        """1 for the top, one more for each step down (4 is the lowest of QCVN 102)."""
        return len(self.groups)

    @property
    def full(self) -> str | None:
        """The four-part QCVN 102 form; None for a Decision 20 code that has none.

        ``000.00.00.H41`` for ``H41``, ``000.28.22.H17`` for ``28.22.H17``. A Decision 20 code below
        level 1, or one whose top is no letter and two digits, has no old form by arithmetic.
        """
        if self.system is CodeSystem.QCVN_102:
            return _old_form(self.groups)
        shared = self.level == 1 and _LEVEL_ONE.fullmatch(self.key)
        return _old_form(self.groups) if shared else None

    @property
    def level_one(self) -> OrganId:
        """The top of this code's own chain; itself at level 1."""
        return self if self.level == 1 else self._cut(1)

    @property
    def parent(self) -> OrganId | None:
        """The code one level up that names an agency, None at level 1.

        QCVN 102 allows an empty level in between (``000.01.00.H41``): it is stepped over.
        """
        if self.level == 1:
            return None
        depth = self.level - 1
        if self.system is CodeSystem.QCVN_102:
            depth = len(_without_trailing_none(self.groups[:depth]))
        return self._cut(depth)

    def ancestors(self) -> Iterator[OrganId]:
        """The codes above this one, nearest first, level 1 last."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def is_within(self, other: OrganId) -> bool:
        """Whether this is `other` or lies below it, judged by the codes alone.

        Across the two systems only level 1 is shared; for aliases ask the directory.
        """
        return self == other or any(above == other for above in self.ancestors())

    def _cut(self, depth: int) -> OrganId:
        groups = self.groups[:depth]
        old = self.system is CodeSystem.QCVN_102
        return OrganId(_old_form(groups) if old else ".".join(groups), self.system, groups)

    def _order(self) -> tuple[str, str, tuple[str, ...]]:
        # Level 1 carries no system: it is the same code in both.
        return self.groups[0], self.system.value if self.level > 1 else "", self.groups[1:]

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, OrganId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: OrganId) -> bool:
        return self._order() < other._order()

    def __le__(self, other: OrganId) -> bool:
        return self._order() <= other._order()

    def __gt__(self, other: OrganId) -> bool:
        return self._order() > other._order()

    def __ge__(self, other: OrganId) -> bool:
        return self._order() >= other._order()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"OrganId({self.text!r})"


def _problem_of(written: str) -> Bilingual | None:
    """What keeps `written` from being groups of 0-9A-Z within the length, if anything does."""
    if not written:
        return _EMPTY
    if len(written) > MAX_LENGTH:
        return _TOO_LONG
    # ASCII before upper(): "ß", "ı" and full-width letters must not turn into a valid code.
    if not written.isascii() or not all(
        _GROUP.fullmatch(group) for group in written.upper().split(".")
    ):
        return _BAD_CHARACTERS
    return None


def _without_trailing_none(groups: tuple[str, ...]) -> tuple[str, ...]:
    """QCVN groups (top first) without the all-zero ones at the low end."""
    end = len(groups)
    while end > 1 and not groups[end - 1].strip("0"):
        end -= 1
    return groups[:end]


def _old_form(groups: tuple[str, ...]) -> str:
    """The four-part text of QCVN groups given from the top down."""
    none = tuple("0" * width for width in _WIDTHS)
    return ".".join((groups + none[len(groups) :])[::-1])


_EMPTY = Bilingual("Mã cơ quan để trống.", "The agency code is empty.")
_TOO_LONG = Bilingual(
    f"Mã cơ quan dài quá {MAX_LENGTH} ký tự (Quyết định 20/2020/QĐ-TTg).",
    f"The agency code is longer than {MAX_LENGTH} characters (Decision 20/2020).",
)
_BAD_CHARACTERS = Bilingual(
    "Mã cơ quan chỉ gồm các nhóm chữ số 0-9 và chữ cái A-Z không dấu, cách nhau bằng một dấu chấm.",
    "An agency code is groups of digits 0-9 and letters A-Z, separated by single dots.",
)
_BAD_OLD_FORM = Bilingual(
    "Mã kết thúc bằng mã cấp 1 nhưng các nhóm đứng trước không đúng dạng V1V2V3.Z1Z2.Y1Y2.MX "
    "của QCVN 102.",
    "The code ends in a level 1 code, but the groups before it do not have the form "
    "V1V2V3.Z1Z2.Y1Y2.MX of QCVN 102.",
)
_AMBIGUOUS = Bilingual(
    "Mã có mã cấp 1 ở cả hai đầu nên không rõ đọc theo QCVN 102 hay Quyết định 20/2020/QĐ-TTg.",
    "The code has a level 1 code at both ends: it cannot be told whether to read it by QCVN 102 or "
    "by Decision 20/2020.",
)
