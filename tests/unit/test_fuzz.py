"""What fuzzing found once, and a few seconds of it at random; all of it is `make fuzz`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.promises import CORPUS
from tests.fuzz.targets import TARGETS, Target

FOUND = sorted((CORPUS / "fuzz").glob("*/*.bin"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_found_holds_now(path: Path) -> None:
    """Each input that once broke a promise is harmless, and quick."""
    target = TARGETS[path.parent.name]
    start = time.process_time()
    target.run(path.read_bytes())
    assert time.process_time() - start < target.seconds


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_seeds_hold(target: Target) -> None:
    """Every input that fuzzing begins with keeps the promises, and there are some."""
    seeds = list(target.seeds())
    assert len(seeds) >= 3
    for seed in seeds:
        target.run(seed)


def mutated(seeds: list[bytes], words: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """A seed with some pieces left out, doubled, replaced or put in."""
    piece = st.one_of(st.binary(max_size=8), st.sampled_from(words))
    change = st.tuples(st.floats(0, 1), st.integers(0, 40), piece)

    def apply(seed: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
        for place, length, put in changes:
            at = int(place * len(seed))
            seed = seed[:at] + put + seed[at + length :]
        return seed

    return st.builds(apply, st.sampled_from(seeds), st.lists(change, max_size=6))


def _at_random(target: Target) -> Callable[[], None]:
    @settings(max_examples=60, deadline=None)
    @given(mutated(list(target.seeds()), target.words))
    def run(data: bytes) -> None:
        target.run(data)

    return run


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_hold(name: str) -> None:
    """Samples changed at random keep the promises of each way in."""
    _at_random(TARGETS[name])()
