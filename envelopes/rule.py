"""The shape of a rule; the rules themselves are data in `envelopes.rule_sentences`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envelopes.findings import Sentence, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it is called, what breaking it means, what it rests on, how it is said.

    `variants` holds further sentences for the same rule, by name; `sentence` is the ordinary one.
    Templates may use ``{element}``, ``{found}``, ``{allowed}`` and values of their own.
    """

    id: str
    severity: Severity
    source: str
    sentence: Sentence
    variants: Mapping[str, Sentence] = field(default_factory=dict)
    #: Of those variants that rest on other articles than the rule.
    sources: Mapping[str, str] = field(default_factory=dict)
