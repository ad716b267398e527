"""What is fuzzed: one function of bytes for each way in, that raises where a promise is broken.

A promise is: no exception but those that the called function documents, what comes out can be
stored and sent (JSON in UTF-8), and what blocks the bytes came in makes no difference.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from adapters.calendars import NATIONAL, Calendars
from envelopes.base64_stream import Base64Decoder
from envelopes.check import examine, judged, report_on
from envelopes.model import Document
from envelopes.read import AttachmentUnreadable, ReadResult, open_attachment, read_package
from envelopes.rules.facts import Lookups, PackageFacts
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from envelopes.xml_signature import KeyPolicy, check_signature, ranges_of, signed_form
from envelopes.xml_signature_scan import SignatureScanner
from envelopes.zip_stream import SingleEntryUnzipper, ZipForm
from gateway.evidence import examine as examine_evidence
from gateway.vxp.headers import (
    Distrusted,
    claim_of,
    is_signed_by,
    judge_time,
    parameters_of,
)
from identifiers.organ_id import OrganId
from routing.seals import RECEIPT_KIND, SEAL_KIND, canonical, leaf_of, root_from
from routing.summary import search_text, summarise
from schemas.catalogue import profile_names

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NOW = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
SECRET = "vxp-secret-of-the-fuzzing-run"
#: Larger samples are no good starting points: mutations of them are slow.
MAX_SEED = 24 * 1024
#: Bytes that a hundredfold packed file may become here.
MAX_UNPACKED = 64 * 1024 * 1024


class Broken(AssertionError):
    """A promise that did not hold for an input."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way in: `run` takes the input, `seeds` gives inputs to begin with."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    #: Words that mutations may put in.
    words: tuple[bytes, ...] = ()
    #: CPU seconds that one input may take at most, on a slow machine with coverage counted.
    seconds: float = 5.0


def samples(*folders: str) -> Iterator[bytes]:
    """The packages of the corpus that are not too large."""
    for folder in folders or ("good", "bad", "rules"):
        for path in sorted((CORPUS / folder).glob("*.edxml")):
            if path.stat().st_size <= MAX_SEED:
                yield path.read_bytes()


def _blocks(data: bytes) -> list[bytes]:
    """`data` cut at places that depend on it alone."""
    first = len(data) * (data[-1] if data else 0) // 256
    return [data[:first], data[first : first + 1], data[first + 1 :]]


def storable(value: Any) -> None:
    """Raise Broken for what neither a database nor an answer can hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        raise Broken(f"cannot be stored: {error}") from error
    if b"\\u0000" in text:
        raise Broken("a NUL character, which PostgreSQL does not take")


def _described(read: ReadResult) -> None:
    """Everything that is stored or answered about a package that was read."""
    storable([finding.as_dict() for finding in read.findings])
    storable([read.sender_organ_id, read.document_id, read.kind, list(read.dialects)])
    if read.package is None:
        if not read.refused:
            raise Broken("nothing was read, and nothing refuses")
        return
    storable(summarise(read.package))
    OrganId.parse(read.package.sender.organ_id)
    if isinstance(read.package, Document):
        storable(search_text(read.package))


# Reading


def run_read(data: bytes) -> None:
    """`read_package`: whole and in blocks the same; its files can be opened again."""
    whole = read_package([data])
    _described(whole)
    parts = read_package(_blocks(data))
    if whole != parts:
        raise Broken("the blocks make a difference")
    if not isinstance(whole.package, Document):
        return
    for file in whole.package.attachments:
        try:
            content = b"".join(open_attachment(_blocks(data), file))
        except AttachmentUnreadable as error:
            if not whole.refused:
                raise Broken(f"a file of a good package cannot be opened: {error}") from error
            continue
        if not whole.refused and hashlib.sha256(content).hexdigest() != file.sha256:
            raise Broken("a file opened again is another")


# Judging


@cache
def _profiles() -> tuple[Any, ...]:
    return tuple(load_profile(name) for name in sorted(profile_names()))


@cache
def _lookups() -> Lookups:
    return Lookups(received_at=NOW, calendar=Calendars.load(None).of(NATIONAL))


def run_judge(data: bytes) -> None:
    """`examine` and `judge` under every profile, and the report that is shown."""
    examined = examine([data])
    for profile in _profiles():
        told = judged(examined, profile)
        storable([finding.as_dict() for finding in told.findings])
        storable([one.as_dict() for one in told.not_judged])
        if examined.facts is not None:
            facts = PackageFacts.of_reading(
                examined.read, files=examined.facts.files, lookups=_lookups()
            )
            later = judge(facts, profile)
            storable([finding.as_dict() for finding in later.findings])
    storable(report_on(examined, _profiles()[0]).as_dict())


# Headers of the national axis protocol


def _headers(data: bytes) -> list[tuple[bytes, bytes]]:
    """One header a line, ``Name: value``; `SIGN` for a hash stands for the right one."""
    found = []
    signed = b""
    for line in data.split(b"\n")[:80]:
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        value = value.strip(b" \t\r")
        if name.strip().lower() == b"xroadvnpt-sign-header":
            signed = value
        found.append((name, value))
    right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest().encode()
    return [(name, right if value == b"SIGN" else value) for name, value in found]


def run_vxp(data: bytes) -> None:
    """`claim_of` to `judge_time`; nothing is trusted that the secret did not sign."""
    headers = _headers(data)
    claim = claim_of(headers)
    if isinstance(claim, Distrusted):
        storable([claim.sentence.vi, claim.sentence.en])
        return
    right = hmac.new(SECRET.encode(), claim.signed_text, hashlib.sha256).hexdigest()
    if is_signed_by(claim, [SECRET]) != (claim.hash_header == right.encode()):
        raise Broken("a wrong signature counts")
    if is_signed_by(claim, []) or is_signed_by(claim, [""]):
        raise Broken("no secret signs everything")
    parameters = parameters_of(claim)
    if isinstance(parameters, Distrusted):
        storable([parameters.sentence.vi, parameters.sentence.en])
        return
    for name in parameters.values:
        value = parameters.trusted(name)
        if isinstance(value, str) and value and name not in parameters.signed:
            raise Broken(f"{name} is trusted unsigned")
    late = judge_time(parameters, 300, NOW)
    if late is not None:
        storable([late.sentence.vi, late.sentence.en])


def vxp_seeds() -> Iterator[bytes]:
    """Requests as vendors send them."""
    for signed in (
        {"systemid": "S1", "timestamp": "02032026T093000+0000", "from": "H34.1", "to": "H34.2"},
        {"systemid": "S1", "timestamp": "02032026T093000", "to": ["H34.2", "H34.3"]},
        {"systemid": "S1", "timestamp": "01010001T000000", "docId": "1"},
        {"systemid": "S1"},
    ):
        names = ";".join(signed)
        lines = [
            f"XroadVnpt-{name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in signed.items()
        ]
        text = json.dumps(signed)
        for digest in ("SIGN", "0" * 64):
            yield "\n".join(
                [
                    *lines,
                    f"XroadVnpt-sign-header-key: {names}",
                    f"XroadVnpt-sign-header: {text}",
                    f"XroadVnpt-hash-header: {digest}",
                    "Content-Type: application/octet-stream",
                ]
            ).encode()


# Files inside packages


def run_attachment(data: bytes) -> None:
    """The first byte says what the others are: base64 text, or an archive of one file."""
    if data[:1] < b"\x80":
        _run_base64(data[1:])
    else:
        _run_zip(data[1:])


def _run_base64(data: bytes) -> None:
    # As XML gives it: without characters that no XML can hold.
    text = data.decode("utf-8", "replace").replace("\0", "")
    cut = len(text) * (data[-1] if data else 0) // 256
    decoder = Base64Decoder()
    got = decoder.feed(text[:cut]) + decoder.feed(text[cut:])
    problem = decoder.close()
    bare = text.translate({ord(one): None for one in " \t\r\n"})
    try:
        wanted = base64.b64decode(bare, validate=True)
        canonical_text = base64.b64encode(wanted).decode() == bare
    except (binascii.Error, ValueError):
        wanted, canonical_text = b"", False
    if (problem is None) != canonical_text:
        raise Broken(f"taken: {problem is None}, right: {canonical_text}")
    if problem is None and got != wanted:
        raise Broken("decoded to other bytes")
    if problem is not None:
        storable([problem.kind, problem.found, problem.position, problem.line_offset])


def _run_zip(data: bytes) -> None:
    forms = []
    for blocks in ([data], _blocks(data), [data[i : i + 7] for i in range(0, len(data), 7)]):
        out = bytearray()
        unzipper = SingleEntryUnzipper(out.extend, max_ratio=100, ratio_from=1024 * 1024)
        for block in blocks:
            unzipper.feed(block)
            if len(out) > MAX_UNPACKED:
                raise Broken("unpacks without a bound")
        forms.append((unzipper.close(), bytes(out)))
    if len({form for form, _ in forms}) > 1:
        raise Broken(f"the blocks make a difference: {[form for form, _ in forms]}")
    form, content = forms[0]
    if form is not ZipForm.ONE_ENTRY:
        return
    if any(other != content for _, other in forms):
        raise Broken("the blocks make a difference to the content")
    # What we take for one file, everybody must take for the same file.
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if len(archive.namelist()) != 1 or archive.read(archive.namelist()[0]) != content:
            raise Broken("other programs read something else")


def attachment_seeds() -> Iterator[bytes]:
    """base64 texts and archives, right and wrong."""
    yield b"\x00"
    for text in ("QUJD", "QUI=", "QQ==", "QUJD\r\nQUJD", "QR==", "QUJ", "QQ==QQ==", "Q U\tJD"):
        yield b"\x00" + text.encode()
    for count in (0, 1, 2):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                for number in range(count):
                    archive.writestr(f"{number}.txt", b"quyet dinh " * 20)
            yield b"\x80" + file.getvalue()
    yield from (b"\x80" + made for made in _streamed())
    yield b"\x80" + b"not a zip"


def _streamed() -> Iterator[bytes]:
    """Archives whose sizes come behind the data, as Java writes them."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", method) as archive:
            archive.writestr("a.pdf", b"%PDF-1.7 " * 9)
        yield bytes(pipe.data)


# XML signatures


def run_xml_signature(data: bytes) -> None:
    """The scan, the verdict and the signed form; the blocks make no difference to what is seen."""
    scans = []
    for blocks in ([data], _blocks(data)):
        scanner = SignatureScanner()
        for block in blocks:
            scanner.feed(block)
        scans.append(scanner.close())
    # Where a package stops being well-formed may be told in other words.
    if scans[0].problem != scans[1].problem or (
        scans[0].problem is None and scans[0].contents != scans[1].contents
    ):
        raise Broken("the blocks make a difference")
    ranges = ranges_of(io.BytesIO(data))
    found = check_signature(scans[0], ranges, KeyPolicy(allow_sha1=True))
    storable([found.outcome, list(found.reasons), found.algorithm])
    try:
        for _ in signed_form(scans[0], ranges):
            pass
    except ValueError:
        # Documented: there is no signature of a form that is taken.
        return


def xml_signature_seeds() -> Iterator[bytes]:
    """Signed packages in every form that the tests know, and some unsigned ones."""
    from tests.support.pki import pki
    from tests.support.xml_signing import C14N11, EXCLUSIVE, sign

    made = pki()
    good = (CORPUS / "good" / "canonical-new.edxml").read_bytes()
    status = (CORPUS / "good" / "status-01.edxml").read_bytes()
    for package in (status, good):
        yield sign(package, made.agency)
    yield sign(status, made.agency, canonical=EXCLUSIVE, info_canonical=EXCLUSIVE)
    yield sign(status, made.agency, canonical=C14N11)
    yield sign(status, made.agency, hmac_secret=b"x")
    yield from samples("good")


# Evidence


@cache
def _signer() -> Callable[[bytes, str], bytes]:
    """Signs JSON texts with a throwaway key, as a gateway does."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    from envelopes.json_signature import assembled, signing_input
    from tests.support.pki import Authority, ec_key

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
    parts["manifest.jws"] = _signer()(manifest, "lienthong-evidence+jws")
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
    package = {
        "id": "p1",
        "documentId": "d1",
        "size": len(content),
        "sha256": digest,
        "file": f"packages/{digest}.edxml",
    }
    receipt = {"package": "p1", "documentId": "d1", "size": len(content), "sha256": digest}
    event = canonical(
        {"seq": 1, "type": "package.accepted", "packageId": "p1", "data": {"digest": digest}}
    )
    root = root_from(leaf_of(event), 0, 1, [])
    line = {"event": event.decode(), "seal": 1, "position": 0, "path": []}
    manifest = {"format": "lienthong-evidence/1", "packages": [package], "files": {}}
    parts = [
        (f"packages/{digest}.edxml", content),
        ("receipts/p1.jws", canonical(receipt)),
        ("seals/1.jws", canonical({"root": root.hex() if root else "", "events": 1})),
        ("event", canonical(line)),
        ("manifest", canonical(manifest)),
    ]
    text = b"\n".join(name.encode() + b"\t" + one for name, one in parts)
    yield b"P" + text
    yield _archive_of(text)
    yield b"PK"


TARGETS = {
    one.name: one
    for one in (
        Target(
            "read",
            run_read,
            samples,
            (b"<Attachment>", b"<![CDATA[", b"]]>", b"&#13;", b"&#0;", b"<!DOCTYPE x [", b"xmlns="),
        ),
        Target(
            "judge",
            run_judge,
            samples,
            (b"<Attachment>", b"application/zip", b".pdf", b"%PDF-", b"PK\x03\x04", "MẬT".encode()),
        ),
        Target(
            "vxp",
            run_vxp,
            vxp_seeds,
            (b"XroadVnpt-", b"SIGN", b'{"', b'":"', b"sign-header-key", b"\\ud800", b"[["),
        ),
        Target(
            "attachment",
            run_attachment,
            attachment_seeds,
            (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08", b"PK\x06\x06", b"=="),
        ),
        Target(
            "xml-signature",
            run_xml_signature,
            xml_signature_seeds,
            (b"<ds:Signature", b'URI=""', b"<![CDATA[", b"&#13;", b"xml:space", b"<!--", b"<?x?>"),
        ),
        Target(
            "evidence",
            run_evidence,
            evidence_seeds,
            (b"manifest\t", b"receipts/", b"seals/", b'"path":', b"event\t", b"null", b"{}", b"[]"),
        ),
    )
}
