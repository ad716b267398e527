"""Checks on the attached files (part A of the specification)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envelopes import element_names as names
from envelopes.content_types import OCTETS, ZIP, ZIP_KINDS, ending
from envelopes.findings import Sentence
from envelopes.limits import MIB
from envelopes.model import Attachment, Document
from envelopes.rules import words
from envelopes.rules.encodings import header_problem
from envelopes.rules.facts import FileFacts, PackageFacts, ScanVerdict
from envelopes.rules.header_texts import header_texts
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile

_NAME = re.compile(r"[A-Za-z0-9._-]*")
_CLEAN = Sentence("tệp không có mã độc", "a file free of malware")
_NAME_ALLOWED = "A–Z a–z 0–9 . _ -"
_UNICODE = "Unicode UTF-8, NFC (TCVN 6909:2001)"
_TEXT = frozenset({"text/plain", "text/csv"})
#: What a browser or an office program shows is not what stands there: to be saved as a document.
_MARKUP = frozenset({"text/html", "application/xml"})
_RESAVED = Sentence("DOCX hoặc PDF", "DOCX or PDF")
_TIFF = frozenset({"image/tiff"})
_JPEG = frozenset({"image/jpeg"})
_OLE = frozenset({"application/x-ole-storage"})
#: What a file of each ending is, by its bytes. Word writes RTF into .doc files at times.
CONTENT_OF: dict[str, frozenset[str]] = {
    "txt": _TEXT,
    "csv": _TEXT,
    "rtf": frozenset({"application/rtf"}),
    "doc": frozenset({"application/msword", "application/rtf"}) | _OLE,
    "xls": frozenset({"application/vnd.ms-excel"}) | _OLE,
    "docx": frozenset({ZIP_KINDS["docx"]}),
    "xlsx": frozenset({ZIP_KINDS["xlsx"]}),
    "odt": frozenset({ZIP_KINDS["odt"]}),
    "ods": frozenset({ZIP_KINDS["ods"]}),
    "pdf": frozenset({"application/pdf"}),
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "gif": frozenset({"image/gif"}),
    "png": frozenset({"image/png"}),
    "tif": _TIFF,
    "tiff": _TIFF,
}


def shown(index: int, file: Attachment) -> str:
    """How a finding names a file."""
    return file.name or file.content_id or f"{names.ATTACHMENT}[{index + 1}]"


def kind_of(file: Attachment, facts: FileFacts | None) -> str:
    """What the bytes of a file say it is; "" where nobody has looked."""
    return (facts.detected_type if facts else "") or file.detected_type


def unknown_files(facts: PackageFacts) -> Iterator[Outcome]:
    """Without the history nobody can tell whether a revocation's files are those it takes back."""
    if facts.of_unknown_files:
        yield NotJudged(Missing.HISTORY)


def check_name(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """FILE-NAME: letters without accents, digits, ``. _ -``, and not too long (KT 7.4)."""
    yield from unknown_files(facts)
    most = profile.parameters.max_name_chars
    for index, file, _ in facts.judged_files():
        if _NAME.fullmatch(file.name) is None:
            odd = dict.fromkeys(char for char in file.name if _NAME.fullmatch(char) is None)
            yield Broken(
                shown(index, file),
                found=" ".join("U+0020" if char == " " else char for char in odd),
                allowed=_NAME_ALLOWED,
            )
        if len(file.name) > most:
            yield Broken(
                shown(index, file), len(file.name), allowed=words.at_most(most), variant="long"
            )


def check_size(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """FILE-SIZE: of the decoded, unwrapped file (KT 7.4)."""
    yield from unknown_files(facts)
    most = profile.parameters.max_file_mib
    for index, file, _ in facts.judged_files():
        if file.size > most * MIB:
            found = f"{file.size / MIB:.1f} MB"
            yield Broken(shown(index, file), found, words.at_most(most, Sentence("MB", "MB")))


def check_format(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """FILE-FORMAT: an allowed kind by its bytes, under an ending that says the same."""
    yield from unknown_files(facts)
    formats = profile.parameters.formats
    allowed_kinds = frozenset().union(*(CONTENT_OF.get(one, frozenset()) for one in formats))
    for index, file, looked in facts.judged_files():
        kind, last = kind_of(file, looked), ending(file.name)
        if _too_little_seen(kind, last, looked):
            yield NotJudged(Missing.FILES, shown(index, file))
            continue
        if kind == OCTETS and last in ("txt", "csv") and looked and looked.encoding:
            kind = "text/plain"
        said = words.file_kind(kind)
        if kind in _MARKUP:
            yield Broken(shown(index, file), kind, _RESAVED, variant="resave", said=said)
        elif kind and kind not in allowed_kinds:
            yield Broken(shown(index, file), kind, " ".join(formats), said=said)
        elif last not in formats:
            yield Broken(shown(index, file), found=f".{last}", allowed=" ".join(formats))
        elif kind and kind not in CONTENT_OF.get(last, frozenset()):
            fitting = " ".join(f".{one}" for one in formats if kind in CONTENT_OF.get(one, ()))
            yield Broken(shown(index, file), kind, fitting, variant="disagree", said=said)


def _too_little_seen(kind: str, last: str, looked: FileFacts | None) -> bool:
    """Whether the first bytes, which are all that the reader saw, cannot tell the kind."""
    return looked is None and (
        (kind == OCTETS and last in ("txt", "csv")) or (kind == ZIP and last in ZIP_KINDS)
    )


def check_charset(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """FILE-CHARSET: header texts and text files are Unicode in form C (BT 3.2)."""
    for element, text in header_texts(facts.package):
        encoding, composed = header_problem(text)
        if encoding is not None:
            yield Broken(element, found=encoding.value, allowed=_UNICODE)
        elif not composed:
            yield Broken(element, "NFD", words.NFC, variant="nfc", said=words.NFD)
    for index, file, looked in facts.attachments():
        if looked is None:
            if ending(file.name) in ("txt", "csv"):
                yield NotJudged(Missing.FILES, shown(index, file))
        elif looked.encoding is not None and not looked.encoding.is_unicode:
            yield Broken(shown(index, file), found=looked.encoding.value, allowed=_UNICODE)
        elif looked.nfc is False:
            yield Broken(shown(index, file), "NFD", words.NFC, variant="nfc", said=words.NFD)


def check_complete(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """FILE-COMPLETE: appendices and pages as declared; the reader compares the manifest itself."""
    document = facts.document
    info = document.other_info if document else None
    if document is None or info is None or not document.attachments:
        return
    if facts.takes_back:
        return  # what is taken back need not be whole
    others = len(document.attachments) - 1
    if len(info.appendixes) > others:
        yield Broken(
            f"{names.OTHER_INFO}/{names.APPENDIXES}",
            found=len(info.appendixes),
            allowed=Sentence(*(f"{len(info.appendixes) + 1} {one}" for one in ("tệp", "files"))),
            variant="appendixes",
            values=(("files", len(document.attachments)),),
        )
    if info.page_amount is not None:
        yield from _check_pages(facts, document, info.page_amount)


def _check_pages(facts: PackageFacts, document: Document, declared: int) -> Iterator[Outcome]:
    """PageAmount is the main document's pages, or those of all PDFs together."""
    pages = [_pages(facts, index) for index in range(len(document.attachments))]
    main = shown(0, document.attachments[0])
    if pages[0] is None:
        yield NotJudged(Missing.PAGES, main)
        return
    together = sum(count or 0 for count in pages)
    if declared not in (pages[0], together):
        yield Broken(
            main,
            found=declared,
            allowed=f"PageAmount = {pages[0]}",
            variant="pages",
            values=(("pages", pages[0]),),
        )


def _pages(facts: PackageFacts, index: int) -> int | None:
    """Pages of a PDF as the signature worker, or else the look into the file, counted them."""
    signed = facts.signatures.files if facts.signatures else ()
    counted = next((one.pages for one in signed if one.index == index), None)
    if counted is None and facts.files is not None and index < len(facts.files):
        counted = facts.files[index].pages
    return counted


def check_malware(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """FILE-MALWARE: every file scanned; one infected file stops the package (KG 9.2)."""
    scans = {one.index: one for one in facts.scans or ()}
    for index, file, _ in facts.attachments():
        scan = scans.get(index)
        if scan is None or scan.verdict is ScanVerdict.UNSCANNED:
            yield NotJudged(Missing.SCAN, shown(index, file))
        elif scan.verdict is ScanVerdict.INFECTED:
            yield Broken(shown(index, file), found=scan.threat or "?", allowed=_CLEAN)
