"""Packages dropped into a folder: one file that cannot be dealt with stops no other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.database import RegistryStore
from adapters.folder import PartnerFolder, blocks_of
from gateway.kinds import folder as kind
from gateway.kinds.folder import FolderIntake
from gateway.services import Services
from routing.route_table import Connection
from tests.support import packages
from tests.support.builders import NOW, agency, connection, token
from tests.support.parts import open_parts

SENDER, RECIPIENT = "000.00.00.G22", "000.00.00.H41"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway that judges no signatures."""
    async with open_parts(tmp_path / "data", signature_checks=False) as parts:
        yield parts


@pytest.fixture
async def old(services: Services, tmp_path: Path) -> Connection:
    """An old system with a folder, and somebody to write to."""
    settings = {"folder": str(tmp_path / "agency"), "settle_seconds": 0.0}
    made = replace(connection("old", SENDER, kind="folder"), settings=settings)
    other = connection("beta", RECIPIENT)
    registry = RegistryStore(services.database)
    for one, code in ((made, SENDER), (other, RECIPIENT)):
        fault = await registry.add_connection(
            one, token(one), [agency(code)], actor="operator:test", now=NOW
        )
        assert fault is None
    return made


@pytest.fixture
def folder(tmp_path: Path) -> PartnerFolder:
    """The old system's folder."""
    made = PartnerFolder(tmp_path / "agency")
    made.prepare()
    return made


def content(number: int) -> bytes:
    """A document that is accepted."""
    return packages.document(SENDER, [RECIPIENT], f"{SENDER},2026/08/21,{number}/CV-TEST")


def in_(folder: PartnerFolder, where: str) -> set[bytes]:
    """What packages lie there."""
    found = (folder.root / where).iterdir()
    return {path.read_bytes() for path in found if path.suffix in (".edxml", ".xml")}


@pytest.mark.parametrize("length", [237, 250, 255])
async def test_a_long_name_is_taken_in_like_any_other(
    services: Services, old: Connection, folder: PartnerFolder, length: int
) -> None:
    """A title as file name, as long as the file system allows: accepted once, with a receipt."""
    name = "a" * (length - 6) + ".edxml"
    (folder.root / "drop" / name).write_bytes(content(1))
    (folder.root / "drop" / "b.edxml").write_bytes(content(2))
    intake = FolderIntake(services, old)
    for _ in range(2):
        assert await intake._round(asyncio.Event())
    assert in_(folder, "accepted") == {content(1), content(2)}
    assert len(list((folder.root / "accepted").glob("*.json"))) == 2
    assert not in_(folder, ".taking") and not in_(folder, "drop")


async def test_a_refused_file_whose_name_is_no_text_gets_its_report(
    services: Services, old: Connection, folder: PartnerFolder
) -> None:
    """Names in an older encoding: refused like any other, and the next file is taken in."""
    (folder.root / "drop" / os.fsdecode(b"c\xf4ng-van.edxml")).write_bytes(b"<no/>")
    (folder.root / "drop" / "b.edxml").write_bytes(content(1))
    intake = FolderIntake(services, old)
    for _ in range(2):
        assert await intake._round(asyncio.Event())
    assert in_(folder, "refused") == {b"<no/>"} and in_(folder, "accepted") == {content(1)}
    (note,) = (folder.root / "refused").glob("*.txt")
    assert "Tệp: c?ng-van.edxml" in note.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), ValueError("a bug")])
async def test_a_file_that_cannot_be_read_keeps_no_other_waiting(
    services: Services,
    old: Connection,
    folder: PartnerFolder,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    """It stays, others go on, dropped with it and after it; once readable, it is taken in too."""
    unreadable = True

    def reading(path: Path) -> Iterator[bytes]:
        if unreadable and path.name == "a.edxml":
            raise fault
        return blocks_of(path)

    monkeypatch.setattr(kind, "blocks_of", reading)
    intake = FolderIntake(services, old)
    for number, name in enumerate(("a.edxml", "b.edxml"), 1):
        (folder.root / "drop" / name).write_bytes(content(number))
    for _ in range(2):
        assert not await intake._round(asyncio.Event())
    assert in_(folder, "accepted") == {content(2)} and in_(folder, ".taking") == {content(1)}
    (folder.root / "drop" / "c.edxml").write_bytes(content(3))
    for _ in range(2):
        assert not await intake._round(asyncio.Event())
    assert in_(folder, "accepted") == {content(2), content(3)}
    unreadable = False
    assert await intake._round(asyncio.Event())
    assert in_(folder, "accepted") == {content(1), content(2), content(3)}
