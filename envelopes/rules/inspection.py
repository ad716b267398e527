"""A look into attachments while they stream by: encoding, marks of secrecy, signatures, real kind.

Constant memory: the first `SAMPLE_BYTES` of a file are kept while it passes, the rest is searched
block by block. What a PDF or an Office file says inside is not read here.
"""

from __future__ import annotations

import codecs
import unicodedata

from envelopes.attachments import Writer
from envelopes.content_types import HEAD_BYTES, OCTETS, ZIP, ZIP_KINDS, detect, ending
from envelopes.read import ReadResult
from envelopes.rules.encodings import encoding_of
from envelopes.rules.facts import FileFacts, TextEncoding
from envelopes.rules.secret_marks import in_page

#: How much of a file's beginning is looked at as text.
SAMPLE_BYTES = 64 * 1024

#: Names of entries that tell which kind of ZIP this is, and whether it is signed.
_OOXML = b"[Content_Types].xml"
_PARTS = {b"word/document": "docx", b"xl/workbook": "xlsx", b"ppt/presentation": "pptx"}
_SIGNED = {b"_xmlsignatures/": "OOXML", b"META-INF/documentsignatures.xml": "ODF"}
_MARKERS = (_OOXML, *_PARTS, *_SIGNED)
_LONGEST = max(map(len, _MARKERS))
#: pkcs7-signedData, as a CMS file names its content near its beginning.
_CMS = bytes.fromhex("06092a864886f70d010702")
_TEXT_ENDINGS = ("txt", "csv")


class FileInspector:
    """Takes the bytes of one file; `close` says what they tell."""

    def __init__(self) -> None:
        self._sample = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._utf8 = True
        self._is_zip = False
        self._tail = b""
        self._seen: set[bytes] = set()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += data[: SAMPLE_BYTES - len(self._sample)]
            self._is_zip = self._sample.startswith(b"PK\x03\x04")
        if self._is_zip:
            window = self._tail + data
            self._seen.update(marker for marker in _MARKERS if marker in window)
            self._tail = window[-_LONGEST:]
        elif self._utf8:
            self._decode(data, final=False)

    def _decode(self, data: bytes, *, final: bool) -> None:
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._utf8 = False

    def close(self, name: str) -> FileFacts:
        """What is known of the file, now that all of it has passed."""
        if self._utf8 and not self._is_zip:
            self._decode(b"", final=True)
        sample = bytes(self._sample)
        kind = self._kind(detect(sample[:HEAD_BYTES], name), name)
        encoding = self._encoding(sample, kind, name)
        if encoding is None:
            return FileFacts(detected_type=kind, other_signature=self._signature(sample, kind))
        text = _decoded(sample, encoding)
        return FileFacts(
            detected_type=kind,
            encoding=encoding,
            nfc=unicodedata.is_normalized("NFC", text) if encoding.is_unicode else None,
            searched_for_secrets=True,
            secret_mark=in_page(text),
        )

    def _kind(self, kind: str, name: str) -> str:
        if kind != ZIP:
            return kind
        part = next((_PARTS[part] for part in _PARTS if part in self._seen), "")
        return ZIP_KINDS[part] if part and _OOXML in self._seen else kind

    def _encoding(self, sample: bytes, kind: str, name: str) -> TextEncoding | None:
        """The encoding of a text; None for a file that is none."""
        wide = sample.startswith((b"\xff\xfe", b"\xfe\xff"))
        if kind.startswith("text/") or (kind == OCTETS and wide):
            return encoding_of(sample, utf8=self._utf8)
        if kind == OCTETS and ending(name) in _TEXT_ENDINGS and sample and b"\0" not in sample:
            return encoding_of(sample, utf8=self._utf8)
        return None

    def _signature(self, sample: bytes, kind: str) -> str:
        if _CMS in sample[:64]:
            return "CMS"
        if "asic" in kind:
            return "ASiC"
        return next((form for marker, form in _SIGNED.items() if marker in self._seen), "")


def _decoded(sample: bytes, encoding: TextEncoding) -> str:
    if encoding is TextEncoding.UTF16:
        return sample.decode("utf-16", "ignore")
    if encoding is TextEncoding.UTF8:
        return sample.decode("utf-8-sig", "ignore")
    text = sample.decode("utf-8", "replace")
    # An old encoding may have been converted letter by letter; else it lies as single bytes.
    return sample.decode("latin-1") if "\ufffd" in text else text


class PackageInspector:
    """Looks into every attachment of a package while it is read: `sink` is the reader's."""

    def __init__(self) -> None:
        self._files: dict[int, FileInspector] = {}

    def sink(self, _content_id: str, index: int) -> Writer:
        """The writer for one attachment's bytes (`envelopes.read.AttachmentSink`)."""
        inspector = self._files[index] = FileInspector()
        return inspector.feed

    def facts(self, read: ReadResult) -> tuple[FileFacts, ...]:
        """The facts of a document's files, in order; empty where nothing could be read."""
        attachments = getattr(read.package, "attachments", ())
        return tuple(
            self._files[index].close(file.name)
            if index in self._files and index not in read.discarded_sinks
            else FileFacts()
            for index, file in enumerate(attachments)
        )
