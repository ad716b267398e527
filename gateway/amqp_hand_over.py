"""Handing packages over through RabbitMQ: into a partner's queue, or into another gateway's.

Who consumes answers and receipts may be another process than the one that makes the attempt. So
what the partner says is recorded in the database by whoever hears it (`routing.receipts`), and the
attempt waits for the delivery to change. A receipt that comes after its attempt is recorded in the
same way: there is only one way.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import structlog
from aiohttp import ClientError

from adapters.amqp_partner import Publication, Published, wire
from envelopes.findings import Sentence
from gateway import clock
from gateway.amqp_claims import Audience, Do, Handed, claim_address, put_package
from gateway.kinds import amqp, amqp_axis
from gateway.services import Services
from routing.connection_options import options_of
from routing.deliver import AttemptOutcome, AttemptResult
from routing.lanes import Lane
from routing.ports import PayloadMissing
from routing.records import Delivery, PackageRecord
from routing.route_table import Connection
from routing.states import TransportState

log = structlog.get_logger(__name__)

KIB = 1024
#: Seconds within which the broker confirms; less where an attempt may not take that long.
PUBLISH_SECONDS = 10.0
#: Seconds between two looks at what other processes heard.
LOOK = 1.0
#: The share of an attempt's time after which it says itself that nothing was heard.
PATIENCE = 0.9

_MISSING = AttemptResult(AttemptOutcome.TRY_LATER, "the payload is missing in the store")


class QueuePartner:
    """Kind `amqp`: publishes into the partner's queue."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Deliveries that an earlier attempt may have left in the queue, which is not empty.
        self._may_wait: set[str] = set()

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`."""
        services, settings = self._services, self._services.settings
        options = options_of(connection, amqp.AmqpOptions)
        end = time.monotonic() + options.timeout_seconds * PATIENCE
        by_receipt = options.delivered_by is amqp.DeliveredBy.RECEIPT
        queue = self._queue(connection, delivery)
        publisher = await services.partner_links.publisher("broker", settings.broker_url)
        if delivery.id in self._may_wait:
            # A copy more would not help a partner that is away or slow: wait for its receipt.
            self._may_wait.discard(delivery.id)
            told = await Heard(services, delivery.id).wait(end)
            detail = f"messages wait in {queue}, not published again"
            return told or AttemptResult(AttemptOutcome.UNKNOWN, detail, _NOT_READ_YET)
        body = await self._body(connection, delivery, package, options)
        if body is None:
            return _MISSING
        user = amqp.own_user(settings)
        message = wire.package_message(delivery, package, body, user, clock.now())
        heard = Heard(services, delivery.id)
        seconds = min(PUBLISH_SECONDS, options.timeout_seconds / 2)
        published = await publisher.publish(message, "", queue, seconds)
        services.metrics.amqp_messages.labels(
            connection.name, wire.PACKAGE, published.outcome.value
        ).inc()
        if published.outcome is not Published.CONFIRMED:
            heard.close()
            return not_confirmed(published)
        if not by_receipt:
            heard.close()
            return AttemptResult(AttemptOutcome.DELIVERED, f"confirmed in {queue}")
        told = await heard.wait(end)
        return told or AttemptResult(
            AttemptOutcome.UNKNOWN, f"confirmed in {queue}, no receipt yet", _NO_RECEIPT
        )

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`: the queue cannot be asked for one message, only whether it
        is empty. If so, the package is published again; the partner knows its id and dedupes."""
        options = options_of(connection, amqp.AmqpOptions)
        self._may_wait.discard(delivery.id)
        if options.delivered_by is amqp.DeliveredBy.RECEIPT:
            url = self._services.settings.broker_url
            publisher = await self._services.partner_links.publisher("broker", url)
            state = await publisher.state_of(self._queue(connection, delivery))
            if state is not None and state.messages:
                self._may_wait.add(delivery.id)
        return AttemptResult(AttemptOutcome.UNKNOWN, "the broker cannot say")

    def _queue(self, connection: Connection, delivery: Delivery) -> str:
        names = amqp.names_of(self._services.settings, connection)
        return names.inbox_urgent if delivery.lane is Lane.URGENT else names.inbox

    async def _body(
        self,
        connection: Connection,
        delivery: Delivery,
        package: PackageRecord,
        options: amqp.AmqpOptions,
    ) -> bytes | wire.PlaceOfPackage | None:
        """The package itself, or where it can be fetched; None when its bytes are missing."""
        services = self._services
        if package.size <= options.inline_kib * KIB:
            try:
                blocks = [block async for block in services.payloads.open(package.digest)]
            except PayloadMissing:
                return None
            return b"".join(blocks)
        secrets = await services.secrets.valid(connection, amqp.PURPOSE)
        until = clock.now() + timedelta(minutes=options.claim_minutes)
        audience = Audience(amqp.user_of(connection), Do.GET, delivery.id)
        base = services.settings.own_url
        address = claim_address(base, audience, package.digest, secrets[0], until)
        return wire.PlaceOfPackage(address, until)


class AxisPartner:
    """Kind `amqp-axis`: publishes to another gateway; what is large goes to it by HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def deliver(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`."""
        services = self._services
        options = options_of(connection, amqp_axis.AxisOptions)
        end = time.monotonic() + options.timeout_seconds * PATIENCE
        secrets = await services.secrets.valid(connection, amqp_axis.PURPOSE)
        if package.size > options.inline_kib * KIB:
            return await self._by_http(connection, delivery, package, options, secrets[0])
        publisher = await services.partner_links.publisher(
            connection.id, amqp_axis.address_of(options, secrets[0])
        )
        try:
            blocks = [block async for block in services.payloads.open(package.digest)]
        except PayloadMissing:
            return _MISSING
        message = wire.package_message(
            delivery, package, b"".join(blocks), options.user, clock.now()
        )
        heard = Heard(services, delivery.id)
        seconds = min(PUBLISH_SECONDS, options.timeout_seconds / 2)
        intake = amqp_axis.names_of(options).intake
        published = await publisher.publish(message, intake, "", seconds)
        services.metrics.amqp_messages.labels(
            connection.name, wire.PACKAGE, published.outcome.value
        ).inc()
        if published.outcome is not Published.CONFIRMED:
            heard.close()
            return not_confirmed(published)
        told = await heard.wait(end)
        return told or AttemptResult(
            AttemptOutcome.UNKNOWN, f"confirmed in {intake}, no answer yet", _NO_RECEIPT
        )

    async def ask(
        self, connection: Connection, delivery: Delivery, package: PackageRecord
    ) -> AttemptResult:
        """See `routing.deliver.Partner`; the same bytes get the first answer again."""
        return AttemptResult(AttemptOutcome.UNKNOWN, "handed in again under the same id")

    async def _by_http(
        self,
        connection: Connection,
        delivery: Delivery,
        package: PackageRecord,
        options: amqp_axis.AxisOptions,
        secret: str,
    ) -> AttemptResult:
        blocks = self._services.payloads.open(package.digest)
        until = clock.now() + timedelta(seconds=options.timeout_seconds + 60)
        audience = Audience(options.user, Do.PUT, delivery.recipient_organ_id)
        address = claim_address(options.gateway_url, audience, package.digest, secret, until)
        try:
            handed = await put_package(address, blocks, package.size)
        except PayloadMissing:
            return _MISSING
        except (ClientError, OSError) as error:
            told = str(error) or type(error).__name__
            return AttemptResult(AttemptOutcome.UNKNOWN, f"the upload broke off: {told}")
        self._services.metrics.amqp_messages.labels(
            connection.name, "upload", str(handed.status)
        ).inc()
        return _judged(handed)


class Heard:
    """Waits until a delivery is no longer under way, whoever changed it."""

    def __init__(self, services: Services, delivery_id: str) -> None:
        """Listens from now on, so that nothing that comes before `wait` is missed."""
        self._services = services
        self._id = delivery_id
        self._ear = asyncio.ensure_future(services.receipts.wait(LOOK, delivery_id))

    def close(self) -> None:
        """Listen no more."""
        self._ear.cancel()

    async def wait(self, end: float) -> AttemptResult | None:
        """What the partner said; None when nothing was heard until `end` (monotonic)."""
        try:
            while True:
                told = await self._look()
                over = time.monotonic() >= end or self._services.stopping.is_set()
                if told is not None or over:
                    return told
                await asyncio.wait({self._ear}, timeout=max(end - time.monotonic(), 0))
                self._ear.cancel()
                self._ear = asyncio.ensure_future(self._services.receipts.wait(LOOK, self._id))
        finally:
            self.close()

    async def _look(self) -> AttemptResult | None:
        row = await self._services.database.read(lambda tx: tx.get_delivery(self._id))
        match row.state if row else None:
            case TransportState.DELIVERING:
                return None
            case TransportState.DELIVERED:
                return AttemptResult(AttemptOutcome.DELIVERED, "the partner said so")
            case TransportState.RETURNED:
                sentence = row.reason.sentence if row and row.reason else Sentence("", "")
                return AttemptResult(AttemptOutcome.REFUSED, sentence.en, sentence)
        return AttemptResult(AttemptOutcome.UNKNOWN, f"it is {row.state if row else 'gone'} now")


def not_confirmed(published: Publication) -> AttemptResult:
    """The outcome of an attempt whose message the broker did not confirm."""
    match published.outcome:
        case Published.UNKNOWN:
            return AttemptResult(AttemptOutcome.UNKNOWN, published.detail, _BROKER_SILENT)
        case Published.RETURNED:
            sentence = _QUEUE_MISSING
        case Published.REJECTED:
            sentence = _QUEUE_FULL
        case _:
            sentence = _BROKER_AWAY
    detail = f"{published.outcome.value}: {published.detail or 'by the broker'}"
    return AttemptResult(AttemptOutcome.TRY_LATER, detail, sentence)


def _judged(handed: Handed) -> AttemptResult:
    """What the other gateway answered to an upload."""
    detail = f"HTTP {handed.status}: {handed.sentence.en[:300]}"
    if handed.status in (200, 202):
        return AttemptResult(AttemptOutcome.DELIVERED, f"HTTP {handed.status}")
    if handed.refuses:
        return AttemptResult(AttemptOutcome.REFUSED, detail, handed.sentence)
    # Everything else says that nothing was taken: too busy, disk full, address not good, a bug.
    outcome = AttemptOutcome.UNKNOWN if handed.status == 500 else AttemptOutcome.TRY_LATER
    return AttemptResult(outcome, detail, handed.sentence)


_NO_RECEIPT = Sentence(
    vi="Gói tin đã vào hàng đợi của bên nhận, bên nhận chưa xác nhận.",
    en="The package is in the partner's queue; the partner has not confirmed it yet.",
)
_NOT_READ_YET = Sentence(
    vi="Gói tin nằm trong hàng đợi của bên nhận; phần mềm của bên nhận chưa đọc tới.",
    en="The package waits in the partner's queue; its software has not read it yet.",
)
_BROKER_SILENT = Sentence(
    vi="RabbitMQ không xác nhận kịp: chưa rõ gói tin đã vào hàng đợi hay chưa.",
    en="RabbitMQ did not confirm in time: the package may be in the queue or not.",
)
_QUEUE_MISSING = Sentence(
    vi="Hàng đợi của bên nhận không tồn tại; người vận hành chạy: lienthong connections set TÊN.",
    en="The partner's queue does not exist; an operator runs: lienthong connections set NAME.",
)
_QUEUE_FULL = Sentence(
    vi="RabbitMQ chưa nhận thêm vào hàng đợi của bên nhận (đầy hoặc chưa sẵn sàng).",
    en="RabbitMQ takes no more into the partner's queue just now (full, or not ready).",
)
_BROKER_AWAY = Sentence(
    vi="Không kết nối được RabbitMQ của bên nhận.",
    en="The partner's RabbitMQ cannot be reached.",
)
