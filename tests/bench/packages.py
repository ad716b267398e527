"""The package that the benchmark sends: a header of signed size and one attachment of 300 KB."""

from __future__ import annotations

import base64
import os

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
SENDER = "H41"
RECIPIENTS = ("H53", "G22")
ATTACHMENT_BYTES = 300 * 1024

_TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<edXML xmlns="{ns}"><edXML:edXMLEnvelope xmlns:edXML="{ns}"><edXML:edXMLHeader><edXML:MessageHeader>
<edXML:From><edXML:OrganId>{sender}</edXML:OrganId><edXML:OrganName>Cơ quan gửi</edXML:OrganName>
<edXML:OrganAdd>Số 1, đường Thử Nghiệm</edXML:OrganAdd><edXML:Email>gui@example.gov.vn</edXML:Email>
</edXML:From>{to}<edXML:DocumentId>{document_id}</edXML:DocumentId>
<edXML:Code><edXML:CodeNumber>{number}</edXML:CodeNumber>
<edXML:CodeNotation>UBND-VP</edXML:CodeNotation></edXML:Code>
<edXML:PromulgationInfo><edXML:Place>Vinh</edXML:Place>
<edXML:PromulgationDate>2026/11/21</edXML:PromulgationDate></edXML:PromulgationInfo>
<edXML:DocumentType><edXML:Type>2</edXML:Type><edXML:TypeDetail>18</edXML:TypeDetail>
<edXML:TypeName>Công văn</edXML:TypeName></edXML:DocumentType>
<edXML:Subject>V/v đo tốc độ trục liên thông, lần {number}</edXML:Subject>
<edXML:SignerInfo><edXML:Position>Chánh Văn phòng</edXML:Position>
<edXML:FullName>Nguyễn Văn A</edXML:FullName></edXML:SignerInfo>
<edXML:OtherInfo><edXML:Priority>0</edXML:Priority></edXML:OtherInfo>
</edXML:MessageHeader><edXML:TraceHeaderList><edXML:TraceHeader>
<edXML:OrganId>{sender}</edXML:OrganId><edXML:Timestamp>2026/11/21 08:00:00</edXML:Timestamp>
</edXML:TraceHeader><edXML:Bussiness><edXML:BussinessDocType>0</edXML:BussinessDocType>
<edXML:BussinessDocReason>Văn bản mới</edXML:BussinessDocReason><edXML:Paper>0</edXML:Paper>
</edXML:Bussiness></edXML:TraceHeaderList>
<Signature><SignedInfo/><SignatureValue>{signature}</SignatureValue></Signature>
</edXML:edXMLHeader><edXML:edXMLBody><edXML:edXMLManifest version="1.0"><edXML:Reference>
<edXML:ContentId>1</edXML:ContentId><edXML:ContentType>application/pdf</edXML:ContentType>
<edXML:AttachmentName>van-ban.pdf</edXML:AttachmentName></edXML:Reference></edXML:edXMLManifest>
</edXML:edXMLBody></edXML:edXMLEnvelope><AttachmentEncoded>{attachments}</AttachmentEncoded></edXML>
"""
_TO = (
    "<edXML:To><edXML:OrganId>{code}</edXML:OrganId>"
    "<edXML:OrganName>Cơ quan nhận {code}</edXML:OrganName></edXML:To>"
)
_ATTACHMENT = (
    "<Attachment><ContentId>1</ContentId><AttachmentName>van-ban.pdf</AttachmentName>"
    "<ContentType>application/pdf</ContentType><ContentTransferEncoded>{content}"
    "</ContentTransferEncoded></Attachment>"
)


class Packages:
    """Makes packages that differ in their DocumentId alone, cheaply."""

    def __init__(self, run: str) -> None:
        content = base64.b64encode(b"%PDF-1.7\n" + os.urandom(ATTACHMENT_BYTES)).decode()
        text = _TEMPLATE.format(
            ns=NAMESPACE,
            sender=SENDER,
            to="".join(_TO.format(code=code) for code in RECIPIENTS),
            document_id="@ID@",
            number="@NO@",
            # As much text as a signature with two certificates brings.
            signature=base64.b64encode(os.urandom(4500)).decode(),
            attachments=_ATTACHMENT.format(content=content),
        )
        self._text = text.encode()
        self._run = run

    def make(self, number: int) -> bytes:
        """The package of this number."""
        document_id = f"{SENDER},2026/11/21,{self._run}{number}/UBND-VP"
        name = f"{self._run}{number}"
        return self._text.replace(b"@ID@", document_id.encode()).replace(b"@NO@", name.encode())
