"""Certificates that are replaced while the server runs: taken once, told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters import tls
from adapters.tls import ServerTls, TlsFiles, TlsProblem
from tests.support.tls_pki import authority

Told = list[TlsProblem | None]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ServerTls, TlsFiles, Told]:
    """A server that looks at its files whenever it is asked to, and what it tells."""
    monkeypatch.setattr(tls, "LOOK_AGAIN", 0)
    files = TlsFiles(*authority("tls test").issue("gateway", server=True).write(tmp_path, "server"))
    told: Told = []
    return ServerTls(files, told.append), files, told


def test_a_missing_file_is_told_once(server: tuple[ServerTls, TlsFiles, Told]) -> None:
    """Not with every look; and again when it went a second time."""
    running, files, told = server
    away = files.key.with_suffix(".away")
    for times in (1, 2):
        files.key.rename(away)
        for _ in range(5):
            running.refresh()
        assert len(told) == 2 * times - 1 and "No such file" in str(told[-1])
        away.rename(files.key)
        for _ in range(5):
            running.refresh()
        assert len(told) == 2 * times and told[-1] is None


def test_what_cannot_be_used_is_told_once(server: tuple[ServerTls, TlsFiles, Told]) -> None:
    """A half-written key: the old one goes on; the whole one is taken."""
    running, files, told = server
    whole = files.key.read_bytes()
    files.key.write_bytes(whole[:100])
    for _ in range(3):
        running.refresh()
    assert len(told) == 1 and isinstance(told[0], TlsProblem)
    files.key.write_bytes(whole)
    for _ in range(3):
        running.refresh()
    assert len(told) == 2 and told[1] is None


def test_a_password_that_is_no_text_is_a_problem(
    server: tuple[ServerTls, TlsFiles, Told], tmp_path: Path
) -> None:
    """Said with the file's name, without what is in it."""
    _, files, _ = server
    password = tmp_path / "password"
    password.write_bytes(b"\xffgeheim")
    with pytest.raises(TlsProblem, match="password: it is no UTF-8 text"):
        ServerTls(TlsFiles(files.certificate, files.key, password))
