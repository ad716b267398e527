"""An agency's own address that packages are pushed to; it shares no code with the gateway."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.servers import wait_until

#: Instead of a status: close the connection without an answer, after taking the package or not.
TAKE_AND_CUT = "take-and-cut"
CUT = "cut"


@dataclass
class PushReceiver:
    """Takes packages; answers as the script says, then 200."""

    port: int
    #: Answers to come, first to last.
    script: list[int | str] = field(default_factory=list)
    answer_body: bytes = b""
    secret: str = ""
    #: Delivery id to the bytes taken, once each.
    taken: dict[str, bytes] = field(default_factory=dict)
    #: Every request: method, delivery id, headers in lower case.
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    repeats: int = 0

    @property
    def url(self) -> str:
        """Where packages go."""
        return f"http://127.0.0.1:{self.port}/edxml"

    def wait_for(self, count: int, deadline: float = 20.0) -> None:
        """Until this many packages were taken."""
        wait_until(lambda: len(self.taken) >= count, deadline, f"{count} packages at the receiver")

    def genuine(self, headers: dict[str, str], body: bytes) -> bool:
        """The signature as Standard Webhooks 1.0 describes it."""
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(
            hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split()
        )


@contextmanager
def push_receiver() -> Iterator[PushReceiver]:
    """A running receiver on a free port."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            key = headers["webhook-id"]
            with lock:
                receiver.requests.append(("POST", key, headers))
                if not receiver.genuine(headers, body):
                    receiver.forged.append(key)
                answer = receiver.script.pop(0) if receiver.script else 200
                if answer in (200, TAKE_AND_CUT):
                    receiver.repeats += key in receiver.taken
                    receiver.taken[key] = body
            self._answer(answer, receiver.answer_body if answer != 200 else b"")

        def do_GET(self) -> None:
            key = self.path.rsplit("/", 1)[-1]
            with lock:
                receiver.requests.append(("GET", key, {}))
                known = key in receiver.taken
            self._answer(200 if known else 404, b"")

        def _answer(self, answer: int | str, body: bytes) -> None:
            if isinstance(answer, str):
                self.close_connection = True
                return
            self.send_response(answer)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/problem+json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = PushReceiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
