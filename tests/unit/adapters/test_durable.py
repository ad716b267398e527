"""Files that are whole or not there at all, and secrets that only we may read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.durable import make_secret, write_durably
from adapters.password_files import first_line
from gateway.settings import Settings
from gateway.signing_key import open_signer

Write = Callable[[Path, bytes], None]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was synced, in order."""
    found: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return found


@pytest.mark.parametrize("write", [write_durably, make_secret])
def test_the_content_is_synced_before_its_name(
    tmp_path: Path, synced: list[Path], write: Write
) -> None:
    """First the file under a name of nobody's, then the folder that holds the name."""
    path = tmp_path / "new" / "file"
    write(path, b"content")
    assert path.read_bytes() == b"content"
    assert synced[0].name.startswith(".file.") and synced[1:] == [path.parent]
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_a_written_file_is_replaced_and_a_secret_is_not(tmp_path: Path) -> None:
    """Who comes second with a secret uses the first's; only this user reads it."""
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write_durably(path, content)
    assert path.read_bytes() == b"second"
    secret = tmp_path / "secret"
    for content in (b"first", b"second"):
        make_secret(secret, content)
    assert secret.read_bytes() == b"first"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "secret"]


@pytest.mark.parametrize("write", [write_durably, make_secret])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """A full disk does not fill further, and is no trouble once there is room."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                write(tmp_path / "file", b"content")
    assert not list(tmp_path.iterdir())
    write(tmp_path / "file", b"content")


def test_a_signing_key_of_our_own_survives_a_power_cut(tmp_path: Path, synced: list[Path]) -> None:
    """Receipts signed with a key whose name was lost could never be proved again."""
    settings = Settings(data_dir=tmp_path / "data")
    first = open_signer(settings).certificate
    assert synced[1] == tmp_path / "data", "right after the file"
    assert open_signer(settings).certificate == first


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"mot\nhai\n", "mot"), (b"mot\r\n", "mot"), (b"", ""), ("mật".encode(), "mật")],
)
def test_a_password_is_the_first_line(tmp_path: Path, content: bytes, line: str) -> None:
    """However the editor ends its lines."""
    (tmp_path / "file").write_bytes(content)
    assert first_line(tmp_path / "file") == line


def test_a_password_file_that_is_no_text_tells_nothing(tmp_path: Path) -> None:
    """Not a byte of it is in the message."""
    (tmp_path / "file").write_bytes(b"\xffsecret")
    with pytest.raises(ValueError, match=r"^it is no UTF-8 text$"):
        first_line(tmp_path / "file")
