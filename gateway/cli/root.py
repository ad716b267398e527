"""The root of the commands: global options, lazy loading, and errors turned into exit codes."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from gateway.cli.context import LANGUAGES, State
from gateway.cli.failures import EXIT_CODES, failure_of

#: Command name to the module and the command in it.
COMMANDS: Mapping[str, str] = {
    "serve": "gateway.cli.serve:serve",
    "check": "gateway.cli.check:check",
    "rules": "gateway.cli.rules:rules",
    "agencies": "gateway.cli.agencies:agencies",
    "connections": "gateway.cli.connections:connections",
    "people": "gateway.cli.people:people",
    "axis": "gateway.cli.axis:axis",
    "send": "gateway.cli.send:send",
    "inbox": "gateway.cli.inbox:inbox",
    "fetch": "gateway.cli.inbox:fetch",
    "confirm": "gateway.cli.inbox:confirm",
    "report": "gateway.cli.send:report",
    "recall": "gateway.cli.recall:recall",
    "trace": "gateway.cli.trace:trace",
    "deliveries": "gateway.cli.deliveries:deliveries",
    "callbacks": "gateway.cli.callbacks:callbacks",
    "calendar": "gateway.cli.calendar:calendar",
    "trust": "gateway.cli.trust:trust",
    "config": "gateway.cli.config:config",
    "status": "gateway.cli.status:status",
    "evidence": "gateway.cli.evidence:evidence",
    "verify": "gateway.cli.evidence:verify",
    "verify-events": "gateway.cli.verify:verify_events",
    "database": "gateway.cli.database:database",
    "demo": "gateway.cli.demo:demo",
    "simulate": "gateway.cli.simulate:simulate",
}


class Root(click.Group):
    """Loads a command when it is asked for; shows a traceback only with -v."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a document's life, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run; whatever is raised below ends as a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.ensure_object(State).verbose:
                click.echo(traceback.format_exc(), err=True)
            raise failure_of(error) from error


@click.group(
    cls=Root,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="LIENTHONG_CONFIG",
    show_envvar=True,
    help="TOML file with settings; the environment (LIENTHONG_…) goes before it.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell more; show tracebacks.")
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    envvar="LIENTHONG_LANG",
    show_envvar=True,
    help="Language of sentences for clerks. Without it findings are shown in both, tables are "
    "in English.",
)
@click.version_option(package_name="lienthong", prog_name="lienthong")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, verbose: bool, lang: str | None) -> None:
    """Gateway through which agencies exchange official documents (edXML).

    Trục liên thông văn bản điện tử giữa các cơ quan.
    """
    if config is not None and not config.is_file():
        raise click.BadParameter(f"there is no file {config}", param_hint="--config")
    ctx.obj = State(config=config, verbose=verbose, language=lang)


def main() -> None:
    """Entry point of the console script."""
    try:
        cli.main(prog_name="lienthong")
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing is left to be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
