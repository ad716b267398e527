"""Alembic's home: `env.py` runs the migrations in `versions/`, oldest first."""
