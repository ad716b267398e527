"""The messages between a gateway and its partners: properties, headers, bodies.

``docs/asyncapi.yaml`` tells partners the same, and a test holds the two together. Three types:

- ``package``: an edXML package, in either direction; its body is the edXML itself, or, from the
  gateway and above the inline limit, a claim check (JSON) that says where to fetch it;
- ``receipt``: the partner has a package, or refuses it;
- ``answer``: what the gateway made of a ``package`` or a ``receipt``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from envelopes.findings import Sentence
from routing.records import Delivery, PackageRecord

PACKAGE = "package"
RECEIPT = "receipt"
ANSWER = "answer"

XML = "application/xml"
JSON = "application/json"
PROBLEM = "application/problem+json"
CLAIM_CHECK = "application/vnd.lienthong.claim-check+json"

PACKAGE_ID = "lt-package-id"
DOCUMENT_ID = "lt-document-id"
KIND = "lt-kind"
MEANING = "lt-meaning"
LANE = "lt-lane"
SENDER = "lt-sender"
RECIPIENT = "lt-recipient"
SHA256 = "lt-sha256"
SIZE = "lt-size"
VERSION = "lt-version"
OUTCOME = "lt-outcome"
REASON = "lt-reason"

#: Headers of a package for a partner.
PACKAGE_HEADERS = (
    PACKAGE_ID,
    DOCUMENT_ID,
    KIND,
    MEANING,
    LANE,
    SENDER,
    RECIPIENT,
    SHA256,
    SIZE,
    VERSION,
)

RECEIVED = "received"
REFUSED = "refused"
ACCEPTED = "accepted"
RECORDED = "recorded"

#: Longest of our texts in a header that is cut rather than refused.
_LONGEST_REASON = 1000


class Unreadable(ValueError):
    """A message that nobody can make sense of, however often it comes; says why."""


@dataclass(frozen=True, slots=True)
class PlaceOfPackage:
    """Where a large package is to be fetched."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ReceiptMessage:
    """What a partner says of a package that it was given."""

    delivery_id: str
    digest: str
    refused: bool
    #: Why it was refused.
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class AnswerMessage:
    """What a gateway made of a message."""

    #: ``message_id`` of the message that is answered.
    about: str
    outcome: str
    body: dict[str, Any]


def package_message(
    delivery: Delivery,
    package: PackageRecord,
    body: bytes | PlaceOfPackage,
    user: str,
    at: datetime,
) -> Message:
    """A package for a partner; the same `message_id` on every attempt."""
    if isinstance(body, PlaceOfPackage):
        content_type = CLAIM_CHECK
        content = json.dumps(
            {
                "url": body.url,
                "sha256": package.digest,
                "size": package.size,
                "expiresAt": body.expires_at.isoformat(),
            }
        ).encode()
    else:
        content_type, content = XML, body
    return Message(
        content,
        headers={
            PACKAGE_ID: package.id,
            DOCUMENT_ID: package.document_id,
            KIND: package.kind,
            MEANING: package.meaning,
            LANE: delivery.lane.value,
            SENDER: package.sender_organ_id,
            RECIPIENT: delivery.recipient_organ_id,
            SHA256: package.digest,
            SIZE: package.size,
            VERSION: package.version,
        },
        content_type=content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=delivery.id,
        correlation_id=delivery.correlation_id or None,
        timestamp=at,
        type=PACKAGE,
        user_id=user,
    )


def receipt_message(
    delivery_id: str, digest: str, user: str, message_id: str, refusal: Sentence | None = None
) -> Message:
    """What a gateway that is a partner itself says of a package it was given."""
    body = {"vi": refusal.vi, "en": refusal.en} if refusal else {}
    return Message(
        json.dumps(body, ensure_ascii=False).encode(),
        headers={SHA256: digest, OUTCOME: REFUSED if refusal else RECEIVED},
        content_type=JSON,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
        correlation_id=delivery_id,
        type=RECEIPT,
        user_id=user,
    )


def answer_message(about: str, outcome: str, body: dict[str, Any], message_id: str) -> Message:
    """The gateway's answer to the message `about`."""
    return Message(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        headers={OUTCOME: outcome},
        content_type=PROBLEM if outcome == REFUSED else JSON,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
        correlation_id=about,
        type=ANSWER,
    )


def read_receipt(message: AbstractIncomingMessage) -> ReceiptMessage:
    """The receipt in a message. Raises `Unreadable`."""
    outcome = header(message, OUTCOME)
    if outcome not in (RECEIVED, REFUSED):
        raise Unreadable(
            f"header {OUTCOME} of a receipt is {outcome!r}; allowed: received, refused"
        )
    if not message.correlation_id:
        raise Unreadable("a receipt without correlation_id, which names the delivery")
    sentence = Sentence("", "")
    if outcome == REFUSED:
        body = _json(message)
        words = [body.get("vi") or body.get("en"), body.get("en") or body.get("vi")]
        vi, en = (word[:_LONGEST_REASON] if isinstance(word, str) else "" for word in words)
        if not vi:
            raise Unreadable("a refusal without a reason: the body is {'vi': …, 'en': …}")
        sentence = Sentence(vi, en)
    return ReceiptMessage(
        message.correlation_id, header(message, SHA256), outcome == REFUSED, sentence
    )


def read_answer(message: AbstractIncomingMessage) -> AnswerMessage:
    """The answer in a message. Raises `Unreadable`."""
    if message.type != ANSWER or not message.correlation_id:
        raise Unreadable("no answer: type or correlation_id is missing")
    return AnswerMessage(message.correlation_id, header(message, OUTCOME), _json(message))


def dead_letter(message: AbstractIncomingMessage, reason: str) -> Message:
    """A copy of an unreadable message with the reason in a header."""
    return Message(
        message.body,
        headers={**message.headers, REASON: reason[:_LONGEST_REASON]},
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        type=message.type,
    )


def header(message: AbstractIncomingMessage, name: str) -> str:
    """A header as text; empty when it is missing."""
    value = message.headers.get(name, "")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _json(message: AbstractIncomingMessage) -> dict[str, Any]:
    try:
        body = json.loads(message.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is not JSON") from error
    if not isinstance(body, dict):
        raise Unreadable("the body is no JSON object")
    return body
