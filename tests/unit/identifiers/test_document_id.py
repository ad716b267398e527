"""Names of documents: opaque ids and number/notation."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifiers.document_id import (
    MAX_LENGTH,
    DocumentCode,
    DocumentId,
    DocumentIdParts,
    MalformedDocumentId,
)
from identifiers.organ_id import OrganId
from tests.unit.identifiers.strategies import organ_ids


def document_id(text: str) -> DocumentId:
    """The id that `text` must be."""
    parsed = DocumentId.parse(text)
    assert isinstance(parsed, DocumentId)
    return parsed


def test_regulation_form_has_parts() -> None:
    """The three comma parts are read: who, when, number and notation."""
    parts = document_id("000.00.00.G22,2015/09/30,7816/VPCP-TTĐT").parts
    assert parts == DocumentIdParts(
        OrganId.of("G22"), date(2015, 9, 30), DocumentCode("7816", "VPCP-TTĐT")
    )
    assert str(parts) == "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"


@pytest.mark.parametrize(
    "text",
    [
        "7b1c5a1e-6f0f-4b36-9a55-0d4f4c9f5d0e",
        "000.00.00.G22,2014/02/30,7806/VPCP-TTĐT",
        "000.00.00.G22,2015/9/30,7816/VPCP",
        "000.00.00.G22,30/09/2015,7816/VPCP",
        "000.1137.H53,2015/09/30,7816/VPCP",
        "000.00.00.G22,2015/09/30,",
        "000.00.00.G22,2015/09/30,12,A",
        "000.00.00.G22,0000/01/01,12",
    ],
)
def test_other_forms_are_ids_without_parts(text: str) -> None:
    """A UUID, or a form that does not quite fit, still names a document."""
    identifier = document_id(text)
    assert identifier.text == text
    assert identifier.parts is None


def test_comparison_is_opaque() -> None:
    """Ids written differently stay different whatever they mean; unseen characters do not count."""
    assert document_id("H41,2020/01/02,1/A") != document_id("000.00.00.H41,2020/01/02,1/A")
    assert document_id("abc") != document_id("ABC")
    plain = document_id("H41,2020/01/02,1/A TTĐT")
    assert document_id(" \ufeffH41,2020/01/02,1/A\u00a0TTĐT\u200b\n") == plain
    assert document_id("VPCP-Ho\u0323p") == document_id("VPCP-H\u1ecdp")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("\u200b \n", "empty"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "control"),
        ("x" * (MAX_LENGTH + 1), "255"),
    ],
)
def test_malformed_ids_say_why(text: str, words: str) -> None:
    """What cannot name a document is a value with the reason in both languages."""
    problem = DocumentId.parse(text)
    assert isinstance(problem, MalformedDocumentId)
    assert words in problem.reason.en and problem.reason.vi and problem.allowed
    assert len(problem.found) <= 80


def test_longest_id_is_accepted() -> None:
    """255 characters are allowed."""
    assert document_id("Đ" * MAX_LENGTH).text == "Đ" * MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "number", "notation"),
    [
        ("7816/VPCP-TTĐT", "7816", "VPCP-TTĐT"),
        ("54 /UBND-VP", "54", "UBND-VP"),
        ("20/2020/QĐ-TTg", "20", "2020/QĐ-TTg"),
        ("74fass22/VPCP", "74fass22", "VPCP"),
        ("7816", "7816", ""),
        ("/VPCP", "", "VPCP"),
        ("7816/", "7816", ""),
        ("", "", ""),
    ],
)
def test_code_is_split_at_the_first_slash(text: str, number: str, notation: str) -> None:
    """Number and notation are taken apart the way clerks write them."""
    assert DocumentCode.split_code(text) == DocumentCode(number, notation)


@given(st.text())
def test_parse_never_raises_and_is_stable(text: str) -> None:
    """Any text is an id or a reason, and an id reads back as itself."""
    identifier = DocumentId.parse(text)
    if isinstance(identifier, DocumentId):
        assert DocumentId.parse(str(identifier)) == identifier
        assert 0 < len(identifier.text) <= MAX_LENGTH


@given(st.text())
def test_split_code_is_stable(text: str) -> None:
    """A code that was split and joined splits into the same pieces."""
    code = DocumentCode.split_code(text)
    assert DocumentCode.split_code(str(code)) == code


@given(
    organ_ids,
    st.dates(),
    st.from_regex(r"[0-9]{1,4}[a-z]?", fullmatch=True),
    st.sampled_from(["", "VPCP-TTĐT", "2020/QĐ-TTg"]),
)
def test_parts_round_trip(organ_id: OrganId, day: date, number: str, notation: str) -> None:
    """An id composed of parts has exactly these parts."""
    parts = DocumentIdParts(organ_id, day, DocumentCode(number, notation))
    assert document_id(str(parts)).parts == parts
