"""A folder of inputs run again and again, uninstrumented: what is slow, and does memory grow?

`python -m tests.fuzz.replay TARGET FOLDER SECONDS` prints one JSON object.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS

#: Rounds before memory is measured the first time: caches and allocators are full then.
WARM = 2
#: Rounds at most.
ROUNDS = 12
PAGE = resource.getpagesize()


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def main() -> None:
    """Replay; the exceptions of broken promises are counted, not raised."""
    target = TARGETS[sys.argv[1]]
    inputs = [path.read_bytes() for path in sorted(Path(sys.argv[2]).iterdir())]
    until = time.monotonic() + float(sys.argv[3])
    slowest, slowest_size, broken, runs = 0.0, 0, 0, 0
    sizes: list[int] = []
    while len(sizes) < ROUNDS and (len(sizes) <= WARM + 1 or time.monotonic() < until):
        for data in inputs:
            start = time.process_time()
            try:
                target.run(data)
            except Exception:
                broken += 1
            used = time.process_time() - start
            runs += 1
            if used > slowest:
                slowest, slowest_size = used, len(data)
        gc.collect()
        sizes.append(resident())
    result = {
        "inputs": len(inputs),
        "rounds": len(sizes),
        "runs": runs,
        "broken": broken,
        "slowest": round(slowest, 4),
        "slowest_size": slowest_size,
        "growth": sizes[-1] - sizes[WARM],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    sys.stdout.write(json.dumps(result) + os.linesep)


if __name__ == "__main__":
    main()
