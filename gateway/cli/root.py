"""The root of the commands: global options, lazy loading, and errors turned into exit codes."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import click

from gateway.cli.context import LANGUAGES, State
from gateway.cli.failures import EXIT_CODES, INTERRUPTED, failure_dict, failure_of

#: Under this name a context knows that `--json` is among the words of the command.
WANTS_JSON = "gateway.cli.wants_json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, and its line in the help, which must not cost the import of all."""

    module: str
    command: str
    summary: str


#: Commands in the order of a document's life, not of the alphabet.
COMMANDS: Mapping[str, Place] = {
    "serve": Place("gateway.cli.serve", "serve", "Run the service."),
    "check": Place("gateway.cli.check", "check", "Check packages without sending them."),
    "rules": Place("gateway.cli.rules", "rules", "The rules, their articles, and profiles."),
    "agencies": Place("gateway.cli.agencies", "agencies", "The directory of agencies."),
    "connections": Place(
        "gateway.cli.connections", "connections", "Partners' software and their tokens."
    ),
    "people": Place("gateway.cli.people", "people", "People, their roles and tokens."),
    "axis": Place("gateway.cli.axis", "axis", "Axes that the gateway polls."),
    "send": Place("gateway.cli.send", "send", "Hand in a package."),
    "inbox": Place("gateway.cli.inbox", "inbox", "List what waits for you."),
    "fetch": Place("gateway.cli.inbox", "fetch", "Fetch a package, byte for byte."),
    "confirm": Place("gateway.cli.inbox", "confirm", "Say that you have a package."),
    "report": Place("gateway.cli.send", "report", "Report what became of a document."),
    "recall": Place("gateway.cli.recall", "recall", "Take a document back."),
    "trace": Place("gateway.cli.trace", "trace", "Tell what happened to a document."),
    "deliveries": Place("gateway.cli.deliveries", "deliveries", "Look at deliveries and decide."),
    "callbacks": Place(
        "gateway.cli.callbacks", "callbacks", "Addresses that partners are called back at."
    ),
    "calendar": Place(
        "gateway.cli.calendar", "calendar", "Working days, and limits counted in them."
    ),
    "trust": Place("gateway.cli.trust", "trust", "Whom signatures are believed from."),
    "config": Place("gateway.cli.config", "config", "Check the settings, print an example."),
    "status": Place(
        "gateway.cli.status",
        "status",
        "The gateway on one screen: what stands, waits and wants you.",
    ),
    "evidence": Place("gateway.cli.evidence", "evidence", "Export a conversation as evidence."),
    "verify": Place("gateway.cli.evidence", "verify", "Prove a file of evidence, offline."),
    "verify-events": Place("gateway.cli.verify", "verify_events", "Replay the event log."),
    "database": Place("gateway.cli.database", "database", "Migrate the schema."),
    "demo": Place("gateway.cli.demo", "demo", "Run the whole road on this machine."),
    "simulate": Place("gateway.cli.simulate", "simulate", "Partners in the box, for trying out."),
}


class Root(click.Group):
    """Loads a command when it is asked for; shows a traceback only with -v."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `COMMANDS`."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing a single command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command = getattr(import_module(place.module), place.command)
        return command if isinstance(command, click.Command) else None

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse; `--json` counts for what is wrong with the other words, too."""
        wants_json = "--json" in takewhile(lambda word: word != "--", args)
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            if wants_json:
                raise _told_as_json(error) from error
            raise
        ctx.meta[WANTS_JSON] = wants_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Run; whatever is raised below ends as a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except click.NoSuchOption as error:
            raise _told(_misplaced(error, ctx) or error, ctx) from error
        except click.ClickException as error:
            raise _told(error, ctx) from error
        except Exception as error:
            if ctx.ensure_object(State).verbose:
                click.echo(traceback.format_exc(), err=True)
            raise _told(failure_of(error), ctx) from error


def _misplaced(error: click.NoSuchOption, ctx: click.Context) -> click.UsageError | None:
    """What to say of an option of the root behind the command; None of any other."""
    mine = {name for param in ctx.command.params for name in param.opts}
    if error.option_name not in mine:
        return None
    return click.UsageError(
        f"Write {error.option_name} before the command: "
        f"lienthong {error.option_name} … {ctx.invoked_subcommand}",
        error.ctx,
    )


def _told(error: click.ClickException, ctx: click.Context) -> Exception:
    """The error, to be shown to people; told to a program already where one asked for JSON."""
    if not (ctx.meta.get(WANTS_JSON) or ctx.ensure_object(State).as_json):
        return error
    # Imported here: the help must not wait for what prints tables.
    from gateway.cli.output import PRINTED

    return error if ctx.meta.get(PRINTED) else _told_as_json(error)


def _told_as_json(error: click.ClickException) -> click.exceptions.Exit:
    from gateway.cli.output import print_json

    print_json(failure_dict(error))
    return click.exceptions.Exit(error.exit_code)


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
        found = f"{config} is no file" if config.exists() else f"there is no file {config}"
        raise click.BadParameter(found, param_hint="--config")
    ctx.obj = State(config=config, verbose=verbose, language=lang)


def main() -> None:
    """Entry point of the console script."""
    try:
        cli.main(prog_name="lienthong")
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing is left to be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
