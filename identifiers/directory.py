"""The directory of agencies: old and new codes of one agency, validity, successors, look-up.

Old (QCVN 102) and new (Decision 20/2020) codes are tied by a published table and by nothing else,
so "the same agency" is a question to a `Directory`. Agencies merge, split and are abolished (63
provinces became 34, and districts ended, on 2025-07-01): a code has a validity and may have
successors. A `Directory` is immutable and builds its indexes once; a change makes a new one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from identifiers.resolution import Resolution, ResolutionKind, resolve_agency
from identifiers.texts import fold

__all__ = [
    "Agency",
    "CodeConflict",
    "Directory",
    "Match",
    "MatchVia",
    "Resolution",
    "ResolutionKind",
    "fold",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CodeConflict:
    """One code that several agencies claim.

    `owner` is the agency whose primary code it is; where there is none, or where it is the primary
    code of several, nobody has it: an unclear code must not route a document to a wrong agency.
    """

    organ_id: OrganId
    claimants: tuple[Agency, ...]
    owner: Agency | None


class MatchVia(StrEnum):
    """How `Directory.longest_match` came from an agency to a prefix."""

    #: The prefix is the code that was asked for.
    OWN_CODE = "own-code"
    #: The prefix is another code of the same agency.
    ALIAS = "alias"
    #: The prefix lies above the code that was asked for.
    ANCESTOR = "ancestor"
    #: The prefix lies above another code of the agency, or is another code of a body above it.
    ALIAS_ANCESTOR = "alias-ancestor"


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """The prefix that covers an agency, what it stands for, and how it was reached."""

    prefix: OrganId
    value: T
    via: MatchVia
    #: The agency's own code or alias from which the prefix was reached.
    through: OrganId


class Directory:
    """Agencies, found by any of their codes. Equal when it holds the same agencies."""

    __slots__ = ("_agencies", "_by_code", "_conflicts", "_disputed", "_folded")

    def __init__(self, agencies: Iterable[Agency] = ()) -> None:
        """Index `agencies`. The order in which they are given makes no difference."""
        self._agencies = tuple(sorted(dict.fromkeys(agencies), key=_agency_order))
        claims: dict[OrganId, list[Agency]] = defaultdict(list)
        for agency in self._agencies:
            for code in agency.codes:
                claims[code].append(agency)
        self._by_code: dict[OrganId, Agency] = {}
        conflicts = []
        for code, claimants in claims.items():
            owner = _owner(code, claimants)
            if owner is not None:
                self._by_code[code] = owner
            if len(claimants) > 1:
                conflicts.append(CodeConflict(code, tuple(claimants), owner))
        self._conflicts = tuple(sorted(conflicts, key=lambda conflict: conflict.organ_id))
        self._disputed = {conflict.organ_id: conflict for conflict in self._conflicts}
        self._folded = tuple(
            (fold(agency.name), _searchable_codes(agency), agency) for agency in self._agencies
        )

    @property
    def agencies(self) -> tuple[Agency, ...]:
        """All agencies in the order of their primary codes."""
        return self._agencies

    @property
    def conflicts(self) -> tuple[CodeConflict, ...]:
        """Codes that several agencies claim, for an operator to put right."""
        return self._conflicts

    def __len__(self) -> int:
        return len(self._agencies)

    def __iter__(self) -> Iterator[Agency]:
        return iter(self._agencies)

    def __contains__(self, organ_id: object) -> bool:
        return organ_id in self._by_code

    def __eq__(self, other: object) -> bool:
        return self._agencies == other._agencies if isinstance(other, Directory) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._agencies)

    def find(self, organ_id: OrganId) -> Agency | None:
        """The agency that has this code, primary or alias; None if nobody or several have it."""
        return self._by_code.get(organ_id)

    def claimants(self, organ_id: OrganId) -> tuple[Agency, ...]:
        """Every agency that lists this code: none, one, or the parties to a conflict."""
        conflict = self._disputed.get(organ_id)
        if conflict is not None:
            return conflict.claimants
        agency = self.find(organ_id)
        return () if agency is None else (agency,)

    def codes_of(self, organ_id: OrganId) -> tuple[OrganId, ...]:
        """The code asked for, then every other code of its agency that nobody disputes."""
        agency = self.find(organ_id)
        if agency is None:
            return (organ_id,)
        others = (code for code in agency.codes if self._by_code.get(code) is agency)
        return tuple(dict.fromkeys((organ_id, *others)))

    def same(self, a: OrganId, b: OrganId) -> bool:
        """Whether two codes name one agency, by the codes themselves or through the directory."""
        if a == b:
            return True
        agency = self.find(a)
        return agency is not None and agency is self.find(b)

    def resolve(self, organ_id: OrganId, on: date) -> Resolution:
        """Who stands behind a code on a day, successors followed, and why."""
        return resolve_agency(organ_id, on, find=self.find, claimants=self.claimants)

    def longest_match(self, organ_id: OrganId, prefixes: Mapping[OrganId, T]) -> Match[T] | None:
        """The most specific entry of `prefixes` that covers an agency; None if none does.

        Tried in this order: the code itself; the agency's other codes; then everything above any of
        these codes, the lowest level first and, within a level, what lies above the code itself
        first. A body above is tried by its own code, then by its other codes.
        """
        own_codes = self.codes_of(organ_id)
        for code in own_codes:
            if code in prefixes:
                via = MatchVia.OWN_CODE if code == organ_id else MatchVia.ALIAS
                return Match(code, prefixes[code], via, code)
        # sorted() is stable: within one level the code asked for comes before its aliases.
        above = sorted(
            ((ancestor, code) for code in own_codes for ancestor in code.ancestors()),
            key=lambda pair: -pair[0].level,
        )
        for ancestor, code in above:
            for candidate in self.codes_of(ancestor):
                if candidate in prefixes:
                    direct = code == organ_id and candidate == ancestor
                    via = MatchVia.ANCESTOR if direct else MatchVia.ALIAS_ANCESTOR
                    return Match(candidate, prefixes[candidate], via, code)
        return None

    def search(self, query: str, *, limit: int | None = None) -> tuple[Agency, ...]:
        """Agencies whose name or code answers `query`, best first, accents and case ignored.

        Every word of the query must occur in the name; a query that begins a code finds that code
        too. An empty query finds nothing.
        """
        wanted = fold(query)
        if not wanted:
            return ()
        words = wanted.split()
        ranked = [
            (rank, agency)
            for name, codes, agency in self._folded
            if (rank := _rank(wanted, words, name, codes)) is not None
        ]
        ranked.sort(key=lambda pair: pair[0])
        found = tuple(agency for _, agency in ranked)
        return found if limit is None else found[:limit]

    def updated(self, agencies: Iterable[Agency]) -> Directory:
        """A directory in which `agencies` replace those of the same primary code or are added."""
        merged = {agency.organ_id: agency for agency in self._agencies}
        merged.update((agency.organ_id, agency) for agency in agencies)
        return Directory(merged.values())


def _agency_order(agency: Agency) -> tuple[object, ...]:
    return (
        agency.organ_id,
        agency.organ_id.text,
        agency.name,
        agency.valid_from or date.min,
        agency.valid_until or date.max,
        agency.aliases,
        agency.successors,
    )


def _owner(code: OrganId, claimants: list[Agency]) -> Agency | None:
    if len(claimants) == 1:
        return claimants[0]
    primaries = [agency for agency in claimants if agency.organ_id == code]
    return primaries[0] if len(primaries) == 1 else None


def _searchable_codes(agency: Agency) -> tuple[str, ...]:
    return tuple(text.casefold() for code in agency.codes for text in (code.text, code.key))


def _rank(wanted: str, words: list[str], name: str, codes: tuple[str, ...]) -> int | None:
    """0 for the best answer to a query, None for no answer."""
    if name == wanted or wanted in codes:
        return 0
    if name.startswith(wanted):
        return 1
    if any(code.startswith(wanted) for code in codes):
        return 2
    if wanted in name:
        return 3
    return 4 if all(word in name for word in words) else None
