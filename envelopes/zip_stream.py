"""A ZIP of one file, unwrapped as it arrives.

The national toolkit wraps each file in a ZIP of one entry. Only what a stream can prove is trusted:
the local header, the data, its CRC, and then a central directory that must say the same. Nothing is
sought, extracted to a name or taken from a size field (specification, reliability 2.5), so
overlapping entries and lying headers give a finding, never data. Handles stored and deflated
entries, data descriptors and zip64.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_LOCAL_SIGN = b"PK\x03\x04"
_CENTRAL_SIGN = b"PK\x01\x02"
_DESCRIPTOR_SIGN = b"PK\x07\x08"
_END_SIGN = b"PK\x05\x06"
_END64_SIGN = b"PK\x06\x06"
_LOCATOR64_SIGN = b"PK\x06\x07"

_STORED, _DEFLATED = 0, 8
_HAS_DESCRIPTOR = 0x8
#: Encrypted in one way or another, or a patch to another file: nothing that can be looked into.
_LOCKED = 0x1 | 0x20 | 0x40 | 0x2000
_UNKNOWN32 = 0xFFFFFFFF
_UNKNOWN16 = 0xFFFF
#: The newest form of ZIP there is (6.3), as a number; nobody unpacks what asks for a newer one.
_NEWEST = 63
#: Output is handed on in pieces of at most this many bytes.
_PIECE = 256 * 1024
#: Longest directory and comment of a one-entry archive: name, extra and comment twice over.
_MAX_TAIL = 512 * 1024


class ZipForm(StrEnum):
    """What the bytes turned out to be; known for certain only at the end."""

    #: Exactly one file, unwrapped and verified.
    ONE_ENTRY = "one entry"
    #: An archive of several entries (or of none): not a wrapping.
    ARCHIVE = "archive"
    NOT_A_ZIP = "not a zip"
    #: Begins as a ZIP but contradicts itself, is cut off, locked or of an unknown method.
    BROKEN = "broken"
    #: Grows beyond the allowed ratio.
    TOO_DENSE = "too dense"


@dataclass(slots=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int


class SingleEntryUnzipper:
    """Feed an archive; the file inside goes to `sink` as it is unpacked.

    `max_ratio` bounds output bytes per input byte once output passes `ratio_from` bytes.
    `close` says what it was; bytes given to `sink` count only when that is ONE_ENTRY.
    """

    def __init__(
        self,
        sink: Callable[[bytes], object],
        *,
        max_ratio: int = 100,
        ratio_from: int = 1024 * 1024,
    ) -> None:
        self._sink = sink
        self._max_ratio = max_ratio
        self._ratio_from = ratio_from
        self._buffer = bytearray()
        self._step: Callable[[], bool] = self._read_local
        self._entry = _Entry(b"", 0, 0, 0, 0, 0)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc = 0
        self._packed = 0
        self._size = 0
        #: Bytes before the directory, as soon as it begins.
        self._before = 0
        self._form: ZipForm | None = None
        #: Why the form is BROKEN, in English for the record.
        self.reason = ""

    @property
    def form(self) -> ZipForm | None:
        """What the bytes are, as soon as further ones do not matter; None until then."""
        return self._form

    @property
    def size(self) -> int:
        """Bytes unpacked so far."""
        return self._size

    @property
    def packed_size(self) -> int:
        """Compressed bytes consumed so far."""
        return self._packed

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the archive."""
        if self._form is not None:
            return
        self._buffer += data
        while self._form is None and self._step():
            pass

    def close(self) -> ZipForm:
        """Say what the bytes were; to be called after the last one."""
        if self._form is None:
            self._finish()
        return self._form or ZipForm.BROKEN

    # Steps: each returns whether another step may go on with what is buffered.

    def _settle(self, form: ZipForm, reason: str = "") -> bool:
        self._form, self.reason = form, reason
        self._buffer.clear()
        return False

    def _read_local(self) -> bool:
        buffer = self._buffer
        if len(buffer) >= 4 and not buffer.startswith(_LOCAL_SIGN):
            empty = buffer.startswith((_END_SIGN, _END64_SIGN))
            return self._settle(ZipForm.ARCHIVE if empty else ZipForm.NOT_A_ZIP)
        if len(buffer) < _LOCAL.size:
            return False
        _, _, flags, method, _, _, crc, packed, size, name_len, extra_len = _LOCAL.unpack_from(
            buffer
        )
        end = _LOCAL.size + name_len + extra_len
        if len(buffer) < end:
            return False
        name = bytes(buffer[_LOCAL.size : _LOCAL.size + name_len])
        extra = bytes(buffer[_LOCAL.size + name_len : end])
        if size == _UNKNOWN32 or packed == _UNKNOWN32:
            size, packed = _zip64_sizes(extra, size, packed)
        del buffer[:end]
        self._before = end
        self._entry = _Entry(name, flags, method, crc, packed, size)
        if flags & _LOCKED:
            return self._settle(ZipForm.BROKEN, "the archive is locked with a password")
        if method == _DEFLATED:
            self._step = self._inflate
        elif method == _STORED:
            by_descriptor = flags & _HAS_DESCRIPTOR and not packed
            self._step = self._copy_to_descriptor if by_descriptor else self._copy
        else:
            return self._settle(ZipForm.BROKEN, f"compression method {method} is unknown")
        return True

    def _emit(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._sink(data)

    def _inflate(self) -> bool:
        data = bytes(self._buffer)
        self._buffer.clear()
        inflater = self._inflater
        while data and not inflater.eof:
            try:
                out = inflater.decompress(data, _PIECE)
            except zlib.error:
                return self._settle(ZipForm.BROKEN, "the compressed data are damaged")
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            self._packed += len(data) - len(rest)
            data = rest
            if out:
                self._emit(out)
            if self._size > self._ratio_from and self._size > self._max_ratio * self._packed:
                return self._settle(ZipForm.TOO_DENSE)
        if not inflater.eof:
            return False
        self._buffer += data
        self._step = self._read_descriptor
        return True

    def _copy(self) -> bool:
        wanted = self._entry.packed - self._packed
        piece = bytes(self._buffer[:wanted])
        del self._buffer[: len(piece)]
        self._packed += len(piece)
        if piece:
            self._emit(piece)
        if self._packed < self._entry.packed:
            return False
        self._step = self._read_descriptor
        return True

    def _copy_to_descriptor(self) -> bool:
        """Stored data of unknown length end where a descriptor agrees with all that came before."""
        start = 0
        while (at := self._buffer.find(_DESCRIPTOR_SIGN, start)) >= 0:
            if len(self._buffer) < at + 20:
                break
            crc = zlib.crc32(memoryview(self._buffer)[:at], self._crc)
            size = self._size + at
            if bytes(self._buffer[at + 4 : at + 16]) == struct.pack("<3I", crc, size, size):
                self._take(at)
                self._step = self._read_descriptor
                return True
            start = at + 1
        keep = at if at >= 0 else max(len(self._buffer) - 3, 0)
        self._take(keep)
        return False

    def _take(self, count: int) -> None:
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._packed += count
        if piece:
            self._emit(piece)

    def _read_descriptor(self) -> bool:
        if not self._entry.flags & _HAS_DESCRIPTOR:
            self._step = self._read_tail
            return True
        if len(self._buffer) < 28:
            return False
        for skip in (0, 4):
            for sizes in ("<3I", "<I2Q"):
                if self._try_descriptor(skip, sizes):
                    self._step = self._read_tail
                    return True
        return self._settle(ZipForm.BROKEN, "size or checksum of the file inside is wrong")

    def _try_descriptor(self, skip: int, layout: str) -> bool:
        """Whether a descriptor of this layout comes next and agrees; drops it if so."""
        end = skip + struct.calcsize(layout)
        signed = self._buffer.startswith(_DESCRIPTOR_SIGN)
        follows = bytes(self._buffer[end : end + 4])
        if signed != bool(skip) or follows not in (_CENTRAL_SIGN, _LOCAL_SIGN):
            return False
        crc, packed, size = struct.unpack_from(layout, self._buffer, skip)
        if (crc, packed, size) != (self._crc, self._packed, self._size):
            return False
        self._entry.crc, self._entry.packed, self._entry.size = crc, packed, size
        del self._buffer[:end]
        self._before += end
        return True

    def _read_tail(self) -> bool:
        """Keep the directory for the end; a second entry settles that it is an archive."""
        if len(self._buffer) >= 4 and self._buffer.startswith(_LOCAL_SIGN):
            return self._settle(ZipForm.ARCHIVE)
        if len(self._buffer) > _MAX_TAIL:
            return self._settle(ZipForm.BROKEN, "too much follows the file inside")
        return False

    def _finish(self) -> None:
        if self._step == self._read_local:
            if self._buffer.startswith(_LOCAL_SIGN):
                self._settle(ZipForm.BROKEN, "the archive is cut off")
            else:
                self._settle(ZipForm.NOT_A_ZIP)
        elif self._step != self._read_tail:
            self._settle(ZipForm.BROKEN, "the archive is cut off")
        else:
            reason = self._data_problem() or self._directory_problem()
            self._settle(ZipForm.BROKEN if reason else ZipForm.ONE_ENTRY, reason)

    def _data_problem(self) -> str:
        entry = self._entry
        if (entry.crc, entry.packed, entry.size) != (self._crc, self._packed, self._size):
            return "size or checksum of the file inside is wrong"
        return "it holds a folder, not a file" if entry.name.endswith(b"/") else ""

    def _directory_problem(self) -> str:
        """Whether the central directory tells of exactly the entry that was read, and ends."""
        tail = bytes(self._buffer)
        if len(tail) < _CENTRAL.size or not tail.startswith(_CENTRAL_SIGN):
            return "its directory is missing"
        fields = _CENTRAL.unpack_from(tail)
        needed, flags, method, crc, packed, size = *fields[2:5], *fields[7:10]
        name_len, extra_len, comment_len, offset = *fields[10:13], fields[16]
        name_end = _CENTRAL.size + name_len
        end = name_end + extra_len + comment_len
        size, packed, offset = _zip64(tail[name_end : name_end + extra_len], size, packed, offset)
        entry = self._entry
        said = (tail[_CENTRAL.size : name_end], method, crc, packed, size, offset)
        if said != (entry.name, entry.method, entry.crc, entry.packed, entry.size, 0):
            return _DISAGREES
        if flags & _LOCKED or needed & 0xFF > _NEWEST:
            return _DISAGREES
        return _end_problem(tail[end:], self._before + self._packed, end)


#: Another program would find other files than the one that was read.
_DISAGREES = "its directory does not agree with the file inside"


def _end_problem(rest: bytes, offset: int, size: int) -> str:
    """Whether the end records count exactly one entry and nothing follows them.

    They must lead to the directory that was read, `size` bytes at `offset`: programs that seek
    would otherwise find a second one, hidden in a comment, and unpack what nobody looked at.
    """
    if rest.startswith(_CENTRAL_SIGN):
        return "its directory names more files than it holds"
    is64 = rest.startswith(_END64_SIGN)
    if is64 or rest.startswith(_LOCATOR64_SIGN):
        length = _end64_length(rest, offset, size)
        if length is None:
            return _DISAGREES
        rest = rest[length:]
    if len(rest) < _END.size or not rest.startswith(_END_SIGN):
        return "the archive is cut off"
    _, disk, first, here, total, told_size, told_offset, comment_len = _END.unpack_from(rest)
    if here not in (1, _UNKNOWN16) or total not in (1, _UNKNOWN16):
        return "its directory names more files than it holds"
    told = ((disk, 0), (first, 0), (here, 1), (total, 1), (told_size, size), (told_offset, offset))
    if any(one != right and not (is64 and one in _UNKNOWN) for one, right in told):
        return _DISAGREES
    return "" if len(rest) == _END.size + comment_len else "bytes follow the end of the archive"


_UNKNOWN = (_UNKNOWN16, _UNKNOWN32)


def _end64_length(rest: bytes, offset: int, size: int) -> int | None:
    """How long zip64's end record and its locator are; None where they tell something else."""
    if len(rest) < _END64.size + _LOCATOR64.size:
        return None
    _, length, _, _, disk, first, here, total, told_size, told_offset = _END64.unpack_from(rest)
    if (disk, first, here, total, told_size, told_offset) != (0, 0, 1, 1, size, offset):
        return None
    locator = rest[12 + length : 12 + length + _LOCATOR64.size]
    if len(locator) < _LOCATOR64.size or not locator.startswith(_LOCATOR64_SIGN):
        return None
    # Some count the disks from 0.
    _, disk, place, disks = _LOCATOR64.unpack(locator)
    if (disk, place) != (0, offset + size) or disks > 1:
        return None
    return int(12 + length + _LOCATOR64.size)


def _zip64_sizes(extra: bytes, size: int, packed: int) -> tuple[int, int]:
    """Size and packed size with the zip64 extra field (id 1) read where 32 bits did not do."""
    return _zip64(extra, size, packed, 0)[:2]


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes and place of an entry, from the zip64 extra field where 32 bits did not do."""
    told = [size, packed, offset]
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            values = [value for (value,) in struct.iter_unpack("<Q", body[: len(body) & ~7])]
            for index, one in enumerate(told):
                if one == _UNKNOWN32 and values:
                    told[index] = values.pop(0)
            break
        at += 4 + length
    return told[0], told[1], told[2]
