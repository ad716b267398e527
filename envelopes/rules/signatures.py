"""Checks on signatures and their certificates (part C of the specification)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from envelopes.findings import Sentence, Severity
from envelopes.model import VIETNAM_TIME, SignatureForm
from envelopes.rules import words
from envelopes.rules.facts import PackageFacts
from envelopes.rules.outcome import Broken, Missing, NotJudged, Outcome
from envelopes.rules.profile import Profile
from envelopes.signature_facts import (
    CertificateFacts,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
    SignerKind,
)
from identifiers.organ_id import MalformedOrganId, OrganId

#: How findings name the package itself, which an XML signature signs.
PACKAGE = "edXML/Signature"

_BROKEN_INTEGRITY = frozenset(
    {
        Reason.CHANGED,
        Reason.CHANGED_LATER,
        Reason.APPENDED,
        Reason.NOT_WHOLE,
        Reason.FORBIDDEN_FORM,
        Reason.SEVERAL_SIGNATURES,
        Reason.COMMENT,
        Reason.DTD,
        Reason.ALGORITHM,
        Reason.KEY_TOO_SMALL,
        Reason.CERTIFICATE_MISMATCH,
        Reason.TIMESTAMP_INVALID,
    }
)
_BROKEN_TRUST = frozenset(
    {
        Reason.UNTRUSTED,
        Reason.EXPIRED,
        Reason.NOT_YET_VALID,
        Reason.WRONG_PURPOSE,
        Reason.REVOKED,
    }
)
_UNCLEAR_TRUST = frozenset({Reason.REVOCATION_UNKNOWN, Reason.NO_TRUST_ANCHORS})
_NO_ANCHORS = frozenset({Reason.NO_TRUST_ANCHORS})
_NO_LIST = frozenset({Reason.REVOCATION_UNKNOWN})
_UNCLEAR_INTEGRITY = frozenset(
    {
        Reason.WEAK_ALGORITHM,
        Reason.NO_CERTIFICATE,
        Reason.MALFORMED,
        Reason.ENCRYPTED,
        Reason.TIME_LIMIT,
        Reason.MEMORY_LIMIT,
        Reason.WORKER_DIED,
        Reason.TOO_LARGE,
        Reason.TOO_MANY,
        Reason.UNSUPPORTED,
    }
)
#: Which rule answers for each reason; every reason has one.
RULE_OF_REASON: dict[Reason, str] = {
    **dict.fromkeys(_BROKEN_INTEGRITY | _UNCLEAR_INTEGRITY | {Reason.PLACEHOLDER}, "SIG-INTEGRITY"),
    **dict.fromkeys(_BROKEN_TRUST | _UNCLEAR_TRUST, "SIG-TRUST"),
    Reason.SUSPENDED: "SIG-REVOKED-NOW",
}

_INTACT = Sentence("chữ ký toàn vẹn trên toàn bộ nội dung", "an intact signature over everything")
_TRUSTED = Sentence(
    "chứng thư do Ban Cơ yếu Chính phủ cấp, còn hạn khi ký, không bị thu hồi",
    "a certificate of a trusted government authority, valid when signing, not revoked",
)
_NOT_LOST = Sentence("chứng thư mới", "a new certificate")
_YEARS = Sentence("năm", "years")


def check_integrity(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """SIG-INTEGRITY: every signature intact, nothing changed but by later signatures."""
    signed = facts.signatures
    if signed is None:
        # Without a signature in the XML only files can carry one.
        if facts.signature_form is not SignatureForm.ABSENT or _files(facts):
            yield NotJudged(Missing.SIGNATURES)
        return
    for element, outcome, reasons in _by_place(signed):
        yield from _told(element, reasons, _BROKEN_INTEGRITY, _INTACT)
        yield from _told(element, reasons, _UNCLEAR_INTEGRITY, _INTACT, "unverifiable")
        yield from _told(element, reasons, {Reason.PLACEHOLDER}, _INTACT, "placeholder")
        if outcome is SignatureOutcome.INVALID and not reasons:
            said = words.OUTCOMES[outcome]
            yield Broken(element, found=outcome.value, allowed=_INTACT, said=said)


def check_trust(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """SIG-TRUST: a chain to a trusted authority, valid when signed, not revoked.

    Where signatures are demanded a document waits for the list that is missing (reliability 2.3:
    hold, do not reject), unless the profile refuses it. A report does not: it goes on, warned of.
    """
    signed = facts.signatures
    if signed is None:
        yield from _unverified(facts)
        return
    grade = profile.grade("SIG-TRUST", "revocation")
    waits = facts.document is not None and grade is Severity.WARN
    waits = waits and profile.parameters.signature_required
    for element, _, reasons in _by_place(signed):
        yield from _told(element, reasons, _BROKEN_TRUST, _TRUSTED)
        yield from _told(element, reasons, _NO_ANCHORS, _TRUSTED, "unverifiable")
        if waits and reasons >= _NO_LIST:
            yield NotJudged(Missing.REVOCATION, element)
        else:
            yield from _told(element, reasons, _NO_LIST, _TRUSTED, "revocation")


def check_suspended(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """SIG-REVOKED-NOW: a key that its agency reported lost signs nothing any more."""
    signed = facts.signatures
    if signed is None:
        yield from _unverified(facts)
        return
    for element, verdict in placed(signed):
        if Reason.SUSPENDED in verdict.reasons:
            yield Broken(element, found=_name(verdict), allowed=_NOT_LOST)


def check_owner(facts: PackageFacts, _profile: Profile) -> Iterator[Outcome]:
    """SIG-OWNER: the agency's certificate belongs to the agency that sends (KG 10.4)."""
    signed = facts.signatures
    if signed is None:
        yield from _unverified(facts)
        return
    for element, verdict in placed(signed):
        # A certificate whose subject does not tell may well be an agency's.
        if verdict.kind is not SignerKind.OFFICIAL and verdict.signer is not None:
            outcome = _owner(element, verdict, verdict.signer, signed)
            if outcome is not None:
                yield outcome


def of_sender(signed: SignatureFacts, verdict: SignatureVerdict) -> bool:
    """Whether a signature is the sending agency's: its registered or its own agency certificate."""
    if verdict.kind is SignerKind.OFFICIAL or verdict.signer is None:
        return False
    return _owner(PACKAGE, verdict, verdict.signer, signed) is None


def _owner(
    element: str, verdict: SignatureVerdict, signer: CertificateFacts, signed: SignatureFacts
) -> Outcome | None:
    sender = signed.sender_organ_id
    own = OrganId.parse(sender)
    ours = signer.sha256 in signed.sender_certificates
    if ours or any(_same(code, sender, own) for code in verdict.registered_for):
        return None
    if signed.sender_certificates or verdict.registered_for:
        return Broken(element, found=_name(verdict), allowed=sender, variant="registered")
    named = OrganId.parse(signer.organ_code)
    if not isinstance(named, OrganId) or not isinstance(own, OrganId):
        return NotJudged(Missing.OWNER, element)
    if own == named or (own.level_one == named.level_one and own.system is not named.system):
        # Below level 1 the two systems of codes cannot be compared.
        return None
    return Broken(element, found=f"{signer.organ_code} ({_name(verdict)})", allowed=sender)


def _same(code: str, sender: str, own: OrganId | MalformedOrganId) -> bool:
    """Whether a registered code is the sender's, however each is written."""
    return code == sender or (isinstance(own, OrganId) and OrganId.parse(code) == own)


def check_term(facts: PackageFacts, profile: Profile) -> Iterator[Outcome]:
    """SIG-TERM: a new certificate runs at most 5 years, a renewed one 3 (ĐB 16.1, 17.1)."""
    signed = facts.signatures
    if signed is None:
        yield from _unverified(facts)
        return
    parameters = profile.parameters
    for element, verdict in placed(signed):
        signer = verdict.signer
        if signer is None or signer.not_before is None or signer.not_after is None:
            continue
        years = (
            parameters.max_renewed_certificate_years
            if verdict.renewed
            else parameters.max_new_certificate_years
        )
        start, end = _day(signer.not_before), _day(signer.not_after)
        if end > _years_later(start, years):
            found = f"{start:%Y/%m/%d} – {end:%Y/%m/%d}"
            first, last = words.on_day(start), words.on_day(end)
            said = Sentence(f"{first.vi} – {last.vi}", f"{first.en} – {last.en}")
            yield Broken(element, found, words.at_most(years, _YEARS), said=said)


def _day(moment: datetime) -> date:
    """A certificate's times are in UTC; its terms are days of this country."""
    try:
        return moment.astimezone(VIETNAM_TIME).date()
    except OverflowError:
        # One without an end says 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5).
        return date.max


def placed(signed: SignatureFacts) -> Iterator[tuple[str, SignatureVerdict]]:
    """Every signature with the place that findings name."""
    if signed.xml.outcome is not SignatureOutcome.ABSENT:
        yield PACKAGE, signed.xml
    for file in signed.files:
        for verdict in file.signatures:
            yield file.name or file.content_id, verdict


def _by_place(
    signed: SignatureFacts,
) -> Iterator[tuple[str, SignatureOutcome, frozenset[Reason]]]:
    """Every signature with its reasons, and every PDF that could not be looked at as a whole."""
    for element, verdict in placed(signed):
        yield element, verdict.outcome, frozenset(verdict.reasons)
    for file in signed.files:
        told = {reason for one in file.signatures for reason in one.reasons}
        rest = frozenset(file.reasons) - told
        if rest:
            yield file.name or file.content_id, SignatureOutcome.UNVERIFIABLE, rest


def _told(
    element: str,
    reasons: frozenset[Reason],
    wanted: frozenset[Reason] | set[Reason],
    allowed: Sentence,
    variant: str = "",
) -> Iterator[Broken]:
    found = sorted(reasons & wanted)
    if found:
        said = words.listed(words.REASONS[reason] for reason in found)
        yield Broken(element, ", ".join(found), allowed, variant, said=said)


def _unverified(facts: PackageFacts) -> Iterator[Outcome]:
    if facts.signature_form is SignatureForm.XML_DSIG or _files(facts):
        yield NotJudged(Missing.SIGNATURES)


def _files(facts: PackageFacts) -> bool:
    return facts.document is not None and bool(facts.document.attachments)


def _name(verdict: SignatureVerdict) -> str:
    signer = verdict.signer
    if signer is None:
        return "?"
    return signer.common_name or signer.subject or signer.sha256


def _years_later(day: date, years: int) -> date:
    year = day.year + years
    if year > date.max.year:
        return date.max
    try:
        return day.replace(year=year)
    except ValueError:  # 29 February
        return day.replace(year=year, day=28)
