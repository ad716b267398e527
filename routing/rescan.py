"""What waited for a check of ours goes on, or goes back (FILE-MALWARE: KG 9.2; reliability 2.3).

While the scanner is away packages are accepted and their copies held: nothing is refused for a
fault of ours, and nothing passes unscanned. When it is back, the stored bytes are scanned; clean
ones are released, infected ones return to their sender with the reason. The same holds for packages
whose signatures wait for a fresh list of revoked certificates.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.findings import Finding
from routing.gateway_reports import About, GatewayReports, Issued, record_issued
from routing.ports import Database, DeliveryQuery, Transaction
from routing.records import (
    DOCUMENT,
    NO_REVOCATION_LIST,
    NOT_SCANNED,
    Change,
    Delivery,
    Event,
    PackageRecord,
    Reason,
    change,
)
from routing.route_table import RouteTable
from routing.states import Happening, TransportState

#: Deliveries looked at in one round.
BATCH = 200
_ACTORS = {NOT_SCANNED: "gateway:scanner", NO_REVOCATION_LIST: "gateway:signatures"}


async def waiting_packages(
    database: Database, after: str = "", limit: int = BATCH, awaited: Reason = NOT_SCANNED
) -> tuple[list[PackageRecord], str | None]:
    """Packages with copies that wait for the scanner (or `awaited`), of the next held deliveries.

    Also after which delivery to go on, None when these were the last: what operators hold for other
    reasons lies between them, and a package of several copies may come again.
    """

    async def read(tx: Transaction) -> tuple[list[PackageRecord], str | None]:
        query = DeliveryQuery(states=(TransportState.HELD,), after=after, limit=limit)
        rows = await tx.search_deliveries(query)
        ids = {row.package_id for row in rows if row.reason == awaited}
        packages = await tx.get_packages(sorted(ids))
        return list(packages.values()), rows[-1].id if len(rows) == limit else None

    return await database.read(read)


async def settle(
    database: Database,
    reports: GatewayReports,
    package: PackageRecord,
    infected: Finding | None,
    routes: RouteTable,
    now: datetime,
    awaited: Reason = NOT_SCANNED,
) -> list[Delivery]:
    """A waiting package was checked: its copies go on, or back with `infected` as the reason."""

    async def look(tx: Transaction) -> list[Delivery]:
        return await _waiting(tx, package, awaited)

    issued = []
    if infected is not None and package.kind == DOCUMENT:
        issued = await _refusals(await database.read(look), package, infected, reports, routes, now)

    async def write(tx: Transaction) -> list[Delivery]:
        rows = await tx.deliveries_of_package(package.id, lock=True)
        actor = _ACTORS[awaited]
        steps = [_step(row, infected, now, actor) for row in rows if row.reason == awaited]
        changes = [step for step in steps if isinstance(step, Change)]
        if not changes:
            return []
        await tx.apply(changes)
        await tx.append([_told(package, infected, now, awaited)])
        await record_issued(tx, issued, package.document_pk)
        return [one.after for one in changes]

    return await database.write(write)


async def _waiting(tx: Transaction, package: PackageRecord, awaited: Reason) -> list[Delivery]:
    rows = await tx.deliveries_of_package(package.id)
    return [row for row in rows if row.state is TransportState.HELD and row.reason == awaited]


async def _refusals(
    rows: list[Delivery],
    package: PackageRecord,
    infected: Finding,
    reports: GatewayReports,
    routes: RouteTable,
    now: datetime,
) -> list[Issued]:
    reason = Reason(infected.rule, infected.sentence)
    about = About.of(package)
    made = [
        await reports.refusal(about, row.recipient_organ_id, reason, routes, row, now)
        for row in rows
    ]
    return [one for one in made if one is not None]


def _step(row: Delivery, infected: Finding | None, now: datetime, actor: str) -> object:
    if row.state is not TransportState.HELD:
        return None
    if infected is None:
        return change(row, Happening.RELEASED, actor=actor, now=now, ring_at=now, reason=None)
    reason = Reason(infected.rule, infected.sentence)
    data = {"finding": infected.as_dict()}
    return change(row, Happening.RETURNED, actor=actor, now=now, data=data, reason=reason)


def _told(
    package: PackageRecord, infected: Finding | None, now: datetime, awaited: Reason
) -> Event:
    event = Event(
        type="package.scanned" if awaited is NOT_SCANNED else "package.signatures-checked",
        at=now,
        actor=_ACTORS[awaited],
        document_pk=package.document_pk,
        package_id=package.id,
        correlation_id=package.correlation_id,
        data={"digest": package.digest, "clean": infected is None},
    )
    if infected is None:
        return event
    data = {**event.data, "sender": package.sender, "finding": infected.as_dict()}
    if infected.rule != "FILE-MALWARE":
        return replace(event, data=data)
    return replace(event, type="security.malware", data=data)
