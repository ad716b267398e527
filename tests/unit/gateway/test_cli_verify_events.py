"""`lienthong verify-events` against somebody who may write in the database."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Executable, Table, delete, func, insert, select, update

from adapters.database import SealStore, SqlDatabase
from adapters.database.evidence_tables import event_seals, sealed_events
from adapters.database.tables import deliveries, events, packages
from adapters.database.transaction import sql_of
from adapters.signing import Signer
from envelopes.json_signature import verify
from gateway import clock
from gateway.own_certificates import FOLDER, fingerprint
from gateway.seal_head import NAME, keep_head, named_head, read_head
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.signing_key import OWN_KEY, open_signer
from routing.ports import Transaction
from routing.records import Event
from routing.seals import NOTHING_BEFORE, SEAL_KIND, event_text, leaf_of, root_of, seal_over
from tests.support.builders import NOW, later
from tests.support.pdf_signing import time_stamper
from tests.support.pki import pki
from tests.unit.gateway.cli_runner import Lienthong
from tests.unit.gateway.test_cli_deliveries import plant


def own_signer(lienthong: Lienthong) -> Signer:
    """The key that the gateway has in its data folder now."""
    return open_signer(Settings(data_dir=lienthong.data))


def own_sealer(lienthong: Lienthong, database: SqlDatabase) -> Sealer:
    """Seals as the gateway does, and keeps the newest seal in the data folder."""
    return Sealer(database, own_signer(lienthong), "LIENTHONG", lienthong.data / NAME)


def print_of(signer: Signer) -> str:
    """SHA-256 of its certificate."""
    return fingerprint(signer.certificate.public_bytes(Encoding.DER))


def faults(lienthong: Lienthong, *options: str | Path, code: int = 1) -> list[str]:
    """What is wrong with the seals."""
    told = lienthong.json("verify-events", *options, code=code)
    return [fault["what"] for fault in told["sealFaults"]]


async def run(database: SqlDatabase, *statements: Executable) -> None:
    """What somebody with access to the database does past the gateway."""

    async def write(tx: Transaction) -> None:
        for statement in statements:
            await sql_of(tx).execute(statement)

    await database.write(write)


async def reseal(database: SqlDatabase, signer: Signer) -> None:
    """Seal the log as it now is with another key, seal by seal."""
    store, before, made = SealStore(database), None, []
    for seal in await store.seals(0, 100):
        leaves = [leaf_of(event_text(one)) for one in await store.covered(seal.number)]
        previous = before.digest if before else NOTHING_BEFORE
        before = replace(seal, root=root_of(leaves).hex(), previous=previous)
        signed = (await signer.sign_json(before.text, SEAL_KIND)).decode()
        made.append(replace(before, signed=signed))
    for one in made:
        changed = {"root": one.root, "previous": one.previous, "signed": one.signed}
        await run(
            database, update(event_seals).where(event_seals.c.number == one.number).values(changed)
        )


@pytest.fixture
def sealed(lienthong: Lienthong) -> Lienthong:
    """A gateway's log of one document, all under one seal."""

    async def prepare(database: SqlDatabase) -> None:
        await plant(database)
        await own_sealer(lienthong, database).seal(later(60))

    lienthong.database(prepare)
    assert faults(lienthong, code=0) == []
    return lienthong


def test_a_log_rewritten_and_sealed_by_a_stranger(sealed: Lienthong, tmp_path: Path) -> None:
    """Every seal fits the certificate it carries, but that is not the gateway's."""
    stranger = open_signer(Settings(data_dir=tmp_path / "stranger"))
    (sealed.data / NAME).unlink()

    async def forge(database: SqlDatabase) -> None:
        await run(database, update(events).where(events.c.seq == 2).values(actor="operator:x"))
        await reseal(database, stranger)

    sealed.database(forge)
    assert faults(sealed) == ["signer"]
    shown = sealed("verify-events", code=1).stdout
    assert f"{print_of(stranger)} (NOT OURS)" in shown


def test_seals_of_an_earlier_key_still_count(sealed: Lienthong, tmp_path: Path) -> None:
    """Its certificate stays in the data folder; where it does not, it must be named."""
    earlier = own_signer(sealed)
    (sealed.data / NAME).unlink()
    (sealed.data / OWN_KEY).rename(tmp_path / "earlier.p12")
    assert faults(sealed, code=0) == []
    assert print_of(own_signer(sealed)) != print_of(earlier)
    assert faults(sealed, code=0) == []
    shutil.rmtree(sealed.data / FOLDER)
    assert faults(sealed) == ["signer"]
    assert faults(sealed, "--certificate", print_of(earlier), code=0) == []
    file = tmp_path / "earlier.pem"
    file.write_bytes(earlier.certificate.public_bytes(Encoding.PEM))
    assert faults(sealed, "--certificate", "00" * 32, "--certificate", file, code=0) == []


def test_where_certificates_cannot_be_kept(sealed: Lienthong) -> None:
    """The key of now is known all the same."""
    shutil.rmtree(sealed.data / FOLDER)
    (sealed.data / FOLDER).write_text("in the way")
    assert faults(sealed, code=0) == []


def test_a_signature_that_does_not_hold(sealed: Lienthong) -> None:
    """Another text signed with the right key, and no signature at all."""
    signer = own_signer(sealed)

    async def forge(database: SqlDatabase) -> None:
        (seal,) = await SealStore(database).seals(0, 1)
        other = await signer.sign_json(seal.text, "lienthong-receipt+jws")
        await run(database, update(event_seals).values(signed=other.decode()))

    sealed.database(forge)
    assert faults(sealed) == ["signature"]
    sealed.database(lambda database: run(database, update(event_seals).values(signed="x.y.z")))
    assert faults(sealed) == ["signature"]


def test_a_certificate_that_is_none_is_wrong_use(sealed: Lienthong, tmp_path: Path) -> None:
    """Neither digits nor a file; a file of something else."""
    (tmp_path / "note.txt").write_text("hello")
    sealed("verify-events", "--certificate", "abc", code=2)
    sealed("verify-events", "--certificate", tmp_path / "note.txt", code=2)


def test_a_delivery_that_the_log_knows_is_missing(sealed: Lienthong) -> None:
    """Its row was deleted; the log tells of it still."""

    async def remove(database: SqlDatabase) -> None:
        await run(database, delete(deliveries).where(deliveries.c.state == "dead"))

    sealed.database(remove)
    (found,) = sealed.json("verify-events", code=1)["discrepancies"]
    assert (found["what"], found["byLog"], found["found"]) == ("delivery", "dead", None)


def test_a_time_of_delivery_that_the_log_does_not_tell(sealed: Lienthong) -> None:
    """When a delivery was made is the time of its event."""

    async def alter(database: SqlDatabase) -> None:
        await run(
            database,
            update(deliveries)
            .where(deliveries.c.state == "offered")
            .values(delivered_at=later(-3600)),
        )

    sealed.database(alter)
    (found,) = sealed.json("verify-events", code=1)["discrepancies"]
    assert found["what"] == "delivered_at" and found["byLog"] is None


@pytest.fixture
def longer(sealed: Lienthong) -> Lienthong:
    """The log has gone on, under a second seal."""

    async def go_on(database: SqlDatabase) -> None:
        await append(database, later(90))
        await own_sealer(sealed, database).seal(later(120))

    sealed.database(go_on)
    assert faults(sealed, code=0) == []
    return sealed


async def append(database: SqlDatabase, at: datetime) -> None:
    """One more event."""
    event = Event(type="document.read", at=at, actor="person:lan")

    async def write(tx: Transaction) -> None:
        await tx.append([event])

    await database.write(write)


async def cut_off(database: SqlDatabase) -> None:
    """Remove what is under the newest seal, and the seal."""
    await run(
        database,
        delete(events).where(
            events.c.seq.in_(select(sealed_events.c.seq).where(sealed_events.c.seal == 2))
        ),
        delete(sealed_events).where(sealed_events.c.seal == 2),
        delete(event_seals).where(event_seals.c.number == 2),
    )


def test_the_end_of_the_log_is_cut_off(longer: Lienthong, tmp_path: Path) -> None:
    """What is left fits together; the newest seal, kept outside the database, does not."""
    head = longer.json("verify-events")["heads"][0]
    copy = tmp_path / "copy.json"
    shutil.copy(longer.data / NAME, copy)
    longer.database(cut_off)
    assert faults(longer) == ["head"]
    (longer.data / NAME).unlink()
    assert "NOT PROVEN" in longer("verify-events").stdout
    assert faults(longer, "--head", copy) == ["head"]
    assert faults(longer, "--head", head) == ["head"]


def test_a_log_that_went_another_way_does_not_replace_its_head(longer: Lienthong) -> None:
    """After the cut the gateway goes on; what it kept is not forgotten, however long that lasts."""
    before = (longer.data / NAME).read_bytes()
    longer.database(cut_off)

    async def go_on(database: SqlDatabase) -> None:
        for round_ in range(3):
            await append(database, later(200 + 60 * round_))
            await own_sealer(longer, database).seal(later(220 + 60 * round_))

    longer.database(go_on)
    assert (longer.data / NAME).read_bytes() == before
    assert faults(longer) == ["head"]


def test_a_head_of_a_stranger_counts_for_nothing(longer: Lienthong, tmp_path: Path) -> None:
    """The file is replaced, with a good signature of somebody else, or with no head at all."""
    path = longer.data / NAME
    told = json.loads(path.read_text())
    stranger = open_signer(Settings(data_dir=tmp_path / "stranger"))
    payload = verify(told["signed"].encode()).payload
    assert payload is not None
    told["signed"] = asyncio.run(stranger.sign_json(payload, SEAL_KIND)).decode()
    path.write_text(json.dumps(told))
    assert faults(longer) == ["head"]
    path.write_text("hello")
    longer("verify-events", code=1)
    longer("verify-events", "--head", path, code=2)
    longer("verify-events", "--head", "12", code=2)


def test_an_event_that_was_slipped_in(longer: Lienthong) -> None:
    """Written by hand into a day that is over: without a seal, and when the gateway sealed it."""

    async def insert(database: SqlDatabase) -> None:
        await append(database, later(-86400))

    longer.database(insert)
    assert faults(longer) == ["unsealed"]

    async def seal(database: SqlDatabase) -> None:
        await own_sealer(longer, database).seal(later(180))

    longer.database(seal)
    assert faults(longer) == ["time"]


def test_an_event_under_a_seal_that_nobody_reads(longer: Lienthong) -> None:
    """A row number 0 among the seals covers nothing, and is itself a fault; sealing goes on."""

    async def forge(database: SqlDatabase) -> None:
        await append(database, later(-30 * 86400))
        (seal,) = await SealStore(database).seals(0, 1)
        newest = select(func.max(events.c.seq)).scalar_subquery()
        await run(
            database,
            insert(event_seals).values(asdict(seal) | {"number": 0}),
            insert(sealed_events).values(seq=newest, seal=0, position=0),
        )

    longer.database(forge)
    (row, event) = longer.json("verify-events", code=1)["sealFaults"]
    assert (row["seal"], row["what"], event["what"]) == (0, "chain", "unsealed")
    last = longer.json("verify-events", code=1)["events"]
    assert event["found"].startswith(f"1 events, {last}, ")

    async def go_on(database: SqlDatabase) -> None:
        await append(database, later(150))
        assert await own_sealer(longer, database).seal(later(180)) == 1

    longer.database(go_on)
    assert faults(longer) == ["chain", "unsealed"]


def test_an_event_of_a_time_that_is_yet_to_come(longer: Lienthong) -> None:
    """It would never be sealed and could be changed at will."""
    longer.database(lambda database: append(database, clock.now() + timedelta(days=3650)))
    assert faults(longer) == ["time"]


async def test_of_several_processes_the_newest_seal_stays(tmp_path: Path) -> None:
    """Whoever comes late with a lower number changes nothing; a lost file is made again."""
    path = tmp_path / NAME
    first = seal_over([Event(type="a", at=NOW, actor="b", seq=1)], None, NOW)
    second = seal_over([Event(type="a", at=NOW, actor="b", seq=2)], first, NOW)
    keep_head(path, second)
    keep_head(path, first)
    kept = read_head(path)
    assert kept is not None and (kept.number, kept.digest) == (2, second.digest)
    assert named_head(f"2:{second.digest.upper()}").digest == second.digest


def test_time_stamps_of_seals(sealed: Lienthong, tmp_path: Path) -> None:
    """Without one: told. With one: its time, and whose; of an unknown authority: a fault."""
    assert "1 seals have no time stamp" in sealed("verify-events").stdout

    async def stamp(database: SqlDatabase) -> None:
        store = SealStore(database)
        (seal,) = await store.seals(0, 1)
        digest = hashlib.sha256(seal.signed.encode()).digest()
        token = await time_stamper(pki().tsa, later(62)).async_timestamp(digest, "sha256")
        assert await store.keep_stamp(1, token.dump())

    sealed.database(stamp)
    shown = sealed("verify-events").stdout
    assert "NOT PROVEN  that this authority may be believed" in shown
    for credential, expected in ((pki().stranger.credential, 1), (pki().root.credential, 0)):
        file = tmp_path / "anchor.pem"
        file.write_bytes(credential.pem)
        sealed("trust", "import", file, "--profile", "time-stamping")
        assert faults(sealed, code=expected) == ["stamp"] * expected
    shown = sealed("verify-events").stdout
    assert f"existed at {later(62).isoformat(timespec='seconds')}" in shown
    assert "TSA of tests" in shown and "NOT PROVEN" not in shown


def test_another_package_in_the_place_of_one(sealed: Lienthong) -> None:
    """Stored without an acceptance, and a waiting delivery made to carry it."""
    foreign = "00000000-0000-7000-8000-00000000beef"

    async def forge(database: SqlDatabase) -> None:
        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            (row,) = (await sql.execute(select(packages))).mappings()
            await sql.execute(insert(packages).values({**row, "id": foreign, "digest": "ab" * 32}))
            waiting = update(deliveries).where(deliveries.c.state == "offered")
            await sql.execute(waiting.values(package_id=foreign, document_pk=None))

        await database.write(write)

    sealed.database(forge)
    found = sealed.json("verify-events", code=1)["discrepancies"]
    assert {(one["what"], one["found"]) for one in found} == {
        ("package", foreign),
        ("document", None),
        ("package", "stored"),
    }


def test_signatures_that_were_made_good_in_the_table(sealed: Lienthong) -> None:
    """What checking them found is in the sealed event; the story does not tell what is not."""
    good: dict[str, object] = {
        "checkedAt": None,
        "package": {"outcome": "valid", "reasons": []},
        "files": [],
    }

    async def forge(database: SqlDatabase) -> str:
        async def write(tx: Transaction) -> str:
            (row,) = (await sql_of(tx).execute(select(packages))).mappings()
            summary = {**row["summary"], "signatures": good}
            await sql_of(tx).execute(update(packages).values(summary=summary))
            return str(row["document_id"])

        return await database.write(write)

    document_id = sealed.database(forge)
    (found,) = sealed.json("verify-events", code=1)["discrepancies"]
    assert (found["what"], found["byLog"]) == ("signatures", "None")
    told = sealed("trace", document_id).stdout
    assert "KHÔNG khớp với nhật ký" in told and "hợp lệ" not in told


@pytest.mark.parametrize(
    ("table", "what", "to"),
    [
        (packages, "sender_name", "Ai đó"),
        (packages, "received_at", later(-86400)),
        (packages, "legal_sent_at", later(-86400)),
        (packages, "document_id", "khác"),
        (deliveries, "recipient_organ_id", "000.00.00.H99"),
    ],
)
def test_facts_that_the_acceptance_tells_otherwise(
    sealed: Lienthong, table: Table, what: str, to: object
) -> None:
    """Sender, times, document and recipients are those of the event, whatever tables say."""
    sealed.database(lambda database: run(database, update(table).values({what: to})))
    told = sealed.json("verify-events", code=1)
    assert {one["what"] for one in told["discrepancies"]} == {
        {
            "sender_name": "senderName",
            "received_at": "receivedAt",
            "legal_sent_at": "legalSentAt",
            "document_id": "documentId",
            "recipient_organ_id": "recipient",
        }[what]
    }
    assert told["sealFaults"] == []
