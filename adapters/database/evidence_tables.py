"""Tables of evidence: seals over the event log, which event is in which, and signed receipts."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, String, Table, Text
from sqlalchemy import Column as C

from adapters.database.tables import Time, metadata

event_seals = Table(
    "event_seals",
    metadata,
    C("number", Integer, primary_key=True, autoincrement=False),
    C("root", String(64), nullable=False),
    C("previous", String(64), nullable=False),
    C("events", Integer, nullable=False),
    C("first_seq", BigInteger, nullable=False),
    C("last_seq", BigInteger, nullable=False),
    C("sealed_at", Time, nullable=False),
    C("signed", Text, nullable=False),
    C("stamp", LargeBinary),
)

# Beside the log, not in it: what was once written there is never touched again.
sealed_events = Table(
    "sealed_events",
    metadata,
    C("seq", BigInteger, primary_key=True, autoincrement=False),
    C("seal", ForeignKey("event_seals.number"), nullable=False, index=True),
    C("position", Integer, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    C("package_id", ForeignKey("packages.id"), primary_key=True),
    C("signed", Text, nullable=False),
    C("created_at", Time, nullable=False),
)
