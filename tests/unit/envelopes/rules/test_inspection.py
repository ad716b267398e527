"""The look into files: what their bytes say, in any blocks, in constant memory."""

from __future__ import annotations

import tracemalloc
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelopes.content_types import ZIP_KINDS
from envelopes.read import read_package
from envelopes.rules.encodings import header_problem, legacy_encoding
from envelopes.rules.facts import FileFacts, TextEncoding
from envelopes.rules.inspection import FileInspector, PackageInspector
from tests.support.make_corpus import PDF, archive
from tests.support.make_rule_corpus import TCVN3, VNI, docx
from tests.unit.envelopes.packages import good_bytes

_TEXT = "Cộng hòa xã hội chủ nghĩa Việt Nam. Độc lập, tự do, hạnh phúc.\n"


def _looked(content: bytes, name: str, size: int = 0) -> FileFacts:
    inspector = FileInspector()
    for start in range(0, len(content), size or len(content) or 1):
        inspector.feed(content[start : start + (size or len(content))])
    return inspector.close(name)


@pytest.mark.parametrize(
    ("content", "name", "encoding", "nfc"),
    [
        (_TEXT.encode(), "a.txt", TextEncoding.UTF8, True),
        (b"\xef\xbb\xbf" + _TEXT.encode(), "a.txt", TextEncoding.UTF8, True),
        (unicodedata.normalize("NFD", _TEXT).encode(), "a.csv", TextEncoding.UTF8, False),
        (_TEXT.encode("utf-16"), "a.txt", TextEncoding.UTF16, True),
        (TCVN3.encode("latin-1"), "a.txt", TextEncoding.TCVN3, None),
        (VNI.encode("latin-1"), "a.csv", TextEncoding.VNI, None),
        (TCVN3.encode(), "a.txt", TextEncoding.TCVN3, None),
        (VNI.encode(), "a.txt", TextEncoding.VNI, None),
        ("Été à la façade".encode("latin-1"), "a.txt", TextEncoding.OTHER, None),
        (b"plain", "a.txt", TextEncoding.UTF8, True),
        (PDF, "a.pdf", None, None),
        (b"\0\1\2", "a.txt", None, None),
        (b"", "a.txt", None, None),
    ],
)
def test_the_encoding_of_a_text_file(
    content: bytes, name: str, encoding: TextEncoding | None, nfc: bool | None
) -> None:
    """Unicode, TCVN3 and VNI are told apart and named; other files have no encoding."""
    found = _looked(content, name)
    assert (found.encoding, found.nfc) == (encoding, nfc)
    assert found.searched_for_secrets is (encoding is not None)


@pytest.mark.parametrize(
    "text",
    [
        _TEXT,
        "Quyết định về việc hoà giải, thuỷ lợi, uỷ ban",
        "naïve façade, Ångström, Köln",
        "7816/VPCP-TTĐT",
        "“Trích yếu” – 50 m² × 3; §5",
    ],
)
def test_unicode_is_not_taken_for_an_old_encoding(text: str) -> None:
    """Right Vietnamese and a few foreign names pass."""
    assert header_problem(text) == (None, True)


def test_old_encodings_in_a_header_are_named() -> None:
    """As they arrive: each byte become a letter of its own."""
    assert legacy_encoding(TCVN3) is TextEncoding.TCVN3
    assert legacy_encoding(VNI) is TextEncoding.VNI
    assert header_problem(unicodedata.normalize("NFD", _TEXT)) == (None, False)


@pytest.mark.parametrize(
    ("content", "name", "kind", "signature"),
    [
        (docx(), "a.docx", ZIP_KINDS["docx"], ""),
        (docx(signed=True), "a.docx", ZIP_KINDS["docx"], "OOXML"),
        (
            archive({"word/document.xml": b"x" * 9000, "[Content_Types].xml": b"<T/>"}, method=0),
            "a.docx",
            ZIP_KINDS["docx"],
            "",
        ),
        (archive({"a.txt": b"a"}), "a.docx", "application/zip", ""),
        (bytes.fromhex("3082010006092a864886f70d010702a0820100"), "a.p7m", "", "CMS"),
        (PDF, "a.pdf", "application/pdf", ""),
    ],
)
def test_kind_and_signature_of_a_file(content: bytes, name: str, kind: str, signature: str) -> None:
    """Further bytes than the reader's tell a Word file from a mere archive, and a signed one."""
    found = _looked(content, name, 1000)
    assert found.other_signature == signature
    assert not kind or found.detected_type == kind


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([_TEXT.encode() * 40, docx(signed=True), TCVN3.encode("latin-1") * 9]),
       st.integers(1, 300))  # fmt: skip
def test_blocks_make_no_difference(content: bytes, size: int) -> None:
    """However the bytes come, the facts are the same."""
    for name in ("a.txt", "a.docx"):
        assert _looked(content, name, size) == _looked(content, name)


def test_a_mark_beyond_the_sample_is_not_read_but_the_beginning_is() -> None:
    """A document bears its mark at the top; memory does not grow with the file."""
    line = b"dong thu mot trong nhieu dong\n"
    tracemalloc.start()
    inspector = FileInspector()
    inspector.feed("MẬT\n".encode())
    for _ in range(2000):
        inspector.feed(line * 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert inspector.close("a.txt").secret_mark == "Mật"
    assert peak < 1024 * 1024


def test_every_file_of_a_package_is_looked_at() -> None:
    """In the order of the model; a file whose bytes were not given to us says nothing."""
    for name, kinds in (("file-two", ["application/pdf"] * 2), ("file-archive-of-many", [""])):
        inspector = PackageInspector()
        read = read_package([good_bytes(name)], attachment_sink=inspector.sink)
        assert [one.detected_type for one in inspector.facts(read)] == kinds
