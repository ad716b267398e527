"""A process that has loaded the program and forks a copy of itself for each start.

Loading the program takes longer than most tests do. What is forked here is the program as users
start it: its own process, session, environment, working folder and files; only the loading is done
already. Run as ``python -m tests.support.servers.warm_server SOCKET`` by :mod:`.warm`.

A request is one connection to SOCKET: a length, JSON ``{"arguments", "env", "cwd"}``, the first
argument being the module to run, and three open files for the standard streams. The answers are the
pid, then the exit code.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from importlib import import_module
from runpy import run_module

from gateway.cli.root import COMMANDS
from tests.support.servers.warm import LENGTH, NUMBER


class Starter:
    """Takes requests and tells of ends; `serve` returns in each forked process, to run there."""

    def __init__(self, path: str) -> None:
        """Listens at `path`; children are reaped as soon as they end."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"{path}.new")
        self._listener.listen(64)
        os.rename(f"{path}.new", path)
        self._waiting: dict[int, socket.socket] = {}
        self._bell, self._ring = socket.socketpair()
        self._ring.setblocking(False)
        signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> list[str] | None:
        """Module and arguments in a forked process; None in this one, when its starter has gone."""
        with selectors.DefaultSelector() as selector:
            for source in (self._listener, self._bell, sys.stdin):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        return None
                    if key.fileobj is self._bell:
                        self._bell.recv(4096)
                        self._reap()
                    else:
                        arguments = self._start(self._listener.accept()[0])
                        if arguments is not None:
                            return arguments

    def _start(self, asker: socket.socket) -> list[str] | None:
        head, files, _, _ = socket.recv_fds(asker, LENGTH.size, 3)
        request = json.loads(_exactly(asker, LENGTH.unpack(head)[0]))
        pid = os.fork()
        if pid == 0:
            self._leave(asker)
            _become(files, request["env"], request["cwd"])
            arguments: list[str] = request["arguments"]
            return arguments
        for file in files:
            os.close(file)
        self._waiting[pid] = asker
        asker.sendall(NUMBER.pack(pid))
        return None

    def _leave(self, asker: socket.socket) -> None:
        """In the forked process: nothing of the starter is left but the loaded modules."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (asker, self._listener, self._bell, self._ring, *self._waiting.values()):
            one.close()

    def _reap(self) -> None:
        while self._waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._waiting.pop(pid) as asker, contextlib.suppress(OSError):
                asker.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(files: list[int], env: dict[str, str], cwd: str) -> None:
    """Take on the standard streams, environment and folder that were asked for."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    if "PYTHONFAULTHANDLER" in env:
        faulthandler.enable()


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = source.recv(size - len(data))
        if not part:
            raise EOFError("the request was cut off")
        data += part
    return data


def _load() -> None:
    for place in COMMANDS.values():
        import_module(place.module)
    import_module("gateway.app")
    gc.freeze()


if __name__ == "__main__":
    _load()
    wanted = Starter(sys.argv[1]).serve()
    if wanted is not None:
        sys.argv = wanted
        run_module(wanted[0], run_name="__main__", alter_sys=True)
