"""TLS of the service: its certificate, renewed while it runs, and the certificates of clients."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site, open_site
from tests.support.tls_pki import Identity, authority
from tests.support.vxp_client import BASE, VxpClient

MINISTRY, PROVINCE, OPEN = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53"
#: How a refused handshake looks from outside; with TLS 1.3 only at the first answer.
REFUSED = (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)


class TlsGateway(GatewayProcess):
    """A gateway that is asked over TLS whether it is ready."""

    tls: ssl.SSLContext

    def ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        try:
            return call(self, self.tls, "/readyz")[0] == 200
        except OSError:
            return False


def client_tls(ca: bytes, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """What a client's program uses: believes `ca`, shows `own` when it is asked."""
    context = ssl.create_default_context(cadata=ca.decode())
    if own is not None:
        context.load_cert_chain(*own)
    return context


def call(
    gateway: GatewayProcess,
    tls: ssl.SSLContext,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> tuple[int, dict[str, Any]]:
    """One request on a connection of its own; status and JSON."""
    link = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=10, context=tls)
    try:
        link.request(method, path, headers=headers or {})
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def served(gateway: GatewayProcess, tls: ssl.SSLContext) -> bytes:
    """The certificate that the gateway shows now (DER)."""
    link = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=10, context=tls)
    try:
        link.connect()
        assert isinstance(link.sock, ssl.SSLSocket)
        shown = link.sock.getpeercert(binary_form=True)
        assert shown is not None
        return shown
    finally:
        link.close()


@dataclass
class Fort:
    """A gateway with TLS, its clients' certificates and tokens."""

    site: Site
    folder: Path
    gateway: TlsGateway
    tokens: dict[str, str] = field(default_factory=dict)

    def own(self, name: str, ca: str = "clients", **more: Any) -> tuple[Path, Path]:
        """A new certificate of a client."""
        return authority(ca).issue(name, **more).write(self.folder, name)

    def inbox(self, name: str, own: tuple[Path, Path] | None = None) -> tuple[int, str | None]:
        """What a connection's software gets; status and problem code."""
        token = {"Authorization": f"Bearer {self.tokens[name]}"}
        tls = client_tls(authority("servers").pem, own)
        status, answer = call(self.gateway, tls, "/v1/inbox", token)
        return status, answer.get("code")


def start(site: Site, server: Identity, client_auth: str) -> TlsGateway:
    """A gateway with this certificate, whose key has a password."""
    folder = site.folder
    certificate, key = server.write(folder, "server", "mat-khau")
    (folder / "password").write_text("mat-khau\n")
    (folder / "ca.pem").write_bytes(authority("clients").pem)
    settings = {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_key_password_file": folder / "password",
        "tls_client_ca": folder / "ca.pem",
        "tls_client_auth": client_auth,
    }
    gateway = TlsGateway(site, settings=settings)
    gateway.tls = client_tls(authority("servers").pem)
    if client_auth == "required":
        probe = authority("clients").issue("probe").write(folder, "probe")
        gateway.tls = client_tls(authority("servers").pem, probe)
    site.processes.append(gateway)
    gateway.start()
    return gateway


@pytest.fixture(scope="module")
def fort(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fort]:
    """A gateway that takes certificates of clients where there are some."""
    folder = tmp_path_factory.mktemp("tls")
    with open_site("embedded", folder, request) as site:
        server = authority("servers").issue("gateway", server=True)
        fort = Fort(site, folder, start(site, server, "optional"))
        fort.tokens["open"] = site.partner("open", "pull", [OPEN])["token"]
        yield fort


def test_tls_1_2_and_newer_and_nothing_else(fort: Fort) -> None:
    """Older versions and plain HTTP get no answer; the certificate is the right one."""
    status, answer = call(fort.gateway, fort.gateway.tls, "/readyz")
    assert (status, answer["status"]) == (200, "ready")
    assert fort.inbox("open") == (200, None)
    old = client_tls(authority("servers").pem)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        served(fort.gateway, old)
    weak = client_tls(authority("servers").pem)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")
    with pytest.raises(REFUSED):
        served(fort.gateway, weak)
    weak.set_ciphers("ECDHE+AESGCM")
    assert served(fort.gateway, weak)
    plain = http.client.HTTPConnection("127.0.0.1", fort.gateway.port, timeout=10)
    with pytest.raises((OSError, http.client.HTTPException)):
        plain.request("GET", "/readyz")
        plain.getresponse()
    plain.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        served(fort.gateway, ssl.create_default_context())


def test_a_token_counts_only_with_its_certificate(fort: Fort) -> None:
    """None, another's, one of an unknown authority, one that has ended: each is refused."""
    current, following = fort.own("current"), fort.own("following")
    prints = ",".join(_fingerprint(one) for one in (current, following))
    bound = fort.site.partner("bound", "pull", [MINISTRY], client_certificate=prints)
    fort.tokens["bound"] = bound["token"]
    assert fort.inbox("bound", current) == (200, None)
    assert fort.inbox("bound", following) == (200, None)
    assert fort.inbox("bound") == (403, "wrong-certificate")
    assert fort.inbox("bound", fort.own("another")) == (403, "wrong-certificate")
    assert fort.inbox("open", fort.own("any")) == (200, None)
    for bad in (
        fort.own("stranger", "strangers"),
        fort.own("ended", days=-1),
        fort.own("no-client", server=True),
    ):
        with pytest.raises(REFUSED):
            fort.inbox("bound", bad)
        with pytest.raises(REFUSED):
            fort.inbox("open", bad)
    fort.site.command("connections", "set", "bound", "-o", f"client_certificate={prints[:95]}")

    def withdrawn() -> bool:
        return fort.inbox("bound", following) == (403, "wrong-certificate")

    wait_until(withdrawn, 10, "the certificate that was taken away counts no more")
    assert fort.inbox("bound", current) == (200, None)


def _fingerprint(own: tuple[Path, Path]) -> str:
    """As `openssl x509 -fingerprint -sha256` writes it."""
    der = ssl.PEM_cert_to_DER_cert(own[0].read_text())
    return hashlib.sha256(der).digest().hex(":").upper()


def test_the_same_holds_for_the_national_axis_protocol(fort: Fort) -> None:
    """A right signature without the certificate is refused with the reason."""
    own = fort.own("axis")
    secret = fort.site.partner(
        "axis", "vxp", [PROVINCE], system_id=PROVINCE, client_certificate=_fingerprint(own)
    )["secret"]
    client = VxpClient(fort.gateway.port, PROVINCE, secret)

    def ask(shown: tuple[Path, Path] | None) -> dict[str, Any]:
        tls = client_tls(authority("servers").pem, shown)
        path = f"{BASE}/getReceivedEdocList"
        headers = client.headers({"messagetype": "edoc"})
        status, answer = call(fort.gateway, tls, path, headers, "POST")
        assert status == 200
        return answer

    def known() -> bool:
        return ask(own)["status"] == "OK"

    wait_until(known, 10, "the connection is known")
    for wrong in (None, fort.own("another-axis")):
        answer = ask(wrong)
        assert (answer["status"], answer["ErrorCode"]) == ("FAIL", "403"), answer
        assert "certificate" in answer["ErrorDesc"] or "chứng thư" in answer["ErrorDesc"]


def test_new_files_count_without_a_restart(fort: Fort) -> None:
    """The next certificate is shown when it is there; a broken one leaves the old in its place."""
    folder, tls = fort.folder, fort.gateway.tls
    following = authority("servers").issue("gateway-2027", server=True)

    def shows(identity: Identity) -> bool:
        return served(fort.gateway, tls) == identity.certificate.public_bytes(Encoding.DER)

    following.write(folder, "server", "mat-khau")
    wait_until(lambda: shows(following), 15, "the new certificate")
    (folder / "server.pem").write_text("-----BEGIN CERTIFICATE-----\nhalf")

    def told() -> bool:
        served(fort.gateway, tls)
        return "tls.files-unusable" in fort.gateway.log.read_text(errors="replace")

    wait_until(told, 15, "the broken file is told")
    assert shows(following)
    last = authority("servers").issue("gateway-2028", server=True)
    last.write(folder, "server", "mat-khau")
    wait_until(lambda: shows(last), 15, "the certificate after it")
    # An authority that is taken away counts no more, for the next connection.
    was = fort.own("was-good")
    assert fort.inbox("open", was) == (200, None)
    (folder / "ca.pem").write_bytes(authority("strangers").pem)

    def refused() -> bool:
        try:
            fort.inbox("open", was)
        except REFUSED:
            return True
        return False

    wait_until(refused, 15, "certificates of the old authority are refused")
    assert fort.inbox("open", fort.own("new-good", "strangers")) == (200, None)
    (folder / "ca.pem").write_bytes(authority("clients").pem)
    assert fort.gateway.stop() == 0


def test_required_means_nobody_without_a_certificate(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Not even the probes; and files that cannot be used stop the start with a sentence."""
    with open_site("embedded", tmp_path, request) as site:
        server = authority("servers").issue("gateway", server=True)
        gateway = start(site, server, "required")
        assert call(gateway, gateway.tls, "/healthz")[0] == 200
        with pytest.raises(REFUSED):
            call(gateway, client_tls(authority("servers").pem), "/healthz")
        assert gateway.stop() == 0
        (tmp_path / "password").write_text("wrong\n")
        again = gateway.launch()
        assert again.ended(30) == 2
        assert "server.pem" in again.tail() and "Traceback" not in again.tail()
