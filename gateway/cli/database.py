"""`lienthong database …`: the schema."""

from __future__ import annotations

import click

from adapters.database import SchemaState, open_database
from gateway.cli.context import State, json_option, pass_state
from gateway.cli.output import print_json, show


@click.group(short_help="Migrate the schema.")
def database() -> None:
    """The database's schema."""


@database.command()
@json_option
@pass_state
async def migrate(state: State, as_json: bool) -> None:
    """Bring the database to this program's schema. Make a backup before."""
    settings = state.settings
    opened = await open_database(
        settings.effective_database_url, allow_unsafe=settings.database_allow_unsafe
    )
    try:
        before = await opened.migrate()
    finally:
        await opened.close()
    if as_json:
        print_json({"before": before.value, "after": SchemaState.CURRENT.value})
    elif before is SchemaState.CURRENT:
        show("The schema is up to date already.")
    else:
        show(f"The schema was {before}; it is up to date now.")
