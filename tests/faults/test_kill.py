"""The gateway is killed, its broker goes away: nothing accepted is lost, nothing comes twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import History, Report, check, contradictions
from tests.faults.workload import AGENCIES, Workload, moments
from tests.support.servers import Postgres, RabbitMq, wait_until
from tests.support.service import Site

pytestmark = pytest.mark.fault

PACKAGES = 500
Show = Callable[[Report], None]
#: Time is compressed: a relay that was killed holds its claims for a second, not for a minute.
QUICK = {"relay_claim_seconds": 1, "relay_poll_seconds": 0.2, "timer_seconds": 0.5}


def _postgres(site: Site, request: pytest.FixtureRequest) -> Postgres | None:
    if site.mode == "embedded":
        return None
    server: Postgres = request.getfixturevalue("postgres_server")
    return server


def test_ten_kills_of_the_gateway(
    site: Site, seed: int, show: Show, request: pytest.FixtureRequest
) -> None:
    """500 packages for two recipients from 8 clients, the gateway killed and restarted 10 times."""
    kills, history = 10, History()
    gateway = site.gateway(**QUICK).start()
    work = Workload(site, gateway, history, PACKAGES)
    with work.running():
        for moment in moments(random.Random(seed), kills, PACKAGES):
            work.at(moment)
            if gateway.running() and work.busy:
                gateway.kill()
                history.struck("SIGKILL")
            gateway.start()
        work.drain()
    truth = contradictions(site, _postgres(site, request))
    title = f"{kills} kills of the gateway, {site.mode}"
    report = check(history, title, seed, {"SIGKILL": kills}, truth)
    show(report)
    assert report.valid, report
    assert report.acknowledged == report.attempted == PACKAGES


def test_two_gateways_of_which_one_is_always_killed(
    production: Site, postgres_server: Postgres, seed: int, show: Show
) -> None:
    """Two processes share database and broker; six times one of them dies, the other goes on."""
    # Enough that the other one is still at work when the sixth start is over.
    kills, history, count = 6, History(), 1000
    pair = [production.gateway(**QUICK).start() for _ in range(2)]
    work = Workload(production, pair, history, count)
    with work.running():
        for number, moment in enumerate(moments(random.Random(seed), kills, count)):
            work.at(moment)
            victim = pair[number % 2]
            if victim.running() and work.busy:
                victim.kill()
                history.struck("SIGKILL of one of two")
            victim.start()
        work.drain()
    truth = contradictions(production, postgres_server)
    title = f"{kills} kills of one of two gateways, production"
    report = check(history, title, seed, {"SIGKILL of one of two": kills}, truth)
    show(report)
    assert report.valid, report
    assert report.acknowledged == report.attempted == count
    for event in ("package.accepted", "delivery.offered"):
        shares = [process.log.read_text().count(f'"{event}"') for process in pair]
        assert all(shares), f"only one of the two did any {event}: {shares}"


def test_the_broker_stops_three_times(
    production: Site, postgres_server: Postgres, seed: int, show: Show
) -> None:
    """RabbitMQ is stopped, killed, stopped and started again under load; nobody is refused."""
    history = History()
    with RabbitMq() as rabbitmq:
        site = replace(production, broker_url=rabbitmq.url())
        gateway = site.gateway(**QUICK).start()
        work = Workload(site, gateway, history, 240)
        with work.running():
            ways = (rabbitmq.stop, rabbitmq.kill, rabbitmq.stop)
            for moment, take_away in zip(
                moments(random.Random(seed), len(ways), 200), ways, strict=True
            ):
                work.at(moment)
                assert work.busy
                take_away()
                history.struck("broker away")
                # Accepted while it is away, which is the point.
                before = history.acknowledged()
                work.at(min(before + 5, 240))
                rabbitmq.start()
            work.drain()
        truth = contradictions(site, postgres_server)
        title = "the broker away 3 times, production"
        report = check(history, title, seed, {"broker away": 3}, truth)
        show(report)
        assert report.valid, report
        assert report.acknowledged == report.attempted == 240
        gateway.close()


def test_the_database_is_killed_three_times(production: Site, seed: int, show: Show) -> None:
    """PostgreSQL dies under load: clients hear "try again", and nothing is lost or doubled."""
    history = History()
    with Postgres() as server:
        site = replace(production, database_url=server.create_database(), processes=[])
        site.connect(**AGENCIES)
        gateway = site.gateway(**QUICK).start()
        production.processes.append(gateway)
        work = Workload(site, gateway, history, 300)
        with work.running():
            for moment in moments(random.Random(seed), 3, 240):
                work.at(moment)
                assert work.busy
                server.kill()
                history.struck("PostgreSQL SIGKILL")
                server.start()
                wait_until(gateway.ready, 30, "the gateway to be ready again")
            work.drain()
        report = check(
            history,
            "the database killed 3 times, production",
            seed,
            {"PostgreSQL SIGKILL": 3},
            contradictions(site, server),
        )
        show(report)
        assert report.valid, report
        assert report.acknowledged == report.attempted == 300
        assert gateway.stop() == 0
