"""Fixtures of the contract suites."""

from tests.support.databases import database, database_url, migrated_postgres_url

__all__ = ["database", "database_url", "migrated_postgres_url"]
