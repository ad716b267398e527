"""The machine of `tests.support.life`, with recalls, updates, replacements, replies and answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from adapters.database import SqlDatabase, rows
from adapters.database.lifecycle_tables import change_requests
from adapters.database.tables import packages
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
from tests.support.use_cases import all_rows

#: A copy in these states never came to its receiver, or came back.
GONE = (TransportState.WITHDRAWN, TransportState.RETURNED, TransportState.EXPIRED)
RECEIVERS = st.sampled_from([BETA, GAMMA])
SOME = st.lists(RECEIVERS, min_size=1, unique=True)
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


async def scene(database: SqlDatabase) -> Scene:
    """Read it all; the databases of these tests are small."""
    found, events = await all_rows(database)

    async def read(tx: Transaction) -> Scene:
        assert isinstance(tx, SqlTransaction)
        accepted = (await tx.connection.execute(packages.select())).mappings().all()
        asked = (await tx.connection.execute(change_requests.select())).mappings().all()
        return Scene(
            {row.id: row for row in found},
            events,
            {row["id"]: rows.package_of(row) for row in accepted},
            [dict(row) for row in asked],
        )

    return await database.read(read)


class LifeWithChanges(Life):
    """Senders change their minds, receivers answer, in the middle of everything else."""

    at_rest: ClassVar[set[TransportState]] = AT_REST | {TransportState.WITHDRAWN}

    def _scene(self) -> Scene:
        return self.do(scene(self.gateway.database))

    # --- senders ---

    @precondition(lambda self: self.number < MOST)
    @rule(target=Life.documents, recipients=SOME, urgent=st.booleans())
    def new_document(self, recipients: list[str], urgent: bool) -> Document:
        """Few documents, so that much happens to each."""
        self.number += 1
        sent = document(*recipients, number=self.number, priority=int(urgent))
        self.answers[sent.document_id.encode()] = self.do(self.gateway.accepted(sent))
        return sent

    @rule(sent=Life.documents, some=SOME, everybody=st.booleans(), words=WORDS)
    def revoke(self, sent: Document, some: list[str], everybody: bool, words: str) -> None:
        """A revocation package to all recipients, or to some agencies."""
        recipients = sent.recipients if everybody else document(*some).recipients
        business = Business(BusinessDocType.REVOCATION, reason=f"Ban hành {words}")
        answer = self.do(
            self.gateway.accepted(replace(sent, recipients=recipients, business=business))
        )
        for party in recipients:
            self._was_recalled(sent, party.organ_id, answer)

    @rule(sent=Life.documents, recipient=RECEIVERS, words=WORDS)
    def take_back(self, sent: Document, recipient: str, words: str) -> None:
        """Status 13 about one recipient, who may have no part in it."""
        told = report(StatusCode.TAKE_BACK, sent, sender=ALPHA, description=f"Gửi {words}")
        told = replace(told, response_for=replace(told.response_for, organ_id=recipient))
        answer = self.do(self.gateway.submit(told))
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
        words=WORDS,
    )
    def update(
        self, sent: Document, some: list[str], removed: str | None, added: str | None, words: str
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

    @rule(
        sent=Life.documents,
        agency=RECEIVERS,
        code=st.sampled_from([StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED]),
    )
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
        if not any(
            row.recipient_organ_id == agency and self._is_about(row, sent)
            for row in self._scene().deliveries.values()
        ):
            assert isinstance(answer, Refused)

    def _is_about(self, row: Delivery, sent: Document) -> bool:
        package = self._scene().packages[row.package_id]
        return package.kind == DOCUMENT and package.document_id == sent.document_id

    # --- what must hold ---

    @invariant()
    def changes_hold(self) -> None:
        """The log tells every state; requests and copies agree; nobody sees what was taken back."""
        now = self._scene()
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
        listed = {row.id for agency in (ALPHA, BETA, GAMMA) for row in self._waiting(agency)}
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
