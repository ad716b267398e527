"""Processes of the tests: free ports, waiting for a state, children that never outlive the run."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.servers import janitor, warm

INSTALL_HINT = "run tests/support/install_servers.sh to install it"

_ports = random.SystemRandom()


class ServerTrouble(RuntimeError):
    """A test server or child process did not do what the test needs of it."""


class ServerMissing(ServerTrouble):
    """The programs of a server are not installed on this machine."""


def free_port() -> int:
    """A TCP port on loopback that nothing listens on.

    Taken below the range from which the kernel serves outgoing connections, so that a server can
    be stopped and started again on its port without losing it in between.
    """
    for _ in range(1000):
        port = _ports.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerTrouble("no free TCP port found")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command that ran to its end has left: exit code and output (stderr included)."""

    code: int
    output: str


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    user: str | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> Finished:
    """Run a command to its end and return its output.

    Raises :class:`ServerTrouble` after ``timeout`` seconds, or when ``check`` and the exit code is
    not 0. ``user`` (only for root) runs it as that user with that user's groups.
    """
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ServerTrouble(f"{command[0]} did not end within {timeout:g} s") from late
    if check and done.returncode != 0:
        raise ServerTrouble(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")
    return Finished(done.returncode, done.stdout)


class Child:
    """A running program of the test: output in a file, ended by its own pid.

    It gets its own session, so Ctrl-C in the terminal reaches the test run alone; the janitor ends
    it if the test run disappears.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start ``command``; its output is appended to ``log`` (default: a temporary file)."""
        if log is None:
            handle, name = tempfile.mkstemp(prefix="lienthong-child-", suffix=".log")
            os.close(handle)
            log = Path(name)
            _janitor.adopt_folder(log)
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._process: subprocess.Popen[bytes] | warm.WarmProcess
        with log.open("ab") as sink:
            if warm.is_warm(command) and user is None:
                self._process = warm.popen(command, env=env, cwd=cwd, stdout=sink, stderr=sink)
            else:
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    user=user,
                    group=user,
                    extra_groups=None if user is None else [],
                    start_new_session=True,
                )
        self.pid = self._process.pid
        _janitor.adopt(self.pid)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def running(self) -> bool:
        """Whether the process lives (a stopped one does)."""
        return self._process.poll() is None

    def output(self) -> str:
        """Everything it has written so far."""
        with self.log.open("rb") as source:
            source.seek(self._log_start)
            return source.read().decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this one process; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end of the process and return its exit code (negative: the signal)."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as late:
            raise ServerTrouble(
                f"process {self.pid} did not end within {timeout:g} s:\n{self.output()[-4000:]}"
            ) from late
        _janitor.release(self.pid)
        return code

    def kill(self) -> int:
        """SIGKILL, at once."""
        self.send(signal.SIGKILL)
        return self.wait()

    def pause(self) -> None:
        """SIGSTOP: the process exists, its ports accept, nothing answers."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after :meth:`pause`."""
        self.send(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM, patience: float = 15.0) -> int:
        """Ask it to end; SIGKILL if it has not after ``patience`` seconds."""
        self.resume()
        self.send(number)
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return self.kill()
        _janitor.release(self.pid)
        return code


def temporary_folder(purpose: str, owner: str | None = None) -> Path:
    """A new folder that is removed at the end of the test run, at the latest by the janitor."""
    folder = Path(tempfile.mkdtemp(prefix=f"lienthong-{purpose}-"))
    _janitor.adopt_folder(folder)
    if owner is not None:
        import pwd

        account = pwd.getpwnam(owner)
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def clean_environment(**more: str) -> dict[str, str]:
    """The few variables every program needs, nothing of the caller's settings, plus ``more``."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **kept, **more}


class _Janitor:
    """Our end of the pipe to the janitor process, which is started with the first thing to keep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def adopt(self, pid: int) -> None:
        self._tell(f"+ {pid} {janitor.start_time(pid)}")

    def release(self, pid: int) -> None:
        self._tell(f"- {pid}")

    def adopt_folder(self, folder: Path) -> None:
        self._tell(f"folder {folder}")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = self._start()
            pipe = self._pipe()
            pipe.write(line.encode() + b"\n")
            pipe.flush()

    def _pipe(self) -> IO[bytes]:
        assert self._process is not None and self._process.stdin is not None
        return self._process.stdin

    def _start(self) -> subprocess.Popen[bytes]:
        atexit.register(self._dismiss)
        return subprocess.Popen(
            [sys.executable, "-S", "-E", janitor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _dismiss(self) -> None:
        if self._process is None or os.getpid() != self._owner:
            return
        with contextlib.suppress(OSError):
            self._pipe().close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)


_janitor = _Janitor()
