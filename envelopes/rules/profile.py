"""Profiles: which rules apply, how severely, with which parameters. All of it is data (TOML).

``national`` is the default and names every rule; another profile names only what differs from it.
A profile cannot weaken what reading and the order of exchange depend on (`envelopes.rules.locks`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from envelopes.findings import Severity
from envelopes.rule_catalogue import RULES
from envelopes.rules.locks import lock_of
from identifiers.organ_id import OrganId
from identifiers.texts import Bilingual
from schemas.catalogue import profile_names, profile_text

#: The profile of whoever has no other.
NATIONAL = "national"
_OFF = "off"
GRADES = ("refuse", "warn", _OFF)
#: Until when an ordinary document is to be issued (TIME-ISSUE).
ISSUE_LIMITS = ("next-working-day", "next-working-morning")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the rules of a profile measure by; a field's name is its name in TOML."""

    #: FILE-SIZE, in MiB of the decoded file.
    max_file_mib: int = 50
    #: FILE-NAME, in characters.
    max_name_chars: int = 50
    #: FILE-FORMAT: endings in lower case, without the dot.
    formats: tuple[str, ...] = ()
    #: FILE-UNSIGNED-PDF, SIG-BOTH, SIG-APPENDIX: whether an unsigned document is taken at all.
    signature_required: bool = False
    #: HEAD-PAPER: names of types that are sent without a paper copy ...
    no_paper_types: tuple[str, ...] = ()
    #: ... names of types, and words of a subject, that may have one all the same.
    paper_types: tuple[str, ...] = ()
    paper_topics: tuple[str, ...] = ()
    #: HEAD-REPLY: phrases by which a document asks for a reply.
    reply_phrases: tuple[str, ...] = ()
    #: TIME-ISSUE: one of `ISSUE_LIMITS`.
    issue_limit: str = "next-working-day"
    #: SIG-TERM, in years.
    max_new_certificate_years: int = 5
    max_renewed_certificate_years: int = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. `grades` maps a rule, or ``RULE/variant``, to its severity; None is off."""

    name: str
    title: Bilingual
    grades: Mapping[str, Severity | None] = field(default_factory=dict)
    parameters: Parameters = Parameters()
    #: Name of the working calendar (`adapters.calendars`); the caller knows which there are.
    calendar: str = "national"

    def grade(self, rule_id: str, variant: str = "") -> Severity | None:
        """How severe breaking the rule is; None where the rule is off. Raises KeyError."""
        lock = lock_of(rule_id)
        ordinary = RULES[rule_id].severity
        if lock is not None and not (lock.reading_only and variant):
            return ordinary
        of_variant = f"{rule_id}/{variant}"
        if variant and of_variant in self.grades:
            return self.grades[of_variant]
        return self.grades.get(rule_id, ordinary)

    def applies(self, rule_id: str) -> bool:
        """Whether anything of the rule is on."""
        variants = ("", *RULES[rule_id].variants)
        return any(self.grade(rule_id, variant) is not None for variant in variants)


@dataclass(frozen=True, slots=True)
class ProfileProblem:
    """Why a text is no profile: where, what was found, what is allowed (English, for operators)."""

    place: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.place}: {self.found}; allowed: {self.allowed}"


@cache
def load_profile(name: str) -> Profile:
    """The profile that comes with the gateway. Raises KeyError for an unknown name."""
    if name not in profile_names():
        raise KeyError(name)
    made = parse_profile(profile_text(name), name)
    if isinstance(made, ProfileProblem):
        raise ValueError(f"schemas/profiles/{made}")
    return made


def national() -> Profile:
    """The default profile."""
    return load_profile(NATIONAL)


def all_profiles() -> tuple[Profile, ...]:
    """Every profile that comes with the gateway, the national one first."""
    names = sorted(profile_names(), key=lambda name: (name != NATIONAL, name))
    return tuple(load_profile(name) for name in names)


def parse_profile(text: str, name: str) -> Profile | ProfileProblem:
    """The profile that a TOML text describes, on top of the national one."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return ProfileProblem(name, str(error), "TOML")
    known = {"title", "calendar", "rules", "parameters"}
    for key in data.keys() - known:
        return ProfileProblem(name, f"unknown key {key!r}", ", ".join(sorted(known)))
    grades = _grades(data.get("rules", {}), name)
    if isinstance(grades, ProfileProblem):
        return grades
    base = Profile(NATIONAL, Bilingual("", "")) if name == NATIONAL else national()
    parameters = _parameters(data.get("parameters", {}), base.parameters, name)
    if isinstance(parameters, ProfileProblem):
        return parameters
    title = data.get("title", {"vi": name, "en": name})
    if not isinstance(title, dict) or not all(
        isinstance(title.get(at), str) for at in ("vi", "en")
    ):
        return ProfileProblem(f"{name}: title", repr(title), "vi and en, both text")
    calendar = data.get("calendar", base.calendar)
    if not isinstance(calendar, str) or not calendar:
        return ProfileProblem(f"{name}: calendar", repr(calendar), "the name of a calendar")
    return Profile(
        name, Bilingual(title["vi"], title["en"]), {**base.grades, **grades}, parameters, calendar
    )


def _grades(given: Any, name: str) -> dict[str, Severity | None] | ProfileProblem:
    if not isinstance(given, dict):
        return ProfileProblem(f"{name}: rules", repr(given), "a table")
    grades: dict[str, Severity | None] = {}
    for key, grade in given.items():
        rule_id, _, variant = key.partition("/")
        place = f"{name}: rules.{key}"
        if rule_id not in RULES:
            return ProfileProblem(place, f"there is no rule {rule_id!r}", "an id of `rules list`")
        if "/" in key and variant not in RULES[rule_id].variants:
            allowed = ", ".join(RULES[rule_id].variants) or "none"
            return ProfileProblem(place, f"{rule_id} has no variant {variant!r}", allowed)
        if grade not in GRADES:
            return ProfileProblem(place, repr(grade), ", ".join(GRADES))
        lock = lock_of(rule_id)
        if lock is not None and not (lock.reading_only and variant):
            ordinary = RULES[rule_id].severity.value
            if grade != ordinary:
                return ProfileProblem(place, repr(grade), f"{ordinary} alone: {lock.why.en}")
        grades[key] = None if grade == _OFF else Severity(grade)
    return grades


def _parameters(given: Any, base: Parameters, name: str) -> Parameters | ProfileProblem:
    if not isinstance(given, dict):
        return ProfileProblem(f"{name}: parameters", repr(given), "a table")
    present = {one.name: getattr(base, one.name) for one in fields(Parameters)}
    changed: dict[str, Any] = {}
    for key, value in given.items():
        place = f"{name}: parameters.{key}"
        if key not in present:
            return ProfileProblem(place, "unknown parameter", ", ".join(present))
        taken = _value(value, present[key])
        if taken is None:
            return ProfileProblem(place, repr(value), _wanted(present[key]))
        changed[key] = taken
    if changed.get("issue_limit", ISSUE_LIMITS[0]) not in ISSUE_LIMITS:
        return ProfileProblem(
            f"{name}: parameters.issue_limit", repr(changed["issue_limit"]), ", ".join(ISSUE_LIMITS)
        )
    return replace(base, **changed)


def _value(value: Any, present: Any) -> Any:
    """`value` in the type of the parameter it is for; None where it does not fit."""
    if isinstance(present, bool):
        return value if isinstance(value, bool) else None
    if isinstance(present, int):
        fits = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return value if fits else None
    if isinstance(present, tuple):
        fits = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
        return tuple(value) if fits else None
    return value if isinstance(value, str) and value else None


def _wanted(present: Any) -> str:
    if isinstance(present, bool):
        return "true or false"
    if isinstance(present, int):
        return "a whole number above 0"
    return "a list of texts" if isinstance(present, tuple) else "a text"


def profile_for(
    connection_settings: Mapping[str, Any],
    organ_id: str,
    assignments: Mapping[str, str],
    aliases: Iterable[str] = (),
) -> str:
    """The name of the profile that a package of `organ_id` is judged by.

    `assignments` maps agency codes to names: the longest of them that the agency lies under wins
    (an agency's own code is the longest). Without one, ``profile`` of the connection's settings;
    without that, or with one that does not exist, the national one. `aliases` are the agency's
    codes in the other system. The names in `assignments` are the caller's to check.
    """
    own = [
        code for text in (organ_id, *aliases) if isinstance(code := OrganId.parse(text), OrganId)
    ]
    best, depth = "", 0
    for text, name in assignments.items():
        above = OrganId.parse(text)
        if not isinstance(above, OrganId) or above.level <= depth:
            continue
        if any(code == above or code.is_within(above) for code in own):
            best, depth = name, above.level
    if best:
        return best
    chosen = connection_settings.get("profile")
    return chosen if isinstance(chosen, str) and chosen in profile_names() else NATIONAL
