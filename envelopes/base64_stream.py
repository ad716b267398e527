"""base64 decoded as it arrives, in bounded memory and with nothing let through.

Python's decoder drops illegal characters by default and always accepts stray tail bits
(specification, reliability 2.5): two texts would then stand for one file. Here the alphabet, the
padding and the tail bits are all checked; XML white space alone is skipped.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

_WHITE = b" \t\r\n"
_TAIL = re.compile(rb"[A-Za-z0-9+/]{2,3}=?|[A-Za-z0-9+/]")
_ILLEGAL = re.compile(rb"[^A-Za-z0-9+/= \t\r\n]")


@dataclass(frozen=True, slots=True)
class Base64Problem:
    """Why a text is not base64: `kind` is the rule's variant ("" for an illegal character).

    `position` counts characters of the text from 1, white space included; `line_offset` is how
    many line feeds stood before it.
    """

    kind: str
    found: str
    position: int = 0
    line_offset: int = 0


class Base64Decoder:
    """Feed text, take bytes. After `problem` is set, everything further is ignored."""

    __slots__ = ("_carry", "_ended", "_seen", "_seen_lines", "problem")

    def __init__(self) -> None:
        self.problem: Base64Problem | None = None
        self._carry = b""
        self._ended = False
        self._seen = 0
        self._seen_lines = 0

    def feed(self, text: str) -> bytes:
        """The bytes that `text` completes; empty after a problem."""
        if self.problem is not None:
            return b""
        raw = text.encode("utf-8", "surrogatepass")
        data = raw.translate(None, _WHITE)
        if self._ended and data:
            return self._illegal(raw, text, after_end=True)
        data = self._carry + data
        whole = len(data) & ~3
        self._carry = data[whole:]
        try:
            decoded = binascii.a2b_base64(data[:whole], strict_mode=True)
        except binascii.Error:
            return self._illegal(raw, text, after_end=False)
        if self._carry and not _TAIL.fullmatch(self._carry):
            return self._illegal(raw, text, after_end=False)
        if whole and data[whole - 1] == ord("="):
            last = data[whole - 4 : whole]
            if binascii.b2a_base64(binascii.a2b_base64(last), newline=False) != last:
                self.problem = Base64Problem("noncanonical", last.decode("ascii"))
                return b""
            self._ended = True
            if self._carry:
                return self._illegal(raw, text, after_end=True)
        self._seen += len(text)
        self._seen_lines += text.count("\n")
        return decoded

    def close(self) -> Base64Problem | None:
        """To be called at the end of the text: the problem, if there was one."""
        if self.problem is None and self._carry:
            self.problem = Base64Problem("unterminated", self._carry.decode("ascii"), self._seen)
        return self.problem

    def _illegal(self, raw: bytes, text: str, *, after_end: bool) -> bytes:
        """Note the first character of this piece that may not stand where it does."""
        match = _ILLEGAL.search(raw)
        if match is not None:
            at = len(raw[: match.start()].decode("utf-8", "replace"))
        else:
            equals = text.find("=")
            at = 0 if after_end or equals < 0 else equals
        found = text[at : at + 20].strip() or text.strip()[:20]
        self.problem = Base64Problem(
            "", found, self._seen + at + 1, self._seen_lines + text.count("\n", 0, at)
        )
        return b""
