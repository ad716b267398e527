"""Callbacks through the whole service, in both modes, to receivers that behave badly.

An operator registers an address with `lienthong callbacks add`; what happens to documents is then
told there: at least once, in order for each document, each event under one id however often it is
tried.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from adapters.database.callback_store import SqlCallbacks
from routing.callbacks import MessageState
from routing.webhook_signature import verify
from tests.acceptance.ministry import AGENCIES, NGHE_AN, Ministry
from tests.acceptance.test_cli import PATIENCE
from tests.support.agency_client import AgencyClient
from tests.support.callbacks import CUT, HANG, Behaviour, Received, Receiver, receiver
from tests.support.databases import opened
from tests.support.packages import new_id
from tests.support.servers import wait_until_async
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import run_program
from tests.support.service import MODES, Site, open_site

#: Short waits, so that a message is parked after three attempts in a second; a patience of one.
WAITS = "0.2s 0.4s"
ATTEMPTS = 3
TIMEOUT = 1.0
#: Id outside and type of events, in the order of the log.
Log = list[tuple[str, str]]
#: What the receivers of faults are told of.
LIFE = "package.*,delivery.*"


@pytest.fixture(scope="module", params=MODES)
def calling(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministry]:
    """A gateway of each mode that soon gives a callback up."""
    with open_site(request.param, tmp_path_factory.mktemp("callbacks"), request) as site:
        site.connect(**AGENCIES)
        # Somebody who is never told anything: the service knows from its start that there are
        # endpoints, and looks for those of the tests at every event.
        command(site, "add", "nghe_an", "https://example.vn/", "--type", "never.said")
        settings = {"callback_waits": WAITS, "callback_timeout_seconds": TIMEOUT}
        yield Ministry(site, site.gateway(**settings).start())


def command(site: Site, *arguments: str, code: int = 0) -> Any:
    """`lienthong callbacks … --json` as a process; the document that it prints."""
    env = clean_environment(**site.environment, LIENTHONG_CALLBACK_TIMEOUT_SECONDS=str(TIMEOUT))
    done = run_program("callbacks", *arguments, "--json", env=env, timeout=PATIENCE)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


class Subscription:
    """One endpoint: an operator's commands, run as processes, and what the database holds of it."""

    def __init__(self, ministry: Ministry, there: Receiver, store: SqlCallbacks) -> None:
        self.ministry = ministry
        self.there = there
        self._store = store
        self.id = self.secret = ""

    async def run(self, *arguments: str, code: int = 0) -> Any:
        """A command beside the receiver, which goes on meanwhile."""
        return await asyncio.to_thread(command, self.ministry.site, *arguments, code=code)

    async def states(self) -> set[MessageState]:
        """In which states messages are."""
        return set((await self._store.figures()).get(self.id, {}))

    async def all_delivered(self) -> bool:
        """Nothing waits, nothing is parked."""
        return await self.states() == {MessageState.DELIVERED}

    async def first_try_noted(self) -> bool:
        """One attempt is in the log."""
        return any(attempts for _, attempts in await self._store.log(self.id))

    async def all_parked(self) -> bool:
        """Nothing waits, nothing was delivered."""
        return await self.states() == {MessageState.PARKED}

    async def tries(self) -> Counter[str]:
        """How the attempts ended."""
        log = await self._store.log(self.id)
        return Counter(one.outcome.value for _, attempts in log for one in attempts)

    async def figures(self) -> tuple[int, int, int]:
        """What an operator is told: how many messages are pending, delivered, parked."""
        items = (await self.run("list"))["items"]
        mine = next(item for item in items if item["id"] == self.id)
        return mine["pending"], mine["delivered"], mine["parked"]

    async def log(self) -> list[dict[str, Any]]:
        """What an operator is told of messages and their attempts, the oldest first."""
        items: list[dict[str, Any]] = (await self.run("log", self.id))["items"]
        return items[::-1]

    async def has_all(self, happened: Mapping[str, Log], outcome: str) -> None:
        """Everything came, and two tries ended with `outcome`, under the ids of two events."""
        count = sum(map(len, happened.values()))
        await self.there.until(count)
        await wait_until_async(self.all_delivered, 20)
        self.check()
        for document_id, events in happened.items():
            seen = {
                one.id: one.event["type"].removeprefix("vn.lienthong.")
                for one in self.there.received
                if one.event["subject"] == document_id
            }
            assert list(seen.items()) == events
        assert len(self.there.received) == count + 2
        assert await self.tries() == {"delivered": count, outcome: 2}

    def check(self) -> None:
        """Each event under one id, byte for byte, correctly signed; each document's in order."""
        bodies: dict[str, set[bytes]] = defaultdict(set)
        order: dict[str, list[int]] = defaultdict(list)
        for one in self.there.received:
            assert verify(self.secret, one.headers, one.body, _time_of(one))
            bodies[one.id].add(one.body)
            assert one.event["id"] == one.id
            order[one.event["subject"]].append(int(one.id.removeprefix("evt-")))
        assert all(len(same) == 1 for same in bodies.values())
        for numbers in order.values():
            assert numbers == sorted(numbers)


def _time_of(one: Received) -> datetime:
    return datetime.fromtimestamp(int(one.headers["webhook-timestamp"]), UTC)


@asynccontextmanager
async def subscribed(
    ministry: Ministry, *script: Behaviour, types: str = ""
) -> AsyncIterator[Subscription]:
    """A receiver that the sender's connection is called back at while the test runs."""
    async with receiver(*script) as there, opened(ministry.site.database_url) as database:
        made = Subscription(ministry, there, SqlCallbacks(database))
        options = ("--type", types) if types else ()
        network = ("--allow-network", "127.0.0.0/8")
        added = await made.run("add", "vpcp", there.url, *network, *options)
        made.id, made.secret = added["id"], added["secret"]
        try:
            yield made
        finally:
            await made.run("remove", made.id)


def live(ministry: Ministry, *documents: str) -> None:
    """Hand documents in, fetch and confirm each."""
    for document_id in documents:
        _, answer = ministry.send(NGHE_AN, document_id=document_id)
        line = ministry.offered("nghe_an", answer.json["id"])
        assert ministry.nghe_an.fetch(line["id"]).status == 200
        assert ministry.nghe_an.confirm(line["id"]).status == 200


def log_of(ministry: Ministry, document_id: str) -> Log:
    """What the log says happened to a document's packages and deliveries, in its order."""
    path = f"/v1/documents/{quote(document_id, safe='')}/events"
    items = ministry.sender.call("GET", path).json["items"]
    return [
        (f"evt-{item['seq']}", item["type"])
        for item in items
        if item["type"].startswith(("package.", "delivery."))
    ]


async def late(_: Received) -> int:
    """The receiver has it, and says so when nobody waits for its answer any more."""
    await asyncio.sleep(1.5 * TIMEOUT)
    return 200


#: What receivers do wrong twice before they answer 200, and what the gateway makes of it.
FAULTS: tuple[tuple[Behaviour, str], ...] = (
    (500, "try-later"),
    (HANG, "unknown"),
    (CUT, "unknown"),
    (late, "unknown"),
)


async def test_a_fault_costs_no_event_and_no_order(calling: Ministry) -> None:
    """Each event of two documents arrives, in order per document, under one id for all tries."""
    documents = [new_id(), new_id()]
    async with AsyncExitStack() as stack:
        several = [subscribed(calling, fault, fault, 200, types=LIFE) for fault, _ in FAULTS]
        subscriptions = await asyncio.gather(*map(stack.enter_async_context, several))
        await asyncio.to_thread(live, calling, *documents)
        happened = {one: await asyncio.to_thread(log_of, calling, one) for one in documents}
        assert all(len(events) >= 5 for events in happened.values())
        for told, (_, outcome) in zip(subscriptions, FAULTS, strict=True):
            await told.has_all(happened, outcome)


async def test_given_up_after_the_limit_and_sent_again_by_an_operator(calling: Ministry) -> None:
    """What the receiver never took is parked; mended, it gets all of it under the first ids."""
    async with subscribed(calling, 500, types="delivery.offered") as told:
        document_id = new_id()
        await asyncio.to_thread(live, calling, document_id)
        await wait_until_async(told.all_parked, 20)
        assert len(told.there.received) == ATTEMPTS
        assert await told.figures() == (0, 0, 1)
        (message,) = await told.log()
        assert (message["state"], message["lastError"]) == ("parked", "HTTP 500")
        assert [one["outcome"] for one in message["attemptsLog"]] == ["try-later"] * ATTEMPTS

        told.there.script = [200]
        again = await told.run("replay", "--parked", "--endpoint", told.id)
        assert again == {"replayed": [message["message"]], "notReplayed": []}
        await wait_until_async(told.all_delivered, 20)
        assert told.there.ids == [message["event"]]
        told.check()


@pytest.fixture
def patient(calling: Ministry) -> Iterator[Ministry]:
    """Another process on the same ground, with some seconds between two tries."""
    assert calling.gateway.stop() == 0
    gateway = calling.site.gateway(callback_waits="4s 4s", callback_timeout_seconds=TIMEOUT)
    yield Ministry(calling.site, gateway.start())
    assert gateway.stop() == 0
    calling.gateway.start()


async def test_a_killed_gateway_tells_what_it_had_not_told(patient: Ministry) -> None:
    """SIGKILL between two tries: the event goes again after the start, under the same id."""
    async with subscribed(patient, 500, types="package.accepted") as told:
        await asyncio.to_thread(patient.send, NGHE_AN)
        # Killed earlier, the try would count as under way until its lease ends.
        await wait_until_async(told.first_try_noted, 20)
        patient.gateway.kill()
        told.there.script = [200]
        await asyncio.to_thread(patient.gateway.start)
        await wait_until_async(told.all_delivered, 20)
        assert len(told.there.ids) == 1 and len(told.there.received) == 2
        told.check()


async def test_an_operator_tries_receivers_out(calling: Ministry) -> None:
    """`callbacks test` sends one signed event now and says by its exit code how it ended."""
    answers: tuple[tuple[Behaviour, int, str], ...] = (
        (204, 0, "delivered"),
        (500, 3, "try-later"),
        (403, 1, "refused"),
        (HANG, 3, "unknown"),
    )

    async def try_out(behaviour: Behaviour, code: int, outcome: str) -> None:
        async with subscribed(calling, behaviour, types="never.said") as told:
            answer = await told.run("test", told.id, code=code)
            assert answer["outcome"] == outcome
            (one,) = told.there.received
            assert one.event["type"] == "vn.lienthong.test"
            assert one.id == answer["id"]
            assert verify(told.secret, one.headers, one.body, _time_of(one))

    await asyncio.gather(*(try_out(*one) for one in answers))


@pytest.fixture(scope="module")
def lenient(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministry]:
    """A gateway at which partners register their addresses themselves."""
    with open_site("embedded", tmp_path_factory.mktemp("lenient"), request) as site:
        site.connect(**AGENCIES)
        yield Ministry(site, site.gateway(callbacks_by_partners=True).start())


@pytest.fixture
def by_partners(lenient: Ministry) -> Iterator[Ministry]:
    """The same, with no addresses left behind."""
    yield lenient
    for one in told_of(lenient.sender):
        assert lenient.sender.call("DELETE", f"/v1/callbacks/{one['id']}").status == 200


def told_of(client: AgencyClient) -> list[dict[str, Any]]:
    """A connection's addresses."""
    items: list[dict[str, Any]] = client.call("GET", "/v1/callbacks").json["items"]
    return items


def test_a_partner_looks_after_its_own_addresses(by_partners: Ministry) -> None:
    """Registered, listed, tried, given a new secret, deleted; nobody else sees or touches it."""
    sender, other = by_partners.sender, by_partners.nghe_an
    # A name that never has an address: nothing leaves this machine.
    wanted = json.dumps({"url": "https://receiver.invalid/cb", "types": ["delivery.*"]}).encode()
    made = sender.call("POST", "/v1/callbacks", wanted)
    assert made.status == 201 and made.json["secret"].startswith("whsec_")
    path = f"/v1/callbacks/{made.json['id']}"
    assert [one["url"] for one in told_of(sender)] == ["https://receiver.invalid/cb"]
    assert "secret" not in told_of(sender)[0]
    assert told_of(other) == []
    for method, end in (("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")):
        assert other.call(method, path + end).status == 404

    tried = sender.call("POST", f"{path}/test")
    assert (tried.status, tried.json["outcome"], tried.json["status"]) == (200, "try-later", None)
    fresh = sender.call("POST", f"{path}/rotate", b'{"overlapHours": 1}')
    assert fresh.status == 200 and fresh.json["secret"] != made.json["secret"]
    assert told_of(sender)[0]["oldSecretEnds"] == fresh.json["oldSecretEnds"]
    assert sender.call("DELETE", path).json == {"id": made.json["id"], "removed": True}
    assert told_of(sender) == []


@pytest.mark.parametrize(
    "body, code",
    [
        ({"url": "https://169.254.169.254/latest"}, "callback-address"),
        ({"url": "https://127.0.0.1/cb"}, "callback-address"),
        ({"url": "http://receiver.invalid/cb"}, "callback-address"),
        ({"url": "ftp://receiver.invalid/cb"}, "callback-address"),
        ({"url": ""}, "callback-address"),
        ({"url": "https://receiver.invalid/", "types": ["*"]}, "bad-parameter"),
        ({"url": "https://receiver.invalid/", "types": "delivery.*"}, "bad-parameter"),
        ({"url": "https://receiver.invalid/", "allowedNetworks": ["10.0.0.0/8"]}, "bad-parameter"),
    ],
)
def test_a_partner_opens_no_way_inside(
    by_partners: Ministry, body: dict[str, Any], code: str
) -> None:
    """Private, local and unencrypted addresses are refused, and so are networks of one's own."""
    answer = by_partners.sender.call("POST", "/v1/callbacks", json.dumps(body).encode())
    assert (answer.status, answer.json["code"]) == (400, code)
    assert told_of(by_partners.sender) == []


def test_a_partner_registers_so_many_and_no_more(by_partners: Ministry) -> None:
    """Ten addresses; the eleventh is refused until one is gone."""
    body = json.dumps({"url": "https://receiver.invalid/cb"}).encode()
    made = [by_partners.sender.call("POST", "/v1/callbacks", body) for _ in range(11)]
    assert [answer.status for answer in made] == [201] * 10 + [409]
    assert made[-1].json["code"] == "too-many-callbacks"


def test_where_the_operator_registers_a_partner_does_not(calling: Ministry) -> None:
    """The default: listing is open, registering is refused and says who does it."""
    body = json.dumps({"url": "https://receiver.invalid/cb"}).encode()
    answer = calling.sender.call("POST", "/v1/callbacks", body)
    assert (answer.status, answer.json["code"]) == (403, "callbacks-by-operator")
    assert told_of(calling.sender) == []
