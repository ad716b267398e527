"""The checker is worth something only if it sees what goes wrong: planted faults must be reported.

Each mutant meets a crash right after the step that it changed, not by luck but every time.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.checker import Got, History, Report, check, contradictions
from tests.faults.workload import CODES, Workload, package
from tests.support.agency_client import Answer
from tests.support.mutants import CRASHED
from tests.support.servers import Postgres, wait_until
from tests.support.service import SERVE, GatewayProcess, Site

pytestmark = pytest.mark.fault

MUTANT = (sys.executable, "-m", "tests.support.mutants")
#: Seconds after which a copy counts as lost; a healthy gateway needs a fraction of one.
SOON = 3.0
Show = Callable[[Report], None]


@contextmanager
def crashed(
    site: Site, history: History, mutants: tuple[str, ...], point: str, then: tuple[str, ...]
) -> Iterator[tuple[GatewayProcess, Workload]]:
    """One package through a mutant that crashes at `point` and is started again as `then`."""
    quick = {"relay_claim_seconds": 1, "relay_poll_seconds": 0.2, "timer_seconds": 0.2}
    gateway = site.gateway(**quick)
    gateway.command = (*MUTANT, *mutants, "--crash-at", point)
    work = Workload(site, gateway, history)
    with work.running():
        gateway.launch()
        work.hand_in(1)
        assert gateway.ended(40) == CRASHED, gateway.tail()
        history.struck(point)
        gateway.command = then
        gateway.start()
        work.drain(SOON)
        yield gateway, work


def test_marking_before_publishing_loses(
    production: Site, postgres_server: Postgres, seed: int, show: Show
) -> None:
    """The doorbell is settled before it is rung, crash in between: reported as lost."""
    history = History()
    mutants = ("--mutant", "mark-before-publish")
    with crashed(production, history, mutants, "settle", SERVE) as (gateway, work):
        report = check(history, "mutant: mark before publish", seed, {"settle": 1})
        show(report)
        assert len(report.lost) == len(CODES) and not report.duplicated, report
        assert not report.valid
        # The sweeper, which rings again for what waits in vain, heals even this.
        gateway.stop()
        healing = production.gateway(lost_doorbell_seconds=0.5, timer_seconds=0.2)
        healing.port = gateway.port
        healing.start()
        work.drain(20)
    healed = check(history, "healed", seed, {}, contradictions(production, postgres_server))
    assert not healed.lost and not healed.inconsistent, healed


def test_without_unique_keys_it_doubles(
    production: Site, postgres_server: Postgres, seed: int, show: Show
) -> None:
    """No constraint and no look: a client that got no answer makes a second package: reported."""
    history, name = History(), production.database_url.rpartition("/")[2]
    keys = (
        "SELECT conname FROM pg_constraint WHERE conrelid = 'packages'::regclass AND contype = 'u'"
    )
    for key in postgres_server.sql(keys, name).splitlines():
        postgres_server.sql(f'ALTER TABLE packages DROP CONSTRAINT "{key}"', name)
    mutants = ("--mutant", "no-unique-key")
    with crashed(production, history, mutants, "accept-commit", (*MUTANT, *mutants)):
        wait_until(
            lambda: all(len(history.fetched.get(who, ())) > 1 for who in CODES), 20, "both copies"
        )
        truth = contradictions(production, postgres_server)
        report = check(history, "mutant: no unique key", seed, {"accept-commit": 1}, truth)
        show(report)
    assert len(report.duplicated) == len(CODES), report
    assert any("2 times" in line for line in report.inconsistent), report
    assert not report.valid


def test_answering_before_the_commit_loses(site: Site, seed: int, show: Show) -> None:
    """ "Accepted" is said before it is recorded, killed in between: reported as lost."""
    history = History()
    gateway = site.gateway(command=(*MUTANT, "--mutant", "answer-first")).start()
    work = Workload(site, gateway, history)
    with work.running():
        work.hand_in(1)
        work.at(1)
        gateway.kill()
        history.struck("SIGKILL")
        gateway.command = SERVE
        gateway.start()
        work.drain(SOON)
        report = check(history, f"mutant: answer first, {site.mode}", seed, {"SIGKILL": 1})
        show(report)
    assert len(report.lost) == len(CODES) and not report.duplicated, report
    assert not report.valid


def _perfect() -> History:
    """What clients write down when all is well: two packages, two recipients."""
    history = History()
    for number in (1, 2):
        sent = package(number)
        history.attempt(sent)
        body = f'{{"id": "package-{number}"}}'.encode()
        history.answer(sent, Answer(202, {}, body, Counter({"OSError": 1})))
        for who in CODES:
            delivery_id = f"{who}-{number}"
            got = Got(delivery_id, f"package-{number}", sent.document_id, sent.digest)
            history.fetch(who, got, Answer(200, {}, b""))
            history.confirm(who, delivery_id, Answer(200, {}, b""))
    history.struck("kill")
    return history


def test_the_checker_itself() -> None:
    """Each kind of wrong makes a run invalid, and so do faults that did not strike."""
    good = check(_perfect(), "perfect", 0, {"kill": 1})
    assert good.valid and good.recovered == 2 and good.delivered == 4, good
    assert not check(_perfect(), "too few", 0, {"kill": 2}).valid
    assert not check(History(), "nothing happened", 0, {}).valid
    assert not check(_perfect(), "database", 0, {}, ["delivery x is queued"]).valid

    lost = _perfect()
    lost.fetched["nghe_an"].pop()
    assert [len(check(lost, "lost", 0, {}).lost), lost.complete()] == [1, False]

    sent, one = package(1), Answer(202, {}, b'{"id": "another"}')
    doubled = _perfect()
    doubled.answer(sent, one)
    got = Got("other-delivery", "another", sent.document_id, sent.digest)
    doubled.fetch("nghe_an", got, Answer(200, {}, b""))
    assert len(check(doubled, "doubled", 0, {}).duplicated) == 2

    altered = _perfect()
    got = Got("nghe_an-1", "package-1", sent.document_id, package(2).digest)
    altered.fetch("nghe_an", got, Answer(200, {}, b""))
    report = check(altered, "altered", 0, {})
    assert (len(report.altered), len(report.duplicated), report.fetched_again) == (1, 0, 1)

    strange = _perfect()
    strange.answer(sent, Answer(500, {}, b""))
    assert not check(strange, "strange", 0, {}).valid
