"""The rules of reading and exchange: ids, severities, sources and the sentences a clerk reads.

A finding is made in one place, `make`, from a rule id and values; the sentences themselves are data
in `envelopes.rule_sentences`. A profile may change a severity later; the one here is the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from envelopes.findings import Finding, Sentence, Severity
from envelopes.rule import Rule
from envelopes.rule_sentences import ALL_RULES
from identifiers.texts import QUOTE_LIMIT, quote

#: Characters that are not seen but change how the text around them is read.
_DECEIVING = re.compile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

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
    said: Sentence | None = None,
    severity: Severity | None = None,
    **values: object,
) -> Finding:
    """The finding that rule `rule_id` gives for these values.

    `found` and further `values` may be foreign text: they are shortened and made printable. A
    `Sentence` among them, or as `allowed`, is shown in each language by itself; `said` is how
    people are told `found` where that is a code.
    Raises KeyError for an unknown rule, variant or template value: that is a bug of the caller.
    """
    entry = RULES[rule_id]
    template = entry.variants[variant] if variant else entry.sentence
    values.update(element=element, found=said or found)
    vi, en = (
        getattr(template, lang).format_map(
            {name: _in(value, lang) for name, value in values.items()}
            | {"allowed": _own(allowed, lang)}
        )
        for lang in ("vi", "en")
    )
    if line is not None:
        vi, en = f"Dòng {line}: {vi}", f"Line {line}: {en}"
    return Finding(
        rule=rule_id,
        severity=entry.severity if severity is None else severity,
        sentence=Sentence(vi=vi, en=en),
        element=_shown(element),
        line=line,
        found=_shown(_both(found)),
        allowed=_both(allowed),
        source=entry.sources.get(variant, entry.source),
    )


def _in(value: object, lang: str) -> str:
    """A value as the sentence of `lang` shows it."""
    return value.in_language(lang) if isinstance(value, Sentence) else _shown(value)


def _own(value: object, lang: str) -> str:
    """The same of a value that is our own text."""
    return value.in_language(lang) if isinstance(value, Sentence) else str(value)


def _both(value: object) -> str:
    """Our own text for those who have one place for both languages."""
    if isinstance(value, Sentence):
        return value.vi if value.vi == value.en else f"{value.vi} / {value.en}"
    return str(value)


def _shown(value: object) -> str:
    """Foreign text fit for a sentence: short, printable, and in the direction that it reads."""
    text = str(value)
    if _DECEIVING.search(text):
        text = _DECEIVING.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
    # Cut before quoting: a hostile text may be a megabyte long.
    return quote(text[: 2 * QUOTE_LIMIT])


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
