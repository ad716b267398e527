"""What a check tells of the record is what handing in answers, on both databases."""

from __future__ import annotations

from dataclasses import replace

from envelopes.model import Business, BusinessDocType, Document, StatusCode, StatusReport
from envelopes.read import read_package
from routing.submission import Refused, Submission
from tests.support.builders import ALPHA, BETA, GAMMA, document, report, wire
from tests.support.use_cases import Gateway, all_rows

SENT = document(BETA)
REVOCATION = replace(SENT, business=Business(BusinessDocType.REVOCATION, reason="Ban hành nhầm"))


def take_back(recipient: str) -> StatusReport:
    """Status 13 of the sender to one recipient."""
    made = report(StatusCode.TAKE_BACK, SENT, sender=ALPHA, description="Gửi nhầm")
    return replace(made, response_for=replace(made.response_for, organ_id=recipient))


async def told(gateway: Gateway, what: Document | StatusReport, by: str = ALPHA) -> list[str]:
    """Ids of what is foreseen, which must be what handing in says, and nothing may be written."""
    content = wire(what)
    read, before = read_package([content]), await all_rows(gateway.database)
    spool = gateway.spool(content)
    try:
        submission = Submission(read, spool, gateway.world.of(by), "check")
        foreseen = await gateway.accept.foresee(submission, gateway.routes, gateway.clock())
    finally:
        spool.discard()
    assert await all_rows(gateway.database) == before
    answer = await gateway.submit(content, by)
    findings = foreseen.findings if isinstance(foreseen, Refused) else foreseen
    assert isinstance(foreseen, Refused) == isinstance(answer, Refused)
    if isinstance(foreseen, Refused) and isinstance(answer, Refused):
        assert (foreseen.kind, foreseen.details) == (answer.kind, answer.details)
    rules = [one.rule for one in findings]
    assert rules == [one.rule for one in answer.findings if one.rule in rules]
    return rules


async def test_documents(gateway: Gateway) -> None:
    """New, repeated, other content, another's; after a correction of what reached nobody."""
    assert await told(gateway, SENT) == []
    assert await told(gateway, SENT) == []
    assert await told(gateway, replace(SENT, subject="Nội dung khác")) == ["DUPLICATE-CONTENT"]
    foreign = replace(REVOCATION, sender=replace(SENT.sender, organ_id=GAMMA))
    assert await told(gateway, foreign, GAMMA) == ["RECALL-OWNER"]
    assert await told(gateway, REVOCATION) == []


async def test_reports(gateway: Gateway) -> None:
    """In order, against what is final, unasked, on a document that the agency was not sent."""
    (row,) = (await gateway.accepted(SENT)).deliveries
    unknown = ["STATUS-FOREIGN-DOCUMENT"]
    assert await told(gateway, report(StatusCode.ACCEPTED, SENT), BETA) == unknown
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, row.id)

    async def said(code: StatusCode) -> list[str]:
        gateway.clock.tick()
        return await told(gateway, report(code, SENT, at=gateway.clock()), BETA)

    assert await said(StatusCode.CHANGE_AGREED) == ["RECALL-NOT-ASKED"]
    assert await said(StatusCode.REFUSED) == []
    assert await said(StatusCode.ACCEPTED) == ["STATUS-ORDER"]
    strange = report(StatusCode.ACCEPTED, SENT)
    strange = replace(strange, sender=replace(strange.sender, organ_id=GAMMA))
    assert await told(gateway, strange, GAMMA) == unknown


async def test_taking_back_by_report(gateway: Gateway) -> None:
    """13: one's own, asked and answered; somebody else's."""
    (row,) = (await gateway.accepted(SENT)).deliveries
    await gateway.bring()
    await gateway.fetch_and_confirm(BETA, row.id)
    theirs = replace(take_back(BETA), sender=replace(SENT.sender, organ_id=GAMMA))
    assert await told(gateway, theirs, GAMMA) == ["RECALL-OWNER"]
    assert await told(gateway, take_back(BETA)) == []
    assert await told(gateway, report(StatusCode.CHANGE_AGREED, SENT), BETA) == []
