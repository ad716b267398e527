"""`lienthong evidence` and `lienthong verify`: a whole conversation in one file, proven offline."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import structlog

from adapters.database import SealStore
from adapters.payloads import Payloads
from adapters.trust import NotACertificate
from adapters.trust.judge import Judge
from gateway import clock
from gateway.cli.certificates import believed, certificate_option
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import REFUSED, Failure, refuse, wrong_use
from gateway.cli.output import print_json, say, show
from gateway.cli.session import Session, open_session
from gateway.cli.trace import find_story
from gateway.evidence import EXPORTED, MANIFEST_KIND, Examination, examine
from gateway.evidence_writer import EvidenceWriter
from gateway.observability import Metrics
from gateway.payload_stores import open_payloads
from gateway.seal_head import NAME as SEAL_HEAD
from gateway.sealing import NotAsLogged, Sealer
from gateway.signing_key import open_signer
from gateway.stamp_check import named_judge
from gateway.story import Story
from routing.ports import PayloadMissing, Transaction
from routing.records import Attempt, Delivery, DocumentRecord, Event, Link, PackageRecord

#: Exit code of `verify`: nothing is wrong, and not everything is proven.
UNPROVEN = 5
#: Documents of one conversation at the most.
MOST_DOCUMENTS = 200


@dataclass(frozen=True, slots=True)
class _Conversation:
    documents: list[DocumentRecord]
    links: list[Link]
    packages: list[PackageRecord]
    deliveries: list[Delivery]
    attempts: list[Attempt]
    events: list[Event]


@click.command(short_help="Export a conversation as evidence.")
@click.argument("document")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: evidence-DOCUMENT.zip here.",
)
@json_option
@operator_option
@pass_state
async def evidence(
    state: State, document: str, target: Path | None, as_json: bool, operator: str
) -> None:
    """Export DOCUMENT with its replies, reports, recalls, attempts and receipts into one file.

    The file proves itself with `lienthong verify FILE`, on a machine that has no gateway. That it
    was exported, and by whom, is written down first.
    """
    async with open_session(state.settings) as session:
        story = await find_story(session, document)
        if not isinstance(story, Story) or story.document_pk is None:
            refuse(f"There is no single document {document!r} here; try: lienthong trace")
        pk = story.document_pk
        target = target or Path(f"evidence-{pk}.zip")
        if target.exists():
            raise Failure(f"{target} exists already; it is not overwritten.")
        signer = await asyncio.to_thread(open_signer, state.settings)
        head = state.settings.data_dir / SEAL_HEAD
        sealer = Sealer(session.database, signer, state.settings.organ_id, head)
        gathered = await session.database.read(_gatherer(pk))
        export = await _note_export(session, gathered, pk, story.document_id, operator)
        found = replace(gathered, events=[*gathered.events, export])
        with _logs_beside():
            await sealer.seal(clock.now(), everything=True)
        payloads = open_payloads(state.settings, Metrics())
        partial = target.with_name(f".{target.name}.part")
        try:
            writer, manifest = await _write(session, sealer, payloads, found, story, partial)
            writer.close(await signer.sign_json(manifest, MANIFEST_KIND))
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
            await payloads.close()
    told = {
        "file": str(target),
        "documents": len(found.documents),
        "packages": len(found.packages),
        "events": len(found.events),
    }
    if as_json:
        print_json(told)
        return
    say(
        f"{told['packages']} packages and {told['events']} events of {told['documents']} documents."
    )
    show(str(target))


@contextmanager
def _logs_beside() -> Iterator[None]:
    """What the service would log is talk, not part of the result."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _note_export(
    session: Session, found: _Conversation, pk: str, document_id: str, operator: str
) -> Event:
    """Write down who exported, and how much there was: what is left out of the file shows by it."""
    counted = {
        one.pk: [event.seq for event in found.events if event.document_pk == one.pk]
        for one in found.documents
    }
    event = Event(
        type=EXPORTED,
        at=clock.now(),
        actor=f"operator:{operator}",
        document_pk=pk,
        data={
            "documentId": document_id,
            "export": clock.new_id(),
            "documents": {
                one: {"events": len(seqs), "lastSeq": max(seqs, default=0)}
                for one, seqs in counted.items()
            },
        },
    )

    async def write(tx: Transaction) -> Event:
        await tx.append([event])
        # Its number is given by the database.
        return next(one for one in await tx.events_of_document(pk) if one.data == event.data)

    return await session.database.write(write)


def _gatherer(pk: str) -> Callable[[Transaction], Awaitable[_Conversation]]:
    async def read(tx: Transaction) -> _Conversation:
        pks, links = await _thread(tx, pk)
        documents = [record for one in pks if (record := await tx.get_document(one)) is not None]
        packages, deliveries, attempts, events = [], [], [], []
        for one in pks:
            packages += await tx.packages_of_document(one)
            deliveries += await tx.deliveries_of_document(one)
            events += await tx.events_of_document(one)
        for row in deliveries:
            attempts += await tx.attempts_of(row.id)
        events.sort(key=lambda event: event.seq)
        return _Conversation(documents, links, packages, deliveries, attempts, events)

    return read


async def _thread(tx: Transaction, pk: str) -> tuple[list[str], list[Link]]:
    """The document and everything that answers or replaces it, and what that answers."""
    pks, links, new = [pk], dict[tuple[str, str, str], Link](), [pk]
    while new and len(pks) < MOST_DOCUMENTS:
        found = await tx.requests.links_of(new)
        links |= {(one.from_pk, one.to_pk, one.kind): one for one in found}
        ends = {end for one in found for end in (one.from_pk, one.to_pk)}
        new = sorted(ends - set(pks))
        pks += new
    return pks, list(links.values())


async def _write(
    session: Session,
    sealer: Sealer,
    payloads: Payloads,
    found: _Conversation,
    story: Story,
    target: Path,
) -> tuple[EvidenceWriter, bytes]:
    writer = EvidenceWriter(target)
    for package in {one.digest: one for one in found.packages}.values():
        await _add_payload(writer, payloads, package)
    for package in found.packages:
        rows = [row for row in found.deliveries if row.package_id == package.id]
        try:
            signed = await sealer.receipt(package, rows, clock.now())
        except NotAsLogged as error:
            raise Failure(f"{error}. Run: lienthong verify-events") from None
        writer.text(f"receipts/{package.id}.jws", signed.encode())
    store = SealStore(session.database)
    seals = await store.seals_of([event.seq for event in found.events])
    covered = {number: await store.covered(number) for number in sorted(set(seals.values()))}
    writer.events(found.events, seals, covered)
    for seal in await store.seals_numbered(list(covered)):
        writer.text(f"seals/{seal.number}.jws", seal.signed.encode())
        if seal.stamp is not None:
            writer.text(f"seals/{seal.number}.tst", seal.stamp)
    for lang in ("vi", "en"):
        text = "\n".join(story.text(lang, technical=True)) + "\n"
        writer.text(f"story.{lang}.txt", text.encode())
    return writer, writer.manifest(_about(session, found))


async def _add_payload(writer: EvidenceWriter, payloads: Payloads, package: PackageRecord) -> None:
    try:
        with writer.part(f"packages/{package.digest}.edxml") as write:
            async for block in payloads.open(package.digest):
                write(block)
    except PayloadMissing:
        raise Failure(f"The bytes of package {package.id} are missing in the store.") from None


def _about(session: Session, found: _Conversation) -> dict[str, Any]:
    return {
        "gateway": session.settings.organ_id,
        "exportedBy": found.events[-1].seq,
        "madeAt": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "documents": [
            {
                "pk": one.pk,
                "documentId": one.document_id,
                "sender": one.sender,
                "subject": one.subject,
            }
            for one in found.documents
        ],
        "links": [{"from": one.from_pk, "to": one.to_pk, "kind": one.kind} for one in found.links],
        "packages": [
            {
                "id": one.id,
                "kind": one.kind,
                "meaning": one.meaning,
                "documentId": one.document_id,
                "version": one.version,
                "sha256": one.digest,
                "size": one.size,
                "file": f"packages/{one.digest}.edxml",
            }
            for one in found.packages
        ],
        "deliveries": [
            {
                "id": row.id,
                "package": row.package_id,
                "recipient": row.recipient_organ_id,
                "state": row.state.value,
                "change": row.change_state,
                "businessState": row.business_state.value if row.business_state else None,
                "deliveredAt": row.delivered_at.isoformat() if row.delivered_at else None,
            }
            for row in found.deliveries
        ],
        "attempts": [
            {
                "delivery": one.delivery_id,
                "number": one.number,
                "startedAt": one.started_at.isoformat(),
                "endedAt": one.ended_at.isoformat() if one.ended_at else None,
                "outcome": one.outcome,
                "detail": one.detail,
            }
            for one in found.attempts
        ],
    }


@click.command(short_help="Prove a file of evidence, offline.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@certificate_option(
    "Certificate that the gateway is known to sign with (a file, or its SHA-256); may be repeated."
)
@click.option(
    "--tsa-certificate",
    "authorities",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Certificate of a time-stamping authority, or of who issued its certificate; may be "
    "repeated.",
)
@json_option
def verify(
    file: Path, certificates: tuple[str, ...], authorities: tuple[Path, ...], as_json: bool
) -> None:
    """Prove FILE, made by `lienthong evidence`. Needs no gateway and no network.

    Whose certificate it is, you must know from elsewhere: give it with --certificate. Without it
    the best that can be said is that the file is unaltered since somebody signed it. Where its
    seals have time stamps (RFC 3161), the same goes for who made them: --tsa-certificate.

    \b
    Exit codes:
      0  everything is proven, and the named certificates signed it
      1  something in it does not hold
      5  unaltered, but not everything is proven (who signed or stamped it)
    """
    found = examine(file, believed(certificates), _judge(authorities))
    if as_json:
        print_json(_told(found))
    else:
        _print(found)
    if found.faults:
        sys.exit(REFUSED)
    if found.unproven:
        sys.exit(UNPROVEN)


def _judge(authorities: tuple[Path, ...]) -> Judge:
    try:
        return named_judge(authorities)
    except (OSError, NotACertificate) as error:
        wrong_use(f"--tsa-certificate: {error}")


def _told(found: Examination) -> dict[str, Any]:
    return {
        "valid": not found.faults and not found.unproven,
        "proven": found.proven,
        "faults": found.faults,
        "unproven": found.unproven,
        "missing": found.missing,
        "certificates": found.certificates,
        "documents": found.manifest.get("documents", []),
    }


def _print(found: Examination) -> None:
    for document in found.manifest.get("documents", []):
        show(f"{document['documentId']}  {document['subject']}")
    for line in found.proven:
        show(f"OK     {line}")
    for line in found.faults:
        show(f"FAULT  {line}")
    for line in found.missing:
        show(f"       {line}")
    for line in found.unproven:
        show(f"NOT PROVEN  {line}")
    for fingerprint, subject in found.certificates.items():
        show(f"signed by {subject}\n          SHA-256 {fingerprint}")
    if found.faults:
        show("This evidence does NOT hold.")
    elif found.who_signed_unproven:
        show(
            "Unaltered since it was signed, but who signed it is NOT proven: anybody can make such "
            "a file. Compare the fingerprint with the gateway's, which you have from elsewhere."
        )
    elif found.unproven:
        show("Unaltered since it was signed, but not everything is proven.")
    else:
        show("Everything fits together.")
