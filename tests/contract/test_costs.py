"""What a document costs the database: statements are counted where they reach the driver.

Each is a round trip and a tenth of a millisecond of Python, on the road of every document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from adapters.database import rows
from adapters.database.postgresql import _Direct
from adapters.database.prepared import Prepared
from adapters.database.sqlite import InThread
from envelopes.model import StatusCode
from tests.contract.test_lifecycle_corners import update
from tests.support.builders import ALPHA, BETA, GAMMA, document, report
from tests.support.use_cases import Gateway

#: Statements of a document of two recipients that pull, from the intake to both confirms.
ALLOWED = {"accept": 5, "relay": 3, "offer": 3, "inbox": 2, "fetch": 6, "confirm": 8}


class Counter:
    """Counts statements by what they are for."""

    def __init__(self) -> None:
        self.phase = ""
        self.seen: dict[str, list[str]] = {}

    def note(self, statement: object) -> None:
        """One statement was sent; whether anybody is called back is asked once a second."""
        if "callback_endpoints" in str(statement):
            return
        self.seen.setdefault(self.phase, []).append(str(statement))


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Listens on the connections of both databases."""
    counting = Counter()
    for connection in (InThread, _Direct):
        run, run_many, execute = connection.run, connection.run_many, connection.execute

        async def counted_run(
            self: Any, prepared: Prepared, parameters: Mapping[str, Any], run: Any = run
        ) -> Any:
            counting.note(prepared.on(self.dialect).sql)
            return await run(self, prepared, parameters)

        async def counted_many(
            self: Any, prepared: Prepared, sets: Sequence[Any], run_many: Any = run_many
        ) -> None:
            counting.note(prepared.on(self.dialect).sql)
            await run_many(self, prepared, sets)

        async def counted(
            self: Any, statement: Any, parameters: Any = None, execute: Any = execute
        ) -> Any:
            counting.note(statement)
            return await execute(self, statement, parameters)

        monkeypatch.setattr(connection, "run", counted_run)
        monkeypatch.setattr(connection, "run_many", counted_many)
        monkeypatch.setattr(connection, "execute", counted)
    return counting


async def test_statements_of_one_document(gateway: Gateway, counter: Counter) -> None:
    """No step of the road needs more statements than it is allowed."""
    counter.phase = "accept"
    sent = await gateway.accepted(document(BETA, GAMMA))
    counter.phase = "relay"
    await gateway.relay()
    counter.phase = "offer"
    await gateway.offer()
    for agency in (BETA, GAMMA):
        counter.phase = "inbox"
        (row,) = await gateway.inbox(agency)
        counter.phase = "fetch"
        await gateway.fetch(agency, row.id)
        counter.phase = "confirm"
        await gateway.confirm(agency, row.id)
    assert {row.package_id for row in sent.deliveries} == {sent.package.id}
    cost = {phase: len(statements) for phase, statements in counter.seen.items()}
    assert cost == ALLOWED, counter.seen


async def test_reports_on_a_circular_are_not_read_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later report, an update and other content look at the document's packages, not reports."""
    sent = document(BETA, GAMMA)
    await gateway.accepted(sent)
    await gateway.bring()
    for agency in (BETA, GAMMA):
        (row,) = await gateway.inbox(agency)
        await gateway.fetch_and_confirm(agency, row.id)
        for code in (StatusCode.ARRIVED, StatusCode.ACCEPTED, StatusCode.ASSIGNED):
            await gateway.accepted(report(code, sent, sender=agency), by=agency)
    read: list[str] = []
    package_of = rows.package_of

    def noted(row: rows.Row, prefix: str = "") -> Any:
        found = package_of(row, prefix)
        read.append(found.kind)
        return found

    monkeypatch.setattr(rows, "package_of", noted)
    await gateway.accepted(update(sent, BETA, GAMMA), by=ALPHA)
    await gateway.accepted(report(StatusCode.CHANGE_AGREED, sent, sender=BETA), by=BETA)
    other = document(BETA, number=int(sent.code.number), subject="Nội dung khác")
    await gateway.refused(other)
    assert read and set(read) == {"document"}
