"""What `lienthong callbacks … --json` prints."""

from __future__ import annotations

from typing import Any

from gateway.rest.encode import time_of
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
        "createdAt": time_of(endpoint.created_at),
        "oldSecretEnds": time_of(overlap),
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
        "createdAt": time_of(message.created_at),
        "nextAt": time_of(message.next_at) if pending else None,
        "deliveredAt": time_of(message.delivered_at),
        "lastError": message.last_error,
        "attemptsLog": [
            {
                "number": one.number,
                "startedAt": time_of(one.started_at),
                "seconds": one.seconds,
                "outcome": one.outcome.value,
                "detail": one.detail,
            }
            for one in attempts
        ],
    }
