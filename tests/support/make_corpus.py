"""Writes tests/corpus: small packages of every dialect, and broken ones named for their rule.

``python -m tests.support.make_corpus`` writes the files anew, byte for byte the same each time. The
packages are written from the specification (QCVN 102:2016, Decision 28/2018), not by our own
composer, so that reader and composer are not judged by each other.
A bad file is called ``<rule>--<what>.edxml``: reading it must give that rule, refusing.
"""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "corpus"
NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

Item = tuple[str, "str | list[Item]"]


# Files


def wrap(content: bytes, name: str = "0b7e.edxml", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """`content` as the national toolkit wraps it: one entry under an arbitrary name."""
    return archive({name: content}, method)


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of `files`, the same bytes every time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2025, 7, 1, 8, 0, 0))
            entry.compress_type = method
            entry.create_system = 0
            target.writestr(entry, content)
    return out.getvalue()


class _Unseekable(io.RawIOBase):
    """A place to write to that cannot go back, so that zipfile writes data descriptors."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += data
        return len(data)


def wrap_streamed(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """`content` wrapped with sizes in a data descriptor, as Java's ZipOutputStream does."""
    out = _Unseekable()
    with zipfile.ZipFile(out, "w") as target:  # type: ignore[arg-type]
        entry = zipfile.ZipInfo("0b7e.edxml", (2025, 7, 1, 8, 0, 0))
        entry.compress_type = method
        entry.create_system = 0
        target.writestr(entry, content)
    return bytes(out.content)


def bomb(size: int = 8 * 1024 * 1024) -> bytes:
    """A small archive of one file of `size` equal bytes."""
    return wrap(bytes(size))


def overlapping(content: bytes, times: int = 50) -> bytes:
    """One file that the directory lists `times` times: CVE-2024-0450's kind of archive."""
    plain = archive({"a": content})
    start = plain.index(b"PK\x01\x02")
    end = plain.index(b"PK\x05\x06")
    directory = plain[start:end] * times
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, times, times, len(directory), start, 0)
    return plain[:start] + directory + tail


def wrong_crc(content: bytes) -> bytes:
    """A wrapped file whose checksums are those of another file."""
    right, wrong = (struct.pack("<I", value) for value in (zlib.crc32(content), 1))
    return wrap(content).replace(right, wrong)


# Headers


def party(organ_id: str, name: str, in_charge: str = "UBND Tỉnh Nghệ An") -> list[Item]:
    """An agency with every particular."""
    return [
        ("OrganId", organ_id),
        ("OrganizationInCharge", in_charge),
        ("OrganName", name),
        ("OrganAdd", "Số 03, đường Trường Thi, Thành phố Vinh"),
        ("Email", "vanthu@example.gov.vn"),
        ("Telephone", "0238 3840418"),
        ("Fax", "0238 3843049"),
        ("Website", "www.example.gov.vn"),
    ]


SENDER = party("000.00.00.G22", "Văn phòng Chính phủ", "Chính phủ")
DOCUMENT_ID = "000.00.00.G22,2025/07/01,7816/VPCP-TTĐT"
STAFF: list[Item] = [
    ("Department", "Văn thư văn phòng"),
    ("Staff", "Nguyễn Thị Ngọc Trâm"),
    ("Mobile", "84912000001"),
    ("Email", "vanthu@example.gov.vn"),
]


def message_header(*recipients: str) -> list[Item]:
    """The header of a document, in canonical order."""
    receivers: list[Item] = [
        ("To", party(code, f"Cơ quan {code}")) for code in recipients or ("000.00.00.H41", "H53.13")
    ]
    return [
        ("From", SENDER),
        *receivers,
        ("DocumentId", DOCUMENT_ID),
        ("Code", [("CodeNumber", "7816"), ("CodeNotation", "VPCP-TTĐT")]),
        ("PromulgationInfo", [("Place", "Hà Nội"), ("PromulgationDate", "2025/07/01")]),
        ("DocumentType", [("Type", "1"), ("TypeDetail", "0"), ("TypeName", "Công văn")]),
        ("Subject", "V/v kết nối, liên thông phần mềm quản lý văn bản & điều hành"),
        ("Content", "V/v kết nối, liên thông phần mềm quản lý văn bản & điều hành"),
        (
            "SignerInfo",
            [
                ("Competence", "TL. BỘ TRƯỞNG"),
                ("Position", "Cục trưởng"),
                ("FullName", "Nguyễn Thành Phúc"),
            ],
        ),
        ("DueDate", "2025/07/15"),
        (
            "OtherInfo",
            [
                ("Priority", "1"),
                ("SphereOfPromulgation", "Liên thông văn bản quốc gia"),
                ("TyperNotation", "TVC"),
                ("PromulgationAmount", "2"),
                ("PageAmount", "22"),
                ("Direction", "false"),
                ("Appendixes", [("Appendix", "Danh mục mã định danh")]),
            ],
        ),
        ("SteeringType", "1"),
        ("ToPlaces", [("Place", "Các bộ và cơ quan ngang bộ"), ("Place", "Lưu: VT")]),
    ]


def answered(date: str = "2025/06/20") -> Item:
    """The document that a reply answers."""
    return (
        "ResponseFor",
        [
            ("OrganId", "000.00.00.H41"),
            ("Code", "267/UBND-VP"),
            ("DocumentId", "000.00.00.H41,2025/06/20,267/UBND-VP"),
            ("PromulgationDate", date),
        ],
    )


def trace(doc_type: str = "0", *more: Item) -> list[Item]:
    """One hop and what the package does."""
    return [
        ("TraceHeader", [("OrganId", "000.00.00.G22"), ("Timestamp", "2025/07/01 08:30:00")]),
        (
            "Bussiness",
            [
                ("BussinessDocType", doc_type),
                ("BussinessDocReason", "Văn bản điện tử"),
                ("Paper", "0"),
                ("StaffInfo", STAFF),
                *more,
            ],
        ),
    ]


UPDATE: Item = (
    "BussinessDocumentInfo",
    [
        ("DocumentInfo", "1"),
        ("DocumentReceiver", "1"),
        (
            "ReceiverList",
            [
                ("Receiver", [("OrganId", "000.00.00.H41"), ("ReceiverType", "0")]),
                ("Receiver", [("OrganId", "H53.13"), ("ReceiverType", "1")]),
            ],
        ),
    ],
)
REPLACEMENT: Item = (
    "ReplacementInfoList",
    [
        (
            "ReplacementInfo",
            [
                ("DocumentId", "000.00.00.G22,2025/05/01,5000/VPCP-TTĐT"),
                ("OrganIdList", [("OrganId", "000.00.00.H41"), ("OrganId", "H53.13")]),
            ],
        )
    ],
)


def status_header(code: str, description: str = "Văn thư xử lý") -> list[Item]:
    """The header of a status report, in canonical order."""
    return [
        ("From", party("000.00.00.H41", "UBND Tỉnh Nghệ An")),
        (
            "ResponseFor",
            [
                ("OrganId", "000.00.00.G22"),
                ("Code", "7816/VPCP-TTĐT"),
                ("DocumentId", DOCUMENT_ID),
                ("PromulgationDate", "2025/07/01"),
            ],
        ),
        ("StaffInfo", STAFF),
        ("StatusCode", code),
        *([("Description", description)] if description else []),
        ("Timestamp", "2025/07/01 11:08:36"),
    ]


# Layouts

Dress = Callable[[str, "str | list[Item]", str], tuple[str, str, "str | list[Item]"]]


def render(items: list[Item], depth: int, dress: Dress, parent: str = "") -> str:
    """`items` as XML; `dress` gives each element its name, attributes and content."""
    lines = []
    for tag, inside in items:
        name, attributes, content = dress(tag, inside, parent)
        indent = "  " * depth
        if isinstance(content, str):
            text = content.replace("&", "&amp;").replace("<", "&lt;")
            lines.append(
                f"{indent}<{name}{attributes}>{text}</{name}>\n"
                if text
                else f"{indent}<{name}{attributes}/>\n"
            )
        else:
            inner = render(content, depth + 1, dress, tag)
            lines.append(f"{indent}<{name}{attributes}>\n{inner}{indent}</{name}>\n")
    return "".join(lines)


def plain_dress(tag: str, inside: str | list[Item], _parent: str) -> tuple[str, str, object]:
    """The canonical layout."""
    version = ' version="1.0"' if tag == "edXMLManifest" else ""
    return f"edXML:{tag}", version, inside


def national_dress(tag: str, inside: str | list[Item], _parent: str) -> tuple[str, str, object]:
    """The national toolkit: some groups in another order."""
    if isinstance(inside, list) and tag in ("Bussiness", "StaffInfo", "ResponseFor"):
        inside = inside[:1] + inside[:0:-1]
    if tag == "MessageHeader" and isinstance(inside, list):
        inside = [item for item in inside if item[0] != "DocumentId"] + [
            item for item in inside if item[0] == "DocumentId"
        ]
    return plain_dress(tag, inside, _parent)


_VENDOR_A_NAMES = {
    "Bussiness": "Business",
    "BussinessDocType": "BusinessDocType",
    "BussinessDocReason": "BusinessDocReason",
    "BussinessDocumentInfo": "BusinessDocumentInfo",
    "OrganizationInCharge": "OrganInCharge",
}


def vendor_a_dress(tag: str, inside: str | list[Item], _parent: str) -> tuple[str, str, object]:
    """Vendor A: right spelling, day-first dates, empty elements, other order."""
    if isinstance(inside, str):
        if tag in ("PromulgationDate", "DueDate", "Timestamp"):
            day, _, time = inside.partition(" ")
            inside = "/".join(reversed(day.split("/"))) + (f" {time}" if time else "")
        elif tag in ("Fax", "Website"):
            inside = ""
    elif tag in ("Reference", "TraceHeaderList"):
        inside = inside[::-1]
    elif tag == "MessageHeader":
        places = [item for item in inside if item[0] == "ToPlaces"]
        empty: Item = (
            "ResponseFor",
            [("OrganId", ""), ("Code", ""), ("DocumentId", ""), ("PromulgationDate", "")],
        )
        inside = places + [item for item in inside if item[0] != "ToPlaces"] + [empty]
    version = ' edXML:version="1.0"' if tag == "edXMLManifest" else ""
    return f"edXML:{_VENDOR_A_NAMES.get(tag, tag)}", version, inside


def vendor_b_dress(tag: str, inside: str | list[Item], parent: str) -> tuple[str, str, object]:
    """Vendor B: SOAP attributes, xlink references, N/A, priority 5."""
    attributes = ""
    if tag == "TraceHeaderList":
        attributes = ' id="trace" version="1.0" mustUnderstand="1" actor="urn:axis"'
    elif tag == "Reference" and isinstance(inside, list):
        href = next(str(text) for name, text in inside if name == "ContentId")
        attributes = f' xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{href}"'
    elif tag == "edXMLHeader" and isinstance(inside, list):
        inside = [*inside, ("DigitalSignature", "")]
    elif tag in ("Fax", "Competence", "TyperNotation"):
        inside = "N/A"
    elif tag == "Priority":
        inside = "5"
    name, version, content = plain_dress(tag, inside, parent)
    return name, attributes or version, content


class File:
    """One attachment: its bytes as they lie in the package, and how it is declared."""

    def __init__(self, content_id: str, name: str, content: bytes, kind: str) -> None:
        self.content_id, self.name, self.content, self.kind = content_id, name, content, kind


WRAPPED = File("209", "7816_VPCP-TTĐT.pdf", wrap(PDF), "application/zip")


def package(
    header: list[Item],
    trace_list: list[Item] | None = None,
    files: tuple[File, ...] = (),
    *,
    dress: Dress = plain_dress,  # type: ignore[assignment]
    attachment_id: Callable[[str], str] = lambda content_id: f"cid:{content_id}",
    signature: str = "",
    line_end: str = "\n",
    wrap_at: int = 0,
) -> bytes:
    """A whole package in one layout."""
    head: list[Item] = [("MessageHeader", header)]
    if trace_list is not None:
        head.append(("TraceHeaderList", trace_list))
    references: list[Item] = [
        (
            "Reference",
            [
                ("ContentId", f"cid:{file.content_id}"),
                ("ContentType", file.kind),
                ("Description", file.name),
                ("AttachmentName", file.name),
            ],
        )
        for file in files
    ]
    inside: list[Item] = [("edXMLHeader", head)]
    if files:
        inside.append(("edXMLBody", [("edXMLManifest", references)]))
    body = render(inside, 2, dress)
    if signature:
        body = body.replace("    </edXML:edXMLHeader>", f"{signature}    </edXML:edXMLHeader>")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<edXML xmlns="{NAMESPACE}">\n'
        f'  <edXML:edXMLEnvelope xmlns:edXML="{NAMESPACE}">\n{body}  </edXML:edXMLEnvelope>\n'
        f"{_attachments(files, attachment_id, wrap_at)}</edXML>\n"
    )
    return text.replace("\n", line_end).encode("utf-8")


def _attachments(files: tuple[File, ...], attachment_id: Callable[[str], str], wrap_at: int) -> str:
    if not files:
        return ""
    parts = []
    for file in files:
        code = base64.b64encode(file.content).decode("ascii")
        if wrap_at:
            code = "\n".join(code[at : at + wrap_at] for at in range(0, len(code), wrap_at))
        parts.append(
            "    <Attachment>\n"
            f"      <ContentId>{attachment_id(file.content_id)}</ContentId>\n"
            f"      <AttachmentName>{file.name}</AttachmentName>\n"
            f"      <Description>{file.name}</Description>\n"
            f"      <ContentType>{file.kind}</ContentType>\n"
            f'      <edXML:ContentTransferEncoded xmlns:edXML="{NAMESPACE}">{code}'
            "</edXML:ContentTransferEncoded>\n"
            "    </Attachment>\n"
        )
    return f"  <AttachmentEncoded>\n{''.join(parts)}  </AttachmentEncoded>\n"


PLACEHOLDER_SIGNATURE = """      <Signature>
        <SignedInfo>
          <Reference URI="">
            <DigestValue>FwgIqsSYJshUS2+wlOM61L+q7Aw=</DigestValue>
          </Reference>
        </SignedInfo>
        <SignatureValue>AAAA</SignatureValue>
      </Signature>
"""
REAL_SIGNATURE = PLACEHOLDER_SIGNATURE.replace(
    "<Signature>", '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#">'
)


def good() -> dict[str, bytes]:
    """Every good package by file name."""
    national = {"dress": national_dress, "line_end": "\r\n", "signature": PLACEHOLDER_SIGNATURE}
    vendor_b = {"dress": vendor_b_dress, "attachment_id": lambda content_id: content_id}
    docx = archive(
        {"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<R/>", "word/document.xml": b"<d/>"}
    )
    recalled: Item = ("DocumentId", "000.00.00.G22,2025/06/01,7000/VPCP-TTĐT")
    doc_types = {
        "new": trace(),
        "revocation": trace("1", recalled),
        "update": trace("2", UPDATE),
        "replacement": trace("3", REPLACEMENT),
    }
    layouts: dict[str, dict[str, object]] = {
        "canonical": {},
        "national": national,
        "vendor-a": {"dress": vendor_a_dress, "wrap_at": 76},
        "vendor-b": vendor_b,
    }
    made: dict[str, bytes] = {}
    for layout, options in layouts.items():
        for name, trace_list in doc_types.items():
            made[f"{layout}-{name}"] = package(
                message_header(),
                trace_list,
                (WRAPPED,),
                **options,  # type: ignore[arg-type]
            )
    made["canonical-reply"] = package([*message_header(), answered()], trace(), (WRAPPED,))
    made["national-reply"] = package(
        [*message_header(), answered()],
        trace(),
        (WRAPPED,),
        **national,  # type: ignore[arg-type]
    )
    for code in ("01", "02", "03", "04", "05", "06", "13", "15", "16"):
        made[f"status-{code}"] = package(status_header(code), dress=national_dress)  # type: ignore[arg-type]
    made["status-06-vendor-a"] = package(status_header("06"), dress=vendor_a_status)
    one = {
        "plain-pdf": File("1", "a.pdf", PDF, "application/pdf"),
        "wrapped-stored": File("1", "a.pdf", wrap(PDF, method=0), "application/zip"),
        "wrapped-java": File("1", "a.pdf", wrap_streamed(PDF), "application/zip"),
        "wrapped-java-stored": File("1", "a.pdf", wrap_streamed(PDF, 0), "application/zip"),
        "genuine-docx": File("1", "a.docx", docx, "application/zip"),
        "genuine-zip": File("1", "a.zip", archive({"x.txt": b"x"}), "application/zip"),
        "archive-of-many": File("1", "a.pdf", archive({"x": b"x", "y": b"y"}), "application/zip"),
        "wrapped-docx-named-doc": File("1", "a.doc", wrap(docx), "application/zip"),
    }
    for name, file in one.items():
        made[f"file-{name}"] = package(message_header(), trace(), (file,))
    made["file-two"] = package(
        message_header(), trace(), (WRAPPED, File("2", "b.pdf", PDF, "application/pdf"))
    )
    made["file-none"] = package(message_header(), trace())
    made["crlf-wrapped-base64"] = package(
        message_header(), trace(), (WRAPPED,), line_end="\r\n", wrap_at=64
    )
    plain = package(message_header(), trace(), (WRAPPED,), wrap_at=64)
    start, end = plain.index(b'2016">UEsD'), plain.rindex(b"</edXML:ContentTransferEncoded>")
    made["java-character-references"] = (
        plain[:start] + plain[start:end].replace(b"\n", b"&#13;\n") + plain[end:]
    )
    made["prefixed-root"] = plain.replace(b'<edXML xmlns="', b'<edXML:edXML xmlns:edXML="').replace(
        b"</edXML>", b"</edXML:edXML>"
    )
    made["bom"] = b"\xef\xbb\xbf" + plain
    made["cdata-subject"] = plain.replace(
        b"<edXML:Subject>V/v", b"<edXML:Subject><![CDATA[<b>]]> V/v"
    )
    made["comment-between-elements"] = plain.replace(
        b"<edXML:Subject>", b"<!-- note --><edXML:Subject>"
    )
    made["unknown-element"] = plain.replace(
        b"<edXML:Subject>", b"<edXML:Secret>no</edXML:Secret><edXML:Subject>"
    )
    made["signed"] = package(message_header(), trace(), (WRAPPED,), signature=REAL_SIGNATURE)
    return made


def vendor_a_status(
    tag: str, inside: str | list[Item], parent: str
) -> tuple[str, str, str | list[Item]]:
    """Vendor A's status reports: its dates and names without its additions to a document."""
    name, attributes, content = vendor_a_dress(tag, inside, parent)
    if tag == "MessageHeader" and isinstance(inside, list):
        content = inside[::-1]
    return name, attributes, content  # type: ignore[return-value]


def bad() -> dict[str, bytes]:
    """Every bad package by file name: the rule it must give, then what is wrong."""
    base = package(message_header(), trace(), (WRAPPED,))

    def changed(old: str, new: str, source: bytes = base) -> bytes:
        if old.encode() not in source:
            raise ValueError(f"{old} is not in the package")
        return source.replace(old.encode(), new.encode(), 1)

    def carrying(name: str, content: bytes, kind: str = "application/zip") -> bytes:
        return package(message_header(), trace(), (File("1", name, content, kind),))

    def with_base64(text: str) -> bytes:
        plain = carrying("a.pdf", PDF, "application/pdf")
        return plain.replace(base64.b64encode(PDF), text.encode("utf-8"))

    def doctype(subset: str) -> bytes:
        return changed("?>\n", f"?>\n<!DOCTYPE edXML {subset}>\n")

    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    from_element = render([("From", SENDER)], 4, plain_dress)  # type: ignore[arg-type]
    to_elements = render(
        [item for item in message_header() if item[0] == "To"],
        4,
        plain_dress,  # type: ignore[arg-type]
    )
    header_end = "      </edXML:MessageHeader>\n"
    return {
        "xml-dtd--external-entity": changed(
            "Hà Nội",
            "&x;",
            doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]'),
        ),
        "xml-dtd--billion-laughs": changed(
            "Hà Nội", "&l9;", doctype(f'[<!ENTITY l0 "ha">{laughs}]')
        ),
        "xml-dtd--external-dtd": doctype('SYSTEM "http://127.0.0.1:9/edxml.dtd"'),
        "xml-dtd--parameter-entity": doctype(
            '[<!ENTITY % p SYSTEM "http://127.0.0.1:9/p.dtd"> %p;]'
        ),
        "xml-form--unclosed-tag": changed("</edXML:OrganName>", ""),
        "xml-form--truncated-header": base[: base.index(b"<edXML:Subject>")],
        "xml-form--truncated-base64": base[: base.rindex(b"</edXML:ContentTransferEncoded>") - 9],
        "xml-form--empty": b"",
        "xml-form--text-only": b"khong phai XML",
        "xml-form--html-entity": changed("Hà Nội", "H&agrave; N&nbsp;i"),
        "xml-form--two-roots": base + b"<edXML/>",
        "xml-form--duplicate-attribute": changed('version="1.0">', 'version="1.0" version="2">'),
        "xml-form--comment-in-value": changed("<edXML:OrganId>000", "<edXML:OrganId>0<!-- -->00"),
        "xml-form--control-character": changed("Hà Nội", "H\x01 Nội"),
        "xml-encoding--invalid-utf8": base.replace("Hà Nội".encode(), b"H\xe0 N\xe9i", 1),
        "xml-encoding--utf16": base.decode("utf-8").encode("utf-16"),
        "xml-encoding--utf16-declared": changed('encoding="UTF-8"', 'encoding="UTF-16"'),
        "xml-encoding--windows-1258": changed('encoding="UTF-8"', 'encoding="windows-1258"'),
        "xml-namespace--old-e-doc": base.replace(
            NAMESPACE.encode(), b"http://www.e-doc.vn/Schema/"
        ),
        "xml-namespace--old-go": base.replace(NAMESPACE.encode(), b"http://www.go.vn/eDoc"),
        "xml-namespace--none": changed(f' xmlns="{NAMESPACE}"', ""),
        "xml-namespace--undeclared-xlink": changed(
            "<edXML:Reference>", '<edXML:Reference xlink:href="cid:209">'
        ),
        "xml-namespace--undeclared-element-prefix": changed(
            "<edXML:Subject>", "<vb:Subject/><edXML:Subject>"
        ),
        "xml-root--envelope-alone": (
            f'<edXMLEnvelope xmlns="{NAMESPACE}"><edXMLHeader/></edXMLEnvelope>'.encode()
        ),
        "xml-root--soap": b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"/>',
        "schema--nested-from": changed(
            from_element, f"<edXML:From>\n{from_element}</edXML:From>\n"
        ),
        "schema--from-twice": changed(from_element, from_element * 2),
        "schema--missing-from": changed(from_element, ""),
        "schema--missing-to": changed(to_elements, ""),
        "schema--missing-document-id": changed(
            f"<edXML:DocumentId>{DOCUMENT_ID}</edXML:DocumentId>", ""
        ),
        "schema--empty-document-id": changed(DOCUMENT_ID, "  "),
        "schema--missing-header": changed("edXML:MessageHeader>", "edXML:MsgHeader>").replace(
            b"/edXML:MessageHeader>", b"/edXML:MsgHeader>"
        ),
        "schema--empty-organ-id": changed("<edXML:OrganId>H53.13<", "<edXML:OrganId><"),
        "schema--bad-date": changed("2025/07/01<", "2025-07-01T00:00:00<"),
        "schema--no-such-day": changed("Date>2025/07/01<", "Date>2025/02/30<"),
        "schema--bad-month": changed("2025/07/15", "2025/13/15"),
        "schema--empty-date": changed(
            "<edXML:DueDate>2025/07/15</edXML:DueDate>", "<edXML:DueDate></edXML:DueDate>"
        ),
        "schema--empty-promulgation-date": changed("Date>2025/07/01<", "Date><"),
        "schema--bad-timestamp": changed("2025/07/01 08:30:00", "2025/07/01 25:30:00"),
        "schema--priority-9": changed("<edXML:Priority>1<", "<edXML:Priority>9<"),
        "schema--business-type-7": changed("DocType>0<", "DocType>7<"),
        "schema--pages-in-words": changed("Amount>22<", "Amount>hai mươi hai<"),
        "schema--markup-in-subject": changed("<edXML:Subject>V/v", "<edXML:Subject><b>V/v</b>"),
        "schema--text-between-elements": changed(header_end, "      abc\n" + header_end),
        "schema--header-twice": changed(header_end, header_end + "<edXML:MessageHeader/>"),
        "schema--attachment-without-id": changed("<ContentId>cid:209</ContentId>", ""),
        "schema--attachment-without-content": base[: base.index(b"      <edXML:ContentTransfer")]
        + b"    </Attachment>\n  </AttachmentEncoded>\n</edXML>\n",
        "schema--status-with-to": package([*status_header("03"), ("To", SENDER)]),
        "schema--status-without-code": package(
            [item for item in status_header("03") if item[0] != "StatusCode"]
        ),
        "schema--status-without-response-for": package(
            [item for item in status_header("03") if item[0] != "ResponseFor"]
        ),
        "att-base64--placeholder": with_base64("${content}"),
        "att-base64--garbage": with_base64("Đây không phải base64!"),
        "att-base64--illegal-character": with_base64("QUJD*UJD"),
        "att-base64--data-after-end": with_base64("QUI=QUJD"),
        "att-base64--unterminated": with_base64("QUJDQ"),
        "att-base64--noncanonical": with_base64("QUJDRB=="),
        "att-base64--comment-inside": with_base64("QUJD<!-- -->QUJD"),
        "att-base64--element-inside": with_base64("QUJD<x/>QUJD"),
        "att-zip--not-a-zip": carrying("a.pdf", PDF),
        "att-zip--docx-not-a-zip": carrying("a.docx", PDF),
        "att-zip--empty": carrying("a.pdf", b""),
        "att-zip--overlapping-entries": carrying("a.pdf", overlapping(PDF)),
        "att-zip--wrong-checksum": carrying("a.pdf", wrong_crc(PDF)),
        "att-zip--cut-off": carrying("a.pdf", wrap(PDF)[:-30]),
        "att-zip--no-directory": carrying("a.pdf", wrap(PDF).split(b"PK\x01\x02")[0]),
        "att-zip--bytes-after-end": carrying("a.pdf", wrap(PDF) + b"more"),
        "att-zip--folder": carrying("a.pdf", archive({"folder/": b""}, 0)),
        "att-limit--zip-bomb": carrying("a.pdf", bomb()),
        "att-name--path": changed("<AttachmentName>7816", "<AttachmentName>../../7816"),
        "att-name--bidi": changed("<AttachmentName>7816", "<AttachmentName>\u202e7816"),
        "file-complete--missing-attachment": base[: base.index(b"  <AttachmentEncoded>")]
        + b"</edXML>\n",
        "file-complete--same-id-twice": package(message_header(), trace(), (WRAPPED, WRAPPED)),
        "status-reason--02": package(status_header("02", "")),
        "status-reason--16": package(status_header("16", "")),
        "status-code--99": package(status_header("99")),
        "status-code--without-zero": package(status_header("3")),
        "id-document--control-character": changed(DOCUMENT_ID, "G22,\n2025/07/01,1"),
        "xml-limit--deep-nesting": changed("Hà Nội", "<a>" * 80 + "</a>" * 80),
        "xml-limit--many-attributes": changed(
            "<edXML:Subject>",
            "<edXML:Subject " + " ".join(f'a{n}=""' for n in range(80)) + ">",
        ),
    }


def main() -> None:
    """Write every file, and remove those that are no longer made."""
    for folder, made in (("good", good()), ("bad", bad())):
        target = CORPUS / folder
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.edxml"):
            if old.stem not in made:
                old.unlink()
        for name, content in made.items():
            (target / f"{name}.edxml").write_bytes(content)


if __name__ == "__main__":
    main()
