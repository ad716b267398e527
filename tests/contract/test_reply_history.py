"""HEAD-REPLY on real databases: what is answered passed between the two (KG 7.2, 7.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from envelopes.limits import ReadLimits
from envelopes.model import ResponseFor
from envelopes.read import read_package
from gateway.inspection import Inspection
from tests.support.builders import ALPHA, BETA, GAMMA, NOW, document, wire
from tests.support.use_cases import Gateway


@pytest.mark.parametrize(
    ("replier", "to", "told"),
    [
        # Alpha sent it to beta alone.
        (BETA, ALPHA, 0),
        (ALPHA, BETA, 0),
        (GAMMA, ALPHA, 1),
        (GAMMA, BETA, 1),
        (BETA, GAMMA, 1),
    ],
)
async def test_what_is_answered_was_sent_from_one_to_the_other(
    gateway: Gateway, tmp_path: Path, replier: str, to: str, told: int
) -> None:
    """A document that one of them sent to a third party is none that is answered."""
    asked = document(BETA)
    await gateway.accepted(asked)
    answered = (ResponseFor(to, "1/SNV-VP", asked.document_id),)
    raw = wire(document(to, sender=replier, number=9, response_for=answered))
    path = tmp_path / "reply.edxml"
    path.write_bytes(raw)
    inspection = Inspection(gateway.database, {}, ReadLimits(), assignments={})
    connection = gateway.world.of(replier)
    found = await inspection.judge(path, read_package([raw]), connection, gateway.routes, NOW)
    assert found is not None
    about = [one for one in found.judgement.findings if asked.document_id in one.found]
    assert len(about) == told
