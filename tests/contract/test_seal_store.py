"""Sealing the event log, on both databases."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, update
from structlog.testing import capture_logs

from adapters.database import SealStore, SqlDatabase, seal_store
from adapters.database.evidence_tables import event_seals, sealed_events
from adapters.database.tables import events, packages
from adapters.database.transaction import sql_of
from adapters.signing import Signer
from envelopes.json_signature import verify
from gateway import sealing
from gateway.sealing import NotAsLogged, Sealer
from gateway.settings import Settings
from gateway.signing_key import open_signer
from routing.gateway_reports import accepted_events
from routing.ports import Transaction
from routing.records import Event
from routing.seals import RECEIPT_KIND, SealFault, compare, seal_over
from tests.support.builders import (
    BETA,
    GAMMA,
    NOW,
    delivery,
    document,
    keep,
    later,
    look,
    new_id,
    package,
)
from tests.support.use_cases import Gateway


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A key that the gateway made for itself."""
    return open_signer(Settings(data_dir=tmp_path_factory.mktemp("key")))


@pytest.fixture
def sealer(database: SqlDatabase, signer: Signer) -> Sealer:
    """Seals this database's log."""
    return Sealer(database, signer, "LIENTHONG")


async def log(database: SqlDatabase, count: int, seconds: float = 0) -> None:
    """Append events."""
    made = [
        Event(type="delivery.rung", at=later(seconds), actor="gateway:relay", data={"n": number})
        for number in range(count)
    ]

    async def write(tx: Transaction) -> None:
        await tx.append(made)

    await database.write(write)


async def faults(database: SqlDatabase) -> list[SealFault]:
    """The whole chain against the log."""
    store, found, before = SealStore(database), [], None
    for seal in await store.seals(0, 100):
        found += compare(seal, before, await store.covered(seal.number))
        before = seal
    return found


async def test_everything_is_sealed_once_and_in_a_chain(
    database: SqlDatabase, sealer: Sealer
) -> None:
    """Three rounds: each seals what is new; the chain holds."""
    await log(database, 5)
    assert await sealer.seal(later(60)) == 5
    assert await sealer.seal(later(61)) == 0
    await log(database, 3, 70)
    # Too young: whatever commits beside them may not be there yet.
    assert await sealer.seal(later(71)) == 0
    assert await sealer.seal(later(90)) == 3
    seals = await SealStore(database).seals(0, 10)
    assert [(seal.number, seal.events) for seal in seals] == [(1, 5), (2, 3)]
    assert seals[1].previous == seals[0].digest
    assert await faults(database) == []


async def test_a_number_that_appears_late_is_sealed_all_the_same(
    database: SqlDatabase, sealer: Sealer
) -> None:
    """Numbers are given before commits: a lower one may come after a higher one was sealed."""
    await log(database, 4)

    async def hide(tx: Transaction) -> dict[str, object]:
        row = (await sql_of(tx).execute(events.select().where(events.c.seq == 2))).mappings().one()
        await sql_of(tx).execute(delete(events).where(events.c.seq == 2))
        return dict(row)

    hidden = await database.write(hide)
    assert await sealer.seal(later(60)) == 3

    async def appear(tx: Transaction) -> None:
        await sql_of(tx).execute(events.insert().values(**hidden))

    await database.write(appear)
    assert await sealer.seal(later(61)) == 1
    assert await faults(database) == []


async def test_what_no_real_seal_covers(database: SqlDatabase, sealer: Sealer) -> None:
    """A row beside the chain covers nothing; nor does a number below 1, or a time ahead, hide."""
    store = SealStore(database)
    await log(database, 2)
    await sealer.seal(later(60))
    await log(database, 2, 70)
    await log(database, 1, 900)
    (seal,) = await store.seals(0, 1)

    async def forge(tx: Transaction) -> None:
        sql = sql_of(tx)
        await sql.execute(event_seals.insert().values(asdict(seal) | {"number": 0}))
        await sql.execute(sealed_events.insert().values(seq=3, seal=0, position=0))
        await sql.execute(update(events).where(events.c.seq == 4).values(seq=-4))

    assert await store.unreal() == []
    await database.write(forge)
    assert await store.uncovered(later(80)) == [-4, 3]
    assert await store.dated_after(later(80)) == [5] and await store.unreal() == [0]


@pytest.mark.parametrize("what", ["altered", "missing"])
async def test_tampering_with_the_log_shows(
    database: SqlDatabase, sealer: Sealer, what: str
) -> None:
    """One event changed or removed behind the gateway's back."""
    await log(database, 5)
    await sealer.seal(later(60))

    async def tamper(tx: Transaction) -> None:
        third = events.c.seq == 3
        change = update(events).where(third).values(actor="operator:x")
        await sql_of(tx).execute(change if what == "altered" else delete(events).where(third))

    await database.write(tamper)
    assert [fault.what for fault in await faults(database)] == [what]


async def test_two_sealers_at_once_make_one_chain(database: SqlDatabase, signer: Signer) -> None:
    """Two processes seal the same log at the same moment: nothing twice, no gap."""
    await log(database, 30)
    sealers = [Sealer(database, signer, "LIENTHONG") for _ in range(4)]
    await asyncio.gather(*(one.seal(later(60), everything=True) for one in sealers))
    seals = await SealStore(database).seals(0, 100)
    assert sum(seal.events for seal in seals) == 30
    assert [seal.number for seal in seals] == list(range(1, len(seals) + 1))
    assert await faults(database) == []


def test_a_seal_is_not_what_another_time_says() -> None:
    """Changing when it was sealed changes what is signed."""
    made = seal_over([Event(type="a", at=NOW, actor="b", seq=1)], None, NOW)
    assert replace(made, sealed_at=NOW + timedelta(seconds=1)).digest != made.digest


async def test_many_seals_and_receipts_are_read_at_once(
    database: SqlDatabase, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by id, however many parts it takes; what does not exist is left out."""
    monkeypatch.setattr(seal_store, "AT_ONCE", 2)
    store = SealStore(database)
    for round_ in range(5):
        await log(database, 1, round_)
        assert await sealer.seal(later(60 + round_), everything=True) == 1
    found = await store.seals_numbered([5, 1, 3, 4, 3, 99])
    assert [seal.number for seal in found] == [1, 3, 4, 5]
    assert found == [seal for seal in await store.seals(0, 10) if seal.number != 2]
    ids = []
    for number in range(5):
        of = package()
        await keep(database, of)
        await store.keep_receipt(of.id, f"signed {number}", NOW)
        ids.append(of.id)
    wanted = [ids[4], ids[0], ids[2], new_id()]
    assert await store.receipts(wanted) == {ids[n]: f"signed {n}" for n in (0, 2, 4)}
    assert await store.seals_numbered([]) == [] and await store.receipts([]) == {}


async def test_a_seal_is_stamped_once(
    database: SqlDatabase, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seals without a stamp, the oldest first and not too far back; the first stamp stays."""
    store = SealStore(database)
    for round_ in range(4):
        await log(database, 1, round_)
        await sealer.seal(later(60 + round_), everything=True)
    assert [seal.number for seal in await store.unstamped(3)] == [1, 2, 3]
    assert await store.keep_stamp(2, b"\x00first")
    assert not await store.keep_stamp(2, b"second") and not await store.keep_stamp(99, b"none")
    assert [seal.stamp for seal in await store.seals(0, 3)] == [None, b"\x00first", None]
    assert [seal.number for seal in await store.unstamped(9)] == [1, 3, 4]
    monkeypatch.setattr(seal_store, "STAMP_WINDOW", 3)
    assert [seal.number for seal in await store.unstamped(9)] == [3, 4]
    assert await faults(database) == []


async def change_package(database: SqlDatabase, package_id: str, **to: object) -> None:
    """What somebody with access to the database does past the gateway."""

    async def write(tx: Transaction) -> None:
        await sql_of(tx).execute(update(packages).where(packages.c.id == package_id).values(**to))

    await database.write(write)


async def test_receipts_are_made_when_the_log_is_sealed(gateway: Gateway, signer: Signer) -> None:
    """Before anybody asks, from the event alone: what tables say later changes nothing."""
    sealer, store = Sealer(gateway.database, signer, "LIENTHONG"), SealStore(gateway.database)
    accepted = await gateway.accepted(document(BETA, GAMMA))
    package_id = accepted.package.id
    assert await store.receipt(package_id) is None
    assert await sealer.seal(later(60)) > 0
    made = await store.receipt(package_id)
    assert made is not None
    await change_package(gateway.database, package_id, sender_organ_id="000.00.00.H99")
    assert await sealer.receipt(accepted.package, [], later(61)) == made
    signed = verify(made.encode())
    assert signed.payload is not None and signed.kind == RECEIPT_KIND
    told = json.loads(signed.payload)
    of = accepted.package
    assert (told["sender"], told["senderName"]) == (of.sender_organ_id, of.sender_name)
    assert told["recipients"] == [BETA, GAMMA] and told["documentId"] == of.document_id
    assert (told["sha256"], told["size"]) == (of.digest, of.size)
    assert datetime.fromisoformat(told["receivedAt"]) == of.received_at


@pytest.mark.parametrize(
    "altered",
    [
        {"sender_name": "Ai đó"},
        {"received_at": later(-86400)},
        {"legal_sent_at": later(-86400)},
        {"digest": "ab" * 32},
        {"document_id": "000.00.99.H99,2026/01/01,1/X"},
        {
            "summary": {
                "subject": document().subject,
                "signatures": {"package": {"outcome": "valid"}},
            }
        },
    ],
    ids=lambda altered: next(iter(altered)),
)
async def test_values_that_the_log_does_not_know_are_not_signed(
    gateway: Gateway, signer: Signer, altered: dict[str, object]
) -> None:
    """A receipt that is asked for early: nothing is signed where table and event differ."""
    sealer = Sealer(gateway.database, signer, "LIENTHONG")
    accepted = await gateway.accepted(document(BETA))
    package_id = accepted.package.id
    await change_package(gateway.database, package_id, **altered)
    stored = await look(gateway.database, lambda tx: tx.get_package(package_id))
    with pytest.raises(NotAsLogged, match="differs"):
        await sealer.receipt(stored, list(accepted.deliveries), later(1))
    assert await SealStore(gateway.database).receipt(package_id) is None


async def test_a_recipient_that_the_log_knows_cannot_be_left_out(
    gateway: Gateway, signer: Signer
) -> None:
    """Fewer recipients in the table than in the event: no receipt. More came later: a receipt."""
    sealer = Sealer(gateway.database, signer, "LIENTHONG")
    accepted = await gateway.accepted(document(BETA, GAMMA))
    one, other = accepted.deliveries
    with pytest.raises(NotAsLogged, match="recipients"):
        await sealer.receipt(accepted.package, [one], later(1))
    further = replace(other, id=new_id(), recipient_organ_id="000.00.04.H41")
    signed = await sealer.receipt(accepted.package, [one, other, further], later(1))
    payload = verify(signed.encode()).payload
    assert payload is not None and json.loads(payload)["recipients"] == [BETA, GAMMA]


@pytest.mark.parametrize("asked", ["early", "sealed", "under a seal that is none"])
async def test_nothing_is_signed_that_was_dated_back(
    gateway: Gateway, signer: Signer, asked: str
) -> None:
    """A package and its acceptance, written into last month by hand: no receipt of last month."""
    sealer, store = Sealer(gateway.database, signer, "LIENTHONG"), SealStore(gateway.database)
    real = (await gateway.accepted(document(BETA))).package
    assert await sealer.seal(later(60)) > 0
    forged = replace(real, id=new_id(), received_at=later(-30 * 86400), digest="ab" * 32)
    rows = [delivery(forged, BETA)]
    acceptance = accepted_events(forged, rows, "connection:alpha")

    async def forge(tx: Transaction) -> None:
        await tx.insert_package(forged)
        await tx.append(acceptance)
        if asked == "under a seal that is none":
            sql = sql_of(tx)
            (seal,) = (await sql.execute(event_seals.select())).mappings()
            seq = (await tx.events_of_package(forged.id))[0].seq
            await sql.execute(event_seals.insert().values({**seal, "number": 0}))
            await sql.execute(sealed_events.insert().values(seq=seq, seal=0, position=0))

    await gateway.database.write(forge)
    honest = (await gateway.accepted(document(GAMMA, number=2))).package
    if asked == "sealed":
        with capture_logs() as logged:
            assert await sealer.seal(later(120)) > 0
        refused = [one for one in logged if one["event"] == "receipt.misdated"]
        assert [one["package"] for one in refused] == [forged.id]
        assert await store.receipt(honest.id) is not None
    with pytest.raises(NotAsLogged, match="dated back"):
        await sealer.receipt(forged, rows, later(121))
    assert await store.receipt(forged.id) is None
    assert await store.receipt(real.id) is not None


async def test_a_slow_token_holds_no_seal_up(
    gateway: Gateway, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts that do not fit into a round are made when they are asked for."""
    monkeypatch.setattr(sealing, "ISSUE_SECONDS", 0.0)
    sealer, store = Sealer(gateway.database, signer, "LIENTHONG"), SealStore(gateway.database)
    accepted = await gateway.accepted(document(BETA))
    assert await sealer.seal(later(60)) > 0
    assert await store.receipt(accepted.package.id) is None
    signed = await sealer.receipt(accepted.package, list(accepted.deliveries), later(61))
    assert verify(signed.encode()).kind == RECEIPT_KIND
    assert await store.receipt(accepted.package.id) == signed
