"""`lienthong trace`: what happened to a document, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

import click

from gateway import clock
from gateway.cli.context import LANGUAGES, NAME, State, json_option, pass_state
from gateway.cli.failures import refuse
from gateway.cli.output import print_json, show
from gateway.cli.session import Session, open_session
from gateway.story import Story, story_of
from gateway.story_changes import Linked
from gateway.waiting import why_waiting
from routing.ports import DeliveryQuery, DocumentQuery, Transaction
from routing.records import Delivery, DocumentRecord, Event, PackageRecord


@dataclass(frozen=True, slots=True)
class _Material:
    document: DocumentRecord | None
    events: list[Event]
    packages: list[PackageRecord]
    deliveries: list[Delivery]
    links: list[Linked]


@click.command(short_help="Tell what happened to a document.")
@click.argument("document", type=NAME)
@click.option("--lang", type=click.Choice(LANGUAGES), help="Language of the story. Default: vi.")
@click.option("-v", "--verbose", is_flag=True, help="Technical steps too.")
@json_option
@pass_state
async def trace(
    state: State, document: str, lang: str | None, verbose: bool, as_json: bool
) -> None:
    """Tell what happened to DOCUMENT: a DocumentId, its key here, or the id of a package.

    The DocumentId of an update or a revocation leads to the document that it is about.
    Times are Vietnam time (UTC+7).
    """
    async with open_session(state.settings) as session:
        story = await find_story(session, document)
    if story is None:
        refuse(f"There is no document, package or delivery {document!r} here.")
    if isinstance(story, list):
        senders = "\n".join(f"  {one.pk}  {one.sender}  {one.subject}" for one in story)
        refuse(f"Several senders have a document {document!r}; trace one of:\n{senders}")
    if as_json:
        print_json(story.as_dict())
        return
    language = lang or state.language or "vi"
    for line in story.text(language, technical=verbose or state.verbose):
        show(line)


async def find_story(session: Session, wanted: str) -> Story | list[DocumentRecord] | None:
    """The story behind a name; several documents when the name is of several; None for none."""

    async def read(tx: Transaction) -> _Material | list[DocumentRecord] | None:
        found = await _look(tx, wanted)
        if isinstance(found, DocumentRecord):
            packages = await tx.packages_of_document(found.pk)
            return _Material(
                found,
                await tx.events_of_document(found.pk),
                packages,
                await tx.deliveries_of_document(found.pk),
                await _links(tx, found.pk),
            )
        if isinstance(found, PackageRecord):
            deliveries = await tx.deliveries_of_package(found.id)
            return _Material(None, await tx.events_of_package(found.id), [found], deliveries, [])
        return found

    material = await session.database.read(read)
    if not isinstance(material, _Material):
        return material
    return story_of(
        material.document,
        material.events,
        material.packages,
        material.deliveries,
        session.connection_name,
        lambda row: why_waiting(row, session.routes.connections, clock.now()),
        material.links,
    )


async def _links(tx: Transaction, document_pk: str) -> list[Linked]:
    """What the document answers and replaces, and what answers and replaces it."""
    found = []
    links = await tx.requests.links_of([document_pk])
    packages = await tx.get_packages([link.package_id for link in links])
    for link in links:
        outgoing = link.from_pk == document_pk
        other = await tx.get_document(link.to_pk if outgoing else link.from_pk)
        if other is not None and link.package_id in packages:
            found.append(Linked(link, outgoing, other, packages[link.package_id]))
    return found


async def _look(
    tx: Transaction, wanted: str
) -> DocumentRecord | PackageRecord | list[DocumentRecord] | None:
    """By the document's key, a package's or a delivery's id, a DocumentId, that of a package."""
    document = await tx.get_document(wanted)
    if document is not None:
        return document
    delivery = await tx.get_delivery(wanted)
    package = await tx.get_package(delivery.package_id if delivery else wanted)
    if package is not None:
        known = await tx.get_document(package.document_pk) if package.document_pk else None
        return known or package
    named = await tx.search_documents(DocumentQuery(document_id=wanted))
    if not named:
        # An update or a revocation has a DocumentId of its own, which names no document.
        rows = await tx.search_deliveries(DeliveryQuery(document_id=wanted))
        keys = dict.fromkeys(row.document_pk for row in rows if row.document_pk)
        named = [one for key in keys if (one := await tx.get_document(key)) is not None]
    return named[0] if len(named) == 1 else (named or None)
