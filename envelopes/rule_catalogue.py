"""The rules of reading and exchange: ids, severities, sources and the sentences a clerk reads.

A finding is made in one place, `make`, from a rule id and values; the sentences themselves are data
in `envelopes.rule_sentences`. A profile may change a severity later; the one here is the default.
"""

from __future__ import annotations

from collections.abc import Mapping

from envelopes.findings import Finding, Sentence, Severity
from envelopes.rule import Rule
from envelopes.rule_sentences import ALL_RULES
from identifiers.texts import quote

#: Every rule by id.
RULES: Mapping[str, Rule] = {entry.id: entry for entry in ALL_RULES}


def rule(rule_id: str) -> Rule:
    """The rule called `rule_id`. Raises KeyError for an id that no rule has."""
    return RULES[rule_id]


def make(
    rule_id: str,
    variant: str = "",
    *,
    element: str = "",
    line: int | None = None,
    found: object = "",
    allowed: object = "",
    severity: Severity | None = None,
    **values: object,
) -> Finding:
    """The finding that rule `rule_id` gives for these values.

    `found` and further `values` may be foreign text: they are shortened and made printable.
    Raises KeyError for an unknown rule, variant or template value: that is a bug of the caller.
    """
    entry = RULES[rule_id]
    template = entry.variants[variant] if variant else entry.sentence
    shown = {name: quote(str(value)) for name, value in values.items()}
    shown.update(element=quote(element), found=quote(str(found)), allowed=str(allowed))
    vi, en = template.vi.format_map(shown), template.en.format_map(shown)
    if line is not None:
        vi, en = f"Dòng {line}: {vi}", f"Line {line}: {en}"
    return Finding(
        rule=rule_id,
        severity=entry.severity if severity is None else severity,
        sentence=Sentence(vi=vi, en=en),
        element=shown["element"],
        line=line,
        found=shown["found"],
        allowed=str(allowed),
        source=entry.source,
    )


def limit_finding(
    rule_id: str,
    setting: str,
    limit: int,
    found: int | str,
    *,
    element: str = "",
    line: int | None = None,
) -> Finding:
    """The finding for a technical bound: names limit, present value and setting."""
    return make(
        rule_id,
        "limit",
        element=element,
        line=line,
        found=found,
        allowed=f"{limit} ({setting})",
        limit=limit,
        setting=setting,
    )
