"""Alembic environment. The connection is handed in by `adapters.database.migrate`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

import adapters.database.evidence_tables
import adapters.database.lifecycle_tables
import adapters.database.partner_tables
import adapters.database.people_tables  # noqa: F401 - the tables register themselves
from adapters.database.tables import metadata


def run(connection: Connection) -> None:
    """Migrate on the connection and in the transaction that we were given."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
    )
    context.run_migrations()


run(context.config.attributes["connection"])
