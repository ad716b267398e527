"""Checks on which files are signed and by whom (parts A and C of the specification)."""

from __future__ import annotations

from collections.abc import Iterator

from envelopes.findings import Sentence
from envelopes.model import Document, SignatureForm
from envelopes.rules import words
from envelopes.rules.facts import FileFacts, PackageFacts
from envelopes.rules.files import kind_of, shown
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
    if _with_files(facts) is None:
        return
    xml_signed = facts.signature_form is SignatureForm.XML_DSIG
    for index, file, looked in facts.attachments():
        kind = kind_of(file, looked)
        if kind == _PDF:
            continue
        if looked is None and kind:
            yield NotJudged(Missing.FILES, shown(index, file))
        signature = looked.other_signature if looked else ""
        if signature or (xml_signed and index == 0 and kind):
            found = f"{kind}, {signature}" if signature else kind
            said = words.file_kind(kind, signature)
            yield Broken(shown(index, file), found=found, allowed=_PDF_ALLOWED, said=said)


def check_unsigned(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """FILE-UNSIGNED-PDF: unsigned only where the profile allows it, and then as PDF (BT 3.3)."""
    document = _with_files(facts)
    if document is None:
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    main = document.attachments[0]
    looked = _looked_at(facts, 0)
    kind = kind_of(main, looked)
    required = profile.parameters.signature_required
    if _speaks(signed, required=required) or _is_signed(_of_file(signed, 0)):
        return
    if looked and looked.other_signature and kind != _PDF:
        return  # FILE-SIGNED-PDF speaks of it
    if required:
        said = words.file_kind(kind)
        yield Broken(shown(0, main), kind, _SIGNED_ALLOWED, "required", said=said)
    elif kind and kind != _PDF:
        yield Broken(shown(0, main), kind, _PDF_ALLOWED, said=words.file_kind(kind))


def check_both(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """SIG-BOTH: the main document bears the official's and the agency's signature (ĐB 3, 10.2).

    An unsigned document lacks both, which is told where the profile demands signatures; elsewhere
    FILE-UNSIGNED-PDF speaks of it. A signature whose certificate may be anybody's does not count.
    """
    document = _with_files(facts)
    if document is None:
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    file = _of_file(signed, 0)
    bears = [one for one in file.signatures if one.outcome is not SignatureOutcome.INVALID]
    required = profile.parameters.signature_required
    if not bears and not required:
        return
    kinds = {one.kind for one in bears if one.valid or one.trusted}
    missing = [kind for kind in _MISSING if kind not in kinds]
    if missing and not required and {one.kind for one in bears} >= set(_MISSING):
        # Whose they are nobody can tell yet: SIG-TRUST says why.
        yield NotJudged(Missing.TRUST, shown(0, document.attachments[0]))
        return
    if missing:
        found = ", ".join(sorted(kinds)) or SignatureOutcome.ABSENT.value
        said = words.listed(words.SIGNERS[kind] for kind in sorted(kinds))
        yield Broken(
            shown(0, document.attachments[0]),
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
    document = _with_files(facts)
    if document is None or len(document.attachments) == 1:
        return
    signed = facts.signatures
    if signed is None:
        yield NotJudged(Missing.SIGNATURES)
        return
    if signed.xml.valid and of_sender(signed, signed.xml):
        return
    if not _is_signed(_of_file(signed, 0)) and not profile.parameters.signature_required:
        return
    for index, file in enumerate(document.attachments):
        if index and not _is_signed(_of_file(signed, index)):
            found = _of_file(signed, index).outcome
            said = words.OUTCOMES[found]
            yield Broken(shown(index, file), found.value, _SIGNED_ALLOWED, said=said)


def _with_files(facts: PackageFacts) -> Document | None:
    """The document, where it carries files and is no mere revocation."""
    document = facts.document
    if document is None or not document.attachments or facts.takes_back:
        return None
    return document


def _looked_at(facts: PackageFacts, index: int) -> FileFacts | None:
    return facts.files[index] if facts.files and index < len(facts.files) else None


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
