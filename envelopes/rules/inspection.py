"""A look into attachments while they stream by: encoding, marks of secrecy, signatures, real kind.

Constant memory: the first `SAMPLE_BYTES` of a file are kept while it passes, the rest is searched
block by block. Text, web pages, XML and RTF are searched to their end (`text_search`). The text at
the beginning of PDF and Office files is read as far as it can be had cheaply (`pdf_text`,
`office_text`); pictures, scanned pages and old Office files are not.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from envelopes.attachments import Writer
from envelopes.content_types import HEAD_BYTES, OCTETS, ZIP, ZIP_KINDS, detect, ending
from envelopes.read import ReadResult
from envelopes.rules.encodings import encoding_of
from envelopes.rules.facts import FileFacts, TextEncoding
from envelopes.rules.office_text import OfficeText
from envelopes.rules.pdf_text import PdfText
from envelopes.rules.secret_marks import in_page
from envelopes.rules.text_search import TextSearch

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
_SEQUENCE = b"\x30"
_PDF = "application/pdf"
_TEXT_ENDINGS = ("txt", "csv")
_LONGEST_MAGIC = 5
_XML, _RTF = "application/xml", "application/rtf"
_MARKED_UP = frozenset({_XML, _RTF})
#: How a web page begins, as browsers tell it (WHATWG, MIME sniffing), or a script in the midst.
_WEB_PAGE = re.compile(
    rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?(?>(?:\s|<!--.*?-->)*)<(?:!doctype\s+html|html|head|body"
    rb"|script|iframe|h1|div|font|table|a|style|title|b|br|p|meta|link|svg|img)[\s/>]"
    rb"|.*<script[\s/>]",
    re.IGNORECASE | re.DOTALL,
)
#: How text in UTF-16 begins.
_WIDE = (b"\xff\xfe", b"\xfe\xff")
#: Files of one package whose text inside is read: what this costs is bounded.
MAX_TEXTS = 20


def _may_be_text(data: bytes) -> bool:
    """Whether the first bytes of a file can be text, in whatever encoding."""
    if data.startswith(_WIDE):
        return True
    return b"\0" not in data and detect(data[:HEAD_BYTES]) in (OCTETS, _XML, _RTF, "text/plain")


class FileInspector:
    """Takes the bytes of one file; `close` says what they tell."""

    def __init__(self, *, inside: bool = True) -> None:
        """`inside`: whether the text inside PDF and Office files is wanted."""
        self._inside = inside
        self._sample = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._utf8 = True
        self._size = 0
        self._is_zip = False
        self._reader: PdfText | OfficeText | None = None
        self._ended = False
        #: The mark in the text inside; None: no text could be read.
        self._inside_mark: str | None = None
        #: The search of what may be text, and the mark in it; None: not searched to its end.
        self._search: TextSearch | None = None
        self._text_mark: str | None = None
        #: What the bytes are as plain text: encoding, normal form.
        self._as_text: tuple[TextEncoding, bool | None] | None = None
        self._tail = b""
        self._seen: set[bytes] = set()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self._sample) < _LONGEST_MAGIC:
            # Too little yet to tell the kind: what came before is passed on with this.
            data = bytes(self._sample) + data
            self._sample.clear()
            if len(data) < _LONGEST_MAGIC:
                self._sample += data
                return
            self._begin(data)
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += data[: SAMPLE_BYTES - len(self._sample)]
        self._size += len(data)
        if self._reader is not None:
            self._reader.feed(data)
        if self._search is not None:
            self._search.feed(data)
        if self._is_zip:
            window = self._tail + data
            self._seen.update(marker for marker in _MARKERS if marker in window)
            self._tail = window[-_LONGEST:]
        elif self._utf8:
            self._decode(data, final=False)

    def _begin(self, data: bytes) -> None:
        self._is_zip = data.startswith(b"PK\x03\x04")
        if self._inside and self._is_zip:
            self._reader = OfficeText()
        elif self._inside and data.startswith(b"%PDF-"):
            self._reader = PdfText()
        elif self._inside and _may_be_text(data[:SAMPLE_BYTES]):
            self._search = TextSearch(data)

    def _decode(self, data: bytes, *, final: bool) -> None:
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._utf8 = False

    def end(self) -> None:
        """All bytes have passed: keep what was found, give the memory back."""
        if self._ended:
            return
        self._ended = True
        short = bytes(self._sample) if len(self._sample) < _LONGEST_MAGIC else b""
        if self._utf8 and not self._is_zip:
            self._decode(short, final=True)
        sample = bytes(self._sample)
        if self._reader is not None:
            text = self._reader.close()
            self._inside_mark = None if text is None else in_page(text)
        elif sample and _may_be_text(sample):
            if short and self._inside:
                self._search = TextSearch(short)
                self._search.feed(short)
            if self._search is not None:
                self._text_mark = self._search.close()
            encoding = encoding_of(sample, utf8=self._utf8)
            text = _decoded(sample, encoding)
            nfc = unicodedata.is_normalized("NFC", text) if encoding.is_unicode else None
            self._as_text = (encoding, nfc)
        self._search = None
        self._reader, self._tail = None, b""
        del self._sample[HEAD_BYTES:]

    def close(self, name: str) -> FileFacts:
        """What is known of the file that is called `name`."""
        self.end()
        head = bytes(self._sample)
        kind = self._kind(detect(head, name), head)
        if self._as_text is not None and self._is_text(head, kind, name):
            encoding, nfc = self._as_text
            mark = self._text_mark
            return FileFacts(
                kind, encoding, nfc, searched_for_secrets=mark is not None, secret_mark=mark or ""
            )
        mark = self._text_mark if kind in _MARKED_UP else self._inside_mark
        return FileFacts(
            detected_type=kind,
            other_signature=self._signature(head, kind),
            searched_for_secrets=mark is not None,
            # What is found in bytes of no known kind is found all the same.
            secret_mark=mark or self._text_mark or "",
        )

    def _kind(self, kind: str, head: bytes) -> str:
        if kind.startswith("text/") or (kind == OCTETS and head.startswith(_WIDE)):
            # A web page is one under any name.
            return "text/html" if _WEB_PAGE.match(head.replace(b"\0", b"")) else kind
        if kind != ZIP:
            return kind
        part = next((_PARTS[part] for part in _PARTS if part in self._seen), "")
        return ZIP_KINDS[part] if part and _OOXML in self._seen else kind

    def _is_text(self, head: bytes, kind: str, name: str) -> bool:
        """Whether it is plain text: by its bytes, or by its name where only that can tell."""
        by_name = ending(name) in _TEXT_ENDINGS or head.startswith(_WIDE)
        return kind.startswith("text/") or (kind == OCTETS and by_name)

    def _signature(self, sample: bytes, kind: str) -> str:
        if kind == _PDF:
            return ""  # its signatures are verified, whatever else its bytes spell
        if sample[:1] == _SEQUENCE and _CMS in sample[:64]:
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
        if (before := self._files.get(index - 1)) is not None:
            before.end()
        inspector = self._files[index] = FileInspector(inside=index < MAX_TEXTS)
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
