"""Every tag of edXML exactly as QCVN 102:2016 spells it; no other module writes one.

The wire's own mistakes (``Bussiness``, ``TyperNotation``) are kept here verbatim; our names for the
same things are right English (`envelopes.model`).
"""

from __future__ import annotations

from typing import Final

#: The namespace of QCVN 102:2016/BTTTT.
NAMESPACE: Final = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
#: The prefix that the envelope declares for it, beside the root's default namespace.
PREFIX: Final = "edXML"
#: W3C XML Signature.
DSIG_NAMESPACE: Final = "http://www.w3.org/2000/09/xmldsig#"
XLINK_NAMESPACE: Final = "http://www.w3.org/1999/xlink"
XSI_NAMESPACE: Final = "http://www.w3.org/2001/XMLSchema-instance"
#: edXML before QCVN 102: recognised only to be refused by name.
OLD_NAMESPACES: Final = ("http://www.e-doc.vn/Schema/", "http://www.go.vn/eDoc")
MANIFEST_VERSION: Final = "1.0"
CID: Final = "cid:"

EDXML: Final = "edXML"
ENVELOPE: Final = "edXMLEnvelope"
HEADER: Final = "edXMLHeader"
BODY: Final = "edXMLBody"
MANIFEST: Final = "edXMLManifest"
VERSION: Final = "version"
ATTACHMENT_ENCODED: Final = "AttachmentEncoded"
MESSAGE_HEADER: Final = "MessageHeader"
TRACE_HEADER_LIST: Final = "TraceHeaderList"
SIGNATURE: Final = "Signature"
DIGITAL_SIGNATURE: Final = "DigitalSignature"
SIGNED_INFO: Final = "SignedInfo"
SIGNATURE_VALUE: Final = "SignatureValue"
DIGEST_VALUE: Final = "DigestValue"

FROM: Final = "From"
TO: Final = "To"
ORGAN_ID: Final = "OrganId"
ORGANIZATION_IN_CHARGE: Final = "OrganizationInCharge"
ORGAN_NAME: Final = "OrganName"
ORGAN_ADD: Final = "OrganAdd"
EMAIL: Final = "Email"
TELEPHONE: Final = "Telephone"
FAX: Final = "Fax"
WEBSITE: Final = "Website"

DOCUMENT_ID: Final = "DocumentId"
CODE: Final = "Code"
CODE_NUMBER: Final = "CodeNumber"
CODE_NOTATION: Final = "CodeNotation"
PROMULGATION_INFO: Final = "PromulgationInfo"
PLACE: Final = "Place"
PROMULGATION_DATE: Final = "PromulgationDate"
DOCUMENT_TYPE: Final = "DocumentType"
TYPE: Final = "Type"
TYPE_DETAIL: Final = "TypeDetail"
TYPE_NAME: Final = "TypeName"
SUBJECT: Final = "Subject"
CONTENT: Final = "Content"
SIGNER_INFO: Final = "SignerInfo"
COMPETENCE: Final = "Competence"
POSITION: Final = "Position"
FULL_NAME: Final = "FullName"
DUE_DATE: Final = "DueDate"
OTHER_INFO: Final = "OtherInfo"
PRIORITY: Final = "Priority"
SPHERE_OF_PROMULGATION: Final = "SphereOfPromulgation"
TYPER_NOTATION: Final = "TyperNotation"
PROMULGATION_AMOUNT: Final = "PromulgationAmount"
PAGE_AMOUNT: Final = "PageAmount"
DIRECTION: Final = "Direction"
APPENDIXES: Final = "Appendixes"
APPENDIX: Final = "Appendix"
REFERENCE_CODES: Final = "ReferenceCodes"
REFERENCE_CODE: Final = "ReferenceCode"
REPLY_FORS: Final = "ReplyFors"
REPLY_FOR: Final = "ReplyFor"
RESPONSE_FOR: Final = "ResponseFor"
STEERING_TYPE: Final = "SteeringType"
TO_PLACES: Final = "ToPlaces"

STAFF_INFO: Final = "StaffInfo"
DEPARTMENT: Final = "Department"
STAFF: Final = "Staff"
MOBILE: Final = "Mobile"
STATUS_CODE: Final = "StatusCode"
DESCRIPTION: Final = "Description"
TIMESTAMP: Final = "Timestamp"

TRACE_HEADER: Final = "TraceHeader"
BUSINESS: Final = "Bussiness"
BUSINESS_DOC_TYPE: Final = "BussinessDocType"
BUSINESS_DOC_REASON: Final = "BussinessDocReason"
PAPER: Final = "Paper"
BUSINESS_DOCUMENT_INFO: Final = "BussinessDocumentInfo"
DOCUMENT_INFO: Final = "DocumentInfo"
DOCUMENT_RECEIVER: Final = "DocumentReceiver"
RECEIVER_LIST: Final = "ReceiverList"
RECEIVER: Final = "Receiver"
RECEIVER_TYPE: Final = "ReceiverType"
REPLACEMENT_INFO_LIST: Final = "ReplacementInfoList"
REPLACEMENT_INFO: Final = "ReplacementInfo"
ORGAN_ID_LIST: Final = "OrganIdList"

REFERENCE: Final = "Reference"
CONTENT_ID: Final = "ContentId"
CONTENT_TYPE: Final = "ContentType"
ATTACHMENT_NAME: Final = "AttachmentName"
ATTACHMENT: Final = "Attachment"
CONTENT_TRANSFER_ENCODED: Final = "ContentTransferEncoded"
HREF: Final = "href"

_PARTY: Final = (
    ORGAN_ID,
    ORGANIZATION_IN_CHARGE,
    ORGAN_NAME,
    ORGAN_ADD,
    EMAIL,
    TELEPHONE,
    FAX,
    WEBSITE,
)

#: What each element may hold, in the canonical order; an element not named here holds text.
CHILDREN: Final[dict[str, tuple[str, ...]]] = {
    EDXML: (ENVELOPE, ATTACHMENT_ENCODED),
    ENVELOPE: (HEADER, BODY),
    HEADER: (MESSAGE_HEADER, TRACE_HEADER_LIST, SIGNATURE),
    BODY: (MANIFEST,),
    MANIFEST: (REFERENCE,),
    REFERENCE: (CONTENT_ID, CONTENT_TYPE, DESCRIPTION, ATTACHMENT_NAME),
    ATTACHMENT_ENCODED: (ATTACHMENT,),
    ATTACHMENT: (
        CONTENT_ID,
        ATTACHMENT_NAME,
        DESCRIPTION,
        CONTENT_TYPE,
        CONTENT_TRANSFER_ENCODED,
    ),
    MESSAGE_HEADER: (
        FROM,
        TO,
        DOCUMENT_ID,
        CODE,
        PROMULGATION_INFO,
        DOCUMENT_TYPE,
        SUBJECT,
        CONTENT,
        SIGNER_INFO,
        DUE_DATE,
        OTHER_INFO,
        RESPONSE_FOR,
        STEERING_TYPE,
        TO_PLACES,
        STAFF_INFO,
        STATUS_CODE,
        DESCRIPTION,
        TIMESTAMP,
    ),
    FROM: _PARTY,
    TO: _PARTY,
    CODE: (CODE_NUMBER, CODE_NOTATION),
    PROMULGATION_INFO: (PLACE, PROMULGATION_DATE),
    DOCUMENT_TYPE: (TYPE, TYPE_DETAIL, TYPE_NAME),
    SIGNER_INFO: (COMPETENCE, POSITION, FULL_NAME),
    OTHER_INFO: (
        PRIORITY,
        SPHERE_OF_PROMULGATION,
        TYPER_NOTATION,
        PROMULGATION_AMOUNT,
        PAGE_AMOUNT,
        DIRECTION,
        APPENDIXES,
        REFERENCE_CODES,
        REPLY_FORS,
    ),
    APPENDIXES: (APPENDIX,),
    REFERENCE_CODES: (REFERENCE_CODE,),
    REPLY_FORS: (REPLY_FOR,),
    RESPONSE_FOR: (ORGAN_ID, CODE, DOCUMENT_ID, PROMULGATION_DATE),
    TO_PLACES: (PLACE,),
    STAFF_INFO: (DEPARTMENT, STAFF, MOBILE, EMAIL),
    TRACE_HEADER_LIST: (TRACE_HEADER, BUSINESS),
    TRACE_HEADER: (ORGAN_ID, TIMESTAMP),
    BUSINESS: (
        BUSINESS_DOC_TYPE,
        BUSINESS_DOC_REASON,
        DOCUMENT_ID,
        PAPER,
        STAFF_INFO,
        BUSINESS_DOCUMENT_INFO,
        REPLACEMENT_INFO_LIST,
    ),
    BUSINESS_DOCUMENT_INFO: (DOCUMENT_INFO, DOCUMENT_RECEIVER, RECEIVER_LIST),
    RECEIVER_LIST: (RECEIVER,),
    RECEIVER: (ORGAN_ID, RECEIVER_TYPE),
    REPLACEMENT_INFO_LIST: (REPLACEMENT_INFO,),
    REPLACEMENT_INFO: (DOCUMENT_ID, ORGAN_ID_LIST),
    ORGAN_ID_LIST: (ORGAN_ID,),
}

#: Containers whose lone text stands for a lone child (``<ReplyFors>12/UBND</ReplyFors>``).
TEXT_OR_CHILDREN: Final = {
    APPENDIXES: APPENDIX,
    REFERENCE_CODES: REFERENCE_CODE,
    REPLY_FORS: REPLY_FOR,
    TO_PLACES: PLACE,
}

#: Every name of the standard.
KNOWN: Final = frozenset(CHILDREN) | {name for names in CHILDREN.values() for name in names}
