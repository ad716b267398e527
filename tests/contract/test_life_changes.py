"""Documents recalled, updated, replaced and answered in the middle of everything else."""

from __future__ import annotations

from pathlib import Path

from tests.support.life import live_on_postgresql, live_on_sqlite
from tests.support.life_changes import LifeWithChanges
from tests.support.servers import Postgres


def test_life_with_changes_on_sqlite(tmp_path: Path) -> None:
    """Many long and odd lives on SQLite."""
    live_on_sqlite(LifeWithChanges, tmp_path, examples=25, steps=30)


def test_life_with_changes_on_postgresql(postgres_server: Postgres) -> None:
    """A few of them on PostgreSQL."""
    live_on_postgresql(LifeWithChanges, postgres_server, examples=4, steps=25)
