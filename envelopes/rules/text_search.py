"""A search for marks of secrecy in text that streams by, to its end and in constant memory.

Plain text, web pages, XML and RTF: the bytes are taken in windows, cut where a line ends. Lines
that may be a mark are rare and looked at closely; a text made of nothing but such lines is given up
and said to be not searched.
"""

from __future__ import annotations

import html
import re

from envelopes.rules.office_text import lines_of_xml
from envelopes.rules.secret_marks import LinesSearch

#: Bytes that are looked at together; a line longer than half of it is cut.
WINDOW = 32 * 1024
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
#: Tags of web pages that leave their text in its line; all others without a prefix end it.
_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|code|em|font|i|mark|o:p|s|small|span|strong|sub|sup|u)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_ENDING = re.compile(r"</?[A-Za-z][\w.\-]*(?:\s[^<>]*)?/?>")
_RTF_END = re.compile(r"\\(?:par|line|row|cell|sect|page)(?![a-z]) ?")
_RTF_LETTER = re.compile(r"\\u(-?\d{1,6})(?: ?\\'[0-9a-fA-F]{2}| ?\?| )?|\\'([0-9a-fA-F]{2})")
_RTF_WORD = re.compile(r"\\[a-zA-Z]+-?\d* ?|\\[^a-zA-Z]|[{}\r\n]")


class TextSearch:
    """Takes the bytes of one text file; `close` gives its mark, or None where it was given up."""

    def __init__(self, head: bytes) -> None:
        """`head`: the file's first bytes, which are fed as well."""
        self._wide = _WIDE.get(head[:2], "")
        self._rtf = head.startswith(b"{\\rtf")
        self._rest = bytearray()
        self._lines = LinesSearch()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._lines.over:
            return
        self._rest += data
        at = 0
        while len(self._rest) - at >= WINDOW:
            at += self._look(bytes(self._rest[at : at + WINDOW]))
        del self._rest[:at]

    def _look(self, window: bytes) -> int:
        """Search the whole lines of `window`; returns how many of its bytes are done with."""
        half = len(window) // 2
        end = window.rfind(b"\\par" if self._rtf else b"\n", half)
        if end < 0 and not self._rtf:
            # One long line: at least no tag is torn apart.
            end = window.rfind(b"<", half)
        end = end if end > 0 else len(window)
        if self._wide:
            end += 2 - end % 2 if end < len(window) else 0
        self._search(window[:end])
        return end

    def _search(self, window: bytes) -> None:
        for text in self._decoded(window):
            if self._rtf:
                self._lines.feed(_rtf_lines(text))
                continue
            self._lines.feed(text)
            if "<" in text and ">" in text:
                self._lines.feed(markup_lines(text))

    def _decoded(self, window: bytes) -> tuple[str, ...]:
        if self._wide:
            return (window.decode(self._wide, "replace"),)
        try:
            return (window.decode("utf-8"),)
        except UnicodeDecodeError:
            # An old encoding, or a stray byte in a text of the new one.
            return window.decode("latin-1"), window.decode("utf-8", "replace")

    def close(self) -> str | None:
        """The mark, "" for none; None where not all could be searched."""
        if self._rest:
            self._search(bytes(self._rest))
            self._rest.clear()
        if self._lines.mark:
            return self._lines.mark
        return None if self._lines.over else ""


def markup_lines(text: str) -> str:
    """The text of a web page or of XML, one line for each block."""
    return lines_of_xml(_ENDING.sub("\n", _INLINE.sub("", text)))


def _rtf_lines(text: str) -> str:
    plain = _RTF_END.sub("\0", text)
    plain = _RTF_WORD.sub("", _RTF_LETTER.sub(_rtf_letter, plain))
    return plain.replace("\0", "\n")


def _rtf_letter(match: re.Match[str]) -> str:
    number, single = match[1], match[2]
    if single is not None:
        return bytes((int(single, 16),)).decode("cp1258", "replace")
    return html.unescape(f"&#{int(number) % 65536};")
