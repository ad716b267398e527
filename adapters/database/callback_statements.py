"""The statements of `adapters.database.callback_store`: what is due, claiming and settling it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, Update, and_, exists, func, or_, select, update

from adapters.database import callback_rows, rows
from adapters.database.lifecycle_tables import callback_endpoints, callback_messages
from adapters.database.tables import connections
from routing.callbacks import (
    CallbackMessage,
    EndpointStatus,
    MessageState,
    PostOutcome,
    PostResult,
    Verdict,
)
from routing.route_table import ConnectionStatus

_e, _m = callback_endpoints.c, callback_messages.c
_PENDING = MessageState.PENDING.value


def endpoints_with_work(now: datetime) -> Select[Any]:
    """Endpoints that may be sent to now and have something due."""
    due = and_(_m.endpoint_id == _e.id, *_due(_m, now))
    active = select(connections.c.id).where(connections.c.status == ConnectionStatus.ACTIVE.value)
    return (
        select(callback_endpoints)
        .where(
            _e.status == EndpointStatus.ACTIVE.value,
            _e.connection_id.in_(active),
            exists().where(due),
        )
        .order_by(_e.id)
    )


def _due(message: Any, now: datetime) -> tuple[Any, ...]:
    free = or_(message.lease_until.is_(None), message.lease_until < now)
    return callback_rows.is_pending(message), message.next_at <= now, free


def claim(endpoint_id: str, owner: str, now: datetime, until: datetime, count: int) -> Update:
    """Claim the first messages of subjects of which none is under way.

    A row that another claims first is passed over, and its conditions are looked at again after the
    wait for its lock. The subqueries are aggregates so that PostgreSQL answers them row by row from
    the index: as NOT EXISTS it joins the whole backlog with itself.
    """
    other = callback_messages.alias("other")
    of_subject = and_(
        other.c.endpoint_id == _m.endpoint_id,
        other.c.subject == _m.subject,
        callback_rows.is_pending(other.c),
    )
    earliest = select(func.min(other.c.event_seq)).where(of_subject).scalar_subquery()
    # Only a replayed message can have a later one of its subject under way.
    under_way = select(func.count(other.c.lease_until)).where(
        of_subject, other.c.seq != _m.seq, other.c.lease_until >= now
    )
    first = (
        select(_m.seq)
        .where(
            _m.endpoint_id == endpoint_id,
            *_due(_m, now),
            _m.event_seq == earliest,
            under_way.scalar_subquery() == 0,
        )
        .order_by(_m.event_seq)
        .limit(count)
        .with_for_update(skip_locked=True, of=callback_messages)
        .cte("first")
    )
    return (
        update(callback_messages)
        .where(_m.seq.in_(select(first.c.seq)))
        .values(lease_owner=owner, lease_until=until, attempts=_m.attempts + 1)
        .returning(*callback_messages.c)
    )


def settle(
    owner: str, message: CallbackMessage, result: PostResult, to: Verdict, now: datetime
) -> Update:
    mine = and_(_m.lease_owner == owner, _m.attempts == message.attempts)
    fits = _m.state == _PENDING, mine
    if result.outcome is PostOutcome.DELIVERED:
        # A late success is a success, unless somebody else is sending it just now.
        unfinished = _m.state.in_((_PENDING, MessageState.PARKED.value))
        fits = unfinished, or_(mine, _m.lease_owner.is_(None))
    delivered = to.state is MessageState.DELIVERED
    return (
        update(callback_messages)
        .where(_m.seq == message.seq, *fits)
        .values(
            state=to.state.value,
            next_at=to.next_at,
            lease_owner=None,
            lease_until=None,
            last_error="" if delivered else rows.storable(result.detail),
            delivered_at=now if delivered else None,
        )
    )


def again(now: datetime) -> Any:
    return (
        update(callback_messages)
        .values(state=_PENDING, attempts=0, next_at=now, delivered_at=None)
        .returning(_m.seq)
    )


def waiting_of(endpoint_id: str) -> Any:
    return and_(_m.endpoint_id == endpoint_id, callback_rows.is_pending(_m))
