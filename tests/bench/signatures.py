"""How fast signatures are verified: `python -m tests.bench.signatures`.

Documents per second with one PDF that carries two signatures, through `SignatureInspector` on one
and two processes, against bare pyHanko in as many processes, in the same run; the event loop's
longest stall meanwhile; and what a signed package of 200 MB costs, against the plain way.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import uvloop
from asn1crypto import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from adapters.signatures import SignatureInspector, WorkerLimits
from envelopes.read import ReadResult, read_package
from tests.support import pdf_signing as pdfs
from tests.support import xml_signing as xmls
from tests.support.packages import File, document
from tests.support.pki import NOW, pki
from tests.support.signature_case import trusted
from tests.support.signature_cases import Fixed

WARM_UP = 10


def two_signatures() -> bytes:
    """A PDF of some 100 KB that an official and an agency have signed."""
    pdf = pdfs.make_pdf(pages=3, filler=30_000)
    return pdfs.sign_pdf(pdfs.sign_pdf(pdf, pki().official), pki().agency, field="Seal")


# Bare pyHanko


@cache
def _anchors(roots: tuple[bytes, ...]) -> list[x509.Certificate]:
    logging.disable(logging.CRITICAL)
    return [x509.Certificate.load(one) for one in roots]


def bare(pdf: bytes, roots: tuple[bytes, ...], crls: tuple[bytes, ...]) -> int:
    """What pyHanko's manual shows, with revocation required; how many signatures are good."""
    reader = PdfFileReader(io.BytesIO(pdf), strict=True)
    good = 0
    for signature in reader.embedded_signatures:
        context = ValidationContext(
            trust_roots=_anchors(roots),
            moment=NOW,
            allow_fetching=False,
            crls=crls,
            revocation_mode="require",
        )
        good += validate_pdf_signature(signature, context).bottom_line
    return good


@dataclass(frozen=True)
class Speed:
    """What one measurement gave. On a busy machine the processor's time is what tells."""

    rate: float
    #: Processor time per document, of all processes, in ms.
    cpu: float
    #: Longest stall of the event loop in ms.
    stall: float = 0.0


def _processor_ms(pids: Iterable[int]) -> float:
    """User and system time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def bare_rate(pdf: bytes, processes: int, count: int) -> Speed:
    """Bare pyHanko in a pool of processes."""
    p = pki()
    with ProcessPoolExecutor(processes) as pool:
        arguments = ([pdf] * count, [p.roots] * count, [p.crls] * count)
        list(pool.map(bare, *(one[:WARM_UP] for one in arguments)))
        pids = [os.getpid(), *(pool._processes or ())]
        before, start = _processor_ms(pids), time.perf_counter()
        good = sum(pool.map(bare, *arguments, chunksize=4))
        seconds, used = time.perf_counter() - start, _processor_ms(pids) - before
    if good != 2 * count:
        raise RuntimeError(f"{good} good signatures of {2 * count}")
    return Speed(count / seconds, used / count)


# Ours


async def our_rate(pdf: bytes, processes: int, count: int, folder: Path) -> Speed:
    """Whole packages through the inspector."""
    raw = document("000.00.00.G22", ["H41"], "1/QD", files=[File("qd.pdf", pdf)])
    path = folder / "package.edxml"
    path.write_bytes(raw)
    read = read_package([raw])
    inspector = SignatureInspector(
        Fixed(trusted(pki())), WorkerLimits(workers=processes), folder=folder
    )
    await inspector.start()
    try:
        await _all(inspector, path, read, WARM_UP)
        stall = asyncio.create_task(_longest_stall())
        pids = [os.getpid(), *inspector.pool.pids]
        before, start = _processor_ms(pids), time.perf_counter()
        await _all(inspector, path, read, count)
        seconds, used = time.perf_counter() - start, _processor_ms(pids) - before
        stall.cancel()
        return Speed(count / seconds, used / count, await stall * 1000)
    finally:
        await inspector.close()


async def _all(inspector: SignatureInspector, path: Path, read: ReadResult, count: int) -> None:
    """Inspect `count` times, eight at once."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            facts = await inspector.inspect(path, read, NOW)
            if not (facts.files[0].signed_by_official and facts.files[0].signed_by_agency):
                raise RuntimeError(f"not valid: {facts.files[0]}")

    await asyncio.gather(*(work() for _ in range(8)))


async def _longest_stall() -> float:
    longest = 0.0
    try:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)
    except asyncio.CancelledError:
        return longest


# 200 MB

_CHILD = """
import resource, sys, time, io
mode, path, certificate = sys.argv[1:]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if mode == "ours":
    from envelopes.xml_signature import check_file
    check_file(io.BytesIO(b"<a/>"))
    before, start = peak(), time.perf_counter()
    with open(path, "rb") as file:
        result = check_file(file).outcome.value
else:
    from lxml import etree
    from signxml import XMLVerifier
    from signxml.verifier import SignatureConfiguration
    verifier = XMLVerifier()
    verifier.excise_empty_xmlns_declarations = True
    config = SignatureConfiguration(location="./{*}edXMLEnvelope/{*}edXMLHeader/")
    parser = etree.XMLParser(resolve_entities=False, huge_tree=True)
    before, start = peak(), time.perf_counter()
    with open(path, "rb") as file:
        data = file.read()
    try:
        verifier.verify(
            data, x509_cert=open(certificate).read(), parser=parser, expect_config=config
        )
        result = "valid"
    except Exception as error:
        result = type(error).__name__
print(result, time.perf_counter() - start, (peak() - before) / 1024)
"""


def large(folder: Path, plain: bool) -> None:
    """Print seconds and growth for a signed package of 200 MB."""
    path, certificate = folder / "large.edxml", folder / "agency.pem"
    base = document("000.00.00.G22", ["H41"], "1/QD", files=[File("a.bin", b"ABC")])
    line = b"QUJD" * 16 + b"\n"
    block = line * 1000
    xmls.sign_large(path, base, block, 200_000_000 // len(block), pki().agency)
    certificate.write_bytes(pki().agency.pem)
    for mode in ("ours", "signxml") if plain else ("ours",):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, mode, str(path), str(certificate)],
            capture_output=True,
            text=True,
            check=True,
        )
        result, seconds, growth = done.stdout.split()
        print(
            f"XML signature over {path.stat().st_size / 1e6:.0f} MB, {mode:<8} {result:<14}"
            f"{float(seconds):6.2f} s   memory growth {float(growth):7.1f} MB",
            flush=True,
        )


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.signatures", description=__doc__)
    parser.add_argument("--count", type=int, default=150, help="documents per measurement")
    parser.add_argument("--no-large", action="store_true", help="leave the 200 MB package out")
    parser.add_argument("--plain", action="store_true", help="the plain way too (needs 2 GB)")
    options = parser.parse_args()
    pdf = two_signatures()
    print(
        f"{os.cpu_count()} cores; one PDF of {len(pdf) // 1024} KB with two signatures", flush=True
    )
    with tempfile.TemporaryDirectory() as name:
        for processes in (1, 2):
            plain = bare_rate(pdf, processes, options.count)
            ours = uvloop.run(our_rate(pdf, processes, options.count, Path(name)))
            print(
                f"{processes} process{'es'[: 2 * processes - 2]:2}  {ours.rate:6.1f} documents/s   "
                f"bare pyHanko {plain.rate:6.1f}   ratio {ours.rate / plain.rate:4.2f}   "
                f"processor per document {ours.cpu:.0f} ms, bare {plain.cpu:.0f} ms   "
                f"longest stall of the event loop {ours.stall:.1f} ms",
                flush=True,
            )
        if not options.no_large:
            large(Path(name), options.plain)


if __name__ == "__main__":
    main()
