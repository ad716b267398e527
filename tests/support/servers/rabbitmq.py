"""A RabbitMQ node of our own: temporary folders, own epmd, free ports, no system service."""

from __future__ import annotations

import collections
import contextlib
import secrets
import shutil
import signal
import socket
import threading
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

_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_USER = "guest"
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_VHOSTS_AT_ONCE = 4

_CONFIG = """\
loopback_users = none
log.console = true
log.console.level = info
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 16777216
"""


def find_programs() -> Path:
    """The folder of RabbitMQ's own scripts.

    The wrappers in /usr/sbin insist on the system user, so they are not used. Raises
    :class:`ServerMissing` with the way to install them.
    """
    found = (_SCRIPTS / "rabbitmq-server").exists() and shutil.which("epmd") and shutil.which("erl")
    if not found:
        raise ServerMissing(f"RabbitMQ is not installed; {INSTALL_HINT}")
    return _SCRIPTS


class RabbitMq:
    """One RabbitMQ node: ``start``, ``stop``, ``kill``, ``pause``, ``resume``, ``wipe``, ``url``.

    Data and ports stay the same over stop and start. The management plugin (`admin_url`) is on when
    asked for: it makes every start half a second slower.
    """

    def __init__(self, *, port: int | None = None, management: bool = False) -> None:
        """Choose folder, name and ports; nothing runs before :meth:`start`.

        Raises :class:`ServerMissing` when RabbitMQ is not installed.
        """
        self._scripts = find_programs()
        self.port = port or free_port()
        self.management_port = free_port() if management else None
        self.folder = temporary_folder("rabbitmq")
        self.data = self.folder / "mnesia"
        self.log = self.folder / "server.log"
        self.node = f"lienthong-{secrets.token_hex(4)}@localhost"
        self._cookie = secrets.token_hex(16)
        self._epmd_port = free_port()
        self._distribution_port = free_port()
        self._child: Child | None = None
        self._epmd: Child | None = None
        self._paused = False
        self._fresh_vhosts: collections.deque[str] = collections.deque()
        self._vhosts_lock = threading.Lock()
        self._write_configuration()

    def __enter__(self) -> RabbitMq:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine."""
        return self._running_child().pid

    def url(self, vhost: str = "/", port: int | None = None) -> str:
        """AMQP address; ``port`` replaces the node's own, for a proxy in front of it."""
        path = "%2F" if vhost == "/" else vhost
        return f"amqp://{_USER}:{_USER}@127.0.0.1:{port or self.port}/{path}"

    @property
    def admin_url(self) -> str:
        """Address of the management API."""
        assert self.management_port, "started without management"
        return f"http://{_USER}:{_USER}@127.0.0.1:{self.management_port}"

    def start(self, deadline: float = 90.0) -> None:
        """Start the node and wait until its AMQP port answers a connection.

        Raises :class:`ServerTrouble` when it does not within ``deadline`` seconds.
        """
        if self._child is not None and self._child.running():
            return
        self._start_epmd()
        command = [str(self._scripts / "rabbitmq-server")]
        self._child = child = Child(command, log=self.log, env=self._env(), cwd=self.folder)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self.answers() or not child.running(), deadline, interval=0.05)
        if not self.answers():
            child.kill()
            raise ServerTrouble(f"RabbitMQ did not start:\n{child.output()[-4000:]}")

    def stop(self) -> None:
        """Orderly shutdown (what a service manager does)."""
        if self._child is not None:
            self._child.end(signal.SIGTERM, patience=60.0)
            self._child, self._paused = None, False

    def kill(self, *, settled: bool = True) -> None:
        """SIGKILL the Erlang machine.

        RabbitMQ 3.10 keeps the names of new quorum queues in memory for about 3 s before it writes
        them (names.dets, measured): a queue killed in that time comes back empty and without a
        leader, for ever. With ``settled`` they are written first, which leaves the confirms, the
        connections and all messages to the crash.
        """
        child = self._running_child()
        if settled and not self._paused:
            self.evaluate("[dets:sync(Table) || Table <- dets:all()].")
        child.kill()
        self._child, self._paused = None, False

    def pause(self) -> None:
        """SIGSTOP: connections stay open and the port accepts, nothing answers."""
        self._running_child().pause()
        self._paused = True

    def resume(self) -> None:
        """SIGCONT after :meth:`pause`."""
        self._running_child().resume()
        self._paused = False

    def wipe(self) -> None:
        """Remove everything the (ended) node has stored: queues, messages, virtual hosts."""
        if self._child is not None:
            raise ServerTrouble("stop or kill RabbitMQ before wiping its data")
        shutil.rmtree(self.data, ignore_errors=True)
        self._fresh_vhosts.clear()

    def close(self) -> None:
        """End the node at once and remove its data."""
        for child in (self._child, self._epmd):
            if child is not None:
                child.kill()
        self._child = self._epmd = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Whether the AMQP port greets a client with Connection.Start."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as client:
                client.sendall(_PROTOCOL_HEADER)
                # A frame: type 1 (method), channel 0, size; class 10, method 10 = Connection.Start
                frame = client.recv(11)
        except OSError:
            return False
        return frame[:3] == b"\x01\x00\x00" and frame[7:] == b"\x00\x0a\x00\x0a"

    def ctl(self, *arguments: str, timeout: float = 60.0) -> str:
        """Run ``rabbitmqctl`` on this node (half a second of Erlang) and return its output."""
        command = [str(self._scripts / "rabbitmqctl"), "-q", "-n", self.node, *arguments]
        return run(command, env=self._env(), timeout=timeout).output.strip()

    def evaluate(self, expression: str) -> str:
        """Evaluate Erlang in the node (milliseconds, through erl_call) and return the answer."""
        program = shutil.which("erl_call")
        if program is None:
            return self.ctl("eval", expression)
        command = [program, "-sname", self.node, "-c", self._cookie, "-timeout", "30", "-e"]
        answer = ""

        def evaluated() -> bool:
            nonlocal answer
            done = run(command, env=self._env(), stdin=expression + "\n", check=False)
            answer = done.output
            # On a busy machine the handshake of two Erlang nodes fails now and then; nothing was
            # evaluated then.
            return "failed to connect to node" not in answer

        wait_until(evaluated, 30.0, "the node to take a call", 0.2)
        if not answer.startswith("{ok, "):
            raise ServerTrouble(f"RabbitMQ answered {answer!r} to {expression!r}")
        return answer.removeprefix("{ok, ").removesuffix("}")

    def create_vhost(self) -> str:
        """A new, empty virtual host; its name goes into :meth:`url`."""
        with self._vhosts_lock:
            if not self._fresh_vhosts:
                self._fresh_vhosts.extend(self._add_vhosts())
            return self._fresh_vhosts.popleft()

    def delete_vhost(self, vhost: str) -> None:
        """Remove a virtual host with everything in it."""
        self.evaluate(f'rabbit_vhost:delete(<<"{vhost}">>, <<"tests">>).')

    def raise_memory_alarm(self) -> None:
        """Memory alarm: the node stops reading from connections that publish."""
        self._set_watermark("0.0000001")
        wait_until(lambda: "memory" in self._alarms(), 20.0, "the memory alarm", 0.1)

    def clear_memory_alarm(self) -> None:
        """End of the memory alarm: publishers go on."""
        self._set_watermark("0.6")
        wait_until(lambda: "memory" not in self._alarms(), 20.0, "the end of the alarm", 0.1)

    def _set_watermark(self, fraction: str) -> None:
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({fraction}).")

    def _alarms(self) -> str:
        return self.evaluate("rabbit_alarm:get_alarms().")

    def delete_queue(self, name: str, vhost: str = "/") -> None:
        """Delete a queue on the server's side: its consumers get ``basic.cancel``."""
        self.ctl("delete_queue", name, "--vhost", vhost)

    def queue_depths(self, vhost: str = "/") -> dict[str, int]:
        """Messages ready in every queue of a virtual host, as of now.

        ``rabbitmqctl list_queues`` would show statistics that are some seconds old.
        """
        answer = self.evaluate(
            'lists:flatten([io_lib:format("~s=~b;", [element(4, amqqueue:get_name(Queue)), '
            "element(2, rabbit_amqqueue:stat(Queue))]) "
            f'|| Queue <- rabbit_amqqueue:list(<<"{vhost}">>)]).'
        )
        pairs = (pair.rpartition("=") for pair in answer.strip('"[]').split(";") if pair)
        return {name: int(count) for name, _, count in pairs}

    def _add_vhosts(self) -> list[str]:
        names = [f"v{secrets.token_hex(5)}" for _ in range(_VHOSTS_AT_ONCE)]
        for name in names:
            binary = f'<<"{name}">>'
            self.evaluate(
                f'rabbit_vhost:add({binary}, <<"tests">>), '
                f'rabbit_auth_backend_internal:set_permissions(<<"{_USER}">>, {binary}, '
                '<<".*">>, <<".*">>, <<".*">>, <<"tests">>).'
            )
        return names

    def _running_child(self) -> Child:
        if self._child is None or not self._child.running():
            raise ServerTrouble("RabbitMQ is not running")
        return self._child

    def _start_epmd(self) -> None:
        if self._epmd is not None and self._epmd.running():
            return
        program = shutil.which("epmd")
        assert program is not None
        command = [program, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = Child(command, log=self.folder / "epmd.log", env=self._env())
        wait_until(lambda: _listens(self._epmd_port), 10.0, "epmd to listen")

    def _write_configuration(self) -> None:
        config, plugins = _CONFIG, "[].\n"
        if self.management_port:
            config += (
                f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            )
            plugins = "[rabbitmq_management].\n"
        (self.folder / "rabbitmq.conf").write_text(config)
        (self.folder / "enabled_plugins").write_text(plugins)
        (self.folder / "env.conf").write_text("")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)

    def _env(self) -> dict[str, str]:
        erlang = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
        return clean_environment(
            HOME=str(self.folder),
            ERL_EPMD_PORT=str(self._epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            # The script then becomes the Erlang machine, so that our pid is the node's pid.
            RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_NODENAME=self.node,
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=erlang,
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "env.conf"),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(self.data),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_SCHEMA_DIR=str(self.folder / "schema"),
            RABBITMQ_GENERATED_CONFIG_DIR=str(self.folder / "config"),
        )


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False
