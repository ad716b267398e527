"""`lienthong simulate …`: partners in the box, which misbehave as a script says."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import click

from gateway.cli.context import State, pass_state
from gateway.cli.failures import wrong_use
from gateway.cli.output import say, show


@click.group(short_help="Partners in the box, for trying out.")
def simulate() -> None:
    """Partners in the box: they answer slowly, never, twice, out of order, as a script says."""


@simulate.command()
@click.option(
    "--script",
    "script_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file: agencies, what waits, how it misbehaves. See docs/simulate.md.",
)
@click.option(
    "--listen",
    default="127.0.0.1:9180",
    show_default=True,
    metavar="HOST:PORT",
    help="Where it answers; port 0 takes a free one.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that each call is appended to, one JSON object a line.",
)
@pass_state
async def axis(_state: State, script_file: Path | None, listen: str, journal: Path | None) -> None:
    """An axis that speaks the national axis protocol (VXP), until Ctrl-C.

    It is no gateway: it keeps everything in memory and promises nothing.
    """
    from gateway.simulate.axis import AxisSimulator
    from gateway.simulate.script import AxisScript, ScriptProblem, load_script
    from gateway.simulate.store import Call

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    try:
        script = load_script(script_file) if script_file else AxisScript()
    except ScriptProblem as error:
        wrong_use(str(error))

    def heard(call: Call) -> None:
        did = f"  [{call.did}]" if call.did else ""
        about = call.parameters.get("docid") or call.parameters.get("from") or ""
        show(f"{call.operation} {about} {call.size} bytes{did}")
        if journal is not None:
            line = {"operation": call.operation, "parameters": call.parameters}
            with journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, "size": call.size, "did": call.did}) + "\n")

    simulator = AxisSimulator(script)
    simulator.store.on_call = heard
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator.running(host, int(port)) as url:
        show(f"The simulated axis answers at {url}")
        say(f"System id {script.system_id!r}; signatures are {_checked(script.secret)}.")
        await stop.wait()


def _checked(secret: str) -> str:
    return "checked" if secret else "not looked at"
