"""Requests to a receiver to give back, update or replace its copy, and their answers 15 and 16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from envelopes.model import StatusCode
from routing.records import Change, Delivery, Event, Link


class RequestKind(StrEnum):
    """What a receiver is asked to agree to."""

    RECALL = "recall"
    UPDATE = "update"
    REPLACEMENT = "replacement"


class RequestState(StrEnum):
    """How a request stands."""

    PENDING = "pending"
    #: The receiver answered 15.
    AGREED = "agreed"
    #: The receiver answered 16.
    REFUSED = "refused"
    #: A later request about the same copy took its place.
    SUPERSEDED = "superseded"


class ChangeState(StrEnum):
    """The last request about a copy, as it is shown beside its business state."""

    RECALL_PENDING = "recall-pending"
    RECALLED = "recalled"
    RECALL_REFUSED = "recall-refused"
    UPDATE_PENDING = "update-pending"
    UPDATED = "updated"
    UPDATE_REFUSED = "update-refused"
    REPLACEMENT_PENDING = "replace-pending"
    REPLACED = "replaced"
    REPLACEMENT_REFUSED = "replace-refused"


_SHOWN = {
    RequestKind.RECALL: (
        ChangeState.RECALL_PENDING,
        ChangeState.RECALLED,
        ChangeState.RECALL_REFUSED,
    ),
    RequestKind.UPDATE: (
        ChangeState.UPDATE_PENDING,
        ChangeState.UPDATED,
        ChangeState.UPDATE_REFUSED,
    ),
    RequestKind.REPLACEMENT: (
        ChangeState.REPLACEMENT_PENDING,
        ChangeState.REPLACED,
        ChangeState.REPLACEMENT_REFUSED,
    ),
}


def shown(kind: RequestKind, state: RequestState) -> ChangeState:
    """What a request in this state shows on its copy."""
    pending, agreed, refused = _SHOWN[kind]
    return {RequestState.AGREED: agreed, RequestState.REFUSED: refused}.get(state, pending)


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One request about one copy. `carrier_id` is the delivery that brings it to the receiver."""

    id: str
    kind: RequestKind
    document_pk: str
    delivery_id: str
    carrier_id: str | None
    state: RequestState
    reason: str
    requested_at: datetime
    answered_at: datetime | None = None
    answer: str = ""


def request_change(
    copy: Delivery,
    kind: RequestKind,
    state: RequestState,
    actor: str,
    now: datetime,
    data: Mapping[str, object],
) -> Change:
    """A step of a request, on the copy it is about: `change_state` moves, nothing else does."""
    after = replace(copy, change_state=shown(kind, state).value, updated_at=now)
    event = Event(
        type=f"change.{shown(kind, state)}",
        at=now,
        actor=actor,
        document_pk=copy.document_pk,
        package_id=copy.package_id,
        delivery_id=copy.id,
        from_state=copy.change_state,
        to_state=after.change_state,
        correlation_id=copy.correlation_id,
        data=dict(data),
    )
    return Change(copy, after, event)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver's 15 or 16 did to the requests about its copies."""

    changes: tuple[Change, ...]
    requests: tuple[ChangeRequest, ...]


def answer_requests(
    code: StatusCode,
    pending: Sequence[tuple[ChangeRequest, Delivery]],
    description: str,
    actor: str,
    now: datetime,
    status_package: str,
) -> Answered:
    """Settle what the receiver was asked last; each request comes with the copy it is about."""
    agreed = code is StatusCode.CHANGE_AGREED
    state = RequestState.AGREED if agreed else RequestState.REFUSED
    data = {"code": code.value, "description": description, "statusPackage": status_package}
    changes, settled = [], []
    for request, copy in pending:
        settled.append(replace(request, state=state, answered_at=now, answer=description))
        changes.append(request_change(copy, request.kind, state, actor, now, data))
    return Answered(tuple(changes), tuple(settled))


class RequestStore(Protocol):
    """Requests to change copies, and links between documents."""

    async def add(self, requests: Sequence[ChangeRequest]) -> None:
        """Keep new requests."""

    async def settle(self, requests: Sequence[ChangeRequest]) -> None:
        """Store the state and answer of known requests."""

    async def pending_of_document(self, document_pk: str) -> list[ChangeRequest]:
        """Requests about a document's copies that are not answered, oldest first."""

    async def pending_for(self, document_pk: str, recipient: str) -> list[ChangeRequest]:
        """Unanswered requests about, or carried by, this document's copies of one recipient."""

    async def superseded_for(self, document_pk: str, recipient: str) -> list[ChangeRequest]:
        """The same, of those in whose place a later request came."""

    async def of_document(self, document_pk: str) -> list[ChangeRequest]:
        """All requests about a document's copies, oldest first."""

    async def link(self, link: Link, now: datetime) -> None:
        """Tie two documents; doing so again changes nothing."""

    async def links_of(self, document_pks: Sequence[str]) -> list[Link]:
        """Links from or to these documents."""
