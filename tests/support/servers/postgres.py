"""A PostgreSQL server of our own: temporary data folder, free port, no system service."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.servers.processes import (
    INSTALL_HINT,
    Child,
    ServerMissing,
    ServerTrouble,
    clean_environment,
    free_port,
    run,
    temporary_folder,
)
from tests.support.servers.waiting import wait_until

_SYSTEM_USER = "postgres"
_ADMIN = "postgres"


def find_binaries() -> Path:
    """The folder with initdb and postgres: the newest packaged version, else the one on PATH.

    Raises :class:`ServerMissing` with the way to install them.
    """
    packaged = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    for folder in sorted(packaged, key=_version, reverse=True):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).resolve().parent
    raise ServerMissing(f"PostgreSQL is not installed; {INSTALL_HINT}")


def _version(folder: Path) -> float:
    digits = folder.parent.name.removeprefix("pgsql-")
    return float(digits) if digits.replace(".", "", 1).isdigit() else 0.0


class Postgres:
    """One PostgreSQL server: ``start``, ``stop``, ``kill``, ``pause``, ``resume``, ``url``.

    Data and port stay the same over stop and start. ``fsync=False`` trades durability for speed
    and must not be used by tests about losing the server.
    """

    def __init__(self, *, fsync: bool = True, port: int | None = None) -> None:
        """Choose folder and port; nothing runs before :meth:`start`.

        Raises :class:`ServerMissing` when PostgreSQL is not installed.
        """
        self._binaries = find_binaries()
        self.port = port or free_port()
        self._fsync = fsync
        # PostgreSQL refuses to run as root.
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None
        self.folder = temporary_folder("postgres", owner=self._user)
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._child: Child | None = None
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        self._templates_lock = threading.Lock()

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._running_child().pid

    def url(self, database: str = "postgres", driver: str = "postgresql+asyncpg") -> str:
        """Address of a database, by default in the form SQLAlchemy's async engine takes."""
        return f"{driver}://{_ADMIN}@127.0.0.1:{self.port}/{database}"

    def dump(self, url: str) -> bytes:
        """Everything that a database holds, as SQL text."""
        plain = url.replace("postgresql+asyncpg", "postgresql")
        program = self._binaries / "pg_dump"
        done = subprocess.run(
            [program, plain], capture_output=True, env=clean_environment(), timeout=60, check=True
        )
        return done.stdout

    def start(self, deadline: float = 60.0) -> None:
        """Start the server (creating its data on the first start) and wait until it answers.

        After :meth:`kill` several attempts may be needed, because backends of the killed server
        hold its shared memory for a moment. Raises :class:`ServerTrouble` after ``deadline`` s.
        """
        if self._child is not None and self._child.running():
            return
        end = time.monotonic() + deadline
        if not self.data.exists():
            self._initialise()
        while True:
            self._child = self._launch()
            if self._comes_up(self._child, end):
                return
            if time.monotonic() >= end:
                output = self._child.output()[-4000:]
                self._child.kill()
                raise ServerTrouble(f"PostgreSQL did not start in {deadline:g} s:\n{output}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Fast, orderly shutdown: open transactions are rolled back, data is checkpointed."""
        if self._child is not None:
            self._resume_all()
            self._child.end(signal.SIGINT, patience=30.0)
            self._child = None

    def kill(self) -> None:
        """SIGKILL the postmaster; its backends notice and end by themselves."""
        child = self._running_child()
        backends = self._backends()
        child.kill()
        self._child = None
        wait_until(
            lambda: not any(_alive(pid) for pid in backends), 20.0, "orphaned backends to end"
        )

    def pause(self) -> None:
        """SIGSTOP the postmaster and every backend: connections stay open, nothing answers."""
        child = self._running_child()
        child.pause()
        for pid in self._backends():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after :meth:`pause`."""
        self._resume_all()

    def close(self) -> None:
        """End the server at once and remove its data."""
        if self._child is not None:
            self._resume_all()
            self._child.end(signal.SIGQUIT)
            self._child = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run statements (each in its own transaction) with psql; returns unaligned rows."""
        command = [self._program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        command += ["-f", "-", self.url(database, "postgresql")]
        return run(command, env=clean_environment(), stdin=statements).output.strip()

    def create_database(self, name: str | None = None, template: str = "template0") -> str:
        """Create a database (named by itself when ``name`` is None) and return its URL."""
        name = name or f"test_{os.getpid()}_{next(self._numbers)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def ensure_template(self, name: str, prepare: Callable[[str], None]) -> str:
        """Create and fill the database ``name`` once per server; returns ``name``.

        ``prepare`` gets its URL and must have closed every connection when it returns. Use the
        name as ``template`` of :meth:`create_database`, for example for a migrated schema.
        """
        with self._templates_lock:
            if name not in self._templates:
                self.drop_database(name)
                prepare(self.create_database(name))
                self._templates.add(name)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending whoever is still connected; also takes a URL."""
        name = name.rpartition("/")[2]
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _program(self, name: str) -> str:
        own = self._binaries / name
        return str(own) if own.exists() else name

    def _running_child(self) -> Child:
        if self._child is None or not self._child.running():
            raise ServerTrouble("PostgreSQL is not running")
        return self._child

    def _initialise(self) -> None:
        command = [self._program("initdb"), "-D", str(self.data), "-U", _ADMIN, "--no-sync"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        run(command, env=clean_environment(), cwd=self.folder, user=self._user)

    def _launch(self) -> Child:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "dynamic_shared_memory_type": "mmap",
        }
        command = [self._program("postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        env = clean_environment()
        return Child(command, log=self.log, env=env, cwd=self.folder, user=self._user)

    def _comes_up(self, child: Child, end: float) -> bool:
        probe = [self._program("psql"), "-X", "-q", "-c", "SELECT 1", self.url(driver="postgresql")]
        answers = False

        def settled() -> bool:
            nonlocal answers
            if "ready to accept connections" in child.output():
                answers = run(probe, env=clean_environment(), check=False).code == 0
            return answers or not child.running()

        with contextlib.suppress(TimeoutError):
            wait_until(settled, end - time.monotonic(), "PostgreSQL")
        return answers

    def _backends(self) -> list[int]:
        if self._child is None:
            return []
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children")
            return [int(pid) for pid in path.read_text().split()]
        return []

    def _resume_all(self) -> None:
        if self._child is not None:
            for pid in self._backends():
                _signal(pid, signal.SIGCONT)
            self._child.resume()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
