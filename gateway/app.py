"""The composition root: builds the real parts, runs the service, stops it in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
import uvloop
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from adapters.broker import EmbeddedBroker, RabbitMqBroker, RabbitMqOptions
from adapters.calendars import NATIONAL, CalendarProblem, Calendars
from adapters.database import DatabaseProblem, SqlDatabase, open_database
from adapters.malware import ClamAv
from adapters.payloads import Payloads, S3Problem
from adapters.signatures import SignatureInspector
from adapters.signing import SigningProblem
from adapters.trust import TrustFolder
from adapters.vault import Vault, VaultProblem
from gateway import clock
from gateway.admission import Admission
from gateway.cli.failures import causes
from gateway.inspection import Inspection
from gateway.observability import Metrics, configure_logging
from gateway.partner_secrets import PartnerSecrets
from gateway.payload_stores import open_payloads
from gateway.private_files import keep_private
from gateway.registry import Registry
from gateway.rest.application import make_application
from gateway.rest.protocol import Runner
from gateway.runtime import Roles
from gateway.sealing import Sealer
from gateway.services import Services, Turnstile, read_limits
from gateway.settings import Role, Settings, problems_between
from gateway.signing_key import open_signer
from routing.accept import Accept
from routing.dead_letters import DeadLetters
from routing.deadlines import Limits
from routing.gateway_reports import GatewayIdentity, GatewayReports
from routing.lanes import FairClock
from routing.on_time import OnTime
from routing.ports import Broker, DatabaseUnavailable
from routing.working_time import WorkingCalendar
from schemas.catalogue import load_schemas

log = structlog.get_logger(__name__)


def make_broker(settings: Settings) -> Broker:
    """The broker of these settings, not started."""
    if settings.embedded_broker:
        return EmbeddedBroker()
    return RabbitMqBroker(settings.broker_url, RabbitMqOptions(prefix=settings.broker_prefix))


def make_reports(settings: Settings, payloads: Payloads, fair_clock: FairClock) -> GatewayReports:
    """The issuer of the gateway's own status packages."""
    identity = GatewayIdentity(settings.organ_id, settings.organ_name)
    return GatewayReports(payloads, identity, clock.new_id, fair_clock)


def make_inspection(settings: Settings, database: SqlDatabase, calendars: Calendars) -> Inspection:
    """What judges packages, with the scanner and the trust folder of these settings."""
    limits = read_limits(settings)
    signatures = None
    if settings.signature_checks:
        trust = TrustFolder(settings.effective_trust_dir)
        signatures = SignatureInspector(trust, read_limits=limits)
    return Inspection(
        database,
        {name: calendars.of(name) for name in calendars.names},
        limits,
        assignments=settings.profile_assignments,
        scanner=ClamAv(settings.malware_scanner) if settings.malware_scanner else None,
        signatures=signatures,
    )


def make_on_time(settings: Settings, registry: Registry, calendars: Calendars) -> OnTime:
    """Deadlines by the office hours of each connection's profile."""

    def calendar_of(connection_id: str | None) -> WorkingCalendar:
        connection = registry.known(connection_id)
        profile = connection.settings.get("profile", NATIONAL) if connection else NATIONAL
        return calendars.of(profile if profile in calendars.names else NATIONAL)

    limits = Limits(
        handling=timedelta(hours=settings.handling_hours),
        recall=timedelta(hours=settings.recall_hours),
    )
    return OnTime(calendar_of, limits, clock.new_id)


class NotStarted(Exception):
    """Something that the service needs is not to be had now; says what, and why."""


@contextmanager
def _about(subject: str) -> Iterator[None]:
    """Name what a fault at the start is about: the system's words alone do not."""
    try:
        yield
    except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
        raise NotStarted(f"{subject}: {causes(error)}") from error


async def _open_database(settings: Settings) -> SqlDatabase:
    """The database, brought to this program's schema."""
    with _about("the database"):
        database = await open_database(
            settings.effective_database_url,
            allow_unsafe=settings.database_allow_unsafe,
            source=settings.public_url or f"urn:lienthong:{settings.organ_id}",
        )
        try:
            before = await database.migrate()
            log.info("database.open", server=await database.ping(), schema=before.value)
        except BaseException:
            await database.close()
            raise
    return database


async def build(settings: Settings, roles: tuple[Role, ...]) -> Services:
    """Open the database (migrated), the payload store and the rest.

    Raises `DatabaseProblem`, `VaultProblem`, `CalendarProblem` or `NotStarted` when it cannot.
    """
    load_schemas()
    calendars = Calendars.load(settings.calendar_file)
    metrics = Metrics()
    database = await _open_database(settings)
    try:
        with _about("the payloads"):
            payloads = open_payloads(settings, metrics)
        vault = Vault.from_file(settings.effective_key_file)
        signer = await asyncio.to_thread(open_signer, settings)
    except BaseException:
        await database.close()
        raise
    fair_clock = FairClock()
    registry = Registry(database)
    on_time = make_on_time(settings, registry, calendars)
    reports = make_reports(settings, payloads, fair_clock)
    return Services(
        settings=settings,
        roles=roles,
        owner=f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}",
        database=database,
        payloads=payloads,
        broker=make_broker(settings),
        registry=registry,
        accept=Accept(database, reports, fair_clock, clock.new_id, on_time),
        on_time=on_time,
        dead_letters=DeadLetters(database, reports),
        reports=reports,
        vault=vault,
        secrets=PartnerSecrets(database, vault, registry),
        admission=Admission(),
        inspection=make_inspection(settings, database, calendars),
        sealer=Sealer(database, signer, settings.organ_id),
        metrics=metrics,
        turnstile=Turnstile(settings.intake_concurrency, settings.intake_per_connection),
    )


async def serve(settings: Settings, roles: tuple[Role, ...]) -> None:
    """Run until SIGTERM or SIGINT; then finish what is running and stop in order."""
    services = await build(settings, roles)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, services.stopping.set)
    background = Roles(services)
    runner = Runner(
        make_application(services),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=75,
        shutdown_timeout=settings.shutdown_seconds,
        auto_decompress=False,
        # One header names all recipients of a circular in the national axis protocol.
        max_field_size=32 * 1024,
    )
    try:
        await background.start()
        await runner.setup()
        with _about(f"listen = {settings.listen}"):
            await web.TCPSite(runner, settings.host, settings.port, backlog=512).start()
        log.info("listening", address=str(runner.addresses[0]), roles=list(roles))
        await services.stopping.wait()
        log.info("stopping")
    finally:
        services.stopping.set()
        await runner.cleanup()
        await background.stop()
        await services.inspection.close()
        await services.payloads.close()
        await services.database.close()
    log.info("stopped")


def run_service(settings: Settings, roles: tuple[Role, ...]) -> int:
    """Run the service in this process until it is told to stop; the exit code."""
    configure_logging(settings.log_format, settings.log_level)
    keep_private()
    problems = problems_between(settings, roles)
    for problem in problems:
        print(f"lienthong: {problem}", file=sys.stderr)
    if problems:
        return 2
    try:
        uvloop.run(serve(settings, roles))
    except (DatabaseProblem, CalendarProblem, S3Problem, VaultProblem, SigningProblem) as error:
        print(f"lienthong: {error}", file=sys.stderr)
        return 2
    except (NotStarted, DatabaseUnavailable, OSError) as error:
        print(f"lienthong: cannot start: {error}", file=sys.stderr)
        return 3
    return 0
