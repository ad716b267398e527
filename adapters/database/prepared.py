"""Statements of every document's road, compiled once and handed to the driver as they are.

SQLAlchemy Core works out SQL, the order of parameters and the conversion of types; doing that anew
for each of the twenty statements of a document cost more time than the databases themselves
(measured: 100 µs and more each on PostgreSQL, against 25 µs). A `Prepared` keeps what Core worked
out. Everything that is not on that road goes through Core as usual (`Executes.execute`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.types import TypeEngine

from adapters.database.executes import Executes

Convert = Callable[[Any], Any]
Statement = Select[Any] | Insert | Update | Delete


class Compiled:
    """A statement as one kind of driver takes it."""

    def __init__(
        self, statement: Statement, columns: Sequence[KeyedColumnElement[Any]], dialect: Dialect
    ) -> None:
        spelled_out = {"render_postcompile": True}
        compiled = statement.compile(dialect=dialect, compile_kwargs=spelled_out)
        if not isinstance(compiled, SQLCompiler) or compiled.positiontup is None:
            raise TypeError(f"{dialect.name} takes no positional parameters")
        #: The SQL with the driver's placeholders.
        self.sql = str(compiled)
        fixed = compiled.params
        self._parameters = [
            (name, fixed[name], _to_database(compiled.binds[name].type, dialect))
            for name in compiled.positiontup
        ]
        self._columns = [(str(one.key), _from_database(one.type, dialect)) for one in columns]

    def bind(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The parameters in their places, as the driver takes them."""
        bound = []
        for name, fixed, convert in self._parameters:
            value = given.get(name, fixed)
            bound.append(value if convert is None else convert(value))
        return tuple(bound)

    def row(self, raw: Sequence[Any]) -> dict[str, Any]:
        """A row by the names of its columns, as `adapters.database.rows` reads it."""
        return {
            name: value if convert is None else convert(value)
            for (name, convert), value in zip(self._columns, raw, strict=True)
        }


class Prepared:
    """One statement; its parameters are `bindparam`s, `columns` what it returns, in order."""

    def __init__(
        self, statement: Statement, columns: Sequence[KeyedColumnElement[Any]] = ()
    ) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._compiled: dict[str, Compiled] = {}

    def on(self, dialect: Dialect) -> Compiled:
        """The statement for this dialect."""
        known = self._compiled.get(dialect.name)
        if known is None:
            known = Compiled(self._statement, self._columns, dialect)
            self._compiled[dialect.name] = known
        return known


class Runs(Executes, Protocol):
    """A connection that takes prepared statements besides those of Core."""

    async def run(self, prepared: Prepared, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run once; the rows."""

    async def run_many(self, prepared: Prepared, sets: Sequence[Mapping[str, Any]]) -> None:
        """Run for each set of parameters, at least one; returns nothing."""


def _to_database(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _from_database(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
