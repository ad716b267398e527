"""The door: all facts about the signatures of one package, whatever it holds.

    inspector = SignatureInspector(trust, WorkerLimits(), folder=data_dir / "work")
    facts = await inspector.inspect(path, read_result, at=received_at, profile="national")

The event loop only waits: reading, digests and parsers run in bounded processes. Nothing a package
holds makes `inspect` raise; what cannot be looked at is unverifiable, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from adapters.signatures.jobs import OPENED, XML, Job, Setup, WantedFile, packed
from adapters.signatures.pool import Worker, WorkerFailed, WorkerLimits, WorkerPool
from adapters.trust.certificates import sha256_of
from adapters.trust.material import TrustMaterial, TrustPolicy
from envelopes.limits import ReadLimits
from envelopes.model import Attachment, Document, SignatureForm
from envelopes.read import ReadResult
from envelopes.signature_facts import (
    ABSENT,
    FileSignatures,
    Reason,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
)
from identifiers.organ_id import OrganId


class TrustSource(Protocol):
    """Where the trust material is had from; `adapters.trust.TrustFolder` is one."""

    def material(self, profile: str) -> TrustMaterial:
        """What `profile` trusts now. Called in a thread; quick when nothing changed."""


@dataclass(frozen=True, slots=True)
class InspectionLimits:
    """What of a package is looked at; the rest is unverifiable, and says so."""

    max_pdf_bytes: int = 256 * 1024 * 1024
    #: Files of one package that are opened.
    max_files: int = 200


@dataclass(slots=True)
class _Progress:
    """What has been found out so far about one package."""

    xml: SignatureVerdict | None = None
    files: dict[int, FileSignatures] = field(default_factory=dict)


class SignatureInspector:
    """Looks into packages; one per service. `close` ends its processes."""

    def __init__(
        self,
        trust: TrustSource,
        limits: WorkerLimits | None = None,
        *,
        policies: Mapping[str, TrustPolicy] | None = None,
        inspection: InspectionLimits | None = None,
        read_limits: ReadLimits | None = None,
        folder: Path | None = None,
    ) -> None:
        """`policies` by profile, the strict one where none is given; `folder` for large files."""
        self._trust = trust
        self._policies = policies or {}
        self._inspection = inspection or InspectionLimits()
        self._read_limits = read_limits or ReadLimits()
        self._setups: dict[str, tuple[str, bytes]] = {}
        self.pool = WorkerPool(limits or WorkerLimits(), folder)

    async def inspect(
        self,
        package: Path,
        read: ReadResult,
        at: datetime,
        profile: str = "national",
        sender_codes: Iterable[str] = (),
    ) -> SignatureFacts:
        """The facts about the package at `package`, read before as `read`, received at `at`.

        `sender_codes` are all codes of the sending agency, in canonical form: what is registered
        for any of them is the sender's, whichever it writes. Without them it is the code in From.

        Raises only OSError: the process could not be started, or the trust folder is unreadable.
        """
        material = await asyncio.to_thread(self._trust.material, profile)
        codes = dict.fromkeys((_canonical(read.sender_organ_id), *sender_codes))
        known = tuple(
            dict.fromkeys(one for code in codes for one in material.certificates_of(code))
        )
        attachments = read.package.attachments if isinstance(read.package, Document) else ()
        # A package that could not be read to its end says nothing of its signature's form.
        unsigned = read.package is not None and read.signature is SignatureForm.ABSENT
        progress = _Progress(xml=ABSENT if unsigned else None)
        wanted = self._wanted(attachments, progress)
        job = Job(
            path=str(package),
            at=at,
            xml=progress.xml is None,
            files=wanted,
            limits=self._read_limits,
            known=known,
        )
        if job.xml or job.files:
            setup = await self._setup(profile, material)
            await self._work(job, setup, attachments, progress)
        return SignatureFacts(
            xml=progress.xml or ABSENT,
            files=tuple(progress.files[index] for index in range(len(attachments))),
            checked_at=at,
            sender_organ_id=read.sender_organ_id,
            sender_certificates=tuple(sha256_of(one) for one in known),
        )

    async def start(self) -> None:
        """Start the processes ahead of the first package."""
        await self.pool.start()

    async def close(self) -> None:
        """End all processes."""
        await self.pool.close()

    def _wanted(
        self, attachments: tuple[Attachment, ...], progress: _Progress
    ) -> tuple[WantedFile, ...]:
        wanted: list[WantedFile] = []
        for index, attachment in enumerate(attachments):
            if attachment.size > self._inspection.max_pdf_bytes:
                detail = f"{attachment.size} bytes"
                progress.files[index] = _unverifiable(index, attachment, Reason.TOO_LARGE, detail)
            elif len(wanted) >= self._inspection.max_files:
                detail = f"more than {self._inspection.max_files} files"
                progress.files[index] = _unverifiable(index, attachment, Reason.TOO_MANY, detail)
            else:
                wanted.append(WantedFile(index, attachment.wrapped, attachment.size))
        return tuple(wanted)

    async def _setup(self, profile: str, material: TrustMaterial) -> tuple[str, bytes]:
        """Stamp and bytes that make a worker judge as `profile` does now."""
        policy = self._policies.get(profile) or TrustPolicy()
        stamp = f"{profile} {material.stamp} {policy}"
        kept = self._setups.get(profile)
        if kept is None or kept[0] != stamp:
            kept = stamp, await asyncio.to_thread(packed, Setup(material, policy))
            self._setups[profile] = kept
        return kept

    async def _work(
        self,
        job: Job,
        setup: tuple[str, bytes],
        attachments: tuple[Attachment, ...],
        progress: _Progress,
    ) -> None:
        """Have `job` done, going on behind each file that a process did not survive."""
        excused: set[int] = set()
        while job.xml or job.files:
            async with self.pool.worker() as worker:
                try:
                    await worker.set_up(*setup)
                    await _follow(worker, job, attachments, progress)
                    return
                except WorkerFailed as failure:
                    # It may have died of something else (an operator, the system): once is chance.
                    at = len(progress.files) + (progress.xml is not None)
                    if failure.reason is not Reason.WORKER_DIED or at in excused:
                        _blame(job, failure, attachments, progress)
                    excused.add(at)
            job = _rest(job, progress)


def _blame(
    job: Job,
    failure: WorkerFailed,
    attachments: tuple[Attachment, ...],
    progress: _Progress,
) -> None:
    """What the process was at when it failed is unverifiable."""
    reason, detail = failure.reason, str(failure)
    if job.xml and progress.xml is None:
        progress.xml = SignatureVerdict(SignatureOutcome.UNVERIFIABLE, (reason,), detail)
        return
    left = [one.index for one in job.files if one.index not in progress.files]
    # Before all files lay open no single one is to blame.
    for index in left[:1] if failure.opened else left:
        progress.files[index] = _unverifiable(index, attachments[index], reason, detail)


async def _follow(
    worker: Worker, job: Job, attachments: tuple[Attachment, ...], progress: _Progress
) -> None:
    """Take the answers to `job`. Raises WorkerFailed."""
    missing = job.xml + len(job.files)
    opened = False
    try:
        async with aclosing(worker.run(job)) as answers:
            async for answer in answers:
                index = answer["index"]
                if index == OPENED:
                    opened = True
                    continue
                _take(answer, index, attachments, progress)
                missing -= 1
                if missing == 0:
                    break
    except WorkerFailed as failure:
        failure.opened = opened
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # Not what a worker says: whatever came over it, it is not asked again.
        raise WorkerFailed(
            Reason.WORKER_DIED, f"an answer that is none: {error!r}"[:200], opened=opened
        ) from error
    worker.idle = True


def _take(
    answer: dict[str, Any],
    index: int,
    attachments: tuple[Attachment, ...],
    progress: _Progress,
) -> None:
    if index == XML:
        progress.xml = SignatureVerdict.from_dict(answer["verdict"])
        return
    attachment = attachments[index]
    progress.files[index] = FileSignatures.from_dict(
        {
            "index": index,
            "content_id": attachment.content_id,
            "name": attachment.name,
            "sha256": attachment.sha256,
            **{key: answer[key] for key in _ANSWERED},
        }
    )


_ANSWERED = ("is_pdf", "outcome", "reasons", "detail", "signatures", "pages")


def _rest(job: Job, progress: _Progress) -> Job:
    return replace(
        job,
        xml=job.xml and progress.xml is None,
        files=tuple(one for one in job.files if one.index not in progress.files),
    )


def _unverifiable(
    index: int, attachment: Attachment, reason: Reason, detail: str
) -> FileSignatures:
    return FileSignatures(
        index,
        attachment.content_id,
        attachment.name,
        attachment.sha256,
        attachment.name.lower().endswith(".pdf"),
        SignatureOutcome.UNVERIFIABLE,
        (reason,),
        detail,
    )


def _canonical(code: str) -> str:
    parsed = OrganId.parse(code)
    return parsed.key if isinstance(parsed, OrganId) else ""
