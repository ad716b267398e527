"""The free texts of a package's header, with the elements they stand in."""

from __future__ import annotations

from collections.abc import Iterator

from envelopes import element_names as names
from envelopes.model import Document, Package, StatusReport

_HEADER = names.MESSAGE_HEADER
_BUSINESS = f"{names.TRACE_HEADER_LIST}/{names.BUSINESS}"


def header_texts(package: Package, *, names_too: bool = True) -> Iterator[tuple[str, str]]:
    """Every text that a clerk writes, with its path; empty ones are left out.

    `names_too`: also the names of agencies, of which a circular has thousands.
    """
    if isinstance(package, StatusReport):
        texts = [(f"{_HEADER}/{names.DESCRIPTION}", package.description)]
    else:
        texts = list(_of_document(package))
    if names_too:
        texts += _agencies(package)
    return ((element, text) for element, text in texts if text)


def code_texts(package: Package) -> Iterator[tuple[str, str]]:
    """Numbers, notations and ids, with their paths."""
    if isinstance(package, StatusReport):
        answered = package.response_for
        yield f"{_HEADER}/{names.RESPONSE_FOR}/{names.CODE}", answered.code
        yield f"{_HEADER}/{names.RESPONSE_FOR}/{names.DOCUMENT_ID}", answered.document_id
        return
    yield f"{_HEADER}/{names.CODE}/{names.CODE_NUMBER}", package.code.number
    yield f"{_HEADER}/{names.CODE}/{names.CODE_NOTATION}", package.code.notation
    yield f"{_HEADER}/{names.DOCUMENT_ID}", package.document_id
    if package.other_info:
        element = f"{_HEADER}/{names.OTHER_INFO}/{names.TYPER_NOTATION}"
        yield element, package.other_info.typer_notation
        for number, code in enumerate(package.other_info.reference_codes, 1):
            yield f"{_HEADER}/{names.OTHER_INFO}/{names.REFERENCE_CODES}[{number}]", code


def _agencies(package: Package) -> Iterator[tuple[str, str]]:
    yield f"{_HEADER}/{names.FROM}/{names.ORGAN_NAME}", package.sender.organ_name
    if isinstance(package, Document):
        for number, party in enumerate(package.recipients, 1):
            yield f"{_HEADER}/{names.TO}[{number}]/{names.ORGAN_NAME}", party.organ_name


def _of_document(document: Document) -> Iterator[tuple[str, str]]:
    yield f"{_HEADER}/{names.PROMULGATION_INFO}/{names.PLACE}", document.place
    yield f"{_HEADER}/{names.DOCUMENT_TYPE}/{names.TYPE_NAME}", document.document_type.type_name
    yield f"{_HEADER}/{names.SUBJECT}", document.subject
    yield f"{_HEADER}/{names.CONTENT}", document.content
    if document.signer:
        signer = f"{_HEADER}/{names.SIGNER_INFO}"
        yield f"{signer}/{names.COMPETENCE}", document.signer.competence
        yield f"{signer}/{names.POSITION}", document.signer.position
        yield f"{signer}/{names.FULL_NAME}", document.signer.full_name
    if document.other_info:
        info = f"{_HEADER}/{names.OTHER_INFO}"
        yield f"{info}/{names.SPHERE_OF_PROMULGATION}", document.other_info.sphere_of_promulgation
        for number, name in enumerate(document.other_info.appendixes, 1):
            yield f"{info}/{names.APPENDIXES}/{names.APPENDIX}[{number}]", name
    for number, place in enumerate(document.to_places, 1):
        yield f"{_HEADER}/{names.TO_PLACES}/{names.PLACE}[{number}]", place
    yield f"{_BUSINESS}/{names.BUSINESS_DOC_REASON}", document.business.reason
    for number, reference in enumerate(document.references, 1):
        element = f"{names.MANIFEST}/{names.REFERENCE}[{number}]"
        if not _is_file_name(reference.description, reference.attachment_name):
            yield f"{element}/{names.DESCRIPTION}", reference.description
    for number, file in enumerate(document.attachments, 1):
        element = f"{names.ATTACHMENT_ENCODED}/{names.ATTACHMENT}[{number}]"
        if not _is_file_name(file.description, file.name):
            yield f"{element}/{names.DESCRIPTION}", file.description


def _is_file_name(description: str, name: str) -> bool:
    """The national toolkit writes the name again as description: FILE-NAME speaks of names."""
    return description == name
