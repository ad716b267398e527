"""Tables of partners' connections beyond the registry: their secrets, and who serves them."""

from __future__ import annotations

from sqlalchemy import Column as C
from sqlalchemy import ForeignKey, String, Table, Text

from adapters.database.tables import Time, metadata

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
