"""What `lienthong check` finds out on its own: signatures, and the working calendar.

Signatures are verified in the same bounded processes that the service uses; they are started when
the first package has something to verify.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from adapters.calendars import Calendars
from adapters.signatures import SignatureInspector, WorkerLimits
from adapters.trust import TrustFolder
from envelopes.check import Examination
from envelopes.limits import ReadLimits
from envelopes.model import SignatureForm
from envelopes.rules.facts import Lookups, PackageFacts
from envelopes.rules.profile import Profile
from envelopes.signature_facts import FileSignatures, SignatureFacts, SignatureOutcome
from gateway import clock

_PDF = "application/pdf"


class Offline:
    """Adds to the facts of a package what needs more than its bytes; made by `offline`."""

    def __init__(
        self, runner: asyncio.Runner, inspector: SignatureInspector | None, calendars: Calendars
    ) -> None:
        self._runner = runner
        self._inspector = inspector
        self._calendars = calendars

    def complete(self, path: Path, examined: Examination, profile: Profile) -> Examination:
        """The examination as if the package were handed in now."""
        if examined.facts is None:
            return examined
        now = clock.now()
        own = profile.name in self._calendars.names
        calendar = self._calendars.of(profile.name if own else profile.calendar)
        lookups = Lookups(received_at=now, calendar=calendar)
        facts = replace(examined.facts, lookups=lookups)
        if self._inspector is not None:
            signatures = (
                self._runner.run(self._inspector.inspect(path, examined.read, now, profile.name))
                if _may_be_signed(facts)
                else _unsigned(facts)
            )
            facts = replace(facts, signatures=signatures)
        return replace(examined, facts=facts)


@contextmanager
def offline(trust: Path | None, calendars: Calendars, limits: ReadLimits) -> Iterator[Offline]:
    """What is trusted lies in the folder `trust`; without one no signature is verified."""
    with asyncio.Runner() as runner:
        inspector = None
        if trust is not None:
            workers = WorkerLimits(workers=1)
            inspector = SignatureInspector(TrustFolder(trust), workers, read_limits=limits)
        try:
            yield Offline(runner, inspector, calendars)
        finally:
            if inspector is not None:
                runner.run(inspector.close())


def _may_be_signed(facts: PackageFacts) -> bool:
    """Whether a process is worth starting: a signature in the XML, or a PDF."""
    if facts.signature_form is not SignatureForm.ABSENT:
        return True
    return any(file.detected_type == _PDF for _, file, _ in facts.attachments())


def _unsigned(facts: PackageFacts) -> SignatureFacts:
    absent = tuple(
        FileSignatures(
            index, file.content_id, file.name, file.sha256, False, SignatureOutcome.ABSENT
        )
        for index, file, _ in facts.attachments()
    )
    return SignatureFacts(files=absent, sender_organ_id=facts.package.sender.organ_id)
