"""Rows of callback tables to records and back."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal_column

from adapters.database.rows import Row, storable
from routing.callbacks import (
    CallbackMessage,
    Endpoint,
    EndpointStatus,
    MessageState,
    PostAttempt,
    PostOutcome,
    PostResult,
)

_MESSAGE_PLAIN = tuple(one.name for one in fields(CallbackMessage) if one.name != "state")


def is_pending(message: Any) -> ColumnElement[bool]:
    """The state is PENDING, spelled out in the SQL: only then does the partial index serve."""
    pending: ColumnElement[bool] = message.state == literal_column(f"'{MessageState.PENDING}'")
    return pending


def endpoint_of(row: Row) -> Endpoint:
    """An endpoint from its row."""
    return Endpoint(
        id=row["id"],
        connection_id=row["connection_id"],
        url=row["url"],
        secret=row["secret"],
        created_at=row["created_at"],
        types=tuple(row["types"]),
        allowed_networks=tuple(row["allowed_networks"]),
        old_secret=row["old_secret"],
        old_secret_until=row["old_secret_until"],
        status=EndpointStatus(row["status"]),
    )


def endpoint_row(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as a row to insert."""
    row = {one.name: getattr(endpoint, one.name) for one in fields(Endpoint)}
    return {
        **row,
        "types": list(endpoint.types),
        "allowed_networks": list(endpoint.allowed_networks),
        "status": endpoint.status.value,
    }


def message_of(row: Row) -> CallbackMessage:
    """A message from its row."""
    plain = {name: row[name] for name in _MESSAGE_PLAIN}
    return CallbackMessage(**plain, state=MessageState(row["state"]))


def post_attempt_row(
    message: CallbackMessage, result: PostResult, ended_at: datetime
) -> dict[str, Any]:
    """An attempt as a row to insert."""
    return {
        "message_seq": message.seq,
        "number": message.attempts,
        "started_at": ended_at - timedelta(seconds=result.seconds),
        "seconds": result.seconds,
        "outcome": result.outcome.value,
        "detail": storable(result.detail),
    }


def post_attempt_of(row: Row) -> PostAttempt:
    """An attempt from its row."""
    return PostAttempt(
        number=row["number"],
        started_at=row["started_at"],
        seconds=float(row["seconds"]),
        outcome=PostOutcome(row["outcome"]),
        detail=row["detail"],
    )
