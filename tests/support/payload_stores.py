"""The stores of the payload contract, with hands to reach behind their backs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.payloads import DiskPayloads, Payloads, S3Options, S3Payloads
from routing.ports import PayloadStore
from tests.support.s3_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server


def files(folder: Path) -> list[Path]:
    """Every file below a folder but the store's lock."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


async def content_of(store: PayloadStore, digest: str) -> bytes:
    """All bytes under a digest."""
    return b"".join([block async for block in store.open(digest)])


def s3_options(server: S3Server, bucket: str, **more: object) -> S3Options:
    """Options for a bucket of the tests' server, or of a proxy before it."""
    given: dict[str, object] = {
        "bucket": bucket,
        "prefix": "lienthong/payloads",
        "endpoint": server.endpoint,
        "region": REGION,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
        **more,
    }
    return S3Options(**given)  # type: ignore[arg-type]


@dataclass
class Ground:
    """What a store stands on; `open` gives each caller a store of its own, as of a new process."""

    folder: Path
    server: S3Server | None = None
    bucket: str = ""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _opened: int = 0

    def open(self) -> Payloads:
        """A store on this ground."""
        if self.server is None:
            return DiskPayloads(self.folder / "payloads", self._now)
        self._opened += 1
        options = s3_options(self.server, self.bucket)
        return S3Payloads(options, self.folder / f"machine-{self._opened}", self._now)

    def _now(self) -> datetime:
        return self.clock()

    def everything(self) -> list[str]:
        """Names of all stored copies, as the disk or server has them."""
        if self.server is None:
            return [path.name for path in files(self.folder) if path.parent.name != "incoming"]
        return [key for key in self.server.keys(self.bucket) if "/payloads/readiness" not in key]

    def spooled(self) -> list[str]:
        """Names of temporary files on the machines."""
        return [path.name for path in files(self.folder) if path.parent.name == "incoming"]

    def damage(self, digest: str, content: bytes) -> None:
        """Put other bytes where a payload lies."""
        if self.server is None:
            (self.folder / "payloads" / digest[:2] / digest).write_bytes(content)
            return
        for key in self._keys_of(digest):
            self.server.write(self.bucket, key, content)

    def lose(self, digest: str) -> None:
        """Take a payload away."""
        if self.server is None:
            (self.folder / "payloads" / digest[:2] / digest).unlink()
            return
        for key in self._keys_of(digest):
            self.server.delete(self.bucket, key)

    def _keys_of(self, digest: str) -> list[str]:
        return [key for key in self.everything() if digest in key]


@pytest.fixture(params=["disk", "s3"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """An empty folder, or an empty bucket of the S3 server of this run."""
    # Time stands still unless a test turns it: no half day ends in the middle of one.
    begun = datetime.now(UTC)
    if request.param == "disk":
        return Ground(tmp_path, clock=lambda: begun)
    server: S3Server = request.getfixturevalue("s3_server")
    return Ground(tmp_path, server, server.create_bucket(), clock=lambda: begun)
