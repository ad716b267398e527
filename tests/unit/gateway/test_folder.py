"""Folders of an agency: what survives a death at any step."""

from __future__ import annotations

import contextlib
import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.folder import PartnerFolder, file_name, printable

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
    """Hand one delivery over, as an attempt does."""
    if not folder.is_complete("id-1"):
        writing = folder.begin("id-1")
        for block in CONTENT:
            writing.write(block)
        writing.complete()
    folder.show("id-1", "name.edxml", b"{}")


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


def test_an_earlier_attempt_that_still_writes_does_not_count(folder: PartnerFolder) -> None:
    """Two hold a file each; the one that began last is shown, the other can do no harm."""
    early, late = folder.begin("id-1"), folder.begin("id-1")
    early.write(b"<early")
    for block in CONTENT:
        late.write(block)
    with pytest.raises(FileNotFoundError):
        early.complete()
    late.complete()
    folder.show("id-1", "name.edxml", b"{}")
    early.abandon()
    late.abandon()
    with pytest.raises(FileNotFoundError):
        early.complete()
    assert folder.was_given("id-1")
    assert (folder.root / "delivery" / "name.edxml").read_bytes() == b"".join(CONTENT)
    assert not list((folder.root / ".writing").iterdir())


def test_what_an_attempt_left_behind_is_cleared_away(folder: PartnerFolder) -> None:
    """Another way was found later: old leftovers go, a file that only has to be shown stays."""
    folder.begin("id-1")
    waits = folder.begin("id-2")
    waits.complete()
    assert folder.forget(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    folder.forget(datetime.max.replace(tzinfo=UTC))
    assert [path.name for path in (folder.root / ".writing").iterdir()] == ["id-2"]


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


def drop(folder: PartnerFolder, content: bytes) -> Path:
    """What an agency's system does that uses one name for everything."""
    path = folder.root / "drop" / "out.xml"
    path.write_bytes(content)
    return path


def test_a_name_that_is_being_taken_is_not_taken_again(folder: PartnerFolder) -> None:
    """The earlier file waits in `.taking` (the disk was full): the next one does not replace it."""
    drop(folder, b"<first/>")
    first = folder.take(*folder.dropped())
    assert first is not None
    second = drop(folder, b"<second/>")
    assert folder.take(*folder.dropped()) is None
    assert (first.read_bytes(), second.read_bytes()) == (b"<first/>", b"<second/>")
    folder.put_aside(first, "accepted", "k1", "{}", ".json")
    taken = folder.take(*folder.dropped())
    assert taken is not None and taken.read_bytes() == b"<second/>"


@pytest.mark.parametrize("links", [True, False])
def test_giving_back_replaces_nothing(
    folder: PartnerFolder, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """A newer file of the name stays as it is, on file systems without hard links as well."""

    def unsupported(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    drop(folder, b"<first/>")
    first = folder.take(*folder.dropped())
    assert first is not None
    second = drop(folder, b"<second/>")
    assert not folder.give_back(first)
    assert (first.read_bytes(), second.read_bytes()) == (b"<first/>", b"<second/>")
    assert folder.taken() == [first], "it is looked at in the next round"
    second.unlink()
    assert folder.give_back(first)
    assert second.read_bytes() == b"<first/>" and not folder.taken()


def test_what_the_agency_made_itself_stops_no_cleaning(folder: PartnerFolder) -> None:
    """A folder in accepted/ stays; old files around it go."""
    (folder.root / "accepted" / "2026").mkdir()
    (folder.root / "accepted" / "old.edxml").write_bytes(b"<a/>")
    assert folder.forget(datetime.max.replace(tzinfo=UTC)) == 1
    assert [path.name for path in (folder.root / "accepted").iterdir()] == ["2026"]


def test_a_file_that_goes_while_it_is_looked_at(
    folder: PartnerFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agency tidies up between listing and looking: the others are seen and cleaned."""
    for where in ("drop", "accepted"):
        for name in ("gone.xml", "stays.xml"):
            (folder.root / where / name).write_bytes(b"<a/>")
    listing = os.scandir

    def late(place: Path) -> Any:
        with listing(place) as entries:
            listed = list(entries)
        (Path(place) / "gone.xml").unlink(missing_ok=True)
        return contextlib.nullcontext(iter(listed))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", late)
        assert [one.name for one in folder.dropped()] == ["stays.xml"]
        assert folder.forget(datetime.max.replace(tzinfo=UTC)) == 1


def test_files_of_one_name_are_kept_apart(folder: PartnerFolder) -> None:
    """The same name dropped twice: both are kept, each with its note."""
    for key in ("k1", "k2"):
        path = folder.root / ".taking" / "a.edxml"
        path.write_bytes(key.encode())
        folder.put_aside(path, "refused", key, "vì sao", ".txt")
    names = sorted(path.name for path in (folder.root / "refused").iterdir())
    assert names == ["a.k1.edxml", "a.k1.edxml.txt", "a.k2.edxml", "a.k2.edxml.txt"]


@pytest.mark.parametrize("where", ["accepted", "refused"])
@pytest.mark.parametrize("bytes_of_name", [236, 237, 255])
def test_a_long_name_leaves_room_for_key_and_note(
    folder: PartnerFolder, where: str, bytes_of_name: int
) -> None:
    """The longest names that a file system allows: shortened between letters, both files lie."""
    letters = "ế" * ((bytes_of_name - 7) // 3)
    name = letters + "a" * (bytes_of_name - 6 - len(letters.encode())) + ".edxml"
    assert len(name.encode()) == bytes_of_name
    path = folder.root / ".taking" / name
    path.write_bytes(b"<a/>")
    target = folder.put_aside(path, where, "012345678901", "{}", ".json")
    names = sorted(path.name for path in (folder.root / where).iterdir())
    assert names == [target.name, f"{target.name}.json"] and target.read_bytes() == b"<a/>"
    stem, key, ending = target.name.rsplit(".", 2)
    assert name.startswith(stem) and (key, ending) == ("012345678901", "edxml")
    # As much of it as there is room for: a letter more would be too much.
    assert name == f"{stem}.edxml" or len(f"{target.name}.json".encode()) > 255 - 3


def test_a_note_may_speak_of_a_name_that_is_no_text(folder: PartnerFolder) -> None:
    """An old system names files in another encoding: the file keeps its name's bytes."""
    name = os.fsdecode(b"c\xf4ng-van.edxml")
    path = folder.root / ".taking" / name
    path.write_bytes(b"<a/>")
    target = folder.put_aside(path, "refused", "k1", f"Tệp: {name}", ".txt")
    assert os.fsencode(target.name) == b"c\xf4ng-van.k1.edxml"
    note = target.with_name(f"{target.name}.txt").read_text(encoding="utf-8")
    assert note == "Tệp: c?ng-van.edxml" and printable(name) == "c?ng-van.edxml"


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
