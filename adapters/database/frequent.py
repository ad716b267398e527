"""The statements of every document's road, prepared (`adapters.database.prepared`).

Their parameters have the names of the columns, as `adapters.database.rows` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Insert,
    Integer,
    String,
    Table,
    and_,
    any_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from adapters.database import statements
from adapters.database.prepared import Prepared
from adapters.database.tables import deliveries, documents, events, packages
from routing.records import Delivery, PackageRecord

_d, _doc, _p = deliveries.c, documents.c, packages.c

_DELIVERY = [_d[field.name] for field in fields(Delivery)]
_PACKAGE = [_p[field.name] for field in fields(PackageRecord)]


def _named(columns: Iterable[Column[Any]]) -> dict[str, Any]:
    """A parameter for each column, under its name."""
    return {column.name: bindparam(column.name) for column in columns}


def _insert(table: Table, *but: str) -> Insert:
    """A whole row; without the columns that the database fills in."""
    given = (column for column in table.c if column.name not in but)
    return insert(table).values(_named(given))


# --- packages and documents -----------------------------------------------------------------------

FIND_PACKAGE = Prepared(
    select(*_PACKAGE).where(_p.sender == bindparam("sender"), _p.digest == bindparam("digest")),
    _PACKAGE,
)
GET_PACKAGE = Prepared(select(*_PACKAGE).where(_p.id == bindparam("id")), _PACKAGE)
INSERT_PACKAGE = Prepared(_insert(packages))

FIND_DOCUMENT = Prepared(
    select(*documents.c).where(
        _doc.sender == bindparam("sender"), _doc.document_id == bindparam("document_id")
    ),
    tuple(documents.c),
)
_wanted = select(literal(1).label("one")).subquery("wanted")
_package_known = exists().where(_p.sender == bindparam("sender"), _p.digest == bindparam("digest"))
_known = [_package_known.label("known"), *documents.c]
#: One row, whatever is known.
KNOWN_BEFORE = Prepared(
    select(*_known).select_from(
        _wanted.outerjoin(
            documents,
            and_(_doc.sender == bindparam("sender"), _doc.document_id == bindparam("document_id")),
        )
    ),
    _known,
)


def _lock_document(dialect: Any) -> Prepared:
    """Makes the document, or takes its lock by an update that changes nothing."""
    new = dialect.insert(documents).values(_named(documents.c))
    same = {"version": _doc.version}
    lock = new.on_conflict_do_update(index_elements=[_doc.sender, _doc.document_id], set_=same)
    return Prepared(lock.returning(*documents.c), tuple(documents.c))


#: By the name of the dialect.
LOCK_DOCUMENT = {"postgresql": _lock_document(postgresql), "sqlite": _lock_document(sqlite)}
SET_VERSION = Prepared(
    update(documents)
    .where(_doc.pk == bindparam("row_pk"))
    .values(version=bindparam("version"), subject=bindparam("subject"), search=bindparam("search"))
)

# --- deliveries -----------------------------------------------------------------------------------

INSERT_DELIVERY = Prepared(_insert(deliveries, "ring_owner", "ring_until"))
STORE_CHANGE = Prepared(statements.STORE_CHANGE)

_BEHIND = [*_DELIVERY, *(column.label(f"p_{column.name}") for column in _PACKAGE)]
_look_behind = (
    select(*_BEHIND)
    .join(packages, _p.id == _d.package_id)
    .where(
        or_(_d.id == bindparam("id"), _d.package_id == bindparam("id")),
        _d.connection_id == bindparam("connection_id"),
    )
    .order_by(_d.id)
)
#: One connection's deliveries behind a delivery's or a package's id, each with its package.
LOOK_BEHIND = Prepared(_look_behind, _BEHIND)
LOCK_BEHIND = Prepared(_look_behind.with_for_update(of=deliveries), _BEHIND)

_waiting = statements.inbox(select(*_BEHIND).join(packages, _p.id == _d.package_id))
_waiting = _waiting.limit(bindparam("limit", None, type_=Integer))
#: What waits for a pull connection, each with its package: the first page, and those after it.
INBOX = Prepared(_waiting, _BEHIND)
INBOX_AFTER = Prepared(_waiting.where(statements.after_place()), _BEHIND)


def _among(dialect: str) -> ColumnElement[bool]:
    """The id is one of `ids`: one statement for lists of any length."""
    if dialect == "postgresql":
        return _d.id == any_(bindparam("ids", type_=postgresql.ARRAY(String)))
    listed = func.json_each(bindparam("ids", type_=JSON)).table_valued("value")
    return _d.id.in_(select(listed.c.value))


_by_ids = {
    dialect: select(*_DELIVERY).where(_among(dialect)).order_by(_d.id)
    for dialect in ("postgresql", "sqlite")
}
#: Deliveries by their `ids`, by the name of the dialect. Locked in the order of the ids: two
#: lockers cannot block each other.
GET_DELIVERIES = {dialect: Prepared(one, _DELIVERY) for dialect, one in _by_ids.items()}
LOCK_DELIVERIES = {
    dialect: Prepared(one.with_for_update(), _DELIVERY) for dialect, one in _by_ids.items()
}

# --- the outbox -----------------------------------------------------------------------------------

CLAIM_RINGS = Prepared(statements.claim_rings(), tuple(deliveries.c))
_SETTLED = {"ring_at": None, "ring_owner": None, "ring_until": None, "ring_failures": 0}


def _settle(dialect: str) -> Prepared:
    """The broker has these: nothing to relay any more."""
    mine = _d.ring_owner == bindparam("owner")
    settle = update(deliveries).where(_among(dialect), mine).values(_SETTLED)
    return Prepared(settle.returning(*_DELIVERY), _DELIVERY)


def _queue(dialect: str) -> Prepared:
    """The same, where nothing happened since the claim: with the step to another state."""
    as_claimed = and_(_d.ring_owner == bindparam("owner"), _d.state == bindparam("before"))
    queued: dict[str, Any] = {
        "state": bindparam("after"),
        "updated_at": bindparam("now"),
        **_SETTLED,
    }
    queue = update(deliveries).where(_among(dialect), as_claimed).values(queued)
    return Prepared(queue.returning(_d.id), [_d.id])


#: By the name of the dialect.
SETTLE_CONFIRMED = {dialect: _settle(dialect) for dialect in ("postgresql", "sqlite")}
QUEUE_CONFIRMED = {dialect: _queue(dialect) for dialect in ("postgresql", "sqlite")}

# --- the log --------------------------------------------------------------------------------------

INSERT_EVENT = Prepared(_insert(events, "seq"))
