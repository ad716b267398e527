"""What clients saw, and whether it may be so. The report is in the form that Jepsen gave to queues.

Only what clients wrote down and what the database says afterwards is read here; nothing is taken
from the gateway's own account of itself.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.support.agency_client import Answer
from tests.support.servers import Postgres
from tests.support.service import Site


@dataclass(frozen=True, slots=True)
class Sent:
    """One package that a client hands in, and who has to get it (connection names)."""

    document_id: str
    content: bytes
    recipients: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Got:
    """One package that a recipient fetched."""

    delivery_id: str
    package_id: str
    document_id: str
    digest: str


class History:
    """What the clients of a run wrote down; they write from many threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.attempted: dict[str, Sent] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.fetched: dict[str, list[Got]] = {}
        self.confirmed: dict[str, set[str]] = {}
        #: Answers and losses that are no promise either way, by what they were.
        self.try_again: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.faults: Counter[str] = Counter()

    def attempt(self, sent: Sent) -> None:
        """A client begins to hand a package in."""
        with self.lock:
            self.attempted[sent.document_id] = sent

    def answer(self, sent: Sent, answer: Answer) -> None:
        """The gateway's last word on a package."""
        with self.lock:
            self.try_again.update(answer.tries)
            if answer.status in (200, 202):
                self.answers.setdefault(sent.document_id, []).append(answer)
            else:
                self.unexpected.append(f"submit {sent.document_id}: {answer!r}")

    def fetch(self, who: str, got: Got, answer: Answer) -> None:
        """A recipient fetched a package."""
        with self.lock:
            self.try_again.update(answer.tries)
            self.fetched.setdefault(who, []).append(got)

    def confirm(self, who: str, delivery_id: str, answer: Answer) -> None:
        """A recipient confirmed a delivery."""
        with self.lock:
            self.try_again.update(answer.tries)
            if answer.status == 200:
                self.confirmed.setdefault(who, set()).add(delivery_id)
            else:
                self.unexpected.append(f"confirm {delivery_id}: {answer!r}")

    def strange(self, what: str) -> None:
        """Something that no client may ever see."""
        with self.lock:
            self.unexpected.append(what)

    def struck(self, fault: str) -> None:
        """A fault that really hit something."""
        with self.lock:
            self.faults[fault] += 1

    def acknowledged(self) -> int:
        """Packages that a client was told are accepted."""
        with self.lock:
            return len(self.answers)

    def complete(self) -> bool:
        """Whether every recipient confirmed every acknowledged package."""
        with self.lock:
            wanted: Counter[str] = Counter()
            for document_id in self.answers:
                wanted.update(self.attempted[document_id].recipients)
            return all(
                len({got.document_id for got in self.fetched.get(who, [])}) >= count
                and len(self.confirmed.get(who, ())) >= count
                for who, count in wanted.items()
            )


@dataclass
class Report:
    """The verdict on one run."""

    title: str
    seed: int
    attempted: int = 0
    acknowledged: int = 0
    delivered: int = 0
    #: Acknowledged for a recipient that never got it.
    lost: list[str] = field(default_factory=list)
    #: More than one package or delivery for one document and recipient.
    duplicated: list[str] = field(default_factory=list)
    #: Bytes that are not the bytes handed in, or another's.
    altered: list[str] = field(default_factory=list)
    #: Acknowledged after at least one try that got no answer.
    recovered: int = 0
    #: Fetched more than once, under the same id: allowed.
    fetched_again: int = 0
    unexpected: list[str] = field(default_factory=list)
    #: What the database says that cannot be.
    inconsistent: list[str] = field(default_factory=list)
    try_again: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)

    @property
    def too_few_faults(self) -> list[str]:
        """Planned faults that did not strike often enough: such a run proves nothing."""
        return [
            f"{name}: {self.faults[name]} of {count}"
            for name, count in self.planned.items()
            if self.faults[name] < count
        ]

    @property
    def valid(self) -> bool:
        """Whether everything promised was kept, and the faults were real."""
        wrong = (self.lost, self.duplicated, self.altered, self.unexpected, self.inconsistent)
        return not any(wrong) and not self.too_few_faults and self.acknowledged > 0

    def __str__(self) -> str:
        lines = [
            f"{self.title}  (seed {self.seed})",
            f"  attempted {self.attempted}  acknowledged {self.acknowledged}  "
            f"delivered {self.delivered}  lost {len(self.lost)}  "
            f"duplicated {len(self.duplicated)}  recovered {self.recovered}  "
            f"altered {len(self.altered)}  unexpected {len(self.unexpected)}",
            f"  faults that struck {dict(self.faults)}  of planned {dict(self.planned)}",
            f"  answered with try-again {dict(self.try_again)}  fetched again {self.fetched_again}",
        ]
        for name in ("lost", "duplicated", "altered", "unexpected", "inconsistent"):
            found: list[str] = getattr(self, name)
            lines += [f"  {name}: {one}" for one in found[:5]]
        lines += [f"  TOO FEW FAULTS {one}" for one in self.too_few_faults]
        return "\n".join(lines)


def check(
    history: History, title: str, seed: int, planned: dict[str, int], truth: Iterable[str] = ()
) -> Report:
    """Judge a run; `truth` is what `contradictions` found in the database."""
    report = Report(
        title,
        seed,
        attempted=len(history.attempted),
        acknowledged=len(history.answers),
        unexpected=list(history.unexpected),
        inconsistent=list(truth),
        try_again=history.try_again,
        faults=history.faults,
        planned=Counter(planned),
    )
    for document_id, answers in history.answers.items():
        report.recovered += any(answer.tries for answer in answers)
        packages = {answer.json["id"] for answer in answers}
        if len(packages) > 1:
            report.duplicated.append(f"{document_id}: packages {sorted(packages)}")
        for who in history.attempted[document_id].recipients:
            _judge_copy(report, history, document_id, who)
    for who, all_got in history.fetched.items():
        for got in all_got:
            if got.document_id not in history.attempted:
                report.unexpected.append(f"{who} got {got.document_id}, which nobody sent")
    return report


def _judge_copy(report: Report, history: History, document_id: str, who: str) -> None:
    copies = [got for got in history.fetched.get(who, []) if got.document_id == document_id]
    if not copies:
        report.lost.append(f"{document_id} for {who}")
        return
    report.delivered += 1
    report.fetched_again += len(copies) > 1
    ids = {got.delivery_id for got in copies}
    if len(ids) > 1:
        report.duplicated.append(f"{document_id} for {who}: deliveries {sorted(ids)}")
    wanted = history.attempted[document_id].digest
    report.altered += [
        f"{document_id} for {who}: {got.digest}" for got in copies if got.digest != wanted
    ]


#: Deliveries whose state is not the one that their last event says.
_STATES = """
SELECT d.id, d.state, (
  SELECT e.to_state FROM events e
  WHERE e.delivery_id = d.id AND e.type LIKE 'delivery.%' AND e.to_state IS NOT NULL
  ORDER BY e.seq DESC LIMIT 1
) AS said
FROM deliveries d
"""
#: Packages that are in the database twice, and copies that are.
_TWICE = """
SELECT 'package ' || document_id, count(*) FROM packages WHERE kind = 'document'
GROUP BY document_id HAVING count(*) > 1
UNION ALL
SELECT 'copy of ' || package_id || ' for ' || recipient, count(*) FROM deliveries
GROUP BY package_id, recipient HAVING count(*) > 1
"""


def contradictions(site: Site, postgres: Postgres | None = None) -> list[str]:
    """What the database itself says that cannot be: open copies, doubles, states without events."""
    found = [
        f"delivery {row[0]} is {row[1]}, its last event says {row[2]}"
        for row in _rows(site, _STATES, postgres)
        if row[1] != row[2]
    ]
    found += [f"{row[0]}: {row[1]} times" for row in _rows(site, _TWICE, postgres)]
    open_ones = "SELECT id, state FROM deliveries WHERE state <> 'delivered'"
    found += [f"delivery {row[0]} is {row[1]}" for row in _rows(site, open_ones, postgres)]
    return found


def _rows(site: Site, query: str, postgres: Postgres | None) -> list[tuple[Any, ...]]:
    if site.mode == "embedded":
        database = sqlite3.connect(site.data / "lienthong.db")
        try:
            return list(database.execute(query))
        finally:
            database.close()
    assert postgres is not None
    text = postgres.sql(query, site.database_url.rpartition("/")[2])
    return [tuple(line.split("|")) for line in text.splitlines() if line]
