"""`lienthong inbox`, `fetch` and `confirm`: receiving, over REST."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import click

from gateway.cli.context import NAME, State, json_option, pass_state
from gateway.cli.failures import wrong_use
from gateway.cli.output import local_time_of, print_json, print_table, say, show, size_text
from gateway.cli.remote import connect, end, remote_options, unless_problem
from gateway.client import Content, GatewayClient, Problem

#: The most that one page of the API gives.
PAGE = 1000


@click.command(short_help="List what waits for you.")
@click.option(
    "--wait",
    type=click.IntRange(0, 300),
    default=0,
    metavar="SECONDS",
    help="Wait so long for something to come.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@remote_options
@json_option
@pass_state
async def inbox(
    state: State, wait: int, limit: int, url: str | None, token: str | None, as_json: bool
) -> None:
    """What waits for your connection: offered or fetched, not confirmed yet. Urgent first."""
    async with connect(state, url, token) as client:
        answer = unless_problem(await _pages(client, limit, wait), state, as_json)
    if as_json:
        print_json(answer)
        return
    if not answer["items"]:
        say("Nothing waits.")
        return
    print_table(
        ("delivery", "kind", "from", "to", "number", "subject", "size", "state", "since"),
        (
            (
                row["id"],
                row["kind"] if row["kind"] == "document" else f"status {row['meaning']}",
                row["senderName"] or row["sender"],
                row["recipient"],
                row["code"],
                row["subject"],
                size_text(row["size"]),
                row["state"],
                local_time_of(row["offeredAt"]),
            )
            for row in answer["items"]
        ),
    )
    if answer["next"]:
        say("There is more: --limit")


async def _pages(client: GatewayClient, limit: int, wait: int) -> dict[str, Any] | Problem:
    """Pages until `limit` items are there or nothing is left."""
    items: list[Any] = []
    cursor: str | None = ""
    while cursor is not None and len(items) < limit:
        page = await client.inbox(min(PAGE, limit - len(items)), cursor, wait)
        if isinstance(page, Problem):
            return page
        items += page["items"]
        cursor, wait = page["next"], 0
    return {"items": items, "next": cursor}


@click.command(short_help="Fetch a package, byte for byte.")
@click.argument("id", metavar="ID", type=NAME)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write; - for stdout. It is there whole and checked, or not at all.",
)
@remote_options
@json_option
@pass_state
async def fetch(
    state: State, id: str, output: Path, url: str | None, token: str | None, as_json: bool
) -> None:
    """Fetch the exact bytes of delivery (or package) ID. Confirm it afterwards."""
    to_stdout = str(output) == "-"
    if to_stdout and as_json:
        raise click.UsageError("--json and -o - both want stdout")
    if not to_stdout and not await asyncio.to_thread(output.parent.is_dir):
        raise click.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    with _beside(None if to_stdout else output.parent) as file:
        try:
            async with connect(state, url, token) as client:
                got = await client.fetch(id, file.write)
            if isinstance(got, Content):
                await asyncio.to_thread(_put, file, None if to_stdout else output)
        finally:
            await asyncio.to_thread(Path(file.name).unlink, missing_ok=True)
    if isinstance(got, Problem):
        end(got, state, as_json)
    elif as_json:
        print_json({"id": id, "file": str(output), "sha256": got.sha256, "size": got.size})
    elif not to_stdout:
        show(f"{output}  {got.size} bytes  SHA-256 {got.sha256}")


def _beside(folder: Path | None) -> Any:
    """A temporary file in the folder of the result, or in the system's own."""
    try:
        return tempfile.NamedTemporaryFile(dir=folder, prefix=".lienthong-", delete=False)
    except OSError as error:
        # Not the temporary file, of which nobody knows, is to be named.
        wrong_use(f"{folder or tempfile.gettempdir()} cannot be written to: {error.strerror}")


def _put(file: Any, output: Path | None) -> None:
    """Move the whole, checked file to its place, or copy it to stdout."""
    file.flush()
    if output is None:
        file.seek(0)
        target: IO[bytes] = sys.stdout.buffer
        shutil.copyfileobj(file, target)
        target.flush()
        return
    os.fsync(file.fileno())
    umask = os.umask(0)
    os.umask(umask)
    # The temporary file is for its owner alone; the result has the rights of any new file.
    os.fchmod(file.fileno(), 0o666 & ~umask)
    Path(file.name).replace(output)
    folder = os.open(output.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@click.command(short_help="Say that you have a package.")
@click.argument("id", metavar="ID", type=NAME)
@remote_options
@json_option
@pass_state
async def confirm(state: State, id: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Say that the whole package of delivery ID is in your system. Again is harmless."""
    async with connect(state, url, token) as client:
        answer = unless_problem(await client.confirm(id), state, as_json)
    if as_json:
        print_json(answer)
    elif answer.get("alreadyConfirmed"):
        show(f"{answer['id']} was confirmed before, at {local_time_of(answer['deliveredAt'])}.")
    else:
        show(f"{answer['id']} is confirmed: {answer['state']}.")
