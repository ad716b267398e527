"""Rules that no profile can change, and why.

A package that cannot be read has nothing to let through, an exchange whose order is broken cannot
be told to the other side, and some prohibitions are law for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from identifiers.texts import Bilingual


@dataclass(frozen=True, slots=True)
class Lock:
    """Why a rule is as it is; `reading_only`: its variants may be graded all the same."""

    why: Bilingual
    reading_only: bool = False


_READING = Bilingual(
    "việc đọc gói tin dựa vào quy tắc này", "reading the package itself depends on this rule"
)
_EXCHANGE = Bilingual(
    "trình tự trao đổi giữa hai bên dựa vào quy tắc này",
    "the order of the exchange between both sides depends on this rule",
)
_LAW = Bilingual(
    "pháp luật cấm đối với mọi cơ quan, không cấu hình nào được nới",
    "the law forbids it to every agency, no profile may relax it",
)
_IDENTITY = Bilingual(
    "không ai được gửi nhân danh cơ quan khác", "nobody may send in another agency's name"
)

_LOCKS: dict[str, Lock] = {
    **dict.fromkeys(
        (
            "XML-FORM",
            "XML-DTD",
            "XML-ENCODING",
            "XML-LIMIT",
            "XML-NAMESPACE",
            "XML-ROOT",
            "SCHEMA",
            "ATT-BASE64",
            "ATT-ZIP",
            "ATT-LIMIT",
            "STATUS-CODE",
            "STATUS-REASON",
        ),
        Lock(_READING),
    ),
    "FILE-COMPLETE": Lock(_READING, reading_only=True),
    **dict.fromkeys(
        (
            "ID-RECIPIENT",
            "RECIPIENT-TWICE",
            "DUPLICATE-CONTENT",
            "RECALL-NOT-ASKED",
            "STATUS-UNKNOWN-DOCUMENT",
            "STATUS-FOREIGN-DOCUMENT",
            "STATUS-ORDER",
        ),
        Lock(_EXCHANGE),
    ),
    **dict.fromkeys(("ID-SENDER", "RECALL-OWNER", "SIG-REVOKED-NOW"), Lock(_IDENTITY)),
    **dict.fromkeys(("HEAD-SECRET", "FILE-MALWARE"), Lock(_LAW)),
}


def lock_of(rule_id: str) -> Lock | None:
    """Why no profile can change the rule; None where one can."""
    return _LOCKS.get(rule_id)
