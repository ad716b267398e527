"""An S3 server of the tests: moto's, as a process of its own on a free port, buckets in memory."""

from __future__ import annotations

import secrets
import signal
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import obstore
from obstore.store import S3Store

from tests.support.servers.processes import (
    Child,
    ServerTrouble,
    clean_environment,
    free_port,
    temporary_folder,
)
from tests.support.servers.waiting import wait_until

#: Who the tests are there; moto takes any name and secret.
ACCESS_KEY_ID = "lienthong-tests"
SECRET_ACCESS_KEY = "khong-phai-bi-mat-that"
REGION = "us-east-1"


class S3Server:
    """A server on a fixed port; ``kill`` loses all buckets, ``pause`` keeps them."""

    def __init__(self) -> None:
        """Chooses port and folder; nothing runs before :meth:`start`."""
        self.port = free_port()
        self.folder: Path = temporary_folder("s3")
        self._child: Child | None = None

    @property
    def endpoint(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, deadline: float = 30.0) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._child = child = Child(
            command, log=self.folder / "s3.log", env=clean_environment(), cwd=self.folder
        )
        wait_until(lambda: not child.running() or self.answers(), deadline, "the S3 server")
        if not child.running():
            raise ServerTrouble(f"the S3 server did not start:\n{child.output()[-4000:]}")

    def answers(self) -> bool:
        """Whether a request is answered now."""
        try:
            with urlopen(self.endpoint, timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def pause(self) -> None:
        """SIGSTOP: connections are accepted, nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT after :meth:`pause`."""
        self._running().resume()

    def kill(self) -> None:
        """SIGKILL: connections are refused, and everything stored is gone."""
        self._running().kill()
        self._child = None

    def close(self) -> None:
        """End it, whatever its state."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)
            self._child = None

    def create_bucket(self) -> str:
        """A new, empty bucket; its name."""
        name = f"b{secrets.token_hex(6)}"
        self._request("PUT", name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects, as the server has them."""
        text = self._request("GET", f"{bucket}?list-type=2")
        tree = ElementTree.fromstring(text)
        return sorted(node.text or "" for node in tree.iter() if node.tag.endswith("Key"))

    def write(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object there behind everybody's back."""
        obstore.put(self._client(bucket), key, content)

    def delete(self, bucket: str, key: str) -> None:
        """Take an object away behind everybody's back."""
        obstore.delete(self._client(bucket), key)

    def uploads(self, bucket: str) -> int:
        """Uploads in parts that were begun and neither completed nor aborted."""
        return self._request("GET", f"{bucket}?uploads").count(b"<UploadId>")

    def _client(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            client_options={"allow_http": True},
        )

    def _request(self, method: str, path: str) -> bytes:
        request = Request(f"{self.endpoint}/{path}", method=method)
        try:
            with urlopen(request, timeout=10.0) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            raise ServerTrouble(f"{method} {path}: {error.read()[:500]!r}") from error

    def _running(self) -> Child:
        if self._child is None or not self._child.running():
            raise ServerTrouble("the S3 server is not running")
        return self._child
