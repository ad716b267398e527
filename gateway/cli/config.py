"""`lienthong config …`: are the settings right, and is everything there that they name."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import structlog

from adapters.broker import RabbitMqBroker, RabbitMqOptions
from adapters.database import SchemaState, is_sqlite, open_database, sqlite_path
from adapters.payloads import S3Payloads
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.failures import REFUSED, causes
from gateway.cli.output import print_json, show, size_text
from gateway.payload_stores import s3_options
from gateway.private_files import open_to_others
from gateway.settings import MIB, ROLES, Settings
from gateway.settings_loading import example_toml, load_settings, problems_between
from gateway.skipped_checks import skipped_checks

#: Seconds that one look may take.
PATIENCE = 20.0
BROKER_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at."""

    part: str
    ok: bool
    detail: str


@click.group(short_help="Check the settings, print an example.")
def config() -> None:
    """The settings."""


@config.command()
def example() -> None:
    """Print a TOML file with every setting, its default and what it is for."""
    click.echo(example_toml(), nl=False)


@config.command()
@json_option
@pass_state
async def check(state: State, as_json: bool) -> None:
    """Look at the settings, the data folder, the database and the broker.

    Ends with 0 when all of them can be used and with 1 when anything is wrong, the settings
    themselves included.
    """
    looks = await look_at_all(state.config)
    if as_json:
        items = [{"part": look.part, "ok": look.ok, "detail": look.detail} for look in looks]
        print_json({"ok": all(look.ok for look in looks), "items": items})
    else:
        for look in looks:
            show(f"{'ok     ' if look.ok else 'TROUBLE'}  {look.part:<9} {look.detail}")
    if not all(look.ok for look in looks):
        raise click.exceptions.Exit(REFUSED)


async def look_at_all(file: Path | None) -> list[Look]:
    """Everything, one after the other; without settings nothing else can be looked at."""
    from gateway.settings_loading import SettingsProblem

    try:
        settings = load_settings(file)
    except SettingsProblem as error:
        return [Look("settings", False, "; ".join(str(error).splitlines()))]
    problems = problems_between(settings, ROLES)
    source = str(file) if file else "environment and defaults"
    return [
        Look("settings", not problems, "; ".join(problems) or source),
        await _bounded("data", _data, settings),
        await _bounded("database", _database, settings),
        await _bounded("broker", _broker, settings),
        _checks(settings),
        *([] if settings.payloads_on_disk else [await _bounded("payloads", _bucket, settings)]),
    ]


def _checks(settings: Settings) -> Look:
    """What the profiles ask for and the settings leave out: allowed, and no secret."""
    skipped = [f"WARNING: {one}" for one in skipped_checks(settings)]
    return Look("checks", True, "; ".join(skipped) or "signatures are verified, files scanned")


async def _bounded(
    part: str, look: Callable[[Settings], Awaitable[Look]], settings: Settings
) -> Look:
    try:
        async with asyncio.timeout(PATIENCE):
            return await look(settings)
    except TimeoutError:
        return Look(part, False, f"no answer within {PATIENCE:g} seconds")
    except Exception as error:
        return Look(part, False, " ".join(causes(error).split()))


async def _data(settings: Settings) -> Look:
    """The data folder, or the nearest one above in which it would be made."""
    return await asyncio.to_thread(_data_folder, settings)


def _data_folder(settings: Settings) -> Look:
    folder = settings.data_dir.resolve()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir():
        return Look("data", False, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Look("data", False, f"{existing} cannot be written to")
    free = shutil.disk_usage(existing).free
    made = "" if existing == folder else ", will be made"
    wanted = settings.min_free_mib * MIB
    detail = f"{folder}{made}, {size_text(free)} free"
    seen = open_to_others(folder, sqlite_path(settings.effective_database_url) or folder)
    if seen:
        detail += f"; WARNING: every user of this machine can open {', '.join(dict.fromkeys(seen))}"
    if free < wanted:
        return Look("data", False, f"{detail}; min_free_mib asks for {size_text(wanted)}")
    return Look("data", True, detail)


async def _bucket(settings: Settings) -> Look:
    """Whether the bucket takes an object; packages on their way there arrive in the data folder."""
    with tempfile.TemporaryDirectory(prefix="lienthong-check-") as folder:
        payloads = S3Payloads(s3_options(settings), Path(folder))
        try:
            health = await payloads.check()
        finally:
            await payloads.close()
    return Look("payloads", health.ok, health.detail)


async def _database(settings: Settings) -> Look:
    url = settings.effective_database_url
    if is_sqlite(url) and not await asyncio.to_thread(_sqlite_exists, url):
        return Look("database", True, "SQLite, will be made at the first start")
    database = await open_database(url, allow_unsafe=settings.database_allow_unsafe)
    try:
        server, schema = await database.ping(), await database.schema_state()
    finally:
        await database.close()
    detail = f"{server}, schema {schema}"
    if schema is SchemaState.OLDER:
        return Look("database", False, f"{detail}: run lienthong database migrate")
    return Look("database", schema is not SchemaState.NEWER, detail)


def _sqlite_exists(url: str) -> bool:
    return Path(url.partition("///")[2].partition("?")[0]).exists()


async def _broker(settings: Settings) -> Look:
    if settings.embedded_broker:
        return Look("broker", True, "embedded, in the service's process")
    if not settings.broker_url.startswith(("amqp:", "amqps:")):
        return Look("broker", False, "unknown kind of broker_url")
    options = RabbitMqOptions(prefix=settings.broker_prefix, start_timeout=BROKER_PATIENCE)
    with _quiet_logs():
        broker = RabbitMqBroker(settings.broker_url, options)
        try:
            await broker.start()
            health = await broker.health()
        finally:
            await broker.close()
    return Look("broker", health.ok, health.detail)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """What the broker's client has to say meanwhile is said again, in one line, by the result."""
    before, handler = structlog.get_config(), logging.NullHandler()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.configure(**before)
