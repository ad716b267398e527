"""Tables of a document's later life: requests to change it, links, deadlines, callbacks."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy import Column as C

from adapters.database.tables import BigCounter, Time, metadata

#: What a receiver was asked to agree to: taking back, updating or replacing its copy.
change_requests = Table(
    "change_requests",
    metadata,
    C("id", String(36), primary_key=True),
    C("kind", String(12), nullable=False),
    C("document_pk", ForeignKey("documents.pk"), nullable=False, index=True),
    # The copy that is to be changed, and the delivery that carries the request (if one does).
    C("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    C("carrier_id", ForeignKey("deliveries.id")),
    C("state", String(12), nullable=False),
    C("reason", Text, nullable=False),
    C("requested_at", Time, nullable=False),
    C("answered_at", Time),
    C("answer", Text, nullable=False),
)
Index("ix_change_requests_delivery", change_requests.c.delivery_id)
Index("ix_change_requests_carrier", change_requests.c.carrier_id)

#: Which document answers or replaces which; read from both ends.
document_links = Table(
    "document_links",
    metadata,
    C("from_pk", ForeignKey("documents.pk"), primary_key=True),
    C("to_pk", ForeignKey("documents.pk"), primary_key=True),
    C("kind", String(12), primary_key=True),
    C("package_id", ForeignKey("packages.id"), nullable=False),
    C("created_at", Time, nullable=False),
)
Index("ix_document_links_to", document_links.c.to_pk)

_OPEN = text("state = 'open'")
_UNSETTLED = text("state IN ('open', 'overdue')")

#: One time limit on one delivery (routing.deadlines.DeadlineKind).
deadlines = Table(
    "deadlines",
    metadata,
    C("id", String(36), primary_key=True),
    C("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    C("document_pk", String(36), nullable=False, index=True),
    C("package_id", String(36), nullable=False),
    C("kind", String(12), nullable=False),
    C("state", String(12), nullable=False),
    C("starts_at", Time, nullable=False),
    C("warn_at", Time, nullable=False),
    C("due_at", Time, nullable=False),
    #: When the next notice (nearing, then overdue) is to be given; null when none is left.
    C("notice_at", Time),
    C("closed_at", Time),
    C("closed_by", Text, nullable=False),
    UniqueConstraint("delivery_id", "kind"),
)
Index(
    "ix_deadlines_notice",
    deadlines.c.notice_at,
    postgresql_where=_OPEN,
    sqlite_where=_OPEN,
)
Index(
    "ix_deadlines_unsettled",
    deadlines.c.due_at,
    postgresql_where=_UNSETTLED,
    sqlite_where=_UNSETTLED,
)

callback_endpoints = Table(
    "callback_endpoints",
    metadata,
    C("id", String(36), primary_key=True),
    C("connection_id", ForeignKey("connections.id"), nullable=False, index=True),
    C("url", Text, nullable=False),
    # Event types or prefixes ending in *; empty: all.
    C("types", JSON, nullable=False),
    # Networks (CIDR) outside the public internet that the operator allows.
    C("allowed_networks", JSON, nullable=False),
    C("secret", Text, nullable=False),
    C("old_secret", Text),
    C("old_secret_until", Time),
    C("status", String(12), nullable=False),
    C("created_at", Time, nullable=False),
)

callback_messages = Table(
    "callback_messages",
    metadata,
    C("seq", BigCounter, primary_key=True, autoincrement=True),
    C("endpoint_id", ForeignKey("callback_endpoints.id"), nullable=False),
    # The number of the event in the log; with the endpoint it names the message for ever.
    C("event_seq", BigInteger, nullable=False),
    # Messages of one subject (a document) to one endpoint go out in the order of the log.
    C("subject", String(36), nullable=False),
    C("body", Text, nullable=False),
    C("state", String(12), nullable=False),
    C("attempts", Integer, nullable=False),
    C("next_at", Time, nullable=False),
    C("lease_owner", String(64)),
    C("lease_until", Time),
    C("last_error", Text, nullable=False),
    C("created_at", Time, nullable=False),
    C("delivered_at", Time),
    UniqueConstraint("endpoint_id", "event_seq"),
)
_PENDING = text("state = 'pending'")
Index(
    "ix_callback_messages_due",
    callback_messages.c.endpoint_id,
    callback_messages.c.subject,
    callback_messages.c.event_seq,
    postgresql_where=_PENDING,
    sqlite_where=_PENDING,
)

# A long backlog is claimed in the order of the log without looking through all of it.
Index(
    "ix_callback_messages_backlog",
    callback_messages.c.endpoint_id,
    callback_messages.c.event_seq,
    postgresql_where=_PENDING,
    sqlite_where=_PENDING,
)

callback_attempts = Table(
    "callback_attempts",
    metadata,
    C("id", BigCounter, primary_key=True, autoincrement=True),
    C("message_seq", ForeignKey("callback_messages.seq"), nullable=False, index=True),
    C("number", Integer, nullable=False),
    C("started_at", Time, nullable=False),
    C("seconds", JSON, nullable=False),
    C("outcome", String(20), nullable=False),
    C("detail", Text, nullable=False),
)
