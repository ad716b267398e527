"""What is found when a report meets the record: known before it is taken, and said when it is.

`foresee_report` only reads: it tells what `accept_report` will answer. Both use the same findings.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from envelopes.findings import Finding, Sentence, Severity
from envelopes.model import VIETNAM_TIME, StatusCode, StatusReport
from envelopes.rule_catalogue import make
from routing.change_step import owner_finding, spoken_of
from routing.ports import Transaction
from routing.records import DOCUMENT, Delivery, PackageRecord, can_have
from routing.route_table import RouteTable
from routing.states import Acknowledged, ReportEffect, acknowledge
from routing.submission import RefusalKind, Refused

#: A receiver's answers to a recall or update.
ANSWERS = (StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED)


async def foresee_report(
    tx: Transaction,
    package: PackageRecord,
    report: StatusReport,
    routes: RouteTable,
    now: datetime,
) -> Refused | tuple[Finding, ...]:
    """Why the report would be refused, or what would be remarked on it; nothing is written.

    A document that the reporter was not sent is as foreign as one that nobody knows, here too.
    """
    code = StatusCode(report.status_code)
    by_sender = code is StatusCode.TAKE_BACK
    target = report.response_for.organ_id
    owner = package.sender if by_sender else routes.key_of_text(target)
    reporter = package.sender
    if by_sender:
        reporter = routes.route(target, now.astimezone(VIETNAM_TIME).date()).organ_key
    if await tx.find_package(package.sender, package.digest) is not None:
        return ()
    document = await tx.find_document(owner, package.document_id)
    if document is None and by_sender:
        anothers = await owner_finding(
            tx, package.document_id, package.sender, package.sender_organ_id, routes
        )
        if anothers is not None:
            return Refused(RefusalKind.NOT_THE_OWNER, (anothers,))
    if document is None:
        return (foreign_document(report),)
    rows = await tx.deliveries_of_document(document.pk, reporter, kind=DOCUMENT)
    if not (rows if by_sender else [row for row in rows if can_have(row)]):
        return (foreign_document(report),)
    if by_sender:
        return ()
    row = await spoken_of(tx, rows)
    if code in ANSWERS:
        asked = await tx.requests.pending_for(document.pk, row.recipient)
        return () if asked else (not_asked(package, code),)
    return impossible(package, row, code, acknowledge(row.business_state, code)) or ()


def foreign_document(report: StatusReport) -> Finding:
    """The document is, as far as its agency may know, not known here."""
    return make(
        "STATUS-FOREIGN-DOCUMENT",
        element="MessageHeader/ResponseFor/DocumentId",
        found=report.response_for.document_id,
        allowed=report.response_for.organ_id,
    )


def not_asked(package: PackageRecord, code: StatusCode) -> Finding:
    """15 or 16 of somebody whom nobody asked."""
    return make(
        "RECALL-NOT-ASKED",
        element=package.document_id,
        found=code.value,
        allowed="01 … 06",
        severity=Severity.WARN,
    )


def _possible(state: StatusCode | None) -> str | Sentence:
    """The reports that would still change a copy in this business state."""
    moves = [code for code in StatusCode if acknowledge(state, code).effect is ReportEffect.APPLIED]
    return ", ".join(moves) or Sentence("không trạng thái nào khác", "no other status")


def impossible(
    package: PackageRecord, row: Delivery, code: StatusCode, outcome: Acknowledged
) -> Refused | None:
    """The refusal of a report that contradicts what is final."""
    if outcome.effect is not ReportEffect.IMPOSSIBLE:
        return None
    finding = make(
        "STATUS-ORDER",
        element=package.document_id,
        found=code.value,
        allowed=_possible(row.business_state),
    )
    finding = replace(finding, sentence=outcome.sentence)
    return Refused(RefusalKind.IMPOSSIBLE_REPORT, (finding,), {"state": row.business_state})
