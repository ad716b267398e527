"""Bringing a database to this program's schema with Alembic.

Run at the start of every process: under a lock, so that several processes may start at once. A
database that a newer program has migrated is refused, never downgraded.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from adapters.database.engine import DatabaseProblem

#: Any number that no other program uses for its advisory lock in the same database.
LOCK = 731_102_2016


class SchemaState(StrEnum):
    """How a database's schema stands to this program's."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def alembic_config() -> Config:
    """Alembic's settings, without any file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def look(connection: Connection) -> SchemaState:
    """How the schema stands, changing nothing."""
    revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(alembic_config())
    if revision is None:
        return SchemaState.EMPTY
    if revision == scripts.get_current_head():
        return SchemaState.CURRENT
    try:
        scripts.get_revision(revision)
    except CommandError:
        return SchemaState.NEWER
    return SchemaState.OLDER


def upgrade(connection: Connection) -> SchemaState:
    """Upgrade to the newest schema; what it was before. Raises `DatabaseProblem` if newer."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    before = look(connection)
    if before is SchemaState.NEWER:
        raise DatabaseProblem(
            "The database was migrated by a newer lienthong. Start that version, or restore the "
            "backup made before the upgrade; this one would not understand what it finds."
        )
    if before is not SchemaState.CURRENT:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before
