"""The gateway as its operators run it: a process with an environment, a database and a broker.

A `Site` is the ground a gateway stands on (data folder, database, broker, registry); it starts
`GatewayProcess`es and outlives them, so that they can be killed and started again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import pytest

from adapters.database import RegistryStore, open_database
from gateway.cli.registration import NewConnection
from routing.route_table import Connection, ConnectionStatus, Token
from tests.support.agency_client import AgencyClient
from tests.support.registration import registrar
from tests.support.servers import Child, Postgres, RabbitMq, free_port, wait_until
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import PROGRAM, run_program

ROOT = Path(__file__).parent.parent.parent
MODES = ("embedded", "production")
#: How users start the service.
SERVE = (*PROGRAM, "serve")

T = TypeVar("T")


class NotStarted(AssertionError):
    """The gateway did not become ready; carries its log."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    import uuid_utils

    return str(uuid_utils.uuid7())


class GatewayProcess:
    """One process of the service, on a fixed port."""

    def __init__(
        self,
        site: Site,
        *,
        roles: Sequence[str] = (),
        command: Sequence[str] = SERVE,
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Chooses a port and a log file; nothing runs before `start`."""
        self.site = site
        self.port = free_port()
        self.log = site.folder / f"gateway-{self.port}.log"
        self.command = tuple(command)
        self._roles = tuple(roles)
        self._settings = settings or {}
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._child is not None, "the gateway was not started"
        return self._child.pid

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.running()

    def launch(self) -> GatewayProcess:
        """Start the process and do not wait for it."""
        roles = ["--role", ",".join(self._roles)] if self._roles else []
        env = clean_environment(
            LIENTHONG_LISTEN=f"127.0.0.1:{self.port}",
            LIENTHONG_LOG_FORMAT="json",
            PYTHONFAULTHANDLER="1",
            **self.site.environment,
            **{f"LIENTHONG_{name.upper()}": str(value) for name, value in self._settings.items()},
        )
        self._child = Child([*self.command, *roles], log=self.log, env=env, cwd=ROOT)
        return self

    def wait_ready(self, deadline: float = 30.0) -> GatewayProcess:
        """Wait until /readyz says ready. Raises `NotStarted` with the log."""
        try:
            wait_until(lambda: not self.running() or self.ready(), deadline, "/readyz")
        except TimeoutError as late:
            raise NotStarted(f"not ready within {deadline:g} s:\n{self.tail()}") from late
        if not self.running():
            raise NotStarted(f"ended at its start:\n{self.tail()}")
        return self

    def start(self, deadline: float = 30.0) -> GatewayProcess:
        """Start and wait until it is ready."""
        return self.launch().wait_ready(deadline)

    def ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        try:
            with urlopen(f"{self.url}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._child is not None
        self._child.send(signal.SIGTERM)

    def ended(self, deadline: float = 10.0) -> int:
        """Wait for its end; the exit code."""
        assert self._child is not None
        return self._child.wait(deadline)

    def stop(self, deadline: float = 10.0) -> int:
        """Orderly end within `deadline` seconds; the exit code."""
        self.terminate()
        return self.ended(deadline)

    def kill(self) -> None:
        """SIGKILL, now."""
        assert self._child is not None
        self._child.kill()

    def close(self) -> None:
        """Whatever its state: end it."""
        if self._child is not None and self._child.running():
            self._child.kill()

    def tail(self, count: int = 6000) -> str:
        """The end of its log, and before it what the log says of faults in the program."""
        text = self.log.read_text(errors="replace") if self.log.exists() else "(no log)"
        bugs = [line for line in text.splitlines() if '.bug"' in line]
        return "\n".join("BUG " + line for line in bugs[:3]) + "\n" + text[-count:]

    def memory_peak(self) -> int:
        """VmHWM, bytes: the most that the process ever had in memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


@dataclass
class Site:
    """Data folder, database and broker of one gateway, and who is connected to it."""

    mode: str
    folder: Path
    database_url: str
    broker_url: str
    prefix: str
    tokens: dict[str, str] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    processes: list[GatewayProcess] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def incoming(self) -> Path:
        """Where bodies lie while they arrive."""
        return self.data / "payloads" / "incoming"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of this site is told."""
        return {
            "LIENTHONG_DATA_DIR": str(self.data),
            "LIENTHONG_DATABASE_URL": self.database_url,
            "LIENTHONG_BROKER_URL": self.broker_url,
            "LIENTHONG_BROKER_PREFIX": self.prefix,
        }

    def gateway(
        self,
        *,
        roles: Sequence[str] = (),
        command: Sequence[str] = SERVE,
        **settings: Any,
    ) -> GatewayProcess:
        """A process on this site, not started; ended with the site."""
        process = GatewayProcess(self, roles=roles, command=command, settings=settings)
        self.processes.append(process)
        return process

    def client(
        self, name: str, gateway: GatewayProcess | Sequence[GatewayProcess], patience: float = 60.0
    ) -> AgencyClient:
        """The software of the connection called `name`."""
        several = [gateway] if isinstance(gateway, GatewayProcess) else gateway
        ports = [process.port for process in several]
        return AgencyClient(ports, self.tokens[name], patience=patience)

    def connect(self, **agencies: Sequence[str]) -> None:
        """Add connections with the codes they serve, and these agencies to the directory."""

        async def add() -> None:
            async with registrar(self.database_url, self.data) as to:
                for name, codes in agencies.items():
                    self.note(name, await to.add(name, codes))

        asyncio.run(add())

    def note(self, name: str, added: NewConnection) -> None:
        """Remember a connection that was added, and its token where it has one."""
        self.connections[name] = added.connection
        if added.token:
            self.tokens[name] = added.token

    def partner(
        self,
        name: str,
        kind: str,
        codes: Sequence[str],
        *more: str,
        given_secret: str = "",
        **options: object,
    ) -> dict[str, Any]:
        """Add a connection of any kind as an operator does; what the command answered.

        `more` are further arguments; `given_secret` is the partner's, on standard input.
        """
        if self.mode == "production" and not self.tokens:
            self.command("database", "migrate")
        arguments = ["connections", "add", name, "--kind", kind, "--json", *more]
        for code in codes:
            arguments += ["--agency", code, "--agency-name", f"{code}=Cơ quan {code}"]
        for key, value in options.items():
            arguments += ["-o", f"{key}={value}"]
        if given_secret:
            arguments += ["--secret-file", "-"]
        answer = self.command(*arguments, given=given_secret)
        added: dict[str, Any] = json.loads(answer)
        if "token" in added:
            self.tokens[name] = added["token"]
        return added

    def command(self, *arguments: str, given: str = "") -> str:
        """Run the program on this site; what it printed. AssertionError when it fails."""
        env = clean_environment(LIENTHONG_OPERATOR="test", **self.environment)
        done = run_program(*arguments, env=env, given=given)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def set_status(self, name: str, status: ConnectionStatus) -> None:
        """Suspend or resume a connection."""
        self._with_registry(
            lambda registry: registry.set_status(
                self.connections[name], status, actor="operator:test", now=_utc_now()
            )
        )

    def rotate(self, name: str, overlap: timedelta) -> str:
        """Give a connection a new token, which is returned; the old one lives `overlap` longer."""
        secret, token = _token(self.connections[name].id)

        async def rotate(registry: RegistryStore) -> None:
            # Not before the database is open, which takes its time on a busy machine.
            now = _utc_now()
            await registry.rotate_token(
                self.connections[name], token, now + overlap, actor="operator:test", now=now
            )

        self._with_registry(rotate)
        return secret

    def _with_registry(self, work: Callable[[RegistryStore], Awaitable[T]]) -> T:
        async def run() -> T:
            database = await open_database(self.database_url, allow_unsafe=False)
            try:
                await database.migrate()
                return await work(RegistryStore(database))
            finally:
                await database.close()

        return asyncio.run(run())

    def logs(self) -> str:
        """The ends of all logs."""
        parts = [f"--- {one.log.name}\n{one.tail()}" for one in self.processes if one.log.exists()]
        return "\n".join(parts)


def _token(connection_id: str) -> tuple[str, Token]:
    secret = f"lt_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, Token(_new_id(), connection_id, digest, _utc_now())


#: Sites whose logs a failing test shows.
OPEN_SITES: list[Site] = []


@contextmanager
def open_site(mode: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site of this mode; its processes, database and virtual host are gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    if mode == "embedded":
        url = f"sqlite:///{folder / 'data' / 'lienthong.db'}"
        site, after = Site(mode, folder, url, "embedded:", "lienthong"), _nothing
    else:
        postgres: Postgres = request.getfixturevalue("postgres_server")
        rabbitmq: RabbitMq = request.getfixturevalue("rabbitmq_server")
        url = postgres.create_database()
        vhost = rabbitmq.create_vhost()

        def after() -> None:
            postgres.drop_database(url)
            rabbitmq.delete_vhost(vhost)

        prefix = f"t{secrets.token_hex(4)}"
        site = Site(mode, folder, url, rabbitmq.url(vhost), prefix)
    OPEN_SITES.append(site)
    try:
        yield site
    finally:
        OPEN_SITES.remove(site)
        for process in site.processes:
            process.close()
        after()


def _nothing() -> None:
    """Nothing to clear away."""


def show_logs(report: pytest.TestReport) -> None:
    """Add the logs of all open sites to the report of a failed test."""
    if report.failed:
        for site in OPEN_SITES:
            report.sections.append((f"gateway logs ({site.mode})", site.logs()))
