"""The text at the beginning of a PDF, as far as it can be had cheaply while the file streams by.

Enough to find a mark of secrecy on a line of its own, no more: streams are unpacked one after the
other within `BUDGET_BYTES`, those that draw text are kept, those that map glyphs to Unicode are
learned. Which font belongs to which text is not worked out: each mapping is tried on each line, and
only one gives words. Encrypted files, scanned pages and fonts without a mapping give nothing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

#: Bytes of unpacked streams that are looked at in one file ...
BUDGET_BYTES = 4 * 1024 * 1024
#: ... of one stream, and those that draw text, in all.
STREAM_BYTES = 512 * 1024
TEXT_BYTES = 128 * 1024
#: Codes of a line that may be a mark; longer lines are prose.
LINE_CODES = 40
_MAX_STREAMS = 5000
_MAX_MAPS = 12
_MAX_MAP_BYTES = 64 * 1024
_MAX_MAP_CODES = 65_536
_MAX_LINES = 300
_WINDOW = 4096

_BEGIN = b"stream"
_END = b"endstream"
_SKIPPED = (
    b"/Image",
    b"/DCTDecode",
    b"/JPXDecode",
    b"/CCITTFax",
    b"/Length1",
    b"/XRef",
    b"FontFile",
)
_SHOWS = re.compile(rb"\bT[jJ]\b|['\"]\s")
_TOKEN = re.compile(
    rb"\((?:\\.|[^\\()])*\)|<[0-9A-Fa-f\s]*>|[\[\]]|[-+.0-9]+|/[^\s/<>\[\]()]+|[A-Za-z'\"*]+",
    re.DOTALL,
)
_HEX = re.compile(rb"<([0-9A-Fa-f\s]*)>")
_RANGE = re.compile(
    rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*(?:<([0-9A-Fa-f]+)>|\[([^][]*)\])", re.DOTALL
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r\n|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
#: A kern of at least this many thousandths of the font's size, backwards, is a blank.
_BLANK = -180.0

#: Glyph codes to text, and how many bytes a code has.
_Map = tuple[int, dict[int, str]]
#: One line: the pieces as they are written, and where blanks are.
_Line = list[bytes | None]


class PdfText:
    """Takes the bytes of a PDF; `close` gives its lines, or None where there is no text."""

    def __init__(self) -> None:
        self._window = b""
        self._unpack: zlib._Decompress | None = None
        self._inside = False
        self._keep = False
        self._data = bytearray()
        self._left = BUDGET_BYTES
        self._texts: list[bytes] = []
        self._text_left = TEXT_BYTES
        self._maps: list[_Map] = []
        self._encrypted = False
        self._streams = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if b"/Encrypt" in data:
            self._encrypted = True
        if self._left <= 0 or self._encrypted or self._streams > _MAX_STREAMS:
            return
        self._window += data
        while (
            self._left > 0
            and self._streams <= _MAX_STREAMS
            and (self._inside_stream() if self._inside else self._outside())
        ):
            pass

    def _outside(self) -> bool:
        """Look for the next stream; False when more bytes are needed."""
        found = _begin(self._window)
        if found is None:
            self._window = self._window[-_WINDOW:]
            return False
        start, end = found
        head = self._window[max(0, start - 2048) : start]
        head = head[head.rfind(b" obj") + 1 :]
        self._window = self._window[end:]
        self._inside = True
        self._streams += 1
        self._data.clear()
        flate = b"/FlateDecode" in head or b"/Fl " in head
        self._keep = not any(word in head for word in _SKIPPED) and (
            flate or b"/Filter" not in head
        )
        self._unpack = zlib.decompressobj() if flate and self._keep else None
        return True

    def _inside_stream(self) -> bool:
        """Take the stream up to its end; False when more bytes are needed."""
        at = self._window.find(_END)
        # A keyword may be cut in two: its first bytes wait for the rest.
        ready = self._window[:at] if at >= 0 else self._window[: -len(_END)]
        self._take(ready)
        if at < 0:
            self._window = self._window[len(ready) :]
            return False
        self._window = self._window[at + len(_END) :]
        self._inside = False
        if self._keep:
            self._learn(bytes(self._data))
        return True

    def _take(self, packed: bytes) -> None:
        if not self._keep or not packed:
            return
        room = min(STREAM_BYTES - len(self._data), self._left)
        if self._unpack is None:
            plain = packed[: max(room, 0)]
        elif room <= 0 or self._unpack.eof:
            plain = b""
        else:
            try:
                plain = self._unpack.decompress(packed, room)
            except zlib.error:
                self._keep = False
                return
        self._data += plain
        self._left -= len(plain)

    def _learn(self, data: bytes) -> None:
        if b"begincmap" in data:
            if len(self._maps) < _MAX_MAPS:
                self._maps.append(_map_of(data))
        elif b"BT" in data and self._text_left > 0 and _SHOWS.search(data):
            self._texts.append(data[: self._text_left])
            self._text_left -= len(data)

    def close(self) -> str | None:
        """The lines that are short enough for a mark; None where no letter could be read."""
        if self._encrypted:
            return None
        lines = [line for text in self._texts for line in _lines(text)][:_MAX_LINES]
        read = [_decoded(line, known) for line in lines for known in (*self._maps, _SINGLE)]
        if not any(sum(char.isalpha() for char in text) >= 3 for text in read):
            return None
        return "\n".join(dict.fromkeys(text for text in read if text.strip()))


def _begin(window: bytes) -> tuple[int, int] | None:
    """Where the keyword `stream` and its line end stand; None when they do not.

    By `find` and not by an expression: most of a PDF is none of our business.
    """
    at = window.find(_BEGIN)
    while at >= 0:
        after = at + len(_BEGIN)
        newline = 2 if window.startswith(b"\r\n", after) else window.startswith(b"\n", after)
        if newline and not window.endswith(b"end", 0, at):
            return at, after + newline
        at = window.find(_BEGIN, after)
    return None


_SINGLE: _Map = (1, {code: bytes([code]).decode("cp1252", "replace") for code in range(32, 256)})


def _map_of(data: bytes) -> _Map:
    data = data[:_MAX_MAP_BYTES]
    codes: dict[int, str] = {}
    width = 1
    for block in _blocks(data, b"beginbfchar", b"endbfchar"):
        cells = [re.sub(rb"\s", b"", cell) for cell in _HEX.findall(block)]
        for code, text in zip(cells[::2], cells[1::2], strict=False):
            width = max(width, len(code) // 2)
            codes[_number(code)] = _utf16(text)
    left = _MAX_MAP_CODES
    for block in _blocks(data, b"beginbfrange", b"endbfrange"):
        for first, last, start, listed in _RANGE.findall(block):
            width = max(width, len(first) // 2)
            for number, letters in _range(_number(first), _number(last), start, listed):
                codes[number] = letters
                left -= 1
                if not left:
                    return width, codes
    return width, codes


def _blocks(data: bytes, begin: bytes, end: bytes) -> Iterator[bytes]:
    """What stands between each `begin` and the next `end`."""
    at = data.find(begin)
    while at >= 0:
        stop = data.find(end, at)
        if stop < 0:
            return
        yield data[at + len(begin) : stop]
        at = data.find(begin, stop)


def _range(first: int, last: int, start: bytes, listed: bytes) -> Iterator[tuple[int, str]]:
    last = min(last, first + 65_535)
    if listed:
        for code, cell in zip(range(first, last + 1), _HEX.findall(listed), strict=False):
            yield code, _utf16(re.sub(rb"\s", b"", cell))
        return
    text = _utf16(start)
    if not text:
        return
    for code in range(first, last + 1):
        point = ord(text[-1]) + code - first
        if point > 0x10FFFF:
            return
        yield code, text[:-1] + chr(point)


def _number(cell: bytes) -> int:
    return int(cell[:8] or b"0", 16)


def _utf16(cell: bytes) -> str:
    raw = bytes.fromhex(cell[: len(cell) // 4 * 4 or len(cell) // 2 * 2].decode("ascii"))
    return raw.decode("utf-16-be" if len(raw) % 2 == 0 and raw else "latin-1", "ignore")


def _lines(content: bytes) -> Iterator[_Line]:
    """The lines that a content stream shows; a line that is too long for a mark is left out."""
    line: _Line = []
    size = 0
    operands: list[bytes] = []
    for match in _TOKEN.finditer(content):
        token = match[0]
        if token[:1].isalpha() or token in (b"'", b'"'):
            if _ends_line(token, operands) and line:
                if size <= 2 * LINE_CODES:
                    yield line
                line, size = [], 0
            if token in (b"Tj", b"TJ", b"'", b'"'):
                for piece in _shown(operands):
                    line.append(piece)
                    size += len(piece or b" ")
            elif token in (b"Td", b"TD", b"Tm") and line:
                line.append(None)
            operands = []
        else:
            operands.append(token)
            del operands[:-2000]
    if line and size <= 2 * LINE_CODES:
        yield line


def _ends_line(operator: bytes, operands: list[bytes]) -> bool:
    if operator in (b"T*", b"T", b"ET", b"'", b'"', b"Tm"):
        # "T*" may come in two tokens. A new matrix: mostly a new line.
        return True
    if operator in (b"Td", b"TD"):
        return len(operands) < 2 or _float(operands[-1]) != 0
    return False


def _shown(operands: list[bytes]) -> Iterator[bytes | None]:
    for token in operands:
        if token.startswith(b"("):
            yield _ESCAPE.sub(_unescaped, token[1:-1])
        elif token.startswith(b"<"):
            digits = re.sub(rb"\s", b"", token[1:-1])
            yield bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
        elif token[:1] == b"-" and _float(token) < _BLANK:
            yield None


def _unescaped(match: re.Match[bytes]) -> bytes:
    what = match[1]
    if what[:1].isdigit():
        return bytes([int(what, 8) & 0xFF]) if what[:1] < b"8" else what
    if what in (b"\n", b"\r", b"\r\n"):
        return b""
    return _ESCAPED.get(what, what)


def _float(token: bytes) -> float:
    try:
        return float(token)
    except ValueError:
        return 0.0


def _decoded(line: _Line, known: _Map) -> str:
    """The line by one mapping; what it does not know is left out."""
    width, codes = known
    text = []
    for piece in line:
        if piece is None:
            text.append(" ")
            continue
        for at in range(0, len(piece) - width + 1, width):
            text.append(codes.get(int.from_bytes(piece[at : at + width], "big"), "\ufffd"))
    return " ".join("".join(text).split())
