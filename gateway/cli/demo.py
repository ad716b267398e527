"""`lienthong demo`: one document, three agencies, the whole road."""

from __future__ import annotations

import sys

import click

from gateway.cli.context import LANGUAGES, State, pass_state


@click.command(short_help="Run the whole road on this machine.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Language of the story. Default: en.")
@click.option(
    "--axis",
    is_flag=True,
    help="Two gateways instead: a province's, and the national axis that it is a client of.",
)
@pass_state
def demo(state: State, lang: str | None, axis: bool) -> None:
    """Run the whole road on this machine, in a temporary folder; leaves nothing behind.

    A province sends a document to two agencies: one takes it and works on it, the other refuses it,
    and the sender reads what became of it. Every step is printed with the command that does it.
    """
    language = lang or state.language or "en"
    if axis:
        from gateway.demo_axis import run_demo_axis

        sys.exit(run_demo_axis(language, verbose=state.verbose))
    from gateway.demo import run_demo

    sys.exit(run_demo(language, verbose=state.verbose))
