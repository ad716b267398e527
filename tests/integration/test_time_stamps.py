"""Time stamps on seals: a real authority on loopback, good and bad answers, and what they prove."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from asn1crypto import tsp
from sqlalchemy import update

from adapters.database import SealStore, SqlDatabase, open_database
from adapters.database.evidence_tables import event_seals
from adapters.database.transaction import sql_of
from adapters.signing import Signer
from adapters.timestamps import LARGEST, NoStamp, TimeStampAuthority, judge_of
from adapters.trust import TrustMaterial
from gateway import stamping
from gateway.log_check import LogCheck
from gateway.observability import Metrics
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.signing_key import open_signer
from gateway.stamping import Stamping
from routing.ports import Transaction
from routing.records import Event
from tests.support.builders import later
from tests.support.pdf_signing import time_stamper
from tests.support.pki import Credential, pki
from tests.support.pki_server import Answer, PkiServer
from tests.support.signature_forgeries import stranger_tsa

RUNNING = asyncio.Event()
SEALED = later(60)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """The gateway's key."""
    return open_signer(Settings(data_dir=tmp_path_factory.mktemp("key")))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqlDatabase]:
    """A database of the test's own."""
    opened = await open_database(f"sqlite:///{tmp_path}/lienthong.db")
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
def server() -> Iterator[PkiServer]:
    """An authority whose clock is a second ahead of the first seal."""
    with PkiServer(pki().government, pki().tsa, later(61)) as started:
        yield started


class Office:
    """A sealed log and who asks for its stamps."""

    def __init__(self, database: SqlDatabase, signer: Signer, server: PkiServer) -> None:
        self.database, self.store, self.server = database, SealStore(database), server
        self.metrics = Metrics()
        self.sealer = Sealer(database, signer, "LIENTHONG")
        self.authority = TimeStampAuthority(server.url("/tsa"), seconds=5)

    async def seals(self, count: int) -> None:
        """So many seals, of an event each."""
        for number in range(count):
            event = Event(type="document.read", at=later(number), actor="person:lan")

            async def write(tx: Transaction, event: Event = event) -> None:
                await tx.append([event])

            await self.database.write(write)
            assert await self.sealer.seal(SEALED, everything=True) == 1

    async def round(self) -> int:
        """What the timer role does again and again."""
        return await Stamping(self.database, self.authority, self.metrics).once(RUNNING)

    async def stamped(self) -> list[int]:
        """Numbers of the seals that have one."""
        return [seal.number for seal in await self.store.seals(0, 100) if seal.stamp]

    def counted(self, outcome: str) -> float:
        """What the metric says."""
        labels = {"outcome": outcome}
        return self.metrics.registry.get_sample_value("lienthong_seal_stamps_total", labels) or 0

    async def check(self, anchors: tuple[bytes, ...] = pki().roots) -> LogCheck:
        """What `verify-events` makes of the stamps."""
        found = LogCheck((), (), judge_of(TrustMaterial(anchors=anchors)))
        await found.seals_of(self.store)
        return found

    async def faults(self) -> list[str]:
        """Faults of stamps."""
        return [one.found for one in (await self.check()).faults if one.what == "stamp"]

    async def put(self, number: int, stamp: bytes | None) -> None:
        """What somebody with access to the database does past the gateway."""

        async def write(tx: Transaction) -> None:
            one = update(event_seals).where(event_seals.c.number == number)
            await sql_of(tx).execute(one.values(stamp=stamp))

        await self.database.write(write)


@pytest.fixture
def office(database: SqlDatabase, signer: Signer, server: PkiServer) -> Office:
    """The gateway's part."""
    return Office(database, signer, server)


async def token(
    of: bytes, at: datetime | None = None, by: Credential | None = None, md: str | None = None
) -> bytes:
    """A stamp over these bytes."""
    stamper = time_stamper(by or pki().tsa, at or later(61))
    stamper.override_md = md
    made = await stamper.async_timestamp(hashlib.sha256(of).digest(), "sha256")
    stamp: bytes = made.dump()
    return stamp


async def test_every_seal_gets_a_stamp_that_holds(office: Office) -> None:
    """Asked for once each; the authority's time is told, the newest seal's for all before it."""
    await office.seals(3)
    assert await office.round() == 3 and await office.round() == 0
    assert office.server.asked == ["/tsa"] * 3 and office.counted("stamped") == 3
    found = await office.check()
    assert await office.faults() == [] and found.unstamped == 0
    (told,) = found.stamps.values()
    assert (told.trusted, told.count, told.newest) == (True, 3, 3)
    assert told.at is not None and abs(told.at - later(61)).total_seconds() < 1
    (told,) = (await office.check(anchors=())).stamps.values()
    assert told.trusted is None


async def test_another_program_believes_the_stamp(office: Office, tmp_path: Path) -> None:
    """OpenSSL verifies the same bytes over the same file."""
    await office.seals(1)
    await office.round()
    seal = await office.store.last()
    assert seal is not None and seal.stamp is not None
    (tmp_path / "1.jws").write_text(seal.signed)
    (tmp_path / "1.tst").write_bytes(seal.stamp)
    (tmp_path / "root.pem").write_bytes(pki().root.credential.pem)
    command = "openssl ts -verify -data 1.jws -in 1.tst -token_in -CAfile root.pem"
    done = await asyncio.create_subprocess_exec(*command.split(), cwd=tmp_path)
    assert await asyncio.wait_for(done.wait(), 20) == 0


async def test_away_and_back(office: Office) -> None:
    """Nobody there, an error: seals go on, one question in a round; later all are stamped."""
    await office.seals(1)
    good = office.authority
    office.authority = TimeStampAuthority("http://127.0.0.1:9/", seconds=5)
    assert await office.round() == 0
    office.authority = good
    tsa = office.server.answers.pop("/tsa")
    await office.seals(2)
    assert await office.round() == 0 and office.server.asked == ["/tsa"]
    assert await office.stamped() == [] and office.counted("away") == 2
    assert await office.faults() == [] and (await office.check()).unstamped == 3
    office.server.answers["/tsa"] = tsa
    assert await office.round() == 3 and await office.stamped() == [1, 2, 3]


async def test_a_round_has_an_end(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long absence the authority is not asked for everything at once."""
    monkeypatch.setattr(stamping, "AT_ONCE", 2)
    await office.seals(3)
    assert await office.round() == 2 and await office.stamped() == [1, 2]
    assert await office.round() == 1


async def test_an_authority_that_does_not_answer_in_time(office: Office) -> None:
    """It is away."""
    enough = threading.Event()

    def slow(_body: bytes) -> Answer:
        enough.wait(20)
        return 200, "application/timestamp-reply", b""

    await office.seals(1)
    office.server.answers["/tsa"] = slow
    office.authority = TimeStampAuthority(office.server.url("/tsa"), seconds=0.2)
    assert await office.round() == 0 and office.counted("away") == 1
    enough.set()


def _granted(of: tsp.TimeStampReq) -> bytes:
    answer: bytes = time_stamper(pki().tsa, later(61)).request_tsa_response(of).dump()
    return answer


def _other_imprint(body: bytes) -> bytes:
    asked = tsp.TimeStampReq.load(body)
    asked["message_imprint"]["hashed_message"] = b"\x01" * 32
    return _granted(asked)


def _other_nonce(body: bytes) -> bytes:
    asked = tsp.TimeStampReq.load(body)
    asked["nonce"] = 5
    return _granted(asked)


def _altered(body: bytes) -> bytes:
    """The signature of an otherwise good answer."""
    answer = _granted(tsp.TimeStampReq.load(body))
    return answer[:-1] + bytes([answer[-1] ^ 1])


def _status(number: int) -> bytes:
    """An answer that is nothing but a status."""
    return bytes([0x30, 5, 0x30, 3, 2, 1, number])


@pytest.mark.parametrize(
    "answer",
    [
        _other_imprint,
        _other_nonce,
        _altered,
        lambda _body: _status(2),
        lambda _body: _status(0),
        lambda _body: b"",
        lambda _body: b"<html>Welcome</html>",
        lambda _body: b"\x30\x82\xff\xff" + bytes(100),
        lambda _body: bytes(LARGEST + 1),
        lambda body: body,
        lambda body: _granted(tsp.TimeStampReq.load(body)) + b"more",
    ],
    ids=[
        "imprint",
        "nonce",
        "signature",
        "refusal",
        "no-token",
        "nothing",
        "page",
        "garbage",
        "large",
        "echo",
        "more",
    ],
)
async def test_a_bad_answer_is_not_kept(office: Office, answer: Callable[[bytes], bytes]) -> None:
    """It is counted and told; one seal does not keep the others from being asked for."""
    await office.seals(2)
    good = office.server.answers["/tsa"]
    bad = [answer]

    def first_bad(body: bytes) -> Answer:
        if bad:
            return 200, "application/timestamp-reply", bad.pop()(body)
        return good(body)

    office.server.answers["/tsa"] = first_bad
    assert await office.round() == 1 and await office.stamped() == [2]
    assert office.counted("refused") == 1
    assert await office.round() == 1 and await office.faults() == []


async def test_a_refusal_is_told_in_the_authoritys_words(office: Office) -> None:
    """What its answer says, as a sentence of the log."""
    office.server.answers["/tsa"] = lambda _body: (200, "", _status(2))
    answer = await office.authority.stamp(b"text")
    assert isinstance(answer, NoStamp) and "says rejection" in answer.found


async def test_a_time_before_the_seal_is_not_kept(office: Office) -> None:
    """Clocks that differ by minutes: kept, the stamp would speak against the seal for ever."""
    office.server.now = later(60 - 62)
    await office.seals(1)
    assert await office.round() == 0 and office.counted("refused") == 1
    office.server.now = later(30)
    assert await office.round() == 1 and await office.faults() == []


async def test_what_does_not_fit_is_a_fault(office: Office) -> None:
    """Of another seal, another time, by who is no authority or a stranger; bytes of any kind."""
    await office.seals(2)
    one, two = await office.store.seals(0, 2)
    signed = one.signed.encode()
    good = await token(signed)
    expected = {
        "something else": await token(two.signed.encode()),
        "but the seal says": await token(signed, later(60 - 62)),
        "not trusted": await token(signed, by=stranger_tsa(pki())),
        "not trusted: ": await token(signed, by=pki().agency),
        "not accepted": await token(signed, md="sha1"),
        "damaged": b"hello",
        "too large": bytes(LARGEST + 1),
        "does not hold": good[:-1] + bytes([good[-1] ^ 1]),
    }
    for words, stamp in expected.items():
        await office.put(1, stamp)
        (found,) = await office.faults()
        assert words in found, (words, found)
    await office.put(1, good)
    assert await office.faults() == []


async def test_a_stamp_may_come_late(office: Office) -> None:
    """A day later: the authority vouches for less, and for nothing wrong."""
    await office.seals(1)
    seal = await office.store.last()
    assert seal is not None
    await office.put(1, await token(seal.signed.encode(), later(86400)))
    assert await office.faults() == []
