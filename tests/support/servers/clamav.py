"""A clamd of our own: temporary folder, free port, one signature for the EICAR test string."""

from __future__ import annotations

import shutil
import signal
import socket

from tests.support.servers.processes import (
    INSTALL_HINT,
    Child,
    ServerMissing,
    ServerTrouble,
    clean_environment,
    free_port,
    temporary_folder,
)
from tests.support.servers.waiting import wait_until

#: The harmless string that stands for malware, put together so that this file is no find itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
THREAT = "Lienthong.Test.Eicar"


class ClamAvServer:
    """One clamd: ``start``, ``kill``, ``pause``, ``resume``, ``address``; the port stays."""

    def __init__(self, **settings: str) -> None:
        """`settings` go into clamd.conf. Raises `ServerMissing` when it is not installed."""
        program = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise ServerMissing(f"ClamAV (clamd) is not installed; {INSTALL_HINT}")
        self._program = program
        self.port = free_port()
        self.folder = temporary_folder("clamav")
        self._settings = settings
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """As the setting ``malware_scanner`` wants it."""
        return f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> ClamAvServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, deadline: float = 60.0) -> None:
        """Start and wait until it answers PING."""
        (self.folder / "db").mkdir(exist_ok=True)
        (self.folder / "db" / "test.ndb").write_text(f"{THREAT}:0:*:{EICAR.hex()}\n")
        lines = {
            "TCPSocket": str(self.port),
            "TCPAddr": "127.0.0.1",
            "DatabaseDirectory": str(self.folder / "db"),
            "TemporaryDirectory": str(self.folder),
            "Foreground": "yes",
            "AlertExceedsMax": "yes",
            "AlertEncryptedArchive": "yes",
            "StreamMaxLength": "400M",
            "MaxThreads": "4",
            **self._settings,
        }
        config = self.folder / "clamd.conf"
        config.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        self._child = Child(
            [self._program, "--config-file", str(config)],
            log=self.folder / "clamd.log",
            env=clean_environment(),
            cwd=self.folder,
        )
        child = self._child
        try:
            wait_until(lambda: not child.running() or self._answers(), deadline, "clamd")
        except TimeoutError:
            child.kill()
        if not child.running():
            raise ServerTrouble(f"clamd did not start:\n{child.output()[-3000:]}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as peer:
                peer.sendall(b"zPING\0")
                return peer.recv(16).startswith(b"PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, now."""
        if self._child is not None and self._child.running():
            self._child.kill()

    def pause(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        assert self._child is not None
        self._child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._child is not None
        self._child.send(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
