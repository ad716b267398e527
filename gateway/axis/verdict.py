"""What an axis' answer to `sendEdoc` means for a delivery. Pure.

The specification gives texts, not codes, so the texts are read. In doubt between "it has it
already" and anything else the answer is not taken for a receipt; what speaks of credentials or of
a rush is tried again, because it says nothing about the package.
"""

from __future__ import annotations

import re

from adapters.vxp_client import AxisAnswer, Heard
from envelopes.findings import Sentence
from gateway.axis.options import AxisOptions
from identifiers.texts import fold
from routing.deliver import AttemptOutcome, AttemptResult

TOO_LARGE = 413
#: ErrorCodes of axes that use HTTP's numbers for them: not now, or not with these credentials.
LATER_CODES = frozenset({"401", "408", "425", "429", "500", "502", "503", "504", "507"})

#: Texts are compared folded: lower case, no accents.
_NOT_HELD = re.compile(
    r"not? (?:be )?(?:exist|found|known)|n't exist|\b(?:khong|chua) ton tai"
    # The id is known there, but with other content: that is a refusal.
    r"|\b(?:other|another|different)\b|\bkhac\b"
)
_HELD = re.compile(
    r"\balready (?:been )?(?:exist|receiv|sent|has|have|held|stor|process|deliver)"
    r"|\bexist(?:s|ed)?(?: already)?\b|\bduplicated?\b|\bda (?:ton tai|duoc nhan|nhan)\b"
)
_LATER = re.compile(
    r"\bbusy\b|\btry again\b|\btry later\b|\btime ?d? ?-?out\b|\boverload|\bunavailable\b"
    r"|\btoo many\b|\brate limit|\bthu lai\b|\bqua tai\b|\btam (?:thoi|dung|ngung)\b"
    r"|\binternal (?:server )?error\b|\bdatabase\b|\bconnection (?:refused|reset|lost|closed)"
    r"|\bhe thong (?:dang )?ban\b|\bloi he thong\b"
)
#: Mended by an operator here or there; the package is as good as ever.
_CREDENTIALS = re.compile(
    r"\bsign-?header|\bhash-?header|\bhmac\b|\bsystem ?id\b|\btimestamp\b|\bsecret\b|\bunauthori"
    r"|\bauthenticat|\bcredential|\bxac thuc\b|\bhet han\b|\bexpired\b|\bsuspended\b"
)


def verdict(answer: AxisAnswer, options: AxisOptions) -> AttemptResult:
    """How an attempt ended."""
    detail = str(answer)[:300]
    match answer.heard:
        case Heard.OK:
            return AttemptResult(AttemptOutcome.DELIVERED, detail)
        case Heard.FAIL:
            return _failed(answer, options, detail)
        case Heard.UNKNOWN:
            said = Sentence(
                vi="Trục không trả lời rõ: chưa biết đã nhận hay chưa.",
                en="The axis gave no clear answer: it may have it or not.",
            )
            return AttemptResult(AttemptOutcome.UNKNOWN, detail, said)
        case Heard.DENIED if answer.status == TOO_LARGE:
            said = Sentence(
                vi="Trục không nhận gói tin lớn như vậy (HTTP 413).",
                en="The axis takes no package as large as this (HTTP 413).",
            )
            return AttemptResult(AttemptOutcome.REFUSED, detail, said)
    said = Sentence(
        vi=f"Trục chưa nhận được lúc này ({answer.code}).",
        en=f"The axis could not take it now ({answer.code}).",
    )
    return AttemptResult(AttemptOutcome.TRY_LATER, detail, said, answer.retry_after)


def _failed(answer: AxisAnswer, options: AxisOptions, detail: str) -> AttemptResult:
    text = fold(answer.text)
    if answer.code in options.held_codes or (_HELD.search(text) and not _NOT_HELD.search(text)):
        return AttemptResult(AttemptOutcome.DELIVERED, f"it has it already: {detail}"[:300])
    words = answer.text or answer.code or "FAIL"
    if (
        answer.code in LATER_CODES
        or answer.code in options.later_codes
        or _LATER.search(text)
        or _CREDENTIALS.search(text)
        or not answer.text
    ):
        said = Sentence(vi=f"Trục chưa nhận: {words}", en=f"The axis did not take it yet: {words}")
        return AttemptResult(AttemptOutcome.TRY_LATER, detail, said)
    said = Sentence(vi=f"Trục từ chối gói tin: {words}", en=f"The axis refused it: {words}")
    return AttemptResult(AttemptOutcome.REFUSED, detail, said)
