"""People and their rights. Pure: no clock, no database, no network.

An *operator* follows all documents and runs deliveries and connections; an *auditor* looks at
the same and changes nothing; a *clerk* (văn thư) follows the documents of the own agencies and all
below them, and reads their content.

Nobody reads the content of other agencies' documents: neither running the gateway nor auditing it
needs that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from identifiers.organ_id import MalformedOrganId, OrganId
from routing.route_table import RouteTable

#: Characters of a person's name; with what goes before it, it must fit into the log's `actor`.
MAX_NAME = 100
#: Goes before names that the provider gave: no local person can be taken for one of them.
PROVIDER_PREFIX = "oidc:"


class PersonRole(StrEnum):
    """What somebody is to the gateway."""

    OPERATOR = "operator"
    AUDITOR = "auditor"
    CLERK = "clerk"


class Right(StrEnum):
    """What a request needs."""

    #: Search and follow documents; which ones, `Person.sees_everything` and `agencies` say.
    FOLLOW = "follow"
    #: Read the bytes of documents.
    READ_CONTENT = "read-content"
    #: Look at deliveries and connections.
    LOOK = "look"
    #: Hold, release, replay, return deliveries; pause, drain, resume, suspend connections.
    OPERATE = "operate"


_RIGHTS: Mapping[PersonRole, frozenset[Right]] = {
    PersonRole.OPERATOR: frozenset({Right.FOLLOW, Right.LOOK, Right.OPERATE}),
    PersonRole.AUDITOR: frozenset({Right.FOLLOW, Right.LOOK}),
    PersonRole.CLERK: frozenset({Right.FOLLOW, Right.READ_CONTENT}),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who showed who they are."""

    name: str
    roles: frozenset[PersonRole]
    #: Codes that a clerk works for, with everything below them.
    agencies: tuple[OrganId, ...] = ()

    @property
    def actor(self) -> str:
        """As the event log names them."""
        return f"person:{self.name}"

    @property
    def sees_everything(self) -> bool:
        """Whether what they may see does not depend on an agency."""
        return bool(self.roles & {PersonRole.OPERATOR, PersonRole.AUDITOR})

    def may(self, right: Right) -> bool:
        """Whether one of their roles has this right."""
        return any(right in _RIGHTS[role] for role in self.roles)

    def works_for(self, organ_key: str, routes: RouteTable) -> bool:
        """Whether an agency is one of theirs or lies below one, under any of its codes."""
        if PersonRole.CLERK not in self.roles:
            return False
        organ_id = OrganId.parse(organ_key)
        if isinstance(organ_id, MalformedOrganId):
            return False
        codes = routes.directory.codes_of(organ_id) or (organ_id,)
        return any(code.is_within(mine) for code in codes for mine in own_codes(self, routes))


def own_codes(person: Person, routes: RouteTable) -> tuple[OrganId, ...]:
    """A person's codes, with the other codes that the directory gives the same agencies."""
    codes: dict[OrganId, None] = {}
    for mine in person.agencies:
        codes |= dict.fromkeys((mine, *routes.directory.codes_of(mine)))
    return tuple(codes)


@dataclass(frozen=True, slots=True)
class NoPerson:
    """The claims of a good token make nobody of this gateway; why, for the log."""

    why: str


def claimed(value: Any, path: str) -> Any:
    """What a claim says; a claim whose name is the whole path goes before a path inward."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _words(value: Any) -> list[str]:
    """A claim's words: a list of them, or one text with spaces between."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, Sequence):
        return [one for one in value if isinstance(one, str)]
    return []


def person_of_claims(
    claims: Mapping[str, Any],
    *,
    name_claim: str,
    role_claim: str,
    role_words: Iterable[tuple[str, str]],
    agencies_claim: str,
) -> Person | NoPerson:
    """The person behind a verified token; `role_words` are pairs of our role and their word.

    A clerk without a right code is nobody: a slip in the provider's settings must not open more.
    """
    name = claimed(claims, name_claim)
    longest = MAX_NAME - len(PROVIDER_PREFIX)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.strip()) <= longest:
        return NoPerson(f"the claim {name_claim} is no name of at most {longest} characters")
    given = set(_words(claimed(claims, role_claim)))
    roles = frozenset(PersonRole(role) for role, word in role_words if word in given)
    if not roles:
        return NoPerson(f"the claim {role_claim} gives no role of this gateway")
    parsed = [OrganId.parse(code) for code in _words(claimed(claims, agencies_claim))]
    codes = tuple(code for code in parsed if isinstance(code, OrganId))
    if PersonRole.CLERK in roles and len(codes) != len(parsed):
        return NoPerson(f"the claim {agencies_claim} holds what is no agency code")
    if roles == {PersonRole.CLERK} and not codes:
        return NoPerson(f"the claim {agencies_claim} names no agency, which a clerk needs")
    return Person(f"{PROVIDER_PREFIX}{name.strip()}", roles, codes)
