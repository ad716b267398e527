"""Files of evidence: as they are, and of parts whose signatures hold."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from envelopes.json_signature import assembled, signing_input
from gateway.evidence import EXPORTED, FORMAT, MANIFEST_KIND
from gateway.evidence import examine as examine_evidence
from routing.accepted_facts import ACCEPTED, receipt_of
from routing.records import Event
from routing.seals import (
    RECEIPT_KIND,
    SEAL_KIND,
    canonical,
    event_text,
    leaf_of,
    path_to,
    root_of,
)
from tests.fuzz.promises import Broken, storable
from tests.support.pki import Authority, ec_key


@cache
def _signer() -> Callable[[bytes, str], bytes]:
    """Signs JSON texts with a throwaway key, as a gateway does."""
    key = ec_key(0)
    certificate = Authority.root("Fuzz", key).credential.der

    def sign(payload: bytes, kind: str) -> bytes:
        signed = signing_input(payload, "ES256", [certificate], kind)
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return assembled(signed, r.to_bytes(32) + s.to_bytes(32))

    return sign


def _archive_of(data: bytes) -> bytes:
    """A file of evidence whose signatures all hold, of parts that the input describes.

    One part a line, ``name<TAB>content``. Receipts and seals are signed here, and the manifest's
    list of files is completed: mutations get past the signatures to what is behind them.
    """
    parts: dict[str, bytes] = {}
    manifest = b""
    events: list[bytes] = []
    for line in data.split(b"\n")[:60]:
        raw, _, content = line.partition(b"\t")
        name = raw.decode("latin-1")
        if name == "manifest":
            manifest = content
        elif name == "event":
            events.append(content)
        elif name.startswith("receipts/"):
            parts[name] = _signer()(content, RECEIPT_KIND)
        elif name.startswith("seals/"):
            parts[name] = _signer()(content, SEAL_KIND)
        elif name:
            parts[name] = content
    parts["events.jsonl"] = b"\n".join(events) + b"\n"
    try:
        told = json.loads(manifest)
        if isinstance(told, dict) and told.get("files") == {}:
            told["files"] = {name: hashlib.sha256(one).hexdigest() for name, one in parts.items()}
            manifest = json.dumps(told).encode()
    except (ValueError, RecursionError):
        # Then it is no manifest, and that is what is tried.
        told = None
    parts["manifest.jws"] = _signer()(manifest, MANIFEST_KIND)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name or "x"), content)
    return file.getvalue()


def run_evidence(data: bytes) -> None:
    """`gateway.evidence.examine`: a file as it is, or (first byte P) parts that are signed here."""
    raw = _archive_of(data[1:]) if data[:1] == b"P" else data
    # `zipfile` takes an open file where it takes a path; nothing else looks at it.
    found = examine_evidence(io.BytesIO(raw))  # type: ignore[arg-type]
    if not found.faults and not found.proven:
        raise Broken("neither proven nor faulty")
    # Shown, never stored; the command line writes control characters out.
    storable([one.replace("\0", "") for one in (*found.proven, *found.faults)])


def evidence_seeds() -> Iterator[bytes]:
    """A conversation of one package, as parts and as a file."""
    content = b"<edXML/>"
    digest = hashlib.sha256(content).hexdigest()
    at = datetime(2026, 3, 2, tzinfo=UTC)
    facts = {
        "kind": "document",
        "meaning": "1",
        "documentId": "d1",
        "version": 1,
        "size": len(content),
        "sender": "s1",
        "senderName": "S",
        "recipients": ["r1"],
        "legalSentAt": None,
        "findings": [],
    }
    told = {**facts, "digest": digest, "subject": "V", "senderKey": "k1"}
    accepted = Event(ACCEPTED, at, "a", "k", "p1", data=told, seq=1)
    begun = {"recipient": "r", "organId": "r1"}
    start = Event(
        "delivery.accepted", at, "a", "k", "p1", "y1", None, "accepted", data=begun, seq=2
    )
    counted = {"documents": {"k": {"events": 2, "lastSeq": 2}}}
    export = Event(EXPORTED, at, "o", "k", data=counted, seq=3)
    events = [accepted, start, export]
    leaves = [leaf_of(event_text(one)) for one in events]
    lines = [
        {
            "event": event_text(one).decode(),
            "seal": 1,
            "position": place,
            "path": [step.hex() for step in path_to(leaves, place)],
        }
        for place, one in enumerate(events)
    ]
    package = {**facts, "id": "p1", "sha256": digest, "file": f"packages/{digest}.edxml"}
    delivery = {
        "id": "y1",
        "package": "p1",
        "recipient": "r1",
        "state": "accepted",
        "change": None,
        "businessState": None,
        "deliveredAt": None,
    }
    manifest = {
        "format": FORMAT,
        "exportedBy": 3,
        "documents": [{"pk": "k", "documentId": "d1", "sender": "k1", "subject": "V"}],
        "packages": [package],
        "deliveries": [delivery],
        "files": {},
    }
    parts = [
        (f"packages/{digest}.edxml", content),
        ("receipts/p1.jws", canonical(receipt_of(accepted, "g"))),
        ("seals/1.jws", canonical({"root": root_of(leaves).hex(), "events": 3})),
        *(("event", canonical(line)) for line in lines),
        ("manifest", canonical(manifest)),
    ]
    text = b"\n".join(name.encode() + b"\t" + one for name, one in parts)
    yield b"P" + text
    yield _archive_of(text)
    yield b"PK"
