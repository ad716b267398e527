"""Taking a status package in: the road back from a recipient to the sender (edXML section 4).

A report moves the business state of the reporting agency's delivery and then travels to the agency
in ResponseFor like any package. Who may report: only an agency that the document was sent to
(reliability 2.8, "forged receipt / status"); for 13 (take back) only its sender.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.findings import Finding
from envelopes.model import VIETNAM_TIME, StatusCode, StatusReport
from envelopes.rule_catalogue import make
from routing.gateway_reports import NewId, accepted_events
from routing.lanes import FairClock, Lane
from routing.ports import Database, Transaction
from routing.records import DOCUMENT, STATUS, Change, Delivery, Event, PackageRecord, Reason, change
from routing.route_table import RouteKind, RouteTable
from routing.states import (
    Acknowledged,
    Happening,
    ReportEffect,
    TransportState,
    acknowledge,
)
from routing.submission import Accepted, RefusalKind, Refused, Submission
from routing.summary import summarise

#: States in which the gateway does not know yet that the recipient has the package: a report about
#: it is proof enough (lessons 4, "a late truth still wins").
_PROVED_BY_REPORT = (TransportState.DELIVERING, TransportState.UNKNOWN, TransportState.DEAD)


class AcceptReport:
    """The accept use case for status packages."""

    def __init__(self, database: Database, fair_clock: FairClock, new_id: NewId) -> None:
        self._database = database
        self._fair_clock = fair_clock
        self._new_id = new_id

    async def submit(
        self, submission: Submission, report: StatusReport, routes: RouteTable, now: datetime
    ) -> Accepted | Refused:
        """Record the report, apply it to the delivery it is about, and send it on."""
        code = StatusCode(report.status_code)
        package = self._package(submission, report, routes, now)
        delivery = self._delivery(package, report, routes, now)
        by_sender = code is StatusCode.TAKE_BACK
        # The document is filed under the key that its sender had, not under a successor's.
        issuer = routes.key_of_text(report.response_for.organ_id)
        owner = package.sender if by_sender else issuer
        reporter = delivery.recipient if by_sender else package.sender

        async def record(tx: Transaction) -> Accepted | Refused:
            first = await tx.find_package(package.sender, package.digest)
            if first is not None:
                rows = await tx.deliveries_of_package(first.id)
                return Accepted(first, tuple(rows), first.findings, repeated=True)
            document = await tx.find_document(owner, report.response_for.document_id)
            if document is None:
                unknown = make(
                    "STATUS-FOREIGN-DOCUMENT",
                    element="MessageHeader/ResponseFor/DocumentId",
                    found=report.response_for.document_id,
                    allowed=report.response_for.organ_id,
                )
                return await self._record(tx, package, delivery, (unknown,), submission.actor)
            reported = await tx.deliveries_of_document(
                document.pk, reporter, kind=DOCUMENT, lock=True
            )
            if not reported:
                return self._not_a_recipient(report)
            row = _reported_on(reported)
            told = replace(package, document_pk=document.pk, lane=row.lane)
            towards = replace(delivery, document_pk=document.pk, lane=row.lane)
            refusal = None
            if not by_sender:
                # Which of several versions an agency has cannot be read from a report.
                proof = len(reported) == 1
                refusal = await self._apply(tx, row, code, told, submission.actor, proof=proof)
            if refusal is not None:
                return refusal
            return await self._record(tx, told, towards, (), submission.actor)

        return await self._database.write(record)

    def _package(
        self, submission: Submission, report: StatusReport, routes: RouteTable, now: datetime
    ) -> PackageRecord:
        claim = submission.spooled.claim
        return PackageRecord(
            id=self._new_id(),
            kind=STATUS,
            sender=routes.key_of_text(report.sender.organ_id),
            sender_organ_id=report.sender.organ_id,
            sender_name=report.sender.organ_name,
            connection_id=submission.connection.id,
            document_pk=None,
            document_id=report.response_for.document_id,
            meaning=report.status_code,
            version=1,
            digest=claim.digest,
            size=claim.size,
            lane=Lane.ORDINARY,
            correlation_id=submission.correlation_id,
            received_at=now,
            summary=summarise(report),
            findings=submission.read.findings,
        )

    def _delivery(
        self, package: PackageRecord, report: StatusReport, routes: RouteTable, now: datetime
    ) -> Delivery:
        target = report.response_for.organ_id
        route = routes.route(target, now.astimezone(VIETNAM_TIME).date())
        routed = route.kind is RouteKind.ROUTED
        return Delivery(
            id=self._new_id(),
            package_id=package.id,
            document_pk=None,
            recipient=route.organ_key,
            recipient_organ_id=target,
            recipient_name=route.agency.name if route.agency else target,
            connection_id=route.connection_id,
            lane=package.lane,
            # A report that has no way is not answered by another report (lessons 16).
            state=TransportState.ACCEPTED if routed else TransportState.RETURNED,
            fair_key=self._fair_clock.keys(package.sender, package.lane, 1, now)[0],
            created_at=now,
            updated_at=now,
            correlation_id=package.correlation_id,
            ring_at=now if routed else None,
            reason=None if routed else Reason(route.kind.value, route.sentence),
        )

    def _not_a_recipient(self, report: StatusReport) -> Refused:
        finding = make(
            "STATUS-UNKNOWN-DOCUMENT",
            element="MessageHeader/From/OrganId",
            found=report.response_for.document_id,
            allowed="From = a recipient of the document",
        )
        return Refused(RefusalKind.NOT_A_RECIPIENT, (finding,))

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
        if proof and row.state in _PROVED_BY_REPORT:
            proved = change(
                row,
                Happening.DELIVERED,
                actor=actor,
                now=package.received_at,
                data={"provedBy": code.value},
                delivered_at=package.received_at,
                ring_at=None,
                lease_owner=None,
                lease_until=None,
                reason=None,
            )
            if isinstance(proved, Change):
                changes.append(proved)
                row = proved.after
        changes.append(_reported(row, outcome, code, package, actor))
        await tx.apply(changes)
        if outcome.effect is not ReportEffect.IMPOSSIBLE:
            return None
        finding = make(
            "STATUS-ORDER",
            element=package.document_id,
            found=code.value,
            allowed=str(row.business_state or ""),
        )
        finding = replace(finding, sentence=outcome.sentence)
        return Refused(RefusalKind.IMPOSSIBLE_REPORT, (finding,), {"state": row.business_state})

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


def _reported_on(rows: list[Delivery]) -> Delivery:
    """The version that an agency speaks of: the newest that it surely has, else the newest."""
    return next((row for row in reversed(rows) if row.state is TransportState.DELIVERED), rows[-1])


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
