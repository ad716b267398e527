"""Signed packages through the running service, with a trust folder made as operators make it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support import pdf_signing as pdfs
from tests.support.agency_client import AgencyClient, Answer
from tests.support.make_corpus import File
from tests.support.make_rule_corpus import sound
from tests.support.pki import AGENCY, OFFICIAL, Authority, Credential, pki, rsa_key
from tests.support.pki_server import PkiServer
from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site, open_site
from tests.support.xml_signing import sign

PROVINCE, MINISTRY = "000.00.00.H34", "000.00.00.G22"
RECIPIENTS = ("000.00.00.H41", "H53.13")
YEAR = timedelta(days=365)
_number = iter(range(1, 1000))


def certificate(subject: Any, number: int) -> Credential:
    """A certificate of the government's authority that is good today."""
    today = datetime.now(UTC)
    return pki().government.issue(subject, rsa_key(number), valid=(today - YEAR, today + YEAR))


@dataclass
class Checked:
    """A gateway that verifies signatures, and whose certificates it knows."""

    site: Site
    gateway: GatewayProcess
    official: Credential
    seal: Credential

    def sender(self, code: str) -> AgencyClient:
        """The software of the agency `code`."""
        return self.site.client(code, self.gateway)

    def submit(self, code: str, pdf: bytes, *, signed_by: Credential | None = None) -> Answer:
        """Hand in a document with this PDF, from the agency `code`."""
        file = File("1", "1-vanban.pdf", pdf, "application/pdf")
        named = f"{code},2025/07/01,{next(_number)}".encode()
        package = sound(file).replace(b"000.00.00.G22,2025/07/01,7816", named)
        package = package.replace(b">000.00.00.G22<", f">{code}<".encode())
        return self.sender(code).submit(sign(package, signed_by) if signed_by else package)

    def by_official(self) -> bytes:
        """A PDF with the official's signature."""
        return pdfs.sign_pdf(pdfs.make_pdf(), self.official)

    def by_both(self) -> bytes:
        """A PDF with the official's signature and the agency's seal."""
        return pdfs.sign_pdf(self.by_official(), self.seal, field="Seal")

    def metrics(self) -> str:
        """What /metrics shows."""
        with urlopen(f"{self.gateway.url}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


def imported(site: Site, folder: Path, content: bytes, *options: str) -> None:
    """`lienthong trust import`."""
    file = folder / f"{next(_number)}.pem"
    file.write_bytes(content)
    site.command("trust", "import", str(file), *options)


def serve_lists(server: PkiServer, **authorities: Authority) -> tuple[str, ...]:
    """Have fresh lists of these authorities served; their addresses."""
    for name, authority in authorities.items():
        made = authority.crl(datetime.now(UTC) - timedelta(hours=1))
        server.answers[f"/{name}.crl"] = lambda _body, made=made: (
            200,
            "application/pkix-crl",
            made,
        )
    return tuple(server.url(f"/{name}.crl") for name in authorities)


@pytest.fixture(scope="module")
def checked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checked]:
    """One process on the embedded default; its lists about revocation come over HTTP."""
    ground = tmp_path_factory.mktemp("signed")
    made = pki()
    official, seal = certificate(OFFICIAL, 0), certificate(AGENCY, 1)
    with (
        open_site("embedded", ground, request) as site,
        PkiServer(made.government, made.tsa) as server,
    ):
        site.partner(PROVINCE, "pull", [PROVINCE], profile="kon-tum")
        site.partner(MINISTRY, "pull", [MINISTRY])
        site.partner("recipient", "pull", RECIPIENTS)
        imported(site, ground, made.root.credential.pem)
        for one in (official, seal):
            imported(site, ground, one.pem, "--agency", PROVINCE)
        urls = serve_lists(server, root=made.root, government=made.government)
        gateway = site.gateway(
            signature_checks="true",
            revocation_hosts=server.host,
            revocation_urls=" ".join(urls),
        ).start()
        lists = site.data / "trust" / "revocation"
        wait_until(lambda: len(list(lists.glob("*.crl"))) == 2, 30, "both lists")
        yield Checked(site, gateway, official, seal)


def rules(answer: Answer) -> dict[str, str]:
    """Rule to severity of what was found about signatures."""
    found = answer.json["findings"]
    return {one["rule"]: one["severity"] for one in found if one["rule"].startswith("SIG-")}


def test_signed_by_both_passes_and_the_clerk_sees_who_signed(checked: Checked) -> None:
    """Under kon-tum nothing is wrong; who signed, when, and the outcome are with the package."""
    answer = checked.submit(PROVINCE, checked.by_both(), signed_by=checked.seal)
    assert (answer.status, rules(answer)) == (202, {}), answer
    for side in (PROVINCE, "recipient"):
        package = checked.sender(side).package(answer.json["id"])
        told = package["summary"]["signatures"]
        assert told["package"]["outcome"] == "valid"
        (file,) = told["files"]
        first, second = file["signatures"]
        assert (file["name"], file["outcome"]) == ("1-vanban.pdf", "valid")
        assert (first["kind"], first["signer"]) == ("official", "Nguyễn Văn A")
        assert (second["kind"], second["signer"]) == ("agency", "UBND tỉnh Kon Tum")
        assert first["sha256"] == checked.official.sha256
        assert second["timeSource"] == "received" and second["signedAt"] == told["checkedAt"]
    story = checked.site.command("trace", answer.json["id"])
    wanted = "1-vanban.pdf: Nguyễn Văn A (chữ ký cá nhân, hợp lệ), UBND tỉnh Kon Tum (chữ ký cơ"
    assert wanted in story and "gói tin: UBND tỉnh Kon Tum" in story


def test_a_document_altered_after_signing_is_refused(checked: Checked) -> None:
    """A page replaced below the signatures: SIG-INTEGRITY, in every profile."""
    altered = pdfs.replace_page(checked.by_both())
    for code in (PROVINCE, MINISTRY):
        answer = checked.submit(code, altered)
        assert (answer.status, rules(answer).get("SIG-INTEGRITY")) == (422, "refuse"), answer


def test_without_the_seal_it_depends_on_the_profile(checked: Checked) -> None:
    """The official's signature alone: refused under kon-tum, a warning nationally."""
    lone = checked.by_official()
    refused, warned = checked.submit(PROVINCE, lone), checked.submit(MINISTRY, lone)
    assert (refused.status, rules(refused).get("SIG-BOTH")) == (422, "refuse"), refused
    assert (warned.status, rules(warned).get("SIG-BOTH")) == (202, "warn"), warned


def test_an_unsigned_document_still_passes_nationally(checked: Checked) -> None:
    """No signature at all is no fault under the national profile; it is told as absent."""
    answer = checked.submit(MINISTRY, pdfs.make_pdf())
    assert (answer.status, rules(answer)) == (202, {}), answer
    told = checked.sender(MINISTRY).package(answer.json["id"])["summary"]["signatures"]
    assert told["package"] == {"outcome": "absent", "reasons": []}
    assert [one["outcome"] for one in told["files"]] == ["absent"]


def test_the_age_of_lists_and_the_end_of_certificates_are_metrics(checked: Checked) -> None:
    """Two lists an hour old, none overdue, and nothing that runs out soon."""
    wait_until(lambda: "lienthong_revocation_overdue 0.0" in checked.metrics(), 30, "figures")

    def figure(name: str) -> float:
        lines = checked.metrics().splitlines()
        return float(next(one for one in lines if one.startswith(f"{name} ")).split()[1])

    age = datetime.now(UTC).timestamp() - figure("lienthong_revocation_oldest_timestamp_seconds")
    assert 3600 <= age < 7200
    assert figure('lienthong_revocation_asked_total{outcome="kept"}') >= 2
    assert figure('lienthong_certificates_expiring{role="agencies"}') == 0
    soon = figure("lienthong_certificate_first_expiry_timestamp_seconds")
    assert soon == pytest.approx(checked.seal.certificate.not_valid_after_utc.timestamp(), abs=60)


def test_a_lost_key_counts_for_nothing_at_once(checked: Checked) -> None:
    """Suspended by command while the service runs: the next package is refused; then resumed."""
    signed = checked.by_both()
    digest = checked.seal.sha256
    checked.site.command("trust", "suspend", digest, "--reason", "mất thẻ, báo lúc 09:10")
    try:
        answer = checked.submit(PROVINCE, signed)
        assert (answer.status, rules(answer).get("SIG-REVOKED-NOW")) == (422, "refuse"), answer
    finally:
        checked.site.command("trust", "resume", digest)
    assert checked.submit(PROVINCE, signed).status == 202
    listed = json.loads(checked.site.command("trust", "list", "--json"))
    assert not any(one["suspendedSince"] for one in listed["certificates"])
