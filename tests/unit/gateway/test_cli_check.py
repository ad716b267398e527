"""`lienthong check`: the verdict, its exit code, its form."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.failures import REFUSED, WRONG_USE
from tests.support.builders import document, wire
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
