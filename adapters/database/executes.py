"""What the statements need of a connection, so that they run on both kinds of driver."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy.engine import CursorResult, Dialect


class Executes(Protocol):
    """What a transaction needs of a connection; `AsyncConnection` is one."""

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's or SQLite's."""

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement, with one set of parameters or many."""
