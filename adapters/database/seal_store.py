"""Seals and receipts in the database (`routing.seals`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.database import rows
from adapters.database.evidence_tables import event_seals, receipts, sealed_events
from adapters.database.store import SqlDatabase
from adapters.database.tables import events, packages
from adapters.database.transaction import sql_of
from routing.accepted_facts import ACCEPTED
from routing.ports import Transaction
from routing.records import Event
from routing.seals import Seal

#: How far below the highest sealed number unsealed events are looked for in an ordinary round: a
#: transaction that commits late has a number that was given early.
WINDOW = 20_000
#: Among so many of the newest seals those without a time stamp are looked for. Older ones are left
#: without: each seal names the one before it, so the stamp of a newer one vouches for them, too.
STAMP_WINDOW = 5_000
#: Inserting by the name of the dialect; of both it can be said what a known key is to do.
_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
#: Most values of one IN.
AT_ONCE = 500

T = TypeVar("T")


class SealStore:
    """Seals over the log of one database, and signed receipts."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def last(self) -> Seal | None:
        """The newest seal."""

        async def read(tx: Transaction) -> Seal | None:
            newest = select(event_seals).order_by(event_seals.c.number.desc()).limit(1)
            row = (await sql_of(tx).execute(newest)).mappings().one_or_none()
            return Seal(**row) if row else None

        return await self._database.read(read)

    async def unsealed(
        self, committed_before: datetime, limit: int, *, everywhere: bool = False
    ) -> list[Event]:
        """Events that no seal covers, by number; `everywhere`: however old their numbers are."""

        async def read(tx: Transaction) -> list[Event]:
            sql = sql_of(tx)
            highest = (await sql.execute(select(func.max(sealed_events.c.seq)))).scalar() or 0
            floor = 0 if everywhere else highest - WINDOW
            wanted = (
                select(events)
                .outerjoin(sealed_events, sealed_events.c.seq == events.c.seq)
                .where(
                    sealed_events.c.seq.is_(None),
                    events.c.seq > floor,
                    events.c.at < committed_before,
                )
                .order_by(events.c.seq)
                .limit(limit)
            )
            return [rows.event_of(row) for row in (await sql.execute(wanted)).mappings()]

        return await self._database.read(read)

    async def uncovered(self, committed_before: datetime) -> list[int]:
        """Numbers of the events that no real seal covers, whatever stands beside them.

        What is sealed next is chosen by `unsealed`; this one believes nobody who writes a seal that
        is never looked at (numbers start with 1), and knows no number that is too low.
        """

        async def read(tx: Transaction) -> list[int]:
            real = (
                select(sealed_events.c.seq)
                .join(event_seals, event_seals.c.number == sealed_events.c.seal)
                .where(event_seals.c.number >= 1)
                .subquery()
            )
            wanted = (
                select(events.c.seq)
                .outerjoin(real, real.c.seq == events.c.seq)
                .where(real.c.seq.is_(None), events.c.at < committed_before)
                .order_by(events.c.seq)
            )
            return list((await sql_of(tx).execute(wanted)).scalars())

        return await self._database.read(read)

    async def dated_after(self, moment: datetime) -> list[int]:
        """Numbers of the events whose time lies behind this one."""

        async def read(tx: Transaction) -> list[int]:
            wanted = select(events.c.seq).where(events.c.at > moment).order_by(events.c.seq)
            return list((await sql_of(tx).execute(wanted)).scalars())

        return await self._database.read(read)

    async def unreal(self) -> list[int]:
        """Numbers of rows that are no seals, for none begins below 1."""

        async def read(tx: Transaction) -> list[int]:
            number = event_seals.c.number
            wanted = select(number).where(number < 1).order_by(number)
            return list((await sql_of(tx).execute(wanted)).scalars())

        return await self._database.read(read)

    async def add(self, seal: Seal, covered: Sequence[Event]) -> bool:
        """Keep a signed seal; False when another process was quicker."""

        async def write(tx: Transaction) -> bool:
            sql = sql_of(tx)
            newest = (await sql.execute(select(func.max(event_seals.c.number)))).scalar() or 0
            if newest != seal.number - 1:
                return False
            names = event_seals.c.keys()
            await sql.execute(
                insert(event_seals).values({name: getattr(seal, name) for name in names})
            )
            places = [
                {"seq": event.seq, "seal": seal.number, "position": position}
                for position, event in enumerate(covered)
            ]
            await sql.execute(insert(sealed_events), places)
            return True

        return await self._database.write(write)

    async def seals(self, after: int, limit: int) -> list[Seal]:
        """Seals behind this number, in order."""

        async def read(tx: Transaction) -> list[Seal]:
            wanted = (
                select(event_seals)
                .where(event_seals.c.number > after)
                .order_by(event_seals.c.number)
                .limit(limit)
            )
            return [Seal(**row) for row in (await sql_of(tx).execute(wanted)).mappings()]

        return await self._database.read(read)

    async def seals_numbered(self, numbers: Sequence[int]) -> list[Seal]:
        """The seals of these numbers, in order; those that do not exist are left out."""

        async def read(tx: Transaction) -> list[Seal]:
            found: list[Seal] = []
            for part in _parts(sorted(set(numbers))):
                wanted = select(event_seals).where(event_seals.c.number.in_(part))
                in_order = wanted.order_by(event_seals.c.number)
                found += [Seal(**row) for row in (await sql_of(tx).execute(in_order)).mappings()]
            return found

        return await self._database.read(read)

    async def unstamped(self, limit: int) -> list[Seal]:
        """Seals without a time stamp, the oldest first; those far back are left as they are."""

        async def read(tx: Transaction) -> list[Seal]:
            sql = sql_of(tx)
            newest = (await sql.execute(select(func.max(event_seals.c.number)))).scalar() or 0
            wanted = (
                select(event_seals)
                .where(event_seals.c.stamp.is_(None), event_seals.c.number > newest - STAMP_WINDOW)
                .order_by(event_seals.c.number)
                .limit(limit)
            )
            return [Seal(**row) for row in (await sql.execute(wanted)).mappings()]

        return await self._database.read(read)

    async def keep_stamp(self, number: int, stamp: bytes) -> bool:
        """Keep the time stamp of a seal; False when it has one, which stays."""

        async def write(tx: Transaction) -> bool:
            without = event_seals.c.number == number, event_seals.c.stamp.is_(None)
            done = await sql_of(tx).execute(update(event_seals).where(*without).values(stamp=stamp))
            return bool(done.rowcount)

        return await self._database.write(write)

    async def covered(self, number: int) -> list[Event]:
        """The events of one seal in the order in which they were sealed, as they are now."""

        async def read(tx: Transaction) -> list[Event]:
            wanted = (
                select(events)
                .join(sealed_events, sealed_events.c.seq == events.c.seq)
                .where(sealed_events.c.seal == number)
                .order_by(sealed_events.c.position)
            )
            return [rows.event_of(row) for row in (await sql_of(tx).execute(wanted)).mappings()]

        return await self._database.read(read)

    async def seals_of(self, numbers: Sequence[int]) -> dict[int, int]:
        """Which seal covers each of these events; those not sealed yet are left out."""

        async def read(tx: Transaction) -> dict[int, int]:
            found: dict[int, int] = {}
            for part in _parts(numbers):
                wanted = select(sealed_events.c.seq, sealed_events.c.seal).where(
                    sealed_events.c.seq.in_(part)
                )
                found.update({row.seq: row.seal for row in await sql_of(tx).execute(wanted)})
            return found

        return await self._database.read(read)

    async def receipt(self, package_id: str) -> str | None:
        """The signed receipt of a package, if it was made."""

        async def read(tx: Transaction) -> str | None:
            wanted = select(receipts.c.signed).where(receipts.c.package_id == package_id)
            return (await sql_of(tx).execute(wanted)).scalar_one_or_none()

        return await self._database.read(read)

    async def receipts(self, package_ids: Sequence[str]) -> dict[str, str]:
        """The signed receipts of these packages; those without one are left out."""

        async def read(tx: Transaction) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in _parts(package_ids):
                wanted = select(receipts.c.package_id, receipts.c.signed).where(
                    receipts.c.package_id.in_(part)
                )
                kept = await sql_of(tx).execute(wanted)
                found.update({row.package_id: row.signed for row in kept})
            return found

        return await self._database.read(read)

    async def keep_receipt(self, package_id: str, signed: str, now: datetime) -> str:
        """Keep a receipt; the one that was kept first is returned and stays for ever."""
        await self.keep_receipts({package_id: signed}, now)
        return await self.receipt(package_id) or ""

    async def keep_receipts(self, signed: Mapping[str, str], now: datetime) -> None:
        """Keep receipts by the ids of their packages; what was kept first stays."""

        async def write(tx: Transaction) -> None:
            sql = sql_of(tx)
            for part in _parts(list(signed)):
                there = select(packages.c.id).where(packages.c.id.in_(part))
                known = set((await sql.execute(there)).scalars())
                new = [
                    {"package_id": one, "signed": signed[one], "created_at": now}
                    for one in part
                    if one in known
                ]
                if new:
                    insert_: Any = _INSERTS[sql.dialect.name]
                    await sql.execute(insert_(receipts).on_conflict_do_nothing(), new)

        await self._database.write(write)

    async def accepted(self, package_id: str) -> Event | None:
        """The event of a package's acceptance."""

        async def read(tx: Transaction) -> Event | None:
            found = await tx.events_of_package(package_id)
            return next((event for event in found if event.type == ACCEPTED), None)

        return await self._database.read(read)

    async def not_accepted(self) -> list[str]:
        """Ids of the stored packages whose acceptance no event tells of."""

        async def read(tx: Transaction) -> list[str]:
            told = (events.c.package_id == packages.c.id) & (events.c.type == ACCEPTED)
            wanted = select(packages.c.id).where(~exists().where(told)).order_by(packages.c.id)
            return list((await sql_of(tx).execute(wanted)).scalars())

        return await self._database.read(read)


def _parts(values: Sequence[T]) -> Iterator[list[T]]:
    """The values, `AT_ONCE` at a time."""
    for start in range(0, len(values), AT_ONCE):
        yield list(values[start : start + AT_ONCE])
