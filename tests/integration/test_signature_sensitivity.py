"""The matrix of signature cases can fail: with a check taken out, its case is judged wrongly."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.signatures import pdf, pdf_coverage
from adapters.signatures.pdf import check_pdf
from adapters.trust import judge as judging
from adapters.trust.judge import Evidence, Judge, Judgement
from envelopes.model import Document
from envelopes.read import open_attachment, read_package
from envelopes.signature_facts import Coverage
from tests.support.pki import NOW, pki
from tests.support.signature_case import trusted
from tests.support.signature_cases_pdf import PDF_CASES


@dataclass(frozen=True)
class Mutant:
    """A check taken out, and the case that then gets another outcome."""

    name: str
    place: Any
    attribute: str
    instead: Callable[..., Any]
    case: str
    outcome: str


def _embedded_first(self: Judge, evidence: Evidence) -> Iterator[tuple[Any, Any]]:
    """What came along instead of our own lists."""
    yield evidence.crls, evidence.ocsps


async def _any_purpose(self: Judge, *_: object, **__: object) -> Judgement:
    return Judgement(True)


MUTANTS = [
    Mutant(
        "what comes after a signature is not looked at",
        pdf,
        "check_coverage",
        lambda *_, **__: Coverage.WHOLE,
        "page replaced by an update",
        "valid",
    ),
    Mutant(
        "the form's fields are not counted",
        pdf_coverage,
        "_fields_added",
        lambda _: 0,
        "empty field added later",
        "valid",
    ),
    Mutant(
        "titles are not compared",
        pdf_coverage,
        "same_titles",
        lambda *_: True,
        "another title",
        "valid",
    ),
    Mutant(
        "the end of the file is not looked at",
        pdf_coverage,
        "_ends_cleanly",
        lambda _: True,
        "ZIP after stored evidence",
        "valid",
    ),
    Mutant(
        "embedded lists speak louder than ours",
        Judge,
        "_sources",
        _embedded_first,
        "revoked; an older good list embedded by the owner",
        "unverifiable",
    ),
    Mutant(
        "lists that may have forgotten are believed",
        judging,
        "_still_listed",
        lambda crls, _path: list(crls),
        "stamped before it expired, no evidence of then",
        "valid",
    ),
    Mutant(
        "certificates are not judged",
        Judge,
        "judge",
        _any_purpose,
        "unknown authority",
        "valid",
    ),
    Mutant(
        "small keys are taken",
        judging,
        "_too_small",
        lambda *_: False,
        "RSA-1024",
        "valid",
    ),
]


async def _outcome(name: str) -> tuple[str, str]:
    """Expected and real outcome of a case, looked at in this process."""
    (case,) = [one for one in PDF_CASES if one.name == name]
    raw = await asyncio.to_thread(case.made, pki())
    document = read_package([raw]).package
    assert isinstance(document, Document)
    file = b"".join(open_attachment([raw], document.attachments[0]))
    judge = Judge((case.material or trusted)(pki()), case.policy)
    return case.expected, (await check_pdf(io.BytesIO(file), judge, NOW)).outcome.value


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_check_that_is_taken_out_is_missed(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the check the case is judged right, without it wrongly: the case tests the check."""
    expected, seen = await _outcome(mutant.case)
    assert seen == expected
    monkeypatch.setattr(mutant.place, mutant.attribute, mutant.instead)
    expected, seen = await _outcome(mutant.case)
    assert seen == mutant.outcome != expected
