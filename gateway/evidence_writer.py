"""Writing a file of evidence; `gateway.evidence` says what is in it and examines it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.evidence import EVENTS, FORMAT, MANIFEST
from routing.records import Event
from routing.seals import canonical, event_text, leaf_of, path_to


class EvidenceWriter:
    """Writes the file; keeps the digest of each part for the manifest."""

    def __init__(self, target: Path) -> None:
        """Raises OSError when the file cannot be written."""
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self.files: dict[str, str] = {}

    def text(self, name: str, content: bytes) -> None:
        """Add a part that is in memory."""
        with self.part(name) as write:
            write(content)

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Add a part block by block."""
        digest = hashlib.sha256()
        with self._zip.open(name, "w", force_zip64=True) as part:

            def write(block: bytes) -> None:
                digest.update(block)
                part.write(block)

            yield write
        self.files[name] = digest.hexdigest()

    def events(
        self,
        events: Iterable[Event],
        seals: Mapping[int, int],
        covered: Mapping[int, list[Event]],
    ) -> None:
        """Add the events, each with its way to the root of its seal."""
        leaves = {
            number: [leaf_of(event_text(one)) for one in under] for number, under in covered.items()
        }
        places = {one.seq: at for under in covered.values() for at, one in enumerate(under)}
        lines = []
        for event in events:
            line: dict[str, Any] = {"event": event_text(event).decode()}
            number = seals.get(event.seq)
            if number is not None:
                position = places[event.seq]
                path = [one.hex() for one in path_to(leaves[number], position)]
                line |= {"seal": number, "position": position, "path": path}
            lines.append(canonical(line))
        self.text(EVENTS, b"\n".join(lines) + b"\n")

    def manifest(self, about: dict[str, Any]) -> bytes:
        """What is to be signed as the manifest."""
        return canonical({"format": FORMAT, **about, "files": self.files})

    def close(self, signed_manifest: bytes) -> None:
        """Add the signed manifest and complete the file."""
        self._zip.writestr(MANIFEST, signed_manifest)
        self._zip.close()
