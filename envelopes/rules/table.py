"""Verdicts by rule and profile: what `lienthong check --all-profiles` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from envelopes.rules.checks import CHECKS, JUDGED_BY_READER
from envelopes.rules.profile import Profile
from envelopes.rules.runner import Judgement
from identifiers.texts import Bilingual


class Verdict(StrEnum):
    """What one profile makes of one rule."""

    REFUSE = "refuse"
    WARN = "warn"
    NOT_JUDGED = "not-judged"
    OFF = "off"
    PASS = "pass"  # noqa: S105 - a verdict


#: How people are told.
WORDS: Mapping[Verdict, Bilingual] = {
    Verdict.REFUSE: Bilingual("từ chối", "refuse"),
    Verdict.WARN: Bilingual("lưu ý", "warn"),
    Verdict.NOT_JUDGED: Bilingual("chưa xét", "not judged"),
    Verdict.OFF: Bilingual("tắt", "off"),
    Verdict.PASS: Bilingual("đạt", "pass"),
}


def verdict(rule_id: str, judgement: Judgement, profile: Profile) -> Verdict:
    """The worst that a judgement says of a rule."""
    grades = {finding.severity.value for finding in judgement.findings if finding.rule == rule_id}
    for grade in (Verdict.REFUSE, Verdict.WARN):
        if grade.value in grades:
            return grade
    if not profile.applies(rule_id):
        return Verdict.OFF
    if any(one.rule == rule_id for one in judgement.not_judged):
        return Verdict.NOT_JUDGED
    return Verdict.PASS


def verdict_rows(
    judgements: Sequence[tuple[Profile, Judgement]],
) -> dict[str, tuple[Verdict, ...]]:
    """Rule to its verdicts, one for each profile: the rules of parts A-C, then others found."""
    rules = dict.fromkeys((*CHECKS, *JUDGED_BY_READER))
    rules |= dict.fromkeys(one.rule for _, told in judgements for one in told.findings)
    return {
        rule_id: tuple(verdict(rule_id, told, profile) for profile, told in judgements)
        for rule_id in rules
    }
