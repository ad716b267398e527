"""Deadlines inside the use cases: opened and closed in the transaction of what does so.

The limits themselves are `routing.deadlines`, working time is `routing.working_time`; here is when
each use case has to think of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from envelopes.model import StatusCode
from routing.deadline_limits import (
    Limits,
    opened_on_delivery,
    opened_on_recall,
)
from routing.deadline_watch import keep_opened, keep_settled
from routing.deadlines import (
    Settled,
    cancelled,
    closed_by_answer,
    closed_by_reply,
    closed_by_report,
)
from routing.ports import Transaction
from routing.records import DOCUMENT, REPLIES_TO, Change, Delivery, Link, PackageRecord, change
from routing.states import Happening, Impossible
from routing.working_time import WorkingCalendar

#: The calendar of a connection's office hours, by the connection's id.
CalendarOf = Callable[[str | None], WorkingCalendar]


def delivered(
    row: Delivery,
    *,
    actor: str,
    now: datetime,
    on_time: OnTime | None,
    data: dict[str, object] | None = None,
) -> Change | Impossible:
    """The recipient has it, however that came to be known: nothing is left to do or to explain.

    Its legal time follows the office hours of the connection it went to. Who applies the change
    tells `OnTime.received` of it.
    """
    return change(
        row,
        Happening.DELIVERED,
        actor=actor,
        now=now,
        data=data,
        delivered_at=now,
        legal_received_at=on_time.legal_time(row.connection_id, now) if on_time else None,
        ring_at=None,
        reason=None,
        lease_owner=None,
        lease_until=None,
    )


class OnTime:
    """Opens and closes the deadlines of deliveries."""

    def __init__(self, calendar_of: CalendarOf, limits: Limits, new_id: Callable[[], str]) -> None:
        self._calendar_of = calendar_of
        self._limits = limits
        self._new_id = new_id

    def legal_time(self, connection_id: str | None, moment: datetime) -> datetime:
        """When something of this moment counts as sent or received (rule CLOCK: BT 7)."""
        return self._calendar_of(connection_id).legal_time(moment)

    async def received(self, tx: Transaction, row: Delivery, actor: str, now: datetime) -> None:
        """The receiver has the package: its limits run, and those of a request that it carries."""
        package = await tx.get_package(row.package_id)
        if package is None:
            raise AssertionError(f"delivery {row.id} without its package")
        calendar = self._calendar_of(row.connection_id)
        opened = opened_on_delivery(row, package, calendar, self._limits, self._new_id, now)
        if await self._asks(tx, row, package):
            opened += opened_on_recall(row, calendar, self._limits, self._new_id, now)
        if opened:
            await keep_opened(tx, opened, actor=actor, now=now, correlation_id=row.correlation_id)

    async def _asks(self, tx: Transaction, row: Delivery, package: PackageRecord) -> bool:
        """Whether this delivery carries a request that waits for its answer."""
        about_earlier = package.kind != DOCUMENT or package.version > 1 or package.meaning == "3"
        if not about_earlier or row.document_pk is None:
            return False
        pending = await tx.requests.pending_for(row.document_pk, row.recipient)
        return any(request.carrier_id == row.id for request in pending)

    async def reported(
        self, tx: Transaction, row: Delivery, code: StatusCode, actor: str, now: datetime
    ) -> None:
        """The receiver reported on its copy."""
        open_ones = await tx.deadlines.open_of_delivery(row.id, lock=True)
        await self._settle(tx, closed_by_report(open_ones, code, now), actor, row.correlation_id)

    async def answered(
        self,
        tx: Transaction,
        carriers: Iterable[str | None],
        gone: Sequence[Delivery],
        code: StatusCode,
        actor: str,
        now: datetime,
    ) -> None:
        """The receiver answered requests; of copies that are `gone` nothing more is expected."""
        carried = [carrier for carrier in carriers if carrier is not None]
        asked = await tx.deadlines.open_of_deliveries(carried, lock=True)
        await self._settle(tx, closed_by_answer(asked, code, now), actor, "")
        left = await tx.deadlines.open_of_deliveries([row.id for row in gone], lock=True)
        await self._settle(tx, cancelled(left, now, f"report {code}"), actor, "")

    async def replied(
        self,
        tx: Transaction,
        package: PackageRecord,
        links: Sequence[Link],
        actor: str,
    ) -> None:
        """A document answers others: the limits of its sender's copies of them are met."""
        for link in links:
            if link.kind == REPLIES_TO:
                rows = await tx.deliveries_of_document(link.to_pk, package.sender)
                open_ones = await tx.deadlines.open_of_deliveries(
                    [row.id for row in rows], lock=True
                )
                settled = closed_by_reply(open_ones, package.received_at, f"reply {package.id}")
                await self._settle(tx, settled, actor, package.correlation_id)

    async def _settle(
        self, tx: Transaction, settled: Sequence[Settled], actor: str, correlation_id: str
    ) -> None:
        if settled:
            await keep_settled(tx, settled, actor=actor, correlation_id=correlation_id)
