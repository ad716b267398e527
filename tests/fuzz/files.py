"""Files inside packages: base64 and the archive of one file."""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from envelopes.base64_stream import Base64Decoder
from envelopes.zip_stream import SingleEntryUnzipper, ZipForm
from tests.fuzz.promises import Broken, cut, storable

#: Bytes that a hundredfold packed file may become here.
MAX_UNPACKED = 64 * 1024 * 1024


def run_attachment(data: bytes) -> None:
    """The first byte says what the others are: base64 text, or an archive of one file."""
    if data[:1] < b"\x80":
        _run_base64(data[1:])
    else:
        _run_zip(data[1:])


def _run_base64(data: bytes) -> None:
    # As XML gives it: without characters that no XML can hold.
    text = data.decode("utf-8", "replace").replace("\0", "")
    cut = len(text) * (data[-1] if data else 0) // 256
    decoder = Base64Decoder()
    got = decoder.feed(text[:cut]) + decoder.feed(text[cut:])
    problem = decoder.close()
    bare = text.translate({ord(one): None for one in " \t\r\n"})
    try:
        wanted = base64.b64decode(bare, validate=True)
        canonical_text = base64.b64encode(wanted).decode() == bare
    except (binascii.Error, ValueError):
        wanted, canonical_text = b"", False
    if (problem is None) != canonical_text:
        raise Broken(f"taken: {problem is None}, right: {canonical_text}")
    if problem is None and got != wanted:
        raise Broken("decoded to other bytes")
    if problem is not None:
        storable([problem.kind, problem.found, problem.position, problem.line_offset])


def _run_zip(data: bytes) -> None:
    forms = []
    for blocks in ([data], cut(data), [data[i : i + 7] for i in range(0, len(data), 7)]):
        out = bytearray()
        unzipper = SingleEntryUnzipper(out.extend, max_ratio=100, ratio_from=1024 * 1024)
        for block in blocks:
            unzipper.feed(block)
            if len(out) > MAX_UNPACKED:
                raise Broken("unpacks without a bound")
        forms.append((unzipper.close(), bytes(out)))
    if len({form for form, _ in forms}) > 1:
        raise Broken(f"the blocks make a difference: {[form for form, _ in forms]}")
    form, content = forms[0]
    if form is not ZipForm.ONE_ENTRY:
        return
    if any(other != content for _, other in forms):
        raise Broken("the blocks make a difference to the content")
    # What we take for one file, everybody must take for the same file.
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if len(archive.namelist()) != 1 or archive.read(archive.namelist()[0]) != content:
            raise Broken("other programs read something else")


def attachment_seeds() -> Iterator[bytes]:
    """base64 texts and archives, right and wrong."""
    yield b"\x00"
    for text in ("QUJD", "QUI=", "QQ==", "QUJD\r\nQUJD", "QR==", "QUJ", "QQ==QQ==", "Q U\tJD"):
        yield b"\x00" + text.encode()
    for count in (0, 1, 2):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                for number in range(count):
                    archive.writestr(f"{number}.txt", b"quyet dinh " * 20)
            yield b"\x80" + file.getvalue()
    yield from (b"\x80" + made for made in _streamed())
    yield b"\x80" + b"not a zip"


def _streamed() -> Iterator[bytes]:
    """Archives whose sizes come behind the data, as Java writes them."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", method) as archive:
            archive.writestr("a.pdf", b"%PDF-1.7 " * 9)
        yield bytes(pipe.data)
