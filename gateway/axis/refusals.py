"""Packages from an axis that are refused for good: the sender is told, and it is written down.

`fail` would only make the axis offer the package again. So its sender gets a status 02 from this
gateway, back through the axis, and the axis hears `done`. The report's words and time depend on the
item alone: told again after a crash in between, it is the same bytes, hence the same package.

One answer of the axis is not believed where nothing in it could be: bytes that are no package may
have been spoiled on the way. Only the same bytes, fetched once more, are refused for good.

Where nobody can be told yet, the refusal is remembered and only the telling is tried again, for a
bounded time. State secrets and malware do not wait: nobody fetches them a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, Document, StatusReport
from envelopes.read import ReadResult
from gateway import clock
from gateway.axis.items import Item
from gateway.intake import IntakeFault, NotReceived
from routing.accept import ALARMS
from routing.gateway_reports import About, Issued, record_issued
from routing.lanes import Lane, lane_of
from routing.ports import Transaction
from routing.records import Delivery, Event, Reason
from routing.route_table import Connection, RouteTable
from routing.states import TransportState
from routing.submission import RefusalKind, Refused

if TYPE_CHECKING:
    from gateway.services import Services

#: What a sender is not told of: reports about reports are never made, and a forger is not answered.
_UNTOLD = frozenset(
    {
        RefusalKind.NOT_THE_SENDER,
        RefusalKind.IMPOSSIBLE_REPORT,
    }
)
#: Of what was not received: what the same bytes would meet again.
FOR_GOOD = frozenset({IntakeFault.TOO_LARGE, IntakeFault.EMPTY})
#: Kinds and rules that what is known besides the package decides: the directory, other documents.
_DEPENDS = frozenset({RefusalKind.OTHER_CONTENT, RefusalKind.NOT_THE_OWNER})
_DEPENDING_RULES = frozenset({"ID-RECIPIENT", "HEAD-REPLY"})
#: How long a way to the sender of what was refused is looked for, seconds from the first refusal.
#: A day: a directory that could bring it comes every six hours, a person comes the next morning.
GIVE_UP_AFTER = 86_400.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that is refused for good."""

    item: Item
    #: A program's word for it, and the sentence for the sender.
    why: str
    sentence: Sentence
    read: ReadResult | None = None
    digest: str = ""
    rules: tuple[str, ...] = ()
    #: Whether its sender has to be told.
    told: bool = True
    #: Whether the bytes may be spoiled: a second fetch has to give the same ones.
    doubtful: bool = False
    #: Whether nothing but the package itself speaks against it: it cannot become good.
    settled: bool = True
    #: Whether it is never fetched again, told or not: a state secret, malware.
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Untold:
    """A refusal that waits for a way to its sender, and since when (monotonic seconds)."""

    rejection: Rejected
    since: float


def is_over(since: float, now: float) -> bool:
    """Whether it was waited for long enough (both monotonic seconds)."""
    return now - since >= GIVE_UP_AFTER


def rejected(item: Item, refused: Refused, read: ReadResult, digest: str) -> Rejected:
    """A refusal of the accept use case."""
    wrong = [finding for finding in refused.findings if finding.refuses] or list(refused.findings)
    sentences = [finding.sentence for finding in wrong[:3]]
    sentence = Sentence(
        vi=" ".join(one.vi for one in sentences) or refused.kind.value,
        en=" ".join(one.en for one in sentences) or refused.kind.value,
    )
    report = isinstance(read.package, StatusReport)
    rules = {finding.rule for finding in wrong}
    at_once = refused.kind is RefusalKind.INVALID and not rules.isdisjoint(ALARMS)
    return Rejected(
        item,
        refused.kind.value,
        sentence,
        read,
        digest,
        tuple(sorted(rules)),
        told=refused.kind not in _UNTOLD and not report and not item.is_report,
        # Another's package under this id may be the axis' mistake, and is answered to nobody.
        doubtful=read.package is None or refused.kind is RefusalKind.NOT_THE_SENDER,
        settled=at_once or (refused.kind not in _DEPENDS and not rules & _DEPENDING_RULES),
        at_once=at_once,
    )


def not_taken(item: Item, fault: NotReceived) -> Rejected:
    """A package that no second try would bring in."""
    sentence = Sentence(
        vi=f"Không nhận được gói tin: {fault.measured.vi}.",
        en=f"The package cannot be taken: {fault.measured.en}.",
    )
    empty = fault.fault is IntakeFault.EMPTY
    return Rejected(item, fault.fault.value, sentence, told=not item.is_report, doubtful=empty)


async def can_be_told(services: Services, rejection: Rejected) -> bool:
    """Whether its sender need not be told, or there is a way to it now."""
    if not rejection.told:
        return True
    routes = await services.registry.routes(newest=True)
    return await _report(services, routes, rejection) is not None


async def tell(
    services: Services, connection: Connection, rejection: Rejected, *, give_up: bool = False
) -> bool | None:
    """Tell the sender where it has to be told, write the refusal down; whether it was told.

    None when nobody could be told yet, because the sender is not known or nothing leads there: then
    nothing is written down either, unless it is time to `give_up`.
    """
    # The directory of a fresh axis comes beside its first packages.
    routes = await services.registry.routes(newest=True)
    report = await _report(services, routes, rejection) if rejection.told else None
    if rejection.told and report is None and not give_up:
        return None
    now = clock.now()
    item = rejection.item
    event = Event(
        type="axis.refused",
        at=now,
        actor=f"connection:{connection.name}",
        data={
            "docId": item.doc_id,
            "from": item.sender,
            "to": list(item.recipients),
            "why": rejection.why,
            "rules": list(rejection.rules),
            "digest": rejection.digest,
            "sentence": {"vi": rejection.sentence.vi, "en": rejection.sentence.en},
            "senderTold": report is not None,
        },
    )

    async def write(tx: Transaction) -> None:
        recorded = await record_issued(tx, [report], None) if report is not None else []
        if recorded or report is None:
            await tx.append([event])

    await services.database.write(write)
    services.outbox.notify()
    return report is not None


async def _report(services: Services, routes: RouteTable, rejection: Rejected) -> Issued | None:
    """The status 02; None where nobody can be told."""
    about = _about(routes, rejection)
    if about is None:
        return None
    item, now = rejection.item, clock.now()
    moment = item.created or _same_day(now)
    like = _like(rejection, now)
    told_for = ", ".join(item.recipients[:5]) or "?"
    reason = Reason(rejection.why, _sentence(rejection, about))
    issued = await services.reports.refusal(about, told_for, reason, routes, like, moment)
    if issued is None:
        return None
    return Issued(
        replace(issued.package, received_at=now),
        replace(issued.delivery, created_at=now, updated_at=now, ring_at=now, fair_key=now),
        tuple(replace(event, at=now) for event in issued.events),
    )


def _sentence(rejection: Rejected, about: About) -> Sentence:
    """Why; where the document's own id could not be read, the sender learns whose the id is."""
    sentence, doc_id = rejection.sentence, rejection.item.doc_id
    if about.document_id != doc_id:
        return sentence
    return Sentence(
        vi=f"Không đọc được DocumentId; docId của gói tin trên trục là {doc_id}. {sentence.vi}",
        en=f"The DocumentId cannot be read; the axis' docId is {doc_id}. {sentence.en}",
    )


def _about(routes: RouteTable, rejection: Rejected) -> About | None:
    """The document in its sender's words, as far as they could be read."""
    item, read = rejection.item, rejection.read
    package = read.package if read else None
    if isinstance(package, Document):
        written, document_id = package.sender.organ_id, package.document_id
        parts = (package.code.number, package.code.notation)
        code, day = "/".join(part for part in parts if part), package.promulgation_date
    else:
        # Only the axis says who it was: what is in the package could not be believed.
        written = item.sender
        document_id, code, day = (read.document_id if read else "") or item.doc_id, "", None
    if not written:
        return None
    return About(
        sender=routes.key_of_text(written),
        sender_organ_id=written,
        document_pk=None,
        document_id=document_id,
        code=code,
        promulgation_date=day,
    )


def _like(rejection: Rejected, now: datetime) -> Delivery:
    """What the report takes its lane and correlation id from."""
    package = rejection.read.package if rejection.read else None
    lane = lane_of(package.priority) if isinstance(package, Document) else Lane.ORDINARY
    fields: dict[str, Any] = {
        "package_id": "",
        "document_pk": None,
        "recipient": "",
        "recipient_organ_id": "",
        "recipient_name": "",
        "connection_id": None,
    }
    return Delivery(
        id="",
        lane=lane,
        state=TransportState.RETURNED,
        fair_key=now,
        created_at=now,
        updated_at=now,
        correlation_id=clock.new_id(),
        **fields,
    )


def _same_day(now: datetime) -> datetime:
    """One moment for a whole day, where the axis names none."""
    local = now.astimezone(VIETNAM_TIME)
    return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
