"""Evidence of a whole conversation in one file, and its proof without the gateway.

The file is a ZIP::

    manifest.jws            signed: what the conversation is, and the digest of every other file
    packages/<sha256>.edxml the packages, byte for byte
    receipts/<package>.jws  the gateway's signed receipts
    events.jsonl            every event: its text, the seal it is in, its place and path to the root
    seals/<number>.jws      the signed seals
    seals/<number>.tst      the time stamps (RFC 3161) of those that have one, over the file beside
    story.vi.txt, story.en.txt

`examine` needs nothing but the file. That the certificate is the gateway's, whoever examines it
must know from elsewhere: without it everything may fit together and be a stranger's all the same.

Nothing is left out: the export itself is an event, sealed like all others, that says how many
events each document of the conversation had.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from cryptography import x509

from adapters.timestamps import NoStamp, judge_of
from adapters.trust import TrustMaterial
from adapters.trust.judge import Judge
from envelopes.json_signature import JsonSignature
from envelopes.json_signature import verify as verify_json
from envelopes.signature_facts import SignatureOutcome
from gateway.evidence_log import differences, event_from
from gateway.stamp_check import check_stamp, when
from routing.accepted_facts import ACCEPTED
from routing.seals import (
    RECEIPT_KIND,
    SEAL_KIND,
    leaf_of,
    root_from,
)

FORMAT = "lienthong-evidence/2"
#: Files of before say nothing of what is missing in them.
FORMATS = ("lienthong-evidence/1", FORMAT)
MANIFEST_KIND = "lienthong-evidence+jws"
MANIFEST, EVENTS = "manifest.jws", "events.jsonl"
BLOCK = 256 * 1024
#: The event that tells of an export.
EXPORTED = "document.exported"
WHO_SIGNED = "who signed it: compare the fingerprint, or demand it with --certificate"
#: A text in the file is larger than this only by mistake or malice.
LARGEST_TEXT = 256 * 1024 * 1024


@dataclass(slots=True)
class Examination:
    """What examining a file of evidence found."""

    #: One line per thing that was proven.
    proven: list[str] = field(default_factory=list)
    #: One line per thing that is wrong.
    faults: list[str] = field(default_factory=list)
    #: One line per thing that the file alone cannot show; empty, and no faults: all is proven.
    unproven: list[str] = field(default_factory=list)
    #: One line per thing that is not there and need not be.
    missing: list[str] = field(default_factory=list)
    #: SHA-256 of the signing certificates (DER), with their subjects.
    certificates: dict[str, str] = field(default_factory=dict)
    #: Which of them signed each signed part.
    signers: dict[str, str] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def who_signed_unproven(self) -> bool:
        """Whether nothing shows that the gateway signed it."""
        return WHO_SIGNED in self.unproven

    def expect(self, holds: bool, said: str) -> bool:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(said)
        return holds


def examine(
    path: Path, certificates: Collection[str] = (), judge: Judge | None = None
) -> Examination:
    """Prove a file of evidence, offline. Never raises for what the file holds.

    `certificates`: fingerprints (SHA-256, hex) of the gateway's, known from elsewhere; without them
    it remains unproven who signed. `judge` knows which authorities of time stamps may be believed.
    """
    found = Examination()
    try:
        with zipfile.ZipFile(path) as archive:
            _examine(archive, found, judge or judge_of(TrustMaterial()))
            _whose(found, certificates)
    except MemoryError:
        raise
    except Exception as error:
        # A part is missing or of another form; zipfile, zlib and x509 raise whatever they like.
        found.faults.append(f"not a file of evidence, or damaged: {type(error).__name__}: {error}")
    return found


def _examine(archive: zipfile.ZipFile, found: Examination, judge: Judge) -> None:
    names = archive.namelist()
    found.expect(len(set(names)) == len(names), "a name occurs twice in the file")
    manifest = _signed(_read(archive, MANIFEST), MANIFEST_KIND, MANIFEST, found)
    if manifest is None:
        return
    found.manifest = manifest
    found.expect(manifest["format"] in FORMATS, f"unknown format {manifest['format']!r}")
    listed: dict[str, str] = manifest["files"]
    for name in sorted(set(names) - {MANIFEST} - set(listed)):
        found.faults.append(f"{name}: not in the manifest")
    for name, digest in sorted(listed.items()):
        if found.expect(name in names, f"{name}: missing"):
            found.expect(_digest(archive, name) == digest, f"{name}: altered")
    if found.faults:
        return
    found.proven.append(f"manifest signed, {len(listed)} parts unaltered")
    receipts = _receipts(archive, manifest, found)
    events, sealed = _events(archive, found)
    asyncio.run(_stamps(archive, sealed, found, judge))
    _accepted(events, manifest, found)
    if manifest["format"] == FORMAT:
        _complete(events, manifest, found)
    else:
        found.unproven.append("that no event was left out: an earlier version made the file")
    told = [event_from(event) for event in events]
    differ = differences(told, manifest, receipts)
    found.faults += differ
    if not differ:
        found.proven.append(f"{len(manifest['deliveries'])} deliveries are as the log tells")


def _whose(found: Examination, certificates: Collection[str]) -> None:
    """That the gateway signed: every certificate is one of those that were named.

    Where none were named, a manifest by somebody who signed nothing else is a forgery for certain.
    """
    if certificates:
        for who in sorted(set(found.certificates) - set(certificates)):
            parts = sorted(name for name, signer in found.signers.items() if signer == who)
            found.faults.append(f"signed by another certificate: {who} ({', '.join(parts[:3])})")
        found.expect(bool(found.certificates), "nothing is signed")
        return
    found.unproven.append(WHO_SIGNED)
    others = {signer for name, signer in found.signers.items() if name != MANIFEST}
    known = not others or found.signers.get(MANIFEST) in others
    found.expect(known, "the manifest's certificate signed none of the receipts and seals")


def _receipts(
    archive: zipfile.ZipFile, manifest: dict[str, Any], found: Examination
) -> dict[str, dict[str, Any]]:
    """What the receipts say, by package."""
    receipts = {}
    for package in manifest["packages"]:
        stored = package["file"].removeprefix("packages/").removesuffix(".edxml")
        found.expect(stored == package["sha256"], f"{package['file']}: not the package's digest")
        name = f"receipts/{package['id']}.jws"
        told = _signed(_read(archive, name), RECEIPT_KIND, name, found)
        if told is not None:
            receipts[package["id"]] = told
            same = all(told[key] == package[key] for key in ("sha256", "size", "documentId"))
            found.expect(same and told["package"] == package["id"], f"{name}: of another package")
    found.proven.append(f"{len(manifest['packages'])} packages match their signed receipts")
    return receipts


def _events(
    archive: zipfile.ZipFile, found: Examination
) -> tuple[list[dict[str, Any]], dict[int, datetime]]:
    """The events by number, each held against its seal; and when these seals were made."""
    roots: dict[int, tuple[str, int]] = {}
    sealed: dict[int, datetime] = {}
    events: list[dict[str, Any]] = []
    unsealed = 0
    for line in _read(archive, EVENTS).splitlines():
        told = json.loads(line)
        event = json.loads(told["event"])
        events.append(event)
        if "seal" not in told:
            unsealed += 1
            continue
        number = told["seal"]
        if number not in roots:
            name = f"seals/{number}.jws"
            seal = _signed(_read(archive, name), SEAL_KIND, name, found)
            roots[number] = (seal["root"], seal["events"]) if seal else ("", 0)
            if seal:
                sealed[number] = datetime.fromisoformat(seal["sealedAt"])
        root, count = roots[number]
        path = [bytes.fromhex(one) for one in told["path"]]
        led = root_from(leaf_of(told["event"].encode()), told["position"], count, path)
        proven = led is not None and led.hex() == root
        found.expect(proven, f"event {event['seq']}: not in seal {number}")
    found.expect(unsealed == 0, f"{unsealed} events are not sealed")
    found.proven.append(f"{len(events)} events are in {len(roots)} signed seals")
    return sorted(events, key=lambda event: int(event["seq"])), sealed


async def _stamps(
    archive: zipfile.ZipFile, sealed: dict[int, datetime], found: Examination, judge: Judge
) -> None:
    """The time stamps that the seals have: of these seals, by whom, and what time they name."""
    names = set(archive.namelist())
    stamped = {number for number in sealed if f"seals/{number}.tst" in names}
    if len(stamped) < len(sealed):
        found.missing.append(f"{len(sealed) - len(stamped)} of {len(sealed)} seals: no time stamp")
    unknown = set()
    for number in sorted(stamped):
        token, signed = (_read(archive, f"seals/{number}.{kind}") for kind in ("tst", "jws"))
        stamp = await check_stamp(token, signed, sealed[number], judge)
        if isinstance(stamp, NoStamp):
            found.faults.append(f"seals/{number}.tst: the time stamp does not count: {stamp.found}")
        elif stamp.trusted:
            found.proven.append(f"seal {number} existed at {when(stamp.at)}: {stamp.authority}")
        else:
            found.missing.append(f"seal {number} is said to be of {when(stamp.at)}")
            unknown.add(stamp.authority)
    for authority in sorted(unknown):
        found.unproven.append(
            f"that {authority} may be believed, who stamped the seals: demand it with "
            "--tsa-certificate"
        )


def _accepted(events: list[dict[str, Any]], manifest: dict[str, Any], found: Examination) -> None:
    """The packages are those whose acceptance the log tells of."""
    told = {(e["packageId"], e["data"].get("digest")) for e in events if e["type"] == ACCEPTED}
    shown = {(package["id"], package["sha256"]) for package in manifest["packages"]}
    for package, _ in sorted(shown - told):
        found.faults.append(f"package {package}: the log does not tell of its acceptance")
    for package, _ in sorted(told - shown):
        found.faults.append(f"package {package}: the log tells of it, and it is not here")


def _complete(events: list[dict[str, Any]], manifest: dict[str, Any], found: Examination) -> None:
    """No event was left out, and none added: what the sealed event of the export says."""
    seq = manifest["exportedBy"]
    export = next((one for one in events if one["seq"] == seq and one["type"] == EXPORTED), None)
    if export is None:
        found.faults.append("the event of its export is not here")
        return
    counted: dict[str, dict[str, int]] = export["data"]["documents"]
    pks = {document["pk"] for document in manifest["documents"]}
    found.expect(pks == set(counted), "the documents are not those that were exported")
    numbers: dict[str, list[int]] = {pk: [] for pk in counted}
    for event in events:
        if event is export:
            continue
        if found.expect(event["documentPk"] in numbers, f"event {event['seq']}: does not belong"):
            numbers[event["documentPk"]].append(event["seq"])
    for pk, seqs in numbers.items():
        there = {"events": len(set(seqs)), "lastSeq": max(seqs, default=0)}
        found.expect(
            there == counted[pk] and len(seqs) == len(set(seqs)),
            f"document {pk}: {len(seqs)} events to number {there['lastSeq']} are here; exported "
            f"were {counted[pk]['events']} to number {counted[pk]['lastSeq']}",
        )
    found.proven.append(f"no event is missing up to its export at {export['at']}")


def _signed(data: bytes, kind: str, name: str, found: Examination) -> dict[str, Any] | None:
    """The content of a signed part; None and a fault where the signature does not hold."""
    checked: JsonSignature = verify_json(data)
    holds = checked.signature.outcome is SignatureOutcome.VALID and checked.kind == kind
    if not holds or checked.payload is None:
        why = ", ".join(reason.value for reason in checked.signature.reasons) or checked.kind
        found.faults.append(f"{name}: the signature does not hold ({why})")
        return None
    certificate = checked.signature.certificate or b""
    found.signers[name] = hashlib.sha256(certificate).hexdigest()
    found.certificates[found.signers[name]] = _subject(certificate)
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
