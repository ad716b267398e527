"""A running service answers what the contract says: successes and problems, bodies and headers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml

from gateway.rest.operations import openapi_document
from routing.route_table import ConnectionStatus
from tests.support.contract import answer_schema, operations, resolve, validator
from tests.support.servers import wait_until_async
from tests.support.service import GatewayProcess, Site, open_site

API = openapi_document()
LETTER = API["components"]["requestBodies"]["Package"]["content"]["application/xml"]["examples"][
    "letter"
]["value"]
SENDER, RECIPIENT, OTHER = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53"
#: Paths for people, where tokens of connections count for nothing.
PEOPLE = "/v1/admin/"
#: A time limit for what should take milliseconds.
DEADLINE = 20.0


@dataclass
class Exchange:
    """One request and its answer, held against the contract as soon as it came."""

    path: str
    method: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    data: Any = None

    def check(self) -> None:
        """Status, media type, body and headers are those of the contract."""
        media_type = self.headers["Content-Type"].partition(";")[0]
        described = resolve(API, API["paths"][self.path][self.method]["responses"])
        assert str(self.status) in described, f"{self.method} {self.path}: {self.status}"
        schema = answer_schema(API, self.method, self.path, self.status, media_type)
        value = self.data if media_type.endswith("json") else self.body.decode()
        errors = [
            f"{error.json_path}: {error.message}"
            for error in validator(API, schema).iter_errors(value)
        ]
        assert errors == [], errors
        answer = resolve(API, described[str(self.status)])
        for name, given in answer.get("headers", {}).items():
            header = resolve(API, given)
            assert name in self.headers, f"{self.method} {self.path} {self.status}: no {name}"
            text = self.headers[name]
            found = int(text) if header["schema"]["type"] == "integer" else text
            assert not [*validator(API, header["schema"]).iter_errors(found)], (name, text)
        if self.status >= 400 and isinstance(value, dict) and "code" in value:
            listed = API["components"]["schemas"]["ProblemCode"]["x-problems"]
            assert listed[value["code"]]["status"] == self.status
            assert value["correlationId"] == self.headers["X-Correlation-Id"]


@dataclass
class Caller:
    """Calls the service; every answer is checked, every operation counted."""

    session: aiohttp.ClientSession
    gateway: GatewayProcess
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    async def __call__(
        self,
        method: str,
        path: str,
        token: str = "",
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        body: Any = None,
        **values: str,
    ) -> Exchange:
        """Call `path` as the contract writes it; `values` go into its braces."""
        asked = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.gateway.url + path.format(**values)
        given: dict[str, Any] = {"json" if isinstance(body, dict | list) else "data": body}
        async with self.session.request(
            method, url, headers={**asked, **(headers or {})}, params=query, **given
        ) as answer:
            content = await answer.read()
            data = await answer.json(content_type=None) if "json" in answer.content_type else None
        # aiohttp's mapping compares names in any case, as HTTP wants.
        exchange = Exchange(path, method, answer.status, answer.headers, content, data)
        exchange.check()
        self.seen.add((method, path, answer.status))
        return exchange


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, GatewayProcess]]:
    """A gateway on the embedded default with three agencies."""
    with open_site("embedded", tmp_path_factory.mktemp("contract"), request) as place:
        place.connect(sender=[SENDER], recipient=[RECIPIENT], other=[OTHER])
        yield place, place.gateway(max_package_mib=2, max_attachment_mib=1).start()


@pytest.fixture
async def call(site: tuple[Site, GatewayProcess]) -> AsyncIterator[Caller]:
    """The checked client."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Caller(session, site[1])


def letter(number: int, *recipients: str) -> bytes:
    """The contract's example under another number, to these agencies."""
    text = LETTER.replace("7816", str(number))
    block = text[text.index("        <To>") : text.index("        <DocumentId>")]
    more = "".join(block.replace(RECIPIENT, code) for code in recipients or (RECIPIENT,))
    return str(text.replace(block, more)).encode()


async def until_offered(call: Caller, token: str, package: str) -> dict[str, Any]:
    """The inbox item of a package, waited for with the long poll."""
    async with asyncio.timeout(DEADLINE):
        while True:
            page = await call("get", "/v1/inbox", token, query={"wait": "1", "limit": "1000"})
            for item in page.data["items"]:
                if item["packageId"] == package:
                    return dict(item)


async def test_the_whole_road_answers_as_described(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Check, send, send again, list, fetch, confirm, report, look: each success of the contract."""
    sender, recipient = site[0].tokens["sender"], site[0].tokens["recipient"]
    body = letter(1, RECIPIENT, "H99.99")
    verdict = await call("post", "/v1/check", sender, body=body)
    assert verdict.data["accepted"] and len(verdict.data["recipients"]) == 2
    named = {"X-Correlation-Id": "vpcp-1"}
    sent = await call("post", "/v1/packages", sender, body=body, headers=named)
    assert sent.status == 202 and sent.headers["X-Correlation-Id"] == "vpcp-1"
    package = sent.data["id"]
    assert sent.headers["Location"] == f"/v1/packages/{package}"
    again = await call("post", "/v1/packages", sender, body=body)
    assert again.status == 200 and again.data["repeated"] and again.data["id"] == package

    item = await until_offered(call, recipient, package)
    fetched = await call("get", "/v1/packages/{id}/content", recipient, id=item["id"])
    digest = hashlib.sha256(body).hexdigest()
    assert fetched.body == body and fetched.headers["ETag"] == f'"{digest}"'
    assert item["sha256"] == digest and item["size"] == len(body)
    confirmed = await call("post", "/v1/inbox/{id}/confirm", recipient, id=item["id"])
    assert confirmed.data["state"] == "delivered" and not confirmed.data["alreadyConfirmed"]
    assert (await call("post", "/v1/inbox/{id}/confirm", recipient, id=item["id"])).data[
        "alreadyConfirmed"
    ]
    report = {"statusCode": "03", "timestamp": "2026-11-21T08:00:00+07:00", "staff": {"staff": "L"}}
    path = "/v1/deliveries/{id}/reports"
    first = await call("post", path, recipient, body=report, id=item["id"])
    second = await call("post", path, recipient, body=report, id=item["id"])
    assert (first.status, second.status) == (202, 200)

    shown = await call("get", "/v1/packages/{id}", sender, id=package)
    assert {row["state"] for row in shown.data["deliveries"]} == {"delivered", "returned"}
    status = await call("get", "/v1/packages/{id}", sender, id=first.data["id"])
    assert status.data["kind"] == "status"
    inbox = await call("get", "/v1/inbox", sender)
    refusals = [one for one in inbox.data["items"] if one["meaning"] == "02"]
    issued = await call("get", "/v1/packages/{id}", sender, id=refusals[0]["packageId"])
    assert issued.data["summary"]["about"] == "H99.99"
    delivery = await call("get", "/v1/deliveries/{id}", sender, id=item["id"])
    assert delivery.data["businessState"] == "03"
    found = await call("get", "/v1/documents", sender, query={"q": "lien thong", "limit": "1"})
    document = found.data["items"][0]
    by_name = await call(
        "get",
        "/v1/documents/{id}/events",
        sender,
        id=document["documentId"].replace("/", "%2F").replace(",", "%2C"),
    )
    by_key = await call("get", "/v1/documents/{id}/events", sender, id=document["id"])
    assert by_name.data == by_key.data and by_key.data["items"]


async def test_recalls_and_threads_answer_as_described(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Taken back before and after the recipient fetched it; not sent there; not yours."""
    sender, recipient = site[0].tokens["sender"], site[0].tokens["recipient"]
    path, body = "/v1/documents/{id}/recall", {"reason": "Gửi nhầm nơi nhận"}
    sent = await call("post", "/v1/packages", sender, body=letter(6))
    item = await until_offered(call, recipient, sent.data["id"])
    name = {"id": sent.data["documentId"].replace("/", "%2F").replace(",", "%2C")}
    elsewhere = {**body, "recipients": [OTHER]}
    answer = await call("post", path, sender, body=elsewhere, **name)
    assert (answer.status, answer.data["code"]) == (404, "never-sent")
    answer = await call("post", path, recipient, body=body, **name)
    assert answer.data["code"] == "not-found"
    answer = await call("post", path, sender, body={}, **name)
    assert answer.data["code"] == "bad-parameter"
    nobody = await call("post", path, sender, body={**body, "recipients": []}, **name)
    assert nobody.status == 200 and nobody.data["items"] == []
    taken = await call("post", path, sender, body=body, **name)
    assert taken.status == 202 and len(taken.data["items"]) == 1
    delivery = await call("get", "/v1/deliveries/{id}", sender, id=item["id"])
    assert (delivery.data["state"], delivery.data["changeState"]) == ("withdrawn", "recalled")
    answer = await call("get", "/v1/packages/{id}/content", recipient, id=item["id"])
    assert answer.data["code"] in ("not-readable", "not-found")

    sent = await call("post", "/v1/packages", sender, body=letter(7))
    item = await until_offered(call, recipient, sent.data["id"])
    await call("get", "/v1/packages/{id}/content", recipient, id=item["id"])
    await call("post", "/v1/inbox/{id}/confirm", recipient, id=item["id"])
    name = {"id": sent.data["documentId"].replace("/", "%2F").replace(",", "%2C")}
    await call("post", path, sender, body=body, **name)
    delivery = await call("get", "/v1/deliveries/{id}", sender, id=item["id"])
    assert delivery.data["changeState"] == "recall-pending"
    thread = await call("get", "/v1/documents/{id}/thread", recipient, **name)
    assert [one["documentId"] for one in thread.data["items"]] == [sent.data["documentId"]]
    shown = await call("get", "/v1/packages/{id}", sender, id=sent.data["id"])
    assert shown.data["legalSentAt"]


async def test_a_large_package_has_its_digest_as_etag_and_comes_in_parts(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Streamed from the disk or not, the ETag is the SHA-256; Range gives the part asked for."""
    sender = site[0].tokens["sender"]
    body = letter(2).replace(b"</AttachmentEncoded>", b"</AttachmentEncoded>" + b" " * 1_400_000)
    sent = await call("post", "/v1/packages", sender, body=body)
    digest = hashlib.sha256(body).hexdigest()
    path, values = "/v1/packages/{id}/content", {"id": sent.data["id"]}
    whole = await call("get", path, sender, **values)
    assert whole.headers["ETag"] == f'"{digest}"' and whole.body == body
    part = await call("get", path, sender, headers={"Range": "bytes=100-199"}, **values)
    assert part.status == 206 and part.body == body[100:200]
    assert part.headers["ETag"] == f'"{digest}"'


async def test_open_paths_answer_as_described(call: Caller) -> None:
    """Probes, figures and the contract itself, without a token."""
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert (await call("get", path)).status == 200
    assert (await call("get", "/openapi.json")).data == API


async def test_every_operation_refuses_a_wrong_token_as_described(call: Caller) -> None:
    """401 with WWW-Authenticate, on each path under /v1."""
    for path, method, _ in operations(API):
        if path.startswith("/v1/"):
            values = {"id": "01a1fe36-0765-738f-a488-810bb24c09e9", "name": "x", "verb": "pause"}
            answer = await call(method, path, "lt_wrong", **values)
            code = "unknown-person" if path.startswith(PEOPLE) else "unknown-token"
            assert (answer.status, answer.data["code"]) == (401, code)


async def test_problems_of_packages_answer_as_described(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """What can be wrong with a submission, each with its code and particulars."""
    tokens, path = site[0].tokens, "/v1/packages"
    body = letter(3)
    await call("post", path, tokens["sender"], body=body)
    cases: list[tuple[str, bytes, dict[str, str], str]] = [
        ("sender", body[:900], {}, "invalid-package"),
        (
            "sender",
            body.replace(b"Subject>V/v", b"Subject>V/V:"),
            {},
            "same-document-id-other-content",
        ),
        ("other", body, {}, "not-the-sender"),
        ("sender", b"", {}, "empty"),
        ("sender", b"<edXML/>" + b" " * 2_200_000, {}, "too-large"),
        ("sender", body, {"Content-Encoding": "gzip"}, "content-encoding"),
        ("sender", body, {"Content-Type": "multipart/form-data; boundary=x"}, "multipart"),
    ]
    for name, content, headers, code in cases:
        answer = await call("post", path, tokens[name], body=content, headers=headers)
        assert answer.data["code"] == code
        if code != "same-document-id-other-content":
            answer = await call("post", "/v1/check", tokens[name], body=content, headers=headers)
            if code in ("invalid-package", "not-the-sender"):
                # Of what can be judged a check tells the verdict.
                assert (answer.status, answer.data["accepted"]) == (200, False)
            else:
                assert answer.data["code"] == code


async def test_problems_of_the_inbox_answer_as_described(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Too early, too late, not yours, wrong: each with its code."""
    tokens = site[0].tokens
    sent = await call("post", "/v1/packages", tokens["sender"], body=letter(4))
    item = await until_offered(call, tokens["recipient"], sent.data["id"])
    mine, reports = tokens["recipient"], "/v1/deliveries/{id}/reports"

    async def problem(method: str, path: str, token: str, code: str, **more: Any) -> None:
        answer = await call(method, path, token, **more)
        assert answer.status >= 400 and answer.data["code"] == code

    here = {"id": item["id"]}
    await problem("post", "/v1/inbox/{id}/confirm", mine, "not-possible-now", **here)
    for path, method, _ in operations(API):
        if "{id}" in path and not path.startswith(PEOPLE):
            bodies = {reports: {"statusCode": "03"}, "/v1/documents/{id}/recall": {"reason": "x"}}
            body = bodies.get(path)
            await problem(method, path, tokens["other"], "not-found", body=body, **here)
    for report in ({"statusCode": "07"}, {"statusCode": "03", "more": 1}, [1], {"staff": 3}):
        await problem("post", reports, mine, "bad-parameter", body=report, **here)
    await problem("post", reports, mine, "too-large", body={"description": "x" * 70_000}, **here)
    refused = {"statusCode": "02"}
    await problem("post", reports, mine, "invalid-package", body=refused, **here)
    await call("post", reports, mine, body={"statusCode": "06"}, **here)
    late = {"statusCode": "02", "description": "nhầm nơi nhận"}
    await problem("post", reports, mine, "impossible-report", body=late, **here)
    for name, value in (("limit", "0"), ("wait", "9999"), ("cursor", "x")):
        await problem("get", "/v1/inbox", mine, "bad-parameter", query={name: value})
    for name, value in (("state", "lost"), ("since", "yesterday"), ("nonsense", "1")):
        await problem("get", "/v1/documents", mine, "bad-parameter", query={name: value})


async def test_a_suspended_connection_is_told_so(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """403 with its own code on every path under /v1, until it is resumed."""
    place = site[0]
    await asyncio.to_thread(place.set_status, "other", ConnectionStatus.SUSPENDED)
    try:

        async def turned_away() -> bool:
            return (await call("get", "/v1/inbox", place.tokens["other"])).status != 200

        await wait_until_async(turned_away, DEADLINE, "the suspension")
        for path, method, _ in operations(API):
            if path.startswith("/v1/") and not path.startswith(PEOPLE):
                values = {"id": "01a1fe36-0765-738f-a488-810bb24c09e9"} if "{id}" in path else {}
                answer = await call(method, path, place.tokens["other"], **values)
                assert answer.data["code"] == "connection-suspended"
    finally:
        await asyncio.to_thread(place.set_status, "other", ConnectionStatus.ACTIVE)


async def test_paths_of_people_answer_as_described(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Each operation under /v1/admin with who may do it, and the refusal of who may not."""
    place = site[0]

    async def person(name: str, *more: str) -> str:
        arguments = ("people", "add", name, *more, "--json")
        token: str = json.loads(await asyncio.to_thread(place.command, *arguments))["token"]
        return token

    clerk = await person("clerk", "--role", "clerk", "--agency", RECIPIENT)
    operator = await person("operator", "--role", "operator")
    sent = await call("post", "/v1/packages", place.tokens["sender"], body=letter(8))
    await until_offered(call, place.tokens["recipient"], sent.data["id"])
    (delivery,) = sent.data["deliveries"]
    admin, document = "/v1/admin", {"id": quote(sent.data["documentId"], safe="")}
    for token in (clerk, operator):
        assert (await call("get", f"{admin}/me", token)).status == 200
        found = await call("get", f"{admin}/documents", token, query={"limit": "1"})
        assert len(found.data["items"]) == 1
        for page in ("events", "story", "evidence"):
            path = admin + "/documents/{id}/" + page
            assert (await call("get", path, token, **document)).status == 200
            assert (await call("get", path, token, id="nothing")).status == 404
    content = admin + "/packages/{id}/content"
    assert (await call("get", content, clerk, id=sent.data["id"])).status == 200
    assert (await call("get", content, operator, id=sent.data["id"])).status == 403
    assert (await call("get", content, clerk, id="nothing")).status == 404
    for path, query in (("documents", {"state": "lost"}), ("deliveries", {"limit": "0"})):
        assert (await call("get", f"{admin}/{path}", operator, query=query)).status == 400
    listed = await call("get", f"{admin}/deliveries", operator, query={"documentId": "none"})
    assert listed.data["items"] == []
    listed = await call("get", f"{admin}/deliveries", operator)
    assert delivery["id"] in [item["id"] for item in listed.data["items"]]
    log = await call("get", f"{admin}/events", operator, query={"limit": "2"})
    more = await call("get", f"{admin}/events", operator, query={"after": str(log.data["next"])})
    kinds = {item["type"] for item in [*log.data["items"], *more.data["items"]]}
    assert {"connection.added", "person.added"} <= kinds
    assert (await call("get", f"{admin}/events", clerk)).status == 403
    assert (await call("get", f"{admin}/connections", operator)).data["items"]
    assert (await call("get", f"{admin}/connections", clerk)).status == 403
    for verb in ("hold", "release", "replay", "return"):
        path, why = admin + "/deliveries/{id}/" + verb, {"reason": "thử"}
        assert (await call("post", path, clerk, body=why, id=delivery["id"])).status == 403
        assert (await call("post", path, operator, body=why, id="nothing")).status == 404
        assert (await call("post", path, operator, body={"x": 1}, id="nothing")).status == 400
        answer = await call("post", path, operator, body=why, id=delivery["id"])
        assert answer.status in (200, 409), answer
    path = admin + "/connections/{name}/{verb}"
    for verb, status in (("pause", "paused"), ("resume", "active")):
        answer = await call("post", path, operator, name="other", verb=verb)
        assert answer.data["status"] == status
    assert (await call("post", path, operator, name="nobody", verb="pause")).status == 404
    assert (await call("post", path, operator, name="other", verb="stop")).status == 400


async def test_a_lost_payload_is_a_fault_and_never_a_404(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Recorded and gone from the disk: 500 with its own code, so nobody believes it never was."""
    sender = site[0].tokens["sender"]
    body = letter(5)
    sent = await call("post", "/v1/packages", sender, body=body)
    digest = hashlib.sha256(body).hexdigest()
    [stored] = (site[0].data / "payloads").rglob(f"*{digest}*")
    stored.rename(stored.with_name("moved-away"))
    answer = await call("get", "/v1/packages/{id}/content", sender, id=sent.data["id"])
    assert (answer.status, answer.data["code"]) == (500, "payload-missing")


async def test_no_receipt_is_signed_against_the_log(
    call: Caller, site: tuple[Site, GatewayProcess]
) -> None:
    """Somebody has changed the table: an answer of its own, and nothing is signed."""
    sender = site[0].tokens["sender"]
    sent = await call("post", "/v1/packages", sender, body=letter(9))
    with closing(sqlite3.connect(site[0].data / "lienthong.db")) as database:
        change = "UPDATE packages SET size = size + 1 WHERE id = ?"
        assert database.execute(change, [sent.data["id"]]).rowcount == 1
        database.commit()
    answer = await call("get", "/v1/packages/{id}/receipt", sender, id=sent.data["id"])
    assert (answer.status, answer.data["code"]) == (500, "record-contradicts-log")


async def test_the_served_contract_is_the_file(call: Caller) -> None:
    """/openapi.json is openapi.yaml, so that a generator and a reader see the same."""
    from importlib import resources

    text = resources.files("gateway.rest").joinpath("openapi.yaml").read_text("utf-8")
    assert (await call("get", "/openapi.json")).data == yaml.safe_load(text)
