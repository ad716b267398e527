"""Hostile and broken input: nothing raises, everything is bounded, blocks do not matter."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelopes.element_names import NAMESPACE
from envelopes.limits import ReadLimits
from envelopes.read import PackageReader, read_package
from tests.support.make_corpus import PDF, bomb, wrap
from tests.unit.envelopes.packages import corpus, good_bytes

_HEAD = f'<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader><MessageHeader>'.encode()
_MIB = 1024 * 1024


class _Feed:
    """Endless bytes that count how many were asked for."""

    def __init__(self, head: bytes, piece: bytes, times: int) -> None:
        self.given = 0
        self._head, self._piece, self._times = head, piece, times

    def __iter__(self) -> Iterator[bytes]:
        for piece in (self._head, *([self._piece] * self._times)):
            self.given += len(piece)
            yield piece


@pytest.mark.parametrize(
    ("head", "piece", "times", "setting"),
    [
        (b"", b"<a>" * 1000, 100, "max_depth"),
        (b"", b"<a/>" * 1000, 2000, "max_elements"),
        (b"<!--", b"x" * 65536, 3200, "max_token_bytes"),
        (b'<a b="', b"x" * 65536, 3200, "max_token_bytes"),
        (b"", b"<!--" + b"x" * 900_000 + b"-->", 220, "max_skeleton_bytes"),
        (b"<Subject>", b"x" * 65536, 3200, "max_text_chars"),
        (b"<Subject>", (b"x" * 100 + b"<b/>") * 1000, 2000, "max_elements"),
        (b"", b" " * 65536, 3200, "max_skeleton_bytes"),
    ],
    ids=[
        "100 000 deep",
        "2 million elements",
        "200 MB comment",
        "200 MB attribute",
        "200 MB of comments",
        "200 MB text",
        "200 MB mixed text",
        "200 MB white space",
    ],
)
def test_a_bound_stops_the_reading_early(
    head: bytes, piece: bytes, times: int, setting: str
) -> None:
    """The finding names limit and setting; no more than a few megabytes are asked for."""
    feed = _Feed(_HEAD + head, piece, times)
    result = read_package(feed)
    finding = result.findings[-1]
    assert finding.rule == "XML-LIMIT"
    assert f"read_limits.{setting}" in finding.sentence.vi
    assert f"read_limits.{setting}" in finding.allowed
    assert feed.given < 12 * _MIB


def _attachments(*contents: bytes, name: str = "a.pdf", kind: str = "application/zip") -> bytes:
    files = b"".join(
        f"<Attachment><AttachmentName>{name}</AttachmentName><ContentType>{kind}</ContentType>"
        "<ContentTransferEncoded>".encode()
        + content
        + b"</ContentTransferEncoded></Attachment>"
        for content in contents
    )
    return (
        f'<edXML xmlns="{NAMESPACE}"><AttachmentEncoded>'.encode()
        + files
        + b"</AttachmentEncoded></edXML>"
    )


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (ReadLimits(), "max_zip_ratio"),
        (ReadLimits(max_zip_ratio=10**6, max_attachment_bytes=_MIB), "max_attachment_bytes"),
        (ReadLimits(max_zip_ratio=10**6, max_total_bytes=_MIB), "max_total_bytes"),
    ],
)
def test_a_zip_bomb_is_stopped_while_it_unpacks(limits: ReadLimits, setting: str) -> None:
    """Ratio, size of one file and size of all are each a bound of their own."""
    result = read_package([_attachments(base64.b64encode(bomb()))], limits)
    found = [finding for finding in result.findings if finding.rule == "ATT-LIMIT"]
    assert [f"read_limits.{setting}" in finding.allowed for finding in found] == [True]


@pytest.mark.parametrize(("kind", "rules"), [("application/zip", ["ATT-LIMIT"]), ("x/y", [])])
def test_a_dense_archive_is_judged_once_its_type_is_known(kind: str, rules: list[str]) -> None:
    """With the type after the content: a bomb where it is a wrapping, else a file as it is."""
    name = b"<ContentType>application/zip</ContentType>"
    packed = _attachments(base64.b64encode(bomb()))
    late = packed.replace(name, b"").replace(
        b"</Attachment>", f"<ContentType>{kind}</ContentType></Attachment>".encode()
    )
    findings = read_package([late]).findings
    assert [finding.rule for finding in findings if finding.rule == "ATT-LIMIT"] == rules


def test_too_many_attachments_are_refused() -> None:
    """The number of files is bounded apart from the header's elements."""
    result = read_package([_attachments(*[b"QUJD"] * 3)], ReadLimits(max_attachments=2))
    assert "read_limits.max_attachments" in result.findings[-1].allowed


def test_after_the_end_feeding_costs_nothing() -> None:
    """Once hopeless, a reader swallows a gigabyte without looking at it."""
    reader = PackageReader()
    reader.feed(b"<!DOCTYPE x><x/>" + b" " * 200_000)
    assert reader.stopped
    block = bytes(_MIB)
    started = time.monotonic()
    for _ in range(1024):
        reader.feed(block)
    assert time.monotonic() - started < 1.0
    assert reader.close().findings == reader.close().findings


def test_findings_are_capped_and_refusals_come_first() -> None:
    """A package with thousands of faults gives a bounded list that still refuses."""
    header = _HEAD + b"<To><OrganId/></To>" * 1000
    packed = header + b"</MessageHeader></edXMLHeader></edXMLEnvelope></edXML>"
    result = read_package([packed], ReadLimits(max_findings=5))
    assert result.refused
    assert len(result.findings) <= 6


_SPLIT_CASES = [
    "national-new",
    "vendor-a-update",
    "java-character-references",
    "crlf-wrapped-base64",
    "file-archive-of-many",
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(_SPLIT_CASES), st.lists(st.integers(0, 12_000), max_size=12))
def test_blocks_do_not_matter_for_good_packages(name: str, cuts: list[int]) -> None:
    """However the bytes are cut, the result is the same."""
    packed = good_bytes(name)
    assert _read_cut(packed, cuts) == read_package([packed])


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(corpus("bad")), st.lists(st.integers(0, 12_000), max_size=12))
def test_blocks_do_not_matter_for_bad_packages(path: Path, cuts: list[int]) -> None:
    """The same findings, lines and texts, however the bytes are cut."""
    packed = path.read_bytes()
    assert _read_cut(packed, cuts) == read_package([packed])


def test_single_bytes_and_odd_buffers_are_taken() -> None:
    """One byte at a time, bytearrays that are changed afterwards, views: all the same."""
    packed = good_bytes("national-new")
    expected = read_package([packed])
    assert read_package(packed[at : at + 1] for at in range(len(packed))) == expected
    reader = PackageReader()
    scratch = bytearray(1000)
    for at in range(0, len(packed), 1000):
        piece = packed[at : at + 1000]
        scratch[: len(piece)] = piece
        reader.feed(memoryview(scratch)[: len(piece)])
    assert reader.close() == expected


def _read_cut(packed: bytes, cuts: Iterable[int]) -> object:
    edges = sorted({0, len(packed), *(min(cut, len(packed)) for cut in cuts)})
    return read_package(packed[a:b] for a, b in pairwise(edges))


_mutations = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 3), st.binary(min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(corpus("good")), _mutations)
def test_mutated_packages_never_raise(path: Path, mutations: list[tuple[int, int, bytes]]) -> None:
    """Whatever bytes are changed, reading gives a result: a model, or a finding that refuses."""
    packed = bytearray(path.read_bytes())
    for place, length, replacement in mutations:
        at = place % len(packed)
        packed[at : at + length] = replacement
    result = read_package([bytes(packed)])
    assert result.package is not None or result.refused


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_never_raise(content: bytes) -> None:
    """Bytes that are no XML at all are refused with a finding."""
    assert read_package([content]).refused


_GROWTH = """
import base64, os, resource, sys
from envelopes.read import read_package
from tests.unit.envelopes.test_hostile import huge_package
layout = sys.argv[1]
read_package(huge_package(layout, 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = read_package(huge_package(layout, 50))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert [file.size for file in result.package.attachments] == [50 * 1024 * 1024 - 16] * 4, result
print(after - before)
"""


def huge_package(layout: str, megabytes: int) -> Iterator[bytes]:
    """A package with four files of `megabytes` MiB (less 16 bytes), made as it is read."""
    packed = good_bytes("canonical-new").split(b"<edXML:Reference>")
    head, rest = packed[0], packed[1].split(b"</edXML:Reference>")[1]
    rest = rest[: rest.index(b"<AttachmentEncoded>")]
    references = b"".join(
        b"<edXML:Reference><edXML:ContentId>cid:%d</edXML:ContentId></edXML:Reference>" % number
        for number in range(4)
    )
    yield head + references + rest + b"<AttachmentEncoded>"
    size = megabytes * _MIB - 16
    line = base64.b64encode(bytes(range(57)))
    ends = {"one-line": b"", "lf": b"\n", "crlf": b"\r\n", "reference": b"&#13;\n"}
    block = (line + ends[layout]) * 1000
    whole, left = divmod(size, 57_000)
    for number in range(4):
        yield (
            b"<Attachment><ContentId>cid:%d</ContentId><AttachmentName>a.bin</AttachmentName>"
            b"<ContentTransferEncoded>" % number
        )
        for _ in range(whole):
            yield block
        yield base64.b64encode(bytes(left))
        yield b"</ContentTransferEncoded></Attachment>"
    yield b"</AttachmentEncoded></edXML>"


@pytest.mark.parametrize("layout", ["one-line", "lf", "crlf", "reference"])
def test_memory_does_not_grow_with_the_package(layout: str) -> None:
    """Four files of 50 MB are read in less than 16 MB more than four of 1 MB (limit: 64)."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, layout],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024


def test_a_sink_gets_the_files_as_they_arrive() -> None:
    """The hook sees the unwrapped bytes; what only the end revealed as an archive is disowned."""
    written: dict[int, bytearray] = {}

    def sink(content_id: str, index: int) -> Callable[[bytes], object]:
        assert content_id.startswith("cid:")
        return written.setdefault(index, bytearray()).extend

    result = read_package([good_bytes("file-two")], attachment_sink=sink)
    assert [bytes(written[index]) for index in (0, 1)] == [PDF, PDF]
    assert result.discarded_sinks == ()
    result = read_package([good_bytes("file-archive-of-many")], attachment_sink=sink)
    assert result.discarded_sinks == (0,)


def test_the_speed_of_a_small_package() -> None:
    """A package of 370 KB is read in a few milliseconds (generous bound for a busy machine)."""
    packed = _attachments(base64.b64encode(wrap(bytes(range(256)) * 1500)))
    read_package([packed])
    best = min(_seconds(lambda: read_package([packed])) for _ in range(5))
    assert best < 0.05


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
