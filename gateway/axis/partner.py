"""Handing packages over to an axis, and asking after a time-out what became of one.

One request names all recipients of a package that are reached through the axis, so the attempts of
its siblings send the very same request and the axis' own check for doubles absorbs them. Its
receipt settles them all: a circular to sixty provinces is uploaded once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from adapters.vxp_client import AxisAnswer, text_of
from gateway import clock
from gateway.axis.events import append
from gateway.axis.items import EDOC, STATUS, codes_of, time_of
from gateway.axis.options import AxisOptions, NoSecret, axis_client, axis_options
from gateway.axis.verdict import verdict
from routing.deliver import AttemptOutcome, AttemptResult, earlier_first
from routing.ports import PayloadMissing, Transaction, Unavailable
from routing.records import DOCUMENT, Change, Delivery, PackageRecord, change
from routing.records import STATUS as STATUS_PACKAGE
from routing.route_table import Connection, RouteTable
from routing.states import Happening, TransportState

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger(__name__)

_S = TransportState
#: Copies that a sibling's receipt settles.
_WAITING = (_S.ACCEPTED, _S.QUEUED, _S.UNKNOWN)
#: Copies that a request names besides the one whose attempt it is.
_SPOKEN_FOR = (_S.ACCEPTED, _S.QUEUED, _S.DELIVERING, _S.UNKNOWN, _S.DELIVERED)
#: By how much the axis' clock may be behind ours where its list tells when it got a package.
SKEW = timedelta(minutes=2)

INTERRUPTED = AttemptResult(AttemptOutcome.UNKNOWN, "the request for a sibling was interrupted")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that was made, and for whom."""

    recipients: tuple[str, ...] = ()
    result: AttemptResult = INTERRUPTED


class AxisPartner:
    """See `routing.deliver.Partner`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Package id to the request under way for it.
        self._under_way: dict[str, asyncio.Future[_Sent]] = {}

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """Send the package, or share in a sibling's request that named this recipient too."""
        mine = delivery.recipient_organ_id
        while (running := self._under_way.get(package.id)) is not None:
            sent = await asyncio.shield(running)
            if mine in sent.recipients:
                return sent.result
        done: asyncio.Future[_Sent] = asyncio.get_running_loop().create_future()
        self._under_way[package.id] = done
        sent = _Sent()
        try:
            options = axis_options(connection)
            recipients = await self._recipients(connection, delivery, options)
            sent = _Sent(recipients)
            sent = _Sent(recipients, await self._send(connection, package, recipients, options))
            if sent.result.outcome is AttemptOutcome.DELIVERED and len(recipients) > 1:
                await self._settle_siblings(connection, delivery, recipients)
        finally:
            del self._under_way[package.id]
            done.set_result(sent)
        return sent.result

    async def _settle_siblings(
        self, connection: Connection, delivery: Delivery, recipients: tuple[str, ...]
    ) -> None:
        """The axis has the copies of all that were named: from now on none is withdrawn unseen.

        One that was withdrawn while the request was under way is written down: the axis has it.
        """
        now, actor = clock.now(), f"worker:{self._services.owner}"
        on_time = self._services.on_time

        async def write(tx: Transaction) -> list[Delivery]:
            rows = await tx.deliveries_of_package(delivery.package_id, lock=True)
            named = [
                row
                for row in rows
                if row.id != delivery.id
                and row.connection_id == connection.id
                and row.recipient_organ_id in recipients
            ]
            steps = [
                change(
                    row,
                    Happening.DELIVERED,
                    actor=actor,
                    now=now,
                    data={"detail": "named in a sibling's request", "sibling": delivery.id},
                    delivered_at=now,
                    ring_at=None,
                    reason=None,
                )
                for row in named
                if row.state in _WAITING
            ]
            changes = [step for step in steps if isinstance(step, Change)]
            await tx.apply(changes)
            for step in changes:
                await on_time.received(tx, step.after, actor, now)
            return [row for row in named if row.state is _S.WITHDRAWN]

        try:
            late = await self._services.database.write(write)
        except Unavailable as error:
            # Their own attempts send the same request again; the axis knows the bytes.
            log.warning("axis.siblings-not-settled", package=delivery.package_id, error=str(error))
            return
        for row in late:
            data = {"delivery": row.id, "recipient": row.recipient, "package": row.package_id}
            await append(self._services, connection, "axis.sent-though-withdrawn", data)

    async def _recipients(
        self, connection: Connection, delivery: Delivery, options: AxisOptions
    ) -> tuple[str, ...]:
        mine = delivery.recipient_organ_id
        if options.send_to == "one":
            return (mine,)

        async def read(tx: Transaction) -> list[str]:
            rows = await tx.deliveries_of_package(delivery.package_id)
            return [
                row.recipient_organ_id
                for row in rows
                if row.connection_id == connection.id
                and row.state in _SPOKEN_FOR
                # Its own attempt would wait for an earlier version: nobody else's takes it along.
                and not (row.state in _WAITING and await earlier_first(tx, row))
            ]

        found = tuple(dict.fromkeys(await self._services.database.read(read)))
        return found if mine in found else (*found, mine)

    async def _send(
        self,
        connection: Connection,
        package: PackageRecord,
        recipients: tuple[str, ...],
        options: AxisOptions,
    ) -> AttemptResult:
        payloads = self._services.payloads
        if await payloads.size(package.digest) is None:
            return AttemptResult(AttemptOutcome.TRY_LATER, "the payload is missing in the store")
        body: AsyncIterator[bytes] = payloads.open(package.digest)
        kind = STATUS if package.kind == STATUS_PACKAGE else EDOC
        try:
            async with await axis_client(self._services.secrets, connection) as client:
                answer = await client.send_edoc(
                    package.sender_organ_id, recipients, kind, package.digest, package.size, body
                )
        except (NoSecret, PayloadMissing) as error:
            return AttemptResult(AttemptOutcome.TRY_LATER, str(error)[:200])
        return verdict(answer, options)

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """Look into the axis' list of what we sent.

        Only a line that can be no other package's is taken for a receipt: sending again is
        harmless, because the axis knows the bytes; a false receipt is not. Status packages have no
        marks of their own in that list.
        """
        if package.kind != DOCUMENT or package.version > 1:
            return AttemptResult(AttemptOutcome.UNKNOWN, "not told apart in the axis' list")
        try:
            async with await axis_client(self._services.secrets, connection) as client:
                answer = await client.sent(EDOC)
        except NoSecret as error:
            return AttemptResult(AttemptOutcome.UNKNOWN, str(error))
        if not answer.ok:
            return AttemptResult(AttemptOutcome.UNKNOWN, f"asked: {answer}"[:300])
        routes = await self._services.registry.routes()
        found = [row for row in answer.rows if is_receipt(row, delivery, package, routes)]
        if len(found) == 1:
            return AttemptResult(AttemptOutcome.DELIVERED, "asked: it is in the axis' sent list")
        if found or _perhaps_cut(answer):
            return AttemptResult(AttemptOutcome.UNKNOWN, f"asked: {len(found)} lines like it")
        return AttemptResult(AttemptOutcome.TRY_LATER, "asked: the axis does not have it")


def _perhaps_cut(answer: AxisAnswer) -> bool:
    """An axis that lists nothing, or a round number, may keep no list or show a part of it."""
    count = len(answer.rows)
    return count == 0 or count % 50 == 0


def is_receipt(
    row: dict[str, Any], delivery: Delivery, package: PackageRecord, routes: RouteTable
) -> bool:
    """Whether a line of the sent list speaks of this copy: from, to, notation, title, time."""
    if routes.key_of_text(text_of(row.get("fromCode"))) != package.sender:
        return False
    receivers = {routes.key_of_text(code) for code in codes_of(row.get("toCode"))}
    if delivery.recipient not in receivers:
        return False
    number, notation = package.summary.get("codeNumber"), package.summary.get("codeNotation")
    code = f"{number}/{notation}" if number and notation else str(number or notation or "")
    subject = str(package.summary.get("subject") or "")
    if not code or text_of(row.get("notation")) != text_of(code):
        return False
    if text_of(row.get("title")) != text_of(subject):
        return False
    sent_at = time_of(row.get("sentTime"))
    return sent_at is not None and sent_at >= package.received_at - SKEW
