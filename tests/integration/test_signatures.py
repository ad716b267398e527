"""Signatures of whole packages by the public door: real processes, a PKI of our own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.signatures import InspectionLimits, SignatureInspector, WorkerLimits
from adapters.trust import TrustFolder, TrustMaterial
from envelopes.read import read_package
from envelopes.signature_facts import (
    Coverage,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignerKind,
)
from tests.support import pdf_signing as pdfs
from tests.support import xml_signing as xmls
from tests.support.packages import File, document
from tests.support.pki import DAY, NOW, YEAR, pki
from tests.support.servers import wait_until_async
from tests.support.signature_case import Case, package, trusted
from tests.support.signature_cases import CASES, Fixed, look

VALID, UNVERIFIABLE = SignatureOutcome.VALID, SignatureOutcome.UNVERIFIABLE
LIMITS = WorkerLimits(workers=1, seconds=20)


@pytest.fixture(scope="module")
def runner() -> object:
    """One event loop and one verifying process for all rows of the matrix."""
    with asyncio.Runner() as running:
        inspectors: dict[str, SignatureInspector] = {}
        yield running, inspectors
        for inspector in inspectors.values():
            running.run(inspector.close())


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{'XML' if case.xml else 'PDF'}: {case.name}"
)
def test_every_case_has_its_verdict(case: Case, runner: tuple, tmp_path: Path) -> None:
    """The matrix: outcome and reasons of the file or package and of every signature in it."""
    running, inspectors = runner
    seen = running.run(look(case, inspectors, tmp_path))
    assert (seen.outcome, seen.reasons) == (case.expected, case.reasons), seen.facts
    verdicts = (seen.facts.xml,) if case.xml else seen.file.signatures
    if case.each is not None:
        assert tuple(one.outcome.value for one in verdicts) == case.each
    if case.revocation is not None:
        assert {one.revocation.value for one in verdicts} == {case.revocation}
    if case.time_source is not None:
        assert {one.time_source.value for one in verdicts} == {case.time_source}
    assert SignatureFacts.from_dict(seen.facts.as_dict()) == seen.facts


async def _inspect(
    inspector: SignatureInspector, raw: bytes, folder: Path, name: str = "p.edxml"
) -> SignatureFacts:
    path = folder / name
    path.write_bytes(raw)
    return await inspector.inspect(path, read_package([raw]), NOW)


@pytest.fixture
async def inspector(tmp_path: Path) -> AsyncIterator[SignatureInspector]:
    """An inspector that trusts the PKI."""
    made = SignatureInspector(Fixed(trusted(pki())), LIMITS, folder=tmp_path)
    yield made
    await made.close()


def _both(text: str = "Quyết định", pages: int = 1) -> bytes:
    signed = pdfs.sign_pdf(pdfs.make_pdf(text, pages), pki().official)
    return pdfs.sign_pdf(signed, pki().agency, field="Seal")


async def test_official_and_agency_are_told_apart(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """Facts of each file in order: who signed, as what, how much of it; and its pages."""
    raw = await asyncio.to_thread(lambda: package(_both(pages=3), pdfs.make_pdf(), b"abc"))
    facts = await _inspect(inspector, raw, tmp_path)
    main, annex, text = facts.files
    assert (main.signed_by_official, main.signed_by_agency, main.pages) == (True, True, 3)
    assert [one.kind for one in main.signatures] == [SignerKind.OFFICIAL, SignerKind.AGENCY]
    assert [one.coverage for one in main.signatures] == [Coverage.REVISION, Coverage.WHOLE]
    signer = main.signatures[0].signer
    assert signer is not None
    assert (signer.common_name, signer.key_bits) == ("Nguyễn Văn A", 2048)
    assert (annex.is_pdf, annex.outcome, annex.pages) == (True, SignatureOutcome.ABSENT, 1)
    assert (text.is_pdf, text.outcome) == (False, SignatureOutcome.ABSENT)


async def test_the_four_states_of_a_file_that_takes_too_long(tmp_path: Path) -> None:
    """A slow file is unverifiable, its process ended; files before and after it are verified."""
    raw = await asyncio.to_thread(
        lambda: package(_both(), pdfs.time_bomb(2_000_000), _both("Phụ lục"))
    )
    inspector = SignatureInspector(Fixed(trusted(pki())), WorkerLimits(1, 1.5), folder=tmp_path)
    try:
        await inspector.start()
        (before,) = inspector.pool.pids
        facts = await _inspect(inspector, raw, tmp_path)
        assert [one.outcome for one in facts.files] == [VALID, UNVERIFIABLE, VALID]
        assert facts.files[1].reasons == (Reason.TIME_LIMIT,)
        assert before not in inspector.pool.pids
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)
    finally:
        await inspector.close()


async def test_a_file_that_eats_memory_is_unverifiable(tmp_path: Path) -> None:
    """The process may not grow beyond its bound; the next file is verified by a new one."""
    limits = WorkerLimits(workers=1, seconds=30, memory_mib=180)
    raw = await asyncio.to_thread(lambda: package(pdfs.time_bomb(2_000_000), _both()))
    inspector = SignatureInspector(Fixed(trusted(pki())), limits, folder=tmp_path)
    try:
        facts = await _inspect(inspector, raw, tmp_path)
    finally:
        await inspector.close()
    assert facts.files[0].reasons == (Reason.MEMORY_LIMIT,)
    assert facts.files[1].outcome is VALID


async def test_a_process_that_dies_by_chance_costs_nothing(tmp_path: Path) -> None:
    """Killed while idle and killed in the middle: another process does the work."""
    raw = await asyncio.to_thread(lambda: package(pdfs.time_bomb(150_000), _both()))
    inspector = SignatureInspector(Fixed(trusted(pki())), LIMITS, folder=tmp_path)
    try:
        await inspector.start()
        (pid,) = inspector.pool.pids
        os.kill(pid, signal.SIGKILL)
        work = asyncio.create_task(_inspect(inspector, raw, tmp_path))
        pid = await _another(inspector, pid)
        await _busy(pid)
        facts = await work
        assert [one.outcome for one in facts.files] == [SignatureOutcome.ABSENT, VALID]
        (pid,) = inspector.pool.pids
        work = asyncio.create_task(_inspect(inspector, raw, tmp_path))
        await _busy(pid)
        os.kill(pid, signal.SIGKILL)
        assert (await work).files == facts.files
    finally:
        await inspector.close()


async def test_what_kills_its_process_again_is_unverifiable(tmp_path: Path) -> None:
    """Twice at the same place is no chance: it is blamed, the rest is verified."""
    raw = await asyncio.to_thread(lambda: package(pdfs.time_bomb(2_000_000), _both()))
    inspector = SignatureInspector(Fixed(trusted(pki())), LIMITS, folder=tmp_path)
    try:
        await inspector.start()
        (pid,) = inspector.pool.pids
        work = asyncio.create_task(_inspect(inspector, raw, tmp_path))
        for _ in range(2):
            await _busy(pid)
            os.kill(pid, signal.SIGKILL)
            pid = await _another(inspector, pid)
        facts = await work
        assert facts.files[0].reasons == (Reason.WORKER_DIED,)
        assert facts.files[1].outcome is VALID
    finally:
        await inspector.close()


async def _another(inspector: SignatureInspector, pid: int) -> int:
    """The process that takes the place of `pid`."""

    def others() -> list[int]:
        return [one for one in inspector.pool.pids if one != pid]

    await wait_until_async(others, 30, "another process")
    return others()[0]


def _unsigned() -> bytes:
    return pdfs.make_pdf()


async def _busy(pid: int) -> None:
    """Wait until the process uses the processor."""

    def used() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    start = used()
    await wait_until_async(lambda: used() >= start + 10, 20, "the process to do something")


async def test_an_inspection_that_is_given_up_leaves_no_process_at_work(tmp_path: Path) -> None:
    """A cancelled inspection ends its process; the inspector serves the next package."""
    raw = await asyncio.to_thread(lambda: package(pdfs.time_bomb(2_000_000)))
    inspector = SignatureInspector(Fixed(trusted(pki())), LIMITS, folder=tmp_path)
    try:
        await inspector.start()
        (pid,) = inspector.pool.pids
        work = asyncio.create_task(_inspect(inspector, raw, tmp_path))
        await _busy(pid)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert pid not in inspector.pool.pids
        facts = await _inspect(inspector, package(_unsigned()), tmp_path, "q.edxml")
        assert facts.files[0].outcome is SignatureOutcome.ABSENT
    finally:
        await inspector.close()
    assert inspector.pool.pids == ()


async def test_the_event_loop_goes_on_while_files_are_verified(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """Verification happens elsewhere: the loop never stands still for long."""
    raw = await asyncio.to_thread(lambda: package(_both()))
    read = read_package([raw])
    path = tmp_path / "p.edxml"
    path.write_bytes(raw)
    await inspector.start()
    waited, busy, ended = 0.0, 0.0, False

    async def beat() -> None:
        nonlocal waited, busy
        while not ended:
            before, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            waited = max(waited, time.perf_counter() - before)
            busy = max(busy, time.thread_time() - used)

    # The suite's own heap takes its time to be swept, whatever is tested.
    gc.collect()
    gc.disable()
    try:
        heart = asyncio.create_task(beat())
        found = await asyncio.gather(*(inspector.inspect(path, read, NOW) for _ in range(12)))
        ended = True
        await heart
    finally:
        gc.enable()
    assert all(facts.files[0].outcome is VALID for facts in found)
    # The processor's time does not depend on who else uses the machine: one verification in the
    # loop would be more than this.
    assert busy < 0.012, f"the loop was busy for {busy * 1000:.0f} ms"
    assert waited < 1, f"the loop stood still for {waited * 1000:.0f} ms"


async def test_what_is_too_much_is_said_to_be_unverifiable(tmp_path: Path) -> None:
    """Files beyond the limits of an inspection are not passed over in silence."""
    limits = InspectionLimits(max_pdf_bytes=5000, max_files=1)
    raw = package(pdfs.make_pdf(filler=6000), pdfs.make_pdf(), pdfs.make_pdf())
    inspector = SignatureInspector(
        Fixed(trusted(pki())), LIMITS, inspection=limits, folder=tmp_path
    )
    try:
        facts = await _inspect(inspector, raw, tmp_path)
    finally:
        await inspector.close()
    assert [one.reasons for one in facts.files] == [(Reason.TOO_LARGE,), (), (Reason.TOO_MANY,)]


async def test_a_file_wrapped_in_a_zip_is_verified(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """The national toolkit wraps every file: the signature of the file inside counts."""
    from tests.support.packages import zipped

    signed = await asyncio.to_thread(_both)
    file = File("van-ban.pdf", zipped("x.edxml", signed), "application/zip")
    raw = document("000.00.00.G22", ["000.00.00.H41"], "1/QD", files=[file])
    facts = await _inspect(inspector, raw, tmp_path)
    assert facts.files[0].outcome is VALID


async def test_a_suspension_holds_from_the_next_package_on(tmp_path: Path) -> None:
    """A key reported lost counts for nothing at once (ĐB 27.6); what it is registered for stays."""
    p = pki()
    trust = TrustFolder(tmp_path / "trust")
    trust.add_anchors(p.root.credential.pem)
    trust.register("000.00.00.G22", p.agency.pem)
    for number, data in enumerate(p.crls):
        trust.keep_revocation(f"{number}.crl", data)
    raw = await asyncio.to_thread(lambda: xmls.sign(package(_both()), p.agency))
    inspector = SignatureInspector(trust, LIMITS, folder=tmp_path)
    try:
        facts = await _inspect(inspector, raw, tmp_path)
        assert facts.xml.outcome is VALID, facts.xml
        assert facts.xml.registered_for == ("G22",)
        assert facts.sender_certificates == (p.agency.sha256,)
        trust.suspend(p.agency.sha256, reason="mất thiết bị", by="test", now=NOW - DAY / 24)
        facts = await _inspect(inspector, raw, tmp_path)
        assert facts.xml.reasons == (Reason.SUSPENDED,)
        assert [one.outcome.value for one in facts.files[0].signatures] == ["valid", "invalid"]
        trust.resume(p.agency.sha256)
        facts = await _inspect(inspector, raw, tmp_path)
        assert facts.xml.outcome is VALID
    finally:
        await inspector.close()


async def test_a_renewed_certificate_is_known_as_one(tmp_path: Path) -> None:
    """SIG-TERM asks whether a certificate is the subject's first: the register tells."""
    p = pki()
    later = p.government.issue(
        p.agency.certificate.subject, p.agency.key, valid=(NOW - DAY, NOW + 3 * YEAR)
    )
    material = TrustMaterial(
        p.roots, crls=p.crls, agencies={"G22": (p.agency.der, later.der)}, stamp="renewed"
    )
    inspector = SignatureInspector(Fixed(material), LIMITS, folder=tmp_path)
    try:
        raw = package(pdfs.make_pdf())
        first = await _inspect(inspector, xmls.sign(raw, p.agency), tmp_path)
        second = await _inspect(inspector, xmls.sign(raw, later), tmp_path)
    finally:
        await inspector.close()
    assert (first.xml.renewed, second.xml.renewed) == (False, True)


_GROWTH = """
import resource, sys
from envelopes.xml_signature import check_file
import io
check_file(io.BytesIO(b"<a/>"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file:
    found = check_file(file)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(found.outcome.value, after - before)
"""


def test_a_signed_package_of_200_mb_costs_no_memory(tmp_path: Path) -> None:
    """Verified in constant memory, and every byte of the file counts."""
    path = tmp_path / "large.edxml"
    base = document("000.00.00.G22", ["000.00.00.H41"], "1/QD", files=[File("a.bin", b"ABC")])
    line = b"QUJD" * 16 + b"\n"
    xmls.sign_large(path, base, line * 1000, 200_000_000 // (len(line) * 1000), pki().agency)
    assert path.stat().st_size > 195_000_000
    assert _growth(path) == "valid"
    with path.open("r+b") as file:
        file.seek(150_000_000)
        was = file.read(1)
        file.seek(150_000_000)
        file.write(b"R" if was == b"Q" else b"Q")
    assert _growth(path) == "invalid"


def _growth(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, str(path)], capture_output=True, text=True, check=True
    )
    outcome, kib = done.stdout.split()
    assert int(kib) < 32 * 1024, f"grew by {int(kib) // 1024} MB"
    return outcome
