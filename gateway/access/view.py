"""What a person may see: which documents, and which packages, copies and events of one.

Operators and auditors see all. A clerk sees what the own agencies (and all below them) sent, with
every copy of it, and of what others sent the copies for the own agencies, once they could be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.access.people import Person, own_codes
from identifiers.organ_id import OrganId
from routing.ports import DocumentQuery, Transaction
from routing.records import Delivery, DocumentRecord, Event, PackageRecord, can_have
from routing.route_table import RouteTable


@dataclass(frozen=True, slots=True)
class Seen:
    """One document, as far as a person may see it."""

    document: DocumentRecord
    packages: list[PackageRecord]
    deliveries: list[Delivery]
    events: list[Event]


def scope_of(person: Person, routes: RouteTable) -> tuple[OrganId, ...] | None:
    """The codes whose documents a person may search; None for all.

    Agencies that lie below one of theirs by another code than their first one are named singly.
    """
    if person.sees_everything:
        return None
    codes = own_codes(person, routes)
    others = (
        agency.organ_id
        for agency in routes.directory
        if not any(agency.organ_id.is_within(mine) for mine in codes)
        and person.works_for(agency.organ_id.key, routes)
    )
    return (*codes, *others)


def may_see(person: Person, row: Delivery, sender: str, routes: RouteTable) -> bool:
    """Whether a person may see a copy of a package that this agency (organ key) sent."""
    if person.sees_everything or person.works_for(sender, routes):
        return True
    return can_have(row) and person.works_for(row.recipient, routes)


async def visible_copies(
    tx: Transaction, person: Person, documents: Sequence[DocumentRecord], routes: RouteTable
) -> dict[str, list[Delivery]]:
    """The copies of these documents that a person may see, by the document's key."""
    rows = [row for row, _ in await tx.deliveries_of_documents([one.pk for one in documents])]
    packages = await tx.get_packages(list({row.package_id for row in rows}))
    found: dict[str, list[Delivery]] = {one.pk: [] for one in documents}
    for row in rows:
        if may_see(person, row, packages[row.package_id].sender, routes):
            found[row.document_pk or ""].append(row)
    return found


async def visible_document(
    tx: Transaction, person: Person, some_id: str, routes: RouteTable
) -> Seen | list[DocumentRecord] | None:
    """The document of this key or DocumentId; several where senders share it; None for none."""
    record = await tx.get_document(some_id)
    if record is None:
        query = DocumentQuery(document_id=some_id, within=scope_of(person, routes), limit=20)
        named = await tx.search_documents(query)
        if len(named) > 1:
            return named
        record = named[0] if named else None
    return await _seen(tx, person, record, routes) if record is not None else None


async def _seen(
    tx: Transaction, person: Person, record: DocumentRecord, routes: RouteTable
) -> Seen | None:
    packages = await tx.packages_of_document(record.pk)
    rows = await tx.deliveries_of_document(record.pk)
    story = await tx.events_of_document(record.pk)
    if person.sees_everything:
        return Seen(record, packages, rows, story)
    sender_of = {package.id: package.sender for package in packages}
    mine = [row for row in rows if may_see(person, row, sender_of[row.package_id], routes)]
    copies, shown = {row.id for row in mine}, {row.package_id for row in mine}
    sent = {one.id for one in packages if person.works_for(one.sender, routes)}
    if not (mine or sent):
        return None
    lines = [
        line
        for line in story
        if line.delivery_id in copies or (line.delivery_id is None and line.package_id in sent)
    ]
    return Seen(record, [one for one in packages if one.id in shown | sent], mine, lines)


async def readable_package(
    tx: Transaction, person: Person, package_id: str, routes: RouteTable
) -> PackageRecord | None:
    """A package whose content a clerk may read: sent by, or there for, one of the own agencies."""
    package = await tx.get_package(package_id)
    if package is None:
        return None
    rows = await tx.deliveries_of_package(package_id)
    there = any(can_have(row) and person.works_for(row.recipient, routes) for row in rows)
    return package if there or person.works_for(package.sender, routes) else None
