"""What a package is about was sent before or not: what its judgement knows, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from envelopes.check import examine
from envelopes.limits import ReadLimits
from gateway.inspection import Inspection
from tests.support import packages
from tests.support.builders import ALPHA, BETA
from tests.support.use_cases import Gateway

_SENT, _NEW = packages.pdf("sent"), packages.pdf("new")


def _package(document_id: str, kind: str, *contents: bytes) -> bytes:
    files = [packages.File(f"{n}.pdf", content) for n, content in enumerate(contents)]
    return packages.document(ALPHA, [BETA], document_id, kind=kind, files=files)


@pytest.mark.parametrize("profile", ["dien-bien", "kon-tum", "son-la"])
async def test_only_what_was_sent_is_taken_back_unsigned(
    gateway: Gateway, tmp_path: Path, profile: str
) -> None:
    """The file of the document passes, another is judged; so is that of a document never sent."""
    inspection = Inspection(gateway.database, {}, ReadLimits(), assignments={ALPHA: profile})

    async def refused(content: bytes) -> bool:
        path = tmp_path / "package.edxml"
        path.write_bytes(content)
        told = await inspection.judge(
            path, examine([content]).read, gateway.world.of(ALPHA), gateway.routes, gateway.clock()
        )
        assert told is not None
        rules = {one.rule for one in told.judgement.not_judged} | {
            one.rule for one in told.judgement.findings
        }
        # Its signatures are asked for: without facts about them that is left open here.
        return "FILE-UNSIGNED-PDF" in rules

    sent, other = packages.new_id(ALPHA), packages.new_id(ALPHA)
    await gateway.accepted(_package(sent, "0", _SENT))
    assert not await refused(_package(sent, "1", _SENT))
    assert not await refused(_package(sent, "1"))
    assert await refused(_package(sent, "1", _NEW))
    assert await refused(_package(other, "1", _SENT))
    # What a revocation brought along does not become a file of the document.
    await gateway.accepted(_package(sent, "1", _NEW))
    assert await refused(_package(sent, "1", _NEW, _SENT))
    # An update without files is one of a document that had some.
    assert not await refused(_package(sent, "2"))
    assert await refused(_package(other, "2"))
