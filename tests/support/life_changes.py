"""The machine of `tests.support.life`, with recalls, updates, replacements, replies and answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import Table

from adapters.database import rows
from adapters.database.lifecycle_tables import change_requests
from adapters.database.tables import deliveries, events, packages
from adapters.database.transaction import SqlTransaction
from envelopes.model import (
    Business,
    BusinessDocType,
    BusinessDocumentInfo,
    Document,
    Receiver,
    ReplacementInfo,
    ResponseFor,
    StatusCode,
)
from routing.ports import PublishOutcome, Transaction
from routing.records import DOCUMENT, Delivery, Event, PackageRecord
from routing.replay import Replay
from routing.states import TransportState
from routing.submission import Accepted, Refused
from tests.support.builders import ALPHA, BETA, GAMMA, document, report
from tests.support.life import AT_REST, Life
from tests.support.use_cases import Gateway

#: A copy in these states never came to its receiver, or came back.
GONE = (TransportState.WITHDRAWN, TransportState.RETURNED, TransportState.EXPIRED)
RECEIVERS = st.sampled_from([BETA, GAMMA])
SOME = st.lists(RECEIVERS, min_size=1, unique=True)
ANSWERS = st.sampled_from([StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED])
#: Documents of one life.
MOST = 4
WORDS = st.sampled_from(["nhầm", "sai"])


@dataclass(frozen=True)
class Scene:
    """Everything in the database."""

    deliveries: dict[str, Delivery]
    events: list[Event]
    packages: dict[str, PackageRecord]
    requests: list[dict[str, Any]]
    inboxes: dict[str, list[Delivery]]

    def contents(self, recipient: str = "", document_id: str = "") -> list[Delivery]:
        """Copies of documents (their revocations are none), by version."""
        found = []
        for row in self.deliveries.values():
            package = self.packages[row.package_id]
            is_content = package.kind == DOCUMENT and package.meaning != BusinessDocType.REVOCATION
            mine = recipient in ("", row.recipient_organ_id)
            if is_content and mine and document_id in ("", package.document_id):
                found.append(row)
        return sorted(found, key=lambda row: row.version)

    def pending(self, delivery_id: str) -> list[dict[str, Any]]:
        """Requests about a copy that wait for their answer."""
        return [
            one
            for one in self.requests
            if one["delivery_id"] == delivery_id and one["state"] == "pending"
        ]


async def scene(gateway: Gateway) -> Scene:
    """Read it all; the databases of these tests are small."""

    async def read(tx: Transaction) -> Scene:
        assert isinstance(tx, SqlTransaction)

        async def every(table: Table, by: str) -> Sequence[Any]:
            found = await tx.connection.execute(table.select().order_by(table.c[by]))
            return found.mappings().all()

        inboxes = {}
        for agency in (ALPHA, BETA, GAMMA):
            items = await tx.inbox(gateway.world.of(agency).id, None, 1000)
            inboxes[agency] = [item.delivery for item in items]
        return Scene(
            {row["id"]: rows.delivery_of(row) for row in await every(deliveries, "id")},
            [rows.event_of(row) for row in await every(events, "seq")],
            {row["id"]: rows.package_of(row) for row in await every(packages, "id")},
            [dict(row) for row in await every(change_requests, "id")],
            inboxes,
        )

    return await gateway.database.read(read)


class LifeWithChanges(Life):
    """Senders change their minds, receivers answer, in the middle of everything else."""

    at_rest: ClassVar[set[TransportState]] = AT_REST | {TransportState.WITHDRAWN}

    def _scene(self) -> Scene:
        return self.do(scene(self.gateway))

    @initialize(target=Life.documents)
    def one_has_it(self) -> Document:
        """A document that one of two receivers has, and one has not: where changes begin."""
        sent = self._send([BETA, GAMMA], urgent=False)
        self.take_everything(BETA)
        return sent

    def _send(self, recipients: list[str], urgent: bool) -> Document:
        self.number += 1
        sent = document(*recipients, number=self.number, priority=int(urgent))
        self.answers[sent.document_id.encode()] = self.do(self.gateway.accepted(sent))
        return sent

    # --- senders ---

    @precondition(lambda self: self.number < MOST)
    @rule(target=Life.documents, recipients=SOME, urgent=st.booleans())
    def new_document(self, recipients: list[str], urgent: bool) -> Document:
        """Few documents, so that much happens to each."""
        return self._send(recipients, urgent)

    @rule(sent=Life.documents, some=SOME, everybody=st.booleans(), late=st.booleans(), words=WORDS)
    def revoke(
        self, sent: Document, some: list[str], everybody: bool, late: bool, words: str
    ) -> None:
        """A revocation package to all recipients, or to some agencies."""
        recipients = sent.recipients if everybody else document(*some).recipients
        business = Business(BusinessDocType.REVOCATION, reason=f"Ban hành {words}")
        answer = self.do(
            self.gateway.accepted(replace(sent, recipients=recipients, business=business))
        )
        self._late_copy(sent, late)
        for party in recipients:
            self._was_recalled(sent, party.organ_id, answer)

    def _late_copy(self, sent: Document, late: bool) -> None:
        """Another part of the sender's system has not noticed, and hands the first version in."""
        if late:
            assert self.do(self.gateway.accepted(sent)).repeated

    @rule(sent=Life.documents, recipient=RECEIVERS, late=st.booleans(), words=WORDS)
    def take_back(self, sent: Document, recipient: str, late: bool, words: str) -> None:
        """Status 13 about one recipient, who may have no part in it."""
        told = report(StatusCode.TAKE_BACK, sent, sender=ALPHA, description=f"Gửi {words}")
        told = replace(told, response_for=replace(told.response_for, organ_id=recipient))
        answer = self.do(self.gateway.submit(told))
        self._late_copy(sent, late)
        if isinstance(answer, Accepted):
            self._was_recalled(sent, recipient, answer)
        else:
            assert not self._scene().contents(recipient, sent.document_id)

    def _was_recalled(self, sent: Document, recipient: str, answer: Accepted) -> None:
        """Nothing unseen is left with this recipient; who has the document is really asked."""
        if answer.repeated:
            return
        now = self._scene()
        # An update that takes a receiver off the list brings the request, if it goes to it at all.
        carriers = {one["carrier_id"] for one in now.requests if one["kind"] == "recall"}
        copies = now.contents(recipient, sent.document_id)
        live = [row for row in copies if row.state not in GONE and row.id not in carriers]
        assert all(row.fetched_at or row.state is TransportState.DELIVERED for row in live)
        finished = (StatusCode.FINISHED, StatusCode.REFUSED)
        if live and live[-1].business_state not in finished:
            (asked,) = now.pending(live[-1].id)
            assert asked["kind"] == "recall"
            assert now.deliveries[asked["carrier_id"]].state not in GONE

    @rule(
        sent=Life.documents,
        some=SOME,
        removed=st.none() | RECEIVERS,
        added=st.none() | RECEIVERS,
        late=st.booleans(),
        words=WORDS,
    )
    def update(
        self,
        sent: Document,
        some: list[str],
        removed: str | None,
        added: str | None,
        late: bool,
        words: str,
    ) -> None:
        """A new version; perhaps somebody is taken off the list of receivers, or put on it."""
        listed = {code: kind for code, kind in ((added, "0"), (removed, "1")) if code}
        receivers = tuple(Receiver(code, kind) for code, kind in listed.items())
        changed = replace(
            document(*some, number=int(sent.code.number), subject=f"Bản sửa {words}"),
            business=Business(
                BusinessDocType.UPDATE,
                reason=f"Sửa {words}",
                document_info=BusinessDocumentInfo(True, bool(receivers), receivers),
            ),
        )
        answer = self.do(self.gateway.accepted(changed))
        self._late_copy(sent, late)
        if removed is not None:
            self._was_recalled(sent, removed, answer)

    @precondition(lambda self: self.number < MOST)
    @rule(
        target=Life.documents,
        old=st.lists(Life.documents, min_size=1, max_size=2, unique_by=lambda one: one.document_id),
        some=SOME,
        holders=st.lists(RECEIVERS, unique=True),
    )
    def replacement(self, old: list[Document], some: list[str], holders: list[str]) -> Document:
        """A new document in the place of one or two others."""
        self.number += 1
        infos = tuple(ReplacementInfo(one.document_id, tuple(holders)) for one in old)
        sent = replace(
            document(*some, number=self.number),
            business=Business(BusinessDocType.REPLACEMENT, reason="Thay thế", replacements=infos),
        )
        self.answers[sent.document_id.encode()] = self.do(self.gateway.accepted(sent))
        for one in old:
            for recipient in holders or (BETA, GAMMA):
                self._was_replaced(one, recipient)
        return sent

    def _was_replaced(self, old: Document, recipient: str) -> None:
        """Nothing unseen is left of the old document."""
        copies = self._scene().contents(recipient, old.document_id)
        live = [row for row in copies if row.state not in GONE]
        assert all(row.fetched_at or row.state is TransportState.DELIVERED for row in live)

    @precondition(lambda self: self.number < MOST)
    @rule(sent=Life.documents, agency=RECEIVERS)
    def reply(self, sent: Document, agency: str) -> None:
        """An agency answers with a document of its own."""
        self.number += 1
        link = ResponseFor(ALPHA, f"{sent.code.number}/SNV-VP", sent.document_id)
        answer = document(ALPHA, sender=agency, number=self.number, response_for=(link,))
        self.do(self.gateway.accepted(answer, by=agency))

    @rule(sent=Life.documents, words=WORDS)
    def other_content(self, sent: Document, words: str) -> None:
        """The same DocumentId for something else: a conflict, unless nobody was reached."""
        copies = self._scene().contents(document_id=sent.document_id)
        if any(row.state not in GONE for row in copies):
            other = replace(sent, subject=f"{sent.subject} {words}")
            assert isinstance(self.do(self.gateway.submit(other)), Refused)

    # --- recipients ---

    @rule(agency=RECEIVERS)
    def take_everything(self, agency: str) -> None:
        """All roads are free, and a recipient's system empties its inbox."""
        self.gateway.broker.answer = lambda _: PublishOutcome.CONFIRMED
        self.do(self.gateway.bring())
        for row in self._waiting(agency):
            self.do(self.gateway.fetch_and_confirm(agency, row.id))
            self.confirmed.add(row.id)

    @rule(place=st.integers(0, 3), code=ANSWERS)
    def answer_what_was_asked(self, place: int, code: StatusCode) -> None:
        """A receiver answers one of the requests that wait; about that document none is left."""
        now = self._scene()
        waiting = [one for one in now.requests if one["state"] == "pending"]
        if not waiting:
            return
        copy = now.deliveries[waiting[min(place, len(waiting) - 1)]["delivery_id"]]
        about = replace(document(), document_id=now.packages[copy.package_id].document_id)
        agency = copy.recipient_organ_id
        told = report(code, about, sender=agency, description=f"{code} {len(now.events)}")
        self.do(self.gateway.accepted(told, by=agency))
        then = self._scene()
        mine = {row.id for row in then.contents(agency, about.document_id)}
        left = {one["delivery_id"] for one in then.requests if one["state"] == "pending"}
        assert not mine & left

    @rule(sent=Life.documents, agency=RECEIVERS)
    def give_back(self, sent: Document, agency: str) -> None:
        """An operator returns what an agency has not confirmed, or its sender's request to it."""
        now = self._scene()
        for row in now.deliveries.values():
            about = now.packages[row.package_id].document_id
            if row.recipient_organ_id == agency and about == sent.document_id:
                letters, routes = self.gateway.dead_letters, self.gateway.routes
                self.do(letters.give_back(row.id, "an", "vì", routes, self.gateway.clock()))

    @rule(sent=Life.documents, agency=RECEIVERS, code=ANSWERS)
    def answer(self, sent: Document, agency: str, code: StatusCode) -> None:
        """15 or 16, asked for or not."""
        told = report(code, sent, sender=agency, description=f"{code} {self.number}")
        self.do(self.gateway.submit(told, by=agency))

    @rule(
        sent=Life.documents,
        agency=RECEIVERS,
        code=st.sampled_from(
            [StatusCode.ARRIVED, StatusCode.REFUSED, StatusCode.ACCEPTED, StatusCode.FINISHED]
        ),
    )
    def report_on(self, sent: Document, agency: str, code: StatusCode) -> None:
        """A recipient of any version, or one who is none, says what it did with a document."""
        told = report(code, sent, sender=agency, description=f"{code} {self.number}")
        answer = self.do(self.gateway.submit(told, by=agency))
        now = self._scene()
        sent_to = {
            row.recipient_organ_id
            for row in now.deliveries.values()
            if now.packages[row.package_id].kind == DOCUMENT
            and now.packages[row.package_id].document_id == sent.document_id
        }
        if agency not in sent_to:
            # Passed on in the reporter's own name, tied to no document: it moves nothing.
            assert isinstance(answer, Accepted) and answer.package.document_pk is None

    # --- what must hold ---

    @invariant()
    def everything_holds(self) -> None:
        """The log tells every state; requests and copies agree; nobody sees what was taken back."""
        now = self._scene()
        self.check(list(now.deliveries.values()), now.events, now.inboxes)
        log = Replay()
        for event in now.events:
            log.take(event)
        log.compare(now.deliveries.values())
        assert log.discrepancies == []
        self._requests_and_copies_agree(now)
        self._withdrawn_was_never_seen(now)
        self._versions_come_in_order(now)

    def _requests_and_copies_agree(self, now: Scene) -> None:
        asked = Counter(one["delivery_id"] for one in now.requests if one["state"] == "pending")
        shown = {
            row.id
            for row in now.deliveries.values()
            if (row.change_state or "").endswith("-pending")
        }
        assert dict(asked) == dict.fromkeys(shown, 1)
        assert {one["carrier_id"] for one in now.requests} <= now.deliveries.keys()

    def _withdrawn_was_never_seen(self, now: Scene) -> None:
        listed = {row.id for waiting in now.inboxes.values() for row in waiting}
        told = {
            (package.document_pk, package.summary["about"])
            for package in now.packages.values()
            if package.meaning == StatusCode.CHANGE_AGREED and package.connection_id is None
        }
        for row in now.deliveries.values():
            if row.state is TransportState.WITHDRAWN:
                assert row.fetched_at is None and row.id not in listed
                assert row.reason is not None
                # Who has an older version is asked for it: 15 would not be true.
                has_another = any(
                    other.document_pk == row.document_pk and other.fetched_at
                    for other in now.contents(row.recipient_organ_id)
                )
                if row.reason.code == "recalled" and not has_another:
                    assert (row.document_pk, row.recipient_organ_id) in told, row

    def _versions_come_in_order(self, now: Scene) -> None:
        """Nobody is offered an unseen version older than one that it confirmed."""
        newest: dict[tuple[str | None, str], int] = {}
        for row in now.contents():
            if row.id in self.confirmed:
                newest[row.document_pk, row.recipient] = row.version
        for row in now.contents():
            if row.state is TransportState.OFFERED and row.fetched_at is None:
                assert row.version > newest.get((row.document_pk, row.recipient), 0), row
