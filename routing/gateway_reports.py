"""Status packages that the gateway itself issues: it tells senders what no recipient can.

A recipient that cannot be reached gets no silence but a status 02 from the gateway, in the
gateway's own name (rule ID-RECIPIENT: KT 8.2, KT 10.1b, SL 8.3; OPS-RETURN). Reports about reports
are never made, so two gateways cannot keep each other busy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from envelopes.compose import compose_bytes
from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, Party, ResponseFor, StaffInfo, StatusCode, StatusReport
from routing.accepted_facts import ACCEPTED, accepted_facts
from routing.lanes import FairClock
from routing.ports import PayloadStore, Transaction
from routing.records import STATUS, Delivery, Event, PackageRecord, Reason
from routing.route_table import RouteTable
from routing.states import TransportState

NewId = Callable[[], str]

#: Copies of one package without a way of which the sender is told in a status 02 each.
TOLD_ONE_BY_ONE = 32
#: Agency codes that the one status 02 for more of them names.
NAMED = 100


@dataclass(frozen=True, slots=True)
class GatewayIdentity:
    """In whose name the gateway speaks."""

    organ_id: str = "LIENTHONG"
    name: str = "Trục liên thông văn bản (lienthong)"


@dataclass(frozen=True, slots=True)
class Issued:
    """A package made by the gateway, stored, ready for the record step."""

    package: PackageRecord
    delivery: Delivery
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class About:
    """The document that a report speaks of, in the words of the wire."""

    sender: str
    sender_organ_id: str
    document_pk: str | None
    document_id: str
    code: str
    promulgation_date: date | None

    @classmethod
    def of(cls, package: PackageRecord) -> About:
        """From the record of a document package."""
        number, notation = package.summary.get("codeNumber"), package.summary.get("codeNotation")
        written = package.summary.get("promulgationDate")
        return cls(
            sender=package.sender,
            sender_organ_id=package.sender_organ_id,
            document_pk=package.document_pk,
            document_id=package.document_id,
            code=f"{number}/{notation}" if number and notation else (number or notation or ""),
            promulgation_date=date.fromisoformat(written) if written else None,
        )


def compose_report(
    sender: Party,
    about: About,
    code: StatusCode,
    description: str,
    now: datetime,
    staff: StaffInfo | None = None,
) -> bytes:
    """A status package about a document, in canonical bytes."""
    report = StatusReport(
        sender=sender,
        response_for=ResponseFor(
            organ_id=about.sender_organ_id,
            code=about.code,
            document_id=about.document_id,
            promulgation_date=about.promulgation_date,
        ),
        status_code=code.value,
        description=description,
        timestamp=now.astimezone(VIETNAM_TIME).replace(microsecond=0),
        staff=staff,
    )
    return compose_bytes(report, {})


class GatewayReports:
    """Issues status packages in the gateway's name."""

    def __init__(
        self,
        payloads: PayloadStore,
        identity: GatewayIdentity,
        new_id: NewId,
        fair_clock: FairClock,
        sign: Callable[[bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        """`sign` puts the gateway's signature on what it says in its own name."""
        self._sign = sign
        self._payloads = payloads
        self._identity = identity
        self._new_id = new_id
        self._fair_clock = fair_clock

    async def refusals(
        self, about: About, deliveries: Sequence[Delivery], routes: RouteTable, now: datetime
    ) -> list[Issued]:
        """Tell the sender of each copy that has no way: a status 02 each, or one for very many.

        One package addressed to thousands of codes that nobody has would else make thousands of
        packages of the gateway's own, each kept for good and delivered. Refusing such a package
        would punish the recipients that do exist (a circular to 13 000 of which a hundred have
        been dissolved), so above `TOLD_ONE_BY_ONE` copies a single 02 names the codes; each copy
        still has its outcome and its reason, which the sender's answer and listings show.
        """
        # A copy that is held has a reason as well, and goes on later.
        unreached = [
            (row, row.reason)
            for row in deliveries
            if row.state is TransportState.RETURNED and row.reason is not None
        ]
        if len(unreached) > TOLD_ONE_BY_ONE:
            first = unreached[0][0]
            sentence = _very_many([row.recipient_organ_id for row, _ in unreached])
            code = StatusCode.REFUSED
            issued = [await self.answer(code, about, "", sentence, routes, first, now)]
        else:
            issued = [
                await self.refusal(about, row.recipient_organ_id, reason, routes, row, now)
                for row, reason in unreached
            ]
        return [one for one in issued if one is not None]

    async def refusal(
        self,
        about: About,
        recipient: str,
        reason: Reason,
        routes: RouteTable,
        like: Delivery,
        now: datetime,
    ) -> Issued | None:
        """Status 02 to the sender of `about`: its copy for `recipient` goes no further."""
        code = StatusCode.REFUSED
        return await self.answer(code, about, recipient, reason.sentence, routes, like, now)

    async def answer(
        self,
        code: StatusCode,
        about: About,
        recipient: str,
        sentence: Sentence,
        routes: RouteTable,
        like: Delivery,
        now: datetime,
    ) -> Issued | None:
        """A status of the gateway's own to the sender of `about`, on its copy for `recipient`.

        None when the sender itself has no connection (it can still read the outcome).
        `like` lends its lane and correlation id.
        """
        party = Party(self._identity.organ_id, self._identity.name)
        both = sentence.vi if sentence.vi == sentence.en else f"{sentence.vi} / {sentence.en}"
        description = f"[{recipient}] {both}" if recipient else both
        content = compose_report(party, about, code, description, now)
        if self._sign is not None:
            content = await self._sign(content)
        return await self._issue(
            _Words(code, self._identity.organ_id, party, description, recipient),
            about,
            about.sender_organ_id,
            content,
            routes,
            like,
            now,
        )

    async def take_back(
        self,
        about: About,
        sender: Party,
        copy: Delivery,
        reason: str,
        routes: RouteTable,
        now: datetime,
    ) -> Issued | None:
        """Status 13 to the receiver of a copy: its sender's package took it off the receivers.

        In the sender's name, because it is the sender's own package that says so; the event log
        names that package. None when the receiver has no connection any more.
        """
        code = StatusCode.TAKE_BACK
        to_receiver = replace(about, sender_organ_id=copy.recipient_organ_id)
        content = compose_report(sender, to_receiver, code, reason, now)
        return await self._issue(
            _Words(code, about.sender, sender, reason, copy.recipient_organ_id),
            to_receiver,
            copy.recipient_organ_id,
            content,
            routes,
            copy,
            now,
        )

    async def _issue(
        self,
        words: _Words,
        about: About,
        towards: str,
        content: bytes,
        routes: RouteTable,
        like: Delivery,
        now: datetime,
    ) -> Issued | None:
        """Store the bytes; the package and its delivery to the agency `towards`."""
        route = routes.route(towards, now.astimezone(VIETNAM_TIME).date())
        if route.connection is None:
            return None
        claim = await self._payloads.put(content)
        package = PackageRecord(
            id=self._new_id(),
            kind=STATUS,
            sender=words.sender_key,
            sender_organ_id=words.party.organ_id,
            sender_name=words.party.organ_name,
            connection_id=None,
            document_pk=about.document_pk,
            document_id=about.document_id,
            meaning=words.code.value,
            version=1,
            digest=claim.digest,
            size=claim.size,
            lane=like.lane,
            correlation_id=like.correlation_id,
            received_at=now,
            summary={
                "statusCode": words.code.value,
                "description": words.description,
                "code": about.code,
                "responseFor": towards,
                "about": words.about,
                "reportedAt": now.isoformat(),
            },
        )
        delivery = Delivery(
            id=self._new_id(),
            package_id=package.id,
            document_pk=about.document_pk,
            recipient=route.organ_key,
            recipient_organ_id=towards,
            recipient_name=routes.name_of(route.organ_key),
            connection_id=route.connection.id,
            lane=like.lane,
            state=TransportState.ACCEPTED,
            fair_key=self._fair_clock.keys(package.sender, like.lane, 1, now)[0],
            created_at=now,
            updated_at=now,
            correlation_id=like.correlation_id,
            ring_at=now,
        )
        return Issued(package, delivery, accepted_events(package, [delivery], "gateway:accept"))


def _very_many(codes: Sequence[str]) -> Sentence:
    """No way to all of these: how many, and the first of them by code."""
    named = ", ".join(codes[:NAMED])
    more = len(codes) - NAMED
    return Sentence(
        vi=f"Không có đường chuyển tới {len(codes)} cơ quan nhận: {named}"
        + (f" và {more} cơ quan khác." if more > 0 else "."),
        en=f"There is no way to {len(codes)} recipients: {named}"
        + (f" and {more} more." if more > 0 else "."),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """What an issued status says, and in whose name."""

    code: StatusCode
    sender_key: str
    party: Party
    description: str
    about: str


def accepted_events(
    package: PackageRecord, deliveries: list[Delivery], actor: str
) -> tuple[Event, ...]:
    """The log's first lines about a package: accepted, and each recipient's start."""
    first = Event(
        type=ACCEPTED,
        at=package.received_at,
        actor=actor,
        document_pk=package.document_pk,
        package_id=package.id,
        correlation_id=package.correlation_id,
        data=accepted_facts(package, deliveries),
    )
    rest = (
        Event(
            type=f"delivery.{delivery.state}",
            at=package.received_at,
            actor=actor,
            document_pk=delivery.document_pk,
            package_id=package.id,
            delivery_id=delivery.id,
            to_state=delivery.state.value,
            correlation_id=package.correlation_id,
            data={
                "recipient": delivery.recipient,
                "organId": delivery.recipient_organ_id,
                **({"reason": delivery.reason.as_dict()} if delivery.reason else {}),
            },
        )
        for delivery in deliveries
    )
    return (first, *rest)


async def record_issued(
    tx: Transaction, issued: Iterable[Issued], document_pk: str | None
) -> list[Issued]:
    """Record packages of the gateway about one document; those that were recorded.

    The same words about the same recipient in the same second are the same bytes, hence one
    package: its receiver is not told twice.
    """
    recorded = []
    for report in issued:
        package = replace(report.package, document_pk=document_pk)
        if await tx.find_package(package.sender, package.digest) is not None:
            continue
        delivery = replace(report.delivery, document_pk=document_pk)
        events = [replace(event, document_pk=document_pk) for event in report.events]
        await tx.insert_package(package)
        recorded.append(Issued(package, delivery, tuple(events)))
    await tx.insert_deliveries([report.delivery for report in recorded])
    await tx.append([event for report in recorded for event in report.events])
    return recorded
