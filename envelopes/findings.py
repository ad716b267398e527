"""Findings: what a check has to say about a package, as data.

One `Finding` feeds the HTTP answer (RFC 9457 problem details), the Description of a status 02,
`lienthong check`, and later the console, so it carries everything each of them needs: the rule and
its source, the place, what was found, what is allowed, and a sentence in Vietnamese and English.
The rules themselves are listed in `envelopes.rule_catalogue`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from identifiers.texts import Bilingual


class Severity(StrEnum):
    """What a finding means for the package."""

    #: The package (or one recipient of it) cannot go on.
    REFUSE = "refuse"
    #: The package goes on; both sides are shown the finding.
    WARN = "warn"


#: One message to a clerk in both languages.
Sentence = Bilingual


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found.

    `element` is a path such as ``MessageHeader/To[2]/OrganId`` or an attachment's name; `line` is
    the 1-based line of the package as it was received, None where no line applies.
    """

    rule: str
    severity: Severity
    sentence: Sentence
    element: str = ""
    line: int | None = None
    found: str = ""
    allowed: str = ""
    source: str = ""

    @property
    def refuses(self) -> bool:
        """Whether this finding alone stops the package."""
        return self.severity is Severity.REFUSE

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON-ready data; the shape is part of the REST API."""
        return {**asdict(self), "severity": self.severity.value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Finding:
        """The finding that `as_dict` wrote."""
        return cls(
            **{
                **data,
                "severity": Severity(data["severity"]),
                "sentence": Sentence(**data["sentence"]),
            }
        )


def refused(findings: tuple[Finding, ...] | list[Finding]) -> bool:
    """Whether any of `findings` stops the package."""
    return any(finding.refuses for finding in findings)
