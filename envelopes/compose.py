"""The model → canonical bytes: the standard's names and order, one layout, files as they are.

For every model that the schema accepts, reading what is composed gives the model again. Texts are
written as they are; the reader trims white space at both ends and reads ``N/A`` as absent, so a
model holds texts in that form. A carriage return is written as a character reference, since XML
parsers turn a bare one into a line feed.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime

from envelopes import element_names as names
from envelopes.model import (
    VIETNAM_TIME,
    Attachment,
    Business,
    BusinessDocumentInfo,
    Document,
    OtherInfo,
    Package,
    Party,
    ReplacementInfo,
    ResponseFor,
    StaffInfo,
    StatusReport,
)

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
#: base64 is written for this many bytes at a time; a multiple of three.
_PIECE_BYTES = 192 * 1024

#: A child of an element: its tag with its text, or with its own children.
_Item = tuple[str, "str | list[_Item]"]


def compose(
    package: Package, attachment_chunks: Callable[[Attachment], Iterable[bytes]]
) -> Iterator[bytes]:
    """The package as a stream of bytes; memory does not grow with its files.

    `attachment_chunks` gives the bytes of a file, decoded and unwrapped. Raises ValueError for a
    text that XML cannot hold (naming its field), for a time without zone, and where a file's bytes
    are not those that the model describes.
    """
    if isinstance(package, StatusReport):
        yield _head(_status_header(package), []).encode("utf-8")
        yield b"</edXML>\n"
        return
    yield _head(_message_header(package), _document_rest(package)).encode("utf-8")
    if package.attachments:
        yield f"  <{names.ATTACHMENT_ENCODED}>\n".encode()
        for attachment in package.attachments:
            yield from _attachment(attachment, attachment_chunks(attachment))
        yield f"  </{names.ATTACHMENT_ENCODED}>\n".encode()
    yield b"</edXML>\n"


def compose_bytes(package: Package, contents: Mapping[str, bytes] | None = None) -> bytes:
    """The package as one piece of bytes; `contents` gives each file by its content id.

    Raises as `compose` does, and KeyError for an attachment that `contents` does not have.
    """
    held = contents or {}
    return b"".join(compose(package, lambda attachment: [held[attachment.content_id]]))


def _text(field: str, value: str) -> str:
    illegal = _ILLEGAL.search(value)
    if illegal is not None:
        raise ValueError(f"{field} holds U+{ord(illegal[0]):04X}, which XML cannot hold")
    return value.translate(_ESCAPES)


def _head(header: list[_Item], rest: list[_Item]) -> str:
    """Everything before the attachments; `rest` is what stands beside MessageHeader and below."""
    trace = [item for item in rest if item[0] == names.TRACE_HEADER_LIST]
    body = [item for item in rest if item[0] == names.BODY]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<{names.EDXML} xmlns="{names.NAMESPACE}">',
        f'  <{names.PREFIX}:{names.ENVELOPE} xmlns:{names.PREFIX}="{names.NAMESPACE}">',
    ]
    _write((names.HEADER, [(names.MESSAGE_HEADER, header), *trace]), "", 2, lines)
    for item in body:
        _write(item, "", 2, lines)
    lines.append(f"  </{names.PREFIX}:{names.ENVELOPE}>")
    return "\n".join(lines) + "\n"


def _write(item: _Item, path: str, depth: int, lines: list[str]) -> None:
    tag, inside = item
    indent = "  " * depth
    name = f"{names.PREFIX}:{tag}"
    if isinstance(inside, str):
        lines.append(f"{indent}<{name}>{_text(f'{path}/{tag}', inside)}</{name}>")
        return
    version = f' {names.VERSION}="{names.MANIFEST_VERSION}"' if tag == names.MANIFEST else ""
    lines.append(f"{indent}<{name}{version}>")
    below = "" if tag == names.HEADER else f"{path}/{tag}".lstrip("/")
    for child in inside:
        _write(child, below, depth + 1, lines)
    lines.append(f"{indent}</{name}>")


def _attachment(attachment: Attachment, chunks: Iterable[bytes]) -> Iterator[bytes]:
    fields = (
        (names.CONTENT_ID, names.CID + attachment.content_id),
        (names.ATTACHMENT_NAME, attachment.name),
        (names.DESCRIPTION, attachment.description),
        (names.CONTENT_TYPE, attachment.content_type),
    )
    lines = [f"    <{names.ATTACHMENT}>"]
    lines += [
        f"      <{tag}>{_text(f'{names.ATTACHMENT}/{tag}', value)}</{tag}>"
        for tag, value in fields
        if value
    ]
    yield ("\n".join(lines) + f"\n      <{names.CONTENT_TRANSFER_ENCODED}>").encode()
    yield from _base64(attachment, chunks)
    yield f"</{names.CONTENT_TRANSFER_ENCODED}>\n    </{names.ATTACHMENT}>\n".encode()


def _base64(attachment: Attachment, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """base64 on one line; at the end the bytes must be those that the model describes."""
    digest = hashlib.sha256()
    carry = b""
    for chunk in chunks:
        digest.update(chunk)
        data = carry + chunk
        whole = len(data) - len(data) % 3
        for start in range(0, whole, _PIECE_BYTES):
            piece = data[start : min(start + _PIECE_BYTES, whole)]
            yield binascii.b2a_base64(piece, newline=False)
        carry = data[whole:]
    if carry:
        yield binascii.b2a_base64(carry, newline=False)
    if attachment.sha256 and digest.hexdigest() != attachment.sha256:
        raise ValueError(
            f"the bytes given for attachment {attachment.content_id!r} have SHA-256 "
            f"{digest.hexdigest()}, the model says {attachment.sha256}"
        )


def _date(value: date) -> str:
    return f"{value.year:04d}/{value.month:02d}/{value.day:02d}"


def _timestamp(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"the time {value} has no zone")
    local = value.astimezone(VIETNAM_TIME)
    return f"{_date(local)} {local.hour:02d}:{local.minute:02d}:{local.second:02d}"


def _given(*items: tuple[str, object]) -> list[_Item]:
    """The items that hold something, each value in its wire form."""
    kept: list[_Item] = []
    for tag, value in items:
        if value is None or value == "" or value == []:
            continue
        kept.append((tag, value if isinstance(value, list) else _wire(value)))
    return kept


def _wire(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return _timestamp(value)
    return _date(value) if isinstance(value, date) else str(value)


def _party(party: Party) -> list[_Item]:
    return [
        (names.ORGAN_ID, party.organ_id),
        *_given(
            (names.ORGANIZATION_IN_CHARGE, party.organization_in_charge),
            (names.ORGAN_NAME, party.organ_name),
            (names.ORGAN_ADD, party.organ_add),
            (names.EMAIL, party.email),
            (names.TELEPHONE, party.telephone),
            (names.FAX, party.fax),
            (names.WEBSITE, party.website),
        ),
    ]


def _response_for(answered: ResponseFor) -> list[_Item]:
    return _given(
        (names.ORGAN_ID, answered.organ_id),
        (names.CODE, answered.code),
        (names.DOCUMENT_ID, answered.document_id),
        (names.PROMULGATION_DATE, answered.promulgation_date),
    )


def _staff(staff: StaffInfo | None) -> list[_Item]:
    if staff is None:
        return []
    return _given(
        (names.DEPARTMENT, staff.department),
        (names.STAFF, staff.staff),
        (names.MOBILE, staff.mobile),
        (names.EMAIL, staff.email),
    )


def _status_header(report: StatusReport) -> list[_Item]:
    return [
        (names.FROM, _party(report.sender)),
        (names.RESPONSE_FOR, _response_for(report.response_for)),
        *_given((names.STAFF_INFO, _staff(report.staff))),
        (names.STATUS_CODE, report.status_code),
        *_given((names.DESCRIPTION, report.description), (names.TIMESTAMP, report.timestamp)),
    ]


def _message_header(document: Document) -> list[_Item]:
    code, kind, signer = document.code, document.document_type, document.signer
    return [
        (names.FROM, _party(document.sender)),
        *((names.TO, _party(recipient)) for recipient in document.recipients),
        (names.DOCUMENT_ID, document.document_id),
        (
            names.CODE,
            _given((names.CODE_NUMBER, code.number), (names.CODE_NOTATION, code.notation)),
        ),
        (
            names.PROMULGATION_INFO,
            _given(
                (names.PLACE, document.place),
                (names.PROMULGATION_DATE, document.promulgation_date),
            ),
        ),
        (
            names.DOCUMENT_TYPE,
            _given(
                (names.TYPE, kind.type),
                (names.TYPE_DETAIL, kind.type_detail),
                (names.TYPE_NAME, kind.type_name),
            ),
        ),
        (names.SUBJECT, document.subject),
        *_given(
            (names.CONTENT, document.content),
            (
                names.SIGNER_INFO,
                _given(
                    (names.COMPETENCE, signer.competence),
                    (names.POSITION, signer.position),
                    (names.FULL_NAME, signer.full_name),
                )
                if signer
                else None,
            ),
            (names.DUE_DATE, document.due_date),
            (names.OTHER_INFO, _other_info(document.other_info)),
            *((names.RESPONSE_FOR, _response_for(one)) for one in document.response_for),
            (names.STEERING_TYPE, document.steering_type),
            (names.TO_PLACES, _list(names.PLACE, document.to_places)),
        ),
    ]


def _list(tag: str, texts: Iterable[str]) -> list[_Item]:
    return _given(*((tag, text) for text in texts))


def _other_info(info: OtherInfo | None) -> list[_Item]:
    if info is None:
        return []
    direction = None if info.direction is None else "true" if info.direction else "false"
    return _given(
        (names.PRIORITY, info.priority),
        (names.SPHERE_OF_PROMULGATION, info.sphere_of_promulgation),
        (names.TYPER_NOTATION, info.typer_notation),
        (names.PROMULGATION_AMOUNT, info.promulgation_amount),
        (names.PAGE_AMOUNT, info.page_amount),
        (names.DIRECTION, direction),
        (names.APPENDIXES, _list(names.APPENDIX, info.appendixes)),
        (names.REFERENCE_CODES, _list(names.REFERENCE_CODE, info.reference_codes)),
        (names.REPLY_FORS, _list(names.REPLY_FOR, info.reply_fors)),
    )


def _document_rest(document: Document) -> list[_Item]:
    trace: list[_Item] = [
        (
            names.TRACE_HEADER,
            [(names.ORGAN_ID, hop.organ_id), *_given((names.TIMESTAMP, hop.timestamp))],
        )
        for hop in document.trace
    ]
    trace.append((names.BUSINESS, _business(document.business)))
    rest: list[_Item] = [(names.TRACE_HEADER_LIST, trace)]
    if document.references:
        manifest: list[_Item] = [
            (
                names.REFERENCE,
                _given(
                    (names.CONTENT_ID, names.CID + reference.content_id),
                    (names.CONTENT_TYPE, reference.content_type),
                    (names.DESCRIPTION, reference.description),
                    (names.ATTACHMENT_NAME, reference.attachment_name),
                ),
            )
            for reference in document.references
        ]
        rest.append((names.BODY, [(names.MANIFEST, manifest)]))
    return rest


def _business(business: Business) -> list[_Item]:
    return _given(
        (names.BUSINESS_DOC_TYPE, business.doc_type.value),
        (names.BUSINESS_DOC_REASON, business.reason),
        (names.DOCUMENT_ID, business.document_id),
        (names.PAPER, business.paper),
        (names.STAFF_INFO, _staff(business.staff)),
        (names.BUSINESS_DOCUMENT_INFO, _document_info(business.document_info)),
        (
            names.REPLACEMENT_INFO_LIST,
            [(names.REPLACEMENT_INFO, _replacement(one)) for one in business.replacements],
        ),
    )


def _document_info(info: BusinessDocumentInfo | None) -> list[_Item]:
    if info is None:
        return []
    receivers: list[_Item] = [
        (
            names.RECEIVER,
            [(names.ORGAN_ID, one.organ_id), *_given((names.RECEIVER_TYPE, one.receiver_type))],
        )
        for one in info.receivers
    ]
    return _given(
        (names.DOCUMENT_INFO, info.document_info),
        (names.DOCUMENT_RECEIVER, info.document_receiver),
        (names.RECEIVER_LIST, receivers),
    )


def _replacement(replacement: ReplacementInfo) -> list[_Item]:
    return [
        (names.DOCUMENT_ID, replacement.document_id),
        *_given((names.ORGAN_ID_LIST, _list(names.ORGAN_ID, replacement.organ_ids))),
    ]
