"""Evidence of a whole conversation in one file, and its proof without the gateway.

The file is a ZIP::

    manifest.jws            signed: what the conversation is, and the digest of every other file
    packages/<sha256>.edxml the packages, byte for byte
    receipts/<package>.jws  the gateway's signed receipts
    events.jsonl            every event: its text, the seal it is in, its place and path to the root
    seals/<number>.jws      the signed seals
    story.vi.txt, story.en.txt

`examine` needs nothing but the file. That the certificate is the gateway's, whoever examines it
must know from elsewhere: its fingerprint is printed, and can be demanded.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cryptography import x509

from envelopes.json_signature import JsonSignature
from envelopes.json_signature import verify as verify_json
from envelopes.signature_facts import SignatureOutcome
from routing.records import Event
from routing.seals import (
    RECEIPT_KIND,
    SEAL_KIND,
    canonical,
    event_text,
    leaf_of,
    path_to,
    root_from,
)

FORMAT = "lienthong-evidence/1"
MANIFEST_KIND = "lienthong-evidence+jws"
MANIFEST, EVENTS = "manifest.jws", "events.jsonl"
BLOCK = 256 * 1024
#: A text in the file is larger than this only by mistake or malice.
LARGEST_TEXT = 256 * 1024 * 1024


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

    def events(self, events: Iterable[Event], seals: dict[int, int], covered: _Covered) -> None:
        """Add the events, each with its way to the root of its seal."""
        lines = []
        for event in events:
            text = event_text(event)
            line: dict[str, Any] = {"event": text.decode()}
            number = seals.get(event.seq)
            if number is not None:
                numbers = [one.seq for one in covered[number]]
                leaves = [leaf_of(event_text(one)) for one in covered[number]]
                position = numbers.index(event.seq)
                path = [one.hex() for one in path_to(leaves, position)]
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


_Covered = dict[int, list[Event]]


@dataclass(slots=True)
class Examination:
    """What examining a file of evidence found."""

    #: One line per thing that was proven.
    proven: list[str] = field(default_factory=list)
    #: One line per thing that is wrong; empty: everything fits together.
    faults: list[str] = field(default_factory=list)
    #: SHA-256 of the signing certificates (DER), with their subjects.
    certificates: dict[str, str] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: bool, said: str) -> bool:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(said)
        return holds


def examine(path: Path) -> Examination:
    """Prove a file of evidence, offline. Never raises for what the file holds."""
    found = Examination()
    try:
        with zipfile.ZipFile(path) as archive:
            _examine(archive, found)
    except MemoryError:
        raise
    except Exception as error:
        # A part is missing or of another form; zipfile, zlib and x509 raise whatever they like.
        found.faults.append(f"not a file of evidence, or damaged: {type(error).__name__}: {error}")
    return found


def _examine(archive: zipfile.ZipFile, found: Examination) -> None:
    names = archive.namelist()
    found.expect(len(set(names)) == len(names), "a name occurs twice in the file")
    manifest = _signed(_read(archive, MANIFEST), MANIFEST_KIND, MANIFEST, found)
    if manifest is None:
        return
    found.manifest = manifest
    found.expect(manifest["format"] == FORMAT, f"unknown format {manifest['format']!r}")
    listed: dict[str, str] = manifest["files"]
    for name in sorted(set(names) - {MANIFEST} - set(listed)):
        found.faults.append(f"{name}: not in the manifest")
    for name, digest in sorted(listed.items()):
        if found.expect(name in names, f"{name}: missing"):
            found.expect(_digest(archive, name) == digest, f"{name}: altered")
    if found.faults:
        return
    found.proven.append(f"manifest signed, {len(listed)} parts unaltered")
    _receipts(archive, manifest, found)
    _events(archive, manifest, found)


def _receipts(archive: zipfile.ZipFile, manifest: dict[str, Any], found: Examination) -> None:
    for package in manifest["packages"]:
        stored = package["file"].removeprefix("packages/").removesuffix(".edxml")
        found.expect(stored == package["sha256"], f"{package['file']}: not the package's digest")
        name = f"receipts/{package['id']}.jws"
        told = _signed(_read(archive, name), RECEIPT_KIND, name, found)
        if told is not None:
            same = all(told[key] == package[key] for key in ("sha256", "size", "documentId"))
            found.expect(same and told["package"] == package["id"], f"{name}: of another package")
    found.proven.append(f"{len(manifest['packages'])} packages match their signed receipts")


def _events(archive: zipfile.ZipFile, manifest: dict[str, Any], found: Examination) -> None:
    roots: dict[int, tuple[str, int]] = {}
    accepted = set()
    count = unsealed = 0
    for line in _read(archive, EVENTS).splitlines():
        told = json.loads(line)
        event = json.loads(told["event"])
        count += 1
        if event["type"] == "package.accepted":
            accepted.add((event["packageId"], event["data"].get("digest")))
        if "seal" not in told:
            unsealed += 1
            continue
        number = told["seal"]
        if number not in roots:
            name = f"seals/{number}.jws"
            seal = _signed(_read(archive, name), SEAL_KIND, name, found)
            roots[number] = (seal["root"], seal["events"]) if seal else ("", 0)
        root, events = roots[number]
        path = [bytes.fromhex(one) for one in told["path"]]
        led = root_from(leaf_of(told["event"].encode()), told["position"], events, path)
        proven = led is not None and led.hex() == root
        found.expect(proven, f"event {event['seq']}: not in seal {number}")
    for package in manifest["packages"]:
        known = (package["id"], package["sha256"]) in accepted
        found.expect(known, f"package {package['id']}: the log does not tell of its acceptance")
    found.expect(unsealed == 0, f"{unsealed} events are not sealed")
    found.proven.append(f"{count} events are in {len(roots)} signed seals")


def _signed(data: bytes, kind: str, name: str, found: Examination) -> dict[str, Any] | None:
    """The content of a signed part; None and a fault where the signature does not hold."""
    checked: JsonSignature = verify_json(data)
    holds = checked.signature.outcome is SignatureOutcome.VALID and checked.kind == kind
    if not holds or checked.payload is None:
        why = ", ".join(reason.value for reason in checked.signature.reasons) or checked.kind
        found.faults.append(f"{name}: the signature does not hold ({why})")
        return None
    certificate = checked.signature.certificate or b""
    found.certificates[hashlib.sha256(certificate).hexdigest()] = _subject(certificate)
    content = json.loads(checked.payload)
    if not isinstance(content, dict):
        raise ValueError(f"{name}: no JSON object")
    return content


def _subject(certificate: bytes) -> str:
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > LARGEST_TEXT:
        raise ValueError(f"{name} is too large")
    with archive.open(name) as part:
        content = part.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"{name} is too large")
    return content


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    part: IO[bytes]
    with archive.open(name) as part:
        while block := part.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
