"""Callbacks from the commit of an event to a real receiver on loopback, on both databases."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from adapters.database import SqlDatabase
from adapters.database.callback_store import SqlCallbacks
from adapters.webhook import WebhookSender
from gateway.callbacks import CallbackDispatcher, DispatchLimits
from routing.callbacks import (
    SCHEDULE,
    Claimed,
    Endpoint,
    EndpointStatus,
    MessageState,
    PostOutcome,
    PostResult,
)
from routing.ports import Transaction
from routing.records import Event
from routing.webhook_signature import secret_of
from tests.support.builders import World, keep, package, settle_world
from tests.support.callbacks import (
    CUT,
    HANG,
    LOOPBACK,
    VAULT,
    Received,
    TellingDatabase,
    add_endpoint,
    receiver,
)
from tests.support.databases import opened
from tests.support.servers import wait_until_async

QUICK = DispatchLimits(poll=0.02, grace=2.0, rest=timedelta(seconds=0.1), per_endpoint=8)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlDatabase]:
    """An open, migrated and empty database of either kind."""
    url = f"sqlite:///{tmp_path}/lienthong.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with opened(url) as ready:
        yield ready


@pytest.fixture
async def world(database: SqlDatabase) -> World:
    """Three connections."""
    return await settle_world(database)


class FastClock:
    """Real time, a thousand times as fast: days of retries in minutes, a lease in no time."""

    def __init__(self, speed: float = 1000.0) -> None:
        self._start, self._speed = datetime.now(UTC), speed

    def __call__(self) -> datetime:
        """The time now."""
        passed = datetime.now(UTC) - self._start
        return self._start + passed * self._speed


class Told:
    """A database that tells alpha's endpoint of documents."""

    def __init__(self, database: SqlDatabase, connection_id: str) -> None:
        self.telling = TellingDatabase(database)
        self.store = SqlCallbacks(database, VAULT)
        self._connection_id = connection_id
        self._packages: dict[str, str] = {}

    async def tell(self, *documents: str) -> None:
        """One event about each."""
        for name in documents:
            if name not in self._packages:
                of = package(connection_id=self._connection_id)
                await keep(self.telling, of)  # type: ignore[arg-type]
                self._packages[name] = of.id
            event = Event(
                "document.touched",
                datetime.now(UTC),
                "test",
                document_pk=name,
                package_id=self._packages[name],
                to_state=name,
            )

            async def append(tx: Transaction, event: Event = event) -> None:
                await tx.append([event])

            await self.telling.write(append)

    async def figures(self, of: Endpoint) -> dict[MessageState, int]:
        """How an endpoint's messages stand."""
        return (await self.store.figures()).get(of.id, {})

    async def until_all(self, of: Endpoint, state: MessageState, count: int) -> None:
        """Wait until so many messages are in a state and none in another."""

        async def reached() -> bool:
            return await self.figures(of) == {state: count}

        await wait_until_async(reached, 20)


@pytest.fixture
def partner(database: SqlDatabase, world: World) -> Told:
    """Alpha's view."""
    return Told(database, world.alpha.id)


def dispatcher(store: Any, **options: Any) -> CallbackDispatcher:
    """A dispatcher with a real sender; a second per attempt at the most."""
    defaults: dict[str, Any] = {
        "owner": "worker-1",
        "clock": lambda: datetime.now(UTC),
        "spread": lambda: 0.0,
        "limits": QUICK,
    }
    sender = options.pop("sender", None) or WebhookSender(total=1.0, connect=1.0)
    return CallbackDispatcher(store, sender, **{**defaults, **options})


@asynccontextmanager
async def running(store: Any, **options: Any) -> AsyncIterator[CallbackDispatcher]:
    """A dispatcher at work; stopped in order at the end."""
    made, stopping = dispatcher(store, **options), asyncio.Event()
    task = asyncio.create_task(made.run(stopping))
    try:
        yield made
    finally:
        stopping.set()
        await asyncio.wait_for(task, 10)


def verifies(received: Received, secret: str) -> bool:
    """The signature, worked out from the standard and not with our code."""
    key = base64.b64decode(secret.split("_", 1)[1])
    head = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}."
    digest = hmac.new(key, head.encode() + received.body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    return expected in received.headers["webhook-signature"].split(" ")


def in_order(received: list[Received]) -> None:
    """Per document, ids arrive for the first time in the order of the log."""
    first: dict[str, list[int]] = {}
    for one in received:
        number = int(one.id.removeprefix("evt-"))
        mine = first.setdefault(one.event["data"]["toState"], [])
        if number not in mine:
            mine.append(number)
    for numbers in first.values():
        assert numbers == sorted(numbers)


async def test_everything_arrives_signed_and_in_order(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """Sixty events of six documents to a good receiver: each once, as CloudEvents."""
    async with receiver() as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        async with running(partner.store):
            await partner.tell(*(f"doc{n % 6}" for n in range(60)))
            await partner.until_all(to, MessageState.DELIVERED, 60)
    assert Counter(one.id for one in there.received).most_common(1)[0][1] == 1
    in_order(there.received)
    for one in there.received:
        assert verifies(one, to.secret)
        assert one.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert one.event["specversion"] == "1.0" and one.event["id"] == one.id


async def test_a_receiver_with_every_fault_gets_each_event_in_order(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """Errors, cuts, silence, a late 200: at least once, the same id and body on every attempt."""
    late = asyncio.Event()

    async def late_answer(_: Received) -> int:
        await late.wait()
        return 200

    script = [500, CUT, 200, HANG, 503, 429, 404, late_answer, CUT, 302, 200, 500, 200]
    async with receiver(*script) as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        # Time flies, so that waits of minutes pass; leases are as long as ever to the test.
        limits = DispatchLimits(poll=0.02, lease=timedelta(hours=3), rest=timedelta(seconds=1))
        async with running(
            partner.store,
            clock=FastClock(),
            limits=limits,
            sender=WebhookSender(total=0.4, connect=0.4),
        ):
            await partner.tell("a", "b", "a", "c", "a", "b")
            await partner.until_all(to, MessageState.DELIVERED, 6)
        late.set()
    in_order(there.received)
    assert len(there.ids) == 6
    assert len(there.received) >= 6 + 8
    bodies: dict[str, set[bytes]] = {}
    for one in there.received:
        bodies.setdefault(one.id, set()).add(one.body)
        assert verifies(one, to.secret)
    assert all(len(bodies_of) == 1 for bodies_of in bodies.values())
    outcomes = {attempt.outcome for _, tries in await partner.store.log(to.id) for attempt in tries}
    assert outcomes == set(PostOutcome) - {PostOutcome.BLOCKED}


async def test_parked_after_the_limit_and_replayed_under_the_same_id(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """Two days of 500 park the message; the operator's replay brings it."""
    clock = FastClock(200_000)
    async with receiver(*[500] * (len(SCHEDULE) + 1), 200) as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        limits = DispatchLimits(poll=0.02, lease=timedelta(days=9), rest=timedelta(seconds=1))
        async with running(partner.store, clock=clock, limits=limits):
            await partner.tell("a")
            await partner.until_all(to, MessageState.PARKED, 1)
            assert len(there.received) == len(SCHEDULE) + 1
            assert len(await partner.store.replay_parked(to.id, now=clock())) == 1
            await partner.until_all(to, MessageState.DELIVERED, 1)
    assert len(there.ids) == 1


async def test_a_dispatcher_killed_in_flight_is_followed_by_another(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """Its lease lapses; the other sends the same id again, and nothing overtakes it."""
    limits = DispatchLimits(poll=0.02, lease=timedelta(seconds=1))
    async with receiver(HANG, 200) as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        await partner.tell("a", "a")
        dead = dispatcher(
            partner.store, owner="dead", limits=limits, sender=WebhookSender(total=60)
        )
        task = asyncio.create_task(dead.run(asyncio.Event()))
        await there.until(1)
        # As when the process is gone: nothing is settled, nobody says goodbye.
        await kill(task, dead)
        async with running(partner.store, owner="alive", limits=limits):
            await partner.until_all(to, MessageState.DELIVERED, 2)
    ids = [one.id for one in there.received]
    assert ids[0] == ids[1] and len(set(ids)) == 2
    in_order(there.received)


async def kill(task: asyncio.Task[None], dead: CallbackDispatcher) -> None:
    """End a dispatcher without letting it settle."""
    under_way = list(dead._under_way.tasks)
    task.cancel()
    for one in under_way:
        one.cancel()
    await asyncio.gather(task, *under_way, return_exceptions=True)


class Forgetful:
    """A store whose first settlement is lost, as when the process dies before the commit."""

    def __init__(self, store: SqlCallbacks) -> None:
        self._store = store
        self.lost: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(
        self, owner: str, claimed: Claimed, result: PostResult, to: Any, *, now: datetime
    ) -> bool:
        """Lose the first success."""
        if not self.lost and result.outcome is PostOutcome.DELIVERED:
            self.lost.append(claimed.message.id)
            raise ConnectionResetError("the database went away")
        return await self._store.settle(owner, claimed, result, to, now=now)


async def test_a_success_that_was_not_settled_is_a_duplicate_with_the_same_id(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """The receiver has it, we could not write that down: it comes again and can be told apart."""
    store = Forgetful(partner.store)
    limits = DispatchLimits(poll=0.02, lease=timedelta(seconds=2))
    async with receiver() as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        async with running(store, limits=limits):
            await partner.tell("a", "a")
            await partner.until_all(to, MessageState.DELIVERED, 2)
    assert len(store.lost) == 1
    assert Counter(one.id for one in there.received)[store.lost[0]] == 2
    in_order(there.received)


async def test_rotation_overlap_serves_both_secrets(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """While it lasts the old and the new secret verify; after it only the new one."""
    async with receiver() as there, running(partner.store):
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        new = secret_of(b"n" * 32)
        now = datetime.now(UTC)
        await partner.store.rotate(to, new, now + timedelta(hours=1), actor="operator:an", now=now)
        await partner.tell("a")
        await there.until(1)
        assert verifies(there.received[0], to.secret) and verifies(there.received[0], new)
        newest = secret_of(b"m" * 32)
        await partner.store.rotate(to, newest, now, actor="operator:an", now=now)
        await partner.tell("a")
        await there.until(2)
        assert verifies(there.received[1], newest) and not verifies(there.received[1], new)


async def test_a_dead_receiver_delays_nobody_and_rests(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """The other endpoint's messages arrive; the dead one is tried a few times, not once each."""
    async with receiver(HANG) as dead, receiver() as good:
        broken = await add_endpoint(database, world.alpha.id, dead.url, allowed_networks=LOOPBACK)
        fine = await add_endpoint(database, world.alpha.id, good.url, allowed_networks=LOOPBACK)
        limits = DispatchLimits(
            concurrency=6,
            per_endpoint=2,
            poll=0.02,
            trips_after=3,
            rest=timedelta(hours=1),
            grace=1,
        )
        async with running(
            partner.store, limits=limits, sender=WebhookSender(total=0.2, connect=0.2)
        ):
            await partner.tell(*(f"doc{n}" for n in range(30)))
            await good.until(30)

            async def rests() -> bool:
                counted = await partner.store.log(broken.id, limit=1000)
                return sum(len(tries) for _, tries in counted) >= 3

            await wait_until_async(rests, 20)
        assert (await partner.figures(fine)) == {MessageState.DELIVERED: 30}
        assert len(dead.received) <= 4
        waiting = [kept for kept, _ in await partner.store.log(broken.id)]
        assert sum(kept.attempts == 0 for kept in waiting) >= 26


async def test_gone_suspends_and_resumption_goes_on_where_it_stopped(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """410, nothing more; after the operator's resume the same message first."""
    told = asyncio.Event()

    async def gone(_: Received) -> int:
        # Not before both are told: what comes while it is suspended is not.
        await told.wait()
        return 410

    async with receiver(200, gone, 200) as there, running(partner.store):
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        await partner.tell("a")
        await partner.until_all(to, MessageState.DELIVERED, 1)
        await partner.tell("a", "a")
        told.set()

        async def suspended() -> bool:
            stored = await partner.store.endpoint(to.id)
            return stored is not None and stored.status is EndpointStatus.SUSPENDED

        await wait_until_async(suspended, 20)
        arrived = len(there.received)
        await partner.tell("a")
        now = datetime.now(UTC)
        await partner.store.set_status(to, EndpointStatus.ACTIVE, actor="operator:an", now=now)
        # What happened while it was suspended is not told afterwards.
        await there.until(3)
        await wait_until_async(lambda: len(there.received) >= arrived + 2, 20)
        await partner.until_all(to, MessageState.DELIVERED, len(there.ids))
    in_order(there.received)


async def test_stopping_lets_posts_under_way_end(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """A slow answer is waited for and settled: nothing is sent twice for a restart."""
    release = asyncio.Event()

    async def slowly(_: Received) -> int:
        await release.wait()
        return 200

    async with receiver(slowly) as there:
        to = await add_endpoint(database, world.alpha.id, there.url, allowed_networks=LOOPBACK)
        stopping = asyncio.Event()
        made = dispatcher(partner.store, sender=WebhookSender(total=30))
        task = asyncio.create_task(made.run(stopping))
        await partner.tell("a", "a")
        await there.until(1)
        stopping.set()
        release.set()
        await asyncio.wait_for(task, 5)
        assert await partner.figures(to) == {MessageState.DELIVERED: 1, MessageState.PENDING: 1}
        assert len(there.received) == 1


async def test_private_receiver_without_permission_is_named_and_never_reached(
    database: SqlDatabase, partner: Told, world: World
) -> None:
    """A loopback address that no operator allowed: BLOCKED, with the reason in the log."""
    async with receiver() as there:
        url = there.url.replace("http:", "https:")
        to = await add_endpoint(database, world.alpha.id, url)
        async with running(partner.store):
            await partner.tell("a")

            async def tried() -> bool:
                return bool((await partner.store.log(to.id))[0][1])

            await wait_until_async(tried, 20)
        ((kept, tries),) = await partner.store.log(to.id)
        assert tries[0].outcome is PostOutcome.BLOCKED and "loopback" in kept.last_error
        assert there.received == []


# --- the sender alone, with receivers that misbehave ----------------------------------------------


async def raw_server(answer: bytes, *, more: bytes = b"") -> asyncio.Server:
    """A server that says these bytes to whoever connects, then `more` for ever if there is any."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            while more:
                writer.write(more)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "more", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, PostOutcome.DELIVERED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", b"", PostOutcome.DELIVERED),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", PostOutcome.DELIVERED),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
            b"",
            PostOutcome.DELIVERED,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, b"", PostOutcome.UNKNOWN),
        (b"SSH-2.0-OpenSSH\r\n", b"", PostOutcome.UNKNOWN),
        (b"", b"", PostOutcome.UNKNOWN),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"", PostOutcome.UNKNOWN),
        (b"HTTP/1.1 999 What\r\n\r\n", b"", PostOutcome.TRY_LATER),
    ],
)
async def test_strange_answers_are_values(answer: bytes, more: bytes, outcome: PostOutcome) -> None:
    """Endless bodies are cut, nonsense is no answer, and nothing is raised."""
    server = await raw_server(answer, more=more)
    try:
        port = server.sockets[0].getsockname()[1]
        sender = WebhookSender(total=3.0, connect=1.0)
        async with asyncio.timeout(10):
            result = await sender.post(f"http://127.0.0.1:{port}/", LOOPBACK, {}, b"{}")
        assert result.outcome is outcome, result
    finally:
        server.close()


async def test_an_endless_answer_is_not_read() -> None:
    """No more than the cap and what lies in the buffers between."""
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    result = await WebhookSender(total=3.0).post(url, LOOPBACK, {}, b"{}")
    server.close()
    assert result.outcome is PostOutcome.DELIVERED
    assert sent < 20 * 1024 * 1024


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, PostOutcome.DELIVERED),
        (299, PostOutcome.DELIVERED),
        (301, PostOutcome.REFUSED),
        (302, PostOutcome.REFUSED),
        (307, PostOutcome.REFUSED),
        (400, PostOutcome.REFUSED),
        (404, PostOutcome.REFUSED),
        (408, PostOutcome.TRY_LATER),
        (410, PostOutcome.REFUSED),
        (429, PostOutcome.TRY_LATER),
        (500, PostOutcome.TRY_LATER),
        (503, PostOutcome.TRY_LATER),
    ],
)
async def test_what_each_status_means(status: int, outcome: PostOutcome) -> None:
    """A redirect is not followed: the receiver sees one request."""
    async with receiver(status) as there:
        result = await WebhookSender().post(there.url, LOOPBACK, {"X-A": "1"}, b"{}")
        assert (result.outcome, result.status) == (outcome, status)
        assert result.sentence.vi and result.sentence.en
        assert [one.headers["x-a"] for one in there.received] == ["1"]


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a name, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        made.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """Trusted and of that name: delivered. Unknown, or of another name: nothing is sent."""
    file = certificate(tmp_path, "localhost")
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    async with receiver(tls=own) as there:
        by_name = there.url.replace("127.0.0.1", "localhost")
        good = await WebhookSender(ssl_context=trusting).post(by_name, LOOPBACK, {}, b"{}")
        assert good.outcome is PostOutcome.DELIVERED
        unknown = await WebhookSender().post(by_name, LOOPBACK, {}, b"{}")
        other_name = await WebhookSender(ssl_context=trusting).post(there.url, LOOPBACK, {}, b"{}")
        for bad in (unknown, other_name):
            assert bad.outcome is PostOutcome.TRY_LATER and "Certificate" in bad.detail
        assert len(there.received) == 1


async def test_retry_after_in_both_spellings() -> None:
    """Seconds and dates; nonsense says nothing."""
    for header, least, most in (
        (b"120", 120, 120),
        (b"Fri, 31 Dec 2100 23:59:59 GMT", 10**8, 10**10),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
    ):
        head = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: " + header + b"\r\n\r\n"
        server = await raw_server(head)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await WebhookSender().post(url, LOOPBACK, {}, b"")
        assert result.retry_after is not None
        assert least <= result.retry_after.total_seconds() <= most
        server.close()
    server = await raw_server(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: soon\r\n\r\n")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    assert (await WebhookSender().post(url, LOOPBACK, {}, b"")).retry_after is None
    server.close()


async def test_nobody_there_is_surely_not_received() -> None:
    """A closed port is TRY_LATER, not UNKNOWN."""
    server = await raw_server(b"")
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    result = await WebhookSender().post(f"http://127.0.0.1:{port}/", LOOPBACK, {}, b"")
    assert result.outcome is PostOutcome.TRY_LATER


async def test_silence_is_cut_after_the_time_allowed() -> None:
    """A receiver that takes the request and says nothing: UNKNOWN, and soon."""
    async with receiver(HANG) as there:
        async with asyncio.timeout(5):
            result = await WebhookSender(total=0.3).post(there.url, LOOPBACK, {}, b"{}")
        assert result.outcome is PostOutcome.UNKNOWN
        assert 0.2 < result.seconds < 3
        assert "TimeoutError" in result.detail


async def test_plain_text_on_a_tls_port_is_a_tls_failure() -> None:
    """https to a server that speaks http: never sent, named as TLS."""
    async with receiver() as there:
        url = there.url.replace("http:", "https:")
        result = await WebhookSender(total=2).post(url, LOOPBACK, {}, b"{}")
        assert result.outcome is PostOutcome.TRY_LATER and "TLS" in result.detail
        assert there.received == []
