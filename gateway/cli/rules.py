"""`lienthong rules …`: every rule with its article, and what each profile makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from envelopes.findings import Severity
from envelopes.rule import Rule
from envelopes.rule_catalogue import RULES
from envelopes.rules.locks import lock_of
from envelopes.rules.profile import (
    Profile,
    ProfileProblem,
    all_profiles,
    load_profile,
    parse_profile,
)
from envelopes.rules.table import WORDS, Verdict
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.output import print_fields, print_json, print_table, sentence, show
from identifiers.texts import Bilingual
from schemas.catalogue import profile_names

_LOCKED = Bilingual("không cấu hình được", "cannot be configured")


@click.group(short_help="The rules, their articles, and profiles.")
def rules() -> None:
    """The rules that packages are judged by, what they rest on, and the profiles."""


@rules.command("list")
@json_option
@pass_state
def list_(state: State, as_json: bool) -> None:
    """List every rule: id, severity in the national profile, article, sentence."""
    profile = load_profile("national")
    if as_json:
        print_json({"rules": [_rule_data(rule, (profile,)) for rule in RULES.values()]})
        return
    print_table(
        ("RULE", "NATIONAL", "SOURCE"),
        (
            (rule.id, _grade_word(profile.grade(rule.id), state.language), rule.source)
            for rule in RULES.values()
        ),
    )


@rules.command("explain")
@click.argument("rule_id", metavar="ID")
@json_option
@pass_state
def explain(state: State, rule_id: str, as_json: bool) -> None:
    """Explain one rule: sentences, articles, severity in every profile, whether it is fixed."""
    rule = RULES.get(rule_id.upper())
    if rule is None:
        near = ", ".join(one for one in RULES if one.startswith(rule_id.upper().split("-")[0]))
        raise click.BadParameter(
            f"there is no rule {rule_id!r}; there are: {near or ', '.join(RULES)}",
            param_hint="ID",
        )
    profiles = all_profiles()
    if as_json:
        print_json(_rule_data(rule, profiles))
        return
    lang = state.language
    lock = lock_of(rule.id)
    fields: list[tuple[str, object]] = [("rule", rule.id), ("source", rule.source)]
    fields += [(f"source {variant}", source) for variant, source in rule.sources.items()]
    for variant, words in (("", rule.sentence), *rule.variants.items()):
        fields.append((f"sentence {variant}".strip(), sentence(words, lang)))
    if lock is not None:
        told = f"{sentence(_LOCKED, lang)}: {sentence(lock.why, lang)}"
        fields.append(("fixed", told + (" (variants apart)" if lock.reading_only else "")))
    print_fields(fields)
    show()
    print_table(
        ("PROFILE", *(variant or "SEVERITY" for variant in _graded_variants(rule, profiles))),
        (
            (
                profile.name,
                *(
                    _grade_word(profile.grade(rule.id, variant), lang)
                    for variant in _graded_variants(rule, profiles)
                ),
            )
            for profile in profiles
        ),
    )


@rules.command("profile")
@click.argument("name", required=False)
@json_option
@pass_state
def profile(state: State, name: str | None, as_json: bool) -> None:
    """Show a profile (a name, or a TOML file); without one, list those that there are."""
    if name is None:
        found = all_profiles()
        if as_json:
            print_json(
                {"profiles": [{"name": one.name, "title": asdict(one.title)} for one in found]}
            )
            return
        print_table(
            ("PROFILE", "TITLE"), ((one.name, sentence(one.title, state.language)) for one in found)
        )
        return
    chosen = chosen_profile(name, "NAME")
    if as_json:
        print_json(_profile_data(chosen))
        return
    print_fields(
        [
            ("profile", chosen.name),
            ("title", sentence(chosen.title, state.language)),
            ("calendar", chosen.calendar),
            *((name, _parameter(value)) for name, value in asdict(chosen.parameters).items()),
        ]
    )
    show()
    print_table(
        ("RULE", "SEVERITY", "SOURCE"),
        (
            (
                key,
                _grade_word(chosen.grade(rule.id, variant), state.language),
                rule.sources.get(variant, rule.source),
            )
            for key, rule, variant in _graded(chosen)
        ),
    )


def chosen_profile(name: str, hint: str) -> Profile:
    """The profile called `name`, or the one in the TOML file of that name; else wrong use."""
    if name in profile_names():
        return load_profile(name)
    given = Path(name)
    if not given.is_file():
        known = ", ".join(one.name for one in all_profiles())
        raise click.BadParameter(
            f"there is no profile {name!r}; there are: {known}; or give a TOML file",
            param_hint=hint,
        )
    try:
        text = given.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{name}: {error}", param_hint=hint) from error
    made = parse_profile(text, given.stem)
    if isinstance(made, ProfileProblem):
        raise click.BadParameter(str(made), param_hint=hint)
    return made


def _graded(profile: Profile) -> Iterator[tuple[str, Rule, str]]:
    """Every rule, and its variants that this profile grades apart: key, rule, variant."""
    for rule in RULES.values():
        yield rule.id, rule, ""
        for variant in rule.variants:
            if f"{rule.id}/{variant}" in profile.grades:
                yield f"{rule.id}/{variant}", rule, variant


def _graded_variants(rule: Rule, profiles: tuple[Profile, ...]) -> tuple[str, ...]:
    graded = {key for profile in profiles for key in profile.grades}
    return ("", *(variant for variant in rule.variants if f"{rule.id}/{variant}" in graded))


def _grade_word(grade: Severity | None, language: str | None) -> str:
    words = WORDS[Verdict(grade.value) if grade else Verdict.OFF]
    return words.in_language(language or "en")


def _parameter(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grade_data(grade: Severity | None) -> str:
    return grade.value if grade else Verdict.OFF.value


def _rule_data(rule: Rule, profiles: tuple[Profile, ...]) -> dict[str, Any]:
    lock = lock_of(rule.id)
    return {
        "id": rule.id,
        "source": rule.source,
        "sources": dict(rule.sources),
        "sentence": asdict(rule.sentence),
        "variants": {name: asdict(words) for name, words in rule.variants.items()},
        "fixed": asdict(lock.why) if lock else None,
        "severities": {
            profile.name: {
                variant or "severity": _grade_data(profile.grade(rule.id, variant))
                for variant in _graded_variants(rule, profiles)
            }
            for profile in profiles
        },
    }


def _profile_data(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": asdict(profile.title),
        "calendar": profile.calendar,
        "rules": {
            key: _grade_data(profile.grade(rule.id, variant))
            for key, rule, variant in _graded(profile)
        },
        "parameters": {
            "".join(part.capitalize() if at else part for at, part in enumerate(name.split("_"))): (
                list(value) if isinstance(value, tuple) else value
            )
            for name, value in asdict(profile.parameters).items()
        },
    }
