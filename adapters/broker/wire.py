"""Doorbells as AMQP messages and back.

Body: a JSON object with ``delivery_id``, ``connection_id`` and ``lane``. Properties:
``message_id`` is the delivery id, ``correlation_id`` the trace of the package, ``delivery_mode`` 2.
"""

from __future__ import annotations

import json

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from routing.lanes import Lane
from routing.ports import Doorbell

MESSAGE_TYPE = "lienthong.doorbell"
REASON_HEADER = "x-lienthong-reason"
_LONGEST_ID = 255


class PoisonMessage(ValueError):
    """A message in one of our queues that is no doorbell of that queue; says why."""


def encode(doorbell: Doorbell) -> Message:
    """The persistent message of a doorbell."""
    fields = {
        "delivery_id": doorbell.delivery_id,
        "connection_id": doorbell.connection_id,
        "lane": doorbell.lane.value,
    }
    return Message(
        json.dumps(fields, separators=(",", ":")).encode(),
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=doorbell.delivery_id,
        correlation_id=doorbell.correlation_id or None,
        type=MESSAGE_TYPE,
    )


def decode(message: AbstractIncomingMessage, connection_id: str, lane: Lane) -> Doorbell:
    """The doorbell in a message taken from the queue of ``connection_id`` and ``lane``.

    Raises :class:`PoisonMessage` when it is none, or one of another queue.
    """
    try:
        fields = json.loads(message.body)
    except (ValueError, RecursionError) as error:
        raise PoisonMessage("body is not JSON") from error
    if not isinstance(fields, dict):
        raise PoisonMessage("body is not a JSON object")
    delivery_id = fields.get("delivery_id")
    if not isinstance(delivery_id, str) or not 0 < len(delivery_id) <= _LONGEST_ID:
        raise PoisonMessage("delivery_id is missing or no text of 1 to 255 characters")
    if fields.get("connection_id") != connection_id or fields.get("lane") != lane.value:
        raise PoisonMessage("connection_id or lane is not that of the queue")
    return Doorbell(delivery_id, connection_id, lane, message.correlation_id or "")


def dead_letter(message: AbstractIncomingMessage, reason: str) -> Message:
    """A copy of an undecodable message for the dead-letter queue, with the reason in a header."""
    return Message(
        message.body,
        headers={**message.headers, REASON_HEADER: reason},
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        type=message.type,
    )
