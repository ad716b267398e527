"""The states of a delivery, and the only functions that change them.

Two states live side by side on each delivery. The *transport* state is the gateway's own knowledge
of where the package is; the *business* state is what the receiving agency has said about it
(edXML section 4). `advance()` moves the first, `acknowledge()` the second; both are pure, total and
answer with a value. The database adapter stores only what they return.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from envelopes.findings import Sentence
from envelopes.model import StatusCode


class TransportState(StrEnum):
    """Where a package is on its way to one recipient."""

    #: Recorded; the broker has not confirmed its doorbell yet.
    ACCEPTED = "accepted"
    #: In the connection's queue, or waiting for the time of the next attempt.
    QUEUED = "queued"
    #: In the recipient's inbox, not fetched yet (pull connections).
    OFFERED = "offered"
    #: An attempt is under way, or the recipient has fetched the bytes and not confirmed yet.
    DELIVERING = "delivering"
    #: The last attempt ended without an answer: the recipient may or may not have the package.
    UNKNOWN = "unknown"
    #: An operator stopped it for the time being.
    HELD = "held"
    #: Attempts are used up; an operator decides: replay or return.
    DEAD = "dead"
    #: The receiving system has the whole package and said so.
    DELIVERED = "delivered"
    #: It cannot or may not reach this recipient; the sender was told why.
    RETURNED = "returned"
    #: Taken back before the recipient saw it.
    WITHDRAWN = "withdrawn"
    #: Nobody fetched it within the time allowed; the sender was told.
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the outcome for this recipient is known."""
        return self in FINAL


FINAL = frozenset(
    {
        TransportState.DELIVERED,
        TransportState.RETURNED,
        TransportState.WITHDRAWN,
        TransportState.EXPIRED,
    }
)


class Happening(StrEnum):
    """What can happen to a delivery; also the event types of the log (``delivery.<value>``)."""

    RELAYED = "relayed"
    OFFERED = "offered"
    ATTEMPTED = "attempted"
    FETCHED = "fetched"
    DELIVERED = "delivered"
    TRY_LATER = "try-later"
    OUTCOME_UNKNOWN = "outcome-unknown"
    INTERRUPTED = "interrupted"
    EXHAUSTED = "exhausted"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    HELD = "held"
    RELEASED = "released"
    REPLAYED = "replayed"
    RESUBMITTED = "resubmitted"


_S = TransportState
_H = Happening
#: States in which a doorbell means work.
WAITING = (_S.ACCEPTED, _S.QUEUED)
_UNDER_WAY = (_S.DELIVERING, _S.UNKNOWN)
_UNSEEN = (_S.ACCEPTED, _S.QUEUED, _S.OFFERED, _S.HELD, _S.DEAD)

#: Every legal step. What is not here is impossible, and `advance` says so.
TRANSITIONS: dict[tuple[TransportState, Happening], TransportState] = {
    (_S.ACCEPTED, _H.RELAYED): _S.QUEUED,
    **{(state, _H.OFFERED): _S.OFFERED for state in WAITING},
    **{(state, _H.ATTEMPTED): _S.DELIVERING for state in (*WAITING, _S.UNKNOWN)},
    # A recipient may fetch as often as it likes until it confirms, and again after that.
    **{(state, _H.FETCHED): _S.DELIVERING for state in (_S.OFFERED, _S.DELIVERING)},
    (_S.DELIVERED, _H.FETCHED): _S.DELIVERED,
    # A late receipt still wins: whatever we believed, the recipient says that it has the package
    # (lessons 4). So even what was returned or has expired meanwhile turns out to be delivered.
    **{
        (state, _H.DELIVERED): _S.DELIVERED
        for state in (
            *WAITING,
            *_UNDER_WAY,
            _S.OFFERED,
            _S.HELD,
            _S.DEAD,
            _S.RETURNED,
            _S.EXPIRED,
        )
    },
    **{(state, _H.TRY_LATER): _S.QUEUED for state in _UNDER_WAY},
    (_S.DELIVERING, _H.OUTCOME_UNKNOWN): _S.UNKNOWN,
    # The worker that owned the attempt is gone: nobody knows how far it came.
    (_S.DELIVERING, _H.INTERRUPTED): _S.UNKNOWN,
    **{(state, _H.EXHAUSTED): _S.DEAD for state in (*WAITING, *_UNDER_WAY)},
    **{(state, _H.RETURNED): _S.RETURNED for state in (*_UNSEEN, *_UNDER_WAY)},
    **{(state, _H.WITHDRAWN): _S.WITHDRAWN for state in _UNSEEN},
    **{(state, _H.EXPIRED): _S.EXPIRED for state in (*_UNSEEN, *_UNDER_WAY)},
    **{(state, _H.HELD): _S.HELD for state in (*WAITING, _S.OFFERED)},
    (_S.HELD, _H.RELEASED): _S.ACCEPTED,
    **{(state, _H.REPLAYED): _S.ACCEPTED for state in (_S.DEAD, _S.EXPIRED)},
    # The sender hands the same package in again after its cause was mended.
    **{(state, _H.RESUBMITTED): _S.ACCEPTED for state in (_S.RETURNED, _S.EXPIRED)},
}


@dataclass(frozen=True, slots=True)
class Impossible:
    """A step that the present state does not allow; nothing was changed."""

    state: TransportState
    happening: Happening

    @property
    def sentence(self) -> Sentence:
        """Why, for people."""
        verb, state = _VERBS[self.happening], NOW[self.state]
        return Sentence(
            vi=f"Không thể {verb.vi} lượt gửi này: {state.vi}.",
            en=f"This delivery cannot be {verb.en}: {state.en}.",
        )


#: What somebody wanted to be done, for `Impossible`.
_VERBS: dict[Happening, Sentence] = {
    Happening.RELAYED: Sentence("đưa vào hàng đợi", "put into the queue"),
    Happening.OFFERED: Sentence("đặt vào hộp nhận", "put into the inbox"),
    Happening.ATTEMPTED: Sentence("thử chuyển", "attempted"),
    Happening.FETCHED: Sentence("lấy về", "fetched"),
    Happening.DELIVERED: Sentence("xác nhận", "confirmed"),
    Happening.TRY_LATER: Sentence("hẹn chuyển lại", "put off"),
    Happening.OUTCOME_UNKNOWN: Sentence("ghi là chưa rõ kết quả", "noted as unknown"),
    Happening.INTERRUPTED: Sentence("ghi là bị gián đoạn", "noted as interrupted"),
    Happening.EXHAUSTED: Sentence("ghi là đã thử hết số lần", "noted as used up"),
    Happening.RETURNED: Sentence("trả lại bên gửi", "returned to the sender"),
    Happening.WITHDRAWN: Sentence("thu hồi", "withdrawn"),
    Happening.EXPIRED: Sentence("ghi là quá hạn", "noted as expired"),
    Happening.HELD: Sentence("tạm giữ", "held"),
    Happening.RELEASED: Sentence("cho đi tiếp", "released"),
    Happening.REPLAYED: Sentence("chuyển lại từ đầu", "started again"),
    Happening.RESUBMITTED: Sentence("gửi lại", "handed in again"),
}
#: Where a delivery is, for people.
NOW: dict[TransportState, Sentence] = {
    TransportState.ACCEPTED: Sentence("trục đã nhận và đang chờ chuyển", "it is about to go on"),
    TransportState.QUEUED: Sentence("đang chờ chuyển", "it waits to be handed over"),
    TransportState.OFFERED: Sentence(
        "đã nằm trong hộp nhận, bên nhận chưa lấy", "it is in the inbox and was not fetched yet"
    ),
    TransportState.DELIVERING: Sentence(
        "đang được chuyển, chưa xác nhận", "it is being handed over and was not confirmed yet"
    ),
    TransportState.UNKNOWN: Sentence(
        "chưa rõ bên nhận đã có hay chưa", "it is not known whether the recipient has it"
    ),
    TransportState.HELD: Sentence("người vận hành đang tạm giữ", "an operator holds it"),
    TransportState.DEAD: Sentence("đã thử hết số lần", "its attempts are used up"),
    TransportState.DELIVERED: Sentence("bên nhận đã có đủ", "the recipient has it"),
    TransportState.RETURNED: Sentence("đã trả lại bên gửi", "it was returned to the sender"),
    TransportState.WITHDRAWN: Sentence("đã được thu hồi", "it was taken back"),
    TransportState.EXPIRED: Sentence("đã quá hạn", "it has expired"),
}


def advance(state: TransportState, happening: Happening) -> TransportState | Impossible:
    """The state after `happening`, or why it cannot happen. The only place a state changes."""
    return TRANSITIONS.get((state, happening)) or Impossible(state, happening)


class ReportEffect(StrEnum):
    """What an acknowledgement did to the business state."""

    #: It moved the state forward.
    APPLIED = "applied"
    #: The same was reported before: nothing changed.
    REPEATED = "repeated"
    #: An older step that came late: recorded, the state stays.
    LATE = "late"
    #: It contradicts what is final: recorded, answered with an error, nothing changed.
    IMPOSSIBLE = "impossible"
    #: Not a step of this ladder (13, 15, 16): recorded and passed on.
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The business state after a report, and what the report did."""

    state: StatusCode | None
    effect: ReportEffect
    sentence: Sentence


_LADDER = (
    StatusCode.ARRIVED,
    StatusCode.ACCEPTED,
    StatusCode.ASSIGNED,
    StatusCode.PROCESSING,
    StatusCode.FINISHED,
)
#: 02 is possible from nothing, 01 or 03 (lifecycle, "Business").
_REFUSABLE = (None, StatusCode.ARRIVED, StatusCode.ACCEPTED)


def acknowledge(state: StatusCode | None, code: StatusCode) -> Acknowledged:
    """Apply the agency's report `code` to the business `state` (edXML section 4).

    Steps may be skipped forward. 02 is final, and so is 06.
    """
    if code not in _LADDER and code is not StatusCode.REFUSED:
        return Acknowledged(state, ReportEffect.RECORDED, _told("ghi nhận", "recorded", code))
    if code is state:
        return Acknowledged(state, ReportEffect.REPEATED, _told("đã có", "known already", code))
    if state is StatusCode.REFUSED or (code is StatusCode.REFUSED and state not in _REFUSABLE):
        return Acknowledged(state, ReportEffect.IMPOSSIBLE, _contradiction(state, code))
    if code is StatusCode.REFUSED or state is None:
        return Acknowledged(code, ReportEffect.APPLIED, _told("áp dụng", "applied", code))
    if _LADDER.index(code) < _LADDER.index(state):
        return Acknowledged(state, ReportEffect.LATE, _told("đến muộn", "came late", code))
    return Acknowledged(code, ReportEffect.APPLIED, _told("áp dụng", "applied", code))


def _told(vi: str, en: str, code: StatusCode) -> Sentence:
    return Sentence(vi=f"Trạng thái {code}: {vi}.", en=f"Status {code}: {en}.")


def _contradiction(state: StatusCode | None, code: StatusCode) -> Sentence:
    return Sentence(
        vi=f"Không thể báo {code} sau {state}: {state} là kết quả không thể đổi bằng {code}.",
        en=f"Status {code} cannot follow {state}: {state} cannot be changed by {code}.",
    )
