"""Taking in what a partner of kind `amqp` publishes: packages, and receipts for what it was given.

The sender of a message is the user that RabbitMQ has verified (`user_id`); a message without it, or
with another's, proves nothing and is dead-lettered. Every other message gets one answer in the
partner's answers queue, and is acked only when the package is recorded and the answer confirmed.
What comes again after a crash gets the same answer again, because the same bytes do.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any

import structlog
from aio_pika.abc import AbstractIncomingMessage

from adapters.amqp_link import Link
from adapters.amqp_partner import Consumer, Hold, Poison, Published, wire
from envelopes.findings import Sentence
from gateway import clock
from gateway.hand_in import Bytes, hand_in
from gateway.intake import IntakeFault, NotReceived
from gateway.kinds import amqp
from gateway.rest import encode
from gateway.rest.body import not_received
from gateway.rest.packages import refusal
from gateway.rest.problems import Problem
from gateway.services import Services
from routing.connection_options import options_of
from routing.ports import Transaction
from routing.receipts import Receipt, ReceiptEffect, Receipts
from routing.records import Event
from routing.route_table import Connection
from routing.submission import Refused

log = structlog.get_logger(__name__)

KIB = 1024
#: Seconds within which the broker confirms an answer.
CONFIRM_SECONDS = 10.0
_DECENT = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: What PostgreSQL takes in no text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_CODE = 100

_RECEIPT_PROBLEMS = {
    ReceiptEffect.NOT_YOURS: (
        404,
        Sentence("Không có lượt gửi này cho kết nối của bạn.", "There is no such delivery."),
    ),
    ReceiptEffect.OTHER_CONTENT: (
        409,
        Sentence(
            "Mã băm SHA-256 trong xác nhận không phải của gói tin này.",
            "The SHA-256 in the receipt is not that of the package.",
        ),
    ),
    ReceiptEffect.IMPOSSIBLE: (
        409,
        Sentence(
            "Xác nhận trái với kết quả cuối cùng đã ghi nhận.",
            "The receipt contradicts what is final already.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: str
    body: dict[str, Any]


class PartnerIntake:
    """The intake of one connection of kind `amqp`."""

    def __init__(self, services: Services, connection: Connection) -> None:
        self._services = services
        self._connection = connection
        self._names = amqp.names_of(services.settings, connection)
        self._options = options_of(connection, amqp.AmqpOptions)
        self._receipts = Receipts(services.database, services.reports, services.on_time)

    async def run(self, stopping: asyncio.Event) -> None:
        """See `Intake`."""
        url = self._services.settings.broker_url
        link = Link(url, f"lienthong {self._connection.name} intake")
        link.start()
        try:
            await Consumer(link, self._names.intake, self._take, self._bury).run(stopping)
        finally:
            await link.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        if message.user_id != self._names.user:
            await self._not_proven(message)
        if not message.message_id or _UNSTORABLE.search(message.message_id):
            raise Poison("message_id is missing: no answer could name this message")
        self._keep_to_rate()
        given = message.correlation_id or ""
        correlation = given if _DECENT.fullmatch(given) else clock.new_id()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation):
            try:
                answer = await self._answer(message, correlation)
            except wire.Unreadable as unreadable:
                raise Poison(str(unreadable)) from None
            await self._tell(message.message_id, answer)
        self._count(message.type or "?", answer.outcome)

    async def _answer(self, message: AbstractIncomingMessage, correlation: str) -> _Answer:
        match message.type:
            case wire.PACKAGE:
                return await self._package(message, correlation)
            case wire.RECEIPT:
                return await self._receipt(wire.read_receipt(message), correlation)
        raise Poison(f"type is {message.type!r}; allowed: {wire.PACKAGE}, {wire.RECEIPT}")

    async def _package(self, message: AbstractIncomingMessage, correlation: str) -> _Answer:
        limit = self._options.inline_kib * KIB
        if message.body_size > limit:
            return _problem(_too_large(message.body_size, limit), correlation)
        only_for = _recipient_of(message)
        result = await hand_in(
            self._services, Bytes(message.body), self._connection, correlation, only_for
        )
        if isinstance(result, NotReceived):
            if result.fault is IntakeFault.DISK_FULL:
                raise Hold("no space left for packages")
            return _problem(not_received(result), correlation)
        if isinstance(result, Refused):
            return _problem(refusal(result), correlation)
        return _Answer(wire.ACCEPTED, encode.accepted(result))

    async def _receipt(self, told: wire.ReceiptMessage, correlation: str) -> _Answer:
        receipt = Receipt(told.delivery_id, told.digest, told.sentence if told.refused else None)
        return await self.record(receipt, correlation)

    async def record(self, receipt: Receipt, correlation: str) -> _Answer:
        """Record a receipt and wake the attempt that waits for it."""
        routes = await self._services.registry.routes()
        effect = await self._receipts.record(receipt, self._connection, routes, clock.now())
        self._services.receipts.notify(receipt.delivery_id)
        self._services.outbox.notify()
        log.info(
            "delivery.receipt",
            connection=self._connection.name,
            delivery=receipt.delivery_id,
            refused=receipt.refusal is not None,
            effect=effect.value,
        )
        if effect in _RECEIPT_PROBLEMS:
            status, sentence = _RECEIPT_PROBLEMS[effect]
            return _problem(Problem(status, effect.value, sentence), correlation)
        body = {"deliveryId": receipt.delivery_id, "repeated": effect is ReceiptEffect.REPEATED}
        return _Answer(wire.RECORDED, body)

    async def _tell(self, about: str, answer: _Answer) -> None:
        """Publish the answer; what is not confirmed holds the message. Raises `Hold`."""
        message = wire.answer_message(about, answer.outcome, answer.body, clock.new_id())
        services = self._services
        publisher = await services.partner_links.publisher("broker", services.settings.broker_url)
        published = await publisher.publish(message, "", self._names.answers, CONFIRM_SECONDS)
        if published.outcome is not Published.CONFIRMED:
            raise Hold(f"the answer is not in the partner's queue: {published}")

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> bool:
        self._count(message.type or "?", "dead-lettered")
        services = self._services
        await self._event("connection.message-dead-lettered", message, reason)
        publisher = await services.partner_links.publisher("broker", services.settings.broker_url)
        copy = wire.dead_letter(message, reason)
        published = await publisher.publish(copy, "", self._names.dead, CONFIRM_SECONDS)
        return published.outcome is Published.CONFIRMED

    async def _not_proven(self, message: AbstractIncomingMessage) -> None:
        """Refuse a message whose sender RabbitMQ did not verify. Raises `Poison`."""
        reason = (
            f"user_id is {message.user_id!r} and not {self._names.user!r}"
            if message.user_id
            else f"user_id is missing; set it to {self._names.user!r}, RabbitMQ verifies it"
        )
        await self._event("security.sender-not-proven", message, reason)
        raise Poison(reason)

    async def _event(self, kind: str, message: AbstractIncomingMessage, reason: str) -> None:
        event = Event(
            type=kind,
            at=clock.now(),
            actor=f"connection:{self._connection.name}",
            data={
                "connection": self._connection.name,
                "messageId": _UNSTORABLE.sub("?", message.message_id or "")[:_LONGEST_CODE],
                "reason": _UNSTORABLE.sub("?", reason),
            },
        )

        async def write(tx: Transaction) -> None:
            await tx.append([event])

        await self._services.database.write(write)

    def _keep_to_rate(self) -> None:
        """Not more messages a minute than allowed; the rest wait in the queue. Raises `Hold`.

        Networks are the broker's to check: it alone sees the partner's address.
        """
        anywhere = {
            key: value
            for key, value in self._connection.settings.items()
            if key != "allowed_networks"
        }
        connection = replace(self._connection, settings=anywhere)
        turned_away = self._services.admission.admit(connection, None)
        if turned_away is not None:
            raise Hold(turned_away.why.value)

    def _count(self, message: str, outcome: str) -> None:
        kind = message if message in (wire.PACKAGE, wire.RECEIPT) else "other"
        self._services.metrics.amqp_messages.labels(self._connection.name, kind, outcome).inc()


def _recipient_of(message: AbstractIncomingMessage) -> tuple[str, ...]:
    """The one recipient that a gateway names beside the package."""
    code = wire.header(message, wire.RECIPIENT)
    if len(code) > _LONGEST_CODE or _UNSTORABLE.search(code):
        raise Poison(f"header {wire.RECIPIENT} is no agency code")
    return (code,) if code else ()


def _problem(problem: Problem, correlation: str) -> _Answer:
    return _Answer(wire.REFUSED, problem.body(correlation))


def _too_large(found: int, allowed: int) -> Problem:
    return Problem(
        413,
        "too-large-for-message",
        Sentence(
            vi=f"Gói tin {found} byte lớn hơn giới hạn {allowed} byte của một thông điệp; hãy gửi "
            "bằng PUT /v1/claims/… (xem docs/connect-amqp.md).",
            en=f"The package has {found} bytes, a message may have {allowed}; hand it in by "
            "PUT /v1/claims/… (docs/connect-amqp.md).",
        ),
        found=f"{found} bytes",
        allowed=f"{allowed} bytes",
        setting="inline_kib",
    )
