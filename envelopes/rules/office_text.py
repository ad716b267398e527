"""The text at the beginning of a Word or OpenDocument file, while the file streams by.

The entry that holds the text is unpacked as far as `TEXT_BYTES`; other entries are passed over.
"""

from __future__ import annotations

import html
import re
import struct
import zlib

#: Bytes of the text's XML that are looked at.
TEXT_BYTES = 512 * 1024

_HEADER = struct.Struct("<4s5H3I2H")
_ENTRIES = (b"word/document.xml", b"content.xml")
_STORED, _DEFLATED = 0, 8
_PARAGRAPH_END = re.compile(r"</(?:w:p|text:p|text:h)>|<(?:w:br|w:tab|text:line-break|text:tab)\b")
_TAG = re.compile(r"<[^<>]*>")


class OfficeText:
    """Takes the bytes of a ZIP; `close` gives the text's lines, or None where there is none."""

    def __init__(self) -> None:
        self._window = b""
        self._unpack: zlib._Decompress | None = None
        self._stored_left = 0
        self._text = bytearray()
        self._done = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._done:
            return
        if self._unpack is not None or self._stored_left:
            self._take(data)
            return
        self._window += data
        self._find()

    def _find(self) -> None:
        for name in _ENTRIES:
            at = self._window.find(name)
            start = at - _HEADER.size
            if at < 0 or start < 0:
                continue
            fields = _HEADER.unpack_from(self._window, start)
            if fields[0] != b"PK\x03\x04" or fields[9] != len(name):
                continue
            body = at + len(name) + fields[10]
            if body > len(self._window):
                return  # the rest of the header is yet to come
            rest = self._window[body:]
            self._window = b""
            if fields[3] == _DEFLATED:
                self._unpack = zlib.decompressobj(-15)
            elif fields[3] == _STORED:
                self._stored_left = fields[7]
            else:
                self._done = True
            self._take(rest)
            return
        self._window = self._window[-(_HEADER.size + 512) :]

    def _take(self, data: bytes) -> None:
        room = TEXT_BYTES - len(self._text)
        if self._unpack is None:
            plain = data[: min(room, self._stored_left)]
            self._stored_left -= len(plain)
            self._done = not self._stored_left
        else:
            try:
                plain = self._unpack.decompress(data, room)
            except zlib.error:
                self._done = True
                return
            self._done = self._unpack.eof
        self._text += plain
        self._done = self._done or len(self._text) >= TEXT_BYTES

    def close(self) -> str | None:
        """One line for each paragraph."""
        return lines_of_xml(self._text.decode("utf-8", "ignore")) if self._text else None


def lines_of_xml(text: str) -> str:
    """The text of a document's XML, one line for each paragraph."""
    return html.unescape(_TAG.sub("", _PARAGRAPH_END.sub("\n<", text)))
