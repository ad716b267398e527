"""Profiles: the six that come with the gateway, what they change, and what they may not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from envelopes.check import check_file
from envelopes.findings import Severity
from envelopes.model import OtherInfo
from envelopes.rule_catalogue import RULES
from envelopes.rules.checks import CHECKS, JUDGED_BY_READER
from envelopes.rules.locks import lock_of
from envelopes.rules.profile import (
    NATIONAL,
    ProfileProblem,
    all_profiles,
    load_profile,
    national,
    parse_profile,
    profile_for,
)
from envelopes.rules.runner import judge
from envelopes.rules.table import Verdict, verdict_rows
from schemas.catalogue import profile_names, profile_text
from tests.support.make_rule_corpus import File, changed, docx, pdf, sound
from tests.unit.envelopes.packages import good_bytes
from tests.unit.envelopes.rules.cases import (
    altered,
    facts,
    known,
    signatures,
    signed_file,
)

_PROFILES = ("national", "ben-tre", "dien-bien", "kien-giang", "kon-tum", "son-la")


def test_the_profiles_that_come_with_the_gateway() -> None:
    """One for the country and one for each of the five regulations; all name known calendars."""
    assert tuple(profile.name for profile in all_profiles()) == _PROFILES
    for profile in all_profiles():
        assert profile.title.vi and profile.title.en
        assert profile.calendar == "national"


def test_a_province_changes_settings_alone() -> None:
    """Each names only what differs from the national profile, or repeats it with its article."""
    base = national()
    for profile in all_profiles():
        assert profile.grades.keys() >= base.grades.keys()
    graded = {
        (profile.name, rule): profile.grade(rule)
        for profile in all_profiles()
        for rule in ("FILE-NAME", "FILE-FORMAT", "SIG-BOTH", "SIG-APPENDIX", "FILE-UNSIGNED-PDF")
    }
    refusing = {key for key, grade in graded.items() if grade is Severity.REFUSE}
    assert refusing == {
        ("kon-tum", "FILE-NAME"),
        ("son-la", "FILE-NAME"),
        ("son-la", "FILE-FORMAT"),
        ("dien-bien", "SIG-BOTH"),
        ("kon-tum", "SIG-BOTH"),
        ("kon-tum", "SIG-APPENDIX"),
        ("kon-tum", "FILE-UNSIGNED-PDF"),
        ("dien-bien", "FILE-UNSIGNED-PDF"),
        ("son-la", "FILE-UNSIGNED-PDF"),
    }


#: One package, judged by every profile: an unsigned Word file that was not scanned, with an
#: accented name, a declared appendix missing, a paper copy announced.
TABLE = {
    #                    national  ben-tre  dien-bien kien-giang kon-tum  son-la
    "HEAD-SECRET":       ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "ID-SENDER":         ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "ID-RECIPIENT":      ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "HEAD-REQUIRED":     ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "HEAD-REPLY":        ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "HEAD-PAPER":        ("warn",   "warn",   "warn",   "warn",   "warn",   "warn"),
    "TIME-ISSUE":        ("pass",   "pass",   "pass",   "warn",   "pass",   "pass"),
    "FILE-NAME":         ("warn",   "warn",   "warn",   "warn",   "refuse", "refuse"),
    "FILE-SIZE":         ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "FILE-FORMAT":       ("warn",   "warn",   "warn",   "warn",   "warn",   "refuse"),
    "FILE-CHARSET":      ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "FILE-COMPLETE":     ("warn",   "warn",   "warn",   "warn",   "refuse", "warn"),
    "FILE-MALWARE":      ("not-judged",) * 6,
    "FILE-SIGNED-PDF":   ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "FILE-UNSIGNED-PDF": ("warn",   "warn",   "refuse", "warn",   "refuse", "refuse"),
    "SIG-INTEGRITY":     ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "SIG-TRUST":         ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "SIG-REVOKED-NOW":   ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "SIG-BOTH":          ("pass",   "pass",   "refuse", "pass",   "refuse", "warn"),
    "SIG-APPENDIX":      ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "SIG-OWNER":         ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "SIG-TERM":          ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
    "ID-DOCUMENT":       ("pass",   "pass",   "pass",   "pass",   "pass",   "pass"),
}  # fmt: skip


def test_one_package_under_six_profiles() -> None:
    """Every rule of parts A-C under every profile, in one table."""
    file = File("1", "Công văn.doc", docx(), "application/msword")
    packed = changed("<edXML:Paper>0<", "<edXML:Paper>1<", sound(file))
    made = facts(packed, signatures=signatures(signed_file(is_pdf=False)), scans=None)
    at = made.lookups.received_at
    assert at is not None
    made = replace(made, lookups=known(received_at=at.replace(day=2, hour=15)))
    made = altered(made, other_info=OtherInfo(priority=0, appendixes=("Phụ lục I",)))
    told = [(profile, judge(made, profile)) for profile in all_profiles()]
    rows = verdict_rows(told)
    assert set(rows) == {*CHECKS, *JUDGED_BY_READER}
    assert {rule: tuple(map(str, verdicts)) for rule, verdicts in rows.items()} == TABLE
    refused = [profile.name for profile, judgement in told if judgement.refused]
    assert refused == ["dien-bien", "kon-tum", "son-la"]


def test_a_rule_may_be_off() -> None:
    """What a profile turns off is neither found nor left unjudged."""
    made = parse_profile('[rules]\nTIME-ISSUE = "off"\nFILE-NAME = "off"\n', "own")
    assert not isinstance(made, ProfileProblem)
    odd = facts(sound(pdf("Công văn.pdf")), lookups=known(received_at=None))
    judgement = judge(odd, made)
    assert judgement.findings == ()
    assert "TIME-ISSUE" not in {one.rule for one in judgement.not_judged}
    rows = verdict_rows([(made, judgement)])
    assert rows["TIME-ISSUE"] == rows["FILE-NAME"] == (Verdict.OFF,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[rules", "TOML"),
        ("[rule]", "unknown key 'rule'"),
        ("rules = 1", "a table"),
        ('[rules]\nNO-RULE = "off"', "there is no rule 'NO-RULE'"),
        ('[rules]\n"FILE-NAME/short" = "off"', "allowed: long"),
        ('[rules]\nFILE-NAME = "maybe"', "refuse, warn, off"),
        ("[rules]\nFILE-NAME = 1", "refuse, warn, off"),
        ('[rules]\nXML-DTD = "off"', "reading the package itself"),
        ('[rules]\nATT-BASE64 = "warn"', "reading the package itself"),
        ('[rules]\nFILE-COMPLETE = "warn"', "reading the package itself"),
        ('[rules]\nHEAD-SECRET = "off"', "the law forbids it"),
        ('[rules]\nFILE-MALWARE = "warn"', "the law forbids it"),
        ('[rules]\nID-SENDER = "warn"', "in another agency's name"),
        ('[rules]\nSTATUS-ORDER = "off"', "the order of the exchange"),
        ("[parameters]\nmax_file_mb = 50", "unknown parameter"),
        ("[parameters]\nmax_file_mib = 0", "a whole number above 0"),
        ("[parameters]\nmax_file_mib = true", "a whole number above 0"),
        ('[parameters]\nsignature_required = "yes"', "true or false"),
        ("[parameters]\nformats = [1]", "a list of texts"),
        ('[parameters]\nissue_limit = "soon"', "next-working-morning"),
        ("parameters = []", "a table"),
        ('title = "x"', "vi and en"),
        ("calendar = 1", "the name of a calendar"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(text: str, told: str) -> None:
    """The place, what was found and what is allowed; never a guess."""
    made = parse_profile(text, "own")
    assert isinstance(made, ProfileProblem)
    assert told in str(made)
    assert str(made).startswith("own")


def test_what_reading_depends_on_is_locked() -> None:
    """Those rules have a reason, and every reading refuses by them whatever the profile."""
    for rule_id in RULES:
        lock = lock_of(rule_id)
        if lock is not None:
            assert lock.why.vi and lock.why.en
            for profile in all_profiles():
                assert profile.grade(rule_id) is RULES[rule_id].severity
    # A name that deceives is refused although its rule warns, and may be graded.
    text = '[rules]\nATT-NAME = "off"\nID-DOCUMENT = "off"\n'
    own = parse_profile(text, "own")
    assert not isinstance(own, ProfileProblem)
    deceiving = sound(pdf("a\u202efdp.exe"))
    assert check_file([deceiving], own).refused


def test_unknown_profiles_are_bugs() -> None:
    """A name that no file has."""
    assert profile_names() == set(_PROFILES)
    for read in (load_profile, profile_text):
        with pytest.raises(KeyError):
            read("no-such")


@pytest.mark.parametrize(
    ("settings", "organ", "aliases", "chosen"),
    [
        ({}, "000.00.00.G22", (), NATIONAL),
        ({"profile": "ben-tre"}, "000.00.00.G22", (), "ben-tre"),
        ({"profile": 7}, "000.00.00.G22", (), NATIONAL),
        ({"profile": "half-days"}, "000.00.00.G22", (), NATIONAL),
        ({}, "000.00.05.H34", (), "kon-tum"),
        ({"profile": "ben-tre"}, "000.00.05.H34", (), "kon-tum"),
        ({}, "000.01.05.H34", (), "kon-tum"),
        ({}, "000.00.06.H34", (), "dien-bien"),
        ({}, "000.01.06.H34", (), "dien-bien"),
        ({}, "H34", (), "kon-tum"),
        ({}, "H34.9", (), "kon-tum"),
        ({}, "X1", ("000.00.06.H34",), "dien-bien"),
        ({}, "not a code", (), NATIONAL),
        ({}, "000.00.00.H53", (), NATIONAL),
    ],
)
def test_the_longest_match_chooses(
    settings: dict[str, object], organ: str, aliases: tuple[str, ...], chosen: str
) -> None:
    """The nearest body above an agency decides, then its connection, then the country."""
    assignments = {"000.00.00.H34": "kon-tum", "000.00.06.H34": "dien-bien", "broken": "son-la"}
    assert profile_for(settings, organ, assignments, aliases) == chosen


def test_judging_is_cheap() -> None:
    """A small package takes less than a millisecond; ten times that would be noticed here."""
    made = facts(good_bytes("canonical-new"))
    profile = national()
    judge(made, profile)
    took = []
    for _ in range(20):
        started = time.perf_counter()
        judge(made, profile)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.003
