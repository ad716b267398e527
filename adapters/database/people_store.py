"""People of this gateway and their personal tokens, which are known only by their SHA-256.

Every change is written to the event log in its own transaction, with who made it. A request asks
the database each time: an account that is closed is shut out from that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from adapters.database import rows
from adapters.database.people_tables import people, person_tokens
from adapters.database.store import SqlDatabase
from adapters.database.tables import events
from adapters.database.transaction import sql_of
from routing.ports import Transaction
from routing.records import Event

_p, _t = people.c, person_tokens.c


@dataclass(frozen=True, slots=True)
class StoredPerson:
    """One account. Roles are the values of `gateway.access.people.PersonRole`."""

    id: str
    name: str
    roles: tuple[str, ...]
    agencies: tuple[str, ...]
    created_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PersonToken:
    """One personal token."""

    id: str
    person_id: str
    sha256: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PersonNameTaken:
    """Somebody has this name; the names of closed accounts stay theirs."""

    name: str


class PeopleStore:
    """Accounts in the database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def all(self) -> list[tuple[StoredPerson, list[PersonToken]]]:
        """Every account by name, with its tokens, the newest first."""

        async def read(tx: Transaction) -> list[tuple[StoredPerson, list[PersonToken]]]:
            sql = sql_of(tx)
            found = await sql.execute(select(people).order_by(_p.name))
            accounts = [_person(row) for row in found.mappings()]
            tokens: dict[str, list[PersonToken]] = {one.id: [] for one in accounts}
            newest = select(person_tokens).order_by(_t.created_at.desc(), _t.id.desc())
            for row in (await sql.execute(newest)).mappings():
                tokens[row["person_id"]].append(PersonToken(**row))
            return [(one, tokens[one.id]) for one in accounts]

        return await self._database.read(read)

    async def authenticate(self, sha256: str, now: datetime) -> StoredPerson | None:
        """The open account whose valid token has this digest."""
        wanted = (
            select(people)
            .join(person_tokens, _t.person_id == _p.id)
            .where(_t.sha256 == sha256, _t.expires_at > now, _p.closed_at.is_(None))
        )

        async def read(tx: Transaction) -> StoredPerson | None:
            row = (await sql_of(tx).execute(wanted)).mappings().one_or_none()
            return _person(row) if row is not None else None

        return await self._database.read(read)

    async def add(
        self, person: StoredPerson, token: PersonToken, *, actor: str
    ) -> PersonNameTaken | None:
        """Open an account with its first token; None when done."""

        async def write(tx: Transaction) -> PersonNameTaken | None:
            sql = sql_of(tx)
            same_name = select(_p.id).where(_p.name == person.name)
            known = (await sql.execute(same_name)).scalar_one_or_none()
            if known == person.id:
                # This very transaction was committed before, and its answer was lost.
                return None
            if known is not None:
                return PersonNameTaken(person.name)
            await sql.execute(
                insert(people).values(
                    id=person.id,
                    name=person.name,
                    roles=list(person.roles),
                    agencies=list(person.agencies),
                    created_at=person.created_at,
                )
            )
            await _insert_token(tx, token)
            await _log(tx, "added", person, actor, person.created_at)
            return None

        return await self._database.write(write)

    async def is_closed(self, name: str) -> bool:
        """Whether the account of this name is closed; people of the provider may have one, too."""

        async def read(tx: Transaction) -> bool:
            wanted = select(_p.id).where(_p.name == name, _p.closed_at.is_not(None))
            return (await sql_of(tx).execute(wanted)).scalar_one_or_none() is not None

        return await self._database.read(read)

    async def shut_out(self, person: StoredPerson, *, actor: str, now: datetime) -> None:
        """Keep an account closed from the beginning, of somebody whom the provider knows."""

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            known = (await sql.execute(select(_p.id).where(_p.name == person.name))).first()
            if known is None:
                await sql.execute(
                    insert(people).values(
                        id=person.id,
                        name=person.name,
                        roles=list(person.roles),
                        agencies=list(person.agencies),
                        created_at=now,
                        closed_at=now,
                    )
                )
                await _log(tx, "closed", person, actor, now)

        await self._database.write(write)

    async def rotate(
        self, person: StoredPerson, token: PersonToken, old_end_at: datetime, *, actor: str
    ) -> None:
        """Add a token; the present ones end at `old_end_at` unless they end earlier."""

        async def write(tx: Transaction) -> None:
            await sql_of(tx).execute(_ending(person.id, old_end_at))
            await _insert_token(tx, token)
            await _log(tx, "token-rotated", person, actor, token.created_at)

        await self._database.write(write)

    async def close(self, person: StoredPerson, *, actor: str, now: datetime) -> None:
        """Close an account for ever: its tokens end now."""

        async def write(tx: Transaction) -> None:
            closing = update(people).where(_p.id == person.id, _p.closed_at.is_(None))
            changed = await sql_of(tx).execute(closing.values(closed_at=now))
            if changed.rowcount:
                await sql_of(tx).execute(_ending(person.id, now))
                await _log(tx, "closed", person, actor, now)

        await self._database.write(write)


def _ending(person_id: str, at: datetime) -> Any:
    still = update(person_tokens).where(_t.person_id == person_id, _t.expires_at > at)
    return still.values(expires_at=at)


async def _insert_token(tx: Transaction, token: PersonToken) -> None:
    await sql_of(tx).execute(
        insert(person_tokens).values(
            id=token.id,
            person_id=token.person_id,
            sha256=token.sha256,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


async def _log(tx: Transaction, what: str, person: StoredPerson, actor: str, now: datetime) -> None:
    event = Event(
        type=f"person.{what}",
        at=now,
        actor=actor,
        data={
            "person": person.name,
            "roles": list(person.roles),
            "agencies": list(person.agencies),
        },
    )
    await sql_of(tx).execute(insert(events), [rows.event_row(event)])


def _person(row: rows.Row) -> StoredPerson:
    return StoredPerson(
        id=row["id"],
        name=row["name"],
        roles=tuple(row["roles"]),
        agencies=tuple(row["agencies"]),
        created_at=row["created_at"],
        closed_at=row["closed_at"],
    )
