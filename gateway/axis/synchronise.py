"""Keeping our directory in step with an axis': on a schedule, and by `lienthong axis sync`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from adapters.database import RegistryStore
from adapters.pause import pause
from adapters.vault import VaultProblem
from adapters.vxp_client import AxisAnswer, VxpClient
from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.axis.directory import DirectoryDiff, compare, other_codes_of, read_units
from gateway.axis.events import append
from gateway.axis.options import NoSecret, axis_client, axis_options
from routing.ports import Unavailable
from routing.route_table import Connection, RouteTable

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger(__name__)

#: Seconds before a sync that found no axis is tried again.
AGAIN = 60.0
#: Doubtful lines that an event names.
MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class NoDirectory:
    """The axis gave no list."""

    answer: AxisAnswer


async def directory_diff(
    client: VxpClient, routes: RouteTable, connection: Connection, *, end_missing: bool = False
) -> DirectoryDiff | NoDirectory:
    """Ask the axis for its agencies and compare them with ours."""
    units = await client.directory("getSynchronizeUnit")
    by_old = await client.directory("getAgenciesList")
    by_new = await client.directory("getAgenciesListQD20")
    lists = [one for one in (units, by_new, by_old) if one.ok and one.rows]
    if not lists:
        return NoDirectory(next((one for one in (units, by_new, by_old) if not one.ok), units))
    other_codes = other_codes_of([*by_old.rows, *by_new.rows])
    found, doubts = read_units(lists[0].rows, other_codes)
    today = clock.now().astimezone(VIETNAM_TIME).date()
    return compare(found, doubts, routes, connection, today, end_missing=end_missing)


async def apply_diff(
    store: RegistryStore, connection: Connection, diff: DirectoryDiff, actor: str
) -> None:
    """Put what changed into the directory, in one transaction."""
    source = f"axis {connection.name}"
    await store.put_agencies(diff.agencies, actor=actor, source=source, now=clock.now())


async def keep_directory(
    services: Services, connection: Connection, stopping: asyncio.Event
) -> None:
    """Sync at once and then on the connection's schedule, until `stopping`."""
    seconds = axis_options(connection).directory_seconds
    if not seconds:
        return
    told: dict[str, Any] = {}
    while not stopping.is_set():
        try:
            counts = await _sync_once(services, connection, told)
        except (Unavailable, NoSecret, VaultProblem) as error:
            log.warning("axis.directory-not-synced", connection=connection.name, why=str(error))
            counts = None
        except Exception:  # a bug met by one list must not end the polling
            log.exception("axis.directory-bug", connection=connection.name)
            counts = None
        told = counts or told
        wait = seconds if counts else min(AGAIN, seconds)
        await pause(stopping, wait * (1 + 0.1 * clock.spread()))


async def _sync_once(
    services: Services, connection: Connection, told: dict[str, Any]
) -> dict[str, Any] | None:
    """One sync; its figures, None when the axis gave no list. An event tells what is new."""
    async with await axis_client(services.secrets, connection) as client:
        routes = await services.registry.routes(newest=True)
        diff = await directory_diff(client, routes, connection)
    if isinstance(diff, NoDirectory):
        log.warning("axis.directory-not-synced", connection=connection.name, why=str(diff.answer))
        return None
    await apply_diff(RegistryStore(services.database), connection, diff, "gateway:axis")
    figures = figures_of(diff)
    log.info("axis.directory-synced", connection=connection.name, **figures)
    named = [
        {"code": one.code, "name": one.name, "reason": one.reason.en}
        for one in (*diff.doubtful, *diff.ours)
    ][:MOST_NAMED]
    missing = [agency.organ_id.text for agency in diff.missing][:MOST_NAMED]
    now = {"doubtful": named, "missing": missing, **figures}
    same = all(told.get(key) == now[key] for key in ("doubtful", "missing"))
    if diff.agencies or not same:
        await append(services, connection, "axis.directory-synced", now)
    return now


def figures_of(diff: DirectoryDiff) -> dict[str, int]:
    """How many of each."""
    return {
        "listed": diff.listed,
        "unchanged": diff.unchanged,
        "new": len(diff.new),
        "renamed": len(diff.renamed),
        "recoded": len(diff.recoded),
        "gone": len(diff.gone),
        "ours": len(diff.ours),
        "notListed": len(diff.missing),
        "doubtfulLines": len(diff.doubtful),
    }
