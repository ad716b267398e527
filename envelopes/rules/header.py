"""Checks on the header: who, to whom, reply, paper copy (part B of the specification)."""

from __future__ import annotations

from collections.abc import Iterator

from envelopes import element_names as names
from envelopes.findings import Sentence
from envelopes.model import BusinessDocType, Document, DocumentType
from envelopes.rules.facts import PackageFacts
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile
from identifiers.texts import clean
from schemas.catalogue import document_types

_URGENCY = f"{names.MESSAGE_HEADER}/{names.OTHER_INFO}/{names.PRIORITY}"
_DUE = f"{names.MESSAGE_HEADER}/{names.DUE_DATE}"
_ANSWERED = f"{names.MESSAGE_HEADER}/{names.RESPONSE_FOR}"
_PAPER = f"{names.TRACE_HEADER_LIST}/{names.BUSINESS}/{names.PAPER}"


def check_sender(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """ID-SENDER: what routing found, for From is judged against the authenticated connection."""
    yield from _of_routing(facts, "ID-SENDER")


def check_recipients(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """ID-RECIPIENT: what routing found, for only the directory knows who exists."""
    if facts.document is not None:
        yield from _of_routing(facts, "ID-RECIPIENT")


def _of_routing(facts: PackageFacts, rule_id: str) -> Iterator[Outcome]:
    found = facts.lookups.routing_findings
    if found is None:
        yield NotJudged(Missing.REGISTRY)
        return
    yield from (finding for finding in found if finding.rule == rule_id)


def check_urgency(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """HEAD-REQUIRED: the register's urgency; the reader looks at its other fields."""
    document = facts.document
    if document is not None and (not document.other_info or document.other_info.priority is None):
        yield Broken(_URGENCY, allowed=Sentence("độ khẩn 0–4", "urgency 0–4"))


def check_reply(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """HEAD-REPLY: who asks for a reply says until when; what is answered exists between the two."""
    document = facts.document
    if document is None:
        return
    if document.due_date is None and document.business.doc_type is not BusinessDocType.REVOCATION:
        said = f"{document.subject} {document.content}"
        phrase = _first_of(profile.parameters.reply_phrases, said)
        if phrase:
            yield Broken(_DUE, found=phrase, allowed="yyyy/MM/dd", variant="asks")
    if not document.response_for:
        return
    known = facts.lookups.answered_known
    if known is None:
        yield NotJudged(Missing.HISTORY, _ANSWERED)
        return
    for number, (answered, exists) in enumerate(zip(document.response_for, known, strict=False), 1):
        if not exists and (answered.document_id or answered.code):
            yield Broken(
                f"{_ANSWERED}[{number}]",
                found=answered.document_id or answered.code,
                allowed=Sentence("văn bản đã gửi, nhận", "a document exchanged before"),
                variant="unknown",
            )


def check_paper(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """HEAD-PAPER: what is on the list of documents without a paper copy has Paper=0."""
    document = facts.document
    if document is None or not document.business.paper:
        return
    parameters = profile.parameters
    kind = type_name(document.document_type)
    if not _named(kind, parameters.no_paper_types) or _named(kind, parameters.paper_types):
        return
    if _first_of(parameters.paper_topics, document.subject):
        return
    yield Broken(_PAPER, found="1", allowed="0", values=(("type", kind),))


def type_name(kind: DocumentType) -> str:
    """The name of a document's type: as written, else by its number in the administrative list.

    Two numberings are in use (specification, edXML section 7); Type 1 without a name may mean
    either and gives no name.
    """
    if kind.type_name:
        return clean(kind.type_name)
    number = kind.type_detail if kind.type == "2" and kind.type_detail.strip("0") else kind.type
    entry = None if number == "1" else document_types().get(number)
    return entry.vi if entry else ""


def is_urgent(document: Document) -> bool:
    """Whether the document is to travel at once (Khẩn and above)."""
    return document.priority > 0


def _named(kind: str, listed: tuple[str, ...]) -> bool:
    written = kind.casefold()
    return any(written == clean(name).casefold() for name in listed)


def _first_of(phrases: tuple[str, ...], text: str) -> str:
    """The first of `phrases` that `text` holds as whole words; "" for none."""
    spaced = f" {' '.join(clean(text).casefold().replace(',', ' ').split())} "
    for phrase in phrases:
        at = spaced.find(clean(phrase).casefold())
        if at > 0 and not spaced[at - 1].isalnum() and not spaced[at + len(phrase)].isalnum():
            return phrase
    return ""
