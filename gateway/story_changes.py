"""The sentences of `gateway.story` about taking back, newer versions, answers and replacements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envelopes.findings import Sentence
from envelopes.model import StatusCode
from routing.records import REPLACES, REPLIES_TO, DocumentRecord, Event, Link, PackageRecord


@dataclass(frozen=True, slots=True)
class Linked:
    """Another document that this one answers or replaces, or the other way round."""

    link: Link
    #: Whether this document is the one that answers or replaces.
    outgoing: bool
    other: DocumentRecord
    #: The package that said so.
    package: PackageRecord


_LINKS: Mapping[tuple[str, bool], Sentence] = {
    (REPLIES_TO, True): Sentence("Trả lời văn bản {other}.", "Answers document {other}."),
    (REPLIES_TO, False): Sentence(
        "Được trả lời bằng văn bản {other}.", "Answered by document {other}."
    ),
    (REPLACES, True): Sentence("Thay thế văn bản {other}.", "Replaces document {other}."),
    (REPLACES, False): Sentence(
        "Được thay thế bằng văn bản {other}.", "Replaced by document {other}."
    ),
}


def linked(one: Linked) -> Sentence:
    """That two documents belong together."""
    words = _LINKS[one.link.kind, one.outgoing]
    subject = f" ({one.other.subject})" if one.other.subject else ""
    other = f"{one.other.document_id}{subject}"
    return Sentence(words.vi.format(other=other), words.en.format(other=other))


def is_request(package: PackageRecord) -> bool:
    """Whether a status package travels from the document's sender to a recipient (13)."""
    return package.meaning == StatusCode.TAKE_BACK


def request_accepted(package: PackageRecord, by: Sentence) -> Sentence:
    """A status 13 was taken in, or made by the gateway of its sender's package."""
    why = str(package.summary.get("description") or "")
    quoted = f": «{why}»" if why else ""
    if package.connection_id is None:
        return Sentence(
            f"Trục chuyển yêu cầu lấy lại của bên gửi{quoted}.",
            f"The gateway passes on the sender's request to take it back{quoted}.",
        )
    return Sentence(
        f"Trục nhận yêu cầu lấy lại từ {by.vi}{quoted}.",
        f"The gateway accepted the request to take it back from {by.en}{quoted}.",
    )


_REQUESTS: Mapping[str, Sentence] = {
    "delivery.accepted": Sentence(
        "Yêu cầu lấy lại lên đường tới bên nhận.",
        "The request to take it back is on its way to the recipient.",
    ),
    "delivery.delivered": Sentence(
        "Bên nhận đã nhận được yêu cầu lấy lại.",
        "The recipient has the request to take it back.",
    ),
}


def request_on_its_way(event: Event, inner: Sentence) -> Sentence:
    """What happened to a status 13; `inner` tells it of any package."""
    return _REQUESTS.get(event.type) or Sentence(
        f"Yêu cầu lấy lại: {inner.vi}", f"Request to take it back: {inner.en}"
    )


def withdrawn(event: Event, packages: Mapping[str, PackageRecord]) -> Sentence | None:
    """Why a copy was withdrawn, where it is not the plain taking back; None where it is."""
    if event.from_state is None:
        # A request that settles itself: final from the start, with the reason.
        reason = event.data.get("reason") or {}
        return Sentence(
            f"Yêu cầu không cần chuyển đi: {reason.get('vi', '–')}",
            f"The request need not travel: {reason.get('en', '–')}",
        )
    if event.data.get("why") != "superseded":
        return None
    newer = packages.get(str(event.data.get("by")))
    # A version of this document, else a document that replaces it.
    by_vi, by_en = "văn bản thay thế", "the document that replaces it"
    if newer is not None:
        by_vi, by_en = f"bản {newer.version}", f"version {newer.version}"
    return Sentence(
        f"Bản này được thay bằng {by_vi} trước khi bên nhận lấy về.",
        f"Replaced by {by_en} before the recipient fetched it.",
    )
