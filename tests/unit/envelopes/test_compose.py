"""Composing: what is written reads back as the same model, and nothing illegal is written."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import pytest
from hypothesis import given, settings

from envelopes.compose import compose, compose_bytes
from envelopes.model import Document, StatusReport
from envelopes.read import open_attachment, read_package
from tests.unit.envelopes.models import documents, status_reports
from tests.unit.envelopes.packages import good_document, good_status


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_document_reads_back_as_itself(made: tuple[Document, dict[str, bytes]]) -> None:
    """read(compose(m)) = m, with no refusing finding, and every file's bytes come out again."""
    document, contents = made
    packed = compose_bytes(document, contents)
    result = read_package([packed])
    assert [finding for finding in result.findings if finding.refuses] == []
    assert isinstance(result.package, Document)
    assert result.package == document
    assert "child-order" not in result.dialects
    # By what was read, not by a bare id: an id alone cannot tell a wrapped file from an archive.
    for file in result.package.attachments:
        assert b"".join(open_attachment([packed], file)) == contents[file.content_id]


@settings(max_examples=150, deadline=None)
@given(status_reports)
def test_a_status_report_reads_back_as_itself(report: StatusReport) -> None:
    """read(compose(m)) = m for status reports too."""
    result = read_package([compose_bytes(report)])
    assert [finding for finding in result.findings if finding.refuses] == []
    assert result.package == report
    assert result.kind == "status"


def test_composing_is_canonical() -> None:
    """Composing what was read from canonical bytes gives those bytes: a fixed point."""
    document, contents = good_document()
    once = compose_bytes(document, contents)
    again = read_package([once]).package
    assert again is not None
    assert compose_bytes(again, contents) == once


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\ud800", "\uffff"])
def test_a_character_that_xml_cannot_hold_is_refused_by_field(character: str) -> None:
    """The error names the field, so that an API user knows what to mend."""
    document, contents = good_document()
    wrong = dataclasses.replace(document, subject=f"a{character}b")
    with pytest.raises(ValueError, match="MessageHeader/Subject holds U\\+"):
        compose_bytes(wrong, contents)


def test_other_bytes_than_described_are_refused() -> None:
    """A file that changed since its digest was taken never leaves under the old digest."""
    document, contents = good_document()
    swapped = {content_id: content + b"!" for content_id, content in contents.items()}
    with pytest.raises(ValueError, match="SHA-256"):
        compose_bytes(document, swapped)


def test_a_time_without_zone_is_refused() -> None:
    """A naive time could be meant in any zone: it is not guessed."""
    naive = dataclasses.replace(good_status("03"), timestamp=datetime(2025, 7, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no zone"):
        compose_bytes(naive)


def test_chunks_of_any_size_give_the_same_bytes() -> None:
    """base64 does not depend on how a file's bytes arrive."""
    document, contents = good_document()

    def bytewise(content: bytes) -> list[bytes]:
        return [content[at : at + 1] for at in range(len(content))]

    streamed = b"".join(compose(document, lambda file: bytewise(contents[file.content_id])))
    assert streamed == compose_bytes(document, contents)
