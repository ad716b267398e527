"""The answer to ``getEdoc`` as it arrives: one JSON object whose ``data`` is a package in base64.

A package may be larger than what fits into memory, and other members may stand before or after it.
So the text of ``data`` is cut out and decoded block by block, and only the frame around it is read
as JSON at the end. Gson writes ``=`` as ``\\u003d`` and other writers ``/`` as ``\\/``: both are
undone.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Any

#: Bytes of everything around the package.
LONGEST_FRAME = 64 * 1024

_STOP = re.compile(rb'["\\]')
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"/": b"/", b"b": b"\b", b"f": b"\f"}
_WHITE = b" \t\r\n"
_QUOTE, _BACKSLASH = 0x22, 0x5C


class EdocBroken(ConnectionError):
    """The answer ended early or is not what the protocol says; the package is not whole."""


class EdocAnswer:
    """Feed the answer's bytes, take the package's; `close` gives the frame."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._depth = 0
        self._string = False
        self._escaped = False
        self._start = 0
        self._last = b""
        self._key = b""
        self._inside = False
        self._seen = False
        self._escape: bytes | None = None
        self._carry = b""
        self._ended = False

    def feed(self, block: bytes) -> bytes:
        """The bytes of the package that `block` completes. Raises `EdocBroken`."""
        text = bytearray()
        at = 0
        while at < len(block):
            at = self._data(block, at, text) if self._inside else self._around(block, at)
        return self._decoded(bytes(text)) if text else b""

    def close(self) -> dict[str, Any]:
        """The frame, `data` emptied, once the answer is whole. Raises `EdocBroken`."""
        try:
            frame = json.loads(self._frame)
        except (ValueError, RecursionError) as error:
            raise EdocBroken(f"the answer is no JSON, or was cut off: {error}") from error
        if not isinstance(frame, dict):
            raise EdocBroken("the answer is no JSON object")
        if self._carry:
            raise EdocBroken("the base64 of the package ends in the middle of a group")
        return frame

    @property
    def has_data(self) -> bool:
        """Whether there was a text called `data`, if only an empty one."""
        return self._seen

    def _around(self, block: bytes, at: int) -> int:
        """Take one byte of the frame."""
        byte = block[at]
        self._frame.append(byte)
        if len(self._frame) > LONGEST_FRAME:
            raise EdocBroken(f"more than {LONGEST_FRAME} bytes around the package")
        if self._string:
            self._in_string(byte)
        elif byte == _QUOTE:
            if self._depth == 1 and self._key == b"data":
                self._open()
            else:
                self._string, self._start = True, len(self._frame)
        else:
            self._structure(byte)
        return at + 1

    def _open(self) -> None:
        if self._seen:
            raise EdocBroken("the answer has two packages")
        self._inside = self._seen = True

    def _in_string(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
        elif byte == _BACKSLASH:
            self._escaped = True
        elif byte == _QUOTE:
            self._string = False
            self._last = bytes(self._frame[self._start : -1])

    def _structure(self, byte: int) -> None:
        if byte in b"{[":
            self._depth += 1
            self._key = b""
        elif byte in b"}]":
            self._depth -= 1
        elif byte == ord(":") and self._depth == 1:
            self._key = self._last
        elif byte == ord(","):
            self._key = b""

    def _data(self, block: bytes, at: int, text: bytearray) -> int:
        """Take as much of the package's text as there is; the place after it."""
        if self._escape is not None:
            self._unescape(block[at : at + 1], text)
            return at + 1
        stop = _STOP.search(block, at)
        if stop is None:
            text += memoryview(block)[at:]
            return len(block)
        text += memoryview(block)[at : stop.start()]
        if block[stop.start()] == _QUOTE:
            self._inside = False
            self._frame.append(_QUOTE)
        else:
            self._escape = b""
        return stop.end()

    def _unescape(self, byte: bytes, text: bytearray) -> None:
        escape = (self._escape or b"") + byte
        self._escape = escape
        if escape[:1] == b"u":
            if len(escape) < 5:
                return
            try:
                text += bytes([int(escape[1:], 16)])
            except ValueError as error:
                raise EdocBroken(f"no base64: \\{escape.decode('ascii', 'replace')}") from error
        elif escape in _ESCAPES:
            text += _ESCAPES[escape]
        else:
            raise EdocBroken(f"no base64: \\{escape.decode('ascii', 'replace')}")
        self._escape = None

    def _decoded(self, text: bytes) -> bytes:
        data = self._carry + text.translate(None, _WHITE)
        if self._ended and data:
            raise EdocBroken("base64 goes on after its end")
        whole = len(data) & ~3
        self._carry = data[whole:]
        try:
            decoded = binascii.a2b_base64(data[:whole], strict_mode=True)
        except binascii.Error as error:
            raise EdocBroken(f"no base64: {error}") from error
        self._ended = whole > 0 and data[whole - 1 : whole] == b"="
        return decoded
