"""Packages: read, examined and judged under every profile."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from adapters.calendars import NATIONAL, Calendars
from envelopes.check import examine, judged, report_on
from envelopes.model import Document
from envelopes.read import AttachmentUnreadable, ReadResult, open_attachment, read_package
from envelopes.rules.facts import Lookups, PackageFacts
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from identifiers.organ_id import OrganId
from routing.summary import search_text, summarise
from schemas.catalogue import profile_names
from tests.fuzz.promises import NOW, Broken, cut, storable


def _described(read: ReadResult) -> None:
    """Everything that is stored or answered about a package that was read."""
    storable([finding.as_dict() for finding in read.findings])
    storable([read.sender_organ_id, read.document_id, read.kind, list(read.dialects)])
    if read.package is None:
        if not read.refused:
            raise Broken("nothing was read, and nothing refuses")
        return
    storable(summarise(read.package))
    OrganId.parse(read.package.sender.organ_id)
    if isinstance(read.package, Document):
        storable(search_text(read.package))


def run_read(data: bytes) -> None:
    """`read_package`: whole and in blocks the same; its files can be opened again."""
    whole = read_package([data])
    _described(whole)
    parts = read_package(cut(data))
    if whole != parts:
        raise Broken("the blocks make a difference")
    if not isinstance(whole.package, Document):
        return
    for file in whole.package.attachments:
        try:
            content = b"".join(open_attachment(cut(data), file))
        except AttachmentUnreadable as error:
            if not whole.refused:
                raise Broken(f"a file of a good package cannot be opened: {error}") from error
            continue
        if not whole.refused and hashlib.sha256(content).hexdigest() != file.sha256:
            raise Broken("a file opened again is another")


@cache
def _profiles() -> tuple[Any, ...]:
    return tuple(load_profile(name) for name in sorted(profile_names()))


@cache
def _lookups() -> Lookups:
    return Lookups(received_at=NOW, calendar=Calendars.load(None).of(NATIONAL))


def run_judge(data: bytes) -> None:
    """`examine` and `judge` under every profile, and the report that is shown."""
    examined = examine([data])
    for profile in _profiles():
        told = judged(examined, profile)
        storable([finding.as_dict() for finding in told.findings])
        storable([one.as_dict() for one in told.not_judged])
        if examined.facts is not None:
            facts = PackageFacts.of_reading(
                examined.read, files=examined.facts.files, lookups=_lookups()
            )
            later = judge(facts, profile)
            storable([finding.as_dict() for finding in later.findings])
    storable(report_on(examined, _profiles()[0]).as_dict())
