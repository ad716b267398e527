"""No secret lies in the open: not in the database, its dump, the data folder, or any log."""

from __future__ import annotations

import http.client
import json
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.amqp_software import add_partner
from tests.support.oidc_server import AUDIENCE, OidcServer, rsa_key
from tests.support.servers import Postgres, RabbitMq
from tests.support.service import MODES, Site, open_site

GIVEN = "mat-khau-cu-cua-tinh-0123456789"


def plant(site: Site, request: pytest.FixtureRequest) -> dict[str, str]:
    """Every kind of secret that there is, by what it is."""
    pulled = site.partner("pulled", "pull", ["000.00.00.G22"])["token"]
    pushed = site.partner("pushed", "push", ["000.00.00.H53"], url="https://receiver.example/in")[
        "secret"
    ]
    vxp = site.partner("vxp", "vxp", ["000.00.00.H41"], system_id="000.00.00.H41")["secret"]
    site.partner("kept", "vxp", ["000.00.00.H17"], system_id="000.00.00.H17", given_secret=GIVEN)
    added = json.loads(
        site.command("callbacks", "add", "pulled", "https://receiver.example/cb", "--json")
    )
    rotated = json.loads(site.command("callbacks", "rotate", added["id"], "--json"))["secret"]
    person = json.loads(site.command("people", "add", "lan", "--role", "auditor", "--json"))
    secrets = {
        "token of a connection": pulled,
        "secret of a push receiver": pushed,
        "secret of a VXP system": vxp,
        "secret that a VXP system had": GIVEN,
        "secret of a callback": added["secret"],
        "next secret of a callback": rotated,
        "token of a person": person["token"],
    }
    if site.mode == "production":
        rabbitmq: RabbitMq = request.getfixturevalue("rabbitmq_server")
        account = add_partner(site, rabbitmq, "queued", "000.00.00.H14")
        secrets["password of a RabbitMQ user"] = account.secret
    return secrets


def use(port: int, tokens: list[str]) -> None:
    """Each token where it belongs, where it does not, and where none belongs."""
    for token in tokens:
        for path in ("/v1/inbox", "/v1/admin/me", "/metrics", f"/v1/admin/documents?x={token[:4]}"):
            for scheme in ("Bearer", "Basic"):
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                link.request("GET", path, headers={"Authorization": f"{scheme} {token}"})
                link.getresponse().read()
                link.close()
        if not token.startswith(("lt_", "ltp_", "eyJ")):
            # Only tokens are known by their looks when they stand in an address.
            continue
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        link.request("GET", f"/v1/packages/{quote(token)}?token={quote(token)}")
        link.getresponse().read()
        link.close()


def dump_of(site: Site, request: pytest.FixtureRequest) -> bytes:
    """Everything in the database as text."""
    if site.mode == "embedded":
        with sqlite3.connect(site.data / "lienthong.db") as database:
            return "\n".join(database.iterdump()).encode()
    postgres: Postgres = request.getfixturevalue("postgres_server")
    return postgres.dump(site.database_url)


@pytest.mark.parametrize("mode", MODES)
def test_no_planted_secret_is_found_anywhere(
    mode: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Tokens are hashed, shared secrets sealed, logs clean, even at debug level."""
    with OidcServer() as provider, open_site(mode, tmp_path, request) as site:
        secrets = plant(site, request)
        gateway = site.gateway(
            log_level="debug", oidc_issuer=provider.issuer, oidc_audience=AUDIENCE
        ).start()
        tokens = [*secrets.values(), provider.token(), provider.token(rsa_key("stranger"))]
        use(gateway.port, tokens)
        assert gateway.stop() == 0
        dump = dump_of(site, request)
        assert b"connection_secrets" in dump and b"person_tokens" in dump
        log = gateway.log.read_bytes()
        assert b"authentication.failed" in log
        places = {"dump": dump, "log": log} | {
            str(path): path.read_bytes() for path in site.data.rglob("*") if path.is_file()
        }
        named = {f"token {number}": token for number, token in enumerate(tokens)} | secrets
        found = [
            (what, place)
            for what, secret in named.items()
            for place, content in places.items()
            if secret.encode() in content or secret.removeprefix("whsec_").encode() in content
        ]
        assert found == []
