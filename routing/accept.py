"""Taking a package in: identify, judge, record. The door that every way of intake leads to.

Order of things (architecture, "the road"): the bytes were streamed to disk and read already; the
judgement is pure; the bytes are kept durably; then ONE transaction records package, document, a
delivery for each recipient, events, and what is to be relayed. Only after its commit may anybody
say "accepted".
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.findings import Finding, Sentence, refused
from envelopes.model import BusinessDocType, Document, StatusReport
from envelopes.rule_catalogue import make
from routing.accept_report import AcceptReport
from routing.change_step import ChangeStep, Missing, Prepared, owner_finding
from routing.drafts import Drafts
from routing.gateway_reports import (
    About,
    GatewayReports,
    Issued,
    NewId,
    accepted_events,
    record_issued,
)
from routing.lanes import FairClock
from routing.on_time import OnTime
from routing.ports import Database, Transaction
from routing.recipients import Origin, judge_sender, recipient_routes
from routing.records import (
    DOCUMENT,
    Delivery,
    DocumentRecord,
    PackageRecord,
    is_new_content,
)
from routing.repeat import repeat
from routing.report_findings import foresee_report
from routing.route_table import RouteTable
from routing.states import TransportState
from routing.submission import Accepted, RefusalKind, Refused, Submission, security_event
from routing.summary import differences, search_text

#: Rules whose breach is a security event, and what it is called.
ALARMS = {"HEAD-SECRET": "state-secret", "FILE-MALWARE": "malware"}


class Accept:
    """The accept use case."""

    def __init__(
        self,
        database: Database,
        reports: GatewayReports,
        fair_clock: FairClock,
        new_id: NewId,
        on_time: OnTime | None = None,
    ) -> None:
        """Without `on_time` no deadlines are kept."""
        self._database = database
        self._on_time = on_time
        self._reports = reports
        self._new_id = new_id
        self._drafts = Drafts(fair_clock, new_id, on_time)
        self._changes = ChangeStep(reports, new_id)
        self._accept_report = AcceptReport(database, self._changes, self._drafts, on_time)

    async def submit(
        self, submission: Submission, routes: RouteTable, now: datetime
    ) -> Accepted | Refused:
        """Take one package, or say why not. Handing the same bytes in again repeats the answer."""
        package = submission.read.package
        findings = submission.findings
        if package is None or refused(findings):
            await self._alarm(submission, now)
            return Refused(RefusalKind.INVALID, findings)
        wrong = judge_sender(
            package.sender.organ_id, "MessageHeader/From/OrganId", submission.connection, routes
        )
        if wrong is not None:
            await self._security_event(submission, wrong, now)
            return Refused(RefusalKind.NOT_THE_SENDER, (wrong, *findings))
        if isinstance(package, StatusReport):
            await submission.spooled.keep()
            return await self._accept_report.submit(submission, package, routes, now)
        return await self._submit_document(submission, package, routes, now)

    async def foresee(
        self, submission: Submission, routes: RouteTable, now: datetime
    ) -> Refused | tuple[Finding, ...]:
        """What the record says of a package that its rules let pass, and nothing is written.

        The refusal that `submit` would answer, or what it would remark; nothing of a repetition.
        """
        package = submission.read.package
        if package is None:
            return ()
        if isinstance(package, Document):
            draft = self._drafts.document(submission, package, routes, (), now)
            refusal, _ = await self._look_first(draft, package, routes)
            return refusal or ()
        report, draft = package, self._drafts.report(submission, package, routes, now)

        async def look(tx: Transaction) -> Refused | tuple[Finding, ...]:
            return await foresee_report(tx, draft, report, routes, now)

        return await self._database.read(look)

    async def _alarm(self, submission: Submission, now: datetime) -> None:
        """State secrets and malware are written down; of the package itself only the digest is."""
        for finding in submission.findings:
            what = ALARMS.get(finding.rule)
            if what is not None and finding.refuses:
                await self._security_event(submission, finding, now, what)
                return

    async def _security_event(
        self,
        submission: Submission,
        finding: Finding,
        now: datetime,
        what: str = "not-the-sender",
    ) -> None:
        event = security_event(submission, finding, what, now)

        async def write(tx: Transaction) -> None:
            await tx.append([event])

        await self._database.write(write)

    async def _submit_document(
        self, submission: Submission, document: Document, routes: RouteTable, now: datetime
    ) -> Accepted | Refused:
        origin = Origin(submission.connection, submission.only_for)
        chosen, found = recipient_routes(document, routes, now, origin)
        if not chosen:
            return Refused(RefusalKind.INVALID, (_nobody(submission),))
        package = self._drafts.document(submission, document, routes, tuple(found), now)
        foreseen, known_before = await self._look_first(package, document, routes)
        if foreseen is not None:
            return await self._refused(submission, foreseen, now)
        if not known_before:
            # Only what will be recorded is worth its place on the disk.
            await submission.spooled.keep()
        deliveries = self._drafts.copies(package, chosen, now, submission.wait)
        issued = [] if known_before else await self._refusals(package, deliveries, routes, now)
        context = self._changes.context(package, submission.actor, document.business.reason, now)
        prepared = Prepared()

        async def record(tx: Transaction) -> Accepted | Refused | Missing:
            refusal = await self._not_the_owner(tx, package, document, routes)
            if refusal is not None:
                return refusal
            new_pk = self._new_id()
            known = await tx.lock_document(
                package.sender,
                document.subject_document_id,
                pk=new_pk,
                subject=document.subject,
                search=search_text(document),
                now=now,
                # What nothing precedes is recorded at the first try.
                version=int(document.business.doc_type is BusinessDocType.NEW),
            )
            # The bytes of a document that was just made cannot be here already.
            made = known.pk == new_pk
            looked = made and not known_before
            first = None if looked else await tx.find_package(package.sender, package.digest)
            if first is not None:
                more = deliveries if submission.only_for else []
                return await repeat(tx, first, more, routes, submission.actor, now, submission.wait)
            refusal = None if made else await self._other_content(tx, known, package)
            if refusal is not None:
                return refusal
            version = _version(known, made)
            mine = replace(package, document_pk=known.pk, version=version)
            drafts = [replace(row, document_pk=known.pk, version=version) for row in deliveries]
            plan = await self._changes.plan(tx, mine, drafts, document, routes, context)
            missing = prepared.missing(plan)
            if missing is not None:
                return missing
            await self._note_version(tx, known, version, document)
            await self._record(tx, mine, plan.deliveries, issued, submission.actor)
            await self._changes.store(tx, plan, mine, prepared, context)
            links = await self._changes.link(tx, mine, document, routes)
            if self._on_time is not None:
                await self._on_time.replied(tx, mine, links, submission.actor)
            return Accepted(mine, tuple(plan.deliveries), mine.findings)

        outcome = await self._database.write(record)
        while isinstance(outcome, Missing):
            await self._changes.prepare(
                outcome,
                prepared,
                About.of(package),
                document.sender,
                deliveries[0],
                routes,
                context,
            )
            outcome = await self._database.write(record)
        if isinstance(outcome, Refused):
            return await self._refused(submission, outcome, now)
        return outcome

    async def _refused(self, submission: Submission, refusal: Refused, now: datetime) -> Refused:
        """The refusal; an attempt on another's document is written down first."""
        if refusal.kind is RefusalKind.NOT_THE_OWNER:
            await self._security_event(submission, refusal.findings[0], now, "not-the-owner")
        return refusal

    async def _look_first(
        self, package: PackageRecord, document: Document, routes: RouteTable
    ) -> tuple[Refused | None, bool]:
        """Whether it will be refused, and whether it is known: judged again under the lock."""

        async def look(tx: Transaction) -> tuple[Refused | None, bool]:
            came_before, known = await tx.known_before(
                package.sender, package.digest, document.subject_document_id
            )
            if came_before:
                return None, True
            refusal = await self._not_the_owner(tx, package, document, routes)
            if refusal is None and known is not None:
                refusal = await self._other_content(tx, known, package)
            return refusal, False

        return await self._database.read(look)

    async def _not_the_owner(
        self,
        tx: Transaction,
        package: PackageRecord,
        document: Document,
        routes: RouteTable,
    ) -> Refused | None:
        """Recalling or updating somebody else's document (lifecycle, "Recall").

        Asked before the document is locked, because locking makes it one of this sender's.
        """
        if is_new_content(package.meaning):
            return None
        finding = await owner_finding(
            tx,
            document.subject_document_id,
            package.sender,
            package.sender_organ_id,
            routes,
        )
        return Refused(RefusalKind.NOT_THE_OWNER, (finding,)) if finding else None

    async def _refusals(
        self,
        package: PackageRecord,
        deliveries: list[Delivery],
        routes: RouteTable,
        now: datetime,
    ) -> list[Issued]:
        return await self._reports.refusals(About.of(package), deliveries, routes, now)

    async def _other_content(
        self, tx: Transaction, known: DocumentRecord, package: PackageRecord
    ) -> Refused | None:
        """A DocumentId stands for one content (lifecycle, "Always").

        What a second content gets depends on how the first fared: when it reached nobody, the
        sender is free to correct it (lessons 3).
        """
        if known.version == 0 or not is_new_content(package.meaning):
            return None
        for earlier in reversed(await tx.packages_of_document(known.pk, kind=DOCUMENT)):
            if earlier.meaning == BusinessDocType.REVOCATION:
                continue
            deliveries = await tx.deliveries_of_package(earlier.id)
            if all(_reached_nobody(delivery) for delivery in deliveries):
                continue
            finding = make(
                "DUPLICATE-CONTENT",
                element="MessageHeader/DocumentId",
                found=package.digest,
                allowed=earlier.digest,
            )
            return Refused(
                RefusalKind.OTHER_CONTENT,
                (finding,),
                {
                    "firstPackage": earlier.id,
                    "firstDigest": earlier.digest,
                    "secondDigest": package.digest,
                    "differences": differences(earlier.summary, package.summary),
                },
            )
        return None

    async def _note_version(
        self, tx: Transaction, known: DocumentRecord, version: int, document: Document
    ) -> None:
        if version != known.version:
            await tx.set_version(known.pk, version, document.subject, search_text(document))

    async def _record(
        self,
        tx: Transaction,
        package: PackageRecord,
        deliveries: list[Delivery],
        issued: list[Issued],
        actor: str,
    ) -> None:
        await tx.insert_package(package)
        await tx.insert_deliveries(deliveries)
        await tx.append(accepted_events(package, deliveries, actor))
        await record_issued(tx, issued, package.document_pk)


def _nobody(submission: Submission) -> Finding:
    """The partner names recipients beside the package, and the package names none of them."""
    finding = make(
        "ID-RECIPIENT",
        element="MessageHeader/To",
        found=", ".join(submission.only_for),
        allowed="a recipient that the package names",
    )
    sentence = Sentence(
        vi=f"Gói tin không ghi nơi nhận nào trong số được yêu cầu chuyển đến: {finding.found}.",
        en=f"The package names none of the recipients that it is to be handed to: {finding.found}.",
    )
    return replace(finding, sentence=sentence)


def _version(known: DocumentRecord, made: bool) -> int:
    """Which version of its document a package brings."""
    return max(1, known.version) if made else known.version + 1


def _reached_nobody(delivery: Delivery) -> bool:
    return delivery.state.is_final and delivery.state is not TransportState.DELIVERED
