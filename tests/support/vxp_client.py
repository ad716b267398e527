"""Agency software that speaks the national axis protocol, written from its specification alone.

Nothing of the gateway is imported: http.client, sockets, hashlib, hmac, json. It does what the
toolkits in the field do, quirks included; what a test wants done wrongly it says by keyword.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

BASE = "/XrdAdapter/RestService/forward"
VIETNAM = timezone(timedelta(hours=7))
TOOLKIT = {
    "User-Agent": "JAVASDKAgent/1.0.0 XRoad/VPCP",
    "Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
}
BLOCK = 1024 * 1024


class Failed(AssertionError):
    """The gateway answered FAIL; carries ErrorCode and ErrorDesc."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer.get('ErrorCode')}: {answer.get('ErrorDesc')}")
        self.code: str = answer["ErrorCode"]
        self.desc: str = answer["ErrorDesc"]


def timestamp(at: datetime | None = None) -> str:
    """ddMMyyyy'T'HHmmss+SSSS; SSSS are milliseconds."""
    moment = (at or datetime.now(VIETNAM)).astimezone(VIETNAM)
    return f"{moment:%d%m%YT%H%M%S}+{moment.microsecond // 1000:04d}"


def padded(content: bytes) -> str:
    """SHA-256 as everybody writes it."""
    return hashlib.sha256(content).hexdigest()


def unpadded(content: bytes) -> str:
    """SHA-256 as the field's toolkits write it: 0x0a as "a"."""
    return "".join(format(byte, "x") for byte in hashlib.sha256(content).digest())


@dataclass
class VxpClient:
    """One system: its id, its secret, and one timestamp for as long as it lives."""

    port: int
    system_id: str
    secret: str
    base: str = BASE
    stamp: str = field(default_factory=timestamp)
    timeout: float = 60.0

    def headers(
        self,
        parameters: Mapping[str, str],
        content_type: str | None = "application/json",
        *,
        prefix: str = "XroadVnpt-",
        unsigned: Iterable[str] = (),
    ) -> dict[str, str]:
        """All headers of a request."""
        signed = {
            "systemid": self.system_id,
            "timestamp": self.stamp,
            **({"Content-Type": content_type} if content_type else {}),
            **parameters,
        }
        kept = {name: value for name, value in signed.items() if name not in set(unsigned)}
        text = json.dumps(
            {prefix + name: value for name, value in kept.items()},
            separators=(",", ":"),
            ensure_ascii=False,
        )
        key, message = self.secret.encode(), text.encode()
        made = {
            **TOOLKIT,
            **{prefix + name: value for name, value in signed.items()},
            prefix + "sign-header-key": ";".join(kept),
            prefix + "sign-header": text,
            prefix + "hash-header": hmac.new(key, message, hashlib.sha256).hexdigest(),
            prefix + "version": "3.0.201608",
        }
        if content_type:
            made["Content-Type"] = content_type
        return made

    def raw(
        self, operation: str, headers: Mapping[str, str], body: Any = b"", method: str = "POST"
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send; status, headers and body of the answer."""
        link = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=self.timeout, blocksize=BLOCK
        )
        try:
            link.request(method, f"{self.base}/{operation}", body or None, dict(headers))
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def answer(
        self, operation: str, headers: Mapping[str, str], body: Any = b"", method: str = "POST"
    ) -> dict[str, Any]:
        """Send; the JSON of the answer, whatever it says. It is HTTP 200, and nothing is null."""
        status, got, content = self.raw(operation, headers, body, method)
        assert status == 200, (status, content[:500])
        assert got["Content-Type"].startswith("application/json"), got.as_string()
        told: dict[str, Any] = json.loads(content)
        for member in ("status", "ErrorCode", "ErrorDesc"):
            assert isinstance(told[member], str), told
        assert (told["status"], told["ErrorCode"] == "0") in (("OK", True), ("FAIL", False)), told
        _no_null(told)
        return told

    def call(
        self,
        operation: str,
        body: Any = b"",
        method: str = "POST",
        content_type: str | None = "application/json",
        **parameters: str,
    ) -> dict[str, Any]:
        """Send parameters (``a_b`` means a-b), all signed; the answer. Raises `Failed`."""
        named = {name.replace("_", "-"): value for name, value in parameters.items()}
        told = self.answer(operation, self.headers(named, content_type), body, method)
        if told["status"] != "OK":
            raise Failed(told)
        return told

    # --- operations ----------------------------------------------------------------------------

    def send(self, content: bytes, sender: str = "", kind: str = "edoc", **more: str) -> str:
        """`sendEdoc`; the DocId."""
        told = self.call(
            "sendEdoc",
            content,
            content_type="application/octet-stream",
            **{
                "from": sender or self.system_id,
                "servicetype": "eDoc",
                "messagetype": kind,
                "filePath": r"C:\van-ban\di\1.edxml",
                "hash-file": unpadded(content),
                **more,
            },
        )
        return str(told["DocId"])

    def send_file(self, path: Path, sender: str = "") -> str:
        """`sendEdoc` of a large file, streamed; the DocId."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        parameters = {
            "from": sender or self.system_id,
            "servicetype": "eDoc",
            "messagetype": "edoc",
            "hash-file": "".join(format(byte, "x") for byte in digest.digest()),
        }
        headers = self.headers(parameters, "application/octet-stream")
        headers["Content-Length"] = str(path.stat().st_size)
        with path.open("rb") as file:
            told = self.answer("sendEdoc", headers, file)
        if told["status"] != "OK":
            raise Failed(told)
        return str(told["DocId"])

    def received(self, kind: str = "edoc") -> list[dict[str, str]]:
        """`getReceivedEdocList`, with an empty body and no content type."""
        told = self.call(
            "getReceivedEdocList", content_type=None, servicetype="eDoc", messagetype=kind
        )
        return list(told["data"])

    def get(self, doc_id: str) -> bytes:
        """`getEdoc`: the bytes."""
        told = self.call("getEdoc", b"{}", docId=doc_id)
        return base64.b64decode(told["data"], validate=True)

    def update(self, doc_id: str, status: str) -> None:
        """`updateStatus`."""
        self.call("updateStatus", b"{}", docId=doc_id, status=status)

    def sent(self, kind: str = "edoc", doc_id: str = "") -> list[dict[str, str]]:
        """`getSentEdocList`."""
        more = {"docId": doc_id} if doc_id else {}
        told = self.call(
            "getSentEdocList", content_type=None, servicetype="eDoc", messagetype=kind, **more
        )
        return list(told["data"])

    def agencies(self, operation: str = "getAgenciesList") -> list[dict[str, Any]]:
        """One of the lists of agencies."""
        return list(self.call(operation, content_type=None)["data"])

    def register(self, code: str, name: str, **more: str) -> dict[str, Any]:
        """`registerAgency`."""
        body = {"id": "7", "pid": "1", "code": code, "name": name, "mail": "", **more}
        return self.call("registerAgency", json.dumps(body, ensure_ascii=False).encode())

    def remove(self, code: str) -> dict[str, Any]:
        """`deleteAgency`."""
        return self.call("deleteAgency", b"{}", AgencyCode=code)

    def count(self, operation: str) -> int:
        """`countReceiveEdoc` or `countReceiveStatus`, by GET."""
        told = self.call(operation, method="GET", content_type=None)
        assert type(told["count"]) is int, told
        return int(told["count"])

    def expecting(self, operation: str, headers: Mapping[str, str], body: bytes) -> list[bytes]:
        """Send with ``Expect: 100-continue`` and wait for the word; the answers' first lines."""
        lines = [f"POST {self.base}/{operation} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"]
        with socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout) as link:
            link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            first = link.recv(65536)
            said = [first.split(b"\r\n", 1)[0]]
            if b" 100 " not in said[0]:
                return said
            link.sendall(body)
            rest = first.partition(b"\r\n\r\n")[2]
            while block := link.recv(65536):
                rest += block
        return [*said, rest.split(b"\r\n", 1)[0], rest.partition(b"\r\n\r\n")[2]]


def _no_null(value: Any) -> None:
    assert value is not None
    if isinstance(value, dict):
        for member in value.values():
            _no_null(member)
    elif isinstance(value, list):
        for member in value:
            _no_null(member)
