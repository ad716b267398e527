"""Tables of people who have no OpenID Connect provider: who they are, and their tokens."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, String, Table
from sqlalchemy import Column as C

from adapters.database.tables import Time, metadata

people = Table(
    "people",
    metadata,
    C("id", String(36), primary_key=True),
    C("name", String(100), nullable=False, unique=True),
    C("roles", JSON, nullable=False),
    # Codes as they were written; what lies below them is worked out when somebody asks.
    C("agencies", JSON, nullable=False),
    C("created_at", Time, nullable=False),
    # Set once and for ever: a closed account is never opened again.
    C("closed_at", Time),
)

person_tokens = Table(
    "person_tokens",
    metadata,
    C("id", String(36), primary_key=True),
    C("person_id", ForeignKey("people.id"), nullable=False, index=True),
    C("sha256", String(64), nullable=False, unique=True),
    C("created_at", Time, nullable=False),
    # Tokens of people always end.
    C("expires_at", Time, nullable=False),
)
