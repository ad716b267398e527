"""The service with a planted fault: crash points, mutants, and a trace of what is made durable.

``python -m tests.support.mutants --crash-at publish --mutant mark-before-publish`` starts the
service like ``lienthong serve``, changed in this process alone. The tests of the tests use it: a
checker that never saw a loss proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import gateway.runtime as runtime
from adapters import payloads
from adapters.broker import EmbeddedBroker, RabbitMqBroker
from adapters.database.postgresql import PostgresqlDatabase
from adapters.database.sqlite import SqliteDatabase
from adapters.database.transaction import SqlTransaction
from gateway.app import run_service
from gateway.settings import ROLES
from gateway.settings_loading import load_settings
from routing.accept import Accept
from routing.ports import Doorbell, PublishOutcome
from routing.relay import relay_once

CRASHED = 137
#: The transaction after whose commit a crash point strikes, by the name of its work.
_COMMITS = {
    "accept-commit": "Accept._submit_document.<locals>.record",
    "claim": "relay_once.<locals>.claim",
    "settle": "relay_once.<locals>.settle",
    "offer-commit": "offer.<locals>.write",
    "fetch-commit": "fetch.<locals>.write",
    "confirm-commit": "confirm.<locals>.write",
}
#: Works that return nothing; to all others nothing means that there was nothing to do.
_SILENT = (_COMMITS["settle"],)
#: Every crash point, in the order of a package's life.
CRASH_POINTS = (
    "payload-kept",
    "accept-before-commit",
    "accept-commit",
    "claim",
    "publish",
    "settle",
    "offer-commit",
    "fetch-commit",
    "confirm-commit",
)
MUTANTS = ("mark-before-publish", "no-unique-key", "answer-first", "no-fsync")
#: Seconds by which `answer-first` lags behind its answers.
LAG = 2.0


def crash(point: str) -> None:
    """Gone, as by SIGKILL: no handler, no flush, no goodbye."""
    os.write(2, f'{{"event": "crash point struck", "point": "{point}"}}\n'.encode())
    os._exit(CRASHED)


def plant_crash(point: str) -> None:
    """Make the process crash right after the first step called `point`."""
    if point == "payload-kept":
        _after(payloads.DiskSpool, "_keep", lambda _: crash(point))
        _after_async(payloads.S3Payloads, "upload", lambda _: crash(point))
    elif point == "publish":
        for broker in (EmbeddedBroker, RabbitMqBroker):
            _after_async(broker, "publish", lambda _: crash(point))
    elif point == "accept-before-commit":
        # The last statement of the transaction was sent, its commit was not.
        _after_async(Accept, "_record", lambda _: crash(point))
    else:
        crash_after_commit(_COMMITS[point], point)


def crash_after_commit(work: str, point: str) -> None:
    """Make the process crash right after the commit of the transaction whose work is so called."""
    for database in (SqliteDatabase, PostgresqlDatabase):
        _crash_after_commit(database, work, point)


def _after(owner: type, name: str, then: Callable[[Any], None]) -> None:
    real = getattr(owner, name)

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = real(self, *args, **kwargs)
        then(result)
        return result

    setattr(owner, name, changed)


def _after_async(owner: type, name: str, then: Callable[[Any], None]) -> None:
    real = getattr(owner, name)

    async def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await real(self, *args, **kwargs)
        then(result)
        return result

    setattr(owner, name, changed)


def _crash_after_commit(database: type, called: str, point: str) -> None:
    real = database.write  # type: ignore[attr-defined]

    async def write(self: Any, work: Callable[..., Awaitable[Any]]) -> Any:
        result = await real(self, work)
        # An empty claim or offer is no step in a package's life.
        idle = result == [] or (result is None and called not in _SILENT)
        if work.__qualname__ == called and not idle:
            crash(point)
        return result

    database.write = write  # type: ignore[attr-defined]


class _SaysYes:
    """A broker that confirms at once and publishes later."""

    def __init__(self) -> None:
        self.kept: list[Doorbell] = []

    async def publish(self, doorbells: Sequence[Doorbell], timeout: float) -> list[PublishOutcome]:
        self.kept += doorbells
        return [PublishOutcome.CONFIRMED] * len(doorbells)


def _mark_before_publish() -> None:
    """The relay settles a doorbell in the database first and rings it then."""

    async def mutated(database: Any, broker: Any, **options: Any) -> Any:
        pretender = _SaysYes()
        report = await relay_once(database, pretender, **options)  # type: ignore[arg-type]
        if pretender.kept:
            await broker.publish(pretender.kept, 10.0)
        return report

    runtime.relay_once = mutated


def _no_unique_key() -> None:
    """Nobody asks whether a package is here already. The test drops the constraints as well."""

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    SqlTransaction.find_package = nothing  # type: ignore[method-assign,assignment]
    Accept._other_content = nothing  # type: ignore[method-assign,assignment]


class _Undo(Exception):
    """Carries the result of a transaction out of its rollback."""


def _answer_first() -> None:
    """ "Accepted" is said first; the transaction is committed `LAG` seconds later."""
    for database in (SqliteDatabase, PostgresqlDatabase):
        _lag(database)


def _lag(database: type) -> None:
    real = database.write  # type: ignore[attr-defined]
    late: set[asyncio.Task[Any]] = set()

    async def write(self: Any, work: Callable[..., Awaitable[Any]]) -> Any:
        if work.__qualname__ != _COMMITS["accept-commit"]:
            return await real(self, work)

        async def tried(tx: Any) -> None:
            raise _Undo(await work(tx))

        async def later() -> None:
            await asyncio.sleep(LAG)
            await real(self, work)

        try:
            await real(self, tried)
        except _Undo as undo:
            task = asyncio.create_task(later())
            late.add(task)
            task.add_done_callback(late.discard)
            return undo.args[0]

    database.write = write  # type: ignore[attr-defined]


def _no_fsync() -> None:
    """Payloads are not forced to the disk."""
    os.fsync = lambda fd: None  # type: ignore[assignment]


def plant_mutant(name: str) -> None:
    """Change the service in the way called `name`."""
    {
        "mark-before-publish": _mark_before_publish,
        "no-unique-key": _no_unique_key,
        "answer-first": _answer_first,
        "no-fsync": _no_fsync,
    }[name]()


def plant_trace(file: Path) -> None:
    """Write down each durable step: for machines without strace."""
    from aiohttp import web

    sink = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(step: str) -> None:
        os.write(sink, step.encode() + b"\n")

    sync, replace, prepare = os.fsync, Path.replace, web.StreamResponse.prepare

    def fsync(fd: int) -> None:
        sync(fd)
        note(f"fsync {os.readlink(f'/proc/self/fd/{fd}')}")

    def renamed(self: Path, target: Any) -> Any:
        result = replace(self, target)
        note(f"rename {self} {target}")
        return result

    async def answered(self: web.StreamResponse, request: Any) -> Any:
        if self.status == 202:
            note("answer")
        return await prepare(self, request)

    os.fsync, Path.replace = fsync, renamed  # type: ignore[assignment,method-assign]
    web.StreamResponse.prepare = answered  # type: ignore[method-assign,assignment]
    for database in (SqliteDatabase, PostgresqlDatabase):
        _note_commit(database, note)


def _note_commit(database: type, note: Callable[[str], None]) -> None:
    real = database._write  # type: ignore[attr-defined]

    async def write(self: Any, work: Callable[..., Awaitable[Any]]) -> Any:
        result = await real(self, work)
        if work.__qualname__ == _COMMITS["accept-commit"]:
            note("commit")
        return result

    database._write = write  # type: ignore[attr-defined]


def main() -> None:
    """Plant what was asked for, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--crash-at", choices=CRASH_POINTS)
    parser.add_argument("--mutant", choices=MUTANTS, action="append", default=[])
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--role", default=",".join(ROLES))
    options = parser.parse_args()
    if options.trace:
        plant_trace(options.trace)
    for name in options.mutant:
        plant_mutant(name)
    if options.crash_at:
        plant_crash(options.crash_at)
    roles = tuple(role for role in ROLES if role in options.role.split(","))
    sys.exit(run_service(load_settings(), roles))


if __name__ == "__main__":
    main()
