"""Kind `folder`: an old system that knows files only drops packages and picks packages up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import AfterValidator, Field

from adapters.folder import SUBFOLDERS, Dropped, PartnerFolder, blocks_of, file_name, printable
from adapters.own_threads import OwnThreads
from adapters.pause import pause
from envelopes.findings import Finding, Sentence
from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.hand_in import Blocks, hand_in
from gateway.hand_over import places_of
from gateway.intake import IntakeFault, NotReceived
from gateway.kinds.base import Kind, Unprovided, Way
from routing.connection_options import HandOverOptions, options_of
from routing.deliver import AttemptOutcome, AttemptResult
from routing.lanes import Lane
from routing.ports import PayloadMissing, Unavailable
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection
from routing.submission import Accepted, Refused

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.settings import Settings

log = structlog.get_logger(__name__)

#: Seconds before a folder that cannot be used is looked at again.
PAUSE = 5.0
FORGET_EVERY = timedelta(hours=1)
#: Faults of the gateway, not of the file: it stays and is tried again.
_OURS = frozenset({IntakeFault.DISK_FULL, IntakeFault.TOO_SLOW, IntakeFault.CUT_OFF})


def _absolute(value: str) -> str:
    if not Path(value).is_absolute():
        raise ValueError("write the whole path, beginning with /")
    return value


class FolderOptions(HandOverOptions):
    """Options of kind `folder`."""

    folder: Annotated[str, AfterValidator(_absolute)] = Field(
        description="Folder of this partner on the machine of the worker role; drop/, delivery/ "
        "and others are made in it."
    )
    poll_seconds: float = Field(2.0, ge=0.05, le=3600, description="How often drop/ is looked at.")
    settle_seconds: float = Field(
        4.0,
        ge=0.0,
        le=3600,
        description="How long a dropped file must not have changed before it is taken.",
    )
    keep_days: int = Field(
        30, ge=1, le=3650, description="How long accepted files are kept; the gateway has them too."
    )


class FolderPartner:
    """Hands packages over as files."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._threads = OwnThreads("folder-partner", 1)

    def _folder(self, connection: Connection) -> PartnerFolder:
        """The folder by the connection's options, and as many threads as they ask for."""
        # Each attempt that is under way needs one at a time; one more clears away after those that
        # were cut short.
        self._threads.most = sum(places_of(connection).values()) + 1
        return PartnerFolder(Path(options_of(connection, FolderOptions).folder))

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`."""
        folder = self._folder(connection)
        note = json.dumps(_note(delivery, package), ensure_ascii=False, indent=2).encode()
        try:
            await self._threads.call(folder.prepare)
            if not await self._threads.call(folder.is_complete, delivery.id):
                await self._write(folder, delivery.id, package.digest)
            await self._threads.call(folder.show, delivery.id, _name(delivery, package), note)
        except PayloadMissing:
            return AttemptResult(AttemptOutcome.TRY_LATER, "the payload is missing in the store")
        except OSError as error:
            return _unusable(error)
        return AttemptResult(AttemptOutcome.DELIVERED, "put into delivery/")

    async def _write(self, folder: PartnerFolder, key: str, digest: str) -> None:
        """Write the package block by block.

        Threads only do what blocks on the disk and never wait for the event loop.
        """
        writing = await self._threads.call(folder.begin, key)
        try:
            async for block in self._services.payloads.open(digest):
                await self._threads.call(writing.write, block)
            await self._threads.call(writing.complete)
        except BaseException:
            # Not waited for: the disk may be what hangs.
            self._threads.attempt(writing.abandon)
            raise

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`."""
        folder = self._folder(connection)
        try:
            given = await self._threads.call(folder.was_given, delivery.id)
        except OSError as error:
            # An earlier attempt may still hang in a thread, or have ended well before the fault.
            return replace(_unusable(error), outcome=AttemptOutcome.UNKNOWN)
        if given:
            return AttemptResult(AttemptOutcome.DELIVERED, "asked: it was put into delivery/")
        return AttemptResult(AttemptOutcome.TRY_LATER, "asked: it was not put into delivery/")


def _unusable(error: OSError) -> AttemptResult:
    detail = f"the folder cannot be used: {error.strerror or error}"
    sentence = Sentence(
        vi=f"Không dùng được thư mục của bên nhận: {error.strerror or error}",
        en=f"The recipient's folder cannot be used: {error.strerror or error}",
    )
    return AttemptResult(AttemptOutcome.TRY_LATER, detail, sentence)


def _name(delivery: Delivery, package: PackageRecord) -> str:
    """A name that a clerk can sort by: time, sender, number; the id makes it the only one."""
    at = package.received_at.astimezone(VIETNAM_TIME).strftime("%Y%m%d-%H%M%S")
    urgent = "KHAN" if delivery.lane is Lane.URGENT else ""
    number = "-".join(
        str(package.summary[key])
        for key in ("codeNumber", "codeNotation")
        if package.summary.get(key)
    )
    what = number or f"status-{package.meaning}"
    return file_name(at, urgent, package.sender_organ_id, what, delivery.id) + ".edxml"


def _note(delivery: Delivery, package: PackageRecord) -> dict[str, object]:
    """What the file beside a package says, for programs and people."""
    return {
        "delivery": delivery.id,
        "package": package.id,
        "kind": package.kind,
        "meaning": package.meaning,
        "documentId": package.document_id,
        "version": package.version,
        "sender": package.sender_organ_id,
        "senderName": package.sender_name,
        "recipient": delivery.recipient_organ_id,
        "lane": delivery.lane.value,
        "sha256": package.digest,
        "size": package.size,
        "receivedAt": package.received_at.isoformat(),
        "summary": package.summary,
        "findings": [finding.as_dict() for finding in package.findings],
    }


class FolderIntake:
    """Takes in what is dropped."""

    def __init__(self, services: Services, connection: Connection) -> None:
        self._services = services
        self._connection = connection
        self._options = options_of(connection, FolderOptions)
        self._folder = PartnerFolder(Path(self._options.folder))
        # One works; another still does when the first hangs.
        self._threads = OwnThreads("folder-intake", 2)
        self._sightings: dict[str, tuple[Dropped, float]] = {}
        self._forgotten = clock.now() - FORGET_EVERY

    async def run(self, stopping: asyncio.Event) -> None:
        """See `Intake`."""
        while not stopping.is_set():
            wait = self._options.poll_seconds
            try:
                if not await self._round(stopping):
                    wait = max(wait, PAUSE)
            except OSError as error:
                log.warning("folder.unusable", connection=self._connection.name, error=str(error))
                wait = PAUSE
            except Unavailable as error:
                log.warning("folder.store-unavailable", error=str(error))
                wait = PAUSE
            await pause(stopping, wait)

    async def _round(self, stopping: asyncio.Event) -> bool:
        """Look once at everything; whether nothing went wrong with any file."""
        await self._threads.call(self._folder.prepare)
        well = True
        for path in await self._threads.call(self._folder.taken):
            # Somebody died in the middle, or we could not take it in. Handing the same bytes in
            # again repeats the answer.
            well &= await self._alone(path.name, self._again(path))
        for dropped in self._settled(await self._threads.call(self._folder.dropped)):
            if stopping.is_set():
                return well
            well &= await self._alone(dropped.name, self._take_in(dropped))
        if clock.now() - self._forgotten > FORGET_EVERY:
            before = clock.now() - timedelta(days=self._options.keep_days)
            await self._threads.call(self._folder.forget, before)
            self._forgotten = clock.now()
        return well

    async def _alone(self, name: str, work: Awaitable[None]) -> bool:
        """Work on one file: what goes wrong with it stops no other; whether it went well."""
        about = {"connection": self._connection.name, "file": printable(name)}
        try:
            await work
        except Unavailable:
            raise
        except OSError as error:
            log.warning("folder.file-unusable", **about, error=str(error))
        except Exception:  # a bug that one file shows must not keep the others waiting
            log.exception("folder.file-bug", **about)
        else:
            return True
        return False

    async def _again(self, path: Path) -> None:
        await self._hand_in(path, await self._threads.call(self._folder.sighting, path))

    async def _take_in(self, dropped: Dropped) -> None:
        taken = await self._threads.call(self._folder.take, dropped)
        if taken is not None:
            await self._hand_in(taken, dropped)

    def _settled(self, dropped: list[Dropped]) -> list[Dropped]:
        """Files that looked the same for long enough."""
        now = asyncio.get_running_loop().time()
        before, self._sightings = self._sightings, {}
        settled = []
        for one in dropped:
            known, since = before.get(one.name, (one, now))
            self._sightings[one.name] = (one, since if known == one else now)
            if known == one and now - since >= self._options.settle_seconds:
                settled.append(one)
        return settled

    async def _hand_in(self, path: Path, dropped: Dropped) -> None:
        folder, name = self._folder, self._connection.name
        body = Blocks(self._blocks(path))
        result = await hand_in(self._services, body, self._connection, clock.new_id())
        if not await self._threads.call(folder.is_unchanged, path, dropped):
            # A program held it open and went on writing: not what it meant to send.
            log.warning("folder.changed-while-taken", connection=name, file=printable(path.name))
            if not await self._threads.call(folder.give_back, path):
                log.warning("folder.dropped-again", connection=name, file=printable(path.name))
            return
        if isinstance(result, NotReceived) and result.fault in _OURS:
            log.warning("folder.not-received", connection=name, fault=result.fault.value)
            return
        if isinstance(result, Accepted):
            receipt = json.dumps(_receipt(result), ensure_ascii=False, indent=2)
            key = result.package.id[-12:]
            await self._threads.call(folder.put_aside, path, "accepted", key, receipt, ".json")
            return
        key = clock.new_id()[-12:]
        text = report(path.name, result)
        await self._threads.call(folder.put_aside, path, "refused", key, text, ".txt")

    async def _blocks(self, path: Path) -> AsyncIterator[bytes]:
        blocks = blocks_of(path)
        while block := await self._threads.call(next, blocks, b""):
            yield block


def _receipt(result: Accepted) -> dict[str, object]:
    return {
        "package": result.package.id,
        "documentId": result.package.document_id,
        "sha256": result.package.digest,
        "receivedAt": result.package.received_at.isoformat(),
        "repeated": result.repeated,
        "deliveries": [
            {
                "id": row.id,
                "recipient": row.recipient_organ_id,
                "name": row.recipient_name,
                "state": row.state.value,
                "reason": row.reason.as_dict() if row.reason else None,
            }
            for row in result.deliveries
        ],
        "findings": [finding.as_dict() for finding in result.findings],
    }


def report(name: str, result: Refused | NotReceived) -> str:
    """Why a dropped file was not sent, for the clerk who dropped it (Vietnamese, then English)."""
    at = clock.now().astimezone(VIETNAM_TIME).strftime("%d/%m/%Y %H:%M:%S")
    if isinstance(result, NotReceived):
        vi = [f"{result.fault.value}: {result.measured.vi}"]
        en = [f"{result.fault.value}: {result.measured.en}"]
    else:
        vi = [line for finding in result.findings for line in _lines(finding, "vi")]
        en = [line for finding in result.findings for line in _lines(finding, "en")]
    return "\n".join(
        [
            "VĂN BẢN KHÔNG ĐƯỢC GỬI",
            f"Tệp: {name}",
            f"Lúc: {at}",
            "",
            "Lý do:",
            *vi,
            "",
            "Hãy sửa theo các mục [LỖI] rồi đặt lại tệp vào thư mục drop/.",
            "",
            "-" * 72,
            "THE PACKAGE WAS NOT SENT",
            "",
            *en,
            "",
            "Mend what is marked [ERROR] and put the file into drop/ again.",
            "",
        ]
    )


def _lines(finding: Finding, lang: str) -> list[str]:
    words = {"vi": ("LỖI", "LƯU Ý"), "en": ("ERROR", "WARNING")}[lang]
    mark = words[0] if finding.refuses else words[1]
    return [f"  [{mark}] {finding.rule}: {finding.sentence.in_language(lang)}"]


async def provide(_settings: Settings, connection: Connection, _secret: str) -> list[str]:
    """Make the folders, so that the operator sees at once whether that is possible."""
    root = Path(options_of(connection, FolderOptions).folder)
    try:
        await OwnThreads("folder-provide", 1).call(PartnerFolder(root).prepare)
    except OSError as error:
        raise Unprovided(f"The folder {root} cannot be made: {error.strerror or error}") from None
    shown = ", ".join(f"{name}/" for name in SUBFOLDERS if not name.startswith("."))
    return [f"Folders in {root}: {shown}"]


KIND = Kind(
    name="folder",
    summary="Files: it drops packages into a folder and picks others up from one.",
    way=Way.ATTEMPTS,
    options=FolderOptions,
    has_token=False,
    unique=("folder",),
    partner=FolderPartner,
    intake=FolderIntake,
    provide=provide,
)
