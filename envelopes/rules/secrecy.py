"""HEAD-SECRET: no state secret enters (KT 1.2, ĐB 1.2, SL 1.2, BT 4.2, KG 10.1).

What is found says where the mark was and which, never the text around it: a file is named by its
place, for its name may be a secret itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from envelopes import element_names as names
from envelopes.findings import Sentence
from envelopes.rules.facts import PackageFacts
from envelopes.rules.header_texts import code_texts, header_texts
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile
from envelopes.rules.secret_marks import in_code, in_file_name, in_text

_ALLOWED = Sentence(
    "gửi theo quy định về bảo vệ bí mật nhà nước",
    "the channel that the law on state secrets gives",
)


#: Characters of header texts that are searched: far more than people write, and few enough that a
#: hostile header costs no more than tenths of a second.
SEARCHED_CHARS = 100_000


def check_secret(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """HEAD-SECRET in codes, header texts, names of files, and on the documents themselves."""
    yield from _in_header(facts)
    yield from _in_files(facts)


def _in_header(facts: PackageFacts) -> Iterator[Outcome]:
    left = SEARCHED_CHARS
    searched = (
        (in_code, code_texts(facts.package)),
        (in_text, header_texts(facts.package, names_too=False)),
    )
    for search, texts in searched:
        for element, text in texts:
            if mark := search(text[:left]):
                yield Broken(element, found=mark, allowed=_ALLOWED)
            if len(text) > left:
                yield NotJudged(Missing.LENGTH, element)
                return
            left -= len(text)


def _in_files(facts: PackageFacts) -> Iterator[Outcome]:
    for index, file, looked in facts.attachments():
        element = f"{names.ATTACHMENT_ENCODED}/{names.ATTACHMENT}[{index + 1}]"
        if mark := in_file_name(file.name):
            yield Broken(f"{element}/{names.ATTACHMENT_NAME}", found=mark, allowed=_ALLOWED)
        if looked is not None and looked.secret_mark:
            yield Broken(element, found=looked.secret_mark, allowed=_ALLOWED)
        elif looked is None:
            yield NotJudged(Missing.FILES, element)
        elif not looked.searched_for_secrets:
            yield NotJudged(Missing.TEXT, element)
    document = facts.document
    for number, reference in enumerate(document.references if document else (), 1):
        if mark := in_file_name(reference.attachment_name):
            element = f"{names.MANIFEST}/{names.REFERENCE}[{number}]/{names.ATTACHMENT_NAME}"
            yield Broken(element, found=mark, allowed=_ALLOWED)
