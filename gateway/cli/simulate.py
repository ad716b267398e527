"""`lienthong simulate …`: partners in the box, which misbehave as a script says."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import asdict
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
    from gateway.simulate.script import AxisScript, ScriptProblem, load_axis
    from gateway.simulate.store import Call

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    try:
        script = load_axis(script_file) if script_file else AxisScript()
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


@simulate.command()
@click.option(
    "--script",
    "script_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file: what it reports, how it misbehaves. See docs/simulate.md.",
)
@click.option("--listen", metavar="HOST:PORT", help="Be pushed to at this address.")
@click.option("--gateway", metavar="URL", envvar="LIENTHONG_URL", help="Pull from this gateway …")
@click.option("--token", envvar="LIENTHONG_TOKEN", help="… with this token.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that each step is appended to, one JSON object a line.",
)
@pass_state
async def agency(
    _state: State,
    script_file: Path | None,
    listen: str | None,
    gateway: str | None,
    token: str | None,
    journal: Path | None,
) -> None:
    """An agency's software that is pushed to (--listen) or that pulls (--token), until Ctrl-C.

    It keeps no package: it says what it took, with digest and size.
    """
    from gateway.client import is_address, open_client
    from gateway.simulate.agency import AgencyScript, Done, SimulatedAgency
    from gateway.simulate.script import ScriptProblem, read_script

    if (listen is None) == (token is None):
        raise click.UsageError("give --listen (it is pushed to) or --token (it pulls)")
    try:
        script = read_script(script_file, AgencyScript) if script_file else AgencyScript()
    except ScriptProblem as error:
        wrong_use(str(error))

    def told(done: Done) -> None:
        show(
            f"{done.step} {done.delivery} {done.what}"
            + (f" {done.size} bytes" if done.size else "")
        )
        if journal is not None:
            with journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(done)) + "\n")

    simulated = SimulatedAgency(script, told)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if listen is not None:
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit():
            raise click.BadParameter("write HOST:PORT", param_hint="--listen")
        async with simulated.listening(host, int(port)) as url:
            show(f"The simulated agency is pushed to at {url}")
            await stop.wait()
        return
    url = gateway or "http://127.0.0.1:8080"
    if not is_address(url):
        raise click.BadParameter("write http://HOST:PORT", param_hint="--gateway")
    async with open_client(url, token or "") as client:
        show(f"The simulated agency pulls from {url}")
        await simulated.pull(client, stop, wait=1)


def _checked(secret: str) -> str:
    return "checked" if secret else "not looked at"
