"""The composition root: builds the real parts, runs the service, stops it in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta

import structlog
import uvloop
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from adapters.broker import EmbeddedBroker, RabbitMqBroker, RabbitMqOptions
from adapters.calendars import NATIONAL, CalendarProblem, Calendars
from adapters.database import DatabaseProblem, SqlCallbacks, SqlDatabase, open_database
from adapters.malware import ClamAv
from adapters.oidc import OidcProblem
from adapters.payloads import Payloads, S3Problem
from adapters.signatures import SignatureInspector, WorkerFailed
from adapters.signing import Signer, SigningProblem
from adapters.tls import ServerTls, TlsProblem
from adapters.trust import TrustFolder
from adapters.vault import Vault, VaultProblem
from gateway import clock
from gateway.access.failures import FailedAuthentications
from gateway.access.gate import PeopleGate, make_verifier
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
from gateway.revocation import Revocation
from gateway.runtime import Roles
from gateway.seal_head import NAME as SEAL_HEAD
from gateway.sealing import Sealer
from gateway.services import Services, Turnstile, read_limits
from gateway.settings import Role, Settings
from gateway.settings_loading import problems_between
from gateway.signing_key import open_signer
from gateway.skipped_checks import tell_skipped
from routing.accept import Accept
from routing.dead_letters import DeadLetters
from routing.deadline_limits import Limits
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


def make_reports(
    settings: Settings, payloads: Payloads, fair_clock: FairClock, signer: Signer | None = None
) -> GatewayReports:
    """The issuer of the gateway's own status packages.

    They are signed when the operator named a key: a certificate that nobody vouches for would only
    raise questions at the receivers.
    """
    identity = GatewayIdentity(settings.organ_id, settings.organ_name)
    sign = signer.sign_package if signer is not None and settings.signing_key else None
    return GatewayReports(payloads, identity, clock.new_id, fair_clock, sign)


def make_inspection(
    settings: Settings, database: SqlDatabase, calendars: Calendars, metrics: Metrics
) -> Inspection:
    """What judges packages, with the scanner and the trust folder of these settings."""
    limits = read_limits(settings)
    signatures, revocation = None, None
    if settings.signature_checks:
        trust = TrustFolder(settings.effective_trust_dir)
        # Large files of a package lie there without a name while they are looked at.
        folder = settings.data_dir.resolve()
        signatures = SignatureInspector(trust, read_limits=limits, folder=folder)
        revocation = Revocation(trust, settings, metrics)
    return Inspection(
        database,
        {name: calendars.of(name) for name in calendars.names},
        limits,
        assignments=settings.profile_assignments,
        scanner=ClamAv(settings.malware_scanner) if settings.malware_scanner else None,
        signatures=signatures,
        revocation=revocation,
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


#: What an operator has to put right before the service can start.
_WRONG_SETTINGS = (
    DatabaseProblem,
    CalendarProblem,
    S3Problem,
    VaultProblem,
    SigningProblem,
    TlsProblem,
    OidcProblem,
)


class NotStarted(Exception):
    """Something that the service needs is not to be had now; says what, and why."""


@contextmanager
def _about(subject: str) -> Iterator[None]:
    """Name what a fault at the start is about: the system's words alone do not."""
    try:
        yield
    except (DatabaseUnavailable, SQLAlchemyError, WorkerFailed, OSError) as error:
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
        verifier = make_verifier(settings)
        sealed = await SqlCallbacks(database, vault).seal_what_is_open()
        if sealed:
            log.info("callbacks.secrets-sealed", count=sealed)
        signer = await asyncio.to_thread(open_signer, settings)
    except BaseException:
        await database.close()
        raise
    fair_clock = FairClock()
    registry = Registry(database)
    on_time = make_on_time(settings, registry, calendars)
    reports = make_reports(settings, payloads, fair_clock, signer)
    failures = FailedAuthentications(database, metrics)
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
        failures=failures,
        people=PeopleGate(settings, database, verifier, failures),
        inspection=make_inspection(settings, database, calendars, metrics),
        sealer=Sealer(database, signer, settings.organ_id, settings.data_dir / SEAL_HEAD),
        metrics=metrics,
        turnstile=Turnstile(settings.intake_concurrency, settings.intake_per_connection),
    )


def make_tls(settings: Settings) -> ServerTls | None:
    """TLS of the HTTP service, None for plain HTTP. Raises `TlsProblem`."""
    if settings.tls_files is None:
        local = settings.host in ("127.0.0.1", "::1", "localhost")
        if not local and not settings.public_url.startswith("https://"):
            log.warning("tls.off", listen=settings.listen, consequence="tokens travel in the clear")
        return None

    def told(problem: TlsProblem | None) -> None:
        if problem is None:
            log.info("tls.files-renewed")
        else:
            log.error("tls.files-unusable", error=str(problem), consequence="the old ones go on")

    return ServerTls(settings.tls_files, told)


async def _try_to_listen(settings: Settings) -> None:
    """Take the address and give it back. Raises `NotStarted` saying who it is that has it."""
    try:
        with _about(f"listen = {settings.listen}"):
            loop = asyncio.get_running_loop()
            server = await loop.create_server(asyncio.Protocol, settings.host, settings.port)
            server.close()
            await server.wait_closed()
    except NotStarted as error:
        taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
        if not taken:
            raise
        raise NotStarted(
            f"listen = {settings.listen}: port {settings.port} is in use; another gateway, or "
            "another program, listens there"
        ) from error


async def serve(settings: Settings, roles: tuple[Role, ...]) -> None:
    """Run until SIGTERM or SIGINT; then finish what is running and stop in order."""
    tls = make_tls(settings)
    # Before the database is migrated: who cannot listen changes nothing.
    await _try_to_listen(settings)
    services = await build(settings, roles)
    if "api" in roles:
        connections = (await services.registry.routes()).connections.values()
        chosen = (str(one.settings.get("profile", NATIONAL)) for one in connections)
        tell_skipped(settings, chosen, services.metrics)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, services.stopping.set)
    background = Roles(services)
    async with AsyncExitStack() as last:
        # Closed from the last to the first; one that fails skips no other.
        for close in (
            services.database.close,
            *([services.sealer.seal_the_rest] if "timer" in roles else []),
            services.payloads.close,
            services.inspection.close,
            background.stop,
        ):
            last.push_async_callback(close)
        await _run_until_stopped(settings, roles, services, background, tls)
    log.info("stopped")


async def _run_until_stopped(
    settings: Settings,
    roles: tuple[Role, ...],
    services: Services,
    background: Roles,
    tls: ServerTls | None,
) -> None:
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
        if {"api", "worker"} & set(roles):
            with _about("signature_checks"):
                await services.inspection.start()
        await background.start()
        await runner.setup()
        with _about(f"listen = {settings.listen}"):
            context = tls.context if tls else None
            site = web.TCPSite(
                runner, settings.host, settings.port, backlog=512, ssl_context=context
            )
            await site.start()
        log.info(
            "listening", address=str(runner.addresses[0]), roles=list(roles), tls=tls is not None
        )
        # What was loaded and built until now stays: garbage is not looked for in it again (50 ms).
        gc.collect()
        gc.freeze()
        await services.stopping.wait()
        log.info("stopping")
    finally:
        services.stopping.set()
        await runner.cleanup()


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
    except _WRONG_SETTINGS as error:
        print(f"lienthong: {error}", file=sys.stderr)
        return 2
    except (NotStarted, DatabaseUnavailable, OSError) as error:
        print(f"lienthong: cannot start: {error}", file=sys.stderr)
        return 3
    return 0
