"""Hypothesis strategies: every package that the schema accepts, in the reader's normal form."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Any

from hypothesis import strategies as st

from envelopes.dialects import NOT_APPLICABLE
from envelopes.model import (
    VIETNAM_TIME,
    Attachment,
    Business,
    BusinessDocType,
    BusinessDocumentInfo,
    Code,
    Document,
    DocumentType,
    OtherInfo,
    Party,
    Receiver,
    Reference,
    ReplacementInfo,
    ResponseFor,
    SignerInfo,
    StaffInfo,
    StatusCode,
    StatusReport,
    TraceHeader,
)

_XML_CHARACTERS = st.one_of(
    st.sampled_from("aĐế &<>\"'\r\n\t]]>\u00a0\u0085\u2028\ufffd\U0001f4dc"),
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cc"]),
)


def _normal(text: str) -> str:
    trimmed = text.strip(" \t\r\n")
    return "" if trimmed in NOT_APPLICABLE else trimmed


texts = st.text(_XML_CHARACTERS, max_size=20).map(_normal)
some_text = texts.filter(bool)
codes = st.text("0123456789ABCDEFGH.", min_size=1, max_size=20)
document_ids = st.text("0123456789ABCDEF,/-ĐT", min_size=1, max_size=40)
dates = st.dates(min_value=date(1, 1, 1))
moments = st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(VIETNAM_TIME)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
amounts = st.one_of(st.none(), st.integers(0, 999_999_999))
flags = st.one_of(st.none(), st.booleans())


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy's value, or None; None also for a group whose every member is absent."""
    present = strategy.map(lambda value: None if value == type(value)() else value)
    return st.one_of(st.none(), present)


parties = st.builds(Party, codes, texts, texts, texts, texts, texts, texts, texts)
signers = _or_none(st.builds(SignerInfo, texts, texts, texts))
staffs = _or_none(st.builds(StaffInfo, texts, texts, texts, texts))
lists = st.lists(some_text, max_size=3).map(tuple)
response_fors = st.builds(
    ResponseFor,
    st.one_of(st.just(""), codes),
    texts,
    st.one_of(st.just(""), document_ids),
    st.one_of(st.none(), dates),
).filter(lambda value: value != ResponseFor())
other_infos = _or_none(
    st.builds(
        OtherInfo,
        st.one_of(st.none(), st.integers(0, 4)),
        texts,
        texts,
        amounts,
        amounts,
        flags,
        lists,
        lists,
        lists,
    )
)
businesses = st.builds(
    Business,
    st.sampled_from(BusinessDocType),
    texts,
    st.one_of(st.just(""), document_ids),
    flags,
    staffs,
    _or_none(
        st.builds(
            BusinessDocumentInfo,
            flags,
            flags,
            st.lists(st.builds(Receiver, codes, st.sampled_from(["", "0", "1"])), max_size=2).map(
                tuple
            ),
        )
    ),
    st.lists(
        st.builds(ReplacementInfo, document_ids, st.lists(codes, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
)

status_reports = st.builds(
    StatusReport,
    sender=parties,
    response_for=st.builds(ResponseFor, codes, texts, document_ids, st.one_of(st.none(), dates)),
    status_code=st.sampled_from(StatusCode).map(lambda code: code.value),
    description=some_text,
    timestamp=st.one_of(st.none(), moments),
    staff=staffs,
)

_FILE_NAMES = (
    st.text("abcđĐẾ 019_-.", min_size=1, max_size=12)
    .map(_normal)
    .filter(lambda name: name.strip(".") != "" and not name.endswith("."))
)
_TYPES = st.sampled_from(["", "application/pdf", "text/plain", "application/octet-stream"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[Document, dict[str, bytes]]:
    """A document, and the bytes of its files by content id."""
    ids = draw(st.lists(some_text, max_size=3, unique=True))
    contents = {content_id: draw(st.binary(max_size=300)) for content_id in ids}
    attachments = tuple(
        Attachment(
            content_id=content_id,
            name=draw(_FILE_NAMES),
            content_type=draw(_TYPES),
            description=draw(texts),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for content_id, content in contents.items()
    )
    references = tuple(
        Reference(file.content_id, file.content_type, file.description, file.name)
        for file in attachments
        if draw(st.booleans())
    )
    document = Document(
        sender=draw(parties),
        recipients=tuple(draw(st.lists(parties, min_size=1, max_size=3))),
        document_id=draw(document_ids),
        code=draw(st.builds(Code, texts, texts)),
        place=draw(texts),
        promulgation_date=draw(dates),
        document_type=draw(st.builds(DocumentType, texts, texts, texts)),
        subject=draw(texts),
        content=draw(texts),
        signer=draw(signers),
        due_date=draw(st.one_of(st.none(), dates)),
        other_info=draw(other_infos),
        response_for=tuple(draw(st.lists(response_fors, max_size=2))),
        steering_type=draw(st.sampled_from(["", "0", "1"])),
        to_places=draw(lists),
        trace=tuple(
            draw(st.lists(st.builds(TraceHeader, codes, st.one_of(st.none(), moments)), max_size=2))
        ),
        business=draw(businesses),
        references=references,
        attachments=attachments,
    )
    return document, contents
