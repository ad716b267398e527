"""The record step of recalls, updates, replacements and replies: `routing.lifecycle` on the tables.

The gateway answers some requests itself, and its answers are packages whose bytes must be durable
before the transaction commits. Which answers are needed is known only under the locks. So the
record step first runs without them: it says what it misses and stores nothing, the packages are
made, and it runs again. Most packages need none and run once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from envelopes.model import BusinessDocType, Document, Party
from identifiers.document_id import DocumentId
from routing.gateway_reports import About, GatewayReports, Issued, NewId, record_issued
from routing.lifecycle import (
    Context,
    GatewayAnswer,
    Plan,
    TakeBack,
    ask_by,
    plan_recall,
    plan_replacement,
    plan_update,
)
from routing.ports import Transaction
from routing.records import DOCUMENT, REPLACES, REPLIES_TO, Delivery, Link, PackageRecord
from routing.route_table import RouteTable

#: Codes of ReceiverType that take a receiver off the list (edXML section 3); the rest adds.
REMOVES = "1"

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """The record step needs these packages of the gateway first; nothing was stored."""

    answers: tuple[GatewayAnswer, ...]
    take_backs: tuple[TakeBack, ...]


@dataclass(slots=True)
class Prepared:
    """Packages of the gateway whose bytes are stored, by what they say."""

    issued: dict[Key, Issued | None] = field(default_factory=dict)

    def missing(self, plan: Plan) -> Missing | None:
        """What the plan needs and is not here."""
        answers = tuple(one for one in plan.answers if answer_key(one) not in self.issued)
        take_backs = tuple(one for one in plan.take_backs if take_back_key(one) not in self.issued)
        return Missing(answers, take_backs) if answers or take_backs else None


def answer_key(answer: GatewayAnswer) -> Key:
    """Names one answer of the gateway."""
    return answer.recipient, f"{answer.code}:{answer.sentence.en}"


def take_back_key(take_back: TakeBack) -> Key:
    """Names one status 13 of the gateway."""
    return take_back.copy.id, "13"


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
        pending = await tx.requests.pending_of_document(package.document_pk)
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
        replaced, pending = [], []
        for info in document.business.replacements:
            known = await tx.find_document(package.sender, info.document_id)
            if known is None or known.pk == package.document_pk:
                continue
            holders = frozenset(routes.key_of_text(code) for code in info.organ_ids)
            replaced.append((await copies_of(tx, known.pk), holders))
            pending += await tx.requests.pending_of_document(known.pk)
        return plan_replacement(replaced, pending, drafts, context)

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
            document_pk = take_back.copy.document_pk or ""
            pending = await tx.requests.pending_of_document(document_pk)
            issued = prepared.issued[take_back_key(take_back)]
            if issued is not None:
                await record_issued(tx, [issued], take_back.copy.document_pk)
                ask_by(plan, take_back, pending, issued.delivery.id, context)
        await tx.apply(plan.changes)
        await tx.requests.settle(plan.superseded)
        await tx.requests.add(plan.requests)
        told = [prepared.issued[answer_key(one)] for one in plan.answers]
        await record_issued(tx, [one for one in told if one is not None], package.document_pk)

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
                about,
                answer.recipient_organ_id,
                answer.sentence,
                routes,
                like,
                context.now,
            )
        for take_back in missing.take_backs:
            prepared.issued[take_back_key(take_back)] = await self._reports.take_back(
                about, sender, take_back.copy, context.reason, routes, context.now
            )


async def copies_of(
    tx: Transaction, document_pk: str, recipient: str = "", *, lock: bool = True
) -> list[Delivery]:
    """The copies of a document's contents (not its revocations), by version."""
    packages = await tx.packages_of_document(document_pk)
    contents = {
        one.id
        for one in packages
        if one.kind == DOCUMENT and one.meaning != BusinessDocType.REVOCATION
    }
    rows = await tx.deliveries_of_document(document_pk, recipient, kind=DOCUMENT, lock=lock)
    return [row for row in rows if row.package_id in contents]


def receivers(document: Document, *, removed: bool) -> tuple[str, ...]:
    """The codes of an update's receiver list that it takes off, or adds."""
    info = document.business.document_info
    if document.business.doc_type is not BusinessDocType.UPDATE or info is None:
        return ()
    return tuple(
        one.organ_id for one in info.receivers if (one.receiver_type == REMOVES) is removed
    )


def names_sender(document_id: str, sender: str, routes: RouteTable) -> bool:
    """Whether a DocumentId of three parts begins with the code of this sender."""
    parsed = DocumentId.parse(document_id)
    parts = parsed.parts if isinstance(parsed, DocumentId) else None
    return parts is not None and routes.key_of_text(str(parts.organ_id)) == sender
