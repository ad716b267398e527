"""The one schema, on PostgreSQL and SQLite alike. Constraints hold the rules that must never break.

Times are stored in UTC. Texts that hold state are the values of the enums in `routing.states`.
The outbox is part of `deliveries`: a row whose `ring_at` is set and past is to be relayed;
`ring_owner` and `ring_until` are the relay's claim. A partial index keeps that look-up small
however many deliveries there are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy import Column as C

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Time(TypeDecorator[datetime]):
    """An aware datetime in UTC: timestamptz on PostgreSQL, microseconds since 1970 on SQLite.

    Refuses naive datetimes: a time without a zone is a bug.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """A whole number on SQLite: it sorts and compares as time does."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r} given to the database")
        if dialect.name == "sqlite":
            return (value - _EPOCH) // timedelta(microseconds=1)
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + timedelta(microseconds=value)
        return datetime.fromisoformat(value.isoformat()).astimezone(UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: SQLite counts only INTEGER primary keys up by itself.
BigCounter = BigInteger().with_variant(Integer(), "sqlite")

agencies = Table(
    "agencies",
    metadata,
    C("organ_key", String(40), primary_key=True),
    C("organ_id", String(40), nullable=False),
    C("name", Text, nullable=False),
    C("aliases", JSON, nullable=False),
    C("valid_from", String(10)),
    C("valid_until", String(10)),
    C("successors", JSON, nullable=False),
    C("updated_at", Time, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    C("id", String(36), primary_key=True),
    C("name", String(100), nullable=False, unique=True),
    C("kind", String(20), nullable=False),
    C("status", String(20), nullable=False),
    C("settings", JSON, nullable=False),
    C("created_at", Time, nullable=False),
    C("status_since", Time),
)

connection_agencies = Table(
    "connection_agencies",
    metadata,
    # One agency code leads to one connection.
    C("organ_key", String(40), primary_key=True),
    C("organ_id", String(40), nullable=False),
    C("connection_id", ForeignKey("connections.id"), nullable=False, index=True),
)

connection_tokens = Table(
    "connection_tokens",
    metadata,
    C("id", String(36), primary_key=True),
    C("connection_id", ForeignKey("connections.id"), nullable=False, index=True),
    C("sha256", String(64), nullable=False, unique=True),
    C("created_at", Time, nullable=False),
    C("expires_at", Time),
)

registry = Table(
    "registry",
    metadata,
    C("id", Integer, primary_key=True),
    C("version", BigInteger, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    C("pk", String(36), primary_key=True),
    C("sender", String(40), nullable=False),
    C("document_id", String(255), nullable=False, index=True),
    C("version", Integer, nullable=False),
    C("subject", Text, nullable=False),
    C("search", Text, nullable=False),
    C("created_at", Time, nullable=False),
    UniqueConstraint("sender", "document_id"),
)

packages = Table(
    "packages",
    metadata,
    C("id", String(36), primary_key=True),
    C("kind", String(10), nullable=False),
    C("sender", String(40), nullable=False),
    C("sender_organ_id", String(40), nullable=False),
    C("sender_name", Text, nullable=False),
    C("connection_id", ForeignKey("connections.id")),
    C("document_pk", ForeignKey("documents.pk"), index=True),
    C("document_id", String(255), nullable=False, index=True),
    C("meaning", String(2), nullable=False),
    C("version", Integer, nullable=False),
    C("digest", String(64), nullable=False, index=True),
    C("size", BigInteger, nullable=False),
    C("lane", String(10), nullable=False),
    C("correlation_id", String(64), nullable=False),
    C("received_at", Time, nullable=False),
    C("legal_sent_at", Time),
    C("summary", JSON, nullable=False),
    C("findings", JSON, nullable=False),
    # The same bytes from the same sender are one package, however often they are handed in.
    UniqueConstraint("sender", "digest"),
)

deliveries = Table(
    "deliveries",
    metadata,
    C("id", String(36), primary_key=True),
    C("package_id", ForeignKey("packages.id"), nullable=False),
    C("document_pk", ForeignKey("documents.pk")),
    C("recipient", String(255), nullable=False),
    C("recipient_organ_id", String(255), nullable=False),
    C("recipient_name", Text, nullable=False),
    C("connection_id", ForeignKey("connections.id")),
    C("lane", String(10), nullable=False),
    C("lane_rank", Integer, nullable=False),
    C("state", String(12), nullable=False),
    C("fair_key", Time, nullable=False),
    C("created_at", Time, nullable=False),
    C("updated_at", Time, nullable=False),
    C("correlation_id", String(64), nullable=False),
    C("version", Integer, nullable=False),
    C("business_state", String(2)),
    C("change_state", String(20)),
    C("attempts", Integer, nullable=False),
    C("ring_at", Time),
    C("ring_failures", Integer, nullable=False),
    C("ring_owner", String(64)),
    C("ring_until", Time),
    C("lease_owner", String(64)),
    C("lease_until", Time),
    C("offered_at", Time),
    C("fetched_at", Time),
    C("delivered_at", Time),
    C("legal_received_at", Time),
    C("reason", JSON(none_as_null=True)),
    C("noted", String(20)),
    C("noted_why", Text),
    C("noted_at", Time),
    # The gateway never makes two deliveries for one package and recipient.
    UniqueConstraint("package_id", "recipient"),
    Index("ix_deliveries_document", "document_pk", "recipient"),
)

_RINGING = text("ring_at IS NOT NULL")
_IN_INBOX = text("state IN ('offered', 'delivering')")
_IN_BROKER = text("state IN ('queued', 'unknown') AND ring_at IS NULL")
_LEASED = text("lease_until IS NOT NULL")
_UNDER_WAY = text(
    "state IN ('accepted', 'queued', 'offered', 'delivering', 'unknown', 'held', 'dead')"
)
Index(
    "ix_deliveries_ring",
    deliveries.c.lane_rank,
    deliveries.c.fair_key,
    postgresql_where=_RINGING,
    sqlite_where=_RINGING,
)
Index(
    "ix_deliveries_inbox",
    deliveries.c.connection_id,
    deliveries.c.lane_rank,
    deliveries.c.offered_at,
    deliveries.c.id,
    postgresql_where=_IN_INBOX,
    sqlite_where=_IN_INBOX,
)
Index(
    "ix_deliveries_in_broker",
    deliveries.c.connection_id,
    deliveries.c.lane,
    deliveries.c.updated_at,
    postgresql_where=_IN_BROKER,
    sqlite_where=_IN_BROKER,
)
Index(
    "ix_deliveries_lease",
    deliveries.c.lease_until,
    postgresql_where=_LEASED,
    sqlite_where=_LEASED,
)

# What is done for good is far the most, and is never asked for by its state alone.
Index(
    "ix_deliveries_open",
    deliveries.c.state,
    deliveries.c.id,
    postgresql_where=_UNDER_WAY,
    sqlite_where=_UNDER_WAY,
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    C("delivery_id", ForeignKey("deliveries.id"), primary_key=True),
    C("started_at", Time, primary_key=True),
    C("number", Integer, nullable=False),
    C("owner", String(64), nullable=False),
    C("ended_at", Time),
    C("outcome", String(20)),
    C("detail", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    C("seq", BigCounter, primary_key=True, autoincrement=True),
    C("type", String(40), nullable=False),
    C("at", Time, nullable=False),
    C("actor", String(120), nullable=False),
    C("document_pk", String(36), index=True),
    C("package_id", String(36), index=True),
    C("delivery_id", String(36)),
    C("from_state", String(20)),
    C("to_state", String(20)),
    C("correlation_id", String(64), nullable=False),
    C("data", JSON, nullable=False),
    # Numbers of lines that were deleted are never given again.
    sqlite_autoincrement=True,
)
