"""HTTP as somebody clumsy or hostile speaks it: bytes on a socket, whole or in pieces."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Talk:
    """One TCP connection to the gateway."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._got = b""

    def send(self, *parts: bytes) -> bool:
        """Send; False when the gateway has closed the connection."""
        try:
            for part in parts:
                self.socket.sendall(part)
        except OSError:
            return False
        return True

    def head(self, method: str, path: str, **headers: str) -> bool:
        """Send a request line and headers; ``a_b`` means the header ``a-b``."""
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))

    def chunks(self, parts: Iterable[bytes]) -> bool:
        """Send chunks until they end or the gateway closes."""
        return all(self.send(b"%x\r\n%s\r\n" % (len(part), part)) for part in parts)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers (lower case), body."""
        while b"\r\n\r\n" not in self._got:
            block = self._more()
            assert block, f"the connection ended without an answer: {self._got!r}"
        head, _, body = self._got.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(first.split()[1])
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            block = self._more()
            if not block:
                break
            body += block
        self._got = body[length:]
        return status, headers, body[:length]

    def _more(self) -> bytes:
        try:
            block = self.socket.recv(65536)
        except ConnectionResetError:
            block = b""
        self._got += block
        return block

    def at_end(self) -> bool:
        """Whether the gateway closes the connection (waits for it)."""
        return self._more() == b""


@contextmanager
def talk(port: int, timeout: float = 20.0) -> Iterator[Talk]:
    """A connection that is closed afterwards."""
    conversation = Talk(port, timeout)
    try:
        yield conversation
    finally:
        conversation.socket.close()


def problem(answer: tuple[int, dict[str, str], bytes], status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem (RFC 9457), complete and bilingual; its document."""
    found, headers, body = answer
    assert found == status, (found, body[:500])
    assert headers["content-type"].startswith("application/problem+json"), headers
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status, document
    assert document["code"] == code, document
    assert document["type"] == f"urn:lienthong:problem:{code}"
    for name in ("title", "detail", "detailVi", "correlationId"):
        assert document[name], (name, document)
    return document
