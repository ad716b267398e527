"""Payloads on local disk: the order of system calls that durability needs, full and broken disks.

The calls are recorded as they are made. A full disk is played with a file size limit, which needs
no privileges.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.payloads import DiskPayloads
from routing.ports import PayloadsUnavailable
from tests.support.payload_stores import content_of, files
from tests.support.servers.processes import temporary_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> DiskPayloads:
    """An empty store."""
    return DiskPayloads(tmp_path / "payloads")


async def test_keep_that_went_wrong_is_not_kept_the_second_time(
    store: DiskPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the next one proves nothing: the spool stays broken."""
    spool = store.spool()
    spool.write(b"lost")
    claim = spool.finish()

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(PayloadsUnavailable, match="Input/output"):
        await spool.keep()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="could not be kept"):
        await spool.keep()
    assert await store.size(claim.digest) is None


async def test_put_that_went_wrong_leaves_nothing(
    store: DiskPayloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that could not be made durable is an error and no payload."""

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        await store.put(b"lost")
    assert files(tmp_path) == []


async def test_reopened_store_has_everything(store: DiskPayloads, tmp_path: Path) -> None:
    """A second process on the same folder finds what the first has put."""
    claim = await store.put(b"kept")
    assert await content_of(DiskPayloads(tmp_path / "payloads"), claim.digest) == b"kept"
    assert store.free_bytes() > 0


FULL = """
import asyncio, resource, sys
from pathlib import Path
from adapters.payloads import DiskPayloads

async def main():
    store = DiskPayloads(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    small = await store.put(b"x" * 50_000)
    try:
        await store.put(b"y" * 200_000)
    except OSError as error:
        print("refused", error.errno)
    again = await store.put(b"z" * 99_999)
    for claim in (small, again):
        print(claim.size, sum([len(block) async for block in store.open(claim.digest)]))

asyncio.run(main())
"""


def test_full_disk_is_an_error_and_nothing_half_is_seen(tmp_path: Path) -> None:
    """When the disk takes no more: OSError, no partial payload, and later puts work."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:3] == ["refused 27", "50000 50000", "99999 99999"]
    assert sorted(path.stat().st_size for path in files(tmp_path)) == [50_000, 99_999]


async def test_synced_renamed_and_synced_again_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What survives a power cut: fsync(file) < rename < fsync(its folder) < the answer."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))

    def recorded_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(("rename", f"{source} {target}"))

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    folder = tmp_path / "payloads"
    store = DiskPayloads(folder)
    # The folders that payloads go into are durable before the first one does.
    assert done == [("fsync", str(folder)), ("fsync", str(tmp_path))]
    done.clear()
    spool = store.spool()
    temporary = spool._path
    spool.write(b"payload")
    digest = spool.finish().digest
    await spool.keep()
    place = folder / digest[:2] / digest
    assert done == [
        ("fsync", str(temporary)),
        ("rename", f"{temporary} {place}"),
        ("fsync", str(place.parent)),
    ]
    done.clear()
    await store.put(b"payload")
    assert [what for what, _ in done] == ["fsync", "rename", "fsync"]


PROBE = """
import asyncio, os, resource, sys
from pathlib import Path
from adapters.payloads import DiskPayloads

folder = Path(sys.argv[1])
store = DiskPayloads(folder)
# What threads need is loaded now: later the program's own files may be out of reach.
asyncio.run(asyncio.to_thread(int))
what = sys.argv[2]
if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
elif what == "gone":
    (folder / "incoming").rmdir()
else:
    (folder / "incoming").chmod(0o555)
    if os.geteuid() == 0:
        # Root may write anywhere.
        os.seteuid(65534)
print(asyncio.run(store.check()))
"""


@pytest.mark.parametrize("what", ["full", "gone", "read-only"])
def test_a_folder_that_takes_nothing_is_not_well(what: str) -> None:
    """Full, read-only or gone: the check tries it, says so by name, and raises nothing."""
    folder = temporary_folder("probe")
    folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder / "payloads"), what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "ok=False" in done.stdout and "cannot be written to" in done.stdout
    assert files(folder) == []


async def test_the_check_is_not_made_more_often_than_needed(
    store: DiskPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes of strangers cost no disk: many at once are one look, and it is remembered."""
    made: list[object] = []
    fallocate = os.posix_fallocate

    def counted(descriptor: int, offset: int, length: int) -> None:
        made.append(descriptor)
        fallocate(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", counted)
    answers = await asyncio.gather(*(store.check() for _ in range(50)))
    assert len(set(answers)) == len(made) == 1
