"""People: who sees and does what, who is shut out, and that every reading is written down."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from gateway.access.failures import FREE_FAILURES
from tests.acceptance.ministry import NGHE_AN, SENDER, Ministry
from tests.support import packages
from tests.support.agency_client import Answer
from tests.support.oidc_server import AUDIENCE, OidcServer, ec_key
from tests.support.packages import new_id
from tests.support.servers import wait_until
from tests.support.service import MODES, open_site

#: A department of the province, served by a connection of its own, and another province.
DEPARTMENT, ELSEWHERE = "000.00.13.H41", "000.00.00.H53"


@dataclass
class Town(Ministry):
    """A gateway with agencies, a provider and people."""

    provider: OidcServer | None = None

    @property
    def login(self) -> OidcServer:
        """The provider."""
        assert self.provider is not None
        return self.provider

    def people(self, *arguments: str) -> dict[str, Any]:
        """`lienthong people …`; what it answered."""
        answer: dict[str, Any] = json.loads(self.site.command("people", *arguments, "--json"))
        return answer

    def ask(
        self,
        token: str,
        path: str,
        method: str = "GET",
        body: dict[str, Any] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """One request of a person, on a connection of its own."""
        link = http.client.HTTPConnection(
            "127.0.0.1", self.gateway.port, timeout=30, source_address=(source, 0)
        )
        try:
            content = json.dumps(body) if body is not None else None
            link.request(method, path, content, {"Authorization": f"Bearer {token}"})
            answer = link.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            link.close()

    def items(self, token: str, query: str = "") -> list[str]:
        """The DocumentIds that a person finds."""
        answer = self.ask(token, f"/v1/admin/documents?limit=500{query}")
        assert answer.status == 200, answer
        return [item["documentId"] for item in answer.json["items"]]

    def submit(self, *recipients: str, sender: str = SENDER, name: str = "vpcp") -> dict[str, Any]:
        """A new document; the answer."""
        content = packages.document(sender, recipients, new_id(sender))
        answer = self.client(name).submit(content)
        assert answer.status == 202, answer
        return answer.json


@pytest.fixture(scope="module", params=MODES)
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """A gateway of each mode that believes a provider; shared by the module."""
    folder = tmp_path_factory.mktemp(request.param)
    with OidcServer() as provider, open_site(request.param, folder, request) as site:
        site.connect(vpcp=[SENDER], nghe_an=[NGHE_AN], so_tt=[DEPARTMENT], tay_ninh=[ELSEWHERE])
        gateway = site.gateway(
            oidc_issuer=provider.issuer,
            oidc_audience=AUDIENCE,
            oidc_role_claim="realm_access.roles",
            seal_seconds=0.2,
        )
        yield Town(site, gateway.start(), provider=provider)


@pytest.fixture(scope="module")
def tokens(town: Town) -> dict[str, str]:
    """Personal tokens of this gateway, by who has them."""
    accounts = {
        "auditor": ("--role", "auditor"),
        "operator": ("--role", "operator"),
        "province": ("--role", "clerk", "--agency", NGHE_AN),
        "department": ("--role", "clerk", "--agency", DEPARTMENT),
        "elsewhere": ("--role", "clerk", "--agency", "H53"),
        "ministry": ("--role", "clerk", "--agency", SENDER),
    }
    return {name: town.people("add", name, *more)["token"] for name, more in accounts.items()}


def test_everybody_sees_what_is_theirs_and_no_more(town: Town, tokens: dict[str, str]) -> None:
    """Auditors all documents; clerks those of their agencies and below, sent or received."""
    province, department = town.submit(NGHE_AN), town.submit(DEPARTMENT)
    up = town.submit(SENDER, sender=DEPARTMENT, name="so_tt")
    town.offered("nghe_an", province["id"])
    town.offered("so_tt", department["id"])
    town.offered("vpcp", up["id"])
    ids = {one["documentId"] for one in (province, department, up)}
    seen = {name: ids & set(town.items(token)) for name, token in tokens.items()}
    assert seen["auditor"] == seen["operator"] == seen["ministry"] == seen["province"] == ids
    assert seen["department"] == {department["documentId"], up["documentId"]}
    assert seen["elsewhere"] == set()
    hidden = quote(province["documentId"], safe="")
    for page in ("events", "story", "evidence"):
        path = f"/v1/admin/documents/{hidden}/{page}"
        statuses = {name: town.ask(token, path).status for name, token in tokens.items()}
        assert {name for name, status in statuses.items() if status == 200} == {
            "auditor",
            "operator",
            "ministry",
            "province",
        }
        assert {statuses["department"], statuses["elsewhere"]} == {404}
    # A copy that has not come near its recipient is not the recipient's to see.
    both = town.submit(NGHE_AN, DEPARTMENT)
    town.offered("so_tt", both["id"])
    path = f"/v1/admin/documents/{quote(both['documentId'], safe='')}/events"
    copies = town.ask(tokens["department"], path).json["document"]["deliveries"]
    assert [one["recipientOrganId"] for one in copies] == [DEPARTMENT]


def test_reading_content_is_for_clerks_concerned_and_written_down_first(
    town: Town, tokens: dict[str, str]
) -> None:
    """Bytes unchanged; the log names the person and the digest, the sender's events do not."""
    content, answer = town.send(NGHE_AN)
    package = answer.json["id"]
    path = f"/v1/admin/packages/{package}/content"
    town.offered("nghe_an", package)
    assert town.ask(tokens["province"], path).body == content
    assert town.ask(tokens["ministry"], path).body == content
    for name, status in (("auditor", 403), ("operator", 403), ("department", 404)):
        assert town.ask(tokens[name], path).status == status, name
    assert town.ask(tokens["elsewhere"], path).status == 404
    assert town.sender.call("GET", f"/v1/packages/{package}/content").body == content
    document = quote(answer.json["documentId"], safe="")
    log = town.ask(tokens["auditor"], f"/v1/admin/documents/{document}/events").json["items"]
    read = [(one["type"], one["actor"]) for one in log if one["type"].endswith(".read")]
    assert read == [
        ("document.read", "person:province"),
        ("document.read", "person:ministry"),
        ("package.read", "connection:vpcp"),
    ]
    digests = {one["data"]["sha256"] for one in log if one["type"].endswith(".read")}
    assert digests == {answer.json["sha256"]}
    told = town.sender.call("GET", f"/v1/documents/{document}/events").json["items"]
    assert {one["type"] for one in told} >= {"package.accepted", "package.read"}
    assert "document.read" not in {one["type"] for one in told}
    story = town.ask(tokens["auditor"], f"/v1/admin/documents/{document}/story").json
    assert "người dùng province đọc nội dung" in json.dumps(story, ensure_ascii=False).lower()


def test_evidence_shows_digests_and_seals(town: Town, tokens: dict[str, str]) -> None:
    """The auditor gets what proves the story, without the content."""
    sent = town.submit(NGHE_AN)
    path = f"/v1/admin/documents/{quote(sent['documentId'], safe='')}/evidence"
    found: dict[str, Any] = {}

    def sealed() -> bool:
        found.update(town.ask(tokens["auditor"], path).json)
        return bool(found["events"]) and all(one["seal"] for one in found["events"][:1])

    wait_until(sealed, 20, "the first event is sealed")
    assert [one["sha256"] for one in found["packages"]] == [sent["sha256"]]
    numbers = {one["seal"] for one in found["events"] if one["seal"]}
    assert {one["number"] for one in found["seals"]} == numbers
    assert all(one["signed"].count(".") == 2 for one in found["seals"])


def test_operators_decide_and_others_only_look(town: Town, tokens: dict[str, str]) -> None:
    """Hold, release, return; pause and resume; the log has the operator's name."""
    operator = tokens["operator"]
    for verb, status in (("pause", "paused"), ("resume", "active")):
        path = f"/v1/admin/connections/tay_ninh/{verb}"
        assert town.ask(tokens["auditor"], path, "POST").status == 403
        assert town.ask(tokens["province"], path, "POST").status == 403
        answer = town.ask(operator, path, "POST")
        assert (answer.status, answer.json["status"]) == (200, status)
        if verb == "pause":
            delivery = town.submit(ELSEWHERE)["deliveries"][0]["id"]
    assert town.ask(operator, "/v1/admin/connections/nobody/pause", "POST").status == 404
    assert town.ask(operator, "/v1/admin/connections/vpcp/remove", "POST").status == 400
    base = f"/v1/admin/deliveries/{delivery}"
    assert town.ask(operator, f"{base}/hold", "POST").json["code"] == "bad-parameter"
    assert town.ask(tokens["auditor"], f"{base}/hold", "POST", {"reason": "x"}).status == 403
    held = town.ask(operator, f"{base}/hold", "POST", {"reason": "chờ công văn"})
    if held.status == 409:
        # It was offered between resume and hold, which is a right answer, too.
        assert held.json["code"] == "not-possible-now"
        return
    assert held.json["state"] == "held"
    listed = town.ask(tokens["auditor"], "/v1/admin/deliveries?state=held").json["items"]
    assert delivery in [one["id"] for one in listed]
    assert town.ask(tokens["province"], "/v1/admin/deliveries").status == 403
    returned = town.ask(operator, f"{base}/return", "POST", {"reason": "nhầm nơi nhận"})
    assert returned.json["state"] == "returned"
    assert town.ask(operator, f"{base}/replay", "POST").json["code"] == "not-possible-now"
    shown = json.loads(town.site.command("trace", listed[0]["documentId"], "--json"))
    assert "operator:operator" in json.dumps(shown)


def test_a_closed_account_is_shut_out_at_once_and_for_ever(town: Town) -> None:
    """Close and rotate take effect with the next request; names are not used again."""
    added = town.people("add", "hoa", "--role", "auditor")
    assert town.ask(added["token"], "/v1/admin/me").json["roles"] == ["auditor"]
    newer = town.people("rotate", "hoa")["token"]
    assert town.ask(added["token"], "/v1/admin/me").status == 401
    assert town.ask(newer, "/v1/admin/me").status == 200
    town.people("close", "hoa")
    answer = town.ask(newer, "/v1/admin/me")
    assert (answer.status, answer.json["code"]) == (401, "unknown-person")
    with pytest.raises(AssertionError, match="already"):
        town.people("add", "hoa", "--role", "auditor")
    listed = {one["name"]: one for one in town.people("list")["items"]}
    assert listed["hoa"]["closedAt"] and listed["hoa"]["tokenEnds"] is None
    for roles in (("--role", "clerk"), ("--role", "auditor", "--agency", "H41")):
        with pytest.raises(AssertionError, match="A clerk works for agencies"):
            town.people("add", "binh", *roles)
    with pytest.raises(AssertionError, match="without a colon"):
        town.people("add", "oidc:lan", "--role", "auditor")


def test_tokens_of_people_and_of_connections_are_no_substitutes(
    town: Town, tokens: dict[str, str]
) -> None:
    """A connection is no person, and no person sends documents."""
    connection = town.site.tokens["vpcp"]
    assert town.ask(connection, "/v1/admin/documents").json["code"] == "unknown-person"
    assert town.ask(tokens["operator"], "/v1/inbox").json["code"] == "unknown-token"


def test_people_of_the_provider_come_with_its_tokens(town: Town) -> None:
    """Roles and agencies by claims; wrong tokens and people without a role stay outside."""
    login = town.login

    def roles(*words: str, **more: Any) -> dict[str, Any]:
        return {"roles": None, "realm_access": {"roles": list(words)}, **more}

    auditor = login.token(**roles("lienthong-auditor", "offline_access"))
    me = town.ask(auditor, "/v1/admin/me").json
    assert (me["name"], me["roles"]) == ("oidc:nguyen-thi-lan", ["auditor"])
    clerk = login.token(login.keys[1], **roles("lienthong-clerk", agencies=["H41"]))
    content, answer = town.send(NGHE_AN)
    path = f"/v1/admin/packages/{answer.json['id']}/content"
    town.offered("nghe_an", answer.json["id"])
    assert town.ask(clerk, path).body == content
    assert town.ask(auditor, path).status == 403
    gone = login.token(**roles("lienthong-auditor", sub="tran-van-binh"))
    assert town.ask(gone, "/v1/admin/me").status == 200
    assert town.people("close", "oidc:tran-van-binh")["closed"]
    assert town.ask(gone, "/v1/admin/me").status == 401
    nobody = {
        "no role": login.token(**roles("user")),
        "clerk of nothing": login.token(**roles("lienthong-clerk")),
        "clerk of no code": login.token(**roles("lienthong-clerk", agencies=["H41", "%"])),
        "another audience": login.token(**roles("lienthong-auditor"), aud="other"),
        "over": login.token(**roles("lienthong-auditor"), exp=1),
        "a stranger's key": login.token(ec_key("first"), **roles("lienthong-auditor")),
    }
    for why, token in nobody.items():
        answer = town.ask(token, "/v1/admin/me")
        assert (answer.status, answer.json["code"]) == (401, "unknown-person"), why
    log = town.gateway.log.read_text(errors="replace")
    for token in (auditor, clerk, *nobody.values()):
        assert token not in log


def test_wrong_tokens_are_slowed_down_per_address_and_told(
    town: Town, tokens: dict[str, str]
) -> None:
    """429 from one address; known tokens, and other addresses, are served all the same."""
    attacker, other = "127.0.0.77", "127.0.0.78"
    assert town.ask(tokens["auditor"], "/v1/admin/me", source=attacker).status == 200
    answers = [
        town.ask(f"ltp_guess-{number}-khong-phai-ma", "/v1/admin/me", source=attacker)
        for number in range(FREE_FAILURES + 30)
    ]
    statuses = {answer.status for answer in answers}
    assert statuses == {401, 429}, statuses
    last = next(one for one in reversed(answers) if one.status == 429)
    assert last.json["code"] == "too-many-failures" and int(last.headers["Retry-After"]) >= 1
    assert town.ask(tokens["auditor"], "/v1/admin/me", source=attacker).status == 200
    own = town.site.tokens["vpcp"]
    assert town.ask(own, "/v1/inbox", source=attacker).status == 200
    # One failure is forgiven a second: on a busy machine the next strange token may be that one.
    wait_until(lambda: town.ask("lt_strange", "/v1/inbox", source=attacker).status == 429, 10)
    assert town.ask("lt_strange", "/v1/inbox", source=other).status == 401
    log = town.gateway.log.read_text(errors="replace")
    assert "authentication.repeated-failures" in log and "khong-phai-ma" not in log
    figures = town.sender.call("GET", "/metrics").body.decode()
    assert 'lienthong_authentication_failures_total{face="people",why="unknown-token"}' in figures
    if town.site.mode == "embedded":
        with sqlite3.connect(town.site.data / "lienthong.db") as database:
            told = database.execute(
                "SELECT data FROM events WHERE type = 'security.failed-authentications'"
            ).fetchall()
        assert [json.loads(row[0])["address"] for row in told] == [attacker]
