"""`lienthong rules`: every rule with its article, explained, and what profiles make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from envelopes.rule_catalogue import RULES
from envelopes.rules.profile import all_profiles
from gateway.cli.failures import WRONG_USE
from tests.unit.gateway.cli_runner import Lienthong


def test_every_rule_is_listed(lienthong: Lienthong) -> None:
    """With its severity and the article that it rests on."""
    text = lienthong("rules", "list").stdout
    for rule in RULES.values():
        assert rule.id in text and rule.source in text
    data = lienthong.json("rules", "list")["rules"]
    assert [one["id"] for one in data] == list(RULES)


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_every_rule_is_explained(lienthong: Lienthong, rule_id: str) -> None:
    """Sentences in both languages, article, and severity in each profile."""
    data = lienthong.json("rules", "explain", rule_id.lower())
    assert data["id"] == rule_id and data["source"] == RULES[rule_id].source
    assert data["sentence"]["vi"] and data["sentence"]["en"]
    assert set(data["severities"]) == {profile.name for profile in all_profiles()}


def test_what_cannot_be_changed_is_said(lienthong: Lienthong) -> None:
    """Reading depends on some rules, the law on others; both languages unless one is asked for."""
    text = lienthong("rules", "explain", "XML-DTD").stdout
    assert "cannot be configured: " in text and "reading the package itself depends" in text
    vi = lienthong("--lang", "vi", "rules", "explain", "HEAD-SECRET").stdout
    assert "pháp luật cấm" in vi and "the law forbids" not in vi
    assert lienthong.json("rules", "explain", "FILE-NAME")["fixed"] is None
    wrong = lienthong("rules", "explain", "FILE-NONE", code=WRONG_USE)
    assert "there is no rule" in wrong.stderr and "FILE-NAME" in wrong.stderr


def test_a_profile_is_shown(lienthong: Lienthong, tmp_path: Path) -> None:
    """By its name or from a file; its severities and parameters."""
    text = lienthong("--lang", "en", "rules", "profile", "kon-tum").stdout
    assert "signature_required" in text and "58/2023" in text
    data = lienthong.json("rules", "profile", "son-la")
    assert data["rules"]["FILE-FORMAT"] == "refuse"
    assert data["parameters"]["signatureRequired"] is True
    own = tmp_path / "own.toml"
    own.write_text("[parameters]\nmax_file_mib = 20\n", "utf-8")
    assert lienthong.json("rules", "profile", own)["parameters"]["maxFileMib"] == 20
    own.write_text("[parameters]\nmax_file_mib = -1\n", "utf-8")
    assert "above 0" in lienthong("rules", "profile", own, code=WRONG_USE).stderr
    own.write_bytes(b"\xff\xfe")
    assert "own.toml" in lienthong("rules", "profile", own, code=WRONG_USE).stderr
    assert "kon-tum" in lienthong("rules", "profile", "kontum", code=WRONG_USE).stderr


def test_the_profiles_are_listed(lienthong: Lienthong) -> None:
    """Without a name: which there are."""
    names = [one["name"] for one in lienthong.json("rules", "profile")["profiles"]]
    assert names == [profile.name for profile in all_profiles()]
    assert "Kiên Giang" in lienthong("rules", "profile").stdout
