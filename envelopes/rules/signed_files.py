"""Checks on which files are signed and by whom (parts A and C of the specification)."""

from __future__ import annotations

from collections.abc import Iterator

from envelopes import element_names as names
from envelopes.findings import Sentence
from envelopes.model import Attachment, BusinessDocType, SignatureForm
from envelopes.rules import words
from envelopes.rules.facts import FileFacts, PackageFacts
from envelopes.rules.files import kind_of, shown, unknown_files
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile
from envelopes.rules.signatures import of_sender
from envelopes.signature_facts import (
    FileSignatures,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignerKind,
)

_PDF = "application/pdf"
_PDF_ALLOWED = "PDF"
_NO_FILE = Sentence("không có tệp nào", "no file at all")
_SIGNED_ALLOWED = Sentence("PDF có chữ ký số", "a PDF with digital signatures")
_BOTH_ALLOWED = Sentence(
    "chữ ký của người có thẩm quyền và của cơ quan", "the official's signature and the agency's"
)
_MISSING = {
    SignerKind.OFFICIAL: ("chữ ký số của người có thẩm quyền", "the official's signature"),
    SignerKind.AGENCY: ("chữ ký số của cơ quan", "the agency's signature"),
}


def check_signed_pdf(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """FILE-SIGNED-PDF: what is signed is a PDF (SL 7.3b)."""
    yield from unknown_files(facts)
    xml_signed = facts.signature_form is SignatureForm.XML_DSIG
    judged = facts.judged_files()
    for index, file, looked in judged:
        kind = kind_of(file, looked)
        if kind == _PDF:
            continue
        if looked is None and kind:
            yield NotJudged(Missing.FILES, shown(index, file))
        signature = looked.other_signature if looked else ""
        if signature or (xml_signed and index == judged[0][0] and kind):
            found = f"{kind}, {signature}" if signature else kind
            said = words.file_kind(kind, signature)
            yield Broken(shown(index, file), found=found, allowed=_PDF_ALLOWED, said=said)


def check_unsigned(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """FILE-UNSIGNED-PDF: unsigned only where the profile allows it, and then as PDF (BT 3.3)."""
    yield from unknown_files(facts)
    required = profile.parameters.signature_required
    main = _main(facts)
    if main is None and not (required and _lacks_files(facts)):
        if required:
            yield from _unknown_document(facts)
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    if _speaks(signed, required=required):
        return
    if main is None:
        yield Broken(names.ATTACHMENT_ENCODED, "", _SIGNED_ALLOWED, "required", said=_NO_FILE)
        return
    index, file, looked = main
    kind = kind_of(file, looked)
    if _is_signed(_of_file(signed, index)):
        return
    if looked and looked.other_signature and kind != _PDF:
        return  # FILE-SIGNED-PDF speaks of it
    if required:
        said = words.file_kind(kind)
        yield Broken(shown(index, file), kind, _SIGNED_ALLOWED, "required", said=said)
    elif kind and kind != _PDF:
        yield Broken(shown(index, file), kind, _PDF_ALLOWED, said=words.file_kind(kind))


def check_both(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """SIG-BOTH: the main document bears the official's and the agency's signature (ĐB 3, 10.2).

    An unsigned document lacks both, which is told where the profile demands signatures; elsewhere
    FILE-UNSIGNED-PDF speaks of it. A signature whose certificate may be anybody's does not count.
    """
    yield from unknown_files(facts)
    required = profile.parameters.signature_required
    main = _main(facts)
    if main is None and not (required and _lacks_files(facts)):
        if required:
            yield from _unknown_document(facts)
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    element = shown(main[0], main[1]) if main else names.ATTACHMENT_ENCODED
    signatures = _of_file(signed, main[0]).signatures if main else ()
    bears = [one for one in signatures if one.outcome is not SignatureOutcome.INVALID]
    if not bears and not required:
        return
    kinds = {one.kind for one in bears if one.valid or one.trusted}
    missing = [kind for kind in _MISSING if kind not in kinds]
    if missing and not required and {one.kind for one in bears} >= set(_MISSING):
        # Whose they are nobody can tell yet: SIG-TRUST says why.
        yield NotJudged(Missing.TRUST, element)
        return
    if missing:
        found = ", ".join(sorted(kinds)) or SignatureOutcome.ABSENT.value
        said = words.listed(words.SIGNERS[kind] for kind in sorted(kinds))
        yield Broken(
            element,
            found=found,
            allowed=_BOTH_ALLOWED,
            said=said if kinds else words.OUTCOMES[SignatureOutcome.ABSENT],
            values=(
                ("missing_vi", " và ".join(_MISSING[kind][0] for kind in missing)),
                ("missing_en", " and ".join(_MISSING[kind][1] for kind in missing)),
            ),
        )


def check_appendices(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """SIG-APPENDIX: the appendices of a signed document are signed too (KT 10.4d).

    A valid XML signature of the sending agency speaks for every file of the package.
    """
    yield from unknown_files(facts)
    judged = facts.judged_files()
    if len(judged) < 2:
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    if signed.xml.valid and of_sender(signed, signed.xml):
        return
    main, *others = judged
    if not _is_signed(_of_file(signed, main[0])) and not profile.parameters.signature_required:
        return
    for index, file, _ in others:
        if not _is_signed(_of_file(signed, index)):
            found = _of_file(signed, index).outcome
            said = words.OUTCOMES[found]
            yield Broken(shown(index, file), found.value, _SIGNED_ALLOWED, said=said)


def _main(facts: PackageFacts) -> tuple[int, Attachment, FileFacts | None] | None:
    """The main document: the first file that is judged."""
    return next(iter(facts.judged_files()), None)


def _lacks_files(facts: PackageFacts) -> bool:
    """Whether a document comes without any file: whatever its text says, nobody signed it.

    A revocation needs none, and an update of the metadata or of the receivers needs none where the
    document that it is about was sent with files (edXML section 3).
    """
    document = facts.document
    if document is None or document.attachments or facts.takes_back:
        return False
    return document.business.doc_type is not BusinessDocType.UPDATE or (
        facts.lookups.sent_files == frozenset()
    )


def _unknown_document(facts: PackageFacts) -> Iterator[Outcome]:
    """An update without files of a document that nobody looked up."""
    document = facts.document
    if document is None or document.attachments or facts.lookups.sent_files is not None:
        return
    if document.business.doc_type is BusinessDocType.UPDATE:
        yield NotJudged(Missing.HISTORY)


def _of_file(signed: SignatureFacts, index: int) -> FileSignatures:
    absent = FileSignatures(index, "", "", "", False, SignatureOutcome.ABSENT)
    return next((one for one in signed.files if one.index == index), absent)


def _speaks(signed: SignatureFacts, *, required: bool) -> bool:
    """Whether the XML signature is one: its mere shape is not, nor a bad one where one is required.

    There it must be the sending agency's too: anybody with a certificate can sign an envelope.
    Where only the revocation is not known yet, SIG-TRUST decides.
    """
    xml = signed.xml
    if required:
        good = xml.valid or set(xml.reasons) == {Reason.REVOCATION_UNKNOWN}
        return good and of_sender(signed, xml)
    return xml.outcome is not SignatureOutcome.ABSENT and Reason.PLACEHOLDER not in xml.reasons


def _is_signed(file: FileSignatures) -> bool:
    """Whether it bears a signature, of whatever worth: the other rules judge that."""
    return bool(file.signatures) or file.outcome is not SignatureOutcome.ABSENT
