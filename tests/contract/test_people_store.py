"""Accounts of people on both databases, and which documents a clerk's search finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from adapters.database import (
    PeopleStore,
    PersonNameTaken,
    PersonToken,
    SqlDatabase,
    StoredPerson,
)
from identifiers.organ_id import OrganId
from routing.ports import DocumentQuery, Transaction
from routing.states import TransportState
from tests.support.builders import NOW, delivery, keep, later, look, new_id, package

DAY = timedelta(days=1)
LAN = StoredPerson(new_id(), "lan", ("clerk",), ("H41",), NOW)


def token(person: StoredPerson, sha256: str, seconds: float = 0) -> PersonToken:
    """A token of a day, made some seconds later."""
    return PersonToken(new_id(), person.id, sha256, later(seconds), later(seconds) + DAY)


async def types(database: SqlDatabase) -> list[tuple[str, str]]:
    """Type and actor of everything in the log."""
    log = await look(database, lambda tx: tx.events_after(0, 100))
    return [(event.type, event.actor) for event in log]


async def test_an_account_lives_until_it_is_closed(database: SqlDatabase) -> None:
    """Added once, rotated with an overlap, shut out by its token's end and by closing."""
    store = PeopleStore(database)
    first = token(LAN, "a" * 64)
    for _ in range(2):
        assert await store.add(LAN, first, actor="operator:an") is None
    again = replace(LAN, id=new_id())
    taken = await store.add(again, token(again, "b" * 64), actor="operator:an")
    assert taken == PersonNameTaken("lan")
    assert await store.authenticate("a" * 64, later(1)) == LAN
    assert await store.authenticate("a" * 64, NOW + DAY) is None
    assert await store.authenticate("b" * 64, later(1)) is None
    await store.rotate(LAN, token(LAN, "c" * 64, 10), later(100), actor="operator:an")
    for digest in ("a" * 64, "c" * 64):
        assert await store.authenticate(digest, later(50)) == LAN
    assert await store.authenticate("a" * 64, later(101)) is None
    for _ in range(2):
        await store.close(LAN, actor="operator:an", now=later(200))
    for moment in (later(50), later(201)):
        assert await store.authenticate("c" * 64, moment) is None
    ((person, tokens),) = await store.all()
    assert person == replace(LAN, closed_at=later(200))
    assert [one.expires_at for one in tokens] == [later(200), later(100)]
    assert await types(database) == [
        (f"person.{what}", "operator:an") for what in ("added", "token-rotated", "closed")
    ]


async def test_somebody_of_the_provider_can_be_shut_out(database: SqlDatabase) -> None:
    """Closed from the beginning, once, with a line in the log; nobody else is touched."""
    store = PeopleStore(database)
    for _ in range(2):
        binh = StoredPerson(new_id(), "oidc:binh", (), (), NOW)
        await store.shut_out(binh, actor="operator:an", now=NOW)
    assert await store.is_closed("oidc:binh") and not await store.is_closed("oidc:lan")
    await store.add(LAN, token(LAN, "a" * 64), actor="operator:an")
    assert not await store.is_closed("lan")
    assert await types(database) == [
        ("person.closed", "operator:an"),
        ("person.added", "operator:an"),
    ]


CODES = (
    "H41",
    "H41.13",
    "H41.13.05",
    "H41.130",
    "000.00.13.H41",
    "000.05.13.H41",
    "007.05.13.H41",
    "000.00.14.H41",
    "000.13.00.H41",
    "H53",
    "H4",
    "0100109106",
)


async def sent_by(database: SqlDatabase, sender: str, recipient: str = "Z99") -> str:
    """A document of this sender, its copy in the recipient's inbox; its key."""
    pk = new_id()

    async def write(tx: Transaction) -> None:
        name = {"pk": pk, "subject": "V/v", "search": "v/v", "now": NOW}
        await tx.lock_document(sender, f"{sender}-{recipient}", **name)  # type: ignore[arg-type]

    await database.write(write)
    of = package(sender, document_pk=pk, digest=new_id().replace("-", "") * 2)
    offered = delivery(of, recipient, state=TransportState.OFFERED, offered_at=NOW)
    await keep(database, of, offered)
    return pk


async def test_a_search_finds_what_lies_within_the_codes_and_nothing_else(
    database: SqlDatabase,
) -> None:
    """The same as `OrganId.is_within` says, for senders and recipients, old codes and new."""
    keys = {code: OrganId.of(code).key for code in CODES}
    sent = {code: await sent_by(database, key) for code, key in keys.items()}
    received = {code: await sent_by(database, "Z99", key) for code, key in keys.items()}
    for mine in CODES:
        query = DocumentQuery(within=(OrganId.of(mine),), limit=500)
        records = await look(database, lambda tx, q=query: tx.search_documents(q))  # type: ignore[misc]
        inside = [one for one in CODES if OrganId.of(one).is_within(OrganId.of(mine))]
        assert {one.pk for one in records} == {
            found[one] for found in (sent, received) for one in inside
        }, mine
    nothing = await look(database, lambda tx: tx.search_documents(DocumentQuery(within=())))
    assert nothing == []
