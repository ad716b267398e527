"""Rules of part C on real signatures: made with a PKI of our own, verified, judged by profiles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.signatures import SignatureInspector, WorkerLimits
from adapters.trust import TrustFolder
from envelopes.check import examine
from envelopes.rules.facts import PackageFacts
from envelopes.rules.profile import all_profiles
from envelopes.rules.runner import judge
from tests.support import pdf_signing as pdfs
from tests.support import xml_signing as xmls
from tests.support.make_corpus import File
from tests.support.make_rule_corpus import changed, sound
from tests.support.pki import NOW, pki
from tests.support.signature_cases_xml import fake_digest

_STRICT, _LENIENT = ("dien-bien", "kon-tum", "son-la"), ("national", "ben-tre", "kien-giang")


@pytest.fixture
async def trust(tmp_path: Path) -> TrustFolder:
    """A folder that trusts the PKI and has fresh lists."""
    folder = TrustFolder(tmp_path / "trust")
    folder.add_anchors(pki().root.credential.pem)
    for number, crl in enumerate(pki().crls):
        folder.keep_revocation(f"{number}.crl", crl)
    return folder


@pytest.fixture
async def inspector(trust: TrustFolder, tmp_path: Path) -> AsyncIterator[SignatureInspector]:
    """One verifying process."""
    made = SignatureInspector(trust, WorkerLimits(workers=1), folder=tmp_path)
    yield made
    await made.close()


def _official(pages: int = 1) -> bytes:
    return pdfs.sign_pdf(pdfs.make_pdf(pages=pages), pki().official)


def _both(pages: int = 1) -> bytes:
    return pdfs.sign_pdf(_official(pages), pki().agency, field="Seal")


def _packed(*contents: bytes) -> bytes:
    files = [
        File(str(number), f"{number}-vanban.pdf", content, "application/pdf")
        for number, content in enumerate(contents, 1)
    ]
    return sound(*files)


async def _judged(inspector: SignatureInspector, packed: bytes, folder: Path) -> dict[str, dict]:
    """Rule to severity of the findings about signatures and pages, for each profile."""
    path = folder / "package.edxml"
    path.write_bytes(packed)
    examined = examine([packed])
    assert examined.facts is not None
    told = {}
    for profile in all_profiles():
        signatures = await inspector.inspect(path, examined.read, NOW, profile.name)
        facts = PackageFacts.of_reading(
            examined.read, files=examined.facts.files, signatures=signatures
        )
        found = judge(facts, profile).findings
        told[profile.name] = {one.rule: one.severity.value for one in found}
    return told


async def test_signed_by_both_every_province_is_content(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """The official's signature and the agency's, intact, trusted, in term: nothing is found."""
    packed = await asyncio.to_thread(lambda: _packed(_both()))
    told = await _judged(inspector, packed, tmp_path)
    assert told == {profile.name: {} for profile in all_profiles()}


async def test_an_unsigned_document_goes_where_the_profile_allows(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """A PDF without signatures passes in three profiles and is refused in three."""
    told = await _judged(inspector, _packed(pdfs.make_pdf()), tmp_path)
    assert all(told[name] == {} for name in _LENIENT)
    assert {told[name]["FILE-UNSIGNED-PDF"] for name in _STRICT} == {"refuse"}


async def test_a_fake_xml_signature_signs_nothing(
    inspector: SignatureInspector, trust: TrustFolder, tmp_path: Path
) -> None:
    """Its shape beside an unsigned PDF, anybody's; a signed package changed, its digest faked."""
    plain = _packed(pdfs.make_pdf())
    shape = await asyncio.to_thread(lambda: xmls.sign(plain, pki().agency, certificates=()))
    told = await _judged(inspector, fake_digest(shape), tmp_path)
    assert {told[name]["FILE-UNSIGNED-PDF"] for name in _STRICT} == {"refuse"}
    signed = await asyncio.to_thread(lambda: xmls.sign(plain, pki().agency))
    for by in (pki().official, pki().other_agency):
        anybodys = await asyncio.to_thread(lambda by=by: xmls.sign(plain, by))
        told = await _judged(inspector, anybodys, tmp_path)
        assert {told[name]["FILE-UNSIGNED-PDF"] for name in _STRICT} == {"refuse"}
    # Its certificate names no agency: whose it is the register tells.
    trust.register("000.00.00.G22", pki().agency.pem)
    told = await _judged(inspector, signed, tmp_path)
    assert "FILE-UNSIGNED-PDF" not in told["son-la"]
    forged = fake_digest(changed("7816<", "7817<", signed))
    told = await _judged(inspector, forged, tmp_path)
    assert {found["SIG-INTEGRITY"] for found in told.values()} == {"refuse"}


async def test_one_signature_is_not_both(inspector: SignatureInspector, tmp_path: Path) -> None:
    """The official's alone: refused in Điện Biên and Kon Tum, a warning elsewhere."""
    packed = await asyncio.to_thread(lambda: _packed(_official()))
    told = await _judged(inspector, packed, tmp_path)
    grades = {name: found["SIG-BOTH"] for name, found in told.items()}
    assert {name for name, grade in grades.items() if grade == "refuse"} == {"dien-bien", "kon-tum"}


async def test_changed_and_revoked_are_refused_everywhere(
    inspector: SignatureInspector, tmp_path: Path
) -> None:
    """A page replaced after signing; a certificate that its authority revoked."""
    replaced = await asyncio.to_thread(lambda: _packed(pdfs.replace_page(_both())))
    told = await _judged(inspector, replaced, tmp_path)
    assert {found["SIG-INTEGRITY"] for found in told.values()} == {"refuse"}
    revoked = await asyncio.to_thread(
        lambda: _packed(pdfs.sign_pdf(_official(), pki().revoked, field="Seal"))
    )
    told = await _judged(inspector, revoked, tmp_path)
    assert {found["SIG-TRUST"] for found in told.values()} == {"refuse"}


async def test_a_lost_key_counts_for_nothing_at_once(
    inspector: SignatureInspector, trust: TrustFolder, tmp_path: Path
) -> None:
    """Before the report every profile takes the document, after it none."""
    packed = await asyncio.to_thread(lambda: _packed(_both()))
    assert not any((await _judged(inspector, packed, tmp_path)).values())
    trust.suspend(pki().agency.sha256, reason="lost", by="lan", now=NOW)
    told = await _judged(inspector, packed, tmp_path)
    assert {found["SIG-REVOKED-NOW"] for found in told.values()} == {"refuse"}


async def test_the_registered_certificate_is_the_only_one(
    inspector: SignatureInspector, trust: TrustFolder, tmp_path: Path
) -> None:
    """Once an agency has registered its certificate, another agency's is refused in its name."""
    trust.register("000.00.00.G22", pki().agency.pem)
    packed = await asyncio.to_thread(lambda: _packed(_both()))
    assert not any((await _judged(inspector, packed, tmp_path)).values())
    foreign = await asyncio.to_thread(
        lambda: _packed(pdfs.sign_pdf(_official(), pki().other_agency, field="Seal"))
    )
    told = await _judged(inspector, foreign, tmp_path)
    assert {found["SIG-OWNER"] for found in told.values()} == {"refuse"}


async def test_appendices_and_pages(inspector: SignatureInspector, tmp_path: Path) -> None:
    """An unsigned appendix is refused in Kon Tum alone; the pages of the PDF are counted."""
    packed = await asyncio.to_thread(lambda: _packed(_both(pages=3), pdfs.make_pdf(pages=2)))
    info = "<edXML:PromulgationAmount>2</edXML:PromulgationAmount>"
    for declared, expected in ((3, None), (5, None), (4, "warn")):
        said = changed(info, f"{info}<edXML:PageAmount>{declared}</edXML:PageAmount>", packed)
        told = await _judged(inspector, said, tmp_path)
        assert {found.get("FILE-COMPLETE") for found in told.values()} == {expected}
        refusing = {name for name, found in told.items() if found["SIG-APPENDIX"] == "refuse"}
        assert refusing == {"kon-tum"}
