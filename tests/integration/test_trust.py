"""Trust material in a folder, and revocation fetched ahead from authorities on loopback."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.timestamps.aiohttp_client import HTTPTimeStamper

from adapters.signatures.pdf import check_pdf
from adapters.trust import (
    FetchPolicy,
    KindRule,
    NotACertificate,
    RevocationFetcher,
    TrustFolder,
    TrustPolicy,
    TrustProblem,
    certificate_facts,
    kept_revocation,
)
from adapters.trust import folder as folder_module
from adapters.trust.judge import Judge
from adapters.trust.material import Register
from envelopes.signature_facts import (
    CertificateFacts,
    Reason,
    Revocation,
    SignatureFacts,
    SignatureOutcome,
    SignatureVerdict,
    TimeSource,
)
from gateway import revocation
from gateway.observability import Metrics
from gateway.settings import Settings
from tests.support import pdf_signing as pdfs
from tests.support.pki import AGENCY, DAY, NOW, YEAR, Authority, ec_key, name, pki, rsa_key
from tests.support.pki_server import PkiServer
from tests.support.signature_case import trusted


def _folder(path: Path) -> TrustFolder:
    folder = TrustFolder(path)
    folder.add_anchors(pki().root.credential.pem)
    return folder


def test_each_profile_has_its_anchors_and_those_of_all(tmp_path: Path) -> None:
    """An authority of one province is trusted in that profile alone."""
    folder = _folder(tmp_path)
    folder.add_anchors(pki().stranger.credential.pem, "kon-tum")
    assert len(folder.material("national").anchors) == 1
    assert len(folder.material("kon-tum").anchors) == 2
    assert isinstance(folder.add_anchors(b"", "../x"), TrustProblem)
    assert folder.material("../agencies").problems


def test_every_usual_form_of_certificate_is_taken(tmp_path: Path) -> None:
    """PEM bundles, DER and PKCS#7; anything else is refused and nothing is written."""
    from cryptography.hazmat.primitives.serialization import pkcs7

    folder = TrustFolder(tmp_path)
    p = pki()
    both = [p.root.credential.certificate, p.government.credential.certificate]
    bundle = pkcs7.serialize_certificates(both, Encoding.PEM)
    assert len(folder.add_anchors(bundle)) == 2
    assert len(folder.add_intermediates(p.government.credential.der)) == 1
    assert len(folder.register("H41", p.agency.pem + p.official.pem)) == 2
    for wrong in (
        b"",
        b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        b"x" * 99,
    ):
        with pytest.raises(NotACertificate):
            folder.add_anchors(wrong)
    assert len(folder.entries()) == 5


def test_codes_of_an_agency_mean_the_same_folder(tmp_path: Path) -> None:
    """Both systems write level 1 alike: what is registered for one form is found by the other."""
    folder = _folder(tmp_path)
    folder.register("000.00.00.H41", pki().agency.pem)
    folder.register("H41", pki().other_agency.pem)
    material = folder.material("national")
    assert len(material.certificates_of("H41")) == 2
    assert Register(material).registered_for(pki().agency.sha256) == ("H41",)
    assert isinstance(folder.register("không phải mã", pki().agency.pem), TrustProblem)


def test_a_broken_file_is_named_and_the_rest_holds(tmp_path: Path) -> None:
    """A slip of an operator neither stops the gateway nor goes unseen."""
    folder = _folder(tmp_path)
    (tmp_path / "anchors" / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\n?\n")
    (tmp_path / "revocation").mkdir()
    (tmp_path / "revocation" / "broken.crl").write_bytes(b"no list")
    (tmp_path / "agencies" / "nobody knows").mkdir(parents=True)
    material = folder.material("national")
    assert len(material.anchors) == 1
    assert len(material.problems) == 3
    assert any("broken.pem" in one for one in material.problems)


def test_a_suspension_that_cannot_be_read_still_suspends(tmp_path: Path) -> None:
    """The file's name is enough: better a signature too few than a stolen key."""
    folder = _folder(tmp_path)
    (tmp_path / "suspended").mkdir()
    (tmp_path / "suspended" / f"{pki().agency.sha256}.json").write_text("{")
    material = folder.material("national")
    assert material.suspended[pki().agency.sha256] < NOW
    assert material.problems


def test_a_second_report_does_not_move_a_suspension(tmp_path: Path) -> None:
    """Since when a key is lost was said once; and every process sees it without a restart."""
    folder, other = _folder(tmp_path), TrustFolder(tmp_path)
    assert not other.material("national").suspended
    folder.suspend("ab" * 32, reason="mất", by="a", now=NOW)
    folder.suspend("ab" * 32, reason="mất", by="b", now=NOW + DAY)
    assert other.material("national").suspended == {"ab" * 32: NOW}
    assert folder.resume("ab" * 32)
    assert not folder.resume("ab" * 32)
    assert not other.material("national").suspended


def test_a_full_disk_is_no_trouble_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written leaves nothing behind, and can be written later."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = _folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                folder.suspend("ab" * 32, reason="mất", by="a", now=NOW)
    assert not list((tmp_path / "suspended").iterdir())
    folder.suspend("ab" * 32, reason="mất", by="a", now=NOW)
    assert folder.material("national").suspended == {"ab" * 32: NOW}


def test_what_runs_out_is_told_in_time(tmp_path: Path) -> None:
    """Certificates of anchors and agencies, the first to go first."""
    folder = _folder(tmp_path)
    p = pki()
    soon = p.government.issue(AGENCY, ec_key(3), valid=(NOW - YEAR, NOW + 20 * DAY))
    folder.register("H41", soon.pem + p.agency.pem + p.expired.pem)
    found = [one.facts.sha256 for one in folder.expiring(NOW, timedelta(days=30))]
    assert found == [p.expired.sha256, soon.sha256]


def test_each_certificate_is_read_once_for_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands, and the figures are made every minute in every process."""
    folder = _folder(tmp_path)
    folder.register("H41", pki().agency.pem + pki().expired.pem)
    read: list[bytes] = []

    def counted(der: bytes) -> CertificateFacts:
        read.append(der)
        return certificate_facts(der)

    monkeypatch.setattr(folder_module, "certificate_facts", counted)
    metrics = Metrics()
    revocation.Revocation(folder, Settings(), metrics).measure(NOW)
    assert len(read) == len(set(read)) == 3
    labels = {"role": "agencies"}
    assert metrics.registry.get_sample_value("lienthong_certificates_expiring", labels) == 1


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    """Wherever it lies, behind a link as well, and when it only goes."""
    elsewhere = tmp_path / "elsewhere.pem"
    elsewhere.write_bytes(pki().stranger.credential.pem)
    folder = _folder(tmp_path / "trust")
    (tmp_path / "trust" / "anchors" / "link.pem").symlink_to(elsewhere)
    stamps = [folder.material("national").stamp]

    def changed() -> bool:
        stamps.append(folder.material("national").stamp)
        return stamps[-1] != stamps[-2]

    assert not changed()
    folder.add_anchors(pki().stranger.credential.pem, "kon-tum")
    assert changed() and not changed()
    elsewhere.write_bytes(pki().root.credential.pem)
    os.utime(elsewhere, ns=(1, 1))
    assert changed() and not changed()
    elsewhere.unlink()
    assert changed() and not changed()
    (tmp_path / "trust" / "agencies" / "no code").mkdir(parents=True)
    assert changed() and len(folder.material("national").problems) == 1


def test_a_certificate_is_found_by_what_people_have_of_it(tmp_path: Path) -> None:
    """By the beginning of its digest, with colons or without, by serial number, by agency."""
    folder = _folder(tmp_path)
    agency = pki().agency
    folder.register("H41.13", agency.pem)
    colons = ":".join(agency.sha256[at : at + 2] for at in range(0, 16, 2))
    for text in (agency.sha256[:12], colons.upper(), "H41.13"):
        assert [one.facts.sha256 for one in folder.find(text)] == [agency.sha256]
    assert not folder.find("ab")


# Fetching


class _World:
    """A trust folder whose authority is a server of our own."""

    def __init__(self, path: Path) -> None:
        root = Authority.root("Root of the fetch tests", ec_key(10))
        self.authority = root
        self.server = PkiServer(root, pki().tsa)
        root.crl_url = self.server.url("/x.crl")
        root.ocsp_url = self.server.url("/ocsp")
        self.agency = root.issue(name("Sở Y tế", UID="MST:0100000002"), rsa_key(1))
        self.server.known = [self.agency.certificate]
        self.folder = TrustFolder(path)
        self.folder.add_anchors(root.credential.pem)
        self.folder.register("H41", self.agency.pem)

    def fetcher(self, **changes: object) -> RevocationFetcher:
        hosts = frozenset({self.server.host})
        return RevocationFetcher(self.folder, FetchPolicy(**{"hosts": hosts, **changes}))

    async def revocation(self) -> Revocation:
        judge = Judge(self.folder.material("national"), TrustPolicy())
        certificate = asn1_x509.Certificate.load(self.agency.der)
        return (await judge.judge(certificate, NOW)).revocation


@pytest.fixture
def world(tmp_path: Path) -> _World:
    made = _World(tmp_path)
    with made.server:
        yield made


async def test_lists_and_answers_are_fetched_ahead_and_believed(world: _World) -> None:
    """Before: unknown. After: good; and revoked once the authority says so."""
    assert await world.revocation() is Revocation.UNKNOWN
    found = await world.fetcher().refresh(NOW)
    assert {(one.kind, one.ok) for one in found} == {("crl", True), ("ocsp", True)}
    assert await world.revocation() is Revocation.GOOD
    world.authority.revoke(world.agency, NOW - DAY)
    world.server.now = later = NOW + timedelta(days=4)
    assert all(one.ok for one in await world.fetcher().refresh(later))
    assert await world.revocation() is Revocation.REVOKED


async def test_nothing_is_asked_before_it_is_due(world: _World) -> None:
    """A list is asked for again when half its life is over, an authority never in haste."""
    fetcher = world.fetcher()
    await fetcher.refresh(NOW)
    asked = len(world.server.asked)
    assert await fetcher.refresh(NOW + timedelta(minutes=1)) == ()
    assert await fetcher.refresh(NOW + timedelta(hours=2)) == ()
    assert len(world.server.asked) == asked
    again = await fetcher.refresh(NOW + timedelta(hours=13))
    assert again


async def test_only_hosts_that_were_named_are_asked(world: _World) -> None:
    """An address in a certificate is no permission to open it."""
    for hosts in (frozenset(), frozenset({"127.0.0.1"}), frozenset({"crl.ca.gov.vn"})):
        found = await world.fetcher(hosts=hosts).refresh(NOW)
        assert found
        assert not any(one.ok for one in found)
    found = await world.fetcher(urls=("file:///etc/passwd", "http://[")).refresh(NOW)
    assert sum(not one.ok for one in found) == 2
    assert not [one for one in world.server.asked if one not in ("/x.crl", "/ocsp")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((302, "text/plain", b""), "302"),
        ((500, "text/plain", b""), "500"),
        ((200, "text/plain", b"no list"), ""),
        ((200, "text/plain", b"x" * 200_000), "more than"),
    ],
)
async def test_what_is_no_list_is_not_kept(
    world: _World, answer: tuple[int, str, bytes], said: str
) -> None:
    """Redirects, errors, other things and too large things: told, and the old list stays."""
    before = world.folder.material("national").crls
    world.server.answers["/x.crl"] = lambda _body: answer
    found = await world.fetcher(max_bytes=100_000).refresh(NOW)
    (crl,) = [one for one in found if one.kind == "crl"]
    assert not crl.ok
    assert said in crl.problem
    assert world.folder.material("national").crls == before


async def test_an_older_list_never_takes_the_place_of_a_newer(world: _World) -> None:
    """Who stands between us and the authority cannot hand us the list of last month."""
    fetcher = world.fetcher()
    await fetcher.refresh(NOW)
    kept = world.folder.material("national").crls
    world.server.now = NOW - 20 * DAY
    (crl,) = [one for one in await fetcher.refresh(NOW + 5 * DAY) if one.kind == "crl"]
    assert "older" in crl.problem
    assert world.folder.material("national").crls == kept


async def test_a_damaged_file_is_replaced_and_holds_up_no_other(world: _World) -> None:
    """A list that cannot be read any more counts as none: it and the others are fetched anew."""
    await world.fetcher().refresh(NOW)
    kept = sorted((world.folder.folder / "revocation").iterdir())
    assert {path.suffix for path in kept} == {".crl", ".ocsp"}
    for path in kept:
        path.write_bytes(b"half a li")
    found = await world.fetcher().refresh(NOW)
    assert {(one.kind, one.problem) for one in found} == {("crl", ""), ("ocsp", "")}
    assert await world.revocation() is Revocation.GOOD
    assert not world.folder.material("national").problems


async def test_a_list_that_an_operator_put_there_as_pem_is_read(world: _World) -> None:
    """Not asked for before it is due, and counted among what is kept."""
    await world.fetcher().refresh(NOW)
    (path,) = (world.folder.folder / "revocation").glob("*.crl")
    path.write_bytes(x509.load_der_x509_crl(path.read_bytes()).public_bytes(Encoding.PEM))
    assert await world.fetcher().refresh(NOW) == ()
    assert path.name in [one.name for one in kept_revocation(world.folder)]


async def test_a_silent_authority_costs_a_bounded_wait(world: _World) -> None:
    """No answer in time is a problem told, not an exception."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(_body: bytes) -> tuple[int, str, bytes]:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return 200, "", b""

    world.server.answers["/x.crl"] = wait
    try:
        found = await world.fetcher(seconds=0.5).refresh(NOW)
    finally:
        release.set()
    assert [one.ok for one in found if one.kind == "crl"] == [False]


async def test_a_list_that_a_signature_was_missing_is_fetched(world: _World) -> None:
    """Of a trusted chain and an allowed host only; the same signature is good afterwards."""
    signer = certificate_facts(world.agency.der)

    def facts(trusted: bool) -> SignatureFacts:
        missing = SignatureVerdict(
            SignatureOutcome.UNVERIFIABLE,
            (Reason.REVOCATION_UNKNOWN,),
            signer=signer,
            trusted=trusted,
            revocation=Revocation.UNKNOWN,
        )
        return SignatureFacts(xml=missing)

    for entry in world.folder.entries():
        if entry.role == "agencies":
            entry.path.unlink()
    fetcher = world.fetcher()
    assert await fetcher.refresh(NOW) == ()
    assert not fetcher.want(facts(False))
    assert not world.fetcher(hosts=frozenset({"else.test"})).want(facts(True))
    assert fetcher.want(facts(True))
    assert [(one.kind, one.ok) for one in await fetcher.refresh(NOW)] == [("crl", True)]
    assert await world.revocation() is Revocation.GOOD


async def test_a_stamp_of_an_authority_on_the_network_is_taken(
    world: _World, tmp_path: Path
) -> None:
    """RFC 3161 over HTTP: the signature's time is the stamp's."""
    p = pki()
    async with aiohttp.ClientSession() as session:
        stamper = HTTPTimeStamper(world.server.url("/tsa"), session=session)
        writer = IncrementalPdfFileWriter(io.BytesIO(pdfs.make_pdf()))
        signer = signers.SimpleSigner(p.agency.asn1, p.agency.asn1_key, pdfs.store(p.agency))
        meta = signers.PdfSignatureMetadata(field_name="Seal", md_algorithm="sha256")
        out = io.BytesIO()
        world.server.now = NOW - DAY
        await signers.PdfSigner(meta, signer, timestamper=stamper).async_sign_pdf(
            writer, output=out
        )
    judge = Judge(trusted(p), TrustPolicy())
    (verdict,) = (await check_pdf(out, judge, NOW)).signatures
    assert verdict.valid, verdict
    assert (verdict.signed_at, verdict.time_source) == (NOW - DAY, TimeSource.TIMESTAMP)


# Whose certificate it is


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        (name("Nguyễn Văn A", O="UBND tỉnh Kon Tum", UID="CCCD:001080012345"), "official"),
        (name("Trần Thị B", O="Sở Y tế", serial="001080012345"), "official"),
        (name("Lê Văn C", O="Sở Y tế", T="Giám đốc"), "official"),
        (name("UBND tỉnh Kon Tum", UID="MST:6100192031"), "agency"),
        (name("Văn thư", serial="0100000001-001"), "agency"),
        (name("Cơ quan X", organization_identifier="VATVN-0100000001"), "agency"),
        (name("Kho lưu trữ", O="Kho lưu trữ"), "agency"),
        (name("Sở Nội vụ", O="UBND tỉnh Kon Tum"), "agency"),
        (name("Nguyễn Văn A", O="UBND tỉnh Kon Tum"), "unknown"),
    ],
)
def test_officials_and_agencies_are_told_apart_by_their_subject(
    subject: x509.Name, kind: str
) -> None:
    """Numbers first, then what only persons have, then the name; where nothing tells: unknown."""
    certificate = pki().government.issue(subject, ec_key(3))
    assert KindRule().kind_of(certificate.der).value == kind


def test_another_province_writes_subjects_otherwise() -> None:
    """The rule is a setting."""
    certificate = pki().government.issue(name("Nguyễn Văn A", UID="CB-17"), ec_key(3))
    assert KindRule().kind_of(certificate.der).value == "unknown"
    rule = KindRule(official_number=r"CB-\d+")
    assert rule.kind_of(certificate.der).value == "official"


def test_an_agency_code_in_the_subject_is_found() -> None:
    """Of either system, where it stands by itself."""
    for text, code in (("H41.13", "H41.13"), ("000.00.13.H41", "000.00.13.H41"), ("Phòng", "")):
        certificate = pki().government.issue(name("Sở", OU=text), ec_key(3))
        assert certificate_facts(certificate.der).organ_code == code
