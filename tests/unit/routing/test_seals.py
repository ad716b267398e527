"""Merkle trees and the chain of seals."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from routing.records import Event
from routing.seals import compare, event_text, leaf_of, path_to, root_from, root_of, seal_over

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
_leaves = st.lists(st.binary(min_size=1, max_size=4).map(leaf_of), min_size=1, max_size=70)


def event(seq: int, **fields: object) -> Event:
    """An event of the log."""
    made = Event(type="delivery.offered", at=NOW, actor="gateway:worker", seq=seq)
    return replace(made, **fields)  # type: ignore[arg-type]  # names checked by the tests


EVENTS = [event(number) for number in (3, 4, 7)]


@given(_leaves, st.data())
def test_every_leaf_leads_to_the_root_and_no_other_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """A path proves its own leaf at its own place, and nothing else."""
    position = data.draw(st.integers(0, len(leaves) - 1))
    root, path = root_of(leaves), path_to(leaves, position)
    assert root_from(leaves[position], position, len(leaves), path) == root
    other = hashlib.sha256(b"other").digest()
    assert root_from(other, position, len(leaves), path) != root
    if path:
        assert root_from(leaves[position], position, len(leaves), path[:-1]) != root
        assert root_from(leaves[position], position, len(leaves), [*path, other]) != root
    assert root_from(leaves[position], len(leaves), len(leaves), path) is None


def test_an_inner_node_is_no_leaf() -> None:
    """Leaves and nodes are hashed apart: a node cannot pass for an event."""
    leaves = [leaf_of(b"a"), leaf_of(b"b")]
    assert root_of(leaves) != leaf_of(leaves[0] + leaves[1])


def test_a_chain_in_order_has_no_faults() -> None:
    """Two seals over all events."""
    first = seal_over(EVENTS, None, NOW)
    second = seal_over([event(5), event(9)], first, NOW)
    assert (first.number, first.first_seq, first.last_seq, first.events) == (1, 3, 7, 3)
    assert compare(first, None, EVENTS) == []
    assert compare(second, first, [event(5), event(9)]) == []


def test_what_was_done_to_the_log_shows() -> None:
    """An event altered, removed, added; a seal removed or put in another's place."""
    first = seal_over(EVENTS, None, NOW)
    second = seal_over([event(9)], first, NOW)
    altered = [EVENTS[0], replace(EVENTS[1], actor="operator:x"), EVENTS[2]]
    assert [fault.what for fault in compare(first, None, altered)] == ["altered"]
    assert [fault.what for fault in compare(first, None, EVENTS[:2])] == ["missing"]
    assert [fault.what for fault in compare(first, None, [*EVENTS, event(8)])] == ["missing"]
    assert [fault.what for fault in compare(second, None, [event(9)])] == ["chain"]
    changed = replace(first, events=2)
    assert [fault.what for fault in compare(second, changed, [event(9)])] == ["chain"]


def test_the_same_event_has_one_text() -> None:
    """Order of members and zone of the time do not matter."""
    one = event(1, data={"a": 1, "b": "Đã nhận"})
    two = event(1, data={"b": "Đã nhận", "a": 1}, at=NOW.astimezone())
    assert event_text(one) == event_text(two) and "Đã nhận".encode() in event_text(one)
