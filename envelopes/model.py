"""The one frozen model that every dialect of edXML is read into (QCVN 102:2016, amended 2022).

Field names are right English; the wire's spelling lives in `envelopes.element_names` alone.
Conventions: text that is absent on the wire is the empty string; an absent date, number or group is
None; groups that may repeat are tuples. Dates are calendar dates, timestamps are aware datetimes in
Vietnam time (UTC+7, which the wire does not write).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum

#: Wire timestamps carry no zone: they are Vietnam local time.
VIETNAM_TIME = timezone(timedelta(hours=7), "UTC+07:00")


class BusinessDocType(StrEnum):
    """What a document package does (Bussiness/BussinessDocType)."""

    NEW = "0"
    REVOCATION = "1"
    UPDATE = "2"
    REPLACEMENT = "3"


class StatusCode(StrEnum):
    """What a status package says (Decision 28/2018/QĐ-TTg)."""

    ARRIVED = "01"
    REFUSED = "02"
    ACCEPTED = "03"
    ASSIGNED = "04"
    PROCESSING = "05"
    FINISHED = "06"
    TAKE_BACK = "13"
    CHANGE_AGREED = "15"
    CHANGE_REFUSED = "16"


@dataclass(frozen=True, slots=True)
class Party:
    """An agency as it names itself in From or To. `organ_id` is the code as written, trimmed."""

    organ_id: str
    organ_name: str = ""
    organization_in_charge: str = ""
    organ_add: str = ""
    email: str = ""
    telephone: str = ""
    fax: str = ""
    website: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """Number and notation of a document (số, ký hiệu)."""

    number: str = ""
    notation: str = ""


@dataclass(frozen=True, slots=True)
class DocumentType:
    """Kind of document; `type_name` is trusted first, then the numbers (spec section 7)."""

    type: str = ""
    type_detail: str = ""
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """Who signed the document on paper terms: competence, position, name."""

    competence: str = ""
    position: str = ""
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class StaffInfo:
    """The clerk (văn thư) who handled the package."""

    department: str = ""
    staff: str = ""
    mobile: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFor:
    """The document that a document answers, or that a status report is about.

    `code` is one text here (for example ``7816/VPCP-TTĐT``), as the field writes it.
    """

    organ_id: str = ""
    code: str = ""
    document_id: str = ""
    promulgation_date: date | None = None


@dataclass(frozen=True, slots=True)
class OtherInfo:
    """The optional particulars of a document. `priority` is 0 (ordinary) to 4 (timed express)."""

    priority: int | None = None
    sphere_of_promulgation: str = ""
    typer_notation: str = ""
    promulgation_amount: int | None = None
    page_amount: int | None = None
    direction: bool | None = None
    appendixes: tuple[str, ...] = ()
    reference_codes: tuple[str, ...] = ()
    reply_fors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """One hop that the package passed."""

    organ_id: str
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """One line of an update's receiver list; `receiver_type` as written (0 add, 1 remove)."""

    organ_id: str
    receiver_type: str = ""


@dataclass(frozen=True, slots=True)
class BusinessDocumentInfo:
    """What an update changes: metadata, receivers, and which receivers."""

    document_info: bool | None = None
    document_receiver: bool | None = None
    receivers: tuple[Receiver, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplacementInfo:
    """A document that a replacement replaces, and the agencies that had received it."""

    document_id: str
    organ_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Business:
    """What the package does with its document (the wire's ``Bussiness``)."""

    doc_type: BusinessDocType = BusinessDocType.NEW
    reason: str = ""
    document_id: str = ""
    paper: bool | None = None
    staff: StaffInfo | None = None
    document_info: BusinessDocumentInfo | None = None
    replacements: tuple[ReplacementInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """One line of the manifest. `content_id` is written without ``cid:`` here."""

    content_id: str
    content_type: str = ""
    description: str = ""
    attachment_name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attached file, described; its bytes are streamed, never held in the model.

    `content_type` is the type as declared, except that ``application/zip`` around a single wrapped
    file is undone: then it is the real file's type and `wrapped` is True on reading.
    `size` and `sha256` (lower-case hex) are of the decoded, unwrapped file.
    """

    content_id: str
    name: str
    content_type: str = ""
    description: str = ""
    size: int = 0
    sha256: str = ""
    #: How the bytes lay on the wire, not what the file is: left out of comparison.
    wrapped: bool = field(default=False, compare=False)
    #: What the bytes themselves say the file is; "" where nobody has looked. Left out as well.
    detected_type: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A document package."""

    sender: Party
    recipients: tuple[Party, ...]
    document_id: str
    code: Code
    place: str = ""
    promulgation_date: date | None = None
    document_type: DocumentType = DocumentType()
    subject: str = ""
    content: str = ""
    signer: SignerInfo | None = None
    due_date: date | None = None
    other_info: OtherInfo | None = None
    response_for: tuple[ResponseFor, ...] = ()
    steering_type: str = ""
    to_places: tuple[str, ...] = ()
    trace: tuple[TraceHeader, ...] = ()
    business: Business = Business()
    references: tuple[Reference, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def priority(self) -> int:
        """Urgency 0 to 4; absent reads as ordinary."""
        return (self.other_info.priority if self.other_info else None) or 0

    @property
    def subject_document_id(self) -> str:
        """The document that this package is about.

        A revocation or update may name it in Bussiness/DocumentId; where it does not,
        MessageHeader/DocumentId is that document (spec section 3). A new document is itself.
        """
        about_another = (BusinessDocType.REVOCATION, BusinessDocType.UPDATE)
        if self.business.doc_type in about_another and self.business.document_id:
            return self.business.document_id
        return self.document_id


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A status package: what the agency `sender` says about a document of `response_for`."""

    sender: Party
    response_for: ResponseFor
    status_code: str
    description: str = ""
    timestamp: datetime | None = None
    staff: StaffInfo | None = None


Package = Document | StatusReport


class SignatureForm(StrEnum):
    """What of an XML signature lies in a package, before any of it is verified (spec section 6)."""

    ABSENT = "absent"
    #: Elements of a signature outside the XML-DSig namespace, or an empty one: not verifiable.
    PLACEHOLDER = "placeholder"
    #: A ds:Signature that can be put to the test.
    XML_DSIG = "xml-dsig"
