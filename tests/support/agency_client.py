"""An agency's software as an outsider would write it: plain HTTP, no code of the gateway.

It behaves as the contract asks of a client: what was not answered, or answered with "try again"
(503, 429), is handed in again, unchanged; everything else is an answer.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from tests.support.servers import wait_until

T = TypeVar("T")

#: Seconds between two tries; a person's patience, not a way to wait for a state.
PAUSE = 0.05
TRY_AGAIN = (429, 503)
#: What a gateway that is being killed looks like from outside.
LOST = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    #: How often the request was tried before this answer, by what came instead.
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        data = json.loads(self.body)
        assert isinstance(data, dict)
        return data

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.body[:600]!r})"


class NoAnswer(AssertionError):
    """The gateway gave no answer for longer than the client's patience."""


def the_line(
    lines: Callable[[], Iterable[dict[str, T]]], member: str, value: str, deadline: float, what: str
) -> dict[str, T]:
    """Wait until a line of a list has this value in this member; that line, the only such."""
    found: list[dict[str, T]] = []

    def look() -> bool:
        found[:] = [one for one in lines() if one[member] == value]
        return bool(found)

    wait_until(look, deadline, f"{value} in {what}")
    assert len(found) == 1, found
    return found[0]


class AgencyClient:
    """One connection's software. Usable from several threads; each has its own sockets.

    `ports`: the gateway's, several when several processes serve; the next is tried after a loss,
    as a load balancer would.
    """

    def __init__(self, ports: int | Sequence[int], token: str, *, patience: float = 60.0) -> None:
        self._ports = [ports] if isinstance(ports, int) else list(ports)
        self._token = token
        self._patience = patience
        self._mine = threading.local()

    def once(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """One try. Raises OSError or HTTPException when the connection is lost."""
        link = self._link(timeout)
        sent = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        try:
            link.request(method, path, body=body, headers=sent)
            answer = link.getresponse()
            content = answer.read()
        except BaseException:
            self._drop()
            raise
        names = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self._drop()
        return Answer(answer.status, names, content)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Try until there is an answer other than "try again". Raises `NoAnswer`."""
        end = time.monotonic() + self._patience
        tries: Counter[str] = Counter()
        while True:
            try:
                answer = self.once(method, path, body, headers)
            except LOST as error:
                tries[type(error).__name__] += 1
                last = repr(error)
                self._next_port()
            else:
                if answer.status not in TRY_AGAIN:
                    return Answer(answer.status, answer.headers, answer.body, tries)
                tries[str(answer.status)] += 1
                last = repr(answer)
            if time.monotonic() >= end:
                raise NoAnswer(f"{method} {path}: {self._patience:g} s, {dict(tries)}, {last}")
            time.sleep(PAUSE)

    def submit(self, content: bytes, correlation_id: str = "") -> Answer:
        """Hand a package in."""
        headers = {"Content-Type": "application/xml"}
        if correlation_id:
            headers["X-Correlation-Id"] = correlation_id
        return self.call("POST", "/v1/packages", content, headers)

    def inbox(self, *, limit: int = 100, cursor: str = "", wait: int = 0) -> dict[str, Any]:
        """One page of the inbox."""
        more = f"&cursor={cursor}" if cursor else ""
        answer = self.call("GET", f"/v1/inbox?limit={limit}&wait={wait}{more}")
        assert answer.status == 200, answer
        return answer.json

    def waiting(self) -> list[dict[str, Any]]:
        """Everything in the inbox, page by page."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.inbox(cursor=cursor)
            items += page["items"]
            cursor = page["next"]
            if not cursor:
                return items

    def fetch(self, some_id: str) -> Answer:
        """The bytes of a package."""
        return self.call("GET", f"/v1/packages/{some_id}/content")

    def confirm(self, delivery_id: str) -> Answer:
        """Say that the package is here."""
        return self.call("POST", f"/v1/inbox/{delivery_id}/confirm")

    def report(self, delivery_id: str, code: str, description: str = "") -> Answer:
        """Report a status through the gateway's composer."""
        body = json.dumps({"statusCode": code, "description": description})
        headers = {"Content-Type": "application/json"}
        return self.call("POST", f"/v1/deliveries/{delivery_id}/reports", body, headers)

    def delivery(self, delivery_id: str) -> dict[str, Any]:
        """One copy as the gateway knows it."""
        answer = self.call("GET", f"/v1/deliveries/{delivery_id}")
        assert answer.status == 200, answer
        return answer.json

    def package(self, package_id: str) -> dict[str, Any]:
        """One package as the gateway knows it."""
        answer = self.call("GET", f"/v1/packages/{package_id}")
        assert answer.status == 200, answer
        return answer.json

    def receive(self, count: int, deadline: float = 30.0) -> dict[str, bytes]:
        """List, fetch and confirm until `count` packages came; bytes by delivery id."""
        got: dict[str, bytes] = {}
        end = time.monotonic() + deadline
        while len(got) < count:
            assert time.monotonic() < end, f"{len(got)} of {count} packages in {deadline:g} s"
            for item in self.inbox(wait=2)["items"]:
                answer = self.fetch(item["id"])
                assert answer.status == 200, answer
                assert sha256(answer.body).hexdigest() == item["sha256"]
                confirmed = self.confirm(item["id"])
                assert confirmed.status == 200, confirmed
                got[item["id"]] = answer.body
        return got

    def close(self) -> None:
        """Close this thread's connection."""
        self._drop()

    def _link(self, timeout: float) -> http.client.HTTPConnection:
        link: http.client.HTTPConnection | None = getattr(self._mine, "link", None)
        if link is None:
            port = self._ports[getattr(self._mine, "turn", 0) % len(self._ports)]
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
            link.connect()
            link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._mine.link = link
        link.sock.settimeout(timeout)
        return link

    def _next_port(self) -> None:
        self._mine.turn = getattr(self._mine, "turn", 0) + 1

    def _drop(self) -> None:
        link = getattr(self._mine, "link", None)
        self._mine.link = None
        if link is not None:
            link.close()
