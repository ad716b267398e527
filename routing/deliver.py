"""Handing packages over: what happens when a doorbell rings.

For pull connections a doorbell puts the package into the recipient's inbox, whole batches in one
transaction. For every other kind an attempt is made through the connection's `Partner`:

1. the attempt, its number and its lease are committed *before* the partner is called, so a crash
   cannot hammer a partner and leaves a trace;
2. the partner is called, with the delivery's id as the package id on every attempt;
3. the outcome is committed, if the attempt still is ours.

An attempt that ends without an answer leaves the delivery UNKNOWN; the next doorbell first asks the
partner. Doorbells may come twice or late: only a delivery that waits is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from envelopes.findings import Sentence
from routing.gateway_reports import About, GatewayReports, Issued, record_issued
from routing.on_time import OnTime, delivered
from routing.ports import Database, Transaction
from routing.records import (
    DOCUMENT,
    Attempt,
    Change,
    Delivery,
    PackageRecord,
    Reason,
    change,
    exhausted,
    is_unsure,
)
from routing.retry_policy import SCHEDULE, TryAgainAt, after_attempt
from routing.ring_again import put_off
from routing.route_table import Connection, RouteTable
from routing.states import WAITING, Happening, TransportState

#: How long an attempt belongs to its worker; longer than any partner's time limit.
LEASE = timedelta(minutes=5)
#: The longest wait that a partner may ask for.
LONGEST_WISH = timedelta(hours=1)
#: When a version that came before its time is looked at again.
TURN = timedelta(seconds=1)

#: States of an earlier version that a later one has to wait for.
STILL_BEFORE = (*WAITING, TransportState.DELIVERING, TransportState.UNKNOWN)


NOTHING_TO_SAY = Sentence("", "")


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    #: The partner has the package, from this attempt or an earlier one.
    DELIVERED = "delivered"
    #: Not now; the partner surely does not have it.
    TRY_LATER = "try-later"
    #: Never; the partner said why.
    REFUSED = "refused"
    #: No answer: it may have it or not.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What a partner answered, in its words."""

    outcome: AttemptOutcome
    detail: str = ""
    sentence: Sentence = NOTHING_TO_SAY
    #: The wait that the partner asked for, if it did.
    retry_after: timedelta | None = None


class Partner(Protocol):
    """One way of handing packages to a connection (push, axis, AMQP, folder …)."""

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """Hand the package over under the delivery's id; answers, never raises for the partner."""

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """Whether the partner has it; UNKNOWN when it cannot say, TRY_LATER when it has it not."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """A delivery after an attempt, and how the attempt ended."""

    delivery: Delivery
    result: AttemptResult


@dataclass(frozen=True, slots=True)
class _Begun:
    delivery: Delivery
    package: PackageRecord
    ask_first: bool


class Deliver:
    """Attempts through a partner, one delivery at a time."""

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        clock: Callable[[], datetime],
        spread: Callable[[], float],
        on_time: OnTime | None = None,
        reports: GatewayReports | None = None,
        schedule: Sequence[timedelta] = SCHEDULE,
    ) -> None:
        """Without `reports` nobody is told of a partner's refusal; tests of attempts need none."""
        self._database = database
        self._on_time = on_time
        self._reports = reports
        self._schedule = schedule
        self._owner = owner
        self._clock = clock
        self._spread = spread

    async def attempt(
        self,
        delivery_id: str,
        connection: Connection,
        partner: Partner,
        routes: RouteTable | None = None,
        lease: timedelta = LEASE,
    ) -> Attempted | None:
        """Make one attempt; what came of it, or None when there was nothing to do.

        `lease` is longer than the partner may take. `routes` serve to tell the sender of a refusal.
        """
        begun = await self._begin(delivery_id, connection, lease)
        if begun is None:
            return None
        result = AttemptResult(AttemptOutcome.TRY_LATER)
        if begun.ask_first:
            result = await partner.ask(connection, begun.delivery, begun.package)
        # Whatever comes of this attempt: an earlier one may have arrived.
        unsure = result.outcome is AttemptOutcome.UNKNOWN
        if result.outcome in (AttemptOutcome.TRY_LATER, AttemptOutcome.UNKNOWN):
            result = await partner.deliver(connection, begun.delivery, begun.package)
        issued = await self._refusal(begun, result, routes)
        return Attempted(await self._end(begun, result, issued, unsure), result)

    async def _refusal(
        self, begun: _Begun, result: AttemptResult, routes: RouteTable | None
    ) -> Issued | None:
        """The status 02 by which the sender learns of a partner's refusal (OPS-RETURN)."""
        refused = result.outcome is AttemptOutcome.REFUSED
        if not refused or self._reports is None or routes is None:
            return None
        if begun.package.kind != DOCUMENT:
            return None
        row = begun.delivery
        reason = Reason("refused-by-partner", result.sentence)
        return await self._reports.refusal(
            About.of(begun.package), row.recipient_organ_id, reason, routes, row, self._clock()
        )

    async def postpone(
        self, delivery_ids: Sequence[str], connection: Connection, until: datetime, why: str
    ) -> int:
        """Ring again at `until`: no attempt is made and none is used up; how many were put off."""
        now = self._clock()

        async def write(tx: Transaction) -> int:
            rows = await tx.get_deliveries(sorted(set(delivery_ids)), lock=True)
            waiting = [
                row
                for row in rows
                if row.state in (*WAITING, TransportState.UNKNOWN)
                and row.connection_id == connection.id
            ]
            await tx.apply([put_off(row, until, now, why) for row in waiting])
            return len(waiting)

        return await self._database.write(write)

    async def _begin(
        self, delivery_id: str, connection: Connection, lease: timedelta
    ) -> _Begun | None:
        now = self._clock()

        async def write(tx: Transaction) -> _Begun | None:
            row = await tx.get_delivery(delivery_id, lock=True)
            if row is None or row.state not in (*WAITING, TransportState.UNKNOWN):
                return None
            if row.connection_id != connection.id:
                # Rung before its route was changed: it is not this partner's to see.
                return None
            if await self._out_of_turn(tx, row, now):
                return None
            package = await tx.get_package(row.package_id)
            if package is None:
                raise AssertionError(f"delivery {row.id} without its package")
            step = change(
                row,
                Happening.ATTEMPTED,
                actor=f"worker:{self._owner}",
                now=now,
                data={"attempt": row.attempts + 1},
                attempts=row.attempts + 1,
                lease_owner=self._owner,
                lease_until=now + lease,
                ring_at=None,
            )
            if not isinstance(step, Change):
                return None
            await tx.apply([step])
            await tx.start_attempt(Attempt(row.id, row.attempts + 1, self._owner, now))
            ask_first = row.state is TransportState.UNKNOWN or is_unsure(row)
            return _Begun(step.after, package, ask_first)

        return await self._database.write(write)

    async def _out_of_turn(self, tx: Transaction, row: Delivery, now: datetime) -> bool:
        """Whether an earlier version has to go first; then this one's doorbell is put off."""
        if not await earlier_first(tx, row, lock=True):
            return False
        await tx.apply([put_off(row, now + TURN, now, "earlier-version-first")])
        return True

    async def _end(
        self, made: _Begun, result: AttemptResult, issued: Issued | None, unsure: bool
    ) -> Delivery:
        now, begun = self._clock(), made.delivery

        async def write(tx: Transaction) -> Delivery:
            row = await tx.get_delivery(begun.id, lock=True)
            if row is None:
                raise AssertionError(f"delivery {begun.id} disappeared")
            await tx.finish_attempt(
                Attempt(
                    row.id,
                    begun.attempts,
                    self._owner,
                    begun.updated_at,
                    now,
                    result.outcome.value,
                    result.detail,
                )
            )
            mine = row.lease_owner == self._owner and row.attempts == begun.attempts
            # A late success counts whoever holds the lease now; anything else is the owner's word.
            if not mine and result.outcome is not AttemptOutcome.DELIVERED:
                return row
            changes = self._outcome(row, result, now, unsure)
            await tx.apply(changes)
            if issued is not None and changes:
                await record_issued(tx, [issued], issued.package.document_pk)
            after = changes[-1].after if changes else row
            if self._on_time is not None and changes and result.outcome is AttemptOutcome.DELIVERED:
                await self._on_time.received(tx, after, f"worker:{self._owner}", now)
            return after

        return await self._database.write(write)

    def _outcome(
        self, row: Delivery, result: AttemptResult, now: datetime, unsure: bool
    ) -> list[Change]:
        actor = f"worker:{self._owner}"
        data: dict[str, object] = {"attempt": row.attempts, "detail": result.detail}
        if result.sentence != NOTHING_TO_SAY:
            data["reason"] = {"vi": result.sentence.vi, "en": result.sentence.en}
        free = {"lease_owner": None, "lease_until": None}
        match result.outcome:
            case AttemptOutcome.DELIVERED:
                step = delivered(row, actor=actor, now=now, on_time=self._on_time, data=data)
            case AttemptOutcome.REFUSED:
                reason = Reason("refused-by-partner", result.sentence)
                step = change(
                    row, Happening.RETURNED, actor=actor, now=now, data=data, reason=reason, **free
                )
            case _:
                return self._again(row, result, now, data, unsure)
        return [step] if isinstance(step, Change) else []

    def _again(
        self,
        row: Delivery,
        result: AttemptResult,
        now: datetime,
        data: dict[str, object],
        unsure: bool,
    ) -> list[Change]:
        """Not delivered, not refused; `unsure`: the partner could not say of earlier attempts."""
        unknown = unsure or result.outcome is AttemptOutcome.UNKNOWN
        actor = f"worker:{self._owner}"
        free = {"lease_owner": None, "lease_until": None}
        next_try = after_attempt(row.attempts, now, self._spread(), self._schedule)
        if isinstance(next_try, TryAgainAt):
            if result.retry_after is not None:
                asked = now + min(result.retry_after, LONGEST_WISH)
                next_try = TryAgainAt(max(next_try.at, asked))
            happening = Happening.OUTCOME_UNKNOWN if unknown else Happening.TRY_LATER
            step = change(
                row,
                happening,
                actor=actor,
                now=now,
                data={**data, "nextAttemptAt": next_try.at.isoformat()},
                ring_at=next_try.at,
                reason=None,
                **free,
            )
        else:
            reason = exhausted(result.sentence, unsure=unknown)
            step = change(
                row, Happening.EXHAUSTED, actor=actor, now=now, data=data, reason=reason, **free
            )
        return [step] if isinstance(step, Change) else []


async def earlier_first(tx: Transaction, row: Delivery, *, lock: bool = False) -> bool:
    """Whether an earlier version of the document is still on its way to this recipient."""
    if row.version <= 1 or row.document_pk is None:
        return False
    others = await tx.deliveries_of_document(row.document_pk, row.recipient, lock=lock)
    return any(other.version < row.version and other.state in STILL_BEFORE for other in others)
