"""Rules of part C on facts: whose signature counts, for what, and what is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from envelopes.findings import Finding, Severity
from envelopes.model import SignatureForm
from envelopes.rules.facts import FileFacts, PackageFacts
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from envelopes.rules.signatures import RULE_OF_REASON
from envelopes.signature_facts import Reason, SignatureOutcome, SignatureVerdict, SignerKind
from tests.support.make_rule_corpus import RULE_CORPUS
from tests.unit.envelopes.rules.cases import (
    BOTH,
    SENDER,
    certificate,
    facts,
    signatures,
    signed_file,
    two_files,
    verdict,
)

_REFUSE = Severity.REFUSE
_UNCLEAR = SignatureOutcome.UNVERIFIABLE
_STRICT = ("dien-bien", "kon-tum", "son-la")


def _signed(*given: SignatureVerdict, **fields: object) -> PackageFacts:
    return facts(signatures=signatures(signed_file(*given), **fields))


def _told(made: PackageFacts, rule_id: str, profile: str = "national") -> list[Finding]:
    judgement = judge(made, load_profile(profile))
    return [finding for finding in judgement.findings if finding.rule == rule_id]


def test_every_reason_of_a_signature_has_its_rule() -> None:
    """No way in which verification can end goes without a finding."""
    assert RULE_OF_REASON.keys() == set(Reason)
    for reason, rule_id in RULE_OF_REASON.items():
        # In Kon Tum a package waits for the list of revoked certificates.
        profile = "national" if reason is Reason.REVOCATION_UNKNOWN else "kon-tum"
        told = _told(_signed(*BOTH, verdict(reason)), rule_id, profile)
        assert told, reason
        assert told[0].found in (reason.value, "Văn phòng Chính phủ")
        # People are told in words, not by the code.
        assert f"({reason.value})" not in told[0].sentence.vi


@pytest.mark.parametrize(
    ("code", "told"),
    [(SENDER, 0), ("G22", 0), ("H41", 1), ("G22.05", 0), ("", 0), ("no code", 0)],
)
def test_an_owner_is_compared_by_code_not_by_text(code: str, told: int) -> None:
    """Both writings of level 1 are one agency; below it the two systems cannot be compared."""
    made = _signed(verdict(signer=certificate(organ_code=code)), verdict(kind=SignerKind.OFFICIAL))
    assert len(_told(made, "SIG-OWNER")) == told
    unjudged = [one.rule for one in judge(made, load_profile("national")).not_judged]
    assert ("SIG-OWNER" in unjudged) is (code in ("", "no code"))
    registered = _signed(*BOTH, verdict(registered_for=("G22",), signer=certificate(organ_code="")))
    assert _told(registered, "SIG-OWNER") == []


@pytest.mark.parametrize(
    ("start", "end", "trips"),
    [
        (datetime(2024, 2, 29, tzinfo=UTC), datetime(2029, 2, 28, tzinfo=UTC), False),
        (datetime(2024, 2, 29, tzinfo=UTC), datetime(2029, 3, 1, tzinfo=UTC), True),
        (datetime(9998, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), False),
        (datetime(9998, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), False),
        # Days begin and end seven hours earlier than in UTC.
        (datetime(2024, 2, 29, 17, tzinfo=UTC), datetime(2029, 3, 1, 16, tzinfo=UTC), False),
        (datetime(2024, 3, 1, tzinfo=UTC), datetime(2029, 3, 1, 17, tzinfo=UTC), True),
    ],
)
def test_terms_are_counted_in_calendar_years(start: datetime, end: datetime, trips: bool) -> None:
    """Leap days and certificates without an end included."""
    signer = certificate(not_before=start, not_after=end)
    assert bool(_told(_signed(*BOTH, verdict(signer=signer)), "SIG-TERM")) is trips


def test_an_xml_signature_speaks_for_the_appendices() -> None:
    """What the whole package's valid signature covers needs none of its own."""
    made = two_files()
    assert made.signatures is not None
    covered = replace(made, signatures=replace(made.signatures, xml=verdict()))
    assert _told(made, "SIG-APPENDIX") and not _told(covered, "SIG-APPENDIX")


@pytest.mark.parametrize("code", ["", "H41"])
@pytest.mark.parametrize("kind", [SignerKind.AGENCY, SignerKind.UNKNOWN])
def test_a_strangers_certificate_speaks_for_nobody(kind: SignerKind, code: str) -> None:
    """Valid or not: appendices stay unsigned, and the owner is judged or said to be unknown."""
    stranger = verdict(kind=kind, signer=certificate(organ_code=code))
    made = two_files()
    assert made.signatures is not None
    under = replace(made, signatures=replace(made.signatures, xml=stranger))
    assert _told(under, "SIG-APPENDIX")
    judgement = judge(under, load_profile("national"))
    unjudged = [one.element for one in judgement.not_judged if one.rule == "SIG-OWNER"]
    assert unjudged == ([] if code else ["edXML/Signature"])
    assert bool(_told(under, "SIG-OWNER")) is bool(code)
    registered = replace(
        under, signatures=replace(under.signatures, sender_certificates=("bb" * 32,))
    )
    assert [one.severity for one in _told(registered, "SIG-OWNER") if "edXML" in one.element] == [
        _REFUSE
    ]


@pytest.mark.parametrize("profile", _STRICT)
def test_the_shape_of_an_xml_signature_signs_nothing(profile: str) -> None:
    """An unsigned PDF stays unsigned beside a ds:Signature that is fake, bad or unclear."""
    fake = verdict(Reason.PLACEHOLDER, outcome=_UNCLEAR)
    changed_ = verdict(Reason.CHANGED)
    unclear = verdict(Reason.NO_TRUST_ANCHORS, outcome=_UNCLEAR)
    for xml in (fake, changed_, unclear):
        made = replace(_signed(xml=xml), signature_form=SignatureForm.XML_DSIG)
        (finding,) = _told(made, "FILE-UNSIGNED-PDF", profile)
        assert finding.refuses
    assert not _told(_signed(xml=verdict()), "FILE-UNSIGNED-PDF", profile)
    assert _told(_signed(*BOTH, xml=fake), "SIG-INTEGRITY", profile)


@pytest.mark.parametrize("profile", _STRICT)
@pytest.mark.parametrize("waits", [False, True], ids=["valid", "list missing"])
def test_anybodys_xml_signature_signs_no_pdf(profile: str, waits: bool) -> None:
    """An unsigned PDF stays unsigned under another agency's, an official's, a nameless one."""
    unclear = {"outcome": _UNCLEAR, "trusted": True}
    reasons = (Reason.REVOCATION_UNKNOWN,) if waits else ()

    def signs(**fields: object) -> list[Finding]:
        xml = verdict(*reasons, **{**(unclear if waits else {}), **fields})
        made = replace(_signed(xml=xml), signature_form=SignatureForm.XML_DSIG)
        return _told(made, "FILE-UNSIGNED-PDF", profile)

    assert signs(signer=certificate(organ_code="H41"))
    assert signs(signer=certificate(organ_code=""))
    assert signs(kind=SignerKind.OFFICIAL)
    assert not signs()


@pytest.mark.parametrize("profile", _STRICT)
def test_who_trusts_nobody_takes_no_signature(profile: str) -> None:
    """Without trust anchors anybody could have signed: refused where signatures are demanded."""
    unclear = {"outcome": _UNCLEAR, "trusted": None}
    both = [verdict(Reason.NO_TRUST_ANCHORS, kind=one.kind, **unclear) for one in BOTH]
    made = _signed(*both)
    assert [one.severity for one in _told(made, "SIG-TRUST", profile)] == [_REFUSE]
    assert _told(made, "SIG-BOTH", profile)
    national = judge(made, load_profile("national"))
    assert not national.refused
    assert ("SIG-BOTH", "TRUST") in [(one.rule, one.why.name) for one in national.not_judged]


@pytest.mark.parametrize("profile", _STRICT)
def test_without_a_revocation_list_a_package_waits(profile: str) -> None:
    """Where signatures are demanded it is held, neither refused nor passed; elsewhere a warning."""
    both = [
        verdict(Reason.REVOCATION_UNKNOWN, kind=one.kind, outcome=_UNCLEAR, trusted=True)
        for one in BOTH
    ]
    judgement = judge(_signed(*both), load_profile(profile))
    assert judgement.awaits_list and judgement.findings == ()
    assert not judge(_signed(*both), load_profile("national")).awaits_list
    changed_ = judge(_signed(*both, verdict(Reason.CHANGED)), load_profile(profile))
    assert changed_.refused and not changed_.awaits_list


@pytest.mark.parametrize("profile", _STRICT)
def test_without_a_revocation_list_a_report_goes_on_and_is_remarked_on(profile: str) -> None:
    """Reports wait for nothing: whoever reads one is told that the signer may be revoked."""
    packed = (RULE_CORPUS.parent / "good" / "status-02.edxml").read_bytes()
    unclear = verdict(Reason.REVOCATION_UNKNOWN, outcome=_UNCLEAR, trusted=True)
    made = facts(packed, signatures=replace(signatures(), xml=unclear, files=()))
    judgement = judge(made, load_profile(profile))
    assert not judgement.awaits_list and not judgement.refused
    assert [one.rule for one in judgement.findings] == ["SIG-TRUST"]


def test_bytes_that_spell_a_signature_do_not_sign_a_pdf() -> None:
    """Whatever else the look into the file found: a PDF's signatures are those verified."""
    made = replace(_signed(), files=(FileFacts("application/pdf", other_signature="CMS"),))
    assert [one.severity for one in _told(made, "FILE-UNSIGNED-PDF", "son-la")] == [_REFUSE]
