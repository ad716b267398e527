"""Tables of partners' connections beyond the registry: their secrets, who serves them, and
what they ask to change in the directory."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, String, Table, Text
from sqlalchemy import Column as C

from adapters.database.tables import Time, metadata, packages

connection_secrets = Table(
    "connection_secrets",
    metadata,
    C("id", String(36), primary_key=True),
    C("connection_id", ForeignKey("connections.id"), nullable=False, index=True),
    C("purpose", String(40), nullable=False),
    # Sealed by the gateway's key, never readable from the database alone.
    C("sealed", Text, nullable=False),
    C("created_at", Time, nullable=False),
    C("expires_at", Time),
)

leases = Table(
    "leases",
    metadata,
    C("name", String(120), primary_key=True),
    C("owner", String(64), nullable=False),
    C("until", Time, nullable=False),
)

agency_requests = Table(
    "agency_requests",
    metadata,
    C("id", String(36), primary_key=True),
    C("connection_id", ForeignKey("connections.id"), nullable=False),
    C("action", String(10), nullable=False),
    C("organ_key", String(40), nullable=False),
    C("organ_id", String(40), nullable=False),
    C("name", Text, nullable=False),
    C("state", String(10), nullable=False),
    C("requested_at", Time, nullable=False),
    C("particulars", JSON, nullable=False),
    C("decided_at", Time),
    C("decided_by", String(120), nullable=False),
    C("note", Text, nullable=False),
    Index("ix_agency_requests_agency", "organ_key", "connection_id"),
)

#: For lists of what one connection sent.
Index("ix_packages_sent", packages.c.connection_id, packages.c.kind, packages.c.id)
