"""edXML packages as text, written from the specification (QCVN 102:2016) and not by our composer.

What a recipient fetches is compared with these bytes, so reader, composer and store are judged by
something that shares no code with them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
OLD_NAMESPACE = "http://www.e-doc.vn/Schema/"
#: Who sends where a test does not say.
SENDER = "000.00.00.G22"
PDF_START = b"%PDF-1.7\n"
_numbers = itertools.count(1)


def new_id(sender: str = SENDER) -> str:
    """A DocumentId that no other test of this run uses."""
    return f"{sender},2026/11/02,{next(_numbers)}/CV-TEST"


@dataclass(frozen=True, slots=True)
class File:
    """One attachment as it travels."""

    name: str
    content: bytes
    content_type: str = "application/pdf"


def pdf(text: str, size: int = 0) -> bytes:
    """Bytes that begin as a PDF does, hold `text`, and are at least `size` bytes long."""
    return PDF_START + f"% {text}\n".encode() + b"%" * max(size - len(text) - 12, 0) + b"\n%%EOF\n"


def zipped(name: str, content: bytes) -> bytes:
    """`content` as the national toolkit wraps it: a ZIP of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(name, content)
    return out.getvalue()


def _party(tag: str, organ_id: str, name: str) -> str:
    return (
        f"<edXML:{tag}><edXML:OrganId>{escape(organ_id)}</edXML:OrganId>"
        f"<edXML:OrganizationInCharge>{escape(name)}</edXML:OrganizationInCharge>"
        f"<edXML:OrganName>{escape(name)}</edXML:OrganName>"
        "<edXML:OrganAdd>Số 1, đường Độc Lập</edXML:OrganAdd>"
        "<edXML:Email>vanthu@example.gov.vn</edXML:Email><edXML:Telephone>024 0000000"
        "</edXML:Telephone><edXML:Fax/><edXML:Website/>"
        f"</edXML:{tag}>\n"
    )


def _head(inside: str, after: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<edXML xmlns="{NAMESPACE}"><edXML:edXMLEnvelope xmlns:edXML="{NAMESPACE}">\n'
        f"<edXML:edXMLHeader><edXML:MessageHeader>\n{inside}</edXML:MessageHeader>\n{after}"
    )


def _document_head(
    sender: str,
    recipients: Sequence[str],
    document_id: str,
    *,
    subject: str,
    priority: int,
    number: str,
    notation: str,
    kind: str,
    reason: str = "Văn bản mới",
    due: str = "",
    response_for: str = "",
    business: str = "",
) -> str:
    to = "".join(_party("To", code, f"Cơ quan {code}") for code in recipients)
    inside = (
        f"{_party('From', sender, f'Cơ quan {sender}')}{to}"
        f"<edXML:DocumentId>{escape(document_id)}</edXML:DocumentId>\n"
        f"<edXML:Code><edXML:CodeNumber>{escape(number)}</edXML:CodeNumber>"
        f"<edXML:CodeNotation>{escape(notation)}</edXML:CodeNotation></edXML:Code>\n"
        "<edXML:PromulgationInfo><edXML:Place>Hà Nội</edXML:Place>"
        "<edXML:PromulgationDate>2026/11/02</edXML:PromulgationDate></edXML:PromulgationInfo>\n"
        "<edXML:DocumentType><edXML:Type>1</edXML:Type><edXML:TypeDetail>0</edXML:TypeDetail>"
        "<edXML:TypeName>Công văn</edXML:TypeName></edXML:DocumentType>\n"
        f"<edXML:Subject>{escape(subject)}</edXML:Subject>"
        f"<edXML:Content>{escape(subject)}</edXML:Content>\n"
        "<edXML:SignerInfo><edXML:Competence>TL. BỘ TRƯỞNG</edXML:Competence>"
        "<edXML:Position>Cục trưởng</edXML:Position>"
        "<edXML:FullName>Nguyễn Văn A</edXML:FullName></edXML:SignerInfo>\n"
        f"{f'<edXML:DueDate>{due}</edXML:DueDate>' if due else ''}"
        f"<edXML:OtherInfo><edXML:Priority>{priority}</edXML:Priority></edXML:OtherInfo>\n"
        f"{response_for}"
    )
    trace = (
        f"<edXML:TraceHeaderList><edXML:TraceHeader><edXML:OrganId>{escape(sender)}</edXML:OrganId>"
        "<edXML:Timestamp>2026/11/02 08:30:00</edXML:Timestamp></edXML:TraceHeader>\n"
        f"<edXML:Bussiness><edXML:BussinessDocType>{kind}</edXML:BussinessDocType>"
        f"<edXML:BussinessDocReason>{escape(reason)}</edXML:BussinessDocReason>"
        f"<edXML:Paper>0</edXML:Paper>{business}</edXML:Bussiness></edXML:TraceHeaderList>\n"
        "</edXML:edXMLHeader>\n"
    )
    return _head(inside, trace)


def _manifest(names: Sequence[tuple[str, str]]) -> str:
    if not names:
        return "</edXML:edXMLEnvelope>\n"
    references = "".join(
        f"<edXML:Reference><edXML:ContentId>cid:{number}</edXML:ContentId>"
        f"<edXML:ContentType>{content_type}</edXML:ContentType>"
        f"<edXML:Description>{escape(name)}</edXML:Description>"
        f"<edXML:AttachmentName>{escape(name)}</edXML:AttachmentName></edXML:Reference>\n"
        for number, (name, content_type) in enumerate(names, start=1)
    )
    return (
        f'<edXML:edXMLBody><edXML:edXMLManifest version="1.0">\n{references}'
        "</edXML:edXMLManifest></edXML:edXMLBody>\n</edXML:edXMLEnvelope>\n"
    )


def _attachment_start(number: int, name: str, content_type: str) -> str:
    return (
        f"<Attachment><ContentId>cid:{number}</ContentId>"
        f"<AttachmentName>{escape(name)}</AttachmentName>"
        f"<Description>{escape(name)}</Description><ContentType>{content_type}</ContentType>"
        f'<edXML:ContentTransferEncoded xmlns:edXML="{NAMESPACE}">'
    )


_ATTACHMENT_END = "</edXML:ContentTransferEncoded></Attachment>\n"


def document(
    sender: str,
    recipients: Sequence[str],
    document_id: str,
    *,
    subject: str = "V/v kiểm tra liên thông văn bản",
    priority: int = 0,
    number: str = "1",
    notation: str = "CV-TEST",
    kind: str = "0",
    reason: str = "Văn bản mới",
    due: str = "",
    response_for: str = "",
    business: str = "",
    files: Iterable[File] = (),
) -> bytes:
    """A document package; `kind` is BussinessDocType, `priority` 0 … 3 as QCVN 102 has it.

    `response_for` and `business` are elements that `answers`, `receivers` and `replaces` write.
    """
    files = list(files)
    parts = [
        _document_head(
            sender,
            recipients,
            document_id,
            subject=subject,
            priority=priority,
            number=number,
            notation=notation,
            kind=kind,
            reason=reason,
            due=due,
            response_for=response_for,
            business=business,
        ),
        _manifest([(file.name, file.content_type) for file in files]),
    ]
    if files:
        parts.append("<AttachmentEncoded>\n")
        for position, file in enumerate(files, start=1):
            parts.append(_attachment_start(position, file.name, file.content_type))
            parts.append(base64.b64encode(file.content).decode("ascii") + _ATTACHMENT_END)
        parts.append("</AttachmentEncoded>\n")
    return ("".join(parts) + "</edXML>\n").encode("utf-8")


def answers(document_sender: str, document_id: str) -> str:
    """The element of a document that answers another."""
    return (
        f"<edXML:ResponseFor><edXML:OrganId>{escape(document_sender)}</edXML:OrganId>"
        "<edXML:Code>1/CV-TEST</edXML:Code>"
        f"<edXML:DocumentId>{escape(document_id)}</edXML:DocumentId>"
        "<edXML:PromulgationDate>2026/11/02</edXML:PromulgationDate></edXML:ResponseFor>\n"
    )


def receivers(*, added: Sequence[str] = (), removed: Sequence[str] = ()) -> str:
    """The element of an update that changes who receives the document."""
    listed = [*((code, "0") for code in added), *((code, "1") for code in removed)]
    items = "".join(
        f"<edXML:Receiver><edXML:OrganId>{escape(code)}</edXML:OrganId>"
        f"<edXML:ReceiverType>{kind}</edXML:ReceiverType></edXML:Receiver>"
        for code, kind in listed
    )
    return (
        "<edXML:BussinessDocumentInfo><edXML:DocumentInfo>1</edXML:DocumentInfo>"
        "<edXML:DocumentReceiver>1</edXML:DocumentReceiver>"
        f"<edXML:ReceiverList>{items}</edXML:ReceiverList></edXML:BussinessDocumentInfo>"
    )


def replaces(holders: Sequence[str], *document_ids: str) -> str:
    """The element of a document that takes the place of others, and who had those."""
    codes = "".join(f"<edXML:OrganId>{escape(code)}</edXML:OrganId>" for code in holders)
    items = "".join(
        f"<edXML:ReplacementInfo><edXML:DocumentId>{escape(one)}</edXML:DocumentId>"
        f"<edXML:OrganIdList>{codes}</edXML:OrganIdList></edXML:ReplacementInfo>"
        for one in document_ids
    )
    return f"<edXML:ReplacementInfoList>{items}</edXML:ReplacementInfoList>"


def status(
    sender: str,
    document_sender: str,
    document_id: str,
    code: str,
    description: str = "Văn thư xử lý",
    *,
    at: str = "2026/11/02 11:08:36",
) -> bytes:
    """A status package (01 … 16) of `sender` about a document of `document_sender`."""
    inside = (
        f"{_party('From', sender, f'Cơ quan {sender}')}"
        f"<edXML:ResponseFor><edXML:OrganId>{escape(document_sender)}</edXML:OrganId>"
        "<edXML:PromulgationDate>2026/11/02</edXML:PromulgationDate>"
        f"<edXML:DocumentId>{escape(document_id)}</edXML:DocumentId>"
        "<edXML:Code>1/CV-TEST</edXML:Code></edXML:ResponseFor>\n"
        f"<edXML:StatusCode>{code}</edXML:StatusCode>"
        f"<edXML:Description>{escape(description)}</edXML:Description>"
        f"<edXML:Timestamp>{at}</edXML:Timestamp>\n"
    )
    text = _head(inside) + "</edXML:edXMLHeader></edXML:edXMLEnvelope></edXML>\n"
    return text.encode("utf-8")


def write_large(
    path: Path,
    sender: str,
    recipients: Sequence[str],
    document_id: str,
    attachment_bytes: Sequence[int],
) -> str:
    """Write a package with attachments of these sizes to `path`, in little memory; its SHA-256."""
    digest = hashlib.sha256()
    names = [
        (f"phu-luc-{number}.pdf", "application/pdf") for number in range(len(attachment_bytes))
    ]
    with path.open("wb") as target:

        def put(part: bytes) -> None:
            digest.update(part)
            target.write(part)

        head = _document_head(
            sender,
            recipients,
            document_id,
            subject="V/v gói tin lớn",
            priority=0,
            number="1",
            notation="CV-TEST",
            kind="0",
        )
        put((head + _manifest(names) + "<AttachmentEncoded>\n").encode())
        for position, (size, (name, content_type)) in enumerate(
            zip(attachment_bytes, names, strict=True), start=1
        ):
            put(_attachment_start(position, name, content_type).encode())
            for part in _numbered_base64(position, size):
                put(part)
            put(_ATTACHMENT_END.encode())
        put(b"</AttachmentEncoded>\n</edXML>\n")
    return digest.hexdigest()


def _numbered_base64(position: int, size: int) -> Iterable[bytes]:
    """Base64 of `size` bytes that begin as a PDF does; no two blocks are the same."""
    block = 3 * 256 * 1024  # a multiple of 3: the blocks' base64 can be strung together
    for start in range(0, size, block):
        head = PDF_START if start == 0 else b""
        part = head + f"{position}:{start};".encode() * (block // 4)
        yield base64.b64encode(part[: min(block, size - start)])
