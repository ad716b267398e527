"""The statements that are worth a name: the outbox, the inbox, recovery, searches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)

from adapters.database.rows import MUTABLE
from adapters.database.tables import connections, deliveries, documents, packages
from identifiers.organ_id import CodeSystem, OrganId
from identifiers.texts import fold
from routing.ports import DeliveryQuery, DocumentQuery
from routing.records import DOCUMENT
from routing.route_table import ConnectionStatus
from routing.states import TransportState

_d = deliveries.c


def _is_in(*states: TransportState, name: str = "states") -> ColumnElement[bool]:
    """The state is one of these, spelled out in the SQL: only then do partial indexes serve.

    `name` tells two of them in one statement apart.
    """
    values = [state.value for state in states]
    return _d.state.in_(bindparam(name, values, expanding=True, literal_execute=True))


#: Rows whose doorbell the broker has; the same states as in the index ``ix_deliveries_in_broker``.
_IN_BROKER = and_(_is_in(TransportState.QUEUED, TransportState.UNKNOWN), _d.ring_at.is_(None))

#: What a pull connection's list shows; the same states as in the index ``ix_deliveries_inbox``.
IN_INBOX = (TransportState.OFFERED, TransportState.DELIVERING)

#: All that is not done for good; the same states, in this order, as in ``ix_deliveries_open``.
_OPEN_STATES = tuple(state for state in TransportState if not state.is_final)
_OPEN = _is_in(*_OPEN_STATES, name="open_states")

#: Stores a change; see `adapters.database.rows.change_row` for its parameters.
STORE_CHANGE: Update = (
    update(deliveries)
    .where(_d.id == bindparam("row_id"))
    .values(
        {
            **{name: bindparam(f"new_{name}") for name in MUTABLE},
            "ring_owner": case((bindparam("kept"), _d.ring_owner), else_=null()),
            "ring_until": case((bindparam("kept"), _d.ring_until), else_=null()),
        }
    )
)


def claim_rings() -> Update:
    """Claim what is due, fairest first, passing over connections that wait or are saturated.

    Parameters: `owner`, `now`, `until`, `limit` and `window`, as in the port; they have a value
    (None) so that the rest can be spelled out without them.
    """
    now = bindparam("now", None, type_=_d.ring_at.type)
    full = (
        select(_d.connection_id, _d.lane)
        .where(_IN_BROKER)
        .group_by(_d.connection_id, _d.lane)
        .having(func.count() >= bindparam("window", None, type_=Integer))
    )
    of_connection = connections.c.id == _d.connection_id
    served = exists().where(
        of_connection,
        or_(
            connections.c.status == ConnectionStatus.ACTIVE.value,
            and_(
                connections.c.status == ConnectionStatus.DRAINING.value,
                _d.created_at <= connections.c.status_since,
            ),
        ),
    )
    due = (
        select(_d.id)
        .where(
            _d.ring_at.is_not(None),
            _d.ring_at <= now,
            or_(_d.ring_until.is_(None), _d.ring_until < now),
            served,
            tuple_(_d.connection_id, _d.lane).not_in(full),
        )
        .order_by(_d.lane_rank, _d.fair_key)
        .limit(bindparam("limit", None, type_=Integer))
        .with_for_update(skip_locked=True)
        # A CTE is worked out once; a plain subquery with LIMIT may be run again by the planner.
        .cte("due")
    )
    return (
        update(deliveries)
        .where(_d.id.in_(select(due.c.id)))
        .values(ring_owner=bindparam("owner", None), ring_until=bindparam("until", None))
        .returning(*deliveries.c)
    )


def settle_failed(owner: str, ids: Sequence[str], retry_at: datetime) -> Update:
    """The broker did not confirm these: again at `retry_at`."""
    return (
        update(deliveries)
        .where(_d.id.in_(ids), _d.ring_owner == owner)
        .values(
            ring_at=retry_at,
            ring_owner=None,
            ring_until=None,
            ring_failures=_d.ring_failures + 1,
        )
    )


def inbox(query: Select[Any]) -> Select[Any]:
    """Those of the deliveries in `query` that wait for the pull connection `connection_id`."""
    mine = _d.connection_id == bindparam("connection_id", None, type_=_d.connection_id.type)
    waits = (mine, _is_in(*IN_INBOX), _d.offered_at.is_not(None))
    return query.where(*waits).order_by(_d.lane_rank, _d.offered_at, _d.id)


def after_place() -> ColumnElement[bool]:
    """Behind the place in the order of an inbox that `rank`, `offered_at` and `id` name."""
    place = (
        bindparam("rank", None, type_=_d.lane_rank.type),
        bindparam("offered_at", None, type_=_d.offered_at.type),
        bindparam("id", None, type_=_d.id.type),
    )
    return tuple_(_d.lane_rank, _d.offered_at, _d.id) > tuple_(*place)


def lost_rings(before: datetime, limit: int) -> Select[Any]:
    """Deliveries that waited in the broker since before `before`; UNKNOWN ones wait there too."""
    return (
        select(*deliveries.c)
        .where(_IN_BROKER, _d.updated_at <= before)
        .order_by(_d.updated_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def lapsed_leases(now: datetime, limit: int) -> Select[Any]:
    """Deliveries whose attempt outlived its lease."""
    return (
        select(*deliveries.c)
        .where(
            _d.lease_until.is_not(None),
            _d.lease_until < now,
            _d.state == TransportState.DELIVERING.value,
        )
        .order_by(_d.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def search_deliveries(query: DeliveryQuery) -> Select[Any]:
    """Deliveries that match, newest first."""
    wanted = select(*deliveries.c).order_by(_d.id.desc()).limit(query.limit)
    if query.states:
        wanted = wanted.where(_is_in(*query.states))
        if not any(state.is_final for state in query.states):
            wanted = wanted.where(_OPEN)
    if query.connection_id is not None:
        wanted = wanted.where(_d.connection_id == query.connection_id)
    if query.recipient:
        wanted = wanted.where(_d.recipient == query.recipient)
    if query.document_id is not None:
        of_document = select(packages.c.id).where(packages.c.document_id == query.document_id)
        wanted = wanted.where(_d.package_id.in_(of_document))
    if query.after:
        wanted = wanted.where(_d.id < query.after)
    return wanted


def search_documents(query: DocumentQuery) -> Select[Any]:
    """Documents that match, newest first."""
    doc = documents.c
    wanted = select(*documents.c).order_by(doc.pk.desc()).limit(query.limit)
    for word in fold(query.text).split():
        wanted = wanted.where(doc.search.contains(word, autoescape=True))
    if query.document_id is not None:
        wanted = wanted.where(doc.document_id == query.document_id)
    if query.sender:
        wanted = wanted.where(doc.sender == query.sender)
    if query.since is not None:
        wanted = wanted.where(doc.created_at >= query.since)
    if query.until is not None:
        wanted = wanted.where(doc.created_at < query.until)
    if query.after:
        wanted = wanted.where(doc.pk < query.after)
    # Copies of the document itself; reports about it are deliveries too, to its sender.
    of_kind = and_(packages.c.id == _d.package_id, packages.c.kind == DOCUMENT)
    of_document = and_(_d.document_pk == doc.pk, exists().where(of_kind))
    if query.recipient:
        wanted = wanted.where(exists().where(and_(of_document, _d.recipient == query.recipient)))
    if query.state:
        wanted = wanted.where(exists().where(and_(of_document, _d.state == query.state)))
    if query.connection_id is not None:
        # Reporting on a document is not sending it.
        sent = exists().where(
            packages.c.document_pk == doc.pk,
            packages.c.connection_id == query.connection_id,
            packages.c.kind == DOCUMENT,
        )
        if query.sent_only:
            return wanted.where(sent)
        received = exists().where(
            of_document, _d.connection_id == query.connection_id, *_came_near()
        )
        wanted = wanted.where(or_(sent, received))
    if query.within is not None:
        received = exists().where(
            of_document, _lies_within(_d.recipient, query.within), *_came_near()
        )
        wanted = wanted.where(or_(_lies_within(doc.sender, query.within), received))
    return wanted


def _came_near() -> tuple[ColumnElement[bool], ...]:
    """What was withdrawn or did not get there yet is not the recipient's to see."""
    return (
        or_(_d.offered_at.is_not(None), _d.delivered_at.is_not(None)),
        or_(_d.state != TransportState.WITHDRAWN.value, _d.fetched_at.is_not(None)),
    )


def _lies_within(key: Any, codes: Sequence[OrganId]) -> ColumnElement[bool]:
    """The agency of this organ key has one of these codes or lies below it (`OrganId`)."""
    found: list[ColumnElement[bool]] = [false(), key.in_([code.key for code in codes])]
    for code in codes:
        if code.level == 1 or code.system is CodeSystem.DECISION_20:
            found.append(key.startswith(f"{'.'.join(code.groups)}.", autoescape=True))
        if code.level == 1 or code.system is CodeSystem.QCVN_102:
            found.append(key.endswith(f".{'.'.join(reversed(code.groups))}", autoescape=True))
    return or_(*found)


def queue_figures() -> Select[Any]:
    """For metrics: how many deliveries are in each state, and the oldest, per connection, lane."""
    return (
        select(
            _d.connection_id,
            _d.lane,
            _d.state,
            func.count().label("count"),
            func.min(_d.created_at).label("oldest"),
        )
        .where(_OPEN)
        .group_by(_d.connection_id, _d.lane, _d.state)
    )
