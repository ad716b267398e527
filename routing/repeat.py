"""The same bytes handed in again (`accept.Accept`): the first answer, and another chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.model import VIETNAM_TIME, BusinessDocType, StatusCode
from routing.change_step import is_content
from routing.gateway_reports import accepted_events
from routing.ports import Transaction
from routing.records import (
    CHECKS_WAITED_FOR,
    DOCUMENT,
    Change,
    Delivery,
    PackageRecord,
    Reason,
    change,
    is_unsure,
)
from routing.route_table import RouteKind, RouteTable
from routing.states import Happening, TransportState
from routing.submission import Accepted


async def repeat(
    tx: Transaction,
    first: PackageRecord,
    drafts: list[Delivery],
    routes: RouteTable,
    actor: str,
    now: datetime,
    wait: Reason | None,
) -> Accepted:
    """The first result again; copies that had no way get another chance when there is one.

    A partner that names each time another recipient beside the same bytes gets the copies that
    are new: `drafts`. Those without a way show that in their state. While a check of ours is
    outstanding, for the repetition (`wait`) or for a copy, what came back stays where it is.
    """
    today = now.astimezone(VIETNAM_TIME).date()
    deliveries = await tx.deliveries_of_package(first.id, lock=True)
    taken = {row.recipient for row in deliveries}
    changes = []
    waits = wait is not None or any(_awaits_a_check(row) for row in deliveries)
    for position in [] if waits else await _returned(tx, first, deliveries):
        row = deliveries[position]
        route = routes.route(row.recipient_organ_id, today)
        other = route.organ_key != row.recipient and route.organ_key in taken
        if route.kind is not RouteKind.ROUTED or other:
            continue
        taken.add(route.organ_key)
        step = change(
            row,
            Happening.RESUBMITTED,
            actor=actor,
            now=now,
            recipient=route.organ_key,
            connection_id=route.connection_id,
            ring_at=now,
            ring_failures=0,
            attempts=0,
            # That it may have arrived is remembered until the partner was asked.
            reason=row.reason if is_unsure(row) else None,
        )
        if isinstance(step, Change):
            changes.append(step)
            deliveries[position] = step.after
    await tx.apply(changes)
    further = [
        replace(row, package_id=first.id, document_pk=first.document_pk, version=first.version)
        for row in drafts
        if row.recipient not in taken
    ]
    if further:
        await tx.insert_deliveries(further)
        # The package itself was told of when it came first.
        told = accepted_events(first, further, actor)[1:]
        await tx.append([replace(event, at=now) for event in told])
        deliveries += further
    return Accepted(first, tuple(deliveries), first.findings, repeated=True)


def _awaits_a_check(row: Delivery) -> bool:
    return row.state is TransportState.HELD and row.reason in CHECKS_WAITED_FOR


async def _returned(
    tx: Transaction, package: PackageRecord, deliveries: list[Delivery]
) -> list[int]:
    """Positions of the deliveries that handing the package in again may help.

    None once the sender has corrected the document: the first content is not sent after the second.
    Nor what the sender has asked back meanwhile: it was told that nobody has it.
    """
    found = [
        position
        for position, row in enumerate(deliveries)
        if row.state is TransportState.RETURNED and row.reason and row.reason.try_again
    ]
    if not found or package.document_pk is None:
        return found
    packages = await tx.packages_of_document(package.document_pk)
    if any(is_content(later) and later.version > package.version for later in packages):
        return []
    asked = {one.id for one in packages if _asks_back(one, package)}
    rows = await tx.deliveries_of_document(package.document_pk) if asked else []
    taken_back = {row.recipient for row in rows if row.package_id in asked}
    return [position for position in found if deliveries[position].recipient not in taken_back]


def _asks_back(later: PackageRecord, package: PackageRecord) -> bool:
    """Whether a package asks for a document back that was sent before it."""
    if later.kind == DOCUMENT:
        return later.version > package.version and later.meaning == BusinessDocType.REVOCATION
    after = (later.received_at, later.id) > (package.received_at, package.id)
    return after and later.meaning == StatusCode.TAKE_BACK
