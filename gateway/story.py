"""A document's story: the event log told in sentences that a clerk understands.

Pure: events, packages and deliveries in, lines out. A chapter for the document as a whole, then one
for each recipient, each in the order of the log. Steps that only concern the gateway's inside
(relayed, rung again) are marked technical, for who wants them. The sentences are in
`gateway.story_sentences`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME
from gateway import story_sentences as tell
from gateway.rest.encode import time_of
from gateway.story_changes import (
    Linked,
    is_request,
    linked,
    request_accepted,
    request_on_its_way,
    withdrawn,
)
from gateway.story_deadlines import deadline, is_dull
from gateway.story_signatures import signatures_told
from routing.accepted_facts import signatures_as_logged
from routing.records import DOCUMENT, STATUS, Delivery, DocumentRecord, Event, PackageRecord
from routing.states import ReportEffect

#: What keeps a delivery, if something does (`gateway.waiting`).
Waiting = Callable[[Delivery], Sentence | None]

#: What only concerns the inside of the gateway.
TECHNICAL = frozenset(
    {
        "delivery.accepted",
        "delivery.relayed",
        "delivery.ring-again",
        "delivery.rung",
        "delivery.attempted",
        "delivery.interrupted",
    }
)

#: In the place of signatures that are not those which the event log knows.
NOT_AS_LOGGED = Sentence(
    "Chữ ký: kết quả kiểm tra đang lưu KHÔNG khớp với nhật ký sự kiện, không được tin; "
    "hãy báo người vận hành (lienthong verify-events).",
    "Signatures: the stored results are NOT those that the event log knows and must not be "
    "believed; tell your operator (lienthong verify-events).",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    type: str
    actor: str
    sentence: Sentence
    technical: bool
    package_id: str | None
    delivery_id: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data; part of `lienthong trace --json`."""
        return {
            "at": time_of(self.at),
            "type": self.type,
            "actor": self.actor,
            "vi": self.sentence.vi,
            "en": self.sentence.en,
            "technical": self.technical,
            "packageId": self.package_id,
            "deliveryId": self.delivery_id,
        }


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happened with one recipient, and how it stands now; all versions together."""

    recipient: str
    name: str
    lines: tuple[Line, ...]
    standing: Sentence
    #: What keeps the newest copy, if something does.
    waiting: Sentence | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """All of it."""

    title: Sentence
    document_id: str
    document_pk: str | None
    lines: tuple[Line, ...]
    chapters: tuple[Chapter, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data; part of `lienthong trace --json`."""
        return {
            "documentId": self.document_id,
            "documentPk": self.document_pk,
            "title": _both(self.title),
            "lines": [line.as_dict() for line in self.lines],
            "recipients": [
                {
                    "recipient": chapter.recipient,
                    "name": chapter.name,
                    "standing": _both(chapter.standing),
                    "waiting": _both(chapter.waiting) if chapter.waiting else None,
                    "lines": [line.as_dict() for line in chapter.lines],
                }
                for chapter in self.chapters
            ],
        }

    def text(self, language: str, *, technical: bool = False) -> Iterator[str]:
        """The story as lines of text, times in Vietnam time (UTC+7)."""
        yield self.title.in_language(language)
        yield from _text(self.lines, language, technical)
        for chapter in self.chapters:
            yield ""
            yield f"{chapter.recipient}  {chapter.name}"
            yield from _text(chapter.lines, language, technical)
            yield f"  = {chapter.standing.in_language(language)}"
            if chapter.waiting is not None:
                yield f"  ! {chapter.waiting.in_language(language)}"


def _both(sentence: Sentence) -> dict[str, str]:
    return {"vi": sentence.vi, "en": sentence.en}


def _text(lines: Iterable[Line], language: str, technical: bool) -> Iterator[str]:
    form = "%d/%m/%Y %H:%M:%S" if language == "vi" else "%Y-%m-%d %H:%M:%S"
    for line in lines:
        if technical or not line.technical:
            at = line.at.astimezone(VIETNAM_TIME).strftime(form)
            yield f"  {at}  {line.sentence.in_language(language)}"


def story_of(
    document: DocumentRecord | None,
    events: Sequence[Event],
    packages: Sequence[PackageRecord],
    deliveries: Sequence[Delivery],
    connection_name: Callable[[str | None], str],
    waiting: Waiting = lambda _: None,
    links: Sequence[Linked] = (),
) -> Story:
    """Tell the story of a document, or of packages about a document that is not known here."""
    teller = _Teller(document, events, packages, deliveries, connection_name, waiting, links)
    return teller.tell()


class _Teller:
    """Who is who, for finding each event's chapter and words."""

    def __init__(
        self,
        document: DocumentRecord | None,
        events: Sequence[Event],
        packages: Sequence[PackageRecord],
        deliveries: Sequence[Delivery],
        connection_name: Callable[[str | None], str],
        waiting: Waiting,
        links: Sequence[Linked],
    ) -> None:
        self._waiting = waiting
        self._links = links
        self._document = document
        self._events = sorted(events, key=lambda event: event.seq)
        self._packages = {package.id: package for package in packages}
        self._deliveries = {delivery.id: delivery for delivery in deliveries}
        self._connection_name = connection_name
        self._recipients: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            package = self._packages.get(delivery.package_id)
            if package is None or package.kind == DOCUMENT:
                self._recipients.setdefault(delivery.recipient, []).append(delivery)
        #: Status packages that a report event speaks of already.
        self._reported = {
            event.data.get("statusPackage") for event in events if event.type.startswith("report.")
        }

    def tell(self) -> Story:
        told: dict[str, list[Line]] = {recipient: [] for recipient in self._recipients}
        head: list[Line] = []
        for event in self._events:
            lines = told.get(self._chapter_of(event), head)
            lines.append(self._line(event))
            signed = self._signed(event)
            lines += [signed] if signed is not None else []
        head = _in_time([*head, *(_link_line(one) for one in self._links)])
        first = next(iter(self._packages.values()), None)
        return Story(
            title=tell.title(self._document, first),
            document_id=_document_id(self._document, first),
            document_pk=self._document.pk if self._document else None,
            lines=tuple(head),
            chapters=tuple(
                Chapter(
                    recipient=rows[-1].recipient_organ_id,
                    name=rows[-1].recipient_name,
                    lines=tuple(told[recipient]),
                    standing=tell.standing(rows[-1]),
                    waiting=self._waiting(rows[-1]),
                )
                for recipient, rows in self._recipients.items()
            ),
        )

    def _chapter_of(self, event: Event) -> str:
        """The recipient that an event is about; empty for the document as a whole."""
        delivery = self._deliveries.get(event.delivery_id or "")
        package = self._packages.get(event.package_id or "")
        if package is not None and package.kind == STATUS:
            return self._reporter(package, delivery)
        return delivery.recipient if delivery is not None else ""

    def _reporter(self, package: PackageRecord, delivery: Delivery | None) -> str:
        """The recipient that a status package is about, whoever wrote it."""
        about = package.summary.get("about")
        if about is not None:
            for recipient, rows in self._recipients.items():
                if about in (row.recipient_organ_id for row in rows):
                    return recipient
        if package.sender in self._recipients:
            return package.sender
        return delivery.recipient if delivery is not None else ""

    def _line(self, event: Event) -> Line:
        delivery = self._deliveries.get(event.delivery_id or "")
        package = self._packages.get(event.package_id or "")
        return Line(
            at=event.at,
            type=event.type,
            actor=event.actor,
            sentence=self._sentence(event, package, delivery),
            technical=self._technical(event, package),
            package_id=event.package_id,
            delivery_id=event.delivery_id,
        )

    def _signed(self, event: Event) -> Line | None:
        """Who signed a document, told where its package was accepted."""
        package = self._packages.get(event.package_id or "")
        if event.type != "package.accepted" or package is None or package.kind != DOCUMENT:
            return None
        if signatures_as_logged(event, package):
            sentence = signatures_told(package.summary.get("signatures"))
        else:
            sentence = NOT_AS_LOGGED
        if sentence is None:
            return None
        line = self._line(event)
        return replace(line, type="package.signatures", sentence=sentence, technical=False)

    def _technical(self, event: Event, package: PackageRecord | None) -> bool:
        if event.type in TECHNICAL or is_dull(event):
            return True
        if package is None or package.kind == DOCUMENT:
            return event.type == f"report.{ReportEffect.REPEATED}"
        # A report's own way back: of interest is that it was sent and that it arrived.
        if event.type == "package.accepted":
            return package.id in self._reported
        return event.type in ("delivery.offered", "delivery.fetched", "delivery.fetched-again")

    def _sentence(
        self, event: Event, package: PackageRecord | None, delivery: Delivery | None
    ) -> Sentence:
        actor = tell.actor(event.actor)
        name = self._connection_name(delivery.connection_id) if delivery else ""
        if event.type == "package.accepted":
            if package is not None and package.kind == STATUS and is_request(package):
                return request_accepted(package, actor)
            return tell.accepted(event, package, actor)
        if event.type.startswith("deadline."):
            return deadline(event)
        if event.type.startswith("report."):
            who = delivery.recipient_name if delivery else ""
            return tell.report(event, who)
        other = None
        if event.type == "delivery.withdrawn":
            other = withdrawn(event, self._packages)
        if package is not None and package.kind == STATUS:
            if is_request(package):
                return request_on_its_way(event, other or tell.happening(event, actor, name))
            return tell.report_on_its_way(event, package, name, actor)
        return other or tell.happening(event, actor, name)


def _in_time(lines: list[Line]) -> list[Line]:
    """In the order of time; lines of one moment keep theirs."""
    return sorted(lines, key=lambda line: line.at)


def _link_line(one: Linked) -> Line:
    package = one.package
    return Line(
        at=package.received_at,
        type=f"link.{one.link.kind}",
        actor=package.sender,
        sentence=linked(one),
        technical=False,
        package_id=package.id if one.outgoing else None,
        delivery_id=None,
    )


def _document_id(document: DocumentRecord | None, package: PackageRecord | None) -> str:
    if document is not None:
        return document.document_id
    return package.document_id if package is not None else ""
