"""Evidence of a conversation: signed receipts, a sealed log, one file that proves itself."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.signing import Signer
from envelopes.json_signature import verify as verify_json
from envelopes.signature_facts import SignatureOutcome
from envelopes.xml_signature import check_file
from gateway.cli.evidence import UNPROVEN
from gateway.evidence import MANIFEST_KIND, examine
from gateway.seal_head import NAME, read_head
from gateway.settings import Settings
from gateway.signing_key import open_signer
from routing.seals import RECEIPT_KIND, SEAL_KIND, canonical
from tests.acceptance.ministry import AGENCIES, NGHE_AN, QUANG_NAM, SENDER, Ministry
from tests.support import packages
from tests.support.packages import new_id
from tests.support.pki import pki
from tests.support.pki_server import Answer, PkiServer
from tests.support.servers import wait_until
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import run_program
from tests.support.service import MODES, ROOT, open_site


@pytest.fixture(scope="module", params=MODES)
def office(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministry]:
    """A gateway of each mode that seals its log often."""
    with open_site(request.param, tmp_path_factory.mktemp("evidence"), request) as site:
        site.connect(**AGENCIES)
        yield Ministry(site, site.gateway(seal_seconds=0.2).start())


def conversation(office: Ministry) -> str:
    """A document to two agencies, reports of one, its recall from the other, and a reply."""
    document_id = new_id()
    _, sent = office.send(NGHE_AN, QUANG_NAM, document_id=document_id)
    item = office.offered("nghe_an", sent.json["id"])
    office.nghe_an.fetch(item["id"])
    office.nghe_an.confirm(item["id"])
    for code in ("01", "03"):
        assert office.nghe_an.report(item["id"], code, f"Bước {code}").status == 202
    reply = packages.document(
        NGHE_AN,
        [SENDER],
        new_id(NGHE_AN),
        response_for=packages.answers(SENDER, document_id),
    )
    assert office.nghe_an.submit(reply).status == 202
    return document_id


def verify(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`lienthong verify` on a machine that has no gateway: an empty folder and environment."""
    folder = file.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    env = clean_environment(PYTHONPATH=str(ROOT))
    return run_program("verify", file.resolve(), *more, cwd=folder, env=env)


def test_a_receipt_is_signed_and_always_the_same(office: Ministry) -> None:
    """Only the sender gets it; it says who handed in what, when, for whom."""
    content, sent = office.send(NGHE_AN)
    path = f"/v1/packages/{sent.json['id']}/receipt"
    first = office.sender.call("GET", path)
    assert first.status == 200, first
    checked = verify_json(first.body)
    assert checked.payload is not None and checked.kind == "lienthong-receipt+jws"
    told = json.loads(checked.payload)
    assert told["sha256"] == sent.json["sha256"] and told["size"] == len(content)
    assert told["recipients"] == [NGHE_AN] and told["sender"] == SENDER
    assert office.sender.call("GET", path).body == first.body
    item = office.offered("nghe_an", sent.json["id"])
    office.nghe_an.fetch(item["id"])
    office.nghe_an.confirm(item["id"])
    assert office.sender.call("GET", path).body == first.body
    assert office.nghe_an.call("GET", path).status == 404


def test_a_whole_conversation_proves_itself_offline(office: Ministry, tmp_path: Path) -> None:
    """Exported, examined elsewhere: everything holds; the export itself is in the log."""
    document_id = conversation(office)
    file = tmp_path / "evidence.zip"
    told = json.loads(
        office.site.command("evidence", document_id, "-o", str(file), "--json", "--operator", "an")
    )
    assert told["documents"] == 2 and told["packages"] >= 4
    done = verify(file)
    assert done.returncode == UNPROVEN, done.stdout
    assert "who signed it is NOT proven" in done.stdout and document_id in done.stdout
    assert "Everything fits together." not in done.stdout
    with zipfile.ZipFile(file) as archive:
        events = archive.read("events.jsonl").decode()
        story = archive.read("story.vi.txt").decode()
    assert "document.exported" in events and "operator:an" in events
    assert document_id in story
    fingerprint = json.loads(verify(file, "--json").stdout)["certificates"]
    (known,) = fingerprint
    done = verify(file, "--certificate", "11" * 32, "--certificate", known.upper())
    assert done.returncode == 0 and "Everything fits together." in done.stdout, done
    assert verify(file, "--certificate", "00" * 32).returncode == 1
    with pytest.raises(AssertionError, match="exists already"):
        office.site.command("evidence", document_id, "-o", str(file))


Parts = dict[str, bytes]
Forge = Callable[[Parts, dict[str, Any]], None]


def _without(name_part: str) -> Forge:
    def forge(parts: Parts, _manifest: dict[str, Any]) -> None:
        for name in [name for name in parts if name_part in name]:
            del parts[name]

    return forge


def _changed(name_part: str, old: bytes, new: bytes) -> Forge:
    def forge(parts: Parts, _manifest: dict[str, Any]) -> None:
        for name in [name for name in parts if name_part in name]:
            parts[name] = parts[name].replace(old, new)

    return forge


def _events(keep: Callable[[dict[str, Any]], bool]) -> Forge:
    """Leave events out, as if they had never been there."""

    def forge(parts: Parts, _manifest: dict[str, Any]) -> None:
        lines = parts["events.jsonl"].splitlines()
        kept = [line for line in lines if keep(json.loads(json.loads(line)["event"]))]
        assert len(kept) < len(lines)
        parts["events.jsonl"] = b"\n".join(kept) + b"\n"

    return forge


def _package_less(parts: Parts, manifest: dict[str, Any]) -> None:
    manifest["packages"].pop()


def _document_less(_parts: Parts, manifest: dict[str, Any]) -> None:
    manifest["documents"].pop()


def _another_export(_parts: Parts, manifest: dict[str, Any]) -> None:
    manifest["exportedBy"] -= 1


def _manifest(part: str, **to: Any) -> Forge:
    def forge(_parts: Parts, manifest: dict[str, Any]) -> None:
        manifest[part][0].update(to)

    return forge


def _receipt(**to: Any) -> Forge:
    """What receipts say, unsigned still: `forged` signs what is not."""

    def forge(parts: Parts, _manifest: dict[str, Any]) -> None:
        for name in [name for name in parts if name.startswith("receipts/")]:
            parts[name] = canonical(json.loads(_payload(parts[name])) | to)

    return forge


def forged(exported: Path, target: Path, forge: Forge, signer: Signer, *, all_of_it: bool) -> Path:
    """The file after a forgery, with a manifest that fits and is signed with this key again.

    `all_of_it`: receipts and seals are signed with it as well.
    """
    with zipfile.ZipFile(exported) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(_payload(parts.pop("manifest.jws")))
    forge(parts, manifest)
    for name, content in parts.items():
        for folder, kind in (("receipts/", RECEIPT_KIND), ("seals/", SEAL_KIND)):
            if name.startswith(folder) and (all_of_it or content.startswith(b"{")):
                payload = content if content.startswith(b"{") else _payload(content)
                parts[name] = asyncio.run(signer.sign_json(payload, kind))
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    parts["manifest.jws"] = asyncio.run(signer.sign_json(canonical(manifest), MANIFEST_KIND))
    with zipfile.ZipFile(target, "w") as after:
        for name, data in parts.items():
            after.writestr(name, data)
    return target


def _payload(signed: bytes) -> bytes:
    payload = verify_json(signed).payload
    assert payload is not None
    return payload


@pytest.fixture(scope="module")
def exported(office: Ministry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good file of evidence."""
    file = tmp_path_factory.mktemp("exported") / "evidence.zip"
    office.site.command("evidence", conversation(office), "-o", str(file))
    found = examine(file)
    assert found.faults == [] and len(found.unproven) == 1, found
    assert examine(file, found.certificates).unproven == []
    return file


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Somebody who can sign, but not with the gateway's key."""
    return open_signer(Settings(data_dir=tmp_path_factory.mktemp("stranger")))


@pytest.mark.parametrize(
    "forge",
    [
        _without("packages/"),
        _without("seals/"),
        _without("receipts/"),
        _without("manifest"),
        _changed("packages/", b"edXML", b"edXMl"),
        _changed("events", b"delivery.fetched", b"delivery.offered"),
        _changed("story", b"G22", b"G23"),
        _changed("manifest", b".", b"-."),
    ],
    ids=["package", "seal", "receipt", "manifest", "bytes", "event", "story", "signature"],
)
def test_nothing_can_be_taken_out_or_altered(
    exported: Path, tmp_path: Path, stranger: Signer, forge: Forge
) -> None:
    """Each forgery is found: as it is, and with a manifest that a stranger signed again."""
    with zipfile.ZipFile(exported) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    forge(parts, {})
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as after:
        for name, content in parts.items():
            after.writestr(name, content)
    assert examine(plain).faults
    again = forged(exported, tmp_path / "again.zip", forge, stranger, all_of_it=False)
    assert examine(again).faults


SAID_WRONGLY = {
    "state": _manifest("deliveries", state="returned"),
    "business": _manifest("deliveries", businessState="05"),
    "time": _manifest("deliveries", deliveredAt="2026-01-01T00:00:00+00:00"),
    "recipient": _manifest("deliveries", recipient="000.00.00.H99"),
    "delivery": lambda _parts, manifest: manifest["deliveries"].pop(),
    "subject": _manifest("documents", subject="Khác"),
    "sender": _manifest("documents", sender="H99"),
    "document": _manifest("packages", documentId="000.00.00.H99,2026/01/01,1/X"),
    "receipt-time": _receipt(receivedAt="2026-01-01T00:00:00.000000Z"),
    "receipt-legal": _receipt(legalSentAt="2026-01-01T00:00:00.000000Z"),
    "receipt-sender": _receipt(sender="000.00.00.H99"),
    "receipt-recipients": _receipt(recipients=[]),
}


@pytest.mark.parametrize("what", SAID_WRONGLY)
def test_what_tables_said_wrongly_shows(
    office: Ministry, exported: Path, tmp_path: Path, what: str
) -> None:
    """The gateway's own key signed it, but the sealed events tell otherwise."""
    own = open_signer(Settings(data_dir=office.site.data))
    target = tmp_path / "forged.zip"
    found = examine(forged(exported, target, SAID_WRONGLY[what], own, all_of_it=False))
    assert [line for line in found.faults if "log" in line], found


LEFT_OUT = {
    "fetched": _events(lambda event: event["type"] != "delivery.fetched"),
    "newest": _events(lambda event: not event["type"].startswith("report.")),
    "export": _events(lambda event: event["type"] != "document.exported"),
    "document": _document_less,
    "package": _package_less,
    "other-export": _another_export,
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_was_left_out_shows_whoever_signed(
    office: Ministry, exported: Path, tmp_path: Path, stranger: Signer, what: str
) -> None:
    """The log under the seals tells of it, even where the gateway's own key signed the rest."""
    own = open_signer(Settings(data_dir=office.site.data))
    for number, (signer, all_of_it) in enumerate([(own, False), (stranger, True)]):
        target = tmp_path / f"{number}.zip"
        forged(exported, target, LEFT_OUT[what], signer, all_of_it=all_of_it)
        assert examine(target).faults, (what, number)


def test_a_strangers_signature_proves_nothing(
    exported: Path, tmp_path: Path, stranger: Signer
) -> None:
    """Who signs everything again has a file that fits together, but never one that is proven."""

    def nothing(_parts: Parts, _manifest: dict[str, Any]) -> None:
        """As it was."""

    manifest = forged(exported, tmp_path / "manifest.zip", nothing, stranger, all_of_it=False)
    assert [line for line in examine(manifest).faults if "manifest's certificate" in line]
    own = json.loads(verify(exported, "--json").stdout)["certificates"]
    assert verify(manifest, *(f"--certificate={one}" for one in own)).returncode == 1
    whole = forged(exported, tmp_path / "whole.zip", nothing, stranger, all_of_it=True)
    done = verify(whole)
    assert done.returncode == UNPROVEN and "NOT proven" in done.stdout, done
    assert "Everything fits together." not in done.stdout
    done = verify(whole, *(f"--certificate={one}" for one in own))
    assert done.returncode == 1 and "another certificate" in done.stdout, done


def test_what_happened_last_is_sealed_before_the_end(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A gateway that is stopped leaves nothing unsealed, and its newest seal in a file."""
    with open_site("embedded", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway(seal_seconds=86400).start()
        office = Ministry(site, gateway)
        _, sent = office.send(NGHE_AN)
        office.offered("nghe_an", sent.json["id"])
        gateway.stop()
        told = json.loads(site.command("verify-events", "--json"))
        head = read_head(site.data / NAME)
        with closing(sqlite3.connect(site.data / "lienthong.db")) as database:
            ((events,),) = database.execute("SELECT count(*) FROM events")
            ((sealed,),) = database.execute("SELECT count(*) FROM sealed_events")
            ((receipts,),) = database.execute("SELECT count(*) FROM receipts")
    assert told["sealFaults"] == [] and told["seals"] >= 1
    assert events == sealed == told["events"] and receipts == 1
    assert head is not None and told["heads"] == [f"{head.number}:{head.digest}"]
    assert head.number == told["seals"]


def test_another_vouches_for_the_time(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Seals with an authority's time stamps: in the evidence, proven with its certificate alone."""
    root = tmp_path / "root.pem"
    root.write_bytes(pki().root.credential.pem)
    with (
        PkiServer(pki().government, pki().tsa) as authority,
        open_site("embedded", tmp_path / "site", request) as site,
    ):

        def stamp(body: bytes) -> Answer:
            authority.now = datetime.now(UTC)
            return good(body)

        good = authority.answers["/tsa"]
        authority.answers["/tsa"] = stamp
        site.connect(**AGENCIES)
        gateway = site.gateway(seal_seconds=0.2, timestamp_url=authority.url("/tsa")).start()
        document_id = conversation(Ministry(site, gateway))
        store = site.data / "lienthong.db"

        def stamped() -> bool:
            """Whether every event is sealed, and every seal stamped."""
            tables = "FROM events LEFT JOIN sealed_events USING (seq) LEFT JOIN event_seals"
            with closing(sqlite3.connect(store)) as database:
                ((events, stamps),) = database.execute(
                    f"SELECT count(*), count(stamp) {tables} ON number = seal"
                )
            return bool(events == stamps > 0)

        wait_until(stamped, 20, "the stamps of all seals")
        file = tmp_path / "evidence.zip"
        site.command("evidence", document_id, "-o", str(file))
        shown = site.command("verify-events")
        assert "seals stamped by" in shown and "NOT PROVEN" in shown, shown
    own = json.loads(verify(file, "--json").stdout)["certificates"]
    ours = [f"--certificate={one}" for one in own]
    done = verify(file, *ours)
    assert done.returncode == UNPROVEN and "--tsa-certificate" in done.stdout, done
    done = verify(file, *ours, "--tsa-certificate", str(root))
    assert done.returncode == 0 and "existed at" in done.stdout, done
    assert "TSA of tests" in done.stdout and "Everything fits together." in done.stdout
    root.write_bytes(pki().stranger.credential.pem)
    done = verify(file, *ours, "--tsa-certificate", str(root))
    assert done.returncode == 1 and "who is not trusted" in done.stdout, done


def test_what_is_no_evidence_is_said_so(tmp_path: Path) -> None:
    """Any other file: a clear answer."""
    other = tmp_path / "other.zip"
    shutil.copy(sys.executable, other)
    done = verify(other)
    assert done.returncode == 1 and "not a file of evidence" in done.stdout


def test_what_the_gateway_says_itself_is_signed_with_the_operators_key(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A status 02 of the gateway's own carries a good XML signature of the named certificate."""
    key, password = tmp_path / "gateway.p12", tmp_path / "password"
    key.write_bytes(pki().agency.pkcs12("bi-mat"))
    password.write_text("bi-mat\n")
    with open_site("embedded", tmp_path / "site", request) as site:
        site.connect(**AGENCIES)
        gateway = site.gateway(signing_key=f"pkcs12:{key}", signing_password_file=password).start()
        office = Ministry(site, gateway)
        content = packages.document(SENDER, [NGHE_AN, "000.00.00.Z99"], new_id())
        assert office.sender.submit(content).status == 202
        wait_until(lambda: len(office.sender.waiting()) == 1, 20, "the status 02")
        (item,) = office.sender.waiting()
        checked = check_file(io.BytesIO(office.sender.fetch(item["id"]).body))
    assert checked.outcome is SignatureOutcome.VALID, checked
    assert checked.certificate == pki().agency.der
