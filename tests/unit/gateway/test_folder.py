"""Folders of an agency: what survives a death at any step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.folder import PartnerFolder, file_name

CONTENT = [b"<a", b"b>"]


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def folder(tmp_path: Path) -> PartnerFolder:
    """Prepared folders."""
    made = PartnerFolder(tmp_path)
    made.prepare()
    return made


def give(folder: PartnerFolder) -> None:
    """Hand one delivery over."""
    folder.give("id-1", "name.edxml", iter(CONTENT), b"{}")


def seen(folder: PartnerFolder) -> list[str]:
    """What the agency sees of packages."""
    return [path.name for path in (folder.root / "delivery").glob("*.edxml")]


@pytest.mark.parametrize("step", range(12))
@pytest.mark.parametrize("picks_up", [True, False])
def test_a_delivery_is_shown_once_wherever_the_process_dies(
    folder: PartnerFolder, monkeypatch: pytest.MonkeyPatch, step: int, picks_up: bool
) -> None:
    """Death after each call of the system: asked and given again, the agency sees it once."""
    count = 0

    def mortal(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            if count == step:
                count += 1
                raise Died
            count += 1
            return function(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "fsync", "open"):
            patch.setattr(os, name, mortal(getattr(os, name)))
        with contextlib.suppress(Died):
            give(folder)
    shown = 0
    if picks_up:
        for name in seen(folder):
            (folder.root / "delivery" / name).unlink()
            shown += 1
    assert folder.was_given("id-1") == bool(shown or seen(folder))
    if not folder.was_given("id-1"):
        give(folder)
    give(folder)
    left = seen(folder)
    assert shown + len(left) == 1
    for name in left:
        assert (folder.root / "delivery" / name).read_bytes() == b"".join(CONTENT)


def test_a_payload_that_breaks_off_is_not_shown(folder: PartnerFolder) -> None:
    """Half a package never gets a name."""

    def broken() -> Iterator[bytes]:
        yield b"<half"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        folder.give("id-1", "name.edxml", broken(), b"{}")
    assert seen(folder) == [] and not folder.was_given("id-1")
    give(folder)
    assert seen(folder) == ["name.edxml"]


def test_a_file_that_changed_since_it_was_seen_is_not_taken(folder: PartnerFolder) -> None:
    """Somebody writes to it."""
    path = folder.root / "drop" / "a.edxml"
    path.write_bytes(b"<a/>")
    (dropped,) = folder.dropped()
    path.write_bytes(b"<a></a>")
    assert folder.take(dropped) is None and path.exists()
    (now,) = folder.dropped()
    assert folder.take(now) is not None and not path.exists()
    assert folder.take(now) is None


def test_files_of_one_name_are_kept_apart(folder: PartnerFolder) -> None:
    """The same name dropped twice: both are kept, each with its note."""
    for key in ("k1", "k2"):
        path = folder.root / ".taking" / "a.edxml"
        path.write_bytes(key.encode())
        folder.put_aside(path, "refused", key, "vì sao", ".txt")
    names = sorted(path.name for path in (folder.root / "refused").iterdir())
    assert names == ["a.k1.edxml", "a.k1.edxml.txt", "a.k2.edxml", "a.k2.edxml.txt"]


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("20261102", "", "H41", "03-NQ/TW"), "20261102_H41_03-NQ-TW"),
        (("../..", "Khẩn"), "Kh-n"),
    ],
)
def test_names_are_plain(parts: tuple[str, ...], name: str) -> None:
    """No separators, no diacritics, nothing hidden."""
    assert file_name(*parts) == name
