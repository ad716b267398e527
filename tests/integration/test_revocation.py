"""Lists about revocation kept fresh by the service: asked for when missed, measured, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.signatures import SignatureInspector, WorkerLimits
from adapters.trust import TrustFolder
from envelopes.check import examine
from envelopes.signature_facts import Reason, SignatureFacts, SignatureOutcome
from gateway.observability import Metrics
from gateway.revocation import Revocation
from gateway.settings import Settings
from gateway.settings_loading import problems_between
from tests.support import pdf_signing as pdfs
from tests.support.make_corpus import File
from tests.support.make_rule_corpus import sound
from tests.support.pki import AGENCY, Authority, Credential, ec_key, pki
from tests.support.pki_server import PkiServer
from tests.support.servers import wait_until_async

ROLES = ("api", "relay", "worker", "timer")
YEAR = timedelta(days=365)


class World:
    """An authority with a server of its own; the folder has its root's list, not its own."""

    def __init__(self, folder: Path, server: PkiServer) -> None:
        """`server` serves the lists of its authority."""
        self.root = Authority.root("Root of the revocation test", ec_key(0))
        self.authority = self.root.subordinate("CA of the revocation test", ec_key(1))
        self.authority.crl_url = server.url("/x.crl")
        server.authority, server.now = self.authority, datetime.now(UTC)
        self.server = server
        self.folder = TrustFolder(folder / "trust")
        self.folder.add_anchors(self.root.credential.pem)
        self.folder.keep_revocation("root.crl", self.root.crl(server.now - timedelta(hours=2)))
        self.metrics = Metrics()

    def revocation(self, hosts: str) -> Revocation:
        """What keeps the lists, allowed to ask `hosts`."""
        return Revocation(self.folder, Settings(revocation_hosts=hosts), self.metrics)

    def seal(self) -> Credential:
        """A certificate that names the authority's list."""
        now = self.server.now
        return self.authority.issue(AGENCY, ec_key(3), valid=(now - YEAR, now + YEAR))

    def figure(self, name: str, **labels: str) -> float | None:
        """A metric."""
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One world per test."""
    with PkiServer(pki().government, pki().tsa) as server:
        yield World(tmp_path, server)


@asynccontextmanager
async def running(revocation: Revocation, *, timer: bool) -> AsyncIterator[None]:
    """The loop, ended in order."""
    stopping = asyncio.Event()
    task = asyncio.create_task(revocation.run(stopping, timer=timer))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 10)


async def test_what_an_inspection_missed_is_there_for_the_next(
    world: World, tmp_path: Path
) -> None:
    """Unverifiable without the list; the process that missed it asks, and it is valid then."""
    seal = world.seal()
    pdf = await asyncio.to_thread(lambda: pdfs.sign_pdf(pdfs.make_pdf(), seal))
    package = tmp_path / "package.edxml"
    package.write_bytes(sound(File("1", "1-vanban.pdf", pdf, "application/pdf")))
    read = examine(package).read
    inspector = SignatureInspector(world.folder, WorkerLimits(workers=1))

    async def inspected() -> SignatureFacts:
        return await inspector.inspect(package, read, datetime.now(UTC))

    revocation = world.revocation(world.server.host)
    try:
        async with running(revocation, timer=False):
            (first,) = (facts := await inspected()).files
            assert first.signatures[0].reasons == (Reason.REVOCATION_UNKNOWN,)
            assert world.server.asked == []
            revocation.note(facts)
            await wait_until_async(
                lambda: world.figure("lienthong_revocation_asked_total", outcome="kept") == 1, 20
            )
            (second,) = (await inspected()).files
        assert second.outcome is SignatureOutcome.VALID
    finally:
        await inspector.close()


async def test_hosts_that_are_not_named_are_never_asked(world: World) -> None:
    """Neither ahead nor when a signature misses their list; and that is no failure."""
    world.folder.register("H34", world.seal().pem)
    revocation = world.revocation("else.test")
    async with running(revocation, timer=True):
        await wait_until_async(
            lambda: bool(world.figure("lienthong_revocation_oldest_timestamp_seconds")), 20
        )
    assert world.server.asked == []
    assert world.figure("lienthong_revocation_asked_total", outcome="failed") == 0


async def test_the_timer_keeps_lists_of_registered_certificates(world: World) -> None:
    """Asked for without being told to; a server that fails is counted and survived."""
    world.folder.register("H34", world.seal().pem)
    async with running(world.revocation(world.server.host), timer=True):
        await wait_until_async(
            lambda: world.figure("lienthong_revocation_asked_total", outcome="kept") == 1, 20
        )
    world.server.answers["/x.crl"] = lambda _: (500, "text/plain", b"")
    for kept in (world.folder.folder / "revocation").glob("*.crl"):
        kept.unlink()
    async with running(world.revocation(world.server.host), timer=True):
        await wait_until_async(
            lambda: world.figure("lienthong_revocation_asked_total", outcome="failed") == 1, 20
        )


async def test_overdue_lists_and_ending_certificates_are_counted(world: World) -> None:
    """The figures of /metrics, at moments of our choice."""
    world.folder.register("H34", world.seal().pem)
    revocation = world.revocation("")
    now = world.server.now
    await asyncio.to_thread(revocation.measure, now)
    assert world.figure("lienthong_revocation_overdue") == 0
    assert world.figure("lienthong_certificates_expiring", role="agencies") == 0
    made = world.figure("lienthong_revocation_oldest_timestamp_seconds")
    assert made == pytest.approx((now - timedelta(hours=2)).timestamp(), abs=2)
    await asyncio.to_thread(revocation.measure, now + timedelta(days=310))
    assert world.figure("lienthong_revocation_overdue") == 1
    assert world.figure("lienthong_certificates_expiring", role="agencies") == 1


@pytest.mark.parametrize(
    ("hosts", "urls", "problems"),
    [
        ("crl.example.gov.vn", "http://crl.example.gov.vn/ca.crl", 0),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/ca.crl", 0),
        ("crl.example.gov.vn", "http://else.example/ca.crl", 1),
        ("", "http://crl.example.gov.vn/ca.crl", 1),
    ],
)
def test_lists_of_hosts_that_may_not_be_asked_are_refused(
    hosts: str, urls: str, problems: int
) -> None:
    """At the start, by name, instead of silently never."""
    found = problems_between(Settings(revocation_hosts=hosts, revocation_urls=urls), ROLES)
    assert [one.startswith("revocation_urls") for one in found] == [True] * problems


@pytest.mark.parametrize("hosts", ["http://crl.example", "a/b", "user@host", "host:port"])
def test_a_host_is_a_host(hosts: str) -> None:
    """Addresses, paths and users are refused."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        Settings(revocation_hosts=hosts)
