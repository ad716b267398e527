"""Judging a package under a profile: every rule of parts A-C, each by a small pure check.

A check looks at facts and yields what is broken or what it could not judge. The runner gives each
its grade in the profile and its sentence. No check does I/O or reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from envelopes.findings import Finding, refused
from envelopes.rule_catalogue import RULES, make
from envelopes.rules.checks import CHECKS
from envelopes.rules.facts import PackageFacts
from envelopes.rules.locks import lock_of
from envelopes.rules.outcome import Broken, Missing, NotJudged
from envelopes.rules.profile import Profile

#: Breaking this rule means that nothing of the package may be kept.
SECRECY = "HEAD-SECRET"
#: Without a judgement on this rule a package waits.
MALWARE = "FILE-MALWARE"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a profile makes of a package."""

    profile: str
    #: Refusals first; the reader's findings in their grade, then those of the rules.
    findings: tuple[Finding, ...]
    #: Rules, or parts of them, that could not be judged with the facts at hand.
    not_judged: tuple[NotJudged, ...]

    @property
    def refused(self) -> bool:
        """Whether the package is stopped."""
        return refused(self.findings)

    @property
    def secret(self) -> bool:
        """Whether it bears a mark of secrecy: refuse, keep nothing of it, alert the operator.

        `findings` then hold that alone; the others might quote the content.
        """
        return any(finding.rule == SECRECY for finding in self.findings)

    @property
    def must_wait(self) -> bool:
        """Whether a file is not scanned: hold the package and try again, never pass it on."""
        return not self.refused and any(one.rule == MALWARE for one in self.not_judged)

    @property
    def awaits_list(self) -> bool:
        """Whether a fresh list of revoked certificates is missing: hold the package, say so."""
        return not self.refused and any(one.why is Missing.REVOCATION for one in self.not_judged)


def judge(facts: PackageFacts, profile: Profile) -> Judgement:
    """Everything that `profile` has to say about a package. Never raises for what it holds."""
    findings = list(_regraded(facts.reading_findings, profile))
    not_judged: list[NotJudged] = []
    for rule_id, check in CHECKS.items():
        if not profile.applies(rule_id):
            continue
        for outcome in check(facts, profile):
            if isinstance(outcome, NotJudged):
                not_judged.append(replace(outcome, rule=rule_id))
            elif isinstance(outcome, Finding):
                findings.append(outcome)
            elif (finding := _finding(rule_id, outcome, profile)) is not None:
                findings.append(finding)
    secret = [finding for finding in findings if finding.rule == SECRECY]
    kept = list(dict.fromkeys(secret or findings))
    kept.sort(key=lambda finding: not finding.refuses)
    return Judgement(profile.name, tuple(kept), tuple(dict.fromkeys(not_judged)))


def _finding(rule_id: str, broken: Broken, profile: Profile) -> Finding | None:
    grade = profile.grade(rule_id, broken.variant)
    if grade is None:
        return None
    return make(
        rule_id,
        broken.variant,
        element=broken.element,
        found=broken.found,
        allowed=broken.allowed,
        said=broken.said,
        severity=grade,
        line=None,
        **dict(broken.values),
    )


def _regraded(findings: tuple[Finding, ...], profile: Profile) -> Iterator[Finding]:
    """The reader's findings in the profile's grade.

    A finding that the reader graded otherwise than its rule (a name that deceives, an id that no
    index holds) keeps its grade: it was the case that decided, not the rule.
    """
    for finding in findings:
        if lock_of(finding.rule) or finding.severity is not RULES[finding.rule].severity:
            yield finding
        elif (grade := profile.grade(finding.rule)) is not None:
            yield replace(finding, severity=grade)
