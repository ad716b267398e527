"""`lienthong deliveries` and `lienthong trace`: an operator's view and decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from adapters.database import SqlDatabase
from gateway.cli.failures import REFUSED, WRONG_USE
from routing.gateway_reports import accepted_events
from routing.ports import Transaction
from routing.records import Delivery, DocumentRecord, PackageRecord
from routing.states import Happening
from tests.support.builders import (
    ALPHA,
    BETA,
    GAMMA,
    NOW,
    delivery,
    new_id,
    package,
    put,
    settle_world,
    step,
)
from tests.unit.gateway.cli_runner import Lienthong

SUBJECT = "V/v kiểm tra"


@dataclass(frozen=True)
class Seed:
    """One document of ALPHA: for BETA it waits in the inbox, for GAMMA it is dead."""

    document: DocumentRecord
    package: PackageRecord
    beta: Delivery
    gamma: Delivery


async def plant(database: SqlDatabase, document_id: str = "X,2026/03/02,1/CV") -> Seed:
    """Fill a database with the registry and the document."""
    world = await settle_world(database)
    return await plant_document(
        database, world.alpha.id, world.beta.id, world.gamma.id, document_id
    )


async def plant_document(
    database: SqlDatabase, alpha: str, beta: str, gamma: str, document_id: str, sender: str = ALPHA
) -> Seed:
    """Record a document and move its deliveries on."""
    sent = package(sender, connection_id=alpha, document_id=document_id)

    async def write(tx: Transaction) -> Seed:
        document = await tx.lock_document(
            sender, document_id, pk=new_id(), subject=SUBJECT, search="", now=NOW
        )
        known = replace(sent, document_pk=document.pk)
        rows = (
            delivery(known, BETA, connection_id=beta),
            delivery(known, GAMMA, connection_id=gamma),
        )
        await tx.insert_package(known)
        await tx.insert_deliveries(rows)
        await tx.append(accepted_events(known, list(rows), "connection:alpha"))
        return Seed(document, known, *rows)

    seed = await database.write(write)
    offered = step(seed.beta, Happening.OFFERED, offered_at=NOW, ring_at=None)
    dead = step(seed.gamma, Happening.EXHAUSTED, ring_at=None, attempts=12)
    await put(database, offered, dead)
    return Seed(seed.document, seed.package, offered.after, dead.after)


@pytest.fixture
def seed(lienthong: Lienthong) -> Seed:
    """The document, in the database of the command line."""
    return lienthong.database(plant)


def test_list_narrows_by_what_is_asked(lienthong: Lienthong, seed: Seed) -> None:
    """By state, connection, recipient (any form of its code) and document; newest first."""

    def ids(*options: str) -> list[str]:
        return [row["id"] for row in lienthong.json("deliveries", "list", *options)["items"]]

    beta, gamma = seed.beta.id, seed.gamma.id
    assert ids() == [gamma, beta]
    assert ids("--state", "dead") == [gamma]
    assert ids("--state", "dead,offered", "--state", "held") == [gamma, beta]
    assert ids("--connection", "beta") == [beta]
    assert ids("--recipient", GAMMA.lower()) == [gamma]
    assert ids("--document", seed.package.document_id) == [gamma, beta]
    assert ids("--document", "unknown") == []
    assert ids("--limit", "1") == [gamma]
    assert ids("--after", gamma) == [beta]
    table = lienthong("deliveries", "list").stdout
    assert "offered" in table and "dead" in table and "beta" in table


def test_list_refuses_what_does_not_exist(lienthong: Lienthong, seed: Seed) -> None:
    """Unknown states name those there are; unknown connections are refused."""
    assert "offered" in lienthong("deliveries", "list", "--state", "lost", code=WRONG_USE).stderr
    lienthong("deliveries", "list", "--connection", "nobody", code=REFUSED)


def test_show_tells_everything_of_several(lienthong: Lienthong, seed: Seed) -> None:
    """Those that exist are shown; one that does not makes the exit code 1."""
    items = lienthong.json("deliveries", "show", seed.beta.id, seed.gamma.id)["items"]
    assert [item["documentId"] for item in items] == [seed.package.document_id] * 2
    assert items[1]["state"] == "dead" and items[1]["attempts"] == 12
    result = lienthong("deliveries", "show", seed.beta.id, "nothing", code=REFUSED)
    assert SUBJECT in result.stdout and "nothing" in result.stderr


def test_hold_and_release(lienthong: Lienthong, seed: Seed) -> None:
    """A held delivery goes on where it was taken out; reason and operator are in the story."""
    assert (
        "is now held"
        in lienthong(
            "deliveries", "hold", seed.beta.id, "--reason", "sai cơ quan", "--operator", "hoa"
        ).stdout
    )
    story = lienthong("trace", seed.beta.id).stdout
    assert "Người vận hành hoa tạm giữ: sai cơ quan" in story
    released = lienthong.json("deliveries", "release", seed.beta.id)["items"][0]
    assert released == {"id": seed.beta.id, "done": True, "state": "accepted", "reason": None}


def test_list_says_who_holds_it_and_why(lienthong: Lienthong, seed: Seed) -> None:
    """The reason of a hold, the kind and the document stand in the list."""
    lienthong("deliveries", "hold", seed.beta.id, "--reason", "chờ xác minh", "--operator", "hoa")
    (row,) = lienthong.json("deliveries", "list", "--state", "held")["items"]
    assert row["held"] == "chờ xác minh (hoa)"
    assert (row["kind"], row["documentId"]) == ("document", seed.package.document_id)
    table = lienthong("deliveries", "list", "--state", "held").stdout
    assert "chờ xác minh (hoa)" in table and seed.package.document_id in table
    assert "chờ xác minh (hoa)" in lienthong("deliveries", "show", seed.beta.id).stdout


def test_a_suspended_connection_is_told_wherever_one_looks(
    lienthong: Lienthong, seed: Seed
) -> None:
    """List, show and story say that nothing moves, and why; no more once it is resumed."""
    doors = (
        ("deliveries", "list", "--connection", "beta"),
        ("deliveries", "show", seed.beta.id),
        ("trace", seed.document.pk, "--lang", "en"),
    )
    lienthong("connections", "suspend", "beta")
    for door in doors:
        assert "“beta” is suspended" in lienthong(*door).stdout
    story = lienthong.json("trace", seed.document.pk)
    assert "đang tạm dừng" in story["recipients"][0]["waiting"]["vi"]
    lienthong("connections", "resume", "beta")
    for door in doors:
        assert "is suspended" not in lienthong(*door).stdout


def test_several_at_once_each_get_an_answer(lienthong: Lienthong, seed: Seed) -> None:
    """What is not possible is told with its reason, the rest is done, the exit code is 1."""
    items = lienthong.json(
        "deliveries", "replay", seed.gamma.id, seed.beta.id, "nothing", code=REFUSED
    )["items"]
    assert [(item["done"], item["state"]) for item in items] == [
        (True, "accepted"),
        (False, "offered"),
        (False, None),
    ]
    assert items[1]["reason"]["vi"] and items[2]["reason"]["en"] == "There is no such delivery."


def test_return_tells_the_sender(lienthong: Lienthong, seed: Seed) -> None:
    """A status 02 of the gateway is on its way to the sender, with the reason given."""
    lienthong("deliveries", "return", seed.gamma.id, "--reason", "Cơ quan đã giải thể")
    rows = lienthong.json("deliveries", "list", "--connection", "alpha")["items"]
    assert [row["recipient"] for row in rows] == [ALPHA]
    told = lienthong.json("deliveries", "show", rows[0]["id"])["items"][0]
    assert told["kind"] == "status"
    payload = lienthong.data / "payloads" / told["sha256"][:2] / told["sha256"]
    assert "Cơ quan đã giải thể" in payload.read_text("utf-8")
    story = lienthong("trace", seed.document.pk, "--lang", "en").stdout
    assert "The gateway reported 02 (refused) to the sender" in story


@pytest.mark.parametrize("verb", ["hold", "return"])
def test_a_reason_must_be_given(lienthong: Lienthong, seed: Seed, verb: str) -> None:
    """Neither left out nor blank; nothing changes."""
    lienthong("deliveries", verb, seed.beta.id, code=WRONG_USE)
    lienthong("deliveries", verb, seed.beta.id, "--reason", "  ", code=WRONG_USE)
    assert lienthong.json("deliveries", "show", seed.beta.id)["items"][0]["state"] == "offered"


def test_trace_by_every_name_of_a_document(lienthong: Lienthong, seed: Seed) -> None:
    """DocumentId, key, package and delivery lead to the same story."""
    names = (seed.package.document_id, seed.document.pk, seed.package.id, seed.beta.id)
    stories = [lienthong.json("trace", name) for name in names]
    assert all(story == stories[0] for story in stories)
    assert [one["recipient"] for one in stories[0]["recipients"]] == [BETA, GAMMA]
    assert stories[0]["recipients"][0]["lines"][0]["at"].endswith("Z")


def test_trace_in_the_language_asked_for(lienthong: Lienthong, seed: Seed) -> None:
    """Vietnamese unless asked otherwise, in Vietnam time; technical steps with -v alone."""
    plain = lienthong("trace", seed.document.pk).stdout
    assert "02/03/2026 08:30:00  Đã đặt vào hộp nhận của beta." in plain
    assert "Đã ghi nhận lượt gửi" not in plain
    assert "Đã ghi nhận lượt gửi" in lienthong("trace", seed.document.pk, "-v").stdout
    assert "Put into the inbox of beta." in lienthong("--lang", "en", "trace", seed.beta.id).stdout


def test_trace_of_nothing_and_of_two(lienthong: Lienthong, seed: Seed) -> None:
    """An unknown name is refused; a DocumentId that two senders use asks which one."""
    lienthong("trace", "nothing", code=REFUSED)
    # The name of nothing is no document's, least of all the only one's.
    for empty in ("", " "):
        assert "empty" in lienthong("trace", empty, code=WRONG_USE).stderr
    assert "empty" in lienthong("deliveries", "list", "--document", "", code=WRONG_USE).stderr
    row = seed.beta

    async def another(database: SqlDatabase) -> Seed:
        connection = str(row.connection_id)
        return await plant_document(
            database, connection, connection, connection, seed.package.document_id, sender=BETA
        )

    second = lienthong.database(another)
    told = lienthong("trace", seed.package.document_id, code=REFUSED).stderr
    assert seed.document.pk in told and second.document.pk in told


def test_foreign_text_is_shown_harmlessly(lienthong: Lienthong) -> None:
    """A DocumentId with a control sequence does not reach the terminal as one."""
    seed = lienthong.database(lambda database: plant(database, "X\x1b[2J"))
    text = lienthong("trace", seed.document.pk).stdout
    assert "\x1b" not in text and "X\\x1b[2J" in text


def test_trace_by_the_document_id_of_an_update(lienthong: Lienthong, seed: Seed) -> None:
    """What `send` printed for a package about another document leads to that document."""

    async def update(database: SqlDatabase) -> None:
        later = replace(package(ALPHA, document_id="X,2026/03/03,2/CV"), version=2)
        known = replace(later, document_pk=seed.document.pk)

        async def write(tx: Transaction) -> None:
            await tx.insert_package(known)
            rows = [replace(delivery(known, BETA), version=2)]
            await tx.insert_deliveries(rows)
            await tx.append(accepted_events(known, rows, "connection:alpha"))

        await database.write(write)

    lienthong.database(update)
    story = lienthong.json("trace", "X,2026/03/03,2/CV")
    assert story == lienthong.json("trace", seed.package.document_id)
