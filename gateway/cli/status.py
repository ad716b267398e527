"""`lienthong status`: the gateway on one screen, for the night."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway import clock
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.failures import REFUSED, Failure, causes, wrong_use
from gateway.cli.output import local_time, print_json, print_table, sentence, show, size_text
from gateway.cli.session import Session, open_session
from gateway.overview import Overview, Process, Queue, Stopped, Stored, attention
from gateway.settings import MIB, Settings

#: Seconds that a process may take for /readyz; a bit more than it gives its parts.
PATIENCE = 7.0
#: Bytes of an answer that are read at the most.
LONGEST = 64 * 1024


@click.command(short_help="The gateway on one screen: what stands, waits and wants you.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    envvar="LIENTHONG_URL",
    show_envvar=True,
    metavar="URL",
    help="Address of a process; several when roles are separated. Default: from `listen`.",
)
@json_option
@pass_state
async def status(state: State, urls: tuple[str, ...], as_json: bool) -> None:
    """Show parts, roles, queues, stopped connections, and what wants an operator.

    Reads the database itself, so it works while the service is down, too. Ends with 0 when all is
    well and with 1 when something wants attention.
    """
    settings = state.settings
    addresses = [_address(url) for url in urls or (settings.local_url,)]
    asked = await asyncio.gather(*(asyncio.to_thread(ask, one) for one in addresses))
    free = await asyncio.to_thread(_free_bytes, settings.data_dir)
    stored = await _stored(settings)
    overview = Overview(clock.now(), tuple(asked), stored, free, settings.min_free_mib * MIB)
    wants = attention(overview)
    if as_json:
        print_json(overview.as_dict())
    else:
        _print(overview, state.language or "en")
    if wants:
        raise click.exceptions.Exit(REFUSED)


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        wrong_use(f"--url: {url!r} is no address like http://127.0.0.1:8080")
    return url.rstrip("/")


def ask(url: str) -> Process:
    """A process's own word on itself, from /readyz."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE) as answer:  # noqa: S310  (http only, see _address)
            body = json.loads(answer.read(LONGEST))
    except urllib.error.HTTPError as error:
        with error:
            body = _body(error.read(LONGEST))
        if body is None:
            return Process(url, answers=False, detail=f"HTTP {error.code}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Process(url, answers=False, detail=causes(reason) if str(reason) else "no answer")
    return _process(url, body)


def _body(text: bytes) -> Any:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) and "parts" in body else None


def _process(url: str, body: dict[str, Any]) -> Process:
    now = clock.now()
    parts: dict[str, dict[str, Any]] = body.get("parts", {})
    return Process(
        url,
        answers=True,
        ready=body.get("status") == "ready",
        roles=tuple(body.get("roles", ())),
        well={name: part["detail"] for name, part in parts.items() if part["ok"]},
        unwell={name: part["detail"] for name, part in parts.items() if not part["ok"]},
        rounds={
            role: (now - datetime.fromisoformat(at)).total_seconds() if at else None
            for role, at in body.get("lastRounds", {}).items()
        },
    )


def _free_bytes(folder: Path) -> int:
    existing = next(
        place for place in (folder.resolve(), *folder.resolve().parents) if place.exists()
    )
    return shutil.disk_usage(existing).free


async def _stored(settings: Settings) -> Stored | str:
    """What the database knows, or why it does not say."""
    try:
        async with open_session(settings) as session:
            return await _gather(session)
    except Failure:
        # There is no gateway here, or it wants a migration: nothing that the night could mend.
        raise
    except Exception as error:  # whatever keeps the database from answering is the answer
        return causes(error)


async def _gather(session: Session) -> Stored:
    from adapters.database import SqlCallbacks
    from adapters.database.night_figures import overdue_deadlines
    from routing.callbacks import MessageState

    now = clock.now()
    queues = tuple(
        Queue(
            session.connection_name(row["connection_id"]) or "-",
            row["lane"],
            row["state"],
            row["count"],
            (now - row["oldest"]).total_seconds(),
        )
        for row in await session.database.queue_figures()
    )
    messages = await SqlCallbacks(session.database).figures()
    return Stored(
        server=await session.database.ping(),
        queues=tuple(sorted(queues, key=lambda one: (one.connection, one.lane, one.state))),
        stopped=tuple(_stopped(session, queues)),
        overdue_deadlines=await overdue_deadlines(session.database, now),
        parked_callbacks=sum(of.get(MessageState.PARKED, 0) for of in messages.values()),
    )


def _stopped(session: Session, queues: Sequence[Queue]) -> Iterable[Stopped]:
    waiting: Counter[str] = Counter()
    for queue in queues:
        waiting[queue.connection] += queue.count
    for connection in sorted(session.routes.connections.values(), key=lambda one: one.name):
        if connection.status.value != "active":
            yield Stopped(connection.name, connection.status.value, waiting[connection.name])


def _print(overview: Overview, language: str) -> None:
    show(f"at         {local_time(overview.at)} (UTC+7)")
    for process in overview.processes:
        _print_process(process)
    stored = overview.stored
    show(f"database   {stored.server if isinstance(stored, Stored) else stored}")
    show(
        f"disk       {size_text(overview.free_bytes)} free, "
        f"{size_text(overview.needed_bytes)} needed"
    )
    if isinstance(stored, Stored):
        _print_stored(stored)
    wants = attention(overview)
    show()
    show("ATTENTION" if wants else "All is well.")
    for one in wants:
        show(f"  - {sentence(one, language)}")


def _print_process(process: Process) -> None:
    if not process.answers:
        show(f"service    {process.url}  NO ANSWER: {process.detail}")
        return
    word = "ready" if process.ready else "NOT READY"
    show(f"service    {process.url}  {word}  ({', '.join(process.roles)})")
    for name, detail in process.unwell.items():
        show(f"  TROUBLE  {name}: {detail}")
    for name, detail in process.well.items():
        show(f"  ok       {name}: {detail}")
    if process.rounds:
        rounds = (
            f"{role} {'never' if seconds is None else f'{seconds:.0f} s ago'}"
            for role, seconds in process.rounds.items()
        )
        show(f"  rounds   {', '.join(rounds)}")


def _print_stored(stored: Stored) -> None:
    show(
        f"open       dead {stored.count('dead')}, held {stored.count('held')}, "
        f"overdue time limits {stored.overdue_deadlines}, "
        f"parked callbacks {stored.parked_callbacks}"
    )
    for one in stored.stopped:
        show(f"stopped    {one.connection} is {one.status}, waiting: {one.waiting}")
    if not stored.queues:
        show("queues     empty")
        return
    show()
    print_table(
        ("connection", "lane", "state", "count", "oldest"),
        (
            (one.connection, one.lane, one.state, one.count, age(one.oldest_seconds))
            for one in stored.queues
        ),
    )


def age(seconds: float) -> str:
    """An age for people: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
