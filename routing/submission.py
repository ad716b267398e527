"""What goes into the accept use case, and the ways in which it can end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from envelopes.findings import Finding
from envelopes.read import ReadResult
from envelopes.rules.runner import Judgement
from envelopes.signature_facts import SignatureFacts
from routing.ports import ClaimCheck
from routing.records import Delivery, Event, PackageRecord, Reason
from routing.route_table import Connection


class Spooled(Protocol):
    """A package that was streamed to disk and hashed, not kept yet."""

    @property
    def claim(self) -> ClaimCheck:
        """Digest and size of the exact bytes received."""

    async def keep(self) -> None:
        """Put the bytes into the payload store, durably. Harmless when they are there."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One package handed in by one connection."""

    read: ReadResult
    spooled: Spooled
    connection: Connection
    correlation_id: str
    #: Recipients that the partner named beside the package; empty: all that the package names.
    only_for: tuple[str, ...] = ()
    #: What the rules of its profile say; None where nobody asked them.
    judgement: Judgement | None = None
    #: What was found out about its signatures; None where they were not verified.
    signatures: SignatureFacts | None = None
    #: Why its copies are held before they are passed on; None when they need not wait.
    wait: Reason | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found so far: by the reader, and by the rules."""
        return self.judgement.findings if self.judgement else self.read.findings

    @property
    def actor(self) -> str:
        """Who handed it in, for the event log."""
        return f"connection:{self.connection.name}"


class RefusalKind(StrEnum):
    """Why a submission was refused as a whole."""

    #: The package breaks a rule; mend it and hand it in again.
    INVALID = "invalid-package"
    #: From is not an agency of this connection: a security event.
    NOT_THE_SENDER = "not-the-sender"
    #: This DocumentId was used before for other content.
    OTHER_CONTENT = "same-document-id-other-content"
    #: The document belongs to another agency: a security event.
    NOT_THE_OWNER = "not-the-owner"
    #: The report contradicts what is final.
    IMPOSSIBLE_REPORT = "impossible-report"


@dataclass(frozen=True, slots=True)
class Refused:
    """The package was not taken; nothing of it travels."""

    kind: RefusalKind
    findings: tuple[Finding, ...]
    #: What a program may want to know besides: both digests, differing fields …
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The package is recorded; from here on every recipient gets an outcome."""

    package: PackageRecord
    deliveries: tuple[Delivery, ...]
    findings: tuple[Finding, ...]
    #: The same bytes were taken before: this is the first result again.
    repeated: bool = False


def security_event(submission: Submission, finding: Finding, what: str, now: datetime) -> Event:
    """Somebody tried what it may not: written down, whatever happens next.

    Of the package itself only its digest and who it says that it is from.
    """
    return Event(
        type=f"security.{what}",
        at=now,
        actor=submission.actor,
        correlation_id=submission.correlation_id,
        data={
            "sender": submission.read.sender_organ_id,
            "digest": submission.spooled.claim.digest,
            "finding": finding.as_dict(),
        },
    )
