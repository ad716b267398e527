"""The look into files: what their bytes say, in any blocks, in constant memory."""

from __future__ import annotations

import time
import tracemalloc
import unicodedata
import zlib

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

_CMS = bytes.fromhex("06092a864886f70d010702")
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
        (PDF.replace(b"\n", b"\n%" + _CMS + b"\n", 1), "a.pdf", "application/pdf", ""),
        (b"So: " + _CMS, "a.bin", "", ""),
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


def _pdf(*lines: str, packed: bool = True, mapped: bool = True) -> bytes:
    """A PDF whose only font draws glyph 1, 2, 3 … for the letters in the order of their use."""
    glyphs = {char: number for number, char in enumerate(dict.fromkeys("".join(lines)), 1)}
    shown = "".join(
        f"<{''.join(f'{glyphs[char]:04x}' for char in line)}> Tj 0 -20 Td\n" for line in lines
    )
    pairs = "\n".join(
        f"<{number:04x}> <{char.encode('utf-16-be').hex()}>" for char, number in glyphs.items()
    )
    cmap = f"begincmap 1 beginbfchar\n{pairs}\nendbfchar endcmap"
    out = b"%PDF-1.5\n"
    streams = (f"BT /F1 14 Tf 50 800 Td\n{shown}ET", *([cmap] if mapped else []))
    for number, text in enumerate(streams, 1):
        data = zlib.compress(text.encode()) if packed else text.encode()
        kind = b"/Filter /FlateDecode" if packed else b""
        out += b"%d 0 obj\n<< %b /Length %d >>\nstream\n%b\nendstream\nendobj\n" % (
            number,
            kind,
            len(data),
            data,
        )
    return out + b"%%EOF\n"


def _word(*paragraphs: str) -> bytes:
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    return archive(
        {
            "[Content_Types].xml": b"<Types/>",
            "word/document.xml": f"<w:document>{body}</w:document>".encode(),
        }
    )


_PAGE = ("ỦY BAN NHÂN DÂN TỈNH", "TỐI MẬT", "Số: 12/KH-UBND", "mật độ dân số")
_PLAIN_PAGE = ("ỦY BAN NHÂN DÂN TỈNH", "Số: 12/KH-UBND", "V/v bảo", "mật thông tin", "bảo", "mật.")


@pytest.mark.parametrize("size", [0, 1, 7, 100])
@pytest.mark.parametrize(
    ("content", "name", "mark"),
    [
        (_pdf(*_PAGE), "a.pdf", "Tối mật"),
        (_pdf(*_PAGE, packed=False), "a.pdf", "Tối mật"),
        (_pdf(*_PLAIN_PAGE), "a.pdf", ""),
        (_word(*_PAGE), "a.docx", "Tối mật"),
        (_word(*_PLAIN_PAGE), "a.docx", ""),
        (
            archive({"mimetype": b"application/vnd.oasis.opendocument.text",
                     "content.xml": "<text:p>X</text:p><text:p>MẬT</text:p>".encode()}),
            "a.odt",
            "Mật",
        ),
        ("<?xml version='1.0'?><w:p>X</w:p><w:p>MẬT</w:p>".encode(), "a.doc", "Mật"),
        (b"%PDF-1.4\n1 0 obj<<>>stream\nBT (M\xcbt) Tj T* (UBND) Tj ET\nendstream", "a.pdf", "Mật"),
    ],
)  # fmt: skip
def test_a_mark_inside_a_document(content: bytes, name: str, mark: str, size: int) -> None:
    """The text of PDF, Word and OpenDocument files is read, in whatever blocks it comes."""
    found = _looked(content, name, size)
    assert found.searched_for_secrets
    assert found.secret_mark == mark


_FILLER = "Căn cứ Luật Tổ chức chính quyền địa phương, xét đề nghị của cơ quan.\n" * 3000


@pytest.mark.parametrize("size", [0, 999, 65_536])
@pytest.mark.parametrize(
    ("content", "name", "mark"),
    [
        ("<html><body><p>TUYỆT MẬT</p></body></html>".encode(), "a.html", "Tuyệt mật"),
        ("Kính gửi<p><b>TUYỆT</b>&nbsp;MẬT</p>".encode(), "a.html", "Tuyệt mật"),
        (b"<div>T&#7888;I M&#7852;T</div>", "a.txt", "Tối mật"),
        (f"{_FILLER}\tTUYỆT MẬT\r\n{_FILLER}".encode(), "a.txt", "Tuyệt mật"),
        (f"{_FILLER}TUYỆT MẬT\n".encode("utf-16"), "a.txt", "Tuyệt mật"),
        (f"{_FILLER}\nĐộ mật: Tối mật\n".encode() + b"\xff", "a.txt", "Tối mật"),
        (f"{_FILLER}".encode() + b"TUY\xd6T M\xcbT\n", "a.txt", "Tuyệt mật"),
        (f"<?xml version='1.0'?><a>{_FILLER}<w:p>MẬT</w:p></a>".encode(), "a.xml", "Mật"),
        (b"{\\rtf1\\ansi UBND\\par T\\u7888?I M\\u7852?T\\par}", "a.rtf", "Tối mật"),
        (b"{\\rtf1 " + b"x" * 99_000 + b"\\par {\\b M\\'c2\\'f2T}\\par}", "a.rtf", "Mật"),
        (b"{\\rtf1\\ansi V/v b\\u7843?o m\\u7853?t\\par}", "a.rtf", ""),
        (f"{_FILLER}mật độ dân số\nbảo mật\nmật.\n".encode(), "a.txt", ""),
    ],
)
def test_text_is_searched_to_its_end(content: bytes, name: str, mark: str, size: int) -> None:
    """Behind any length of text, between tags, in RTF: a mark on its line is found."""
    found = _looked(content, name, size)
    assert found.searched_for_secrets
    assert found.secret_mark == mark


@pytest.mark.parametrize("content", [b"Mat\n" * 2_000_000, b"<" * 4_000_000, b"<!--" * 1_000_000])
def test_a_hostile_text_costs_little(content: bytes) -> None:
    """Nothing but lines that may be marks is given up and told; open tags cost nothing."""
    started = time.perf_counter()
    _looked(content, "a.txt", 65_536)
    assert time.perf_counter() - started < 3
    lines = b"".join(b"mot %d\n" % number for number in range(30_000))
    assert not _looked(lines, "a.txt").searched_for_secrets


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><script>alert(1)</script></html>", "text/html"),
        (b"\xef\xbb\xbf <!-- a --> <!-- b -->\n<!DOCTYPE html>", "text/html"),
        (b"x <script src=a></script>", "text/html"),
        (b"<!---->" * 500 + b"x", "text/plain"),
        (b"a < b > c", "text/plain"),
    ],
)
def test_a_web_page_is_one_under_any_name(content: bytes, kind: str) -> None:
    """The bytes decide, not the ending .txt."""
    assert _looked(content, "b.txt").detected_type == kind


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PDF, "a.pdf"),
        (_pdf(*_PAGE, mapped=False), "a.pdf"),
        (_pdf(*_PAGE).replace(b"%%EOF", b"trailer << /Encrypt 9 0 R >>"), "a.pdf"),
        (_pdf(*_PAGE)[:90], "a.pdf"),
        (_word(*_PAGE)[:60], "a.docx"),
        (b"\x89PNG\r\n\x1a\n", "a.png"),
        (b"\x01\x02\x00\x03" * 20, "a.dat"),
    ],
)
def test_what_cannot_be_read_is_not_called_searched(content: bytes, name: str) -> None:
    """Pictures, encrypted or broken files, fonts without a mapping: HEAD-SECRET is not judged."""
    found = _looked(content, name)
    assert not found.searched_for_secrets and found.secret_mark == ""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_broken_document_breaks_the_look(data: st.DataObject) -> None:
    """Whatever is cut out of or put into a PDF or a Word file, there are facts."""
    content = bytearray(
        data.draw(st.sampled_from([_pdf(*_PAGE, packed=False), _pdf(*_PAGE), _word(*_PAGE)]))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 30))
        content[at : at + cut] = data.draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from([b"stream\n", b"beginbfrange", b"<", b"["])
            )
        )
    _looked(bytes(content), "a.pdf", 64)


@pytest.mark.parametrize(
    "text",
    [
        b"begincmap " + b"beginbfchar " * 40_000,
        b"begincmap beginbfrange " + b"<0000> <ffff> <0041>" * 20_000 + b"endbfrange",
        b"begincmap beginbfrange " + b"<00> <01> [" * 20_000 + b"endbfrange",
        b"BT " + b"(a" * 200_000 + b" Tj ",
        b"BT " + b"(mmmmmmmmmmmmmmmmmm mmmmmmmmmm) Tj T* " * 9000,
        bytes(30_000_000),
    ],
)
def test_a_hostile_pdf_costs_little(text: bytes) -> None:
    """Streams made to take time or memory: far below a second each."""
    stream = b"1 0 obj<</Filter/FlateDecode>>stream\n" + zlib.compress(text) + b"\nendstream\n"
    started = time.perf_counter()
    _looked(b"%PDF-1.4\n" + stream * 12 + b"stream\nendstream\n" * 20_000, "a.pdf", 65_536)
    assert time.perf_counter() - started < 3


def test_every_file_of_a_package_is_looked_at() -> None:
    """In the order of the model; a file whose bytes were not given to us says nothing."""
    for name, kinds in (("file-two", ["application/pdf"] * 2), ("file-archive-of-many", [""])):
        inspector = PackageInspector()
        read = read_package([good_bytes(name)], attachment_sink=inspector.sink)
        assert [one.detected_type for one in inspector.facts(read)] == kinds
