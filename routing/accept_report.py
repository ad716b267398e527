"""Taking a status package in: the road back from a recipient to the sender (edXML section 4).

A report moves the business state of the reporting agency's delivery and then travels to the agency
in ResponseFor like any package. Only an agency that the document was sent to moves anything
(reliability 2.8, "forged receipt / status"); for 13 (take back) only its sender.

A report on a document that this gateway does not know is passed on with a warning: the document may
have gone another way. A report on a document that its agency was not sent gets exactly the same
answer and the same way, else guessing DocumentIds would tell which documents exist; it touches
neither the document nor its history, and is written down as a security event.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.findings import Finding
from envelopes.model import StatusCode, StatusReport
from envelopes.rule_catalogue import make
from routing.change_requests import RequestKind, answer_requests
from routing.change_step import (
    ChangeStep,
    Missing,
    Prepared,
    copies_of,
    owner_finding,
    pending_of,
    spoken_of,
)
from routing.drafts import Drafts
from routing.gateway_reports import About, accepted_events
from routing.lifecycle import Context, Plan, recall_copies
from routing.on_time import OnTime, delivered
from routing.ports import Database, Transaction
from routing.records import (
    DOCUMENT,
    Change,
    Delivery,
    Event,
    PackageRecord,
    can_have,
    is_unsure,
)
from routing.report_findings import ANSWERS, foreign_document, impossible, not_asked
from routing.route_table import RouteTable
from routing.states import (
    Acknowledged,
    ReportEffect,
    TransportState,
    acknowledge,
)
from routing.submission import Accepted, RefusalKind, Refused, Submission, security_event

#: States in which the gateway does not know yet that the recipient has the package: a report about
#: it is proof enough (lessons 4, "a late truth still wins").
_PROVED_BY_REPORT = (TransportState.DELIVERING, TransportState.UNKNOWN, TransportState.DEAD)


class AcceptReport:
    """The accept use case for status packages."""

    def __init__(
        self,
        database: Database,
        changes: ChangeStep,
        drafts: Drafts,
        on_time: OnTime | None = None,
    ) -> None:
        self._database = database
        self._on_time = on_time
        self._changes = changes
        self._drafts = drafts

    async def submit(
        self, submission: Submission, report: StatusReport, routes: RouteTable, now: datetime
    ) -> Accepted | Refused:
        """Record the report, apply it to the delivery it is about, and send it on."""
        code = StatusCode(report.status_code)
        package = self._drafts.report(submission, report, routes, now)
        delivery = self._drafts.way_back(package, report, routes, now)
        by_sender = code is StatusCode.TAKE_BACK
        # The document is filed under the key that its sender had, not under a successor's.
        issuer = routes.key_of_text(report.response_for.organ_id)
        owner = package.sender if by_sender else issuer
        reporter = delivery.recipient if by_sender else package.sender
        context = self._changes.context(package, submission.actor, report.description, now)
        prepared = Prepared()

        async def record(tx: Transaction) -> Accepted | Refused | Missing:
            first = await tx.find_package(package.sender, package.digest)
            if first is not None:
                rows = await tx.deliveries_of_package(first.id)
                return Accepted(first, tuple(rows), first.findings, repeated=True)
            document = await tx.find_document(owner, report.response_for.document_id)
            if document is None:
                anothers = by_sender and await owner_finding(
                    tx, package.document_id, package.sender, package.sender_organ_id, routes
                )
                if anothers:
                    return Refused(RefusalKind.NOT_THE_OWNER, (anothers,))
                return await self._foreign(tx, package, delivery, report, submission.actor)
            reported = await tx.deliveries_of_document(
                document.pk, reporter, kind=DOCUMENT, lock=True
            )
            # Its sender may take back a copy wherever it is; only who can have one reports on it.
            concerned = reported if by_sender else [row for row in reported if can_have(row)]
            if not concerned:
                await tx.append([_not_a_recipient(package, document.pk, report, submission.actor)])
                return await self._foreign(tx, package, delivery, report, submission.actor)
            row = await spoken_of(tx, reported)
            told = replace(package, document_pk=document.pk, lane=row.lane)
            towards = replace(delivery, document_pk=document.pk, lane=row.lane)
            if by_sender:
                return await self._take_back(tx, told, towards, prepared, context)
            if code in ANSWERS:
                found = await self._answer(tx, row, code, told, submission.actor)
                return await self._record(tx, told, towards, found, submission.actor)
            # Which of several versions an agency has cannot be read from a report.
            proof = len(reported) == 1
            refusal = await self._apply(tx, row, code, told, submission.actor, proof=proof)
            if refusal is not None:
                return refusal
            return await self._record(tx, told, towards, (), submission.actor)

        outcome = await self._database.write(record)
        while isinstance(outcome, Missing):
            about = _about(package, report)
            await self._changes.prepare(
                outcome, prepared, about, report.sender, delivery, routes, context
            )
            outcome = await self._database.write(record)
        if isinstance(outcome, Refused) and outcome.kind is RefusalKind.NOT_THE_OWNER:
            event = security_event(submission, outcome.findings[0], "not-the-owner", now)
            await self._database.write(lambda tx: tx.append([event]))
        return outcome

    async def _take_back(
        self,
        tx: Transaction,
        package: PackageRecord,
        towards: Delivery,
        prepared: Prepared,
        context: Context,
    ) -> Accepted | Missing:
        """Status 13: withdraw what nobody has seen, ask for the rest (lifecycle, "Recall")."""
        document_pk = package.document_pk or ""
        mine = await copies_of(tx, document_pk, towards.recipient)
        pending = await pending_of(tx, document_pk)
        plan = Plan()
        if mine:
            towards = recall_copies(plan, mine, pending, towards, context)
        missing = prepared.missing(plan)
        if missing is not None:
            return missing
        accepted = await self._record(tx, package, towards, (), context.actor)
        await self._changes.store(tx, plan, package, prepared, context)
        return accepted

    async def _answer(
        self,
        tx: Transaction,
        row: Delivery,
        code: StatusCode,
        package: PackageRecord,
        actor: str,
    ) -> tuple[Finding, ...]:
        """15 or 16: settle what this receiver was asked; unasked, it is noted and passed on."""
        pending = await tx.requests.pending_for(row.document_pk or "", row.recipient)
        here = [one for one in pending if one.document_pk == row.document_pk]
        # One package may ask about several versions. A replacement is answered on the new document:
        # all that it replaces is answered.
        chosen = [one for one in here if one.carrier_id == here[-1].carrier_id] or pending
        if not chosen:
            outcome = acknowledge(row.business_state, code)
            await tx.apply([_reported(row, outcome, code, package, actor)])
            return (not_asked(package, code),)
        rows = await tx.get_deliveries([one.delivery_id for one in chosen], lock=True)
        # Who answers has the copy, confirmed or not: it leaves the inbox.
        proved = [step for row in rows if (step := self._proved(row, code, package, actor))]
        await tx.apply(proved)
        copies = {one.id: one for one in rows} | {step.after.id: step.after for step in proved}
        answered = answer_requests(
            code,
            [(one, copies[one.delivery_id]) for one in chosen],
            str(package.summary.get("description", "")),
            actor,
            package.received_at,
            package.id,
        )
        await tx.apply(answered.changes)
        await tx.requests.settle(answered.requests)
        if self._on_time is not None:
            if code is StatusCode.CHANGE_REFUSED:
                for step in proved:
                    await self._on_time.received(tx, step.after, actor, package.received_at)
            gone = rows if code is StatusCode.CHANGE_AGREED else []
            if gone and any(one.kind is RequestKind.RECALL for one in chosen):
                # The document is taken back in all its versions.
                gone = await copies_of(tx, row.document_pk or "", row.recipient)
            # Nobody answers what was asked before and asked anew since.
            before = await tx.requests.superseded_for(row.document_pk or "", row.recipient)
            carriers = [one.carrier_id for one in (*chosen, *before)]
            await self._on_time.answered(tx, carriers, gone, code, actor, package.received_at)
        return ()

    async def _foreign(
        self,
        tx: Transaction,
        package: PackageRecord,
        delivery: Delivery,
        report: StatusReport,
        actor: str,
    ) -> Accepted:
        """A report on a document that, as far as its agency may know, is not known here."""
        return await self._record(tx, package, delivery, (foreign_document(report),), actor)

    async def _apply(
        self,
        tx: Transaction,
        row: Delivery,
        code: StatusCode,
        package: PackageRecord,
        actor: str,
        *,
        proof: bool,
    ) -> Refused | None:
        """Move the business state; the report itself is logged whatever it did."""
        outcome = acknowledge(row.business_state, code)
        changes = []
        proved = self._proved(row, code, package, actor) if proof else None
        if proved is not None:
            changes.append(proved)
            row = proved.after
        proved_now = bool(changes)
        changes.append(_reported(row, outcome, code, package, actor))
        await tx.apply(changes)
        await self._watch(tx, row, code, outcome, actor, package.received_at, proved_now)
        return impossible(package, row, code, outcome)

    def _proved(
        self, row: Delivery, code: StatusCode, package: PackageRecord, actor: str
    ) -> Change | None:
        """A report on a copy proves that its agency has it, where that was not known."""
        if row.state not in _PROVED_BY_REPORT and not is_unsure(row):
            return None
        data: dict[str, object] = {"provedBy": code.value}
        now = package.received_at
        step = delivered(row, actor=actor, now=now, on_time=self._on_time, data=data)
        return step if isinstance(step, Change) else None

    async def _watch(
        self,
        tx: Transaction,
        row: Delivery,
        code: StatusCode,
        outcome: Acknowledged,
        actor: str,
        now: datetime,
        proved_now: bool,
    ) -> None:
        """Open the limits of a copy that the report proved to be there; close what it settles."""
        if self._on_time is None:
            return
        if proved_now:
            await self._on_time.received(tx, row, actor, now)
        if outcome.effect in (ReportEffect.APPLIED, ReportEffect.LATE):
            await self._on_time.reported(tx, row, code, actor, now)

    async def _record(
        self,
        tx: Transaction,
        package: PackageRecord,
        delivery: Delivery,
        findings: tuple[Finding, ...],
        actor: str,
    ) -> Accepted:
        package = replace(package, findings=(*package.findings, *findings))
        await tx.insert_package(package)
        await tx.insert_deliveries([delivery])
        await tx.append(accepted_events(package, [delivery], actor))
        return Accepted(package, (delivery,), package.findings)


def _not_a_recipient(
    package: PackageRecord, document_pk: str, report: StatusReport, actor: str
) -> Event:
    """Somebody spoke about a document that it was not sent: in the document's history, not in
    that of the report, which its agency can read."""
    finding = make(
        "STATUS-UNKNOWN-DOCUMENT",
        element="MessageHeader/From/OrganId",
        found=report.response_for.document_id,
        allowed="From = a recipient of the document",
    )
    return Event(
        type="security.not-a-recipient",
        at=package.received_at,
        actor=actor,
        document_pk=document_pk,
        correlation_id=package.correlation_id,
        data={
            "digest": package.digest,
            "code": report.status_code,
            "finding": finding.as_dict(),
        },
    )


def _about(package: PackageRecord, report: StatusReport) -> About:
    """The document of a status 13 in its sender's words."""
    return About(
        sender=package.sender,
        sender_organ_id=package.sender_organ_id,
        document_pk=package.document_pk,
        document_id=package.document_id,
        code=report.response_for.code,
        promulgation_date=report.response_for.promulgation_date,
    )


def _reported(
    row: Delivery,
    outcome: Acknowledged,
    code: StatusCode,
    package: PackageRecord,
    actor: str,
) -> Change:
    """The business side of a change: the transport state stays as it is."""
    after = replace(row, business_state=outcome.state, updated_at=package.received_at)
    event = Event(
        type=f"report.{outcome.effect}",
        at=package.received_at,
        actor=actor,
        document_pk=row.document_pk,
        package_id=row.package_id,
        delivery_id=row.id,
        from_state=row.business_state,
        to_state=outcome.state,
        correlation_id=package.correlation_id,
        data={
            "code": code.value,
            "description": package.summary.get("description", ""),
            "reportedAt": package.summary.get("reportedAt"),
            "statusPackage": package.id,
            "digest": package.digest,
        },
    )
    return Change(row, after, event)
