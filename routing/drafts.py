"""Drafts of what a submission will be recorded as: its package, and a delivery for each recipient.

Made before the transaction, without looking at anything kept: what depends on the document as it is
known (`document_pk`, `version`, of a report also `lane`) is filled in under its lock.
"""

from __future__ import annotations

from datetime import datetime

from envelopes.findings import Finding
from envelopes.model import VIETNAM_TIME, Document, StatusReport
from identifiers.organ_id import OrganId
from routing.gateway_reports import NewId
from routing.lanes import FairClock, Lane, lane_of
from routing.on_time import OnTime
from routing.recipients import RecipientRoute
from routing.records import DOCUMENT, STATUS, Delivery, PackageRecord, Reason
from routing.route_table import Route, RouteKind, RouteTable
from routing.states import TransportState
from routing.submission import Submission
from routing.summary import summarise


class Drafts:
    """Drafts packages and deliveries; gives ids, fair keys and legal times."""

    def __init__(self, fair_clock: FairClock, new_id: NewId, on_time: OnTime | None) -> None:
        """Without `on_time` nothing has a legal time."""
        self._fair_clock = fair_clock
        self._new_id = new_id
        self._on_time = on_time

    def document(
        self,
        submission: Submission,
        document: Document,
        routes: RouteTable,
        found: tuple[Finding, ...],
        now: datetime,
    ) -> PackageRecord:
        """A document package; `found` are the findings of its recipients' routes."""
        on_time, claim = self._on_time, submission.spooled.claim
        sent_by = submission.connection.id
        return PackageRecord(
            id=self._new_id(),
            kind=DOCUMENT,
            sender=routes.key_of_text(document.sender.organ_id),
            sender_organ_id=str(OrganId.of(document.sender.organ_id)),
            sender_name=document.sender.organ_name,
            connection_id=sent_by,
            document_pk=None,
            document_id=document.document_id,
            meaning=document.business.doc_type.value,
            version=0,
            digest=claim.digest,
            size=claim.size,
            lane=lane_of(document.priority),
            correlation_id=submission.correlation_id,
            received_at=now,
            legal_sent_at=on_time.legal_time(sent_by, now) if on_time else None,
            summary=summarise(document, submission.signatures),
            findings=(*submission.findings, *found),
        )

    def copies(
        self,
        package: PackageRecord,
        chosen: list[RecipientRoute],
        now: datetime,
        wait: Reason | None,
    ) -> list[Delivery]:
        """A document's deliveries; with `wait` they are held before they are passed on."""
        # Turns are between connections: a sub-unit's code of one's own gives no further turn.
        who = package.connection_id or package.sender
        keys = self._fair_clock.keys(who, package.lane, len(chosen), now)
        start = TransportState.HELD if wait else TransportState.ACCEPTED
        deliveries = []
        for recipient, fair_key in zip(chosen, keys, strict=True):
            routed = recipient.route.kind is RouteKind.ROUTED
            deliveries.append(
                Delivery(
                    id=self._new_id(),
                    package_id=package.id,
                    document_pk=None,
                    recipient=recipient.route.organ_key,
                    recipient_organ_id=recipient.organ_id,
                    recipient_name=recipient.name,
                    connection_id=recipient.route.connection_id,
                    lane=package.lane,
                    state=start if routed else TransportState.RETURNED,
                    fair_key=fair_key,
                    created_at=now,
                    updated_at=now,
                    correlation_id=package.correlation_id,
                    ring_at=now if routed and wait is None else None,
                    reason=wait if routed else _no_way(recipient.route, try_again=True),
                )
            )
        return deliveries

    def report(
        self, submission: Submission, report: StatusReport, routes: RouteTable, now: datetime
    ) -> PackageRecord:
        """A status package."""
        claim = submission.spooled.claim
        return PackageRecord(
            id=self._new_id(),
            kind=STATUS,
            sender=routes.key_of_text(report.sender.organ_id),
            sender_organ_id=str(OrganId.of(report.sender.organ_id)),
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
            summary=summarise(report, submission.signatures),
            findings=submission.findings,
        )

    def way_back(
        self, package: PackageRecord, report: StatusReport, routes: RouteTable, now: datetime
    ) -> Delivery:
        """A report's delivery to the agency that it answers.

        One that has no way is not answered by another report (lessons 16).
        """
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
            state=TransportState.ACCEPTED if routed else TransportState.RETURNED,
            fair_key=self._fair_clock.keys(package.sender, package.lane, 1, now)[0],
            created_at=now,
            updated_at=now,
            correlation_id=package.correlation_id,
            ring_at=now if routed else None,
            reason=None if routed else _no_way(route, try_again=False),
        )


def _no_way(route: Route, *, try_again: bool) -> Reason:
    return Reason(route.kind.value, route.sentence, try_again=try_again)
