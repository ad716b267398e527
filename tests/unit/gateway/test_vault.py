"""Sealed secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.vault import Vault, VaultProblem


def test_a_sealed_secret_opens_again_and_shows_nothing(tmp_path: Path) -> None:
    """The key file is made once, for its owner only, and opens what it sealed."""
    path = tmp_path / "new" / "secret.key"
    sealed = Vault.from_file(path).seal("bí mật")
    assert "bí mật" not in sealed and path.stat().st_mode & 0o777 == 0o600
    assert Vault.from_file(path).open(sealed) == "bí mật"


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    """The wrong file is told apart from a broken database, and the setting is named."""
    sealed = Vault.from_file(tmp_path / "one.key").seal("x")
    with pytest.raises(VaultProblem, match="key_file"):
        Vault.from_file(tmp_path / "two.key").open(sealed)


def test_a_new_key_is_put_before_the_old_one(tmp_path: Path) -> None:
    """Rotation: the first key seals, all keys open."""
    old, new, both = (tmp_path / name for name in ("old.key", "new.key", "both.key"))
    before = Vault.from_file(old).seal("x")
    Vault.from_file(new)
    both.write_text(new.read_text() + old.read_text())
    both.chmod(0o600)
    vault = Vault.from_file(both)
    assert vault.open(before) == "x"
    assert Vault.from_file(new).open(vault.seal("y")) == "y"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [("", 0o600, "no key"), ("nonsense", 0o600, "malformed"), ("x", 0o644, "chmod 600")],
)
def test_a_key_file_that_cannot_be_used(tmp_path: Path, content: str, mode: int, said: str) -> None:
    """Empty, malformed, or readable by others: what is wrong and what to do."""
    path = tmp_path / "secret.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(VaultProblem, match=said):
        Vault.from_file(path)


def test_two_processes_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    """Whoever comes second uses the file that is there."""
    path = tmp_path / "secret.key"
    first = Vault.from_file(path).seal("x")
    assert Vault.from_file(path).open(first) == "x"
    assert [one.name for one in tmp_path.iterdir()] == ["secret.key"]
