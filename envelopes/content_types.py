"""What a file really is, from its first bytes; its name only tells apart what bytes cannot."""

from __future__ import annotations

#: How many leading bytes `detect` looks at.
HEAD_BYTES = 4096

ZIP = "application/zip"
OCTETS = "application/octet-stream"

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."

#: Endings of files that are ZIP archives themselves: never unwrapped into their parts.
ZIP_KINDS: dict[str, str] = {
    "zip": ZIP,
    "docx": _OOXML + "wordprocessingml.document",
    "docm": "application/vnd.ms-word.document.macroEnabled.12",
    "dotx": _OOXML + "wordprocessingml.template",
    "xlsx": _OOXML + "spreadsheetml.sheet",
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "xltx": _OOXML + "spreadsheetml.template",
    "xlsb": "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
    "pptx": _OOXML + "presentationml.presentation",
    "pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    "ppsx": _OOXML + "presentationml.slideshow",
    "odt": _ODF + "text",
    "ott": _ODF + "text-template",
    "ods": _ODF + "spreadsheet",
    "odp": _ODF + "presentation",
    "odg": _ODF + "graphics",
    "odf": _ODF + "formula",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
    "war": "application/java-archive",
    "apk": "application/vnd.android.package-archive",
    "kmz": "application/vnd.google-earth.kmz",
    "xps": "application/oxps",
    "oxps": "application/oxps",
    "vsdx": "application/vnd.ms-visio.drawing",
    "asice": "application/vnd.etsi.asic-e+zip",
    "asics": "application/vnd.etsi.asic-s+zip",
}

_OLE_KINDS = {
    "doc": "application/msword",
    "dot": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
)

_TEXT_KINDS = {"csv": "text/csv", "htm": "text/html", "html": "text/html"}


def ending(name: str) -> str:
    """The lower-case ending of a file name, without its dot; empty where there is none."""
    stem, dot, last = name.strip().rpartition(".")
    return last.lower() if dot and stem else ""


def is_zip_kind(name: str) -> bool:
    """Whether a file called `name` is expected to be a ZIP archive itself."""
    return ending(name) in ZIP_KINDS


def is_zip(declared: str) -> bool:
    """Whether a declared ContentType means a ZIP (parameters and case aside)."""
    return declared.partition(";")[0].strip().lower() == ZIP


def detect(head: bytes, name: str = "") -> str:
    """The media type of a file that begins with `head`; octet-stream where nothing fits."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _OLE_KINDS.get(ending(name), "application/x-ole-storage")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(head, name)
    return _text_kind(head, name)


def _zip_kind(head: bytes, name: str) -> str:
    """Which of the ZIP-based formats: the entries near the start give it away."""
    if b"mimetypeapplication/" in head[:80]:
        start = head.index(b"mimetypeapplication/") + len(b"mimetype")
        stated = head[start : start + 100].split(b"PK")[0].decode("ascii", "replace")
        return next((kind for kind in ZIP_KINDS.values() if kind == stated), ZIP)
    if b"[Content_Types].xml" in head or b"_rels/.rels" in head:
        parts = ((b"word/", "docx"), (b"xl/", "xlsx"), (b"ppt/", "pptx"))
        found = next((kind for part, kind in parts if part in head), "")
        by_name = ZIP_KINDS.get(ending(name), "")
        return by_name if by_name and by_name != ZIP else ZIP_KINDS.get(found, ZIP)
    return ZIP


def _text_kind(head: bytes, name: str) -> str:
    """Text, XML or unknown bytes."""
    bare = head.removeprefix(b"\xef\xbb\xbf")
    if bare.lstrip().startswith(b"<?xml"):
        return "application/xml"
    if not head or any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return OCTETS
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut off by the end of `head` is no fault of the file.
        if len(head) < HEAD_BYTES or error.start < len(head) - 3:
            return OCTETS
    return _TEXT_KINDS.get(ending(name), "text/plain")
