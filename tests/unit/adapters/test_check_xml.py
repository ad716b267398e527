"""Checking the XML signature of a package: what is the sender's fault and what is ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.signatures.xml import check_xml
from adapters.trust.judge import Judge
from adapters.trust.material import TrustMaterial, TrustPolicy
from envelopes.signature_facts import SignatureOutcome
from tests.support.pki import NOW


async def test_a_disk_that_cannot_be_read_is_not_the_senders_fault(tmp_path: Path) -> None:
    """Nothing is said of the package then; what is in the file is judged and never raises."""
    judge = Judge(TrustMaterial(), TrustPolicy())
    package = tmp_path / "package"
    with pytest.raises(FileNotFoundError):
        await check_xml(str(package), NOW, judge, ())
    package.write_bytes(b"no XML at all")
    verdict = await check_xml(str(package), NOW, judge, ())
    assert verdict.outcome is not SignatureOutcome.VALID
