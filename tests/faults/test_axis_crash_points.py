"""A crash between any two calls of an axis' client: nothing lost, no second copy on either side."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.faults.checker import Got, History, Report, Sent, check, contradictions
from tests.support import packages
from tests.support.agency_client import Answer
from tests.support.axis import SimulatedAxis, add, add_axis
from tests.support.axis_chain import COMPRESSED
from tests.support.axis_gateway import CRASH_POINTS, QUICK
from tests.support.mutants import CRASHED
from tests.support.servers import wait_until
from tests.support.service import open_site

pytestmark = pytest.mark.fault

OURS, THEIRS = "H41", "G22"


def _sent(sender: str, recipient: str, number: int) -> Sent:
    document_id = f"{sender},2026/11/02,{number}/CV-AXIS"
    content = packages.document(sender, [recipient], document_id, number=str(number))
    return Sent(document_id, content, ("qlvb" if recipient == OURS else "axis",))


def test_every_crash_point_of_the_client(
    tmp_path: Path, request: pytest.FixtureRequest, seed: int, show: Callable[[Report], None]
) -> None:
    """At each point one package is on its way in and one on its way out; each arrives once."""
    history = History()
    with SimulatedAxis() as axis, open_site("embedded", tmp_path, request) as site:
        asyncio.run(add(site, "qlvb", "pull", [OURS], {}))
        add_axis(site, "axis", axis.url, [THEIRS], timeout_seconds=2)
        gateway = site.gateway(**QUICK)
        client = site.client("qlvb", gateway)
        incoming = []
        for number, point in enumerate(CRASH_POINTS):
            coming, going = _sent(THEIRS, OURS, number), _sent(OURS, THEIRS, number)
            incoming.append(axis.store.put(coming.content, "edoc", THEIRS, [OURS]))
            history.attempt(coming)
            history.answer(coming, Answer(202, {}, b'{"id": "axis"}', Counter({"crash": 1})))
            gateway.command = (*COMPRESSED, "--crash-at", point)
            gateway.launch()
            if point in CRASH_POINTS[4:]:
                history.attempt(going)
                history.answer(going, client.submit(going.content))
            assert gateway.ended(40) == CRASHED, gateway.tail()
            history.struck(point)
        gateway.command = COMPRESSED
        gateway.start()
        axis.done(*(one.doc_id for one in incoming))
        going = [one for one in history.attempted.values() if one.recipients == ("axis",)]
        axis.sent("edoc", len(going))
        wait_until(lambda: not _open(site), 20, "every delivery to have an outcome")
        _receive(client, history, len(incoming))
        for held in axis.store.sent("edoc"):
            digest = sha256(held.content).hexdigest()
            name = next(one.document_id for one in going if one.digest == digest)
            history.fetch("axis", Got(held.doc_id, "", name, digest), Answer(200, {}, b""))
        title = f"a crash at each of {len(CRASH_POINTS)} points of an axis' client"
        planned = dict.fromkeys(CRASH_POINTS, 1)
        report = check(history, title, seed, planned, contradictions(site))
        show(report)
        assert report.valid, report
        assert report.delivered == len(incoming) + len(going)
        gateway.stop()


def test_done_before_durable_loses(
    tmp_path: Path, request: pytest.FixtureRequest, seed: int, show: Callable[[Report], None]
) -> None:
    """A mutant that says `done` first, crashed before the record: the checker reports the loss."""
    history, coming = History(), _sent(THEIRS, OURS, 1)
    with SimulatedAxis() as axis, open_site("embedded", tmp_path, request) as site:
        asyncio.run(add(site, "qlvb", "pull", [OURS], {}))
        add_axis(site, "axis", axis.url, [THEIRS])
        held = axis.store.put(coming.content, "edoc", THEIRS, [OURS])
        history.attempt(coming)
        history.answer(coming, Answer(202, {}, b'{"id": "axis"}', Counter()))
        gateway = site.gateway(**QUICK)
        gateway.command = (*COMPRESSED, "--done-first", "--crash-at", "axis-fetched")
        gateway.launch()
        assert gateway.ended(40) == CRASHED, gateway.tail()
        history.struck("axis-fetched")
        gateway.command = COMPRESSED
        gateway.start()
        axis.heard("getReceivedEdocList", len(axis.calls("getReceivedEdocList")) + 4)
        _receive(site.client("qlvb", gateway), history, 1)
        report = check(history, "mutant: done before durable", seed, {"axis-fetched": 1})
        show(report)
        assert held.status == "DONE" and report.lost and not report.valid, report


def _receive(client: object, history: History, count: int) -> None:
    from tests.faults.workload import receive_once

    for _ in range(count):
        receive_once("qlvb", client, history, wait=0)  # type: ignore[arg-type]


def _open(site: object) -> list[str]:
    """Deliveries on their way out that are not settled."""
    import sqlite3

    database = sqlite3.connect(site.data / "lienthong.db")  # type: ignore[attr-defined]
    try:
        query = (
            "SELECT d.id FROM deliveries d JOIN connections c ON c.id = d.connection_id "
            "WHERE c.kind = 'vxp-axis' AND d.state <> 'delivered'"
        )
        return [row[0] for row in database.execute(query)]
    finally:
        database.close()
