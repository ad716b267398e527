"""The record step of recalls, updates, replacements and replies: `routing.lifecycle` on the tables.

The gateway answers some requests itself, and its answers are packages whose bytes must be durable
before the transaction commits. Which answers are needed is known only under the locks. So the
record step first runs without them: it says what it misses and stores nothing, the packages are
made, and it runs again. Most packages need none and run once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from envelopes.findings import Finding
from envelopes.model import BusinessDocType, Document, Party
from envelopes.rule_catalogue import make
from identifiers.document_id import DocumentId
from routing.change_requests import ChangeRequest
from routing.gateway_reports import About, GatewayReports, Issued, NewId, record_issued
from routing.lifecycle import (
    GONE_STATES,
    Context,
    GatewayAnswer,
    Plan,
    TakeBack,
    ask_by,
    gone,
    plan_recall,
    plan_replacement,
    plan_update,
)
from routing.ports import Transaction
from routing.records import (
    DOCUMENT,
    REPLACES,
    REPLIES_TO,
    Delivery,
    Link,
    PackageRecord,
    is_unsure,
)
from routing.route_table import RouteTable
from routing.states import TransportState

#: Codes of ReceiverType that take a receiver off the list (edXML section 3); the rest adds.
REMOVES = "1"

#: The agency may have such a copy already.
UNDER_WAY = (TransportState.DELIVERING, TransportState.UNKNOWN, TransportState.DEAD)

Key = tuple[str | None, str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """The record step needs these packages of the gateway first; nothing was stored."""

    answers: tuple[GatewayAnswer, ...]
    take_backs: tuple[TakeBack, ...]
    abouts: Mapping[str, About]


@dataclass(slots=True)
class Prepared:
    """Packages of the gateway whose bytes are stored, by what they say."""

    issued: dict[Key, Issued | None] = field(default_factory=dict)

    def missing(self, plan: Plan) -> Missing | None:
        """What the plan needs and is not here."""
        answers = tuple(one for one in plan.answers if answer_key(one) not in self.issued)
        take_backs = tuple(one for one in plan.take_backs if take_back_key(one) not in self.issued)
        return Missing(answers, take_backs, plan.abouts) if answers or take_backs else None


def answer_key(answer: GatewayAnswer) -> Key:
    """Names one answer of the gateway."""
    return answer.document_pk, answer.recipient, f"{answer.code}:{answer.sentence.en}"


def take_back_key(take_back: TakeBack) -> Key:
    """Names one status 13 of the gateway."""
    return take_back.copy.document_pk, take_back.copy.id, "13"


class ChangeStep:
    """Plans and stores what a package means for earlier copies."""

    def __init__(self, reports: GatewayReports, new_id: NewId) -> None:
        self._reports = reports
        self._new_id = new_id

    def context(self, package: PackageRecord, actor: str, reason: str, now: datetime) -> Context:
        """What every step of a plan of this package needs."""
        return Context(actor, now, reason, package.id, self._new_id)

    async def plan(
        self,
        tx: Transaction,
        package: PackageRecord,
        drafts: list[Delivery],
        document: Document,
        routes: RouteTable,
        context: Context,
    ) -> Plan:
        """What a document package asks of the copies before it; reads and locks, stores nothing."""
        kind = document.business.doc_type
        if kind is BusinessDocType.NEW or package.document_pk is None:
            return Plan(deliveries=drafts)
        if kind is BusinessDocType.REPLACEMENT:
            return await self._plan_replacement(tx, package, drafts, document, routes, context)
        copies = await copies_of(tx, package.document_pk)
        pending = await pending_of(tx, package.document_pk)
        if kind is BusinessDocType.REVOCATION:
            return plan_recall(copies, pending, drafts, context)
        removed = receivers(document, removed=True)
        keys = frozenset(routes.key_of_text(code) for code in removed)
        return plan_update(copies, pending, drafts, keys, context)

    async def _plan_replacement(
        self,
        tx: Transaction,
        package: PackageRecord,
        drafts: list[Delivery],
        document: Document,
        routes: RouteTable,
        context: Context,
    ) -> Plan:
        replaced, pending, abouts = [], [], {}
        for info in document.business.replacements:
            known = await tx.find_document(package.sender, info.document_id)
            if known is None or known.pk == package.document_pk:
                continue
            holders = frozenset(routes.key_of_text(code) for code in info.organ_ids)
            packages = await tx.packages_of_document(known.pk, kind=DOCUMENT)
            rows = await tx.deliveries_of_document(known.pk, kind=DOCUMENT, lock=True)
            replaced.append((contents_among(rows, packages), holders))
            pending += await pending_of(tx, known.pk)
            if packages:
                abouts[known.pk] = About.of(packages[-1])
        plan = plan_replacement(replaced, pending, drafts, context)
        plan.abouts.update(abouts)
        return plan

    async def store(
        self,
        tx: Transaction,
        plan: Plan,
        package: PackageRecord,
        prepared: Prepared,
        context: Context,
    ) -> None:
        """Store a plan whose packages are all prepared."""
        for take_back in plan.take_backs:
            issued = prepared.issued[take_back_key(take_back)]
            if issued is not None:
                pending = await pending_of(tx, take_back.copy.document_pk or "")
                carrier_id = await _carrier(tx, issued, take_back.copy.document_pk)
                ask_by(plan, take_back, pending, carrier_id, context)
        await tx.apply(plan.changes)
        await tx.requests.settle(plan.superseded)
        await tx.requests.add(plan.requests)
        for answer in plan.answers:
            told = prepared.issued[answer_key(answer)]
            if told is not None:
                await record_issued(tx, [told], answer.document_pk or package.document_pk)

    async def link(
        self, tx: Transaction, package: PackageRecord, document: Document, routes: RouteTable
    ) -> list[Link]:
        """Tie the document to those it answers and replaces, as far as they are known here."""
        if package.document_pk is None:
            return []
        links = []
        for response in document.response_for:
            owner = routes.key_of_text(response.organ_id)
            known = await tx.find_document(owner, response.document_id)
            if known is not None and known.pk != package.document_pk:
                links.append(Link(package.document_pk, known.pk, REPLIES_TO, package.id))
        for info in document.business.replacements:
            known = await tx.find_document(package.sender, info.document_id)
            if known is not None and known.pk != package.document_pk:
                links.append(Link(package.document_pk, known.pk, REPLACES, package.id))
        for link in links:
            await tx.requests.link(link, package.received_at)
        return links

    async def prepare(
        self,
        missing: Missing,
        prepared: Prepared,
        about: About,
        sender: Party,
        like: Delivery,
        routes: RouteTable,
        context: Context,
    ) -> None:
        """Make the packages that the record step misses."""
        for answer in missing.answers:
            prepared.issued[answer_key(answer)] = await self._reports.answer(
                answer.code,
                missing.abouts.get(answer.document_pk or "", about),
                answer.recipient_organ_id,
                answer.sentence,
                routes,
                like,
                context.now,
            )
        for take_back in missing.take_backs:
            prepared.issued[take_back_key(take_back)] = await self._reports.take_back(
                missing.abouts.get(take_back.copy.document_pk or "", about),
                sender,
                take_back.copy,
                context.reason,
                routes,
                context.now,
            )


async def copies_of(
    tx: Transaction, document_pk: str, recipient: str = "", *, lock: bool = True
) -> list[Delivery]:
    """The copies of a document's contents (not its revocations), by version."""
    packages = await tx.packages_of_document(document_pk, kind=DOCUMENT)
    rows = await tx.deliveries_of_document(document_pk, recipient, kind=DOCUMENT, lock=lock)
    return contents_among(rows, packages)


def contents_among(rows: Sequence[Delivery], packages: Sequence[PackageRecord]) -> list[Delivery]:
    """Those of a document's deliveries that bring its content, and no revocation or report."""
    contents = {one.id for one in packages if is_content(one)}
    return [row for row in rows if row.package_id in contents]


def is_content(package: PackageRecord) -> bool:
    """Whether a package brings a document, in whatever version."""
    return package.kind == DOCUMENT and package.meaning != BusinessDocType.REVOCATION


async def spoken_of(tx: Transaction, rows: list[Delivery]) -> Delivery:
    """Which of its deliveries of a document an agency's report is about.

    A copy, if there is one, no revocation; the newest that the agency surely has, else the
    likeliest.
    """
    if len(rows) == 1:
        return rows[0]

    def likely(row: Delivery) -> tuple[bool, bool, bool, int]:
        has = row.state is TransportState.DELIVERED
        seen = row.fetched_at is not None or row.state in UNDER_WAY or is_unsure(row)
        return has, seen, not gone(row), row.version

    packages = await tx.packages_of_document(rows[0].document_pk or "", kind=DOCUMENT)
    return max(contents_among(rows, packages) or rows, key=likely)


async def pending_of(tx: Transaction, document_pk: str) -> list[ChangeRequest]:
    """A document's open requests; those whose carrier goes nowhere any more have none.

    An operator may have returned the carrier, or a later version took its place: the receiver never
    heard of the request and may be asked again.
    """
    pending = await tx.requests.pending_of_document(document_pk)
    carriers = [one.carrier_id for one in pending if one.carrier_id is not None]
    rows = await tx.get_deliveries(carriers) if carriers else []
    lost = {row.id for row in rows if row.state in GONE_STATES}
    return [replace(one, carrier_id=None) if one.carrier_id in lost else one for one in pending]


async def _carrier(tx: Transaction, issued: Issued, document_pk: str | None) -> str:
    """Record a status 13 of the gateway; the delivery that brings it.

    The same words in the same second are the same package, which has its delivery already.
    """
    if await record_issued(tx, [issued], document_pk):
        return issued.delivery.id
    first = await tx.find_package(issued.package.sender, issued.package.digest)
    if first is None:
        raise AssertionError(f"package {issued.package.id} was neither known nor recorded")
    return (await tx.deliveries_of_package(first.id))[0].id


def receivers(document: Document, *, removed: bool) -> tuple[str, ...]:
    """The codes of an update's receiver list that it takes off, or adds."""
    info = document.business.document_info
    if document.business.doc_type is not BusinessDocType.UPDATE or info is None:
        return ()
    return tuple(
        one.organ_id for one in info.receivers if (one.receiver_type == REMOVES) is removed
    )


async def owner_finding(
    tx: Transaction, document_id: str, sender: str, organ_id: str, routes: RouteTable
) -> Finding | None:
    """Whether a document that `sender` wants to change is somebody else's (lifecycle, "Recall").

    A document that this gateway never carried may have gone another way: such a request is passed
    on. But where others have a document of this DocumentId, it is the sender's only when the
    DocumentId names the sender, or when its own is the oldest: taking another's DocumentId for a
    document of one's own gives no right over the other's. Whose it is, is not told.
    """
    known = await tx.documents_called(document_id)
    others = [one for one in known if one.sender != sender]
    if not others or names_sender(document_id, sender, routes) or known[0].sender == sender:
        return None
    return make(
        "RECALL-OWNER",
        element=document_id,
        found=organ_id,
        allowed="From = the sender of the document",
    )


def names_sender(document_id: str, sender: str, routes: RouteTable) -> bool:
    """Whether a DocumentId of three parts begins with the code of this sender."""
    parsed = DocumentId.parse(document_id)
    parts = parsed.parts if isinstance(parsed, DocumentId) else None
    return parts is not None and routes.key_of_text(str(parts.organ_id)) == sender
