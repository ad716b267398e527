"""What is found out about a package between its arrival and its judgement.

The reader and a look into the files have passed already, while the bytes came in. Here the rest is
gathered: signatures, malware, what was exchanged before. Then `envelopes.rules` judges it under the
profile of its sender. A scanner that is away makes the package wait (`Judgement.must_wait`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from adapters.malware import ClamAv, ScannerUnavailable
from adapters.payloads import Payloads
from adapters.signatures import SignatureInspector
from envelopes.limits import ReadLimits
from envelopes.model import Attachment, BusinessDocType, Document
from envelopes.read import AttachmentUnreadable, ReadResult, open_attachments
from envelopes.rules.facts import Lookups, PackageFacts, ScanFacts, ScanVerdict
from envelopes.rules.profile import Profile, load_profile, profile_for
from envelopes.rules.runner import Judgement, judge
from envelopes.signature_facts import SignatureFacts
from gateway.intake import Examined
from gateway.revocation import Revocation
from identifiers.organ_id import OrganId
from routing.ports import Database, Transaction
from routing.records import DOCUMENT, is_new_content
from routing.route_table import Connection, RouteTable
from routing.working_time import WorkingCalendar

log = structlog.get_logger(__name__)

#: Bytes that are read from a stored package at once while its files are scanned.
BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is said of a package, and of its signatures where they were verified."""

    judgement: Judgement
    signatures: SignatureFacts | None = None


class Inspection:
    """Gathers facts and has them judged.

    Where no scanner is configured, files are not judged for malware, and nothing waits for it.
    """

    def __init__(
        self,
        database: Database,
        calendars: Mapping[str, WorkingCalendar],
        limits: ReadLimits,
        *,
        assignments: Mapping[str, str],
        scanner: ClamAv | None = None,
        signatures: SignatureInspector | None = None,
        revocation: Revocation | None = None,
    ) -> None:
        """Without `scanner` or `signatures` the rules that need them are not judged."""
        self._database = database
        self._calendars = calendars
        self._limits = limits
        self._assignments = assignments
        self.scanner = scanner
        self.signatures = signatures
        self.revocation = revocation

    def profile(self, connection: Connection | None, organ_id: str, routes: RouteTable) -> Profile:
        """The profile that packages of this sender are judged by."""
        key = routes.key_of_text(organ_id)
        settings = connection.settings if connection else {}
        return load_profile(profile_for(settings, organ_id, self._assignments, (key,)))

    async def judge(
        self,
        path: Path,
        read: ReadResult,
        connection: Connection,
        routes: RouteTable,
        now: datetime,
    ) -> Inspected | None:
        """The judgement on the package at `path`; None for what could not even be read."""
        if read.package is None:
            return None
        profile = self.profile(connection, read.package.sender.organ_id, routes)
        lookups = await self._lookups(read, routes, profile, now)
        files = read.files if isinstance(read, Examined) else None
        first = judge(PackageFacts.of_reading(read, files=files, lookups=lookups), profile)
        if first.refused:
            # Nothing further is worth finding out; of a state secret nothing more may be touched.
            return Inspected(first)
        if self.signatures is None and self.scanner is None:
            return Inspected(first)
        signatures, scans = await asyncio.gather(
            self.verify(path, read, now, profile, routes), self.scan(path, read)
        )
        facts = PackageFacts.of_reading(
            read, files=files, signatures=signatures, scans=scans, lookups=lookups
        )
        return Inspected(judge(facts, profile), signatures)

    async def start(self) -> None:
        """Start the processes that verify signatures, where signatures are verified.

        Raises OSError or `WorkerFailed` when they cannot be had.
        """
        if self.signatures is not None:
            await self.signatures.start()

    async def close(self) -> None:
        """End the processes that verify signatures."""
        if self.signatures is not None:
            await self.signatures.close()

    async def verify(
        self, path: Path, read: ReadResult, now: datetime, profile: Profile, routes: RouteTable
    ) -> SignatureFacts | None:
        """The signatures of a package received at `now`; None where none are verified."""
        if self.signatures is None:
            return None
        codes = _codes_of(read.sender_organ_id, routes)
        facts = await self.signatures.inspect(path, read, now, profile.name, codes)
        if self.revocation is not None:
            self.revocation.note(facts)
        return facts

    async def _lookups(
        self, read: ReadResult, routes: RouteTable, profile: Profile, now: datetime
    ) -> Lookups:
        calendar = self._calendars.get(profile.name, self._calendars.get(profile.calendar))
        return Lookups(
            received_at=now,
            calendar=calendar,
            answered_known=await self._answered(read, routes),
            sent_files=await self._sent_files(read, routes),
            # Routing judges these itself, with the same findings.
            routing_findings=(),
        )

    async def _answered(self, read: ReadResult, routes: RouteTable) -> tuple[bool, ...] | None:
        """For each document that this one answers: whether it passed between the two."""
        package = read.package
        if not isinstance(package, Document) or not package.response_for:
            return ()
        me = routes.key_of_text(package.sender.organ_id)

        async def passed(tx: Transaction, document_id: str, to: str) -> bool:
            """Whether one of the two sent a document of this id to the other."""
            for one in await tx.documents_called(document_id):
                other = {me: to, to: me}.get(one.sender)
                if other is not None and await tx.deliveries_of_document(one.pk, other):
                    return True
            return False

        async def look(tx: Transaction) -> tuple[bool, ...]:
            return tuple(
                [
                    await passed(tx, one.document_id, routes.key_of_text(one.organ_id))
                    for one in package.response_for
                ]
            )

        return await self._database.read(look)

    async def _sent_files(self, read: ReadResult, routes: RouteTable) -> frozenset[str] | None:
        """The digests of the files that were sent under the document that a package is about."""
        package = read.package
        if not isinstance(package, Document) or is_new_content(package.business.doc_type):
            return None
        me = routes.key_of_text(package.sender.organ_id)

        async def look(tx: Transaction) -> frozenset[str]:
            known = await tx.find_document(me, package.subject_document_id)
            if known is None:
                return frozenset()
            return frozenset(
                file["sha256"]
                for one in await tx.packages_of_document(known.pk, kind=DOCUMENT)
                # What a revocation brought along was not sent as the document.
                if one.meaning != BusinessDocType.REVOCATION
                for file in one.summary.get("attachments", ())
                if file["sha256"]
            )

        return await self._database.read(look)

    async def scan(self, path: Path, read: ReadResult) -> tuple[ScanFacts, ...] | None:
        """What the scanner says of each file of the package at `path`; None without a scanner."""
        if self.scanner is None:
            return None
        found = _unscanned(read)
        try:
            await self._scan_into(found, self.scanner, path, read)
        except ScannerUnavailable as error:
            # The files after this one would only find the scanner away as well.
            log.warning("scanner.unavailable", error=str(error), consequence="packages wait")
        return tuple(found)

    async def scan_all(self, path: Path, read: ReadResult) -> tuple[ScanFacts, ...]:
        """The same for all files; one that cannot be read is not scanned.

        Raises `ScannerUnavailable`, also where there is no scanner.
        """
        if self.scanner is None:
            raise ScannerUnavailable("no scanner is configured")
        found = _unscanned(read)
        await self._scan_into(found, self.scanner, path, read)
        return tuple(found)

    async def _scan_into(
        self, found: list[ScanFacts], scanner: ClamAv, path: Path, read: ReadResult
    ) -> None:
        """Fill in what the scanner says, file after file as they come out of the package."""
        files = _Files(path, _attachments(read), self._limits)
        while (index := await files.next()) is not None:
            try:
                scanned = await scanner.scan(files.content(index))
            except AttachmentUnreadable:
                # The reader found it broken and said so; what cannot be opened is not passed on.
                continue
            # The scanner may have its answer before the end.
            await files.skip(index)
            verdict = ScanVerdict.CLEAN if scanned.clean else ScanVerdict.INFECTED
            found[index] = ScanFacts(index, verdict, scanned.threat)


def _attachments(read: ReadResult) -> tuple[Attachment, ...]:
    return read.package.attachments if isinstance(read.package, Document) else ()


def _codes_of(text: str, routes: RouteTable) -> tuple[str, ...]:
    """Every code of an agency that nobody disputes, in canonical form."""
    organ_id = OrganId.parse(text)
    if not isinstance(organ_id, OrganId):
        return ()
    return tuple(code.key for code in routes.directory.codes_of(organ_id))


def _unscanned(read: ReadResult) -> list[ScanFacts]:
    return [ScanFacts(n, ScanVerdict.UNSCANNED) for n in range(len(_attachments(read)))]


class _Files:
    """The files of a package on disk, decoded, in one pass that is read outside the event loop."""

    def __init__(self, path: Path, attachments: Sequence[Attachment], limits: ReadLimits) -> None:
        self._attachments = attachments
        self._pieces = open_attachments(blocks_of(path), attachments, limits)
        self._ahead: deque[tuple[int, bytes | None]] = deque()

    async def next(self) -> int | None:
        """The index of the file that comes next; None when there is none."""
        return self._ahead[0][0] if await self._look() else None

    async def content(self, index: int) -> AsyncIterator[bytes]:
        """That file in blocks. Raises `AttachmentUnreadable` for one that is not whole."""
        while await self._look() and self._ahead[0][0] == index:
            block = bytearray()
            while self._ahead and self._ahead[0][0] == index:
                _, piece = self._ahead.popleft()
                if piece is None:
                    yield bytes(block)
                    return
                block += piece
            yield bytes(block)
        raise AttachmentUnreadable(self._attachments[index].content_id)

    async def skip(self, index: int) -> None:
        """Pass over what is left of that file."""
        while await self._look() and self._ahead[0][0] == index:
            self._ahead.popleft()

    async def _look(self) -> bool:
        """Whether anything is to come."""
        if not self._ahead:
            await asyncio.to_thread(self._read_on)
        return bool(self._ahead)

    def _read_on(self) -> None:
        size = 0
        for index, piece in self._pieces:
            self._ahead.append((index, piece))
            size += len(piece or b"")
            if size >= BLOCK:
                return


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file in blocks."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


async def stored_file(payloads: Payloads, digest: str, folder: Path) -> Path:
    """A stored package as a file that can be read more than once: its own, or a copy in `folder`.

    Raises `PayloadMissing`.
    """
    own = payloads.path(digest)
    if own is not None:
        return own
    copy = folder / f"scan-{digest}"
    with copy.open("wb") as file:
        async for block in payloads.open(digest):
            await asyncio.to_thread(file.write, block)
    return copy
