"""`lienthong serve`: the service."""

from __future__ import annotations

import sys

import click

from gateway.cli.context import State, pass_state
from gateway.cli.failures import wrong_use
from gateway.settings import ROLES, Role
from gateway.settings_loading import data_dir_problem, problems_between


def _roles(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> list[Role]:
    names = [name.strip() for item in given for name in item.split(",")]
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no role; roles are {', '.join(ROLES)}")
    return [role for role in ROLES if role in names] or list(ROLES)


@click.command(short_help="Run the service.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    callback=_roles,
    metavar="ROLE[,ROLE…]",
    help="What this process does: api, relay, worker, timer. May be repeated. Default: all.",
)
@pass_state
def serve(state: State, roles: list[Role]) -> None:
    """Run the service until SIGTERM or Ctrl-C; migrates its database first."""
    settings = state.settings
    chosen = tuple(roles)
    problems = problems_between(settings, chosen)
    nowhere = data_dir_problem(settings)
    problems += [nowhere] if nowhere else []
    if problems:
        wrong_use("\n".join(problems))
    from gateway.app import run_service

    sys.exit(run_service(settings, chosen))
