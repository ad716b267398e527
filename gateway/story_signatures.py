"""Who signed a document, in one sentence of its story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME

_OUTCOMES = {
    "valid": Sentence("hợp lệ", "valid"),
    "invalid": Sentence("KHÔNG hợp lệ", "INVALID"),
    "unverifiable": Sentence("không xác minh được", "cannot be verified"),
    "absent": Sentence("không có chữ ký", "not signed"),
}
_KINDS = {
    "official": Sentence("chữ ký cá nhân", "official"),
    "agency": Sentence("chữ ký cơ quan", "agency's seal"),
}
_FORM = {"vi": "%d/%m/%Y %H:%M", "en": "%Y-%m-%d %H:%M"}
#: Files that the sentence names; the others are counted.
_NAMED = 5


def signatures_told(summary: Any) -> Sentence | None:
    """The sentence of `PackageRecord.summary["signatures"]`; None without anything to tell."""
    if not isinstance(summary, dict):
        return None
    vi, en = (list(_parts(summary, language)) for language in ("vi", "en"))
    if not vi:
        return None
    return Sentence("Chữ ký: " + "; ".join(vi) + ".", "Signatures: " + "; ".join(en) + ".")


def _parts(summary: dict[str, Any], language: str) -> Iterator[str]:
    package, files = summary["package"], summary["files"]
    if package["outcome"] != "absent":
        name = Sentence("gói tin", "the package").in_language(language)
        yield f"{name}: {_one(package, language)}"
    for file in files[:_NAMED]:
        each = ", ".join(_one(one, language) for one in file["signatures"])
        yield f"{file['name']}: {each or _outcome(file, language)}"
    if len(files) > _NAMED:
        more = len(files) - _NAMED
        yield Sentence(f"và {more} tệp khác", f"and {more} more files").in_language(language)


def _one(one: dict[str, Any], language: str) -> str:
    if "signer" not in one:
        return _outcome(one, language)
    about = [_KINDS[one["kind"]].in_language(language)] if one["kind"] in _KINDS else []
    if one["timeSource"] == "timestamp" and one["signedAt"]:
        at = datetime.fromisoformat(one["signedAt"]).astimezone(VIETNAM_TIME)
        about.append(at.strftime(_FORM[language]))
    about.append(_outcome(one, language))
    return f"{one['signer']} ({', '.join(about)})"


def _outcome(one: dict[str, Any], language: str) -> str:
    said = _OUTCOMES[one["outcome"]].in_language(language)
    return f"{said} [{', '.join(one['reasons'])}]" if one["reasons"] else said
