"""What `lienthong callbacks … --json` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from routing.callbacks import CallbackMessage, Endpoint, MessageState, PostAttempt, PostResult


def endpoint_dict(endpoint: Endpoint, connection: str) -> dict[str, Any]:
    """An endpoint without its secrets."""
    overlap = endpoint.old_secret_until
    return {
        "id": endpoint.id,
        "connection": connection,
        "url": endpoint.url,
        "types": list(endpoint.types),
        "allowedNetworks": list(endpoint.allowed_networks),
        "status": endpoint.status.value,
        "createdAt": endpoint.created_at.isoformat(),
        "oldSecretEnds": overlap.isoformat() if overlap else None,
    }


def result_dict(test_id: str, result: PostResult) -> dict[str, Any]:
    """How trying an endpoint out ended."""
    return {
        "id": test_id,
        "outcome": result.outcome.value,
        "status": result.status,
        "seconds": result.seconds,
        "detail": result.detail,
        "reason": {"vi": result.sentence.vi, "en": result.sentence.en},
    }


def message_dict(message: CallbackMessage, attempts: list[PostAttempt]) -> dict[str, Any]:
    """A message with its attempts."""
    pending = message.state is MessageState.PENDING
    return {
        "message": message.seq,
        "event": message.id,
        "state": message.state.value,
        "attempts": message.attempts,
        "createdAt": _iso(message.created_at),
        "nextAt": _iso(message.next_at) if pending else None,
        "deliveredAt": _iso(message.delivered_at),
        "lastError": message.last_error,
        "attemptsLog": [
            {
                "number": one.number,
                "startedAt": _iso(one.started_at),
                "seconds": one.seconds,
                "outcome": one.outcome.value,
                "detail": one.detail,
            }
            for one in attempts
        ],
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
