"""`lienthong check`: the verdict, its exit code, its form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.failures import REFUSED, WRONG_USE
from tests.support.builders import document, wire
from tests.support.make_rule_corpus import rule_corpus
from tests.unit.gateway.cli_runner import Lienthong


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A package that keeps every rule."""
    file = tmp_path / "good.edxml"
    file.write_bytes(wire(document()))
    return file


@pytest.fixture
def bad(tmp_path: Path, good: Path) -> Path:
    """The same with a kind of package that does not exist."""
    file = tmp_path / "bad.edxml"
    file.write_bytes(good.read_bytes().replace(b"BussinessDocType>0<", b"BussinessDocType>9<"))
    return file


def test_a_good_package_exits_0_a_bad_one_1(lienthong: Lienthong, good: Path, bad: Path) -> None:
    """One bad package among good ones is enough; the sentence is there in both languages."""
    assert "would be accepted" in lienthong("check", good).stdout
    text = lienthong("check", good, bad, code=REFUSED).stdout
    assert f"== {good}" in text and f"== {bad}" in text
    finding = lienthong.json("check", bad, code=REFUSED)["items"][0]["findings"][0]
    assert finding["sentence"]["vi"] in text and finding["sentence"]["en"] in text


def test_one_language_on_demand(lienthong: Lienthong, bad: Path) -> None:
    """--lang vi shows no English, --lang en no Vietnamese."""
    finding = lienthong.json("check", bad, code=REFUSED)["items"][0]["findings"][0]["sentence"]
    vi = lienthong("--lang", "vi", "check", bad, code=REFUSED).stdout
    en = lienthong("--lang", "en", "check", bad, code=REFUSED).stdout
    assert finding["vi"] in vi and finding["en"] not in vi
    assert finding["en"] in en and finding["vi"] not in en


def test_json_is_one_document_for_all_files(lienthong: Lienthong, good: Path, bad: Path) -> None:
    """Each file with its report, and how many were refused."""
    data = lienthong.json("check", good, bad, good, code=REFUSED)
    assert [item["refused"] for item in data["items"]] == [False, True, False]
    assert [item["file"] for item in data["items"]] == [str(good), str(bad), str(good)]
    assert (data["checked"], data["refused"]) == (3, 1)


def test_wrong_use_exits_2(lienthong: Lienthong, good: Path, tmp_path: Path) -> None:
    """Nothing is checked when a file is missing, or is a folder, or none is named."""
    missing = lienthong("check", good, tmp_path / "missing.edxml", code=WRONG_USE)
    assert "missing.edxml" in missing.stderr and not missing.stdout
    lienthong("check", tmp_path, code=WRONG_USE)
    lienthong("check", code=WRONG_USE)


def test_a_profile_changes_severities(lienthong: Lienthong, good: Path, tmp_path: Path) -> None:
    """A warning may be made a refusal or be left out; what a profile names must exist."""
    odd = tmp_path / "odd.edxml"
    odd.write_bytes(good.read_bytes().replace(b"<edXML:From>", b"<edXML:From><edXML:Odd/>"))
    assert "UNKNOWN-ELEMENT" in lienthong("check", odd).stdout
    profile = tmp_path / "profile.toml"
    profile.write_text('[rules]\nUNKNOWN-ELEMENT = "refuse"\n', "utf-8")
    lienthong("check", "--profile", profile, odd, code=REFUSED)
    profile.write_text('[rules]\nUNKNOWN-ELEMENT = "off"\n', "utf-8")
    assert "UNKNOWN-ELEMENT" not in lienthong("check", "--profile", profile, odd).stdout
    for line, told in (
        ('NONE = "off"', "NONE"),
        ('UNKNOWN-ELEMENT = "no"', "refuse, warn, off"),
        ('SCHEMA = "off"', "reading the package itself depends on this rule"),
        ('HEAD-SECRET = "warn"', "the law forbids it"),
        ('"FILE-COMPLETE/none" = "off"', "pages"),
    ):
        profile.write_text(f"[rules]\n{line}\n", "utf-8")
        assert told in lienthong("check", "--profile", profile, odd, code=WRONG_USE).stderr
    assert "there are" in lienthong("check", "--profile", "nix", odd, code=WRONG_USE).stderr


def _write(tmp_path: Path, name: str) -> Path:
    file = tmp_path / f"{name}.edxml"
    file.write_bytes(rule_corpus()[name])
    return file


def test_every_rule_is_judged_or_named(lienthong: Lienthong, tmp_path: Path) -> None:
    """Signatures and the calendar are looked at offline; what is not judged is listed and why."""
    file = _write(tmp_path, "file-charset--trips-tcvn3")
    item = lienthong.json("check", file)["items"][0]
    assert item["documentId"] and item["attachments"][0]["contentId"] and item["accepted"]
    assert item["profile"] == "national"
    assert {one["rule"] for one in item["findings"]} == {"TIME-ISSUE", "FILE-CHARSET"}
    unjudged = {one["rule"]: one["why"] for one in item["notJudged"]}
    assert unjudged == {
        "HEAD-SECRET": "text",
        "ID-SENDER": "registry",
        "ID-RECIPIENT": "registry",
        "FILE-MALWARE": "scan",
    }
    text = lienthong("--lang", "en", "check", file).stdout
    assert "Not judged (not scanned for malware): FILE-MALWARE" in text
    assert "Quyết định 12/2014/QĐ-UBND Bến Tre, Điều 3.2" in text


def test_signatures_may_be_left_out(lienthong: Lienthong, tmp_path: Path) -> None:
    """Then their rules are listed as not judged."""
    file = _write(tmp_path, "file-name--passes")
    (item,) = lienthong.json("check", "--no-signatures", file)["items"]
    assert {"SIG-TRUST", "SIG-BOTH"} <= {one["rule"] for one in item["notJudged"]}


def test_a_province_is_stricter(lienthong: Lienthong, tmp_path: Path) -> None:
    """The same package goes under the national profile and is refused in Kon Tum."""
    file = _write(tmp_path, "file-name--trips-accents")
    assert "FILE-NAME" in lienthong("check", file).stdout
    item = lienthong.json("check", "--profile", "kon-tum", file, code=REFUSED)["items"][0]
    refused = {one["rule"] for one in item["findings"] if one["severity"] == "refuse"}
    assert refused == {"FILE-NAME", "FILE-UNSIGNED-PDF", "SIG-BOTH"}


def test_all_profiles_in_one_table(lienthong: Lienthong, tmp_path: Path, bad: Path) -> None:
    """One row for each rule, one column for each profile; refused only where all refuse."""
    file = _write(tmp_path, "file-name--trips-accents")
    lines = lienthong("--lang", "en", "check", "--all-profiles", file).stdout.splitlines()
    assert lines[0].split() == [
        "rule",
        "national",
        "ben-tre",
        "dien-bien",
        "kien-giang",
        "kon-tum",
        "son-la",
    ]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["FILE-NAME"] == ["warn", "warn", "warn", "warn", "refuse", "refuse"]
    assert rows["VERDICT"] == [
        "accepted",
        "accepted",
        "refused",
        "accepted",
        "refused",
        "refused",
    ]
    data = lienthong.json("check", "--all-profiles", file)["items"][0]
    assert data["verdicts"]["FILE-NAME"]["kon-tum"] == "refuse"
    assert data["profiles"]["son-la"]["refused"]
    lienthong("check", "--all-profiles", bad, code=REFUSED)
    lienthong("check", "--all-profiles", "--profile", "kon-tum", file, code=WRONG_USE)


@pytest.mark.parametrize("name", [name for name in rule_corpus() if "head-secret--trips" in name])
def test_a_state_secret_is_refused(lienthong: Lienthong, tmp_path: Path, name: str) -> None:
    """Under every profile; the command says where the mark is."""
    file = _write(tmp_path, name)
    item = lienthong.json("check", "--all-profiles", "--no-signatures", file, code=REFUSED)
    for told in item["items"][0]["profiles"].values():
        assert {finding["rule"] for finding in told["findings"]} == {"HEAD-SECRET"}


def test_headings_are_in_both_languages_unless_one_is_asked_for(
    lienthong: Lienthong, good: Path
) -> None:
    """What is the same in both is said once."""
    both = lienthong("check", good).stdout
    assert "Bên gửi / Sender: " in both and "văn bản" in both and "document" in both
    assert "Sender" not in lienthong("--lang", "vi", "check", good).stdout


def test_standard_input_is_a_file_like_any(lienthong: Lienthong, good: Path, bad: Path) -> None:
    """`… | lienthong check -`, alone or among others; but it can be read only once."""
    assert "would be accepted" in lienthong("check", "-", stdin=good.read_bytes()).stdout
    result = lienthong("check", good, "-", "--json", code=REFUSED, stdin=bad.read_bytes())
    assert [one["file"] for one in json.loads(result.stdout)["items"]] == [str(good), "-"]
    lienthong("check", "-", "-", code=WRONG_USE, stdin=good.read_bytes())
