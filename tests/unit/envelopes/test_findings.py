"""Findings: every rule speaks both languages, and one package tells all its faults at once."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path

import pytest

from envelopes.check import CheckReport, check_file, render
from envelopes.findings import Finding, Severity
from envelopes.read import read_package
from envelopes.rule import Rule
from envelopes.rule_catalogue import RULES, make
from envelopes.rules.profile import national
from tests.unit.envelopes.packages import CORPUS, corpus, good_bytes


@pytest.mark.parametrize("entry", RULES.values(), ids=lambda entry: entry.id)
def test_a_rule_says_the_same_in_both_languages(entry: Rule) -> None:
    """Both sentences of each variant use the same values, apart from per-language ones."""
    for sentence in (entry.sentence, *entry.variants.values()):
        used = [
            {field.removesuffix("_vi").removesuffix("_en") for _, field, _, _ in parts if field}
            for parts in map(string.Formatter().parse, (sentence.vi, sentence.en))
        ]
        assert used[0] == used[1]
    assert entry.source


@pytest.mark.parametrize(
    "rule_id",
    ["ID-SENDER", "ID-RECIPIENT", "DUPLICATE-CONTENT", "RECALL-OWNER"],
)
def test_rules_of_exchange_can_be_made(rule_id: str) -> None:
    """Rules used above this layer take the ordinary values alone."""
    finding = make(rule_id, element="From/OrganId", line=3, found="H41", allowed="G22")
    assert finding.severity is Severity.REFUSE
    assert finding.sentence.vi.startswith("Dòng 3: ")
    assert Finding.from_dict(json.loads(json.dumps(finding.as_dict()))) == finding


def test_foreign_text_cannot_bend_a_sentence() -> None:
    """Braces, control and direction characters in a value stay harmless."""
    finding = make("ID-SENDER", found="{0}\u202e\x1b[31m" + "x" * 10_000)
    assert "[U+202E]" in finding.sentence.en
    assert "\x1b" not in finding.sentence.en
    assert len(finding.sentence.en) < 400


def test_all_faults_are_told_at_once() -> None:
    """Schema, files and base64 of one package: each has its finding, sorted by line."""
    packed = (
        good_bytes("file-plain-pdf")
        .replace(b"2025/07/15", b"2025/15/07")
        .replace(b"<edXML:Priority>1<", b"<edXML:Priority>9<")
        .replace(b"cid:1<", b"cid:2<", 1)
        .replace(b"JVBER", b"*VBER")
    )
    findings = [finding for finding in read_package([packed]).findings if finding.refuses]
    assert [finding.rule for finding in findings] == [
        "SCHEMA",
        "SCHEMA",
        "FILE-COMPLETE",
        "ATT-BASE64",
    ]
    lines = [finding.line or 0 for finding in findings]
    assert lines == sorted(lines)


def test_a_finding_names_element_line_found_and_allowed() -> None:
    """The clerk learns what to mend: a wrong date, where, and the right form."""
    packed = good_bytes("canonical-new").replace(b"2025/07/15", b"15-07-2025")
    (finding,) = [finding for finding in read_package([packed]).findings if finding.refuses]
    line = packed[: packed.index(b"15-07-2025")].count(b"\n") + 1
    assert (finding.element, finding.line, finding.found) == (
        "MessageHeader/DueDate",
        line,
        "15-07-2025",
    )
    assert "yyyy/MM/dd" in finding.allowed
    assert "15-07-2025" in finding.sentence.vi


def test_ids_are_given_even_of_a_broken_package() -> None:
    """The error can say whose package it was."""
    packed = good_bytes("canonical-new")
    result = read_package([packed[: packed.index(b"<edXML:Subject>")]])
    assert result.package is None
    assert result.sender_organ_id == "000.00.00.G22"
    assert result.document_id == "000.00.00.G22,2025/07/01,7816/VPCP-TTĐT"


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_report_is_readable_and_serialisable(lang: str) -> None:
    """`lienthong check` shows kind, parties, files and verdict; the JSON says the same."""
    report = check_file(CORPUS / "good" / "national-update.edxml")
    assert not report.refused
    lines = render(report, lang)
    shown = "\n".join(lines)
    for part in ("000.00.00.G22", "000.00.00.H41", "7816_VPCP-TTĐT.pdf", "application/pdf"):
        assert part in shown
    data = json.loads(json.dumps(report.as_dict()))
    assert (data["kind"], data["type"], data["refused"]) == ("document", "2", False)


def test_a_profile_changes_severities() -> None:
    """A warning may refuse, a rule may be off; what was never read stays refused."""
    packed = good_bytes("canonical-new").replace(b"G22,2025/07/01", b"G22,2025/07/02")
    assert "ID-DOCUMENT" in {finding.rule for finding in check_file([packed]).findings}

    def graded(severity: Severity | None) -> CheckReport:
        profile = replace(national(), grades={**national().grades, "ID-DOCUMENT": severity})
        return check_file([packed], profile)

    assert graded(Severity.REFUSE).refused and not graded(Severity.WARN).refused
    assert "ID-DOCUMENT" not in {finding.rule for finding in graded(None).findings}
    assert check_file([b"<x/>"]).refused


@pytest.mark.parametrize("path", corpus("bad"), ids=lambda path: path.stem)
def test_a_report_on_a_bad_package_renders(path: Path) -> None:
    """No broken package breaks the report about it."""
    report = check_file(path)
    assert report.refused
    assert render(report, "vi")[-1] == "Kết luận: gói tin sẽ bị từ chối."
