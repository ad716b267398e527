"""The gateway on one screen: what is known of it now, and what of that wants an operator.

Facts in, judgement out; pure. `lienthong status` gathers the facts and shows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from envelopes.findings import Sentence
from gateway.rest.encode import time_of

#: Seconds after which a role that finished no round is thought to stand (as the alert does).
ROLE_STANDS = 60.0
#: Seconds after which something still inside the gateway is stuck (as the alert does).
STUCK = 300.0
#: Seconds after which a held delivery is thought to be forgotten (as the alert does).
FORGOTTEN = 86_400.0
#: States in which the next step is the gateway's.
_OURS = ("accepted", "queued", "unknown")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the service as its /readyz shows it; `detail` says why there is no answer."""

    url: str
    answers: bool
    ready: bool = False
    detail: str = ""
    roles: tuple[str, ...] = ()
    #: Part to its detail, of those that are well and of those that are not.
    well: dict[str, str] = field(default_factory=dict)
    unwell: dict[str, str] = field(default_factory=dict)
    #: Background role to the seconds since its last round; None: never.
    rounds: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """Deliveries of one connection, lane and state without an outcome."""

    connection: str
    lane: str
    state: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A connection that is not served as usual."""

    connection: str
    status: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database knows; it answers while no process runs, too."""

    server: str
    queues: tuple[Queue, ...]
    stopped: tuple[Stopped, ...]
    overdue_deadlines: int
    parked_callbacks: int

    def count(self, state: str) -> int:
        """Deliveries in a state."""
        return sum(queue.count for queue in self.queues if queue.state == state)


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the screen."""

    at: datetime
    processes: tuple[Process, ...]
    #: What the database said, or why it said nothing.
    stored: Stored | str
    free_bytes: int
    needed_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data: `lienthong status --json`."""
        stored = self.stored
        known = stored if isinstance(stored, Stored) else None
        wants = attention(self)
        return {
            "at": time_of(self.at),
            "ok": not wants,
            "attention": [{"vi": one.vi, "en": one.en} for one in wants],
            "processes": [asdict(process) for process in self.processes],
            "database": {
                "ok": known is not None,
                "detail": known.server if known else str(stored),
            },
            "queues": [_queue(queue) for queue in known.queues] if known else None,
            "stopped": [asdict(one) for one in known.stopped] if known else None,
            "dead": known.count("dead") if known else None,
            "held": known.count("held") if known else None,
            "overdueDeadlines": known.overdue_deadlines if known else None,
            "parkedCallbacks": known.parked_callbacks if known else None,
            "freeBytes": self.free_bytes,
            "neededBytes": self.needed_bytes,
        }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "connection": queue.connection,
        "lane": queue.lane,
        "state": queue.state,
        "count": queue.count,
        "oldestSeconds": round(queue.oldest_seconds, 1),
    }


def attention(overview: Overview) -> list[Sentence]:
    """What an operator should do something about, the worst first; empty when all is well.

    Overdue time limits of agencies are shown and are not part of this: no operator can meet them.
    """
    found: list[Sentence] = []
    for process in overview.processes:
        found += _of_process(process)
    if isinstance(overview.stored, str):
        found.append(
            Sentence(
                f"Cơ sở dữ liệu không trả lời: {overview.stored}",
                f"The database does not answer: {overview.stored}",
            )
        )
    else:
        found += _of_stored(overview.stored)
    if overview.free_bytes < overview.needed_bytes:
        found.append(
            Sentence(
                "Ổ đĩa sắp đầy: gói tin mới bị từ chối (507).",
                "The disk is full: new packages are refused (507).",
            )
        )
    return found


def _of_process(process: Process) -> Iterator[Sentence]:
    if not process.answers:
        yield Sentence(
            f"Dịch vụ tại {process.url} không trả lời: {process.detail}",
            f"The service at {process.url} does not answer: {process.detail}",
        )
        return
    for part, detail in process.unwell.items():
        yield Sentence(f"Thành phần {part}: {detail}", f"Part {part}: {detail}")
    for role, seconds in process.rounds.items():
        if seconds is None or seconds > ROLE_STANDS:
            yield Sentence(
                f"Vai trò {role} không hoàn thành vòng nào trong một phút qua.",
                f"The role {role} has finished no round for a minute.",
            )


def _of_stored(stored: Stored) -> Iterator[Sentence]:
    resting = {one.connection for one in stored.stopped}
    for one in stored.stopped:
        if one.waiting:
            yield Sentence(
                f"Kết nối «{one.connection}» ({one.status}), số lượt gửi đang chờ: {one.waiting}.",
                f"Connection “{one.connection}” is {one.status}, waiting: {one.waiting}.",
            )
    for queue in stored.queues:
        stuck = queue.state in _OURS and queue.oldest_seconds > STUCK
        if stuck and queue.connection not in resting:
            yield Sentence(
                f"Kẹt ở trạng thái {queue.state}, gửi tới «{queue.connection}»: {queue.count}.",
                f"Stuck as {queue.state}, to “{queue.connection}”: {queue.count}.",
            )
    if stored.count("dead"):
        yield Sentence(
            f"Đã hết số lần thử, chờ người vận hành quyết định: {stored.count('dead')} lượt gửi.",
            f"Dead, to be replayed or returned: {stored.count('dead')}.",
        )
    if _forgotten(stored.queues):
        yield Sentence(
            "Có lượt gửi bị tạm giữ quá một ngày: cho đi tiếp hoặc trả lại.",
            "A delivery has been held for more than a day: release or return it.",
        )
    if stored.parked_callbacks:
        yield Sentence(
            f"Thông báo (callback) không gửi được, đã dừng thử: {stored.parked_callbacks}.",
            f"Callbacks parked (see: callbacks list, callbacks replay): {stored.parked_callbacks}.",
        )


def _forgotten(queues: Sequence[Queue]) -> bool:
    return any(one.state == "held" and one.oldest_seconds > FORGOTTEN for one in queues)
