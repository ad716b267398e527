"""Three gateways in a row, killed at random: nothing lost, nothing doubled in an inbox."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.checker import History, Report, Sent, check, contradictions
from tests.faults.workload import moments, receive_once
from tests.support import packages
from tests.support.agency_client import AgencyClient, NoAnswer
from tests.support.axis_chain import RECEIVER, SENDER, Chain, open_chain
from tests.support.servers import wait_until

pytestmark = pytest.mark.fault

DOCUMENTS = 300
#: How often each of the three is killed.
KILLS = 2
SENDERS = 4
#: Every so manieth document is answered with a status.
REPORTED = 10


def _package(number: int) -> Sent:
    document_id = f"{SENDER},2026/11/02,{number}/CV-CHAIN"
    content = packages.document(SENDER, [RECEIVER], document_id, number=str(number))
    return Sent(document_id, content, ("ministry",))


class _Work:
    """Documents from A to B, and reports back."""

    def __init__(self, chain: Chain, history: History) -> None:
        self.chain = chain
        self.history = history
        self.reports: Counter[str] = Counter()
        self.reported: set[str] = set()
        self._numbers = iter(range(DOCUMENTS))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        jobs: list[Callable[[], None]] = [self._send] * SENDERS
        jobs += [self._receive, self._read_reports]
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]

    def __enter__(self) -> _Work:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self) -> None:
        client = self.chain.province
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            sent = _package(number)
            self.history.attempt(sent)
            try:
                self.history.answer(sent, client.submit(sent.content))
            except NoAnswer as error:
                self.history.strange(f"submit {sent.document_id}: {error}")

    def _receive(self) -> None:
        client = self.chain.ministry
        while not self._stop.is_set():
            try:
                receive_once("ministry", client, self.history)
                self._report(client)
            except (NoAnswer, AssertionError) as error:
                self.history.strange(f"ministry: {error}")
                return

    def _report(self, client: AgencyClient) -> None:
        """Say 03 about every tenth document."""
        with self.history.lock:
            fetched = list(self.history.fetched.get("ministry", ()))
        for got in fetched:
            number = int(got.document_id.split(",")[2].split("/")[0])
            if number % REPORTED or got.document_id in self.reported:
                continue
            answer = client.report(got.delivery_id, "03")
            if answer.status not in (200, 201, 202):
                self.history.strange(f"report {got.document_id}: {answer!r}")
            self.reported.add(got.document_id)

    def _read_reports(self) -> None:
        client = self.chain.province
        while not self._stop.is_set():
            try:
                for item in client.inbox(wait=1)["items"]:
                    client.fetch(item["id"])
                    if client.confirm(item["id"]).status == 200:
                        self.reports[f"{item['documentId']} {item['meaning']} {item['id']}"] += 1
            except (NoAnswer, AssertionError) as error:
                self.history.strange(f"province: {error}")
                return

    def complete(self) -> bool:
        """Whether everything is there, forth and back."""
        if self.history.unexpected:
            return True
        alive = any(thread.is_alive() for thread in self._threads[:SENDERS])
        wanted = (DOCUMENTS + REPORTED - 1) // REPORTED
        return not alive and self.history.complete() and len(self.reports) >= wanted


def test_three_gateways_in_a_row_are_killed(
    tmp_path: Path, request: pytest.FixtureRequest, seed: int, show: Callable[[Report], None]
) -> None:
    """300 documents A → N → B with random kills of all three; every tenth is answered."""
    history, rng = History(), random.Random(seed)
    with open_chain(tmp_path, request, 3) as chain:
        victims = [name for name in chain.gateways for _ in range(KILLS)]
        rng.shuffle(victims)
        with _Work(chain, history) as work:
            for moment, name in zip(moments(rng, len(victims), DOCUMENTS), victims, strict=True):
                wait_until(
                    lambda moment=moment: history.acknowledged() >= moment or history.unexpected,
                    60,
                    f"{moment} documents",
                )
                victim = chain.gateways[name]
                if victim.running() and not work.complete():
                    victim.kill()
                    history.struck(f"SIGKILL of {name}")
                victim.start()
            with suppress(TimeoutError):  # what is late counts as lost
                wait_until(work.complete, 60, "everything to arrive", interval=0.1)
        # Confirmed by B's gateway, `done` at N perhaps a moment later.
        truth = [f"{name}: {one}" for name in chain.sites for one in _settled(chain, name)]
        planned = {f"SIGKILL of {name}": KILLS for name in chain.gateways}
        report = check(history, "three gateways in a row", seed, planned, truth)
        show(report)
        assert report.valid, report
        assert report.acknowledged == DOCUMENTS
        documents = [key.split(" ")[0] for key in work.reports]
        assert sorted(documents) == sorted(set(documents)), "a status came twice"
        assert len(documents) == len(work.reported)


def _settled(chain: Chain, name: str) -> list[str]:
    try:
        wait_until(lambda: not contradictions(chain.sites[name]), 15, "an outcome for everything")
    except TimeoutError:
        return contradictions(chain.sites[name])
    return []
