"""The process in which hostile files are opened: bounded in memory, killed when it is too slow.

`python -m adapters.signatures.worker MEMORY_MIB SECONDS FOLDER`, requests on stdin, answers on
stdout (`adapters.signatures.jobs`). It ends with its stdin. It is given no secrets: its environment
is bare, and it opens nothing but the package it is told and files without a name.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from adapters.signatures.jobs import (
    EXIT_MEMORY,
    OPENED,
    READY,
    XML,
    Job,
    Setup,
    read_request,
    write_answer,
)
from adapters.signatures.pdf import PdfCheck, check_pdf
from adapters.signatures.xml import check_xml
from adapters.trust.judge import Judge
from adapters.trust.material import TrustMaterial, TrustPolicy
from envelopes.attachments import Writer
from envelopes.signature_facts import (
    Reason,
    SignatureOutcome,
)
from envelopes.xml_scan import Scanner

_MIB = 1024 * 1024
_BLOCK = 256 * 1024
#: A PDF may have this many bytes before its first line.
_PDF_HEAD = 1024
#: Files up to this size are kept in memory.
_IN_MEMORY = 8 * _MIB
#: Seconds after which the process ends itself, should nobody be there to kill it.
_ALARM_MARGIN = 10


@dataclass(slots=True)
class _Opened:
    """A file of the package, open in memory or in a file without a name."""

    index: int
    file: BinaryIO
    head: bytes = b""

    def write(self, data: bytes) -> None:
        if len(self.head) < _PDF_HEAD:
            self.head += data[: _PDF_HEAD - len(self.head)]
        self.file.write(data)

    @property
    def is_pdf(self) -> bool:
        return b"%PDF-" in self.head


def _room(size: int, folder: str | None) -> BinaryIO:
    """Where a file is put while it is looked at: parsers read byte by byte, so not too clever."""
    if size <= _IN_MEMORY:
        return io.BytesIO()
    return tempfile.TemporaryFile(dir=folder)


def open_files(job: Job, folder: str | None, stack: ExitStack) -> list[_Opened]:
    """The wanted files of the package, in one pass over it."""
    wanted = {one.index: one for one in job.files}
    opened: dict[int, _Opened] = {}

    def sink(_content_id: str, index: int) -> Writer | None:
        if index not in wanted:
            return None
        file = _room(wanted[index].size, folder)
        stack.callback(file.close)
        opened[index] = _Opened(index, file)
        return opened[index].write

    def wrapped(index: int) -> bool | None:
        return wanted[index].wrapped if index in wanted else None

    scanner = Scanner(job.limits, sink, force_wrapped=wrapped)
    with open(job.path, "rb") as package:
        while not scanner.stopped and (block := package.read(_BLOCK)):
            scanner.feed(block)
    scanner.close()
    return [opened[one.index] for one in job.files if one.index in opened]


async def run(job: Job, judge: Judge, answer: Callable[[int, dict[str, object]], None]) -> None:
    """Do a job, answering as it goes: the XML signature first, then the files in order."""
    if job.xml:
        verdict = await check_xml(job.path, job.at, judge, job.known)
        answer(XML, {"verdict": verdict.as_dict()})
    if not job.files:
        return
    with ExitStack() as stack:
        files = {one.index: one for one in open_files(job, _FOLDER, stack)}
        answer(OPENED, {})
        for wanted in job.files:
            one = files.get(wanted.index)
            if one is None:
                found = PdfCheck(SignatureOutcome.UNVERIFIABLE, (Reason.MALFORMED,), "not read")
            elif not one.is_pdf:
                found = PdfCheck(SignatureOutcome.ABSENT)
            else:
                found = await check_pdf(one.file, judge, job.at)
            answer(wanted.index, _body(found, is_pdf=one is None or one.is_pdf))
            if one is not None:
                one.file.close()


def _body(found: PdfCheck, *, is_pdf: bool) -> dict[str, object]:
    return {
        "is_pdf": is_pdf,
        "outcome": found.outcome.value,
        "reasons": [one.value for one in found.reasons],
        "detail": found.detail,
        "signatures": [one.as_dict() for one in found.signatures],
        "pages": found.pages,
    }


_FOLDER: str | None = None


def _bound(memory_mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib * _MIB, memory_mib * _MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def main() -> None:
    """Serve requests until stdin ends."""
    global _FOLDER
    memory_mib, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    _FOLDER = folder or None
    _bound(memory_mib)
    # Texts of certificates and documents belong in no log.
    logging.disable(logging.CRITICAL)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Nothing that a library prints may mix with the answers.
    os.dup2(2, 1)
    judge = Judge(TrustMaterial(), TrustPolicy())
    write_answer(answers, READY, {})
    with asyncio.Runner() as runner:
        while (request := read_request(requests)) is not None:
            if isinstance(request, Setup):
                judge = Judge(request.material, request.policy)
                continue
            steps = 2 + len(request.files)
            signal.alarm(int(seconds * steps) + _ALARM_MARGIN)
            try:
                runner.run(run(request, judge, partial(write_answer, answers)))
            except MemoryError:
                # What is left of this process is not to be relied on.
                os._exit(EXIT_MEMORY)
            signal.alarm(0)


if __name__ == "__main__":
    main()
