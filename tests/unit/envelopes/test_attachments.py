"""base64 and ZIP as streams: what goes in comes out, and nothing doubtful is let through."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelopes.base64_stream import Base64Decoder
from envelopes.content_types import detect, is_zip_kind
from envelopes.model import Document
from envelopes.read import AttachmentUnreadable, open_attachment, open_attachments, read_package
from envelopes.zip_stream import SingleEntryUnzipper, ZipForm
from tests.support.make_corpus import PDF, archive, overlapping, wrap, wrap_streamed, wrong_crc
from tests.unit.envelopes.packages import corpus, good_bytes


def _decode(text: str, cuts: list[int]) -> tuple[bytes, Base64Decoder]:
    decoder = Base64Decoder()
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    out = b"".join(decoder.feed(text[a:b]) for a, b in pairwise(edges))
    decoder.close()
    return out, decoder


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 80), st.lists(st.integers(0, 900), max_size=6))
def test_base64_of_any_layout_is_decoded(content: bytes, width: int, cuts: list[int]) -> None:
    """Any line width and any cutting gives the bytes."""
    code = base64.b64encode(content).decode()
    text = "\r\n".join(code[at : at + width] for at in range(0, len(code), width))
    out, decoder = _decode(text, cuts)
    assert decoder.problem is None
    assert out == content


@settings(deadline=None)
@given(st.text("QUJDRB=*é \n", max_size=24), st.lists(st.integers(0, 30), max_size=4))
def test_base64_is_strict_however_it_is_cut(text: str, cuts: list[int]) -> None:
    """A text is accepted exactly when it is the one encoding of its bytes."""
    out, decoder = _decode(text, cuts)
    bare = "".join(text.split())
    try:
        canonical = base64.b64encode(base64.b64decode(bare, validate=True)).decode() == bare
    except ValueError:
        canonical = False
    assert (decoder.problem is None) == canonical
    if canonical:
        assert out == base64.b64decode(bare)


def test_the_place_of_an_illegal_character_is_told() -> None:
    """Position and line lead to the character in a wrapped text."""
    _, decoder = _decode("QUJD\nQU*D\n", [])
    assert decoder.problem is not None
    assert (decoder.problem.position, decoder.problem.line_offset) == (8, 1)
    assert decoder.problem.found.startswith("*")


def _unzip(content: bytes, step: int = 7) -> tuple[ZipForm, bytes, str]:
    out = bytearray()
    unzipper = SingleEntryUnzipper(out.extend)
    for at in range(0, len(content), step):
        unzipper.feed(content[at : at + step])
    return unzipper.close(), bytes(out), unzipper.reason


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000), st.sampled_from([0, 8]), st.integers(1, 500))
def test_one_file_comes_out_of_its_wrapping(content: bytes, method: int, step: int) -> None:
    """Stored or deflated, sizes in front or in a descriptor, in steps of any size."""
    assert _unzip(wrap(content, method=method), step)[:2] == (ZipForm.ONE_ENTRY, content)
    assert _unzip(wrap_streamed(content, method), step)[:2] == (ZipForm.ONE_ENTRY, content)


def test_zip64_is_understood() -> None:
    """Sizes in the zip64 extra field, in front of the data."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w") as target,
        target.open(zipfile.ZipInfo("a"), "w", force_zip64=True) as entry,
    ):
        entry.write(PDF)
    assert _unzip(out.getvalue())[:2] == (ZipForm.ONE_ENTRY, PDF)


def test_a_descriptor_of_zip64_is_understood() -> None:
    """A data descriptor with 8-byte sizes, as large streams carry."""
    plain = wrap_streamed(PDF)
    at = plain.index(b"PK\x07\x08")
    crc, packed, size = struct.unpack_from("<3I", plain, at + 4)
    wide = plain[:at] + b"PK\x07\x08" + struct.pack("<I2Q", crc, packed, size) + plain[at + 16 :]
    # The end record tells where the directory is now: 8 bytes further on.
    (offset,) = struct.unpack_from("<I", wide, len(wide) - 6)
    wide = wide[:-6] + struct.pack("<I", offset + 8) + wide[-2:]
    assert _unzip(wide)[:2] == (ZipForm.ONE_ENTRY, PDF)


def test_a_second_directory_in_a_comment_is_found_out() -> None:
    """The end record leads elsewhere: programs that seek would unpack a file nobody looked at."""
    hidden = wrap(b"MZ what the scanner never saw", method=0)
    shown = wrap(PDF, method=0)
    start = shown.index(b"PK\x01\x02")
    behind = bytearray(hidden[hidden.index(b"PK\x01\x02") : hidden.index(b"PK\x05\x06")])
    local = hidden[: hidden.index(b"PK\x01\x02")]
    # The hidden file and its directory lie in the comment of the directory that is read first.
    directory = bytearray(shown[start : shown.index(b"PK\x05\x06")])
    struct.pack_into("<H", directory, 32, len(local) + len(behind))
    struct.pack_into("<I", behind, 42, start + len(directory))
    front = shown[:start] + directory + local
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(behind), len(front), 0)
    content = front + behind + end
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read(archive.namelist()[0]).startswith(b"MZ")
    form, _, reason = _unzip(content)
    assert (form, "does not agree" in reason) == (ZipForm.BROKEN, True)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (archive({"a": b"1", "b": b"2"}), ZipForm.ARCHIVE),
        (archive({}), ZipForm.ARCHIVE),
        (PDF, ZipForm.NOT_A_ZIP),
        (b"", ZipForm.NOT_A_ZIP),
        (b"PK", ZipForm.NOT_A_ZIP),
        (overlapping(PDF), ZipForm.BROKEN),
        (wrong_crc(PDF), ZipForm.BROKEN),
        (wrap(PDF)[:-1], ZipForm.BROKEN),
        (wrap(PDF)[:40], ZipForm.BROKEN),
        (wrap(PDF) + b"x", ZipForm.BROKEN),
        (wrap(PDF, method=zipfile.ZIP_BZIP2), ZipForm.BROKEN),
        (wrap(PDF).replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01"), ZipForm.BROKEN),
    ],
)
def test_other_archives_are_told_apart(content: bytes, form: ZipForm) -> None:
    """Several files, none, no ZIP, contradictions, locks and foreign methods."""
    found, _, reason = _unzip(content)
    assert found is form
    assert bool(reason) == (form is ZipForm.BROKEN)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=4))
def test_a_damaged_archive_never_passes_as_another_file(place: int, damage: bytes) -> None:
    """Whatever bytes are changed, one entry that is accepted is the entry that was packed."""
    content = bytearray(wrap(PDF))
    at = place % len(content)
    content[at : at + len(damage)] = damage
    form, out, _ = _unzip(bytes(content))
    assert form is not ZipForm.ONE_ENTRY or out == PDF


def test_an_attachment_that_is_not_there_is_said_so() -> None:
    """Asking for an unknown id is an error of its own."""
    with pytest.raises(AttachmentUnreadable, match="no such attachment"):
        list(open_attachment([good_bytes("file-two")], "404"))


def test_a_broken_attachment_ends_in_an_error() -> None:
    """The bytes of a damaged file are never taken for whole."""
    packed = good_bytes("file-plain-pdf").replace(base64.b64encode(PDF), b"QUJD*")
    with pytest.raises(AttachmentUnreadable, match="base64"):
        list(open_attachment([packed], "1"))


@pytest.mark.parametrize("cut", [1, 700, 10**6])
@pytest.mark.parametrize("path", corpus("good"), ids=lambda path: path.stem)
def test_one_pass_gives_what_opening_each_file_gives(path: Path, cut: int) -> None:
    """Every file whole and in order, however the package is cut; wrapped ones are unwrapped."""
    packed = path.read_bytes()
    chunks = [packed[at : at + cut] for at in range(0, len(packed), cut)]
    document = read_package([packed]).package
    attachments = document.attachments if isinstance(document, Document) else ()
    found: dict[int, bytes] = {}
    ended: list[int] = []
    for index, piece in open_attachments(chunks, attachments):
        assert index not in ended
        if piece is None:
            ended.append(index)
        found[index] = found.get(index, b"") + (piece or b"")
    assert ended == list(range(len(attachments)))
    for index, attachment in enumerate(attachments):
        assert found[index] == b"".join(open_attachment([packed], attachment))


def test_in_one_pass_a_broken_file_has_no_end() -> None:
    """The bytes of a damaged file are never taken for whole."""
    packed = good_bytes("file-plain-pdf")
    document = read_package([packed]).package
    assert isinstance(document, Document)
    broken = packed.replace(base64.b64encode(PDF), b"QUJD*")
    assert None in [piece for _, piece in open_attachments([packed], document.attachments)]
    assert None not in [piece for _, piece in open_attachments([broken], document.attachments)]


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (PDF, "a.doc", "application/pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.doc", "application/msword"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.xls", "application/vnd.ms-excel"),
        (b"{\\rtf1", "a.doc", "application/rtf"),
        (b"\x89PNG\r\n\x1a\n", "a", "image/png"),
        ("Kính gửi".encode(), "a.txt", "text/plain"),
        (b"a;b\n", "a.csv", "text/csv"),
        (b"\x00\x01", "a.txt", "application/octet-stream"),
        (b"MZ\x90", "a.pdf", "application/vnd.microsoft.portable-executable"),
        (
            archive({"mimetype": b"application/vnd.oasis.opendocument.text", "x": b""}, 0),
            "a.odt",
            "application/vnd.oasis.opendocument.text",
        ),
    ],
)
def test_the_content_decides_the_type(head: bytes, name: str, kind: str) -> None:
    """Magic bytes come first; the name only tells apart what bytes cannot."""
    assert detect(head, name) == kind


def test_archive_names_are_known() -> None:
    """Endings of ZIP-based files, in any case."""
    assert is_zip_kind("Phụ lục.DOCX")
    assert not is_zip_kind("a.doc")
    assert not is_zip_kind(".zip")
