"""Scanning the files of a package: each of them, and the package read once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.malware import ClamAv, Scanned
from envelopes.read import read_package
from envelopes.rules.facts import ScanVerdict
from gateway import inspection
from gateway.services import Services
from tests.support import packages
from tests.support.parts import open_parts
from tests.support.servers import EICAR, ClamAvServer

CLEAN, INFECTED = ScanVerdict.CLEAN, ScanVerdict.INFECTED


@pytest.fixture
async def services(tmp_path: Path, clamav_server: ClamAvServer) -> AsyncIterator[Services]:
    """The parts of a gateway with a real scanner."""
    settings = {"malware_scanner": clamav_server.address, "signature_checks": False}
    async with open_parts(tmp_path / "data", **settings) as parts:
        yield parts


def written(path: Path, *files: packages.File) -> int:
    """A package with these files; its size."""
    content = packages.document("000.00.00.G22", ["000.00.00.H41"], "G22,2026/11/02,1", files=files)
    return path.write_bytes(content)


def pdf(number: int, size: int = 0) -> packages.File:
    """A clean file."""
    return packages.File(f"f{number}.pdf", packages.pdf(f"file {number}", size))


async def test_every_file_is_scanned_in_one_reading(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large ones, small ones, an archive of one file that is the file: one verdict each."""
    infected = packages.zipped("v.pdf", packages.PDF_START + EICAR)
    files = [pdf(n, 40_000) for n in range(8)]
    files[3] = packages.File("v.pdf", infected, "application/zip")
    files[5] = pdf(5, 700_000)
    size = written(tmp_path / "package", *files)
    read = read_package(inspection.blocks_of(tmp_path / "package"))
    bytes_read = 0
    blocks_of = inspection.blocks_of

    def counted(path: Path) -> Iterator[bytes]:
        nonlocal bytes_read
        for block in blocks_of(path):
            bytes_read += len(block)
            yield block

    monkeypatch.setattr(inspection, "blocks_of", counted)
    scans = await services.inspection.scan(tmp_path / "package", read)
    assert scans is not None
    assert [scan.verdict for scan in scans] == [CLEAN] * 3 + [INFECTED] + [CLEAN] * 4
    assert bytes_read == size


async def test_an_answer_before_the_end_is_of_that_file_only(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scanner says after the first block what it found: the rest is no file of its own."""
    written(tmp_path / "package", pdf(0, 900_000), pdf(1))
    read = read_package(inspection.blocks_of(tmp_path / "package"))
    first: list[bytes] = []

    async def hasty(_scanner: ClamAv, content: AsyncIterator[bytes]) -> Scanned:
        first.append(await anext(content))
        return Scanned("found at once" if len(first) == 1 else "")

    monkeypatch.setattr(ClamAv, "scan", hasty)
    scans = await services.inspection.scan(tmp_path / "package", read)
    assert scans is not None
    assert [scan.verdict for scan in scans] == [INFECTED, CLEAN]
    assert first[1].startswith(packages.pdf("file 1")[:15])
