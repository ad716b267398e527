"""Taking in what another gateway has for us in its RabbitMQ (kind `amqp-axis`).

Two inbox queues bring packages, a third one the answers to what we handed over. A package is
acked when it is recorded here and our receipt is confirmed by the other broker; if it was refused
here, the receipt says so and the other gateway tells its sender. A package above the inline limit
is fetched from `gateway_url`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aiohttp import ClientError

from adapters.amqp_link import Link
from adapters.amqp_partner import Consumer, Hold, Poison, Published, wire
from envelopes.findings import Sentence
from gateway import clock
from gateway.amqp_claims import Audience, Do, NotFetched, claim_address, get_package
from gateway.hand_in import Blocks, Bytes, received, record
from gateway.intake import Body, IntakeFault, NotReceived
from gateway.kinds import amqp_axis
from gateway.rest.body import not_received
from gateway.rest.packages import refusal
from gateway.services import Services
from routing.connection_options import options_of
from routing.receipts import Receipt, Receipts
from routing.route_table import Connection
from routing.submission import Refused, Submission

log = structlog.get_logger(__name__)

#: Seconds within which the broker confirms a receipt.
CONFIRM_SECONDS = 10.0
#: How long the address is good that we sign to fetch a package.
CLAIM_LIFE = timedelta(minutes=15)
#: Answers of the other gateway after which asking again is of no use: withdrawn, unknown.
_GONE = (404, 409, 410)


class Altered(Exception):
    """Other bytes came than were announced; tried a few times, then dead-lettered."""


class AxisIntake:
    """The intake of one connection of kind `amqp-axis`."""

    def __init__(self, services: Services, connection: Connection) -> None:
        self._services = services
        self._connection = connection
        self._options = options_of(connection, amqp_axis.AxisOptions)
        self._names = amqp_axis.names_of(self._options)
        self._receipts = Receipts(services.database, services.reports, services.on_time)

    async def run(self, stopping: asyncio.Event) -> None:
        """See `Intake`."""
        secret = await self._secret()
        address = amqp_axis.address_of(self._options, secret)
        link = Link(address, f"lienthong {self._connection.name} intake")
        link.start()
        names = self._names
        consumers = (
            Consumer(link, names.inbox_urgent, self._package),
            Consumer(link, names.inbox, self._package),
            Consumer(link, names.answers, self._answered),
        )
        # They end together; a new secret ends them too, and `Intakes` starts them anew.
        mine = asyncio.Event()
        tasks = {asyncio.ensure_future(one.run(mine)) for one in consumers}
        try:
            while not stopping.is_set() and await self._secret() == secret:
                done, _ = await asyncio.wait(
                    {*tasks, stop := asyncio.ensure_future(stopping.wait())},
                    timeout=2.0,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                stop.cancel()
                if done & tasks:
                    break
        finally:
            mine.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await link.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _secret(self) -> str:
        return (await self._services.secrets.valid(self._connection, amqp_axis.PURPOSE))[0]

    async def _package(self, message: AbstractIncomingMessage) -> None:
        """One package for an agency behind this gateway."""
        delivery_id, digest = message.message_id, wire.header(message, wire.SHA256)
        if message.type != wire.PACKAGE or not delivery_id or not digest:
            raise Poison("no package: type, message_id or digest is missing")
        if message.content_type != wire.CLAIM_CHECK:
            refused = await self._hand_in(message, Bytes(message.body), digest)
        else:
            refused = await self._fetch(message, delivery_id, digest)
        await self._receipt(delivery_id, digest, refused)
        outcome = "refused" if refused else "accepted"
        self._count(wire.PACKAGE, outcome)

    async def _fetch(
        self, message: AbstractIncomingMessage, delivery_id: str, digest: str
    ) -> Sentence | None:
        audience = Audience(self._options.user, Do.GET, delivery_id)
        secret = await self._secret()
        address = claim_address(
            self._options.gateway_url, audience, digest, secret, clock.now() + CLAIM_LIFE
        )
        try:
            async with get_package(address) as blocks:
                return await self._hand_in(message, Blocks(blocks), digest, fetched=True)
        except NotFetched as error:
            if error.status in _GONE:
                raise Poison(f"the package cannot be fetched: {error}") from None
            raise Hold(f"the package cannot be fetched now: {error}") from None
        except ClientError as error:
            raise Hold(f"the package cannot be fetched now: {error!r}") from None

    async def _hand_in(
        self, message: AbstractIncomingMessage, body: Body, digest: str, *, fetched: bool = False
    ) -> Sentence | None:
        """Record what came; why not, when it is refused for good. Raises `Hold` and `Altered`."""
        services = self._services
        correlation = message.correlation_id or clock.new_id()
        only_for = wire.header(message, wire.RECIPIENT)
        async with received(services, body) as result:
            if isinstance(result, NotReceived):
                if fetched and result.fault is IntakeFault.EMPTY:
                    # Something between us and the other gateway answered, not the package.
                    raise Altered("nothing came")
                if result.fault in (IntakeFault.TOO_LARGE, IntakeFault.EMPTY):
                    return not_received(result).sentence
                raise Hold(f"not received: {result.fault.value} {result.found}")
            spool, read = result
            if spool.claim.digest != digest:
                raise Altered(f"the digest is {spool.claim.digest} and not {digest}")
            submission = Submission(
                read, spool, self._connection, correlation, (only_for,) if only_for else ()
            )
            taken = await record(services, submission)
        return refusal(taken).sentence if isinstance(taken, Refused) else None

    async def _receipt(self, delivery_id: str, digest: str, refused: Sentence | None) -> None:
        """Tell the other gateway. Raises `Hold` when that is not confirmed."""
        message = wire.receipt_message(
            delivery_id, digest, self._options.user, f"receipt-{clock.new_id()}", refused
        )
        address = amqp_axis.address_of(self._options, await self._secret())
        publisher = await self._services.partner_links.publisher(self._connection.id, address)
        published = await publisher.publish(message, self._names.intake, "", CONFIRM_SECONDS)
        if published.outcome is not Published.CONFIRMED:
            raise Hold(f"our receipt is not confirmed: {published}")

    async def _answered(self, message: AbstractIncomingMessage) -> None:
        """What the other gateway made of a package, or of a receipt, of ours."""
        try:
            answer = wire.read_answer(message)
        except wire.Unreadable as unreadable:
            raise Poison(str(unreadable)) from None
        if answer.about.startswith("receipt-"):
            if answer.outcome == wire.REFUSED:
                log.warning("amqp.receipt-refused", about=answer.about, problem=answer.body)
            return
        self._count(wire.ANSWER, answer.outcome)
        refusing = None
        digest = str(answer.body.get("sha256", ""))
        if answer.outcome == wire.REFUSED:
            en, vi = (str(answer.body.get(key) or "") for key in ("detail", "detailVi"))
            refusing = Sentence((vi or en)[:1000], (en or vi)[:1000])
            # A problem names no digest; the answer is about what we sent under this id.
            digest = await self._receipts.digest_of(answer.about)
        elif answer.outcome != wire.ACCEPTED:
            return
        routes = await self._services.registry.routes()
        receipt = Receipt(answer.about, digest, refusing)
        effect = await self._receipts.record(receipt, self._connection, routes, clock.now())
        self._services.receipts.notify(answer.about)
        self._services.outbox.notify()
        log.info("delivery.answer", delivery=answer.about, effect=effect.value)

    def _count(self, message: str, outcome: str) -> None:
        known = outcome if outcome in (wire.ACCEPTED, wire.REFUSED, wire.RECORDED) else "other"
        self._services.metrics.amqp_messages.labels(self._connection.name, message, known).inc()
