"""Starting the program without loading it anew: the test's side of :mod:`.warm_server`."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.servers.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent.parent
#: The program as users start it.
PROGRAM = (sys.executable, "-m", "gateway.cli")
#: Modules that can be run warm; anything else is started as it stands.
WARM = ("gateway.cli", "tests.support.mutants", "tests.support.axis_gateway")
#: How long a request is; a pid or an exit code.
LENGTH = struct.Struct(">I")
NUMBER = struct.Struct(">i")


class WarmProcess:
    """A running copy of the program; as much of `subprocess.Popen` as the tests use."""

    def __init__(self, starter: socket.socket) -> None:
        """`starter` is the connection over which the end is told."""
        self._starter = starter
        self._lock = threading.Lock()
        self.returncode: int | None = None
        self.pid = NUMBER.unpack(self._read())[0]

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises `subprocess.TimeoutExpired`."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(PROGRAM, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._starter], [], [], timeout)[0]:
                self.returncode = NUMBER.unpack(self._read())[0]
                self._starter.close()
            return self.returncode

    def _read(self) -> bytes:
        data = self._starter.recv(NUMBER.size, socket.MSG_WAITALL)
        if len(data) != NUMBER.size:
            raise RuntimeError("the warm starter has gone; its output is above")
        return data


class _Starter:
    """The one warm process of this test run, started with the first program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = ""

    def start(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: str, files: Sequence[int]
    ) -> WarmProcess:
        request = {"arguments": list(arguments), "env": dict(env), "cwd": cwd}
        data = json.dumps(request).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self._ready())
        socket.send_fds(connection, [LENGTH.pack(len(data))], list(files))
        connection.sendall(data)
        return WarmProcess(connection)

    def _ready(self) -> str:
        with self._lock:
            if not self._path:
                self._path = self._launch()
            return self._path

    def _launch(self) -> str:
        folder = tempfile.TemporaryDirectory(prefix="lienthong-warm-")
        path = f"{folder.name}/starter"
        # Its input ends when this test run does, however that ends; then it ends too.
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.servers.warm_server", path],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

        def dismiss() -> None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)
            folder.cleanup()

        atexit.register(dismiss)
        started = Path(path)
        wait_until(lambda: started.exists() or process.poll() is not None, 60, "the warm starter")
        if not started.exists():
            raise RuntimeError("the warm starter did not start; its output is above")
        return path


_starter = _Starter()


def popen(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    stdout: IO[bytes],
    stderr: IO[bytes],
    stdin: IO[bytes] | None = None,
) -> WarmProcess:
    """Start a command that `is_warm`; without `stdin` it has an empty one."""
    arguments = [os.fspath(part) for part in command[2:]]
    folder = os.fspath(cwd or os.getcwd())
    with open(os.devnull, "rb") as nothing:
        files = [one.fileno() for one in (stdin or nothing, stdout, stderr)]
        return _starter.start(arguments, os.environ if env is None else env, folder, files)


def is_warm(command: Sequence[str | os.PathLike[str]]) -> bool:
    """Whether `command` is one of the modules `WARM`, run with this interpreter."""
    return tuple(command[:2]) == PROGRAM[:2] and command[2] in WARM


def run_program(
    *arguments: str | os.PathLike[str],
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] = ROOT,
    given: str = "",
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, `given` on its standard input."""
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        source.write(given.encode())
        source.seek(0)
        command = [*PROGRAM, *arguments]
        process = popen(command, env=env, cwd=cwd, stdin=source, stdout=out, stderr=err)
        try:
            code = process.wait(timeout)
        finally:
            process.send_signal(signal.SIGKILL)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)
