"""An operator's verbs on deliveries: hold, release, replay, return to the sender.

Each is one legal step of the state machine with the operator's name in the log; what is not legal
in the present state is answered with a sentence, and nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME
from routing.gateway_reports import About, GatewayReports, record_issued
from routing.ports import Database, Transaction
from routing.records import (
    CHECKS_WAITED_FOR,
    DOCUMENT,
    Delivery,
    change,
    given_back,
    is_unsure,
)
from routing.route_table import RouteKind, RouteTable
from routing.states import Happening, Impossible


@dataclass(frozen=True, slots=True)
class UnknownDelivery:
    """There is no delivery of this id."""

    id: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The step is not possible in the present state or without a route; why, for people."""

    delivery: Delivery
    sentence: Sentence


Answer = Delivery | UnknownDelivery | NotNow


class DeadLetters:
    """What operators do with single deliveries."""

    def __init__(self, database: Database, reports: GatewayReports) -> None:
        self._database = database
        self._reports = reports

    async def hold(self, delivery_id: str, operator: str, why: str, now: datetime) -> Answer:
        """Stop a delivery for the time being; it keeps its place and uses up no attempt."""
        return await self._step(
            delivery_id, Happening.HELD, operator, now, {"why": why}, ring_at=None
        )

    async def release(
        self, delivery_id: str, operator: str, routes: RouteTable, now: datetime
    ) -> Answer:
        """Let a held delivery go on."""
        return await self._ring(delivery_id, Happening.RELEASED, operator, routes, now)

    async def replay(
        self, delivery_id: str, operator: str, routes: RouteTable, now: datetime
    ) -> Answer:
        """Start a dead delivery's attempts again, with the same id, on today's route.

        That the recipient may have it already is remembered until its partner was asked.
        """
        return await self._ring(delivery_id, Happening.REPLAYED, operator, routes, now, attempts=0)

    async def give_back(
        self, delivery_id: str, operator: str, why: str, routes: RouteTable, now: datetime
    ) -> Answer:
        """Return a delivery to its sender, with the reason, by a status 02 (OPS-RETURN).

        That the recipient may have it already is remembered, as `replay` does.
        """

        async def look(tx: Transaction) -> tuple[Delivery, About | None] | None:
            row = await tx.get_delivery(delivery_id)
            package = await tx.get_package(row.package_id) if row else None
            if row is None or package is None:
                return None
            return row, About.of(package) if package.kind == DOCUMENT else None

        known = await self._database.read(look)
        if known is None:
            return UnknownDelivery(delivery_id)
        row, about = known
        sentence = Sentence(vi=why, en=why)
        issued = None
        if about is not None:
            reason = given_back(row, sentence)
            issued = await self._reports.refusal(
                about, row.recipient_organ_id, reason, routes, row, now
            )

        async def write(tx: Transaction) -> Answer:
            row = await tx.get_delivery(delivery_id, lock=True)
            if row is None:
                return UnknownDelivery(delivery_id)
            answer = await self._apply(
                tx,
                delivery_id,
                Happening.RETURNED,
                operator,
                now,
                {"why": why},
                reason=given_back(row, sentence),
                ring_at=None,
                lease_owner=None,
                lease_until=None,
            )
            if isinstance(answer, Delivery) and issued is not None:
                await record_issued(tx, [issued], issued.package.document_pk)
            return answer

        return await self._database.write(write)

    async def _ring(
        self,
        delivery_id: str,
        happening: Happening,
        operator: str,
        routes: RouteTable,
        now: datetime,
        **fields: Any,
    ) -> Answer:
        """Let a delivery wait for its doorbell again, on today's route."""
        today = now.astimezone(VIETNAM_TIME).date()

        async def write(tx: Transaction) -> Answer:
            row = await tx.get_delivery(delivery_id, lock=True)
            if row is None:
                return UnknownDelivery(delivery_id)
            if happening is Happening.RELEASED and row.reason in CHECKS_WAITED_FOR:
                return NotNow(row, row.reason.sentence)
            route = routes.route(row.recipient_organ_id, today)
            if route.kind is not RouteKind.ROUTED:
                return NotNow(row, route.sentence)
            return await self._apply(
                tx,
                delivery_id,
                happening,
                operator,
                now,
                {},
                ring_at=now,
                ring_failures=0,
                recipient=await _recipient(tx, row, route.organ_key),
                connection_id=route.connection_id,
                reason=row.reason if is_unsure(row) else None,
                **fields,
            )

        return await self._database.write(write)

    async def _step(
        self,
        delivery_id: str,
        happening: Happening,
        operator: str,
        now: datetime,
        data: dict[str, Any],
        **fields: Any,
    ) -> Answer:
        async def write(tx: Transaction) -> Answer:
            return await self._apply(tx, delivery_id, happening, operator, now, data, **fields)

        return await self._database.write(write)

    async def _apply(
        self,
        tx: Transaction,
        delivery_id: str,
        happening: Happening,
        operator: str,
        now: datetime,
        data: dict[str, Any],
        **fields: Any,
    ) -> Answer:
        row = await tx.get_delivery(delivery_id, lock=True)
        if row is None:
            return UnknownDelivery(delivery_id)
        step = change(row, happening, actor=f"operator:{operator}", now=now, data=data, **fields)
        if isinstance(step, Impossible):
            return NotNow(row, step.sentence)
        await tx.apply([step])
        return step.after


async def _recipient(tx: Transaction, row: Delivery, organ_key: str) -> str:
    """Whose delivery it is on today's route; the successor's, unless that has a copy of its own."""
    others = await tx.deliveries_of_package(row.package_id) if organ_key != row.recipient else []
    return row.recipient if any(o.recipient == organ_key for o in others) else organ_key
