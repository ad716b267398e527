"""Which stored payloads the records speak of: for sweeping orphans and for reading payloads again.

Every table that names a digest of stored bytes belongs into `referenced`; what is missing there is
removed a day after it was stored.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sqlalchemy import select

from adapters.database.store import SqlDatabase
from adapters.database.tables import packages
from adapters.database.transaction import sql_of
from routing.ports import ClaimCheck, Transaction


class PayloadReferences:
    """Digests in one database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def referenced(self, digests: AbstractSet[str]) -> AbstractSet[str]:
        """Those of these digests that some record speaks of. Raises `DatabaseUnavailable`."""

        async def read(tx: Transaction) -> set[str]:
            question = select(packages.c.digest).where(packages.c.digest.in_(digests)).distinct()
            return set((await sql_of(tx).execute(question)).scalars())

        return await self._database.read(read)

    async def claims(self, after: str, limit: int) -> list[tuple[str, ClaimCheck]]:
        """Package ids behind `after`, in order, with what the store must have for each."""

        async def read(tx: Transaction) -> list[tuple[str, ClaimCheck]]:
            question = (
                select(packages.c.id, packages.c.digest, packages.c.size)
                .where(packages.c.id > after)
                .order_by(packages.c.id)
                .limit(limit)
            )
            rows = (await sql_of(tx).execute(question)).all()
            return [(row.id, ClaimCheck(row.digest, row.size)) for row in rows]

        return await self._database.read(read)
