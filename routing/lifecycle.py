"""Recall, update, replacement: what a package means for the copies that went out before it.

Pure: copies, requests and the package's own new deliveries in, a `Plan` out. The record step of
the accept use cases runs it under the lock of the document and of the copies, so a race with a
fetch has exactly one outcome, and the sender is told the true one (lifecycle, "Recall").

For one copy there are four ways. Nobody has seen it: the gateway withdraws it and answers 15
itself. The receiver has it, or may have it: it is asked, and answers 15 or 16 later. It is finished
(06) or refused (02): answered 16 at once, with the reason. It was taken back before, or never
arrived: 15 again, harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from envelopes.findings import Sentence
from envelopes.model import StatusCode
from routing.change_requests import (
    ChangeRequest,
    ChangeState,
    RequestKind,
    RequestState,
    request_change,
)
from routing.gateway_reports import About
from routing.records import Change, Delivery, Reason, change, is_unsure
from routing.states import Happening, TransportState


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """A 15 or 16 that the gateway gives the sender itself, about one recipient."""

    recipient: str
    recipient_organ_id: str
    code: StatusCode
    sentence: Sentence
    #: The document that is spoken of; a replacement speaks of those before it.
    document_pk: str | None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """A receiver that is asked by a status 13: no package is addressed to it."""

    #: All that it was ever sent of the document, by version.
    mine: tuple[Delivery, ...]
    kind: RequestKind

    @property
    def copy(self) -> Delivery:
        """The copy that is asked for."""
        return _held(self.mine)[-1]


@dataclass(slots=True)
class Plan:
    """What is to be stored together with the package."""

    #: The package's own deliveries, some of which have nothing to ask any more.
    deliveries: list[Delivery] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    requests: list[ChangeRequest] = field(default_factory=list)
    superseded: list[ChangeRequest] = field(default_factory=list)
    answers: list[GatewayAnswer] = field(default_factory=list)
    take_backs: list[TakeBack] = field(default_factory=list)
    #: Other documents than the package's own that the gateway speaks of, by their keys.
    abouts: dict[str, About] = field(default_factory=dict)


#: Nobody has seen a copy in these states (unless it was fetched before an operator held it, or an
#: attempt without an answer may have brought it: `routing.records.is_unsure`).
_UNSEEN = (
    TransportState.ACCEPTED,
    TransportState.QUEUED,
    TransportState.OFFERED,
    TransportState.HELD,
    TransportState.DEAD,
)
#: It never reached the receiver, as far as is known (`gone`), or was taken back.
GONE_STATES = (TransportState.WITHDRAWN, TransportState.RETURNED, TransportState.EXPIRED)

WITHDRAWN = Sentence(
    vi="Trục đã thu hồi trước khi bên nhận lấy: bên nhận chưa hề lấy văn bản này về.",
    en="The gateway withdrew it in time: the receiver never fetched it.",
)
GONE = Sentence(
    vi="Bên nhận không giữ văn bản này (chưa từng đến nơi hoặc đã được thu hồi trước đó).",
    en="The receiver does not have it (it never arrived, or was taken back before).",
)
FINISHED = Sentence(
    vi="Bên nhận đã xử lý xong (06): không thu hồi được.",
    en="The receiver has finished with it (06): it cannot be taken back.",
)
REFUSED_BEFORE = Sentence(
    vi="Bên nhận đã từ chối văn bản này (02): không còn gì để thu hồi.",
    en="The receiver refused it (02): there is nothing to take back.",
)
#: What cannot be taken back any more, and why.
_FINAL: dict[StatusCode | None, Sentence] = {
    StatusCode.FINISHED: FINISHED,
    StatusCode.REFUSED: REFUSED_BEFORE,
}
ASKED_BEFORE = Sentence(
    vi="Bên nhận đã được yêu cầu và chưa trả lời; không hỏi lần nữa.",
    en="The receiver was asked before and has not answered; it is not asked twice.",
)
NEVER_SENT = Sentence(
    vi="Cơ quan này chưa từng được gửi văn bản nên không có gì để thu hồi.",
    en="This agency was never sent the document, so there is nothing to take back.",
)
SUPERSEDED = Sentence(
    vi="Bản cũ chưa được lấy; bên nhận sẽ nhận thẳng bản mới.",
    en="The older version was not fetched; the receiver gets the newer one instead.",
)


@dataclass(frozen=True, slots=True)
class Context:
    """What every step of a plan needs to know."""

    actor: str
    now: datetime
    reason: str
    #: The package that asks, for the log.
    package_id: str
    new_id: Callable[[], str]


def unseen(copy: Delivery) -> bool:
    """Whether the gateway can still take the copy back by itself."""
    return copy.state in _UNSEEN and copy.fetched_at is None and not is_unsure(copy)


def gone(copy: Delivery) -> bool:
    """Whether the receiver surely has it not, and never will by itself."""
    return copy.state in GONE_STATES and not is_unsure(copy)


def _held(mine: Sequence[Delivery]) -> list[Delivery]:
    """What the receiver has, or may have."""
    return [copy for copy in mine if not unseen(copy) and not gone(copy)]


def _was_asked(
    copy: Delivery, pending: Sequence[ChangeRequest], kind: RequestKind, mine: Sequence[Delivery]
) -> bool:
    """Whether the receiver has been asked for this copy, or will be.

    A request without a carrier never arrives, nor does one whose carrier is withdrawn just now: an
    update asks the receivers that it takes off its list, and is a copy itself.
    """
    lost = {None, *(one.id for one in mine if unseen(one))}
    return any(
        one.delivery_id == copy.id and one.kind is kind and one.carrier_id not in lost
        for one in pending
    )


def plan_recall(
    copies: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    carriers: Sequence[Delivery],
    context: Context,
) -> Plan:
    """A revocation: each carrier is the delivery of the revocation to one recipient."""
    plan = Plan()
    for carrier in carriers:
        mine = [copy for copy in copies if copy.recipient == carrier.recipient]
        unreachable = carrier.state is TransportState.RETURNED
        if not copies or (unreachable and not mine):
            plan.deliveries.append(carrier)
        elif not mine:
            plan.deliveries.append(_pointless(carrier, "never-sent", NEVER_SENT))
        else:
            plan.deliveries.append(recall_copies(plan, mine, pending, carrier, context))
    return plan


def recall_copies(
    plan: Plan,
    mine: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    carrier: Delivery,
    context: Context,
) -> Delivery:
    """Take back all versions that one recipient has; the carrier as it is to be stored."""
    for copy in mine:
        if unseen(copy):
            _withdraw(plan, copy, "recalled", WITHDRAWN, context)
    held = _held(mine)
    if not held:
        sentence = WITHDRAWN if any(unseen(copy) for copy in mine) else GONE
        _answer(plan, carrier, StatusCode.CHANGE_AGREED, sentence)
        return _pointless(carrier, "nothing-to-ask", sentence)
    if carrier.state is TransportState.RETURNED:
        # There is no way to this receiver any more: nobody can be asked.
        return carrier
    copy = held[-1]
    if copy.business_state in _FINAL:
        sentence = _FINAL[copy.business_state]
        _answer(plan, carrier, StatusCode.CHANGE_REFUSED, sentence)
        return _pointless(carrier, "cannot-be-recalled", sentence)
    if _was_asked(copy, pending, RequestKind.RECALL, mine):
        return _pointless(carrier, "asked-before", ASKED_BEFORE)
    _ask(plan, RequestKind.RECALL, mine, pending, carrier.id, context)
    return carrier


def plan_update(
    copies: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    drafts: Sequence[Delivery],
    removed: frozenset[str],
    context: Context,
) -> Plan:
    """An update: drafts are the new version's deliveries; `removed` the receivers taken off."""
    plan = Plan()
    addressed = set()
    for draft in drafts:
        addressed.add(draft.recipient)
        mine = [copy for copy in copies if copy.recipient == draft.recipient]
        if draft.state is TransportState.RETURNED:
            plan.deliveries.append(draft)
            continue
        if draft.recipient in removed:
            if mine:
                draft = recall_copies(plan, mine, pending, draft, context)
            else:
                draft = _pointless(draft, "never-sent", NEVER_SENT)
        else:
            _supersede(plan, RequestKind.UPDATE, mine, pending, draft.id, context)
        plan.deliveries.append(draft)
    for recipient in sorted(removed - addressed):
        _take_off(plan, [copy for copy in copies if copy.recipient == recipient], pending, context)
    return plan


def plan_replacement(
    replaced: Sequence[tuple[Sequence[Delivery], frozenset[str]]],
    pending: Sequence[ChangeRequest],
    drafts: Sequence[Delivery],
    context: Context,
) -> Plan:
    """A replacement: of each replaced document its copies, and who is said to have had it.

    Nobody named means everybody who had it.
    """
    plan = Plan(deliveries=list(drafts))
    draft_of = {draft.recipient: draft.id for draft in drafts}
    for copies, holders in replaced:
        for recipient in dict.fromkeys(copy.recipient for copy in copies):
            if holders and recipient not in holders:
                continue
            mine = [copy for copy in copies if copy.recipient == recipient]
            carrier_id = draft_of.get(recipient)
            if carrier_id is None:
                _take_off(plan, mine, pending, context, RequestKind.REPLACEMENT)
            else:
                _supersede(plan, RequestKind.REPLACEMENT, mine, pending, carrier_id, context)
    return plan


def _supersede(
    plan: Plan,
    kind: RequestKind,
    mine: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    carrier_id: str,
    context: Context,
) -> None:
    """Unseen older versions are replaced silently; the receiver of a seen one is asked."""
    for copy in mine:
        if unseen(copy):
            _withdraw(plan, copy, "superseded", SUPERSEDED, context)
    held = _held(mine)
    if held and held[-1].business_state is not StatusCode.REFUSED:
        _ask(plan, kind, mine, pending, carrier_id, context)


def _take_off(
    plan: Plan,
    mine: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    context: Context,
    kind: RequestKind = RequestKind.RECALL,
) -> None:
    """A receiver that no package is addressed to: withdrawn, or asked by a status 13."""
    for copy in mine:
        if unseen(copy):
            _withdraw(plan, copy, "recalled", WITHDRAWN, context)
    held = _held(mine)
    if not held:
        # With an older version still there, it would not be true that nobody saw the document.
        for copy in [copy for copy in mine if unseen(copy)][-1:]:
            _answer(plan, copy, StatusCode.CHANGE_AGREED, WITHDRAWN)
        return
    copy = held[-1]
    if copy.business_state in _FINAL:
        _answer(plan, copy, StatusCode.CHANGE_REFUSED, _FINAL[copy.business_state])
    elif not _was_asked(copy, pending, kind, mine):
        plan.take_backs.append(TakeBack(tuple(mine), kind))


def ask_by(
    plan: Plan,
    take_back: TakeBack,
    pending: Sequence[ChangeRequest],
    carrier_id: str,
    context: Context,
) -> None:
    """Complete a take-back once the status 13 that carries it has a delivery."""
    _ask(plan, take_back.kind, take_back.mine, pending, carrier_id, context)


def _withdraw(plan: Plan, copy: Delivery, code: str, sentence: Sentence, context: Context) -> None:
    step = change(
        copy,
        Happening.WITHDRAWN,
        actor=context.actor,
        now=context.now,
        data={"why": code, "by": context.package_id, "reason": context.reason},
        ring_at=None,
        reason=Reason(code, sentence),
        change_state=ChangeState.RECALLED.value if code == "recalled" else copy.change_state,
    )
    if isinstance(step, Change):
        plan.changes.append(step)


def _ask(
    plan: Plan,
    kind: RequestKind,
    mine: Sequence[Delivery],
    pending: Sequence[ChangeRequest],
    carrier_id: str,
    context: Context,
) -> None:
    """Ask for the newest copy that the receiver has.

    What it was asked before about any version and has not answered is asked anew, by the same
    carrier: one answer settles all of it.
    """
    ids = {copy.id for copy in mine}
    asked = [one for one in pending if one.delivery_id in ids]
    plan.superseded += [replace(one, state=RequestState.SUPERSEDED) for one in asked]
    concerned = {_held(mine)[-1].id, *(one.delivery_id for one in asked)}
    data = {"by": context.package_id, "carrier": carrier_id, "reason": context.reason}
    for copy in mine:
        if copy.id not in concerned or unseen(copy):
            continue
        plan.requests.append(
            ChangeRequest(
                id=context.new_id(),
                kind=kind,
                document_pk=copy.document_pk or "",
                delivery_id=copy.id,
                carrier_id=carrier_id,
                state=RequestState.PENDING,
                reason=context.reason,
                requested_at=context.now,
            )
        )
        plan.changes.append(
            request_change(copy, kind, RequestState.PENDING, context.actor, context.now, data)
        )


def _answer(plan: Plan, about: Delivery, code: StatusCode, sentence: Sentence) -> None:
    plan.answers.append(
        GatewayAnswer(about.recipient, about.recipient_organ_id, code, sentence, about.document_pk)
    )


def _pointless(carrier: Delivery, code: str, sentence: Sentence) -> Delivery:
    """A delivery of a request that need not travel: final from the start."""
    if carrier.state is TransportState.RETURNED:
        return carrier
    return replace(
        carrier, state=TransportState.WITHDRAWN, ring_at=None, reason=Reason(code, sentence)
    )
