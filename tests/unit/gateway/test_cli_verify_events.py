"""`lienthong verify-events` against somebody who may write in the database."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Executable, delete, update

from adapters.database import SealStore, SqlDatabase
from adapters.database.evidence_tables import event_seals
from adapters.database.tables import deliveries, events
from adapters.database.transaction import sql_of
from adapters.signing import Signer
from gateway.own_certificates import FOLDER, fingerprint
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.signing_key import OWN_KEY, open_signer
from routing.ports import Transaction
from routing.seals import NOTHING_BEFORE, SEAL_KIND, event_text, leaf_of, root_of
from tests.support.builders import later
from tests.unit.gateway.cli_runner import Lienthong
from tests.unit.gateway.test_cli_deliveries import plant


def own_signer(lienthong: Lienthong) -> Signer:
    """The key that the gateway has in its data folder now."""
    return open_signer(Settings(data_dir=lienthong.data))


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
        await Sealer(database, own_signer(lienthong), "LIENTHONG").seal(later(60))

    lienthong.database(prepare)
    assert faults(lienthong, code=0) == []
    return lienthong


def test_a_log_rewritten_and_sealed_by_a_stranger(sealed: Lienthong, tmp_path: Path) -> None:
    """Every seal fits the certificate it carries, but that is not the gateway's."""
    stranger = open_signer(Settings(data_dir=tmp_path / "stranger"))

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
