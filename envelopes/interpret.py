"""The canonical tree → the model.

Also of a tree that the schema refused, as far as it goes: what is missing or unreadable is absent
then. Such a model serves for further checks, so that a clerk sees all faults at once; it is never
handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from envelopes import element_names as names
from envelopes import model
from envelopes.attachments import DecodedFile
from envelopes.content_types import is_zip
from envelopes.findings import Finding, Sentence
from envelopes.node import Node
from envelopes.rule_catalogue import make

_DOC_TYPES = {kind.value: kind for kind in model.BusinessDocType}


class Interpreter:
    """Builds the model; notes in `findings` the dates that no calendar has."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def status(self, root: Node) -> model.StatusReport:
        """The status report that `root` is."""
        header = _required(root, names.ENVELOPE, names.HEADER, names.MESSAGE_HEADER)
        return model.StatusReport(
            sender=_party(_required(header, names.FROM)),
            response_for=self._response_for(_required(header, names.RESPONSE_FOR)),
            status_code=header.text_of(names.STATUS_CODE),
            description=header.text_of(names.DESCRIPTION),
            timestamp=self._timestamp(header.first(names.TIMESTAMP)),
            staff=_staff(header.first(names.STAFF_INFO)),
        )

    def document(
        self, root: Node, files: Sequence[tuple[Node, DecodedFile | None]]
    ) -> model.Document:
        """The document that `root` is; `files` are its attachments in package order."""
        header = _required(root, names.ENVELOPE, names.HEADER, names.MESSAGE_HEADER)
        trace = root.first(names.ENVELOPE, names.HEADER, names.TRACE_HEADER_LIST)
        attachments = tuple(_attachment(node, file) for node, file in files)
        promulgation = _required(header, names.PROMULGATION_INFO)
        code = _required(header, names.CODE)
        return model.Document(
            sender=_party(_required(header, names.FROM)),
            recipients=tuple(_party(node) for node in header.all(names.TO)),
            document_id=header.text_of(names.DOCUMENT_ID),
            code=model.Code(code.text_of(names.CODE_NUMBER), code.text_of(names.CODE_NOTATION)),
            place=promulgation.text_of(names.PLACE),
            promulgation_date=self._date(promulgation.first(names.PROMULGATION_DATE)),
            document_type=_document_type(_required(header, names.DOCUMENT_TYPE)),
            subject=header.text_of(names.SUBJECT),
            content=header.text_of(names.CONTENT),
            signer=_signer(header.first(names.SIGNER_INFO)),
            due_date=self._date(header.first(names.DUE_DATE)),
            other_info=_other_info(header.first(names.OTHER_INFO)),
            response_for=tuple(self._response_for(n) for n in header.all(names.RESPONSE_FOR)),
            steering_type=header.text_of(names.STEERING_TYPE),
            to_places=_texts(header.first(names.TO_PLACES)),
            trace=tuple(
                model.TraceHeader(
                    node.text_of(names.ORGAN_ID), self._timestamp(node.first(names.TIMESTAMP))
                )
                for node in (trace.all(names.TRACE_HEADER) if trace else ())
            ),
            business=_business(trace.first(names.BUSINESS) if trace else None),
            references=_references(root, attachments),
            attachments=attachments,
        )

    def _response_for(self, node: Node) -> model.ResponseFor:
        return model.ResponseFor(
            organ_id=node.text_of(names.ORGAN_ID),
            code=node.text_of(names.CODE),
            document_id=node.text_of(names.DOCUMENT_ID),
            promulgation_date=self._date(node.first(names.PROMULGATION_DATE)),
        )

    def _date(self, node: Node | None) -> date | None:
        if node is None or not node.text:
            return None
        moment = self._moment(node, "%Y/%m/%d")
        return moment.date() if moment is not None else None

    def _timestamp(self, node: Node | None) -> datetime | None:
        if node is None or not node.text:
            return None
        return self._moment(node, "%Y/%m/%d %H:%M:%S")

    def _moment(self, node: Node, layout: str) -> datetime | None:
        try:
            local = datetime.strptime(node.text, layout)  # noqa: DTZ007 the zone follows
        except ValueError:
            self._note_no_such_day(node)
            return None
        return local.replace(tzinfo=model.VIETNAM_TIME)

    def _note_no_such_day(self, node: Node) -> None:
        self.findings.append(
            make(
                "SCHEMA",
                "value",
                element=node.tag,
                line=node.line or None,
                found=node.text,
                allowed=Sentence("một ngày có trong lịch", "a day that the calendar has"),
            )
        )


def _required(node: Node, *path: str) -> Node:
    return node.first(*path) or Node(path[-1])


def _party(node: Node) -> model.Party:
    return model.Party(
        organ_id=node.text_of(names.ORGAN_ID),
        organ_name=node.text_of(names.ORGAN_NAME),
        organization_in_charge=node.text_of(names.ORGANIZATION_IN_CHARGE),
        organ_add=node.text_of(names.ORGAN_ADD),
        email=node.text_of(names.EMAIL),
        telephone=node.text_of(names.TELEPHONE),
        fax=node.text_of(names.FAX),
        website=node.text_of(names.WEBSITE),
    )


def _document_type(node: Node) -> model.DocumentType:
    return model.DocumentType(
        node.text_of(names.TYPE), node.text_of(names.TYPE_DETAIL), node.text_of(names.TYPE_NAME)
    )


def _signer(node: Node | None) -> model.SignerInfo | None:
    if node is None:
        return None
    return model.SignerInfo(
        node.text_of(names.COMPETENCE), node.text_of(names.POSITION), node.text_of(names.FULL_NAME)
    )


def _staff(node: Node | None) -> model.StaffInfo | None:
    if node is None:
        return None
    return model.StaffInfo(
        department=node.text_of(names.DEPARTMENT),
        staff=node.text_of(names.STAFF),
        mobile=node.text_of(names.MOBILE),
        email=node.text_of(names.EMAIL),
    )


def _other_info(node: Node | None) -> model.OtherInfo | None:
    if node is None:
        return None
    direction = node.text_of(names.DIRECTION)
    return model.OtherInfo(
        priority=_number(node.text_of(names.PRIORITY)),
        sphere_of_promulgation=node.text_of(names.SPHERE_OF_PROMULGATION),
        typer_notation=node.text_of(names.TYPER_NOTATION),
        promulgation_amount=_number(node.text_of(names.PROMULGATION_AMOUNT)),
        page_amount=_number(node.text_of(names.PAGE_AMOUNT)),
        direction=direction == "true" if direction else None,
        appendixes=_texts(node.first(names.APPENDIXES)),
        reference_codes=_texts(node.first(names.REFERENCE_CODES)),
        reply_fors=_texts(node.first(names.REPLY_FORS)),
    )


def _business(node: Node | None) -> model.Business:
    if node is None:
        return model.Business()
    return model.Business(
        doc_type=_DOC_TYPES.get(node.text_of(names.BUSINESS_DOC_TYPE), model.BusinessDocType.NEW),
        reason=node.text_of(names.BUSINESS_DOC_REASON),
        document_id=node.text_of(names.DOCUMENT_ID),
        paper=_flag(node.text_of(names.PAPER)),
        staff=_staff(node.first(names.STAFF_INFO)),
        document_info=_document_info(node.first(names.BUSINESS_DOCUMENT_INFO)),
        replacements=_replacements(node.first(names.REPLACEMENT_INFO_LIST)),
    )


def _document_info(node: Node | None) -> model.BusinessDocumentInfo | None:
    if node is None:
        return None
    receivers = node.first(names.RECEIVER_LIST)
    return model.BusinessDocumentInfo(
        document_info=_flag(node.text_of(names.DOCUMENT_INFO)),
        document_receiver=_flag(node.text_of(names.DOCUMENT_RECEIVER)),
        receivers=tuple(
            model.Receiver(child.text_of(names.ORGAN_ID), child.text_of(names.RECEIVER_TYPE))
            for child in (receivers.children if receivers else ())
        ),
    )


def _replacements(node: Node | None) -> tuple[model.ReplacementInfo, ...]:
    return tuple(
        model.ReplacementInfo(
            child.text_of(names.DOCUMENT_ID), _texts(child.first(names.ORGAN_ID_LIST))
        )
        for child in (node.children if node else ())
    )


def _references(
    root: Node, attachments: tuple[model.Attachment, ...]
) -> tuple[model.Reference, ...]:
    """The manifest; the type of a file that lay wrapped is the file's here too."""
    manifest = root.first(names.ENVELOPE, names.BODY, names.MANIFEST)
    real_types = {file.content_id: file.content_type for file in attachments if file.wrapped}
    references = []
    for node in manifest.children if manifest else ():
        content_id, declared = node.text_of(names.CONTENT_ID), node.text_of(names.CONTENT_TYPE)
        references.append(
            model.Reference(
                content_id=content_id,
                content_type=real_types.get(content_id, declared) if is_zip(declared) else declared,
                description=node.text_of(names.DESCRIPTION),
                attachment_name=node.text_of(names.ATTACHMENT_NAME),
            )
        )
    return tuple(references)


def _attachment(node: Node, file: DecodedFile | None) -> model.Attachment:
    declared = node.text_of(names.CONTENT_TYPE)
    wrapped = file is not None and file.wrapped
    detected = file.detected_type if file else ""
    return model.Attachment(
        content_id=node.text_of(names.CONTENT_ID),
        name=node.text_of(names.ATTACHMENT_NAME),
        content_type=detected if wrapped else declared,
        description=node.text_of(names.DESCRIPTION),
        size=file.size if file else 0,
        sha256=file.sha256 if file else "",
        wrapped=wrapped,
        detected_type=detected,
    )


def _texts(node: Node | None) -> tuple[str, ...]:
    return tuple(child.text for child in node.children) if node else ()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _flag(text: str) -> bool | None:
    return text == "1" if text else None
