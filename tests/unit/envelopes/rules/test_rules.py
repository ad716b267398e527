"""Every rule of parts A-C: a package that keeps it, one that breaks it, what a clerk is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from envelopes.findings import Finding, Severity
from envelopes.limits import MIB
from envelopes.model import OtherInfo, ResponseFor, SignatureForm
from envelopes.rule_catalogue import RULES, make
from envelopes.rules import words
from envelopes.rules.checks import CHECKS, JUDGED_BY_READER
from envelopes.rules.facts import FileFacts, PackageFacts, ScanFacts, ScanVerdict
from envelopes.rules.files import CONTENT_OF
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from envelopes.signature_facts import Reason, SignatureOutcome, SignerKind
from tests.support.make_corpus import File
from tests.support.make_rule_corpus import RULE_CORPUS, changed, pdf, rule_corpus, sound
from tests.unit.envelopes.rules.cases import (
    BOTH,
    SENDER,
    SIGNED_AT,
    altered,
    certificate,
    facts,
    known,
    signatures,
    signed_file,
    sized,
    two_files,
    verdict,
)

_REFUSE, _WARN = Severity.REFUSE, Severity.WARN
_PDF = "7816_VPCP-TTDT.pdf"
_KT, _DB, _BT = "58/2023/QĐ-UBND Kon Tum", "29/2021/QĐ-UBND Điện Biên", "12/2014/QĐ-UBND Bến Tre"
_SL, _KG = "Sơn La", "278/QĐ-UBND năm 2019 Kiên Giang"

#: Of each corpus file that trips: severity, element, article, found; and its profile.
IN_CORPUS: dict[str, tuple[Severity, str, str, str]] = {
    "file-name--trips-accents": (_WARN, "7816_VPCP-TTĐT.pdf", f"{_KT}, Điều 7.4", "Đ"),
    "file-name--trips-long": (_WARN, f"{'a' * 47}.pdf", f"{_KT}, Điều 7.4", "51"),
    "file-format--trips-program": (_WARN, "a.pdf", "Điều 7.3a", "portable-executable"),
    "file-format--trips-disagree": (_WARN, "a.pdf", "Điều 7.3a", "wordprocessingml"),
    "file-signed-pdf--trips-word": (_REFUSE, "a.docx", "Điều 7.3b", "OOXML"),
    "file-charset--trips-tcvn3": (_WARN, "phuluc.txt", f"{_BT}, Điều 3.2", "TCVN3"),
    "file-charset--trips-vni": (_WARN, "phuluc.txt", f"{_BT}, Điều 3.2", "VNI"),
    "file-charset--trips-tcvn3-header": (_WARN, "MessageHeader/Subject", _BT, "TCVN3"),
    "file-charset--trips-nfd-header": (_WARN, "MessageHeader/Subject", _BT, "NFD"),
    "file-complete--trips-missing": (_REFUSE, _PDF, f"{_KG}, Điều 6.1", "1"),
    "file-complete--trips-appendixes": (_WARN, "OtherInfo/Appendixes", "Điều 10.4d", "1"),
    "id-document--trips-date": (_WARN, "MessageHeader/DocumentId", "Điều 8.3", "2025/07/02"),
    "head-required--trips-urgency": (
        _WARN,
        "MessageHeader/OtherInfo/Priority",
        "Điều 10.2",
        "",
    ),
    "head-required--trips-number": (_WARN, "MessageHeader/Code/CodeNumber", "Điều 10.2", ""),
    "head-reply--trips-asks": (_WARN, "MessageHeader/DueDate", "Điều 7.2", "lấy ý kiến"),
    "head-reply--trips-due": (_WARN, "MessageHeader/DueDate", "Điều 7.2", "2025/06/15"),
    "head-secret--trips-notation": (_REFUSE, "MessageHeader/Code/CodeNotation", "Điều 1.2", "Mật"),
    "head-secret--trips-subject": (_REFUSE, "MessageHeader/Subject", "Điều 1.2", "Tối mật"),
    "head-secret--trips-content": (_REFUSE, "MessageHeader/Content", "Điều 4.2", "Tuyệt mật"),
    "head-secret--trips-file-name": (
        _REFUSE,
        "AttachmentEncoded/Attachment[1]/AttachmentName",
        "Điều 10.1",
        "Tuyệt mật",
    ),
    "head-secret--trips-page": (
        _REFUSE,
        "AttachmentEncoded/Attachment[2]",
        f"{_DB}, Điều 1.2",
        "Mật",
    ),
    "head-paper--trips-letter": (
        _WARN,
        "TraceHeaderList/Bussiness/Paper",
        "144/UBND-HCTC năm 2020 Kiên Giang, phụ lục",
        "1",
    ),
}


@dataclass(frozen=True)
class Case:
    """A rule tried with facts: one set that keeps it, one that breaks it."""

    rule: str
    passes: Callable[[], PackageFacts]
    trips: Callable[[], PackageFacts]
    severity: Severity
    element: str
    article: str
    found: str
    profile: str = "national"


def _routed(rule_id: str, element: str) -> PackageFacts:
    finding = make(rule_id, element=element, found="H99", allowed=SENDER)
    return facts(lookups=known(routing_findings=(finding,)))


def _answering(*exists: bool) -> PackageFacts:
    answered = ResponseFor("000.00.00.H41", "267/UBND-VP", "000.00.00.H41,2025/06/20,267/UBND-VP")
    return altered(facts(lookups=known(answered_known=exists)), response_for=(answered,))


def _entered(*, days: int, hour: int, urgent: bool) -> PackageFacts:
    at = SIGNED_AT.replace(hour=hour, minute=45) + timedelta(days=days)
    priority = OtherInfo(priority=int(urgent))
    return altered(facts(lookups=known(received_at=at)), other_info=priority)


def _signed(*signatures_: object, **fields: object) -> PackageFacts:
    return facts(signatures=signatures(signed_file(*signatures_), **fields))  # type: ignore[arg-type]


def _pages(declared: int) -> PackageFacts:
    return altered(facts(), other_info=OtherInfo(priority=0, page_amount=declared))


def _scanned(result: ScanVerdict, threat: str = "") -> PackageFacts:
    return facts(scans=(ScanFacts(0, result, threat),))


_LONG = certificate(not_after=datetime(2029, 1, 1, tzinfo=UTC))
_LOST = verdict(Reason.SUSPENDED)
_UNCLEAR = SignatureOutcome.UNVERIFIABLE

CASES = [
    Case("FILE-SIZE", lambda: sized(50 * MIB), lambda: sized(50 * MIB + 1), _REFUSE, _PDF,
         f"{_KT}, Điều 7.4", "50.0 MB"),
    Case("FILE-COMPLETE", lambda: _pages(2), lambda: _pages(22), _WARN, _PDF, "Điều 6.1", "22"),
    Case("FILE-MALWARE", lambda: _scanned(ScanVerdict.CLEAN),
         lambda: _scanned(ScanVerdict.INFECTED, "Eicar-Test-Signature"), _REFUSE, _PDF,
         f"{_KG}, Điều 9.2", "Eicar-Test-Signature"),
    Case("FILE-SIGNED-PDF", facts,
         lambda: replace(facts(rule_corpus()["file-format--passes"]),
                         signature_form=SignatureForm.XML_DSIG),
         _REFUSE, "a.docx", "Điều 7.3b", "wordprocessingml"),
    Case("FILE-UNSIGNED-PDF", facts,
         lambda: facts(rule_corpus()["file-format--passes"], signatures=signatures(signed_file())),
         _WARN, "a.docx", f"{_BT}, Điều 3.3", "wordprocessingml", "ben-tre"),
    Case("FILE-UNSIGNED-PDF", facts, lambda: _signed(), _REFUSE, _PDF,
         f"{_KT}, Điều 10.4c; Quyết định {_DB}, Điều 3; Dự thảo", "application/pdf", "kon-tum"),
    Case("ID-SENDER", facts, lambda: _routed("ID-SENDER", "MessageHeader/From/OrganId"), _REFUSE,
         "MessageHeader/From/OrganId", f"{_KG}, Điều 10.4", "H99"),
    Case("ID-RECIPIENT", facts, lambda: _routed("ID-RECIPIENT", "MessageHeader/To[1]/OrganId"),
         _REFUSE, "MessageHeader/To[1]/OrganId", "Điều 8.2, 10.1b", "H99"),
    Case("HEAD-REPLY", lambda: _answering(True), lambda: _answering(False), _WARN,
         "MessageHeader/ResponseFor[1]", f"{_KG}, Điều 7.2, 7.3", "267/UBND-VP"),
    # Signed on Tuesday: until the end of Wednesday in Điện Biên, its noon in Kiên Giang.
    Case("TIME-ISSUE", lambda: _entered(days=1, hour=16, urgent=False),
         lambda: _entered(days=2, hour=8, urgent=False), _WARN,
         "MessageHeader/PromulgationInfo/PromulgationDate", f"{_DB}, Điều 5.2", "2025/07/03 08:45",
         "dien-bien"),
    Case("TIME-ISSUE", lambda: _entered(days=1, hour=10, urgent=False),
         lambda: _entered(days=1, hour=11, urgent=False), _WARN,
         "MessageHeader/PromulgationInfo/PromulgationDate", f"{_KG}, Điều 3.3", "2025/07/02 11:45",
         "kien-giang"),
    Case("TIME-ISSUE", lambda: _entered(days=0, hour=22, urgent=True),
         lambda: _entered(days=1, hour=0, urgent=True), _WARN,
         "MessageHeader/PromulgationInfo/PromulgationDate", f"{_DB}, Điều 5.2", "2025/07/02 00:45"),
    Case("SIG-INTEGRITY", facts, lambda: _signed(verdict(Reason.CHANGED_LATER), *BOTH), _REFUSE,
         _PDF, f"{_DB}, Điều 8.1, 13", "changed-later"),
    Case("SIG-INTEGRITY", facts,
         lambda: _signed(*BOTH, verdict(Reason.ENCRYPTED, outcome=_UNCLEAR)), _WARN,
         _PDF, "Thông tư 41/2017/TT-BTTTT, Điều 7", "encrypted"),
    Case("SIG-INTEGRITY", facts,
         lambda: _signed(*BOTH, xml=verdict(Reason.PLACEHOLDER, outcome=_UNCLEAR)), _WARN,
         "edXML/Signature", f"{_KT}, Điều 10.1a", "placeholder", "kon-tum"),
    Case("SIG-TRUST", facts, lambda: _signed(*BOTH, verdict(Reason.REVOKED)), _REFUSE, _PDF,
         f"{_DB}, Điều 16, 17, 18; Quyết định {_KT}, Điều 4.3", "revoked"),
    Case("SIG-TRUST", facts,
         lambda: _signed(*BOTH, verdict(Reason.REVOCATION_UNKNOWN, outcome=_UNCLEAR)), _WARN, _PDF,
         f"{_DB}, Điều 16", "revocation-unknown"),
    Case("SIG-REVOKED-NOW", facts, lambda: _signed(*BOTH, _LOST), _REFUSE, _PDF,
         f"{_DB}, Điều 27.6", "Văn phòng Chính phủ"),
    Case("SIG-BOTH", facts, lambda: _signed(verdict(kind=SignerKind.OFFICIAL)), _REFUSE, _PDF,
         f"{_DB}, Điều 3, 10.2", "official", "dien-bien"),
    Case("SIG-BOTH", facts, lambda: _signed(verdict(kind=SignerKind.AGENCY)), _WARN, _PDF,
         f"{_KT}, Điều 10.4", "agency"),
    Case("SIG-OWNER", facts, lambda: _signed(verdict(signer=certificate(organ_code="H41"))), _WARN,
         _PDF, f"{_KG}, Điều 10.4", "H41"),
    Case("SIG-OWNER", lambda: _signed(*BOTH, sender_certificates=("aa" * 32,)),
         lambda: _signed(*BOTH, sender_certificates=("bb" * 32,)), _REFUSE, _PDF,
         f"{_KG}, Điều 10.4", "Văn phòng Chính phủ"),
    Case("SIG-OWNER", lambda: _signed(verdict(registered_for=(SENDER,)), *BOTH),
         lambda: _signed(verdict(registered_for=("H41",)), *BOTH), _REFUSE, _PDF,
         f"{_KG}, Điều 10.4", "Văn phòng Chính phủ"),
    Case("SIG-APPENDIX", lambda: two_files(*BOTH), two_files, _REFUSE, "phuluc.pdf",
         f"{_KT}, Điều 10.4d", "absent", "kon-tum"),
    Case("SIG-APPENDIX", lambda: two_files(verdict()), two_files, _WARN, "phuluc.pdf",
         f"{_KT}, Điều 10.4d", "absent"),
    Case("SIG-TERM", facts, lambda: _signed(*BOTH, verdict(signer=_LONG)), _WARN, _PDF,
         f"{_DB}, Điều 16.1, 17.1", "2029/01/01"),
    Case("SIG-TERM", lambda: _signed(*BOTH, verdict(renewed=False)),
         lambda: _signed(*BOTH, verdict(renewed=True)), _WARN, _PDF, f"{_DB}, Điều 16.1, 17.1",
         "2028/01/01"),
]  # fmt: skip


def _told(made: PackageFacts, rule_id: str, profile: str = "national") -> list[Finding]:
    judgement = judge(made, load_profile(profile))
    return [finding for finding in judgement.findings if finding.rule == rule_id]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.profile}")
def test_a_rule_passes_and_trips(case: Case) -> None:
    """Nothing is said of what keeps the rule; else grade, place, article and both sentences are."""
    assert _told(case.passes(), case.rule, case.profile) == []
    judgement = judge(case.trips(), load_profile(case.profile))
    found = [one for one in judgement.findings if one.rule == case.rule]
    assert found and all(one.severity is case.severity for one in found)
    finding = found[0]
    assert finding.element == case.element
    assert case.article in finding.source and case.found in finding.found
    _is_told_in_both_languages(finding)


def _is_told_in_both_languages(finding: Finding) -> None:
    """Place and what is allowed stand in both halves, each of its own language."""
    vi, _, en = finding.allowed.partition(" / ")
    assert vi and vi in finding.sentence.vi and (en or vi) in finding.sentence.en
    for sentence in (finding.sentence.vi, finding.sentence.en):
        assert finding.element in sentence and " / " not in sentence
    assert finding.sentence.vi != finding.sentence.en


@pytest.mark.parametrize("name", sorted(rule_corpus()))
def test_a_package_of_the_corpus(name: str) -> None:
    """Checked as a file: what the name says, with grade, place, article and both sentences."""
    rule_id = name.partition("--")[0].upper()
    found = _told(facts(rule_corpus()[name]), rule_id)
    if "--passes" in name:
        assert found == []
        return
    severity, element, article, value = IN_CORPUS[name]
    finding = found[0]
    assert (finding.severity, finding.element) == (severity, element)
    assert article in finding.source and value in finding.found
    _is_told_in_both_languages(finding)


def test_the_rule_corpus_is_what_the_generator_writes() -> None:
    """The stored files and the script that explains them cannot drift apart."""
    made = rule_corpus()
    stored = {path.stem: path for path in RULE_CORPUS.glob("*.edxml")}
    assert stored.keys() == made.keys()
    for name, path in stored.items():
        # Deflate may differ between builds of zlib: the packed files are left out.
        assert path.read_bytes()[:2000] == made[name][:2000], name


def test_every_rule_has_a_pair() -> None:
    """Parts A-C are tried whole: no check without a package that keeps and one that breaks it."""
    tried = {case.rule for case in CASES}
    names = [name.partition("--") for name in rule_corpus()]
    for kind in ("passes", "trips"):
        corpus = {rule.upper() for rule, _, what in names if what.startswith(kind)}
        assert tried | corpus == {*CHECKS, *JUDGED_BY_READER}


def test_the_sound_package_keeps_every_rule() -> None:
    """With every fact at hand nothing is found and nothing left unjudged but the PDF's text."""
    judgement = judge(facts(), load_profile("kon-tum"))
    assert judgement.findings == ()
    assert [(one.rule, one.why.name) for one in judgement.not_judged] == [("HEAD-SECRET", "TEXT")]
    assert not judgement.must_wait and not judgement.secret


def test_what_is_not_known_is_said() -> None:
    """Without signatures, scans and lookups no rule passes unseen; without a scan it waits."""
    bare = facts(signatures=None, scans=None, lookups=known(routing_findings=None), files=None)
    judgement = judge(bare, load_profile("national"))
    unjudged = {one.rule for one in judgement.not_judged}
    assert unjudged == {
        "HEAD-SECRET",
        "ID-SENDER",
        "ID-RECIPIENT",
        "FILE-MALWARE",
        "FILE-UNSIGNED-PDF",
        "SIG-INTEGRITY",
        "SIG-TRUST",
        "SIG-REVOKED-NOW",
        "SIG-BOTH",
        "SIG-OWNER",
        "SIG-TERM",
    }
    assert judgement.must_wait
    assert judge(_scanned(ScanVerdict.UNSCANNED), load_profile("national")).must_wait
    for one in judgement.not_judged:
        data = one.as_dict()
        assert data["reason"]["vi"] and data["reason"]["en"] and data["why"]


@pytest.mark.parametrize("name", [name for name in IN_CORPUS if name.startswith("head-secret")])
def test_of_a_secret_nothing_else_is_told(name: str) -> None:
    """The judgement marks it, and no finding quotes what the package says."""
    packed = changed("Hà Nội", "Căn cứ Z30", rule_corpus()[name])
    packed = packed.replace(b"7816_VPCP", "7816_Đặc_VPCP".encode())
    for profile in ("national", "ben-tre", "son-la"):
        judgement = judge(facts(packed), load_profile(profile))
        assert judgement.secret and judgement.refused
        assert {finding.rule for finding in judgement.findings} == {"HEAD-SECRET"}
        said = str([finding.as_dict() for finding in judgement.findings])
        for content in ("lực lượng", "kết nối", "7816", "Đặc", "Z30"):
            assert content not in said


def test_a_file_that_was_not_searched_is_told() -> None:
    """Bytes of no known kind may bear a mark as well."""
    made = replace(facts(), files=(FileFacts("application/octet-stream"),))
    not_judged = judge(made, load_profile("national")).not_judged
    assert [(one.rule, one.why.name) for one in not_judged] == [("HEAD-SECRET", "TEXT")]


def test_every_code_has_its_words() -> None:
    """Reasons, outcomes, signers and kinds of files, in each language its own."""
    for known_, codes in (
        (words.REASONS, Reason),
        (words.OUTCOMES, SignatureOutcome),
        (words.SIGNERS, SignerKind),
    ):
        assert known_.keys() == set(codes)
        assert all(one.vi != one.en for one in known_.values())
    for kinds in CONTENT_OF.values():
        assert not any("/" in words.file_kind(kind).vi for kind in kinds)


def test_dates_are_written_as_each_language_has_them() -> None:
    """And a date of issue that is still to come is told."""
    late = _told(_entered(days=2, hour=8, urgent=False), "TIME-ISSUE", "dien-bien")[0].sentence
    assert "vào trục lúc 03/07/2025 08:45; hạn phát hành: chậm nhất 02/07/2025 23:59" in late.vi
    assert "ký" in late.vi and "ngày 01/07/2025" in late.vi
    assert "issued by 2025-07-02 23:59" in late.en
    (early,) = _told(_entered(days=-1, hour=8, urgent=True), "TIME-ISSUE")
    assert "01/07/2025, chưa đến; cần không sau ngày 30/06/2025" in early.sentence.vi
    assert _told(_entered(days=0, hour=0, urgent=True), "TIME-ISSUE") == []


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<html><script>x</script></html>", "b.txt"),
        (b"<?xml version='1.0'?><a/>", "b.txt"),
        (b"<?xml version='1.0'?><?mso-application progid='Word.Document'?><a/>", "b.doc"),
    ],
)
def test_markup_under_the_name_of_a_document_is_to_be_saved_anew(content: bytes, name: str) -> None:
    """A web page or XML called .txt or .doc: the clerk is told what to save it as."""
    made = facts(sound(pdf(), File("2", name, content, "text/plain")))
    assert [one.severity for one in _told(made, "FILE-FORMAT")] == [_WARN]
    (refused,) = _told(made, "FILE-FORMAT", "son-la")
    assert refused.refuses and "lưu lại thành DOCX hoặc PDF" in refused.sentence.vi


def test_a_status_report_is_judged_by_what_concerns_it() -> None:
    """No file rules for a report; its reason may not carry a secret either."""
    path = RULE_CORPUS.parent / "good" / "status-02.edxml"
    packed = path.read_bytes()
    assert judge(facts(packed), load_profile("kon-tum")).findings == ()
    secret = packed.replace("Văn thư xử lý".encode(), "Văn bản (Mật)".encode())
    (finding,) = judge(facts(secret), load_profile("kon-tum")).findings
    assert (finding.rule, finding.element) == ("HEAD-SECRET", "MessageHeader/Description")


def test_all_rules_name_their_regulation() -> None:
    """Each rule of parts A-C names a decision, letter or draft of a province, with the article."""
    for rule_id in (*CHECKS, *JUDGED_BY_READER):
        assert "Điều" in RULES[rule_id].source, rule_id
        assert any(
            word in RULES[rule_id].source for word in ("Quyết định", "Dự thảo", "Công văn")
        ), rule_id
