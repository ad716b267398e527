"""Callback endpoints and messages in the database: what is to be sent, what was, what is parked.

`SqlCallbacks` implements `routing.callbacks.CallbackStore` for the dispatcher, and what operators
do besides. The service signs with the secrets, so they are not hashed but sealed: who gets hold of
a copy of the database cannot sign in the gateway's name.

Claims are leases: a dispatcher that dies in the middle lets its lease lapse, and the message is
sent again under the same id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import delete, func, insert, or_, select, update

from adapters.database import callback_rows, rows
from adapters.database import callback_statements as statements
from adapters.database.callback_rows import endpoint_of, endpoint_row, message_of, post_attempt_of
from adapters.database.executes import Executes
from adapters.database.lifecycle_tables import (
    callback_attempts,
    callback_endpoints,
    callback_messages,
)
from adapters.database.rows import Row
from adapters.database.store import SqlDatabase
from adapters.database.tables import events
from adapters.database.transaction import sql_of
from routing.callbacks import (
    CallbackMessage,
    Claimed,
    Endpoint,
    EndpointStatus,
    MessageState,
    PostAttempt,
    PostResult,
    Verdict,
)
from routing.records import Event

T = TypeVar("T")

_e, _m, _a = callback_endpoints.c, callback_messages.c, callback_attempts.c
#: What secrets begin with that are not sealed.
OPEN = "whsec_"
#: Messages that one statement of a large replay or clean-up names.
BATCH = 500


class Seals(Protocol):
    """Seals secrets for the database, and opens them (`adapters.vault.Vault`)."""

    def seal(self, secret: str) -> str:
        """The secret as text that only the gateway's key opens."""

    def open(self, sealed: str) -> str:
        """The secret again; raises when the key does not open it."""


class SqlCallbacks:
    """Endpoints and messages of one database."""

    def __init__(self, database: SqlDatabase, seals: Seals | None = None) -> None:
        """`seals` may be left out by who asks for nothing that has secrets."""
        self._database = database
        self._seals = seals
        #: Which endpoint is served first changes with every claim.
        self._turn = 0

    # --- endpoints --------------------------------------------------------------------------------

    async def endpoints(self) -> list[Endpoint]:
        """See the port."""

        async def read(sql: Executes) -> list[Endpoint]:
            found = await sql.execute(select(callback_endpoints).order_by(_e.created_at, _e.id))
            return [self._opened(row) for row in found.mappings()]

        return await self._read(read)

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint of this id."""
        return next((one for one in await self.endpoints() if one.id == endpoint_id), None)

    async def add(self, endpoint: Endpoint, *, actor: str, now: datetime) -> None:
        """Add an endpoint; events from now on are told to it."""
        row = endpoint_row(replace(endpoint, secret=self._needed().seal(endpoint.secret)))

        async def write(sql: Executes) -> None:
            same = select(_e.id).where(_e.id == endpoint.id)
            if (await sql.execute(same)).scalar_one_or_none() is None:
                await sql.execute(insert(callback_endpoints).values(**row))
                await _log(sql, "added", endpoint, actor, now)

        await self._write(write)

    async def rotate(
        self, endpoint: Endpoint, secret: str, old_until: datetime, *, actor: str, now: datetime
    ) -> None:
        """Sign with a new secret; until `old_until` with the present one as well."""
        sealed = self._needed().seal(secret)

        async def write(sql: Executes) -> None:
            wanted = select(callback_endpoints).where(_e.id == endpoint.id).with_for_update()
            row = (await sql.execute(wanted)).mappings().one_or_none()
            if row is None or self._opened(row).secret == secret:
                # Rotated already, by this very transaction whose answer was lost.
                return
            change = update(callback_endpoints).where(_e.id == endpoint.id)
            await sql.execute(
                change.values(old_secret=_e.secret, old_secret_until=old_until, secret=sealed)
            )
            await _log(sql, "secret-rotated", endpoint, actor, now)

        await self._write(write)

    async def seal_what_is_open(self) -> int:
        """Seal the secrets that an earlier version stored as they were; of how many endpoints."""
        seals = self._needed()

        async def write(sql: Executes) -> int:
            wanted = select(_e.id, _e.secret, _e.old_secret).where(
                or_(_e.secret.startswith(OPEN), _e.old_secret.startswith(OPEN))
            )
            found = list((await sql.execute(wanted.with_for_update())).mappings())
            for row in found:
                values = {
                    name: seals.seal(row[name])
                    for name in ("secret", "old_secret")
                    if (row[name] or "").startswith(OPEN)
                }
                change = update(callback_endpoints).where(_e.id == row["id"])
                await sql.execute(change.values(**values))
            return len(found)

        return await self._write(write)

    async def set_status(
        self, endpoint: Endpoint, status: EndpointStatus, *, actor: str, now: datetime
    ) -> None:
        """Suspend or resume an endpoint. Resumed, what waits is due at once."""

        async def write(sql: Executes) -> None:
            if await _set_status(sql, endpoint, status, actor, now):
                waits = update(callback_messages).where(statements.waiting_of(endpoint.id))
                await sql.execute(waits.values(next_at=now))

        await self._write(write)

    async def remove(self, endpoint: Endpoint, *, actor: str, now: datetime) -> None:
        """Forget an endpoint, its secrets and all its messages."""

        async def write(sql: Executes) -> None:
            # Nobody adds a message once the row is locked; whoever waits then finds it gone.
            locked = select(_e.id).where(_e.id == endpoint.id).with_for_update()
            if (await sql.execute(locked)).scalar_one_or_none() is None:
                return
            mine = select(_m.seq).where(_m.endpoint_id == endpoint.id)
            await sql.execute(delete(callback_attempts).where(_a.message_seq.in_(mine)))
            await sql.execute(delete(callback_messages).where(_m.endpoint_id == endpoint.id))
            await sql.execute(delete(callback_endpoints).where(_e.id == endpoint.id))
            await _log(sql, "removed", endpoint, actor, now)

        await self._write(write)

    # --- sending ----------------------------------------------------------------------------------

    async def claim_due(
        self,
        owner: str,
        now: datetime,
        until: datetime,
        limit: int,
        *,
        per_endpoint: int,
        room: Mapping[str, int],
    ) -> list[Claimed]:
        """See the port."""
        self._turn += 1

        async def write(sql: Executes) -> list[Claimed]:
            found = (await sql.execute(statements.endpoints_with_work(now))).mappings()
            ready = [self._opened(row) for row in found]
            start = self._turn % len(ready) if ready else 0
            claimed: list[Claimed] = []
            for endpoint in [*ready[start:], *ready[:start]]:
                count = min(room.get(endpoint.id, per_endpoint), limit - len(claimed))
                if count <= 0:
                    continue
                taken = await sql.execute(statements.claim(endpoint.id, owner, now, until, count))
                messages = sorted(
                    (message_of(row) for row in taken.mappings()), key=lambda one: one.event_seq
                )
                claimed += [Claimed(message, endpoint) for message in messages]
            return claimed

        return await self._write(write)

    async def settle(
        self, owner: str, claimed: Claimed, result: PostResult, to: Verdict, *, now: datetime
    ) -> bool:
        """See the port."""
        message = claimed.message

        async def write(sql: Executes) -> bool:
            held = await sql.execute(
                select(_m.state).where(_m.seq == message.seq).with_for_update()
            )
            if held.scalar_one_or_none() is None:
                # The endpoint was removed while the message was under way.
                return False
            attempt = callback_rows.post_attempt_row(message, result, now)
            await sql.execute(insert(callback_attempts).values(**attempt))
            changed = await sql.execute(statements.settle(owner, message, result, to, now))
            if to.suspend_endpoint and changed.rowcount:
                suspended, actor = EndpointStatus.SUSPENDED, "gateway:callbacks"
                await _set_status(sql, claimed.endpoint, suspended, actor, now)
            return bool(changed.rowcount)

        return await self._write(write)

    # --- what an operator asks --------------------------------------------------------------------

    async def figures(self) -> dict[str, dict[MessageState, int]]:
        """How many messages each endpoint has in each state."""

        async def read(sql: Executes) -> dict[str, dict[MessageState, int]]:
            columns = _m.endpoint_id, _m.state
            counted = select(*columns, func.count().label("messages")).group_by(*columns)
            figures: dict[str, dict[MessageState, int]] = {}
            for row in (await sql.execute(counted)).mappings():
                of = figures.setdefault(row["endpoint_id"], {})
                of[MessageState(row["state"])] = row["messages"]
            return figures

        return await self._read(read)

    async def log(
        self, endpoint_id: str, *, state: MessageState | None = None, limit: int = 100
    ) -> list[tuple[CallbackMessage, list[PostAttempt]]]:
        """An endpoint's newest messages with their attempts, newest first."""
        wanted = select(callback_messages).where(_m.endpoint_id == endpoint_id)
        if state is not None:
            wanted = wanted.where(_m.state == state.value)

        async def read(sql: Executes) -> list[tuple[CallbackMessage, list[PostAttempt]]]:
            found = await sql.execute(wanted.order_by(_m.event_seq.desc()).limit(limit))
            messages = [message_of(row) for row in found.mappings()]
            tries: dict[int, list[PostAttempt]] = {one.seq: [] for one in messages}
            made = select(callback_attempts).where(_a.message_seq.in_(list(tries)))
            for row in (await sql.execute(made.order_by(_a.id))).mappings():
                tries[row["message_seq"]].append(post_attempt_of(row))
            return [(one, tries[one.seq]) for one in messages]

        return await self._read(read)

    async def replay(self, seqs: Sequence[int], *, now: datetime) -> list[int]:
        """Send parked or delivered messages again, under the same ids; those that will go."""
        done = MessageState.PARKED.value, MessageState.DELIVERED.value

        async def write(sql: Executes) -> list[int]:
            again: list[int] = []
            for start in range(0, len(seqs), BATCH):
                some = _m.seq.in_(seqs[start : start + BATCH]), _m.state.in_(done)
                again += (await sql.execute(statements.again(now).where(*some))).scalars()
            return sorted(again)

        return await self._write(write)

    async def replay_parked(self, endpoint_id: str | None = None, *, now: datetime) -> list[int]:
        """Send everything that is parked again, of one endpoint or of all."""
        parked = statements.again(now).where(_m.state == MessageState.PARKED.value)
        if endpoint_id is not None:
            parked = parked.where(_m.endpoint_id == endpoint_id)

        async def write(sql: Executes) -> list[int]:
            return sorted((await sql.execute(parked)).scalars())

        return await self._write(write)

    async def forget(self, before: datetime, limit: int = BATCH) -> int:
        """Delete up to `limit` messages that were delivered before `before`; how many."""
        old = (
            select(_m.seq)
            .where(_m.state == MessageState.DELIVERED.value, _m.delivered_at < before)
            .order_by(_m.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )

        async def write(sql: Executes) -> int:
            seqs = list((await sql.execute(old)).scalars())
            await sql.execute(delete(callback_attempts).where(_a.message_seq.in_(seqs)))
            await sql.execute(delete(callback_messages).where(_m.seq.in_(seqs)))
            return len(seqs)

        return await self._write(write)

    # --- helpers ----------------------------------------------------------------------------------

    def _needed(self) -> Seals:
        if self._seals is None:
            raise TypeError("this store was made without what opens secrets")
        return self._seals

    def _opened(self, row: Row) -> Endpoint:
        """An endpoint with its secrets open, those not sealed yet as they are."""
        seals, endpoint = self._needed(), endpoint_of(row)

        def opened(text: str) -> str:
            return text if text.startswith(OPEN) else seals.open(text)

        old = endpoint.old_secret
        return replace(
            endpoint,
            secret=opened(endpoint.secret),
            old_secret=opened(old) if old is not None else None,
        )

    async def _read(self, work: Callable[[Executes], Awaitable[T]]) -> T:
        return await self._database.read(lambda tx: work(sql_of(tx)))

    async def _write(self, work: Callable[[Executes], Awaitable[T]]) -> T:
        return await self._database.write(lambda tx: work(sql_of(tx)))


async def _set_status(
    sql: Executes, endpoint: Endpoint, status: EndpointStatus, actor: str, now: datetime
) -> bool:
    """Whether the status was another before; then the change is logged."""
    change = update(callback_endpoints).where(_e.id == endpoint.id, _e.status != status.value)
    changed = await sql.execute(change.values(status=status.value))
    if changed.rowcount:
        await _log(sql, status.value, replace(endpoint, status=status), actor, now)
    return bool(changed.rowcount)


async def _log(sql: Executes, what: str, endpoint: Endpoint, actor: str, now: datetime) -> None:
    """Write a change of an endpoint to the event log, without its secrets."""
    event = Event(
        type=f"callback.{what}",
        at=now,
        actor=actor,
        data={"endpoint": endpoint.id, "connection": endpoint.connection_id},
    )
    await sql.execute(insert(events), [rows.event_row(event)])
