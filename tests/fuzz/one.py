"""One target under atheris, in a process of its own; see `tests.fuzz.__main__`.

`python -m tests.fuzz.one TARGET FOUND [flags of libFuzzer] CORPUS`. It goes on behind a broken
promise, keeping in the folder FOUND the smallest input for each place where one broke.
"""

from __future__ import annotations

import hashlib
import logging
import resource
import sys
import time
import traceback
from pathlib import Path

import atheris  # type: ignore[import-not-found]  # installed by `make fuzz` alone

with atheris.instrument_imports(include=["envelopes", "gateway", "routing", "identifiers"]):
    from tests.fuzz.targets import TARGETS, Target

#: Address space of the process: what asks for more is a finding (MemoryError).
MEMORY_MIB = 3072
ROOT = Path(__file__).resolve().parents[2]


def place_of(error: BaseException) -> str:
    """Where in the project an exception came from, and its kind: one finding for each."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename
    ]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {where}"


class Keeper:
    """Runs inputs and keeps those that break a promise, the smallest for each place."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._sizes: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        """What atheris calls for every input."""
        start = time.process_time()
        try:
            self._target.run(data)
        except Exception as error:
            self._keep(place_of(error), data, traceback.format_exc())
        used = time.process_time() - start
        if used > self._target.seconds:
            self._keep("slow", data, f"{used:.1f} s of CPU")

    def _keep(self, place: str, data: bytes, told: str) -> None:
        if len(data) >= self._sizes.get(place, 1 << 40):
            return
        self._sizes[place] = len(data)
        name = hashlib.sha256(place.encode()).hexdigest()[:12]
        (self._folder / f"{name}.bin").write_bytes(data)
        (self._folder / f"{name}.txt").write_text(f"{place}\n{told}")


def main() -> None:
    """Fuzz until libFuzzer's time is over; it ends the process."""
    name, folder, *flags = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    limit = MEMORY_MIB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Setup([sys.argv[0], *flags], Keeper(TARGETS[name], Path(folder)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
