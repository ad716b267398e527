"""What the database keeps, as frozen values: packages, documents, deliveries, attempts, events.

Use cases read and make these values; the database adapter stores them without judging. Agencies are
named by their *organ key*: the canonical code that the directory gives one agency whatever old or
new code a package used.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from envelopes.findings import Finding, Sentence
from envelopes.model import BusinessDocType, StatusCode
from routing.lanes import Lane
from routing.states import Happening, Impossible, TransportState, advance

#: Package kinds as stored and shown.
DOCUMENT = "document"
STATUS = "status"


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """One accepted edXML package. Its bytes lie in the payload store under `digest`."""

    id: str
    kind: str
    sender: str
    sender_organ_id: str
    sender_name: str
    #: The connection that handed it in; None for what the gateway itself issued.
    connection_id: str | None
    #: The document it is, or is about; None for a report about a document unknown here.
    document_pk: str | None
    document_id: str
    #: BussinessDocType of a document, StatusCode of a report.
    meaning: str
    version: int
    digest: str
    size: int
    lane: Lane
    correlation_id: str
    received_at: datetime
    #: When it counts as sent by law (BT 7); None where no calendar was asked.
    legal_sent_at: datetime | None = None
    #: What listings show: subject, code, type_name, priority, attachments …
    summary: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One document of one sender through all its versions; its row is the lock of its life."""

    pk: str
    sender: str
    document_id: str
    version: int
    subject: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a delivery is where it is: a code for programs, a sentence for people."""

    code: str
    sentence: Sentence
    #: Whether handing the package in again could end otherwise.
    try_again: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data; part of the REST API."""
        return {
            "code": self.code,
            "vi": self.sentence.vi,
            "en": self.sentence.en,
            "tryAgain": self.try_again,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Reason:
        """The reason that `as_dict` wrote."""
        return cls(data["code"], Sentence(data["vi"], data["en"]), bool(data["tryAgain"]))


#: Held until the malware scanner has seen the package (FILE-MALWARE: KG 9.2).
NOT_SCANNED = Reason(
    "not-scanned",
    Sentence(
        vi="Đang chờ quét mã độc: gói tin chỉ được chuyển tiếp sau khi quét xong.",
        en="Waits for the malware scan: nothing is passed on before it is scanned.",
    ),
    try_again=True,
)
#: Held until a fresh list of revoked certificates is had (reliability 2.3: hold, do not reject).
NO_REVOCATION_LIST = Reason(
    "revocation-unknown",
    Sentence(
        vi="Đang chờ danh sách thu hồi mới: chưa biết chứng thư ký có bị thu hồi hay không.",
        en="Waits for a fresh list of revoked certificates: the signer's may be among them.",
    ),
    try_again=True,
)
#: What the gateway itself waits for; an operator cannot wave these through.
CHECKS_WAITED_FOR = (NOT_SCANNED, NO_REVOCATION_LIST)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One package for one recipient.

    `ring_at` is the outbox part of the row: the time from which a relay may publish the doorbell;
    None when there is nothing to relay. `lease_owner` and `lease_until` name the worker that an
    attempt belongs to.
    """

    id: str
    package_id: str
    document_pk: str | None
    recipient: str
    recipient_organ_id: str
    recipient_name: str
    connection_id: str | None
    lane: Lane
    state: TransportState
    fair_key: datetime
    created_at: datetime
    updated_at: datetime
    correlation_id: str
    version: int = 1
    business_state: StatusCode | None = None
    #: The last request to take back, update or replace this copy (`routing.lifecycle.ChangeState`).
    change_state: str | None = None
    attempts: int = 0
    ring_at: datetime | None = None
    ring_failures: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    offered_at: datetime | None = None
    fetched_at: datetime | None = None
    delivered_at: datetime | None = None
    #: When it counts as received by law: within the receiver's office hours (BT 7).
    legal_received_at: datetime | None = None
    reason: Reason | None = None
    #: What the partner said last of a copy that waits in its list (`routing.pull_notes.Said`), its
    #: own words, and when. Over as soon as something else happens to the copy.
    noted: str | None = None
    noted_why: str | None = None
    noted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only log, written in the transaction of the change it tells of."""

    type: str
    at: datetime
    #: Who or what caused it: ``connection:<name>``, ``operator:<name>``, ``person:<name>``,
    #: ``gateway:<role>``.
    actor: str
    document_pk: str | None = None
    package_id: str | None = None
    delivery_id: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    correlation_id: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    #: Given by the database; 0 before.
    seq: int = 0


#: Events: a person read a document's content; a connection read its own package back.
DOCUMENT_READ = "document.read"
PACKAGE_READ = "package.read"

#: Kinds of links between documents.
REPLIES_TO = "replies-to"
REPLACES = "replaces"


@dataclass(frozen=True, slots=True)
class Link:
    """One document answers or replaces another; `package_id` is the package that said so."""

    from_pk: str
    to_pk: str
    kind: str
    package_id: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at handing a delivery over; written before it starts, completed afterwards."""

    delivery_id: str
    number: int
    owner: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery before and after one happening, with the event that tells of it."""

    before: Delivery
    after: Delivery
    event: Event


#: A copy of which the partner has said nothing since.
NOTHING_NOTED: dict[str, Any] = {"noted": None, "noted_why": None, "noted_at": None}


def change(
    delivery: Delivery,
    happening: Happening,
    *,
    actor: str,
    now: datetime,
    data: dict[str, Any] | None = None,
    **fields: Any,
) -> Change | Impossible:
    """Let `happening` happen to `delivery`; `fields` are set on the result besides the state.

    The one way in which a delivery changes its state: no change without its event.
    """
    state = advance(delivery.state, happening)
    if isinstance(state, Impossible):
        return state
    after = replace(delivery, **{**NOTHING_NOTED, **fields, "state": state, "updated_at": now})
    event = Event(
        type=f"delivery.{happening}",
        at=now,
        actor=actor,
        document_pk=delivery.document_pk,
        package_id=delivery.package_id,
        delivery_id=delivery.id,
        from_state=delivery.state.value,
        to_state=state.value,
        correlation_id=delivery.correlation_id,
        data=data or {},
    )
    return Change(delivery, after, event)


#: Why a delivery is dead: nobody has it, or nobody knows whether somebody does.
EXHAUSTED = "attempts-exhausted"
EXHAUSTED_UNSURE = "attempts-exhausted-unknown"
#: Why an operator's return is one: nobody has it, or nobody knows whether somebody does.
RETURNED_BY_OPERATOR = "returned-by-operator"
RETURNED_UNSURE = "returned-by-operator-unknown"


def exhausted(sentence: Sentence, *, unsure: bool) -> Reason:
    """The attempts are used up; `unsure`: one of them may have arrived all the same."""
    return Reason(EXHAUSTED_UNSURE if unsure else EXHAUSTED, sentence, try_again=True)


def given_back(copy: Delivery, sentence: Sentence) -> Reason:
    """An operator returns it; an attempt without an answer yet may have arrived all the same."""
    under_way = copy.state in (TransportState.DELIVERING, TransportState.UNKNOWN)
    unsure = under_way or is_unsure(copy)
    code = RETURNED_UNSURE if unsure else RETURNED_BY_OPERATOR
    return Reason(code, sentence, try_again=True)


def is_unsure(copy: Delivery) -> bool:
    """Whether attempts ended without an answer before it was given up or returned.

    Also when it was started again after that. The reason stays with the delivery until the partner
    has answered: what its state cannot tell.
    """
    return copy.reason is not None and copy.reason.code in (EXHAUSTED_UNSURE, RETURNED_UNSURE)


#: States that a package may be in without ever having come near its recipient.
_UNREACHED = (
    TransportState.ACCEPTED,
    TransportState.QUEUED,
    TransportState.HELD,
    TransportState.RETURNED,
    TransportState.WITHDRAWN,
    TransportState.EXPIRED,
)


def can_have(copy: Delivery) -> bool:
    """Whether the recipient may have the package: offered or tried, and not taken back unseen.

    Who cannot have a package has nothing to report on it, and nothing of it to be shown.
    """
    if is_unsure(copy):
        return True
    untouched = copy.offered_at is None and copy.fetched_at is None and copy.attempts == 0
    if untouched and copy.state in _UNREACHED:
        return False
    unseen = copy.fetched_at is None and copy.attempts == 0
    return not (copy.state is TransportState.WITHDRAWN and unseen)


def is_new_content(meaning: str) -> bool:
    """Whether a document package of this BussinessDocType brings a document that must be new.

    Revocations and updates speak about a document that exists; only new documents and replacements
    claim a DocumentId for themselves.
    """
    return meaning in (BusinessDocType.NEW, BusinessDocType.REPLACEMENT)
