"""A registered certificate is its agency's under each of the agency's codes, and under no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from adapters.database import open_database
from adapters.signatures import SignatureInspector, WorkerLimits
from adapters.trust import TrustFolder
from envelopes.check import examine
from envelopes.limits import ReadLimits
from envelopes.rules.facts import PackageFacts
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from gateway.inspection import Inspection
from identifiers.organ_id import OrganId
from tests.support import pdf_signing as pdfs
from tests.support.builders import agency, route_table
from tests.support.make_corpus import File
from tests.support.make_rule_corpus import changed, sound
from tests.support.pki import NOW, Credential, pki

OLD, NEW, THIRD = "000.00.05.G22", "G22.5", "G22.6"


def _sent(code: str, seal: bytes) -> bytes:
    file = File("1", "1-vanban.pdf", seal, "application/pdf")
    return changed("OrganId>000.00.00.G22", f"OrganId>{code}", sound(file))


def _sealed(by: Credential) -> bytes:
    return pdfs.sign_pdf(pdfs.sign_pdf(pdfs.make_pdf(), pki().official), by, field="Seal")


async def test_the_register_knows_an_agency_by_all_its_codes(tmp_path: Path) -> None:
    """Registered under one code: under the other no stranger passes, and its own seal does."""
    trust = TrustFolder(tmp_path / "trust")
    trust.add_anchors(pki().root.credential.pem)
    for number, crl in enumerate(pki().crls):
        trust.keep_revocation(f"{number}.crl", crl)
    trust.register(NEW, pki().agency.pem)
    # The third claims the newer code as well: whose it is the directory says, not the claim.
    routes = route_table(
        [agency(NEW, aliases=(OrganId.of(OLD),)), agency(THIRD, aliases=(OrganId.of(NEW),))], []
    )
    own, other = await asyncio.to_thread(
        lambda: [_sealed(by) for by in (pki().agency, pki().other_agency)]
    )
    inspector = SignatureInspector(trust, WorkerLimits(workers=1), folder=tmp_path)
    database = await open_database("sqlite://")
    inspection = Inspection(database, {}, ReadLimits(), assignments={}, signatures=inspector)
    profile, path = load_profile("kon-tum"), tmp_path / "package.edxml"

    async def refused(packed: bytes) -> bool:
        path.write_bytes(packed)
        read = examine([packed]).read
        facts = await inspection.verify(path, read, NOW, profile, routes)
        findings = judge(PackageFacts.of_reading(read, signatures=facts), profile).findings
        return any(one.rule == "SIG-OWNER" and one.refuses for one in findings)

    try:
        for code in (OLD, NEW):
            assert not await refused(_sent(code, own)), code
            assert await refused(_sent(code, other)), code
        assert await refused(_sent(THIRD, own))
    finally:
        await inspection.close()
        await database.close()
